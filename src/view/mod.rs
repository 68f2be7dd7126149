//! What rules look at: the snapshot with its relations worked out. The clock is the snapshot's, and nothing here reads from a cluster.

pub(crate) mod autoscaler;
mod container;
pub(crate) mod endpoints;
mod event;
mod index;
mod labelled;
mod log;
pub(crate) mod near_miss;
mod needs;
mod owner;
mod pod;
pub(crate) mod ports;
pub(crate) mod revision;
pub(crate) mod rollout;
mod workload;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

pub use crate::view::container::{ContainerView, Role, containers, probe_budget};
pub use crate::view::event::EventView;
pub use crate::view::log::LogView;
pub use crate::view::owner::{controller, reference_of, service_effect, service_reference};
pub use crate::view::pod::{condition, condition_since, has_ended, is_ready, is_terminating, phase, revision, service_selects};
pub use crate::view::workload::{Workload, WorkloadObject};
pub use needs::{Need, Needs, Out};

use crate::model::finding::{Effect, ObjectRef, Settles, Subject};
use crate::model::kind;
use crate::model::kind::Kind;
pub use crate::model::selector::selects;
use crate::model::snapshot::Snapshot;
use crate::view::event::EventKey;
use crate::view::labelled::Labelled;
use crate::view::log::{is_gone, log_key};
use crate::view::owner::owners;

/// What a user chose that changes what rules say.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far back events and logs count; status counts whatever its age.
    pub since: Duration,
    /// Whether ports of pods may be dialled.
    pub dial: bool,
    /// Whether refusals in the snapshot are of an earlier look, so that each port is dialled once more.
    pub redial: bool,
    /// Whether the listening sockets of pods may be read inside of them.
    pub sockets: bool,
    /// Whether logs of containers that are ready may be read.
    pub logs: bool,
    /// Paths that this run itself requests from the application.
    pub requested: BTreeSet<String>,
    /// Pods that do not answer these requests as they should.
    pub failing: BTreeSet<FailingPod>,
}

/// A pod that does not answer the requests of this run as it should.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailingPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The port that was asked.
    pub port: u16,
    /// What was asked for there: a path.
    pub asked: String,
    /// The status of its answer, where it answered.
    pub status: Option<u16>,
    /// Whether it has answered well before, in this run.
    pub was_well: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            since: Duration::from_secs(3600),
            dial: false,
            redial: false,
            sockets: false,
            logs: false,
            requested: BTreeSet::new(),
            failing: BTreeSet::new(),
        }
    }
}

/// A container that has been running and ready for this long since its last end is healed.
pub const HEALED_AFTER: Duration = Duration::from_secs(600);

/// The snapshot with its relations.
pub struct View<'a> {
    /// What was read.
    pub snapshot: &'a Snapshot,
    /// What the user chose.
    pub options: Options,
    workloads: BTreeMap<ObjectRef, Workload<'a>>,
    workload_of_pod: HashMap<(String, String), ObjectRef>,
    events: HashMap<EventKey, Vec<EventView<'a>>>,
    /// ReplicaSets and Jobs by kind, namespace and name: what stands between pods and workloads.
    owners: HashMap<(&'a str, &'a str, &'a str), &'a ObjectMeta>,
    labelled: Labelled<'a>,
    focus: BTreeSet<ObjectRef>,
    named: BTreeSet<ObjectRef>,
}

impl<'a> View<'a> {
    /// Works out who owns what and which events belong to whom.
    pub fn new(snapshot: &'a Snapshot, options: Options) -> Self {
        let mut view = Self {
            snapshot,
            options,
            workloads: BTreeMap::new(),
            workload_of_pod: HashMap::new(),
            events: HashMap::new(),
            owners: owners(snapshot),
            labelled: Labelled::default(),
            focus: BTreeSet::new(),
            named: BTreeSet::new(),
        };
        view.index_workloads();
        view.labelled = Labelled::of(&snapshot.objects.pods, view.workloads.values());
        view.index_events();
        view
    }

    /// Says which objects the user named: they may cost a request more than those that merely are in the namespace.
    #[must_use]
    pub fn focused_on(mut self, targets: &[ObjectRef]) -> Self {
        self.named = targets.iter().cloned().collect();
        self.focus = targets.iter().map(|target| self.climb(target)).collect();
        self
    }

    /// Whether the user named this object itself.
    pub fn is_named(&self, object: &ObjectRef) -> bool {
        self.named.contains(object)
    }

    /// Whether the user named this workload, or something that it owns.
    pub fn is_in_focus(&self, workload: &ObjectRef) -> bool {
        self.focus.contains(workload)
    }

    /// Whether the log of a pod may be read although it is well: it belongs to what the user named, or is behind a Service that was.
    pub fn is_log_wanted(&self, pod: &Pod) -> bool {
        self.options.logs && self.is_meant(&self.workload_of(pod), pod.labels())
    }

    /// Whether a workload belongs to what the user named, or is behind a Service that was.
    pub fn is_asked_about(&self, workload: &Workload<'_>) -> bool {
        let mut labels: Vec<_> = workload.pods.iter().map(|pod| pod.labels().clone()).collect();
        labels.extend(workload.object.map(WorkloadObject::pod_labels));
        self.focus.is_empty() || labels.iter().any(|labels| self.is_meant(&workload.reference, labels))
    }

    fn is_meant(&self, workload: &ObjectRef, labels: &BTreeMap<String, String>) -> bool {
        let is_named = |service: &Service| self.focus.contains(&service_reference(service));
        self.focus.is_empty()
            || self.is_in_focus(workload)
            || self.services_selecting(&workload.namespace, labels).into_iter().any(is_named)
    }

    /// What this run knows of a pod that does not answer its requests.
    pub fn failing(&self, pod: &Pod) -> Option<&FailingPod> {
        let is_it = |failing: &&FailingPod| {
            pod.metadata.name.as_deref() == Some(&failing.name) && pod.metadata.namespace.as_deref() == Some(&failing.namespace)
        };
        self.options.failing.iter().find(is_it)
    }

    /// The moment of the snapshot.
    pub fn now(&self) -> Timestamp {
        self.snapshot.taken_at
    }

    /// How long ago a time was; zero for times that are still to come.
    pub fn age(&self, time: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(time)).unwrap_or_default()
    }

    /// How long ago an API time was.
    pub fn age_of(&self, time: Option<&Time>) -> Option<Duration> {
        time.map(|t| self.age(t.0))
    }

    /// Whether what began at a time may still pass by itself, where it is given so long.
    pub fn settles(&self, since: Timestamp, patience: Duration) -> Settles {
        match patience.saturating_sub(self.age(since)) {
            _ if !self.snapshot.has_clock => Settles::Never,
            Duration::ZERO => Settles::Never,
            left => Settles::Within(left),
        }
    }

    /// The same with an API time; what has none has lasted.
    pub fn settles_from(&self, since: Option<&Time>, patience: Duration) -> Settles {
        since.map_or(Settles::Never, |since| self.settles(since.0, patience))
    }

    /// Whether a container has been well since a time for so long that how it ended before is history. Without a clock, what is well now has
    /// healed, unless an event says that it is held back.
    pub fn has_healed(&self, container: &ContainerView<'_>, since: Timestamp) -> bool {
        let is_held_back = || {
            let mut events = self.pod_events(container.pod).into_iter();
            events.any(|event| event.reason() == "BackOff" && event.container() == Some(container.name()))
        };
        let is_well = || container.is_running() && container.is_ready() && !is_held_back();
        self.age(since) >= HEALED_AFTER || !self.snapshot.has_clock && is_well()
    }

    /// Every workload, in order of kind, namespace and name.
    pub fn workloads(&self) -> impl Iterator<Item = &Workload<'a>> {
        self.workloads.values()
    }

    /// One workload by its reference.
    pub fn workload(&self, reference: &ObjectRef) -> Option<&Workload<'a>> {
        self.workloads.get(reference)
    }

    /// The top controller of a pod, or the pod itself.
    pub fn workload_of(&self, pod: &Pod) -> ObjectRef {
        self.workload_of_pod
            .get(&(pod.namespace().unwrap_or_default(), pod.name_any()))
            .cloned()
            .unwrap_or_else(|| reference_of(&kind::POD, &pod.metadata))
    }

    /// The subject of a finding about a container of a pod: the workload, with the pod as an example.
    pub fn subject_of(&self, container: &ContainerView<'_>) -> Subject {
        self.pod_subject(container.pod).container(container.name())
    }

    /// The subject of a finding about a pod's spec as a whole.
    pub fn pod_subject(&self, pod: &Pod) -> Subject {
        Subject::of(self.workload_of(pod)).pod(&pod.name_any())
    }

    /// What a fault of this container brings about.
    pub fn container_effects(&self, container: &ContainerView<'_>) -> [Effect; 2] {
        let workload = self.workload_of(container.pod);
        [
            Effect::Container(workload.clone(), container.name().to_owned()),
            Effect::NotReady(workload),
        ]
    }

    /// Events about an object, newest first, within `--since`. Matched by uid, so that an older object of the same name does not answer.
    pub fn events_of(&self, kind: &Kind, metadata: &ObjectMeta) -> Vec<EventView<'a>> {
        let by_uid = metadata.uid.as_ref().and_then(|uid| self.events.get(&EventKey::Uid(uid.clone())));
        let name = EventKey::Name(
            kind.kind.to_string(),
            metadata.namespace.clone().unwrap_or_default(),
            metadata.name.clone().unwrap_or_default(),
        );
        let mut views: Vec<_> = by_uid.into_iter().chain(self.events.get(&name)).flatten().copied().collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.last_seen));
        views
    }

    /// Events about a pod, newest first.
    pub fn pod_events(&self, pod: &Pod) -> Vec<EventView<'a>> {
        self.events_of(&kind::POD, &pod.metadata)
    }

    /// Whether a container's log was read already, so that looking at it costs nothing.
    pub fn has_log(&self, container: &ContainerView<'_>, previous: bool) -> bool {
        self.snapshot.log(&log_key(container, previous)).is_some()
    }

    /// A container's log, where it was read already.
    pub fn read_log(&self, container: &ContainerView<'_>, previous: bool) -> Option<LogView<'a>> {
        let text = self.snapshot.log(&log_key(container, previous))?;
        Some(LogView {
            text: text.filter(|text| !is_gone(text)),
            previous,
        })
    }

    /// Whether this pod stands for its revision: the first of the pods of the workload with the same template for which `same` holds, or the
    /// first of those that do not answer. Logs are asked for representatives only.
    pub fn is_representative(&self, pod: &Pod, mut same: impl FnMut(&Pod) -> bool) -> bool {
        let Some(workload) = self.workloads.get(&self.workload_of(pod)) else {
            return true;
        };
        let mut alike: Vec<&Pod> = workload
            .pods
            .iter()
            .copied()
            .filter(|other| revision(other) == revision(pod))
            .collect();
        alike.sort_by_key(|other| self.failing(other).is_none());
        alike
            .into_iter()
            .find(|other| same(other))
            .is_none_or(|first| first.metadata.name == pod.metadata.name)
    }

    /// The Services whose selector takes a pod with these labels.
    pub fn services_selecting(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<&'a Service> {
        self.snapshot
            .objects
            .services
            .iter()
            .filter(|s| s.namespace().as_deref() == Some(namespace) && service_selects(s, labels))
            .collect()
    }

    /// A ReplicaSet or Job that stands between pods and their workload.
    pub fn owner(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&'a ObjectMeta> {
        self.owners.get(&(kind.kind.as_ref(), namespace, name)).copied()
    }

    /// The pods that a Service's selector takes, whatever their state.
    pub fn pods_selected(&self, service: &Service) -> Vec<&'a Pod> {
        self.labelled.pods(service)
    }

    /// The workloads whose template a Service's selector takes.
    pub fn templates_selected(&self, service: &Service) -> BTreeSet<ObjectRef> {
        self.labelled.templates(service)
    }

    /// The StatefulSet that says that its pods have their DNS names by a Service.
    pub fn named_by(&self, namespace: &str, service: &str) -> Option<&Workload<'a>> {
        let says = |workload: &&Workload<'a>| match workload.object {
            Some(WorkloadObject::StatefulSet(set)) => set.spec.as_ref().and_then(|spec| spec.service_name.as_deref()) == Some(service),
            _ => false,
        };
        self.workloads()
            .filter(|workload| workload.reference.namespace == namespace)
            .find(says)
    }

    /// A Service by name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&'a Service> {
        self.snapshot
            .objects
            .services
            .iter()
            .find(|s| s.namespace().as_deref() == Some(namespace) && s.metadata.name.as_deref() == Some(name))
    }
}

#[cfg(test)]
mod tests;
