//! Controllers at the top of pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;

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

    /// What its pods are selected by; a bare pod by all its labels.
    pub fn selector(self) -> LabelSelector {
        let of = match self {
            Self::Deployment(o) => o.spec.as_ref().map(|s| s.selector.clone()),
            Self::StatefulSet(o) => o.spec.as_ref().map(|s| s.selector.clone()),
            Self::DaemonSet(o) => o.spec.as_ref().map(|s| s.selector.clone()),
            Self::ReplicaSet(o) => o.spec.as_ref().map(|s| s.selector.clone()),
            _ => None,
        };
        of.unwrap_or_else(|| LabelSelector {
            match_labels: Some(self.pod_labels()),
            match_expressions: None,
        })
    }

    /// The desired number of pods; none for kinds without one (DaemonSet: what its status says).
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

    /// Whether anybody has written down how it stands.
    pub fn has_status(self) -> bool {
        match self {
            Self::Deployment(o) => o.status.is_some(),
            Self::StatefulSet(o) => o.status.is_some(),
            Self::DaemonSet(o) => o.status.is_some(),
            Self::ReplicaSet(o) => o.status.is_some(),
            Self::ReplicationController(o) => o.status.is_some(),
            Self::Job(o) => o.status.is_some(),
            Self::CronJob(o) => o.status.is_some(),
            Self::Pod(o) => o.status.is_some(),
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
