//! StatefulSets: by ordinal, with a partition below which pods stay as they are.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::deployment::{finish, scaled_to_zero, short_of};
use super::judgement::{Judgement, count, pods};
use super::{pod, revision};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::{BlockingPod, Phase};
use crate::rules::context::Context;

/// Whether a StatefulSet has all its pods ready, those from the partition on of the newest revision.
pub(super) fn judge(context: &Context<'_>, set: &StatefulSet, has_check: bool) -> Judgement {
    let spec = set.spec.as_ref();
    let wanted = count(spec.and_then(|s| s.replicas).or(Some(1)));
    let Some(status) = set.status.as_ref().filter(|s| s.observed_generation.is_some()) else {
        return Judgement::progressing(Phase::Pods, "its controller has not seen it yet").pods(0, wanted);
    };
    let namespace = set.namespace().unwrap_or_default();
    let reference = ObjectRef::new(&kind::STATEFUL_SET, &namespace, &set.name_any());
    let own: Vec<&Pod> = revision::living(context, &reference).collect();
    let knows_pods = context.snapshot.is_complete(&kind::POD, &namespace);
    let mut counted = pod::count(context, own.iter().copied().filter(|p| !revision::is_old(context, p)));
    let old: Vec<&Pod> = own.iter().copied().filter(|p| revision::is_old(context, p)).collect();
    let available = count(status.available_replicas);
    let ready = if knows_pods { counted.ready } else { available };
    counted.blocking.extend(old.iter().map(|p| BlockingPod {
        pod: p.name_any(),
        reason: "is of an older revision".to_owned(),
    }));
    let progressing = |reason: String| {
        Judgement::progressing(Phase::Pods, reason)
            .pods(ready.min(wanted), wanted)
            .blocking(counted.blocking.clone())
    };
    if status.observed_generation < set.metadata.generation {
        return progressing("its controller has not seen the last change yet".to_owned());
    }
    if wanted == 0 {
        return scaled_to_zero(has_check, count(Some(status.replicas)));
    }
    // Ordinals may start above 0; the partition counts them as they are.
    let start = count(spec.and_then(|s| s.ordinals.as_ref()).and_then(|o| o.start));
    let stay = revision::partition(set).saturating_sub(start).min(wanted);
    let updated = count(status.updated_replicas);
    if updated < wanted - stay || (knows_pods && !old.is_empty()) {
        let on_delete = spec.and_then(|s| s.update_strategy.as_ref()).and_then(|s| s.type_.as_deref()) == Some("OnDelete");
        let how = if on_delete && !old.is_empty() {
            ", the others stay until somebody deletes them (updateStrategy OnDelete)"
        } else {
            ""
        };
        return progressing(format!(
            "{} of {} are of the current revision{how}",
            updated.min(wanted - stay),
            pods(wanted - stay)
        ));
    }
    if count(Some(status.replicas)) > wanted {
        return progressing(format!("{} too many are still there", pods(count(Some(status.replicas)) - wanted)));
    }
    if available < wanted || (knows_pods && counted.ready < wanted) {
        return progressing(short_of(
            ready.min(available),
            wanted,
            ready,
            spec.and_then(|s| s.min_ready_seconds),
        ));
    }
    let mut judged = finish(counted, wanted);
    if stay > 0 {
        judged.reason.push_str(&format!(
            ", {} below partition {} not updated",
            pods(stay),
            revision::partition(set)
        ));
    }
    judged
}
