//! What rules look at: the snapshot with its relations worked out. The clock is the snapshot's, and nothing here reads from a cluster.

mod container;
mod event;
mod index;
mod log;
mod owner;
mod pod;
mod workload;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

pub use self::container::{ContainerView, Role, containers, probe_budget};
pub use self::event::EventView;
pub use self::log::LogView;
pub use self::owner::{controller, reference_of};
pub use self::pod::{condition, has_ended, is_ready, is_replaced, is_terminating, phase, revision, service_selects};
pub use self::workload::{Workload, WorkloadObject};

use self::event::EventKey;
use self::log::{is_gone, log_key};
use self::owner::owners;
use super::labelled::Labelled;
use crate::model::certificate::{Certificate, CertificateKey};
use crate::model::dial::{Dial, DialKey};
use crate::model::finding::{Effect, ObjectRef, Subject};
use crate::model::kind::{self, Kind};
pub use crate::model::selector::selects;
use crate::model::snapshot::{LogKey, Snapshot};
use crate::model::sockets::PodSockets;

/// What a user chose that changes what rules say.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far back events and logs count; status counts whatever its age.
    pub since: Duration,
    /// Whether ports of pods may be dialled.
    pub dial: bool,
    /// Whether the listening sockets of pods may be read inside of them.
    pub sockets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            since: Duration::from_secs(3600),
            dial: false,
            sockets: false,
        }
    }
}

/// A container that has been running and ready for this long since its last end is healed.
pub const HEALED_AFTER: Duration = Duration::from_secs(600);

/// Something that a rule would like to see before it decides; `cmd::diagnose` fetches it and asks again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A container's log (the last lines of it).
    Log(LogKey),
    /// A connection to a port of a pod.
    Dial(DialKey),
    /// The certificate that the address of an Ingress serves.
    Certificate(CertificateKey),
    /// The listening sockets of a pod (namespace, name).
    Sockets(String, String),
    /// One object with its content.
    Object(ObjectRef),
    /// All objects of a kind, in one namespace or (none) everywhere.
    List(Kind, Option<String>),
}

/// The snapshot with its relations.
pub struct Context<'a> {
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
    needs: RefCell<BTreeSet<Need>>,
    focus: BTreeSet<ObjectRef>,
}

impl<'a> Context<'a> {
    /// Works out who owns what and which events belong to whom.
    pub fn new(snapshot: &'a Snapshot, options: Options) -> Self {
        let mut context = Self {
            snapshot,
            options,
            workloads: BTreeMap::new(),
            workload_of_pod: HashMap::new(),
            events: HashMap::new(),
            owners: owners(snapshot),
            labelled: Labelled::default(),
            needs: RefCell::new(BTreeSet::new()),
            focus: BTreeSet::new(),
        };
        context.index_workloads();
        context.labelled = Labelled::of(&snapshot.objects.pods, context.workloads.values());
        context.index_events();
        context
    }

    /// Says which objects the user named: they may cost a request more than those that merely are in the namespace.
    #[must_use]
    pub fn focused_on(mut self, targets: &[ObjectRef]) -> Self {
        self.focus = targets.iter().map(|target| self.climb(target)).collect();
        self
    }

    /// Whether the user named this workload, or something that it owns.
    pub fn is_in_focus(&self, workload: &ObjectRef) -> bool {
        self.focus.contains(workload)
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

    /// Asks for something that was not read yet. What a snapshot from files lacks can't be had.
    pub fn need(&self, need: Need) {
        self.needs.borrow_mut().insert(need);
    }

    /// What rules have asked for so far.
    pub fn take_needs(&self) -> BTreeSet<Need> {
        self.needs.take()
    }

    /// Whether a container's log was read already, so that looking at it costs nothing.
    pub fn has_log(&self, container: &ContainerView<'_>, previous: bool) -> bool {
        self.snapshot.log(&log_key(container, previous)).is_some()
    }

    /// A container's log; asks for it where it was not read yet.
    pub fn log(&self, container: &ContainerView<'_>, previous: bool) -> Option<LogView<'a>> {
        let key = log_key(container, previous);
        match self.snapshot.log(&key) {
            Some(text) => Some(LogView {
                text: text.filter(|text| !is_gone(text)),
                previous,
            }),
            None => {
                self.need(Need::Log(key));
                None
            }
        }
    }

    /// The log that tells how a container last ended: of the previous instance if it has been started again, else the present one.
    /// Where the previous log is gone, the present one is asked for instead.
    pub fn end_log(&self, container: &ContainerView<'_>) -> Option<LogView<'a>> {
        if container.terminated().is_none() && container.restarts() > 0 {
            match self.log(container, true) {
                Some(previous) if previous.text.is_some_and(|text| !text.trim().is_empty()) => return Some(previous),
                // A dump of the cluster has the present log alone, and nothing more can be read.
                None if !self.snapshot.local => return None,
                _ => {}
            }
        }
        self.log(container, false)
    }

    /// What came of a dial; asks for it where nobody has dialled yet and that is allowed.
    pub fn dial(&self, key: DialKey) -> Option<&'a Dial> {
        let made = self.snapshot.dial(&key);
        if made.is_none() && self.options.dial {
            self.need(Need::Dial(key));
        }
        made
    }

    /// Which certificate an address serves; asks for it where nobody has looked yet and that is allowed.
    pub fn certificate(&self, key: &CertificateKey) -> Option<&'a Certificate> {
        let seen = self.snapshot.certificate(key);
        if seen.is_none() && self.options.dial {
            self.need(Need::Certificate(key.clone()));
        }
        seen
    }

    /// The listening sockets of a pod; asks for them where nobody has looked yet and that is allowed.
    pub fn sockets(&self, pod: &Pod) -> Option<&'a PodSockets> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let seen = self.snapshot.sockets(&namespace, &name);
        if seen.is_none() && self.options.sockets {
            self.need(Need::Sockets(namespace, name));
        }
        seen.flatten()
    }

    /// Asks for a list (once) and says whether it has been read completely.
    pub fn needs_list(&self, kind: &Kind, namespace: &str) -> bool {
        let namespace = if kind.namespaced { namespace } else { "" };
        if self.snapshot.coverage(kind, namespace).is_none() {
            self.need(Need::List(kind.clone(), (!namespace.is_empty()).then(|| namespace.to_owned())));
        }
        self.snapshot.is_complete(kind, namespace)
    }

    /// Whether this pod stands for its revision: the first of the pods of the workload with the same template for which `same` holds.
    /// Logs are asked for representatives only.
    pub fn is_representative(&self, pod: &Pod, same: impl Fn(&Pod) -> bool) -> bool {
        let Some(workload) = self.workloads.get(&self.workload_of(pod)) else {
            return true;
        };
        workload
            .pods
            .iter()
            .find(|other| revision(other) == revision(pod) && same(other))
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
