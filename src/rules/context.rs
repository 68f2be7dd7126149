//! What rules look at: the snapshot with its relations worked out. The clock is the snapshot's, and nothing here reads from a cluster.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod, PodSpec, PodTemplateSpec, Probe, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::ResourceExt;

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

/// A controller at the top of pods, or a bare pod.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    /// Who it is.
    pub reference: ObjectRef,
    /// The object, where it was read.
    pub object: Option<WorkloadObject<'a>>,
    /// Its pods, by name; those of Jobs belong to their CronJob as well, if there is one.
    pub pods: Vec<&'a Pod>,
}

/// The kinds of controllers that podlife reads.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum WorkloadObject<'a> {
    Deployment(&'a k8s_openapi::api::apps::v1::Deployment),
    StatefulSet(&'a k8s_openapi::api::apps::v1::StatefulSet),
    DaemonSet(&'a k8s_openapi::api::apps::v1::DaemonSet),
    ReplicaSet(&'a k8s_openapi::api::apps::v1::ReplicaSet),
    ReplicationController(&'a k8s_openapi::api::core::v1::ReplicationController),
    Job(&'a k8s_openapi::api::batch::v1::Job),
    CronJob(&'a k8s_openapi::api::batch::v1::CronJob),
    Pod(&'a Pod),
}

impl<'a> WorkloadObject<'a> {
    /// The object's metadata.
    pub fn metadata(self) -> &'a ObjectMeta {
        match self {
            Self::Deployment(o) => &o.metadata,
            Self::StatefulSet(o) => &o.metadata,
            Self::DaemonSet(o) => &o.metadata,
            Self::ReplicaSet(o) => &o.metadata,
            Self::ReplicationController(o) => &o.metadata,
            Self::Job(o) => &o.metadata,
            Self::CronJob(o) => &o.metadata,
            Self::Pod(o) => &o.metadata,
        }
    }

    /// The object's kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Deployment(_) => kind::DEPLOYMENT,
            Self::StatefulSet(_) => kind::STATEFUL_SET,
            Self::DaemonSet(_) => kind::DAEMON_SET,
            Self::ReplicaSet(_) => kind::REPLICA_SET,
            Self::ReplicationController(_) => kind::REPLICATION_CONTROLLER,
            Self::Job(_) => kind::JOB,
            Self::CronJob(_) => kind::CRON_JOB,
            Self::Pod(_) => kind::POD,
        }
    }

    /// The template its pods are made from.
    pub fn template(self) -> Option<&'a PodTemplateSpec> {
        match self {
            Self::Deployment(o) => o.spec.as_ref().map(|s| &s.template),
            Self::StatefulSet(o) => o.spec.as_ref().map(|s| &s.template),
            Self::DaemonSet(o) => o.spec.as_ref().map(|s| &s.template),
            Self::ReplicaSet(o) => o.spec.as_ref().and_then(|s| s.template.as_ref()),
            Self::ReplicationController(o) => o.spec.as_ref().and_then(|s| s.template.as_ref()),
            Self::Job(o) => o.spec.as_ref().map(|s| &s.template),
            Self::CronJob(o) => o.spec.as_ref().and_then(|s| s.job_template.spec.as_ref()).map(|s| &s.template),
            Self::Pod(_) => None,
        }
    }

    /// The spec of its pods: of the template, or the pod itself.
    pub fn pod_spec(self) -> Option<&'a PodSpec> {
        match self {
            Self::Pod(pod) => pod.spec.as_ref(),
            other => other.template().and_then(|t| t.spec.as_ref()),
        }
    }

    /// The labels of its pods.
    pub fn pod_labels(self) -> BTreeMap<String, String> {
        match self {
            Self::Pod(pod) => pod.labels().clone(),
            other => other
                .template()
                .and_then(|t| t.metadata.as_ref())
                .and_then(|m| m.labels.clone())
                .unwrap_or_default(),
        }
    }

    /// How many pods it is told to run; none for kinds without a number (DaemonSet: what its status says).
    pub fn wanted(self) -> Option<i32> {
        match self {
            Self::Deployment(o) => Some(o.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
            Self::StatefulSet(o) => Some(o.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
            Self::ReplicaSet(o) => Some(o.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
            Self::ReplicationController(o) => Some(o.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
            Self::DaemonSet(o) => o.status.as_ref().map(|s| s.desired_number_scheduled),
            Self::Job(_) | Self::CronJob(_) => None,
            Self::Pod(_) => Some(1),
        }
    }

    /// Whether it is meant to end.
    pub fn is_finite(self) -> bool {
        match self {
            Self::Job(_) | Self::CronJob(_) => true,
            Self::Pod(pod) => pod
                .spec
                .as_ref()
                .and_then(|s| s.restart_policy.as_deref())
                .is_some_and(|policy| policy != "Always"),
            _ => false,
        }
    }
}

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs beside others for the life of the pod.
    App,
    /// Must end well before the next one starts.
    Init,
    /// An init container with restartPolicy Always: runs for the life of the pod.
    Sidecar,
}

/// A container of a pod: its spec and its status side by side.
#[derive(Clone, Copy, Debug)]
pub struct ContainerView<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container as it was asked for; its image is what to print.
    pub spec: &'a Container,
    /// The kubelet's word on it; none before the pod is on a node.
    pub status: Option<&'a ContainerStatus>,
    /// What it is for.
    pub role: Role,
}

impl<'a> ContainerView<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    fn state(&self) -> Option<&'a ContainerState> {
        self.status.and_then(|s| s.state.as_ref())
    }

    /// Reason and message while it waits.
    pub fn waiting(&self) -> Option<(&'a str, &'a str)> {
        let waiting = self.state()?.waiting.as_ref()?;
        Some((
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default(),
        ))
    }

    /// Since when it runs; none when it does not.
    pub fn running_since(&self) -> Option<Timestamp> {
        self.state()?.running.as_ref()?.started_at.as_ref().map(|t| t.0)
    }

    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        self.state().is_some_and(|s| s.running.is_some())
    }

    /// How the present instance ended.
    pub fn terminated(&self) -> Option<&'a ContainerStateTerminated> {
        self.state()?.terminated.as_ref()
    }

    /// How the instance before the present one ended.
    pub fn last_terminated(&self) -> Option<&'a ContainerStateTerminated> {
        self.status?.last_state.as_ref()?.terminated.as_ref()
    }

    /// The newest end that is known: of this instance, else of the one before.
    pub fn newest_end(&self) -> Option<&'a ContainerStateTerminated> {
        self.terminated().or_else(|| self.last_terminated())
    }

    /// How often it was started again.
    pub fn restarts(&self) -> i32 {
        self.status.map_or(0, |s| s.restart_count)
    }

    /// Whether it passes its readiness probe (init containers: whether it is done).
    pub fn is_ready(&self) -> bool {
        self.status.is_some_and(|s| s.ready)
    }

    /// Whether its start-up probe has passed, or it has none and runs.
    pub fn is_started(&self) -> bool {
        self.status.and_then(|s| s.started).unwrap_or(false)
    }

    /// `pod/NAME container NAME`: where evidence about it was seen.
    pub fn source(&self) -> String {
        format!("pod/{} container {}", self.pod.name_any(), self.name())
    }
}

/// An event about an object, whichever API wrote it.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// The event.
    pub event: &'a Event,
    /// When it was last seen; the kubelet's counter may stand still while the fault goes on.
    pub last_seen: Option<Timestamp>,
}

impl<'a> EventView<'a> {
    /// `FailedMount`
    pub fn reason(&self) -> &'a str {
        self.event.reason.as_deref().unwrap_or_default()
    }

    /// What it says.
    pub fn message(&self) -> &'a str {
        self.event.message.as_deref().unwrap_or_default()
    }

    /// Whether its type is Warning.
    pub fn is_warning(&self) -> bool {
        self.event.type_.as_deref() == Some("Warning")
    }

    /// How often it was seen.
    pub fn count(&self) -> i32 {
        let series = self.event.series.as_ref().and_then(|s| s.count);
        series.or(self.event.count).unwrap_or(1)
    }

    /// The container that it is about (`spec.containers{NAME}`).
    pub fn container(&self) -> Option<&'a str> {
        let path = self.event.involved_object.field_path.as_deref()?;
        path.split_once('{')?.1.strip_suffix('}')
    }
}

/// A log, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogView<'a> {
    /// The text, or none where it could not be had.
    pub text: Option<&'a str>,
    /// Whether it is of the instance before the present one.
    pub previous: bool,
}

impl<'a> LogView<'a> {
    /// The lines that are not empty, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
        self.text
            .unwrap_or_default()
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.trim().is_empty())
    }

    /// `log` or `previous log`: where evidence was seen.
    pub fn source(&self) -> &'static str {
        if self.previous { "previous log" } else { "log" }
    }
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

#[derive(PartialEq, Eq, Hash)]
enum EventKey {
    Uid(String),
    Name(String, String, String),
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

    fn index_workloads(&mut self) {
        let objects = &self.snapshot.objects;
        let mut all: Vec<WorkloadObject<'a>> = Vec::new();
        all.extend(objects.deployments.iter().map(WorkloadObject::Deployment));
        all.extend(objects.stateful_sets.iter().map(WorkloadObject::StatefulSet));
        all.extend(objects.daemon_sets.iter().map(WorkloadObject::DaemonSet));
        all.extend(objects.cron_jobs.iter().map(WorkloadObject::CronJob));
        all.extend(objects.jobs.iter().map(WorkloadObject::Job));
        all.extend(objects.replica_sets.iter().map(WorkloadObject::ReplicaSet));
        all.extend(objects.replication_controllers.iter().map(WorkloadObject::ReplicationController));
        for object in all {
            let metadata = object.metadata();
            let reference = reference_of(&object.kind(), metadata);
            // What another workload controls is no workload of its own; what a custom resource or a node controls is.
            let is_owned = controller(metadata).is_some_and(|owner| kind::of_object(&owner.api_version, &owner.kind).is_some());
            if !is_owned {
                self.workloads.insert(
                    reference.clone(),
                    Workload {
                        reference,
                        object: Some(object),
                        pods: Vec::new(),
                    },
                );
            }
        }
        for pod in &objects.pods {
            let top = self.top_of(&kind::POD, &pod.metadata, pod.labels());
            let is_bare = top.is(&kind::POD);
            self.workload_of_pod
                .insert((pod.namespace().unwrap_or_default(), pod.name_any()), top.clone());
            self.workloads
                .entry(top.clone())
                .or_insert_with(|| Workload {
                    reference: top,
                    object: is_bare.then_some(WorkloadObject::Pod(pod)),
                    pods: Vec::new(),
                })
                .pods
                .push(pod);
        }
    }

    /// Climbs controller references as far as they can be followed.
    fn top_of(&self, kind: &Kind, metadata: &ObjectMeta, labels: &BTreeMap<String, String>) -> ObjectRef {
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let Some(owner) = controller(metadata) else {
            return reference_of(kind, metadata);
        };
        // A static pod is controlled by its node, which makes no pods: it stands for itself.
        if owner.kind == "Node" || (kind != &kind::POD && kind::of_object(&owner.api_version, &owner.kind).is_none()) {
            return reference_of(kind, metadata);
        }
        let owner_kind = kind::of_object(&owner.api_version, &owner.kind);
        let above = match owner_kind {
            Some(k) if k == &kind::REPLICA_SET || k == &kind::JOB => self
                .owners
                .get(&(k.kind.as_ref(), namespace.as_str(), owner.name.as_str()))
                .copied(),
            _ => None,
        };
        match (owner_kind, above) {
            (Some(k), Some(above)) => self.top_of(k, above, labels),
            // The ReplicaSet could not be read: the template hash that a Deployment puts on its pods still names the Deployment.
            (Some(k), None) if k == &kind::REPLICA_SET => labels
                .get("pod-template-hash")
                .and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")))
                .map_or_else(
                    || owner_reference(owner, &namespace),
                    |name| ObjectRef::new(&kind::DEPLOYMENT, &namespace, name),
                ),
            _ => owner_reference(owner, &namespace),
        }
    }

    /// The top controller of a pod, ReplicaSet or Job, as far as owners were read; any other object is its own.
    pub fn climb(&self, object: &ObjectRef) -> ObjectRef {
        let objects = &self.snapshot.objects;
        let same = |kind: &Kind, metadata: &ObjectMeta| object.is(kind) && reference_of(kind, metadata) == *object;
        let pods = objects.pods.iter().map(|o| (kind::POD, &o.metadata));
        let sets = objects.replica_sets.iter().map(|o| (kind::REPLICA_SET, &o.metadata));
        let jobs = objects.jobs.iter().map(|o| (kind::JOB, &o.metadata));
        pods.chain(sets)
            .chain(jobs)
            .find(|(kind, metadata)| same(kind, metadata))
            .map_or_else(
                || object.clone(),
                |(kind, metadata)| self.top_of(&kind, metadata, metadata.labels.as_ref().unwrap_or(&BTreeMap::new())),
            )
    }

    fn index_events(&mut self) {
        for event in &self.snapshot.objects.events {
            let times = [
                event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0),
                event.last_timestamp.as_ref().map(|t| t.0),
                event.event_time.as_ref().map(|t| t.0),
                event.first_timestamp.as_ref().map(|t| t.0),
                event.metadata.creation_timestamp.as_ref().map(|t| t.0),
            ];
            let view = EventView {
                event,
                last_seen: times.into_iter().flatten().max(),
            };
            if view.last_seen.is_some_and(|seen| self.age(seen) > self.options.since) {
                continue;
            }
            let about = &event.involved_object;
            let key = match &about.uid {
                Some(uid) => EventKey::Uid(uid.clone()),
                None => EventKey::Name(
                    about.kind.clone().unwrap_or_default(),
                    about.namespace.clone().unwrap_or_default(),
                    about.name.clone().unwrap_or_default(),
                ),
            };
            self.events.entry(key).or_default().push(view);
        }
        for list in self.events.values_mut() {
            list.sort_by_key(|view| std::cmp::Reverse(view.last_seen));
        }
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

fn owners(snapshot: &Snapshot) -> HashMap<(&str, &str, &str), &ObjectMeta> {
    let sets = snapshot.objects.replica_sets.iter().map(|o| ("ReplicaSet", &o.metadata));
    let jobs = snapshot.objects.jobs.iter().map(|o| ("Job", &o.metadata));
    sets.chain(jobs)
        .map(|(kind, metadata)| {
            let namespace = metadata.namespace.as_deref().unwrap_or_default();
            ((kind, namespace, metadata.name.as_deref().unwrap_or_default()), metadata)
        })
        .collect()
}

/// Whether a log is only the kubelet's or the runtime's word that there is none: it comes with status 200.
fn is_gone(text: &str) -> bool {
    let only = text.trim();
    !only.contains('\n')
        && (only.starts_with("unable to retrieve container logs for ")
            || only.starts_with("failed to try resolving symlinks in path ")
            || only.starts_with("failed to create fsnotify watcher"))
}

fn log_key(container: &ContainerView<'_>, previous: bool) -> LogKey {
    LogKey {
        namespace: container.pod.namespace().unwrap_or_default(),
        pod: container.pod.name_any(),
        container: container.name().to_owned(),
        previous,
    }
}

/// The reference of an object of a known kind.
pub fn reference_of(kind: &Kind, metadata: &ObjectMeta) -> ObjectRef {
    ObjectRef::new(
        kind,
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// The owner that controls an object.
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

fn owner_reference(owner: &OwnerReference, namespace: &str) -> ObjectRef {
    let namespaced = kind::of_object(&owner.api_version, &owner.kind).is_none_or(|k| k.namespaced);
    ObjectRef {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        // A static pod is controlled by its node, which has no namespace.
        namespace: if namespaced { namespace.to_owned() } else { String::new() },
        name: owner.name.clone(),
    }
}

/// What tells pods of one template from those of another: the hash its controller wrote on them; empty for bare pods.
pub fn revision(pod: &Pod) -> &str {
    [
        "pod-template-hash",
        "controller-revision-hash",
        "batch.kubernetes.io/controller-uid",
        "controller-uid",
    ]
    .into_iter()
    .find_map(|label| pod.labels().get(label))
    .map_or("", String::as_str)
}

/// The containers of a pod: init containers and sidecars in their order, then the application's.
pub fn containers(pod: &Pod) -> Vec<ContainerView<'_>> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let find = |list: Option<&'_ Vec<ContainerStatus>>, name: &str| -> Option<usize> { list?.iter().position(|s| s.name == name) };
    let init_statuses = status.and_then(|s| s.init_container_statuses.as_ref());
    let statuses = status.and_then(|s| s.container_statuses.as_ref());
    let init = spec.init_containers.iter().flatten().map(|container| ContainerView {
        pod,
        spec: container,
        status: find(init_statuses, &container.name).and_then(|i| init_statuses?.get(i)),
        role: if container.restart_policy.as_deref() == Some("Always") {
            Role::Sidecar
        } else {
            Role::Init
        },
    });
    let app = spec.containers.iter().map(|container| ContainerView {
        pod,
        spec: container,
        status: find(statuses, &container.name).and_then(|i| statuses?.get(i)),
        role: Role::App,
    });
    init.chain(app).collect()
}

/// A pod condition: its status, reason and message.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let condition = pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == type_)?;
    Some((
        condition.status.as_str(),
        condition.reason.as_deref().unwrap_or_default(),
        condition.message.as_deref().unwrap_or_default(),
    ))
}

/// Whether the pod counts as ready: its condition says so and it is not being deleted.
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && condition(pod, "Ready").is_some_and(|(status, ..)| status == "True")
}

/// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

/// Whether the pod has ended for good.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod is on its way out.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether a Service's selector takes these labels; a Service without a selector takes none.
pub fn service_selects(service: &Service, labels: &BTreeMap<String, String>) -> bool {
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// How long a probe lets a container fail before it acts: initial delay, plus failures times period (Kubernetes defaults where unset).
pub fn probe_budget(probe: &Probe) -> Duration {
    let seconds = |value: Option<i32>, default: i32| u64::try_from(value.unwrap_or(default)).unwrap_or_default();
    let period = seconds(probe.period_seconds, 10).max(1);
    Duration::from_secs(seconds(probe.initial_delay_seconds, 0) + period * seconds(probe.failure_threshold, 3).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::snapshot;

    const CRASHED: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}, status: {containerStatuses: \
        [{name: c, image: i, imageID: '', ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}}]}}";

    fn key(previous: bool) -> LogKey {
        LogKey {
            namespace: "shop".into(),
            pod: "a".into(),
            container: "c".into(),
            previous,
        }
    }

    #[test]
    fn where_the_previous_log_is_gone_the_present_one_tells() {
        for gone in [
            "unable to retrieve container logs for containerd://0123",
            "failed to try resolving symlinks in path \"/var/log/pods/x/1.log\": lstat /var/log/pods/x/1.log: no such file or directory",
            "",
        ] {
            let mut snapshot = snapshot(CRASHED);
            snapshot.put_log(key(true), Some(gone.to_owned()));
            snapshot.put_log(key(false), Some("Error: the fault\n".to_owned()));
            let context = Context::new(&snapshot, Options::default());
            let pod = &snapshot.objects.pods[0];
            let log = context.end_log(&containers(pod)[0]).unwrap();
            assert_eq!(log.lines().collect::<Vec<_>>(), ["Error: the fault"], "{gone}");
        }
    }

    #[test]
    fn a_dump_has_the_present_log_alone() {
        let mut snapshot = snapshot(CRASHED);
        snapshot.local = true;
        snapshot.put_log(key(false), Some("Error: the fault\n".to_owned()));
        let context = Context::new(&snapshot, Options::default());
        let log = context.end_log(&containers(&snapshot.objects.pods[0])[0]).unwrap();
        assert_eq!(log.lines().collect::<Vec<_>>(), ["Error: the fault"]);
    }

    #[test]
    fn a_log_that_was_not_read_is_asked_for_once_by_kind() {
        let snapshot = snapshot(CRASHED);
        let context = Context::new(&snapshot, Options::default());
        assert!(context.end_log(&containers(&snapshot.objects.pods[0])[0]).is_none());
        assert_eq!(context.take_needs().into_iter().collect::<Vec<_>>(), [Need::Log(key(true))]);
    }

    #[test]
    fn a_deployment_is_known_by_its_pods_where_replica_sets_may_not_be_read() {
        let snapshot = snapshot(
            "{apiVersion: v1, kind: Pod, metadata: {name: api-7c9f8-x, labels: {pod-template-hash: 7c9f8}, ownerReferences: \
             [{apiVersion: apps/v1, kind: ReplicaSet, name: api-7c9f8, uid: u, controller: true}]}, spec: {containers: []}}",
        );
        let context = Context::new(&snapshot, Options::default());
        assert_eq!(
            context.workload_of(&snapshot.objects.pods[0]),
            ObjectRef::new(&kind::DEPLOYMENT, "shop", "api")
        );
    }
}
