//! DaemonSets: one pod on each node that matches.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::rollout::pod::{Count, Pods, living, unseen};
use crate::view::rollout::state::{Rollout, Stage, count};
use crate::view::{View, is_terminating, revision};

/// Whether every node that matches runs a ready pod of the current template.
pub(crate) fn rollout<'a>(view: &View<'a>, set: &'a DaemonSet, reference: &ObjectRef) -> Rollout<'a> {
    let Some(status) = set.status.as_ref() else {
        return Rollout::of(Stage::Unseen);
    };
    let spec = set.spec.as_ref();
    let wanted = count(Some(status.desired_number_scheduled));
    let (old, current): (Vec<&Pod>, Vec<&Pod>) = living(view.workload(reference)).partition(|p| revision::is_old(view, p));
    let pods = Pods {
        counted: Count::of(view, current.into_iter()),
        is_known: view.snapshot.is_complete(&kind::POD, &reference.namespace),
        wanted,
        available: count(status.number_available),
        min_ready_seconds: spec.and_then(|s| s.min_ready_seconds),
    };
    let strategy = spec.and_then(|s| s.update_strategy.as_ref()).and_then(|s| s.type_.as_deref());
    let on_delete = pods.on_delete(strategy, &old);
    let old = old.iter().filter(|p| !is_terminating(p)).count();
    let updated = count(status.updated_number_scheduled);
    if let Some(stage) = unseen(status.observed_generation, set.metadata.generation) {
        pods.at(stage)
    } else if wanted == 0 {
        Rollout::of(Stage::NoNode).with_pods(0, 0)
    } else if updated < wanted || old > 0 {
        pods.at(Stage::Outdated {
            updated,
            wanted,
            on_delete,
        })
    } else if let Some(stage) = pods.short() {
        pods.at(stage)
    } else {
        pods.counted.finish(wanted, None)
    }
}
