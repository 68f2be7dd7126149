//! What was read from a cluster at one moment, what is complete, and what could not be read.
//!
//! A snapshot saves to and loads from JSON; it never contains values of Secrets, and of ConfigMaps only the lines that say where a server listens.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController,
    ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::certificate::{Certificate, CertificateKey};
use crate::model::dial::{Dial, DialKey, Speech};
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::prune::prune;
use crate::model::redaction::redact_object;
use crate::model::sockets::PodSockets;
use crate::model::{directive, kind};
use crate::text::{redact, redact_path};

/// How much of a collection was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Coverage {
    /// Every object.
    Complete,
    /// A part: an object that is not in it may still exist.
    Partial,
    /// The API server does not know this kind, so there are no such objects.
    NoSuchKind,
    /// Refused or failed; the reason is among `unchecked`.
    Unreadable,
}

/// Whether an object exists, as far as this run can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It was read.
    Present,
    /// A complete list does not have it, or the API server answered 404.
    Absent,
    /// It was not read, or reading it was forbidden.
    Unknown,
}

/// What kind of thing could not be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UncheckedKind {
    /// An object or a list of objects.
    #[default]
    Objects,
    /// A node or the list of nodes.
    Nodes,
    /// A log.
    Logs,
    /// A port that was not connected to.
    Dials,
    /// The listening sockets of a pod.
    Sockets,
}

impl UncheckedKind {
    /// What an unread object or list of this kind is.
    pub fn of(kind: &Kind) -> Self {
        if kind == &kind::NODE { Self::Nodes } else { Self::Objects }
    }

    /// Whether what is known without it still holds: nodes, dials and sockets add detail, and the status of objects tells the rest.
    pub const fn is_extra(self) -> bool {
        matches!(self, Self::Nodes | Self::Dials | Self::Sockets)
    }
}

/// Something that could not be read, and the RBAC rule that would allow it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// What kind of thing was left unread.
    #[serde(default)]
    pub kind: UncheckedKind,
    /// What was left unread: `events`, `log of pod/a container b`.
    pub what: String,
    /// Why.
    pub why: String,
    /// Verb of the rule to grant; empty where RBAC is not the reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verb: String,
    /// Resource of the rule to grant, with its group: `pods/log`, `deployments.apps`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Namespace of the rule to grant; empty for cluster-wide.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

impl Unchecked {
    /// Something that could not be read for reasons other than RBAC.
    pub fn without_right(kind: UncheckedKind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.into(),
            verb: String::new(),
            resource: String::new(),
            namespace: String::new(),
        }
    }
}

/// Names one container's log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogKey {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Whether it is the log of the previous instance.
    pub previous: bool,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct SavedLog {
    #[serde(flatten)]
    key: LogKey,
    /// Its last lines; none where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

fn saved_logs(logs: &BTreeMap<LogKey, Option<String>>) -> Vec<SavedLog> {
    let saved = |(key, text): (&LogKey, &Option<String>)| SavedLog {
        key: key.clone(),
        text: text.as_deref().map(redact),
    };
    logs.iter().map(saved).collect()
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SavedList {
    /// `pods`, `deployments.apps`
    resource: String,
    /// Empty: all namespaces, or a cluster-wide kind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    namespace: String,
    /// How much of it was read.
    coverage: Coverage,
}

/// What `--save` writes and `--local -f` reads.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Snapshot")]
#[serde(rename_all = "camelCase")]
struct Saved {
    /// `podlife/v1`
    api_version: String,
    /// `Snapshot`
    kind: String,
    /// When the objects were read, RFC 3339, UTC.
    #[schemars(with = "String", extend("format" = "date-time"))]
    taken_at: Timestamp,
    /// Whether the objects come from files and not from a server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    from_files: bool,
    /// Whether the time is only the newest one in the files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    without_clock: bool,
    /// The namespaces that were read; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    namespaces: Vec<String>,
    /// The collections that were read, and how much of each was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lists: Vec<SavedList>,
    /// Objects that do not exist, as the API server said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    absent: Vec<ObjectRef>,
    /// Objects that were read with their content, not only their metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    read_in_full: Vec<ObjectRef>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unchecked: Vec<Unchecked>,
    /// Logs of containers, with credentials masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<SavedLog>,
    /// Last lines of containers that are ready, each with its time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent_logs: Vec<SavedLog>,
    /// Ports that were dialled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dials: Vec<Dial>,
    /// Public certificates that the addresses of Ingresses serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<Certificate>,
    /// Listening sockets of pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sockets: Vec<PodSockets>,
    /// The objects, as in the Kubernetes API, without values of Secrets.
    items: Vec<Value>,
}

/// The JSON Schema of a saved snapshot.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Saved)
}

/// Why a document could not be added.
#[derive(Debug)]
pub struct Unreadable {
    /// What the document is.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}

macro_rules! store {
    ($($field:ident: $type:ty = $kind:ident;)*) => {
        /// Objects by kind, each list in order of namespace and name.
        #[derive(Clone, Debug, Default)]
        pub struct Objects {
            $(#[doc = concat!("`", stringify!($type), "` objects")] pub $field: Vec<$type>,)*
            /// Objects of kinds that have no type here: Gateway, HTTPRoute, custom resources.
            pub other: Vec<Value>,
        }

        impl Objects {
            fn insert(&mut self, of: Option<&Kind>, value: Value) -> Result<(), String> {
                $(if of == Some(&kind::$kind) {
                    return put(&mut self.$field, value);
                })*
                self.other.push(value);
                Ok(())
            }

            fn append(&mut self, mut more: Self) {
                // Whole lists are moved, not copied into ones that may have to grow.
                $(if self.$field.is_empty() {
                    std::mem::swap(&mut self.$field, &mut more.$field);
                } else {
                    self.$field.append(&mut more.$field);
                })*
                self.other.append(&mut more.other);
            }

            fn remove(&mut self, of: &Kind, namespace: &str, name: &str) {
                let here = |in_namespace: Option<String>| !of.namespaced || in_namespace.unwrap_or_default() == namespace;
                $(if of == &kind::$kind {
                    self.$field.retain(|o| o.name_any() != name || !here(o.namespace()));
                    return;
                })*
                self.other.retain(|o| {
                    let is_it = o["kind"] == *of.kind
                        && of.is_group_of(o["apiVersion"].as_str().unwrap_or_default())
                        && o["metadata"]["name"] == name
                        && here(o["metadata"]["namespace"].as_str().map(str::to_owned));
                    !is_it
                });
            }

            fn sort(&mut self) {
                $(self.$field.sort_by_cached_key(|o| (o.namespace(), o.name_any()));
                keep_newest(&mut self.$field, |a, b| {
                    let (a, b) = (&a.metadata, &b.metadata);
                    a.namespace == b.namespace && a.name == b.name && a.generate_name == b.generate_name
                });)*
                self.other.sort_by_cached_key(|o| (
                    o["kind"].as_str().map(str::to_owned),
                    o["metadata"]["namespace"].as_str().map(str::to_owned),
                    o["metadata"]["name"].as_str().map(str::to_owned),
                    o["apiVersion"].as_str().map(str::to_owned),
                ));
                keep_newest(&mut self.other, |a, b| {
                    a["kind"] == b["kind"] && a["apiVersion"] == b["apiVersion"]
                        && ["namespace", "name"].iter().all(|field| a["metadata"][field] == b["metadata"][field])
                });
            }

            fn contains(&self, of: &Kind, namespace: &str, name: &str) -> bool {
                $(if of == &kind::$kind {
                    return self.$field.iter().any(|o| o.name_any() == name && (!of.namespaced || o.namespace().unwrap_or_default() == namespace));
                })*
                self.other.iter().any(|o| {
                    o["kind"] == *of.kind && of.is_group_of(o["apiVersion"].as_str().unwrap_or_default())
                        && o["metadata"]["name"] == name
                        && (!of.namespaced || o["metadata"]["namespace"].as_str().unwrap_or_default() == namespace)
                })
            }

            fn to_values(&self) -> Vec<Value> {
                let mut values = Vec::new();
                $(values.extend(self.$field.iter().filter_map(|o| serde_json::to_value(o).ok()));)*
                values.extend(self.other.iter().cloned());
                values
            }

            /// Every typed or untyped object's metadata fields that rules on all kinds need: reference and uid.
            pub fn references(&self) -> Vec<(ObjectRef, Option<String>)> {
                let mut all = Vec::new();
                $(all.extend(self.$field.iter().map(|o| (
                    ObjectRef::new(&kind::$kind, &o.namespace().unwrap_or_default(), &o.name_any()), o.uid())));)*
                all.extend(self.other.iter().map(|o| (ObjectRef {
                    api_version: o["apiVersion"].as_str().unwrap_or_default().to_owned(),
                    kind: o["kind"].as_str().unwrap_or_default().to_owned(),
                    namespace: o["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
                    name: o["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                }, o["metadata"]["uid"].as_str().map(str::to_owned))));
                all
            }
        }
    };
}

store! {
    namespaces: Namespace = NAMESPACE;
    nodes: Node = NODE;
    pods: Pod = POD;
    services: Service = SERVICE;
    endpoints: Endpoints = ENDPOINTS;
    events: Event = EVENT;
    config_maps: ConfigMap = CONFIG_MAP;
    secrets: Secret = SECRET;
    service_accounts: ServiceAccount = SERVICE_ACCOUNT;
    claims: PersistentVolumeClaim = CLAIM;
    volumes: PersistentVolume = VOLUME;
    quotas: ResourceQuota = RESOURCE_QUOTA;
    limit_ranges: LimitRange = LIMIT_RANGE;
    replication_controllers: ReplicationController = REPLICATION_CONTROLLER;
    deployments: Deployment = DEPLOYMENT;
    replica_sets: ReplicaSet = REPLICA_SET;
    stateful_sets: StatefulSet = STATEFUL_SET;
    daemon_sets: DaemonSet = DAEMON_SET;
    jobs: Job = JOB;
    cron_jobs: CronJob = CRON_JOB;
    endpoint_slices: EndpointSlice = ENDPOINT_SLICE;
    ingresses: Ingress = INGRESS;
    ingress_classes: IngressClass = INGRESS_CLASS;
    network_policies: NetworkPolicy = NETWORK_POLICY;
    autoscalers: HorizontalPodAutoscaler = AUTOSCALER;
    disruption_budgets: PodDisruptionBudget = DISRUPTION_BUDGET;
    storage_classes: StorageClass = STORAGE_CLASS;
    priority_classes: PriorityClass = PRIORITY_CLASS;
    runtime_classes: RuntimeClass = RUNTIME_CLASS;
}

fn put<K: DeserializeOwned + ResourceExt>(list: &mut Vec<K>, value: Value) -> Result<(), String> {
    let object: K = serde_json::from_value(value).map_err(|error| error.to_string())?;
    list.push(object);
    Ok(())
}

/// Removes duplicates and keeps the last one: the newest version of an object.
fn keep_newest<T>(list: &mut Vec<T>, same: impl Fn(&T, &T) -> bool) {
    list.dedup_by(|newer, older| {
        let same = same(newer, older);
        if same {
            std::mem::swap(newer, older);
        }
        same
    });
}

/// The input of all rules.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken: the only clock of the rules.
    pub taken_at: Timestamp,
    /// Whether the time when it was taken is known. Otherwise `taken_at` is the newest time in the files, and the state stands as it was saved:
    /// what is not ready is not about to become so, and what is ready has healed.
    pub has_clock: bool,
    /// Whether it comes from files, so that nothing more can be read.
    pub local: bool,
    /// Namespaces that were asked for; empty means all.
    pub namespaces: Vec<String>,
    /// What was read.
    pub objects: Objects,
    /// What could not be read.
    pub unchecked: BTreeSet<Unchecked>,
    coverage: BTreeMap<(String, String), Coverage>,
    absent: BTreeSet<ObjectRef>,
    read_in_full: BTreeSet<ObjectRef>,
    logs: BTreeMap<LogKey, Option<String>>,
    recent_logs: BTreeMap<LogKey, Option<String>>,
    dials: BTreeMap<DialKey, Dial>,
    certificates: BTreeMap<CertificateKey, Certificate>,
    sockets: BTreeMap<(String, String), Option<PodSockets>>,
    /// Where the neighbourhood of one object was read: the Services (namespace, name) all of whose pods and EndpointSlices were read.
    seen_behind: Option<BTreeSet<(String, String)>>,
}

impl Snapshot {
    /// An empty snapshot of this moment.
    pub fn new(taken_at: Timestamp, local: bool) -> Self {
        Self {
            taken_at,
            has_clock: true,
            local,
            namespaces: Vec::new(),
            objects: Objects::default(),
            unchecked: BTreeSet::new(),
            coverage: BTreeMap::new(),
            absent: BTreeSet::new(),
            read_in_full: BTreeSet::new(),
            logs: BTreeMap::new(),
            recent_logs: BTreeMap::new(),
            dials: BTreeMap::new(),
            certificates: BTreeMap::new(),
            sockets: BTreeMap::new(),
            seen_behind: None,
        }
    }

    /// Adds one object as the API server or kubectl writes it. Values of Secrets, and everything in ConfigMaps that does not say where a server
    /// listens, are dropped before they are stored; keys stay.
    /// If an object is added again, [`Self::sort`] keeps the newest version.
    pub fn insert(&mut self, mut value: Value) -> Result<(), Unreadable> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let (api_version, kind_name) = (text(&value["apiVersion"]), text(&value["kind"]));
        let name = text(&value["metadata"]["name"]);
        if name.is_empty() && value["metadata"]["generateName"].as_str().is_none() {
            return Err(Unreadable {
                object: if kind_name.is_empty() {
                    "document".to_owned()
                } else {
                    kind_name.to_lowercase()
                },
                reason: "has no metadata.name".to_owned(),
            });
        }
        let of = kind::of_object(&api_version, &kind_name);
        if let Some(of) = of {
            // An older or newer version of a known group reads with the same fields.
            value["apiVersion"] = of.api_version().into();
            if of.namespaced && text(&value["metadata"]["namespace"]).is_empty() && self.local {
                let namespace = self.namespaces.first().map_or("default", String::as_str);
                value["metadata"]["namespace"] = namespace.into();
            }
        }
        if of == Some(&kind::SECRET) {
            drop_values(&mut value);
        }
        // Of a ConfigMap only its keys matter, and where it tells a server to listen; many hold what belongs into a Secret.
        if of == Some(&kind::CONFIG_MAP) {
            keep_directives(&mut value);
        }
        prune(of, &mut value);
        let object = format!("{}/{name}", kind_name.to_lowercase());
        self.objects.insert(of, value).map_err(|reason| Unreadable { object, reason })
    }

    /// Adds the objects and the unread parts of a snapshot of the same moment.
    pub fn absorb(&mut self, part: Self) {
        self.objects.append(part.objects);
        self.unchecked.extend(part.unchecked);
    }

    /// Removes an object that is gone.
    pub fn remove(&mut self, of: &Kind, namespace: &str, name: &str) {
        self.objects.remove(of, namespace, name);
    }

    /// Sorts every list; called after the last read.
    pub fn sort(&mut self) {
        self.objects.sort();
    }

    /// Records how much of a collection was read; `namespace` is none for all namespaces and cluster-wide kinds.
    pub fn cover(&mut self, of: &Kind, namespace: Option<&str>, coverage: Coverage) {
        self.coverage
            .insert((of.qualified_plural(), namespace.unwrap_or_default().to_owned()), coverage);
    }

    /// How much of a collection was read; none if it was not requested.
    pub fn coverage(&self, of: &Kind, namespace: &str) -> Option<&Coverage> {
        let plural = of.qualified_plural();
        let of_namespace = if of.namespaced { namespace } else { "" };
        self.coverage
            .get(&(plural.clone(), String::new()))
            .filter(|c| **c != Coverage::Unreadable || of_namespace.is_empty())
            .or_else(|| self.coverage.get(&(plural, of_namespace.to_owned())))
    }

    /// Whether every object of this kind in the namespace was read.
    pub fn is_complete(&self, of: &Kind, namespace: &str) -> bool {
        matches!(self.coverage(of, namespace), Some(Coverage::Complete | Coverage::NoSuchKind))
    }

    /// Records that only a neighbourhood was read, and of which Services (namespace, name) it has all pods and EndpointSlices.
    pub(crate) fn note_seen_behind(&mut self, services: BTreeSet<(String, String)>) {
        self.seen_behind = Some(services);
    }

    /// Whether a Service is outside the neighbourhood that was read, so that its pods are unknown.
    pub(crate) fn is_left_out(&self, namespace: &str, service: &str) -> bool {
        let seen = self.seen_behind.as_ref();
        seen.is_some_and(|seen| !seen.contains(&(namespace.to_owned(), service.to_owned())))
    }

    /// Whether every pod or EndpointSlice of a Service was read.
    pub(crate) fn is_complete_behind(&self, of: &Kind, namespace: &str, service: &str) -> bool {
        match &self.seen_behind {
            Some(_) => !self.is_left_out(namespace, service),
            None => self.is_complete(of, namespace),
        }
    }

    /// Records that the API server answered 404 for an object.
    pub fn note_absent(&mut self, object: ObjectRef) {
        self.absent.insert(object);
    }

    /// Whether the API server answered 404 for an object of any kind.
    pub fn is_absent(&self, object: &ObjectRef) -> bool {
        self.absent.contains(object)
    }

    /// Records that an object was read with its content, not only its metadata.
    pub fn note_full(&mut self, object: ObjectRef) {
        self.read_in_full.insert(object);
    }

    /// Whether an object exists.
    pub fn presence(&self, of: &Kind, namespace: &str, name: &str) -> Presence {
        if self.objects.contains(of, namespace, name) {
            Presence::Present
        } else if self.is_complete(of, namespace) || self.absent.contains(&ObjectRef::new(of, namespace, name)) {
            Presence::Absent
        } else {
            Presence::Unknown
        }
    }

    /// The keys of a ConfigMap, where its content was read.
    pub fn config_map_keys(&self, namespace: &str, name: &str) -> Option<BTreeSet<&str>> {
        let map = self
            .objects
            .config_maps
            .iter()
            .find(|c| c.namespace().as_deref() == Some(namespace) && c.name_any() == name)?;
        let full = self.local || self.read_in_full.contains(&ObjectRef::new(&kind::CONFIG_MAP, namespace, name));
        full.then(|| {
            let text = map.data.iter().flat_map(BTreeMap::keys);
            let binary = map.binary_data.iter().flat_map(BTreeMap::keys);
            text.chain(binary).map(String::as_str).collect()
        })
    }

    /// Stores a log, or that it could not be read.
    pub fn put_log(&mut self, key: LogKey, text: Option<String>) {
        self.logs.insert(key, text);
    }

    /// A log: none if it was not requested, `Some(None)` if it could not be read.
    pub fn log(&self, key: &LogKey) -> Option<Option<&str>> {
        self.logs.get(key).map(Option::as_deref)
    }

    /// Stores the last lines of a container that is ready, each with its time, or that they could not be had.
    pub fn put_recent_log(&mut self, key: LogKey, text: Option<String>) {
        self.recent_logs.insert(key, text);
    }

    /// The last lines of a container that is ready, each with its time: none where nobody asked, `Some(None)` where they could not be had.
    pub fn recent_log(&self, key: &LogKey) -> Option<Option<&str>> {
        self.recent_logs.get(key).map(Option::as_deref)
    }

    /// Stores the result of a dial.
    pub fn put_dial(&mut self, dial: Dial) {
        self.dials.insert(dial.key.clone(), dial);
    }

    /// Whether any port of a pod was dialled.
    pub fn was_dialled(&self, namespace: &str, pod: &str) -> bool {
        // Before every key of the pod: no port has the number 0.
        let first = DialKey {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            port: 0,
            speech: Speech::Http,
            path: String::new(),
            again: false,
        };
        let next = self.dials.range(first..).next();
        next.is_some_and(|(key, _)| key.namespace == namespace && key.pod == pod)
    }

    /// The result of a dial; none if it was not dialled.
    pub fn dial(&self, key: &DialKey) -> Option<&Dial> {
        self.dials.get(key)
    }

    /// Every dial that was made.
    pub fn dials(&self) -> impl Iterator<Item = &Dial> {
        self.dials.values()
    }

    /// Stores the certificate that an address serves.
    pub fn put_certificate(&mut self, certificate: Certificate) {
        self.certificates.insert(certificate.key.clone(), certificate);
    }

    /// The certificate that an address serves; none if it was not requested.
    pub fn certificate(&self, key: &CertificateKey) -> Option<&Certificate> {
        self.certificates.get(key)
    }

    /// Stores the listening sockets of a pod, or that they could not be read.
    pub fn put_sockets(&mut self, namespace: &str, pod: &str, sockets: Option<PodSockets>) {
        self.sockets.insert((namespace.to_owned(), pod.to_owned()), sockets);
    }

    /// The listening sockets of a pod: none if they were not requested, `Some(None)` if they could not be read.
    pub fn sockets(&self, namespace: &str, pod: &str) -> Option<Option<&PodSockets>> {
        self.sockets.get(&(namespace.to_owned(), pod.to_owned())).map(Option::as_ref)
    }

    /// The snapshot as the JSON document that `--save` writes.
    pub fn to_json(&self) -> Value {
        let services = self.objects.services.iter().filter_map(|service| service.metadata.name.clone());
        let names: BTreeSet<String> = services.collect();
        let saved = Saved {
            api_version: "podlife/v1".to_owned(),
            kind: "Snapshot".to_owned(),
            taken_at: self.taken_at,
            from_files: self.local,
            without_clock: !self.has_clock,
            namespaces: self.namespaces.clone(),
            lists: self
                .coverage
                .iter()
                .map(|((resource, namespace), coverage)| SavedList {
                    resource: resource.clone(),
                    namespace: namespace.clone(),
                    coverage: coverage.clone(),
                })
                .collect(),
            absent: self.absent.iter().cloned().collect(),
            read_in_full: self.read_in_full.iter().cloned().collect(),
            unchecked: self.unchecked.iter().cloned().collect(),
            logs: saved_logs(&self.logs),
            recent_logs: saved_logs(&self.recent_logs),
            dials: self.dials.values().cloned().map(without_path).collect(),
            certificates: self.certificates.values().cloned().collect(),
            sockets: self.sockets.values().flatten().cloned().collect(),
            items: self
                .objects
                .to_values()
                .into_iter()
                .map(|item| without_credentials(item, &names))
                .collect(),
        };
        serde_json::to_value(saved).unwrap_or_default()
    }

    /// Loads what [`Self::to_json`] wrote.
    pub fn from_json(value: Value) -> Result<(Self, Vec<Unreadable>), Unreadable> {
        let saved: Saved = serde_json::from_value(value).map_err(|error| Unreadable {
            object: "snapshot".to_owned(),
            reason: error.to_string(),
        })?;
        let mut snapshot = Self::new(saved.taken_at, true);
        snapshot.namespaces = saved.namespaces;
        for list in saved.lists {
            snapshot.coverage.insert((list.resource, list.namespace), list.coverage);
        }
        snapshot.absent = saved.absent.into_iter().collect();
        snapshot.unchecked = saved.unchecked.into_iter().collect();
        snapshot.logs = saved.logs.into_iter().map(|log| (log.key, log.text)).collect();
        snapshot.recent_logs = saved.recent_logs.into_iter().map(|log| (log.key, log.text)).collect();
        snapshot.dials = saved.dials.into_iter().map(|dial| (dial.key.clone(), dial)).collect();
        let certificates = saved.certificates.into_iter();
        snapshot.certificates = certificates.map(|seen| (seen.key.clone(), seen)).collect();
        for sockets in saved.sockets {
            snapshot
                .sockets
                .insert((sockets.namespace.clone(), sockets.pod.clone()), Some(sockets));
        }
        let bad = saved.items.into_iter().filter_map(|item| snapshot.insert(item).err()).collect();
        // A list of metadata that was read from a server is not the content of its objects, although it is in a file now.
        snapshot.local = saved.from_files;
        snapshot.has_clock = !saved.without_clock;
        snapshot.read_in_full = saved.read_in_full.into_iter().collect();
        snapshot.sort();
        Ok((snapshot, bad))
    }
}

/// The masked path of a dial, equal to that of its probe, so that one is found by the other.
fn without_path(mut dial: Dial) -> Dial {
    if !dial.key.path.is_empty() {
        dial.key.path = redact_path(&dial.key.path);
    }
    dial
}

fn without_credentials(mut object: Value, names: &BTreeSet<String>) -> Value {
    let known = kind::of_object(
        object["apiVersion"].as_str().unwrap_or_default(),
        object["kind"].as_str().unwrap_or_default(),
    );
    if known.is_none()
        && let Some(fields) = object.as_object_mut()
    {
        // What a custom resource's fields mean is not known here: its conditions are all that is looked at.
        fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    }
    redact_object(&mut object, names);
    object
}

/// Keeps the keys of a ConfigMap and the lines that say where a server listens.
fn keep_directives(value: &mut Value) {
    for (key, content) in value["data"].as_object_mut().into_iter().flatten() {
        let kept = content.as_str().map(|text| directive::kept(key, text)).unwrap_or_default();
        *content = Value::String(kept);
    }
    for (_, content) in value["binaryData"].as_object_mut().into_iter().flatten() {
        *content = Value::String(String::new());
    }
}

/// Keeps the keys of a Secret and drops the values.
fn drop_values(value: &mut Value) {
    for field in ["data", "stringData", "binaryData"] {
        if let Some(data) = value[field].as_object_mut() {
            for (_, content) in data.iter_mut() {
                *content = Value::String(String::new());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn snapshot() -> Snapshot {
        Snapshot::new(Timestamp::UNIX_EPOCH, false)
    }

    #[test]
    fn a_secrets_value_never_enters() {
        let mut s = snapshot();
        s.insert(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "n",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "aHVudGVyMg=="}}, "data": {"password": "aHVudGVyMg=="}}),
        )
        .unwrap();
        let saved = s.to_json().to_string();
        assert!(saved.contains("password") && !saved.contains("aHVudGVyMg"), "{saved}");
    }

    #[test]
    fn only_listening_lines_of_a_config_map_are_kept() {
        let mut s = snapshot();
        s.insert(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"},
            "data": {"app.yaml": "server: {host: 127.0.0.1, port: 8080}\npassword: hunter2\n", "TOKEN": "hunter2", "BIND_ADDR": "127.0.0.1:80",
            "backend": "backend:80", "DATABASE_URL": "postgres://app:hunter2@db/shop?x=hunter2", "PASSWORD": "hunter2:80"},
            "binaryData": {"b": "aHVudGVyMg=="}}))
            .unwrap();
        let saved = s.to_json();
        let text = saved.to_string();
        assert!(
            !text.contains("hunter2") && !text.contains("aHVudGVyMg") && text.contains("TOKEN"),
            "{text}"
        );
        let (again, bad) = Snapshot::from_json(saved).unwrap();
        assert!(bad.is_empty());
        let data = again.objects.config_maps[0].data.clone().unwrap();
        assert_eq!(data["app.yaml"], "server.host = 127.0.0.1\nserver.port = 8080");
        assert_eq!(
            (data["backend"].as_str(), data["DATABASE_URL"].as_str()),
            ("backend:80", "postgres://db")
        );
        assert_eq!((data["BIND_ADDR"].as_str(), data["TOKEN"].as_str()), ("127.0.0.1:80", ""));
    }

    #[test]
    fn missing_needs_a_complete_list_or_a_404() {
        let mut s = snapshot();
        assert_eq!(s.presence(&kind::CONFIG_MAP, "n", "a"), Presence::Unknown);
        s.cover(&kind::CONFIG_MAP, Some("n"), Coverage::Unreadable);
        assert_eq!(s.presence(&kind::CONFIG_MAP, "n", "a"), Presence::Unknown);
        s.note_absent(ObjectRef::new(&kind::CONFIG_MAP, "n", "b"));
        assert_eq!(s.presence(&kind::CONFIG_MAP, "n", "b"), Presence::Absent);
        s.cover(&kind::CONFIG_MAP, Some("n"), Coverage::Complete);
        assert_eq!(s.presence(&kind::CONFIG_MAP, "n", "a"), Presence::Absent);
        assert_eq!(s.presence(&kind::CONFIG_MAP, "other", "a"), Presence::Unknown);
    }

    #[test]
    fn a_snapshot_survives_saving() {
        let mut s = snapshot();
        s.insert(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}, "spec": {"containers": []}}))
            .unwrap();
        s.cover(&kind::POD, Some("n"), Coverage::Complete);
        s.put_log(
            LogKey {
                namespace: "n".into(),
                pod: "a".into(),
                container: "c".into(),
                previous: true,
            },
            Some("line".into()),
        );
        let (again, bad) = Snapshot::from_json(s.to_json()).unwrap();
        assert!(bad.is_empty());
        assert_eq!(again.to_json(), s.to_json());
        assert!(again.is_complete(&kind::POD, "n"));
    }

    #[test]
    fn a_removed_object_is_gone_and_others_of_its_name_stay() {
        let mut s = snapshot();
        let kinds = [("v1", "Pod", json!({"containers": []})), ("example.org/v1", "Widget", json!({}))];
        for (api_version, kind_name, spec) in &kinds {
            for namespace in ["n", "m"] {
                s.insert(
                    json!({"apiVersion": api_version, "kind": kind_name, "metadata": {"name": "a", "namespace": namespace}, "spec": spec}),
                )
                .unwrap();
            }
        }
        let widget = Kind {
            group: "example.org".into(),
            kind: "Widget".into(),
            plural: "widgets".into(),
            ..kind::POD
        };
        for kind in [kind::POD, widget] {
            s.remove(&kind, "n", "a");
            assert_eq!(s.presence(&kind, "n", "a"), Presence::Unknown);
            assert_eq!(s.presence(&kind, "m", "a"), Presence::Present);
        }
    }

    #[test]
    fn one_odd_object_does_not_spoil_the_rest() {
        let mut s = snapshot();
        assert!(
            s.insert(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": "no"}}))
                .is_err()
        );
        assert!(s.insert(json!({"kind": "Pod"})).is_err());
    }
}
