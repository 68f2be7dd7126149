//! Which pods are of the revision that a workload is told to run now.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::snapshot::Presence;
use crate::model::text::sanitise;
use crate::rules::context::{Context, WorkloadObject, controller, has_ended, revision};
use crate::rules::revision::number;

const HASH: &str = "pod-template-hash";

/// The ReplicaSet that a Deployment runs now: the one of the same template, as its controller compares them
/// (`deploymentutil.FindNewReplicaSet`); where the API server has filled in fields since, the one with the newest number.
pub(super) fn replica_set<'a>(context: &Context<'a>, deployment: &Deployment) -> Option<&'a ReplicaSet> {
    let name = deployment.name_any();
    let own = || {
        context.snapshot.objects.replica_sets.iter().filter(|set| {
            set.namespace() == deployment.namespace()
                && controller(&set.metadata).is_some_and(|o| {
                    o.kind == kind::DEPLOYMENT.kind && o.name == name && deployment.metadata.uid.as_ref().is_none_or(|uid| *uid == o.uid)
                })
        })
    };
    let template = deployment.spec.as_ref().map(|s| without_hash(&s.template));
    let mut same: Vec<&ReplicaSet> = own()
        .filter(|set| set.spec.as_ref().and_then(|s| s.template.as_ref()).map(without_hash) == template)
        .collect();
    // The oldest of equals, as the controller has it.
    same.sort_by_key(|set| set.metadata.creation_timestamp.clone());
    same.first().copied().or_else(|| {
        let observed = number(&deployment.metadata)?;
        own().rfind(|set| number(&set.metadata) == Some(observed))
    })
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(HASH);
    }
    template
}

/// How many pods of a StatefulSet are to stay as they are: those with an ordinal below the partition.
pub(super) fn partition(set: &StatefulSet) -> usize {
    let strategy = set.spec.as_ref().and_then(|s| s.update_strategy.as_ref());
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()).and_then(|r| r.partition);
    partition.and_then(|p| usize::try_from(p).ok()).unwrap_or_default()
}

/// The ordinal of a StatefulSet's pod.
pub(super) fn ordinal(pod: &Pod) -> Option<usize> {
    pod.name_any().rsplit_once('-')?.1.parse().ok()
}

/// Whether a pod is of an older revision than the one its workload is told to run. What cannot be told is not old.
pub fn is_old(context: &Context<'_>, pod: &Pod) -> bool {
    match context.workload(&context.workload_of(pod)).and_then(|w| w.object) {
        Some(WorkloadObject::Deployment(deployment)) => replica_set(context, deployment).is_some_and(|set| {
            !is_of(
                pod,
                &ObjectRef::new(&kind::REPLICA_SET, &set.namespace().unwrap_or_default(), &set.name_any()),
            )
        }),
        Some(WorkloadObject::StatefulSet(set)) => {
            let update = set.status.as_ref().and_then(|s| s.update_revision.as_deref()).unwrap_or_default();
            let stays = ordinal(pod).is_some_and(|o| o < partition(set));
            !update.is_empty() && !stays && !revision(pod).is_empty() && revision(pod) != update
        }
        Some(WorkloadObject::DaemonSet(set)) => daemon_set_is_old(set, pod),
        _ => false,
    }
}

/// The controller of a pod, or the controller of that, which could not be read, so that nobody knows what it is told to run now.
pub(super) fn unread_owner(context: &Context<'_>, pod: &Pod) -> Option<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let unread = |kind: &Kind, name: &str| {
        let is_unknown = context.snapshot.presence(kind, &namespace, name) == Presence::Unknown;
        is_unknown.then(|| sanitise(&format!("{}/{name}", kind.kind.to_lowercase())))
    };
    let owner = controller(&pod.metadata)?;
    for kind in [kind::STATEFUL_SET, kind::DAEMON_SET, kind::REPLICA_SET] {
        if owner.kind == kind.kind
            && let Some(unread) = unread(&kind, &owner.name)
        {
            return Some(unread);
        }
    }
    let sets = context.snapshot.objects.replica_sets.iter();
    let set = sets
        .filter(|s| s.namespace() == pod.namespace())
        .find(|s| owner.kind == kind::REPLICA_SET.kind && s.name_any() == owner.name)?;
    let above = controller(&set.metadata).filter(|above| above.kind == kind::DEPLOYMENT.kind)?;
    unread(&kind::DEPLOYMENT, &above.name)
}

/// Whether an object controls the pod.
pub(super) fn is_of(pod: &Pod, owner: &ObjectRef) -> bool {
    pod.namespace().unwrap_or_default() == owner.namespace
        && controller(&pod.metadata).is_some_and(|o| o.kind == owner.kind && o.name == owner.name)
}

/// The generation of the template stands on the pods as a label, and on the DaemonSet as an annotation
/// (`daemonset/util.IsPodUpdated`).
fn daemon_set_is_old(set: &DaemonSet, pod: &Pod) -> bool {
    let generation = set.annotations().get("deprecated.daemonset.template.generation");
    let label = pod.labels().get("pod-template-generation");
    matches!((generation, label), (Some(generation), Some(label)) if generation != label)
}

/// The pods of a workload that have not ended.
pub(super) fn living<'c, 'a>(context: &'c Context<'a>, workload: &'c ObjectRef) -> impl Iterator<Item = &'a Pod> + use<'c, 'a> {
    let pods = context.snapshot.objects.pods.iter();
    pods.filter(move |pod| is_of(pod, workload) && !has_ended(pod))
}
