//! StatefulSets: by ordinal, with a partition below which pods stay as they are.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::rollout::pod::{Count, Pods, living, unseen, zero};
use crate::view::rollout::state::{PodState, Rollout, Stage, count};
use crate::view::{View, revision};

/// Whether a StatefulSet has all its pods ready, those from the partition on of the newest revision.
pub(crate) fn rollout<'a>(view: &View<'a>, set: &'a StatefulSet, reference: &ObjectRef) -> Rollout<'a> {
    let spec = set.spec.as_ref();
    let wanted = count(spec.and_then(|s| s.replicas).or(Some(1)));
    let Some(status) = set.status.as_ref() else {
        return Rollout::of(Stage::Unseen).with_pods(0, wanted);
    };
    let (old, current): (Vec<&Pod>, Vec<&Pod>) = living(view.workload(reference)).partition(|p| revision::is_old(view, p));
    let mut pods = Pods {
        counted: Count::of(view, current.into_iter()),
        is_known: view.snapshot.is_complete(&kind::POD, &reference.namespace),
        wanted,
        available: count(status.available_replicas),
        min_ready_seconds: spec.and_then(|s| s.min_ready_seconds),
    };
    let strategy = spec.and_then(|s| s.update_strategy.as_ref()).and_then(|s| s.type_.as_deref());
    let on_delete = pods.on_delete(strategy, &old);
    pods.counted.blocking.extend(old.iter().map(|pod| (*pod, PodState::Old)));
    // Ordinals may start above 0; the partition counts them as they are.
    let start = count(spec.and_then(|s| s.ordinals.as_ref()).and_then(|o| o.start));
    let partition = revision::partition(set);
    let stay = partition.saturating_sub(start).min(wanted);
    let (updated, replicas) = (count(status.updated_replicas), count(Some(status.replicas)));
    if let Some(stage) = unseen(status.observed_generation, set.metadata.generation) {
        pods.at(stage)
    } else if wanted == 0 {
        zero(Some(status.replicas))
    } else if updated < wanted - stay || (pods.is_known && !old.is_empty()) {
        pods.at(Stage::Outdated {
            updated: updated.min(wanted - stay),
            wanted: wanted - stay,
            on_delete,
        })
    } else if replicas > wanted {
        pods.at(Stage::Surplus(replicas - wanted))
    } else if let Some(stage) = pods.short() {
        pods.at(stage)
    } else {
        pods.counted.finish(wanted, (stay > 0).then_some((stay, partition)))
    }
}
