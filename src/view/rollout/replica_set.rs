//! ReplicaSets that no Deployment controls, and ReplicationControllers.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::View;
use crate::view::rollout::pod::{Count, Pods, living, unseen, zero};
use crate::view::rollout::state::{Rollout, Stage, count, message};

/// The same numbers of two kinds.
struct Numbers {
    wanted: usize,
    replicas: Option<i32>,
    available: usize,
    unseen: Option<Stage>,
    min_ready_seconds: Option<i32>,
    refused: Option<String>,
}

macro_rules! numbers {
    ($set:expr, $refused:expr) => {{
        let (spec, status) = ($set.spec.as_ref(), $set.status.as_ref());
        Numbers {
            wanted: count(spec.and_then(|s| s.replicas).or(Some(1))),
            replicas: status.map(|s| s.replicas),
            available: count(status.and_then(|s| s.available_replicas)),
            unseen: status.map_or(Some(Stage::Unseen), |s| unseen(s.observed_generation, $set.metadata.generation)),
            min_ready_seconds: spec.and_then(|s| s.min_ready_seconds),
            refused: $refused,
        }
    }};
}

/// Whether a ReplicaSet that nothing controls has all its pods.
pub(crate) fn replica_set<'a>(view: &View<'a>, set: &'a ReplicaSet, reference: &ObjectRef) -> Rollout<'a> {
    rollout(view, reference, numbers!(set, refusal(set)))
}

/// Whether a ReplicationController has all its pods.
pub(crate) fn replication_controller<'a>(view: &View<'a>, set: &'a ReplicationController, reference: &ObjectRef) -> Rollout<'a> {
    rollout(view, reference, numbers!(set, None))
}

/// Why a ReplicaSet cannot make pods.
pub(crate) fn refusal(set: &ReplicaSet) -> Option<String> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(message(condition.message.as_ref()))
}

fn rollout<'a>(view: &View<'a>, reference: &ObjectRef, numbers: Numbers) -> Rollout<'a> {
    let wanted = numbers.wanted;
    let pods = Pods {
        counted: Count::of(view, living(view.workload(reference))),
        is_known: view.snapshot.is_complete(&kind::POD, &reference.namespace),
        wanted,
        available: numbers.available,
        min_ready_seconds: numbers.min_ready_seconds,
    };
    let exist = count(numbers.replicas);
    if let Some(stage) = numbers.unseen {
        pods.at(stage)
    } else if wanted == 0 {
        zero(numbers.replicas)
    } else if exist < wanted {
        pods.at(Stage::Missing {
            exist,
            wanted,
            of_current: false,
            refused: numbers.refused,
        })
    } else if let Some(stage) = pods.short() {
        pods.at(stage)
    } else {
        pods.counted.finish(wanted, None)
    }
}
