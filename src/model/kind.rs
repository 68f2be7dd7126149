//! The kinds podlife knows, with the names that kubectl accepts for them.
//!
//! Kinds that are not listed here are found by discovery; see [`Kind`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A resource type of the Kubernetes API, as its discovery document describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// Version that is read, for example `v1`.
    pub version: Cow<'static, str>,
    /// Kind as it stands in an object, for example `Deployment`.
    pub kind: Cow<'static, str>,
    /// Plural name as it stands in a path, for example `deployments`.
    pub plural: Cow<'static, str>,
    /// Whether objects of this kind live in a namespace.
    pub namespaced: bool,
}

impl Kind {
    const fn new(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str, namespaced: bool) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced,
        }
    }

    /// `v1` or `apps/v1`, as in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `deployment`: how kubectl names one object of this kind.
    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }

    /// `deployments.apps`: the name that is unique in the cluster.
    pub fn qualified_plural(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The path of a collection (`namespace` given), of all namespaces (none given), or of a cluster-wide kind.
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace {
            Some(namespace) if self.namespaced => {
                format!("{root}/namespaces/{namespace}/{}", self.plural)
            }
            _ => format!("{root}/{}", self.plural),
        }
    }

    /// Whether `api_version` names this kind's group; the version may differ.
    pub fn is_group_of(&self, api_version: &str) -> bool {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        group == self.group
    }
}

macro_rules! kinds {
    ($($constant:ident = $group:literal $version:literal $kind:literal $plural:literal $scope:ident [$($short:literal)*];)*) => {
        $(
            #[doc = concat!("`", $plural, "`")]
            pub const $constant: Kind = Kind::new($group, $version, $kind, $plural, kinds!(@scope $scope));
        )*
        /// Every kind of the table, with its short names.
        pub const KNOWN: &[(Kind, &[&str])] = &[$(($constant, &[$($short),*])),*];
    };
    (@scope namespaced) => { true };
    (@scope cluster) => { false };
}

kinds! {
    POD = "" "v1" "Pod" "pods" namespaced ["po"];
    SERVICE = "" "v1" "Service" "services" namespaced ["svc"];
    ENDPOINTS = "" "v1" "Endpoints" "endpoints" namespaced ["ep"];
    EVENT = "" "v1" "Event" "events" namespaced ["ev"];
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" namespaced ["cm"];
    SECRET = "" "v1" "Secret" "secrets" namespaced [];
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" namespaced ["sa"];
    CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" namespaced ["pvc"];
    VOLUME = "" "v1" "PersistentVolume" "persistentvolumes" cluster ["pv"];
    RESOURCE_QUOTA = "" "v1" "ResourceQuota" "resourcequotas" namespaced ["quota"];
    LIMIT_RANGE = "" "v1" "LimitRange" "limitranges" namespaced ["limits"];
    REPLICATION_CONTROLLER = "" "v1" "ReplicationController" "replicationcontrollers" namespaced ["rc"];
    NAMESPACE = "" "v1" "Namespace" "namespaces" cluster ["ns"];
    NODE = "" "v1" "Node" "nodes" cluster ["no"];
    DEPLOYMENT = "apps" "v1" "Deployment" "deployments" namespaced ["deploy"];
    REPLICA_SET = "apps" "v1" "ReplicaSet" "replicasets" namespaced ["rs"];
    STATEFUL_SET = "apps" "v1" "StatefulSet" "statefulsets" namespaced ["sts"];
    DAEMON_SET = "apps" "v1" "DaemonSet" "daemonsets" namespaced ["ds"];
    JOB = "batch" "v1" "Job" "jobs" namespaced [];
    CRON_JOB = "batch" "v1" "CronJob" "cronjobs" namespaced ["cj"];
    ENDPOINT_SLICE = "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" namespaced [];
    INGRESS = "networking.k8s.io" "v1" "Ingress" "ingresses" namespaced ["ing"];
    INGRESS_CLASS = "networking.k8s.io" "v1" "IngressClass" "ingressclasses" cluster [];
    NETWORK_POLICY = "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" namespaced ["netpol"];
    GATEWAY = "gateway.networking.k8s.io" "v1" "Gateway" "gateways" namespaced ["gtw"];
    HTTP_ROUTE = "gateway.networking.k8s.io" "v1" "HTTPRoute" "httproutes" namespaced [];
    AUTOSCALER = "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" namespaced ["hpa"];
    DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" namespaced ["pdb"];
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses" cluster ["sc"];
    PRIORITY_CLASS = "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" cluster ["pc"];
    RUNTIME_CLASS = "node.k8s.io" "v1" "RuntimeClass" "runtimeclasses" cluster [];
    CUSTOM_RESOURCE_DEFINITION = "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" cluster ["crd" "crds"];
}

/// `leases`: the records of sessions. No rule judges them, so they are not in the table.
pub const LEASE: Kind = Kind::new("coordination.k8s.io", "v1", "Lease", "leases", true);

/// `tokenreviews`: who holds a token.
pub const TOKEN_REVIEW: Kind = Kind::new("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", false);
/// `csinodes`: how many volumes each CSI driver may attach to a node.
pub const CSI_NODE: Kind = Kind::new("storage.k8s.io", "v1", "CSINode", "csinodes", false);
/// `volumeattachments`: a volume that is attached to a node.
pub const VOLUME_ATTACHMENT: Kind = Kind::new("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", false);

/// Kinds that run pods, a pod itself among them.
pub const RUN_PODS: [Kind; 8] = [
    POD,
    DEPLOYMENT,
    STATEFUL_SET,
    DAEMON_SET,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    JOB,
    CRON_JOB,
];

/// Finds a kind of the table by what kubectl accepts: kind, plural, singular or short name, each also with `.group` or `.version.group`.
pub fn named(name: &str) -> Option<&'static Kind> {
    let name = name.to_lowercase();
    let (first, rest) = name.split_once('.').unwrap_or((&name, ""));
    KNOWN.iter().find_map(|(kind, short)| {
        let known = first == kind.plural || first == kind.singular() || short.contains(&first);
        let qualified = rest.is_empty()
            || rest == kind.group
            || rest == format!("{}.{}", kind.version, kind.group)
            || (kind.group.is_empty() && rest == kind.version);
        (known && qualified).then_some(kind)
    })
}

/// The kind of the table that an object's `apiVersion` and `kind` name; versions within a group are taken as equal.
pub fn of_object(api_version: &str, kind: &str) -> Option<&'static Kind> {
    KNOWN
        .iter()
        .map(|(known, _)| known)
        .find(|known| known.kind == kind && known.is_group_of(api_version))
}

/// The kind that an object's `apiVersion` and `kind` name, where this document is the CustomResourceDefinition that defines it.
pub fn defined_by(document: &Value, api_version: &str, kind: &str) -> Option<Kind> {
    let spec = &document["spec"];
    let (group, version) = api_version.split_once('/')?;
    let defines = *CUSTOM_RESOURCE_DEFINITION.kind == document["kind"]
        && CUSTOM_RESOURCE_DEFINITION.is_group_of(document["apiVersion"].as_str()?)
        && spec["group"] == group
        && spec["names"]["kind"] == kind
        && spec["versions"]
            .as_array()?
            .iter()
            .any(|v| v["name"] == version && v["served"] == true);
    defines.then_some(Kind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: kind.to_owned().into(),
        plural: spec["names"]["plural"].as_str()?.to_owned().into(),
        namespaced: spec["scope"] == "Namespaced",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_names_are_understood() {
        for (name, kind) in [
            ("po", POD),
            ("pods", POD),
            ("Pod", POD),
            ("deploy", DEPLOYMENT),
            ("deployments.apps", DEPLOYMENT),
            ("deployments.v1.apps", DEPLOYMENT),
            ("pods.v1", POD),
            ("hpa", AUTOSCALER),
            ("ingress", INGRESS),
        ] {
            assert_eq!(named(name), Some(&kind), "{name}");
        }
        assert_eq!(named("deployments.example.org"), None);
        assert_eq!(named("nonsense"), None);
    }

    #[test]
    fn a_definition_defines_the_versions_that_it_serves() {
        let mut definition = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {"group": "example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{"name": "v1", "served": true}, {"name": "v1beta1", "served": false}]},
        });
        let widget = defined_by(&definition, "example.org/v1", "Widget").expect("it is defined");
        assert_eq!(widget.path(Some("a")), "/apis/example.org/v1/namespaces/a/widgets");
        for (version, kind) in [
            ("example.org/v1beta1", "Widget"),
            ("other.org/v1", "Widget"),
            ("example.org/v1", "Gadget"),
            ("v1", "Widget"),
        ] {
            assert_eq!(defined_by(&definition, version, kind), None, "{version} {kind}");
        }
        definition["spec"]["scope"] = "Cluster".into();
        let widget = defined_by(&definition, "example.org/v1", "Widget").expect("it is defined");
        assert_eq!(widget.path(None), "/apis/example.org/v1/widgets");
        definition["kind"] = "ConfigMap".into();
        assert_eq!(defined_by(&definition, "example.org/v1", "Widget"), None);
    }

    #[test]
    fn paths_follow_the_scope() {
        assert_eq!(POD.path(Some("a")), "/api/v1/namespaces/a/pods");
        assert_eq!(DEPLOYMENT.path(None), "/apis/apps/v1/deployments");
        assert_eq!(NODE.path(Some("a")), "/api/v1/nodes");
    }
}
