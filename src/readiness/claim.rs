//! Claims for storage.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::model::kind;
use crate::model::readiness::Phase;
use crate::readiness::judgement::Judgement;
use crate::view::{View, has_ended};

/// Whether a claim has its volume. One that is made for the first pod that uses it counts with the pods: it holds up no other part of the
/// infrastructure, because it is the pods that it waits for.
pub(crate) fn judge(view: &View<'_>, claim: &PersistentVolumeClaim) -> Judgement {
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
    match phase {
        "Bound" => return Judgement::ready(Phase::Infrastructure, "bound"),
        "Lost" => return Judgement::failed(Phase::Infrastructure, "its volume is lost"),
        _ => {}
    }
    if !waits_for_consumer(view, claim) {
        return Judgement::progressing(Phase::Infrastructure, "is not bound yet");
    }
    let name = claim.name_any();
    let is_used = view.snapshot.objects.pods.iter().any(|pod| {
        pod.namespace() == claim.namespace()
            && !has_ended(pod)
            && pod
                .spec
                .iter()
                .flat_map(|s| s.volumes.iter().flatten())
                .any(|v| v.persistent_volume_claim.as_ref().is_some_and(|c| c.claim_name == name))
    });
    Judgement::progressing(
        Phase::Pods,
        if is_used {
            "waits until the first pod that uses it has a node"
        } else {
            "waits for the first pod that uses it, and there is none"
        },
    )
}

fn waits_for_consumer(view: &View<'_>, claim: &PersistentVolumeClaim) -> bool {
    let Some(class) = claim.spec.as_ref().and_then(|s| s.storage_class_name.as_deref()) else {
        return false;
    };
    let classes = &view.snapshot.objects.storage_classes;
    match classes.iter().find(|c| c.name_any() == class) {
        Some(class) => class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        // The controller says so in an event as well.
        None => view
            .events_of(&kind::CLAIM, &claim.metadata)
            .first()
            .is_some_and(|event| event.reason() == "WaitForFirstConsumer"),
    }
}
