//! Deployments.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::rollout::pod::{Count, Pods, unseen, zero};
use crate::view::rollout::replica_set::refusal;
use crate::view::rollout::state::{Rollout, Stage, count};
use crate::view::{View, has_ended, is_terminating, reference_of, revision};

/// Whether a Deployment runs its current template, and nothing else, with all pods available.
///
/// Its conditions decide one thing only, that the rollout of *this* template has run out of time: a condition is kept from one revision to
/// the next until something changes (`deployment/progress.go`), so that it speaks for the current one only where it names its ReplicaSet.
pub(crate) fn rollout<'a>(view: &View<'a>, deployment: &'a Deployment, reference: &ObjectRef) -> Rollout<'a> {
    let spec = deployment.spec.as_ref();
    let wanted = count(spec.and_then(|s| s.replicas).or(Some(1)));
    let Some(status) = deployment.status.as_ref() else {
        return Rollout::of(Stage::Unseen).with_pods(0, wanted);
    };
    let set = revision::replica_set(view, deployment);
    let owner = set.map(|s| reference_of(&kind::REPLICA_SET, &s.metadata));
    let workload = view.workload(reference);
    let (current, old): (Vec<&Pod>, Vec<&Pod>) = workload
        .into_iter()
        .flat_map(|w| w.pods.iter().copied())
        .filter(|p| !has_ended(p))
        .partition(|p| owner.as_ref().is_none_or(|owner| revision::is_of(p, owner)));
    let pods = Pods {
        counted: Count::of(view, current.into_iter()),
        is_known: view.snapshot.is_complete(&kind::POD, &reference.namespace) && set.is_some(),
        wanted,
        available: count(status.available_replicas),
        min_ready_seconds: spec.and_then(|s| s.min_ready_seconds),
    };
    let (updated, replicas) = (count(status.updated_replicas), count(status.replicas));
    let old_living = old.iter().filter(|p| !is_terminating(p)).count();
    let is_complete = updated >= wanted && replicas <= updated;
    let knows_sets = view.snapshot.is_complete(&kind::REPLICA_SET, &reference.namespace);
    if let Some(stage) = unseen(status.observed_generation, deployment.metadata.generation) {
        return pods.at(stage);
    }
    // Scaled, while its ReplicaSet has yet to act on it: the counts are those from before.
    let of_set = set.and_then(|set| Some((set.status.as_ref()?.observed_generation?, set.metadata.generation?)));
    if of_set.is_some_and(|(observed, generation)| observed < generation) {
        return pods.at(Stage::Unseen);
    }
    if spec.and_then(|s| s.paused) == Some(true) && (!is_complete || (set.is_none() && knows_sets)) {
        return pods.at(Stage::Paused);
    }
    if wanted == 0 {
        return zero(status.replicas);
    }
    let missing = || {
        if let Some(seconds) = out_of_time(deployment, set) {
            Some(Stage::DeadlineExceeded(seconds))
        } else if updated < wanted {
            Some(Stage::Missing {
                exist: updated,
                wanted,
                of_current: true,
                refused: set.and_then(refusal),
            })
        } else if !is_complete {
            Some(Stage::OldPods(replicas - updated))
        } else {
            pods.short().or_else(|| (old_living > 0).then_some(Stage::OldPods(old.len())))
        }
    };
    match missing() {
        Some(stage) => pods.at(stage),
        None => Rollout {
            old_terminating: old.len(),
            ..pods.counted.finish(wanted, None)
        },
    }
}

/// The deadline that the current revision has missed, in seconds.
fn out_of_time(deployment: &Deployment, set: Option<&ReplicaSet>) -> Option<i32> {
    // `ReplicaSet "web-7c9f8" has timed out progressing.`
    let message = revision::missed_deadline(deployment)?.message.as_deref().unwrap_or_default();
    let names_current = message.contains(&format!("{:?}", set?.name_any()));
    let seconds = deployment.spec.as_ref().and_then(|s| s.progress_deadline_seconds).unwrap_or(600);
    names_current.then_some(seconds)
}
