//! DaemonSets: one pod on each node that matches.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::deployment::{finish, short_of};
use super::judgement::{Judgement, count, pods};
use super::{pod, revision};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::Phase;
use crate::rules::context::{Context, is_terminating};

/// Whether every node that matches runs a ready pod of the current template.
pub(super) fn judge(context: &Context<'_>, set: &DaemonSet, has_check: bool) -> Judgement {
    let Some(status) = set.status.as_ref().filter(|s| s.observed_generation.is_some()) else {
        return Judgement::progressing(Phase::Pods, "its controller has not seen it yet");
    };
    let wanted = count(Some(status.desired_number_scheduled));
    let namespace = set.namespace().unwrap_or_default();
    let reference = ObjectRef::new(&kind::DAEMON_SET, &namespace, &set.name_any());
    let own: Vec<&Pod> = revision::living(context, &reference).collect();
    let knows_pods = context.snapshot.is_complete(&kind::POD, &namespace);
    let counted = pod::count(context, own.iter().copied().filter(|p| !revision::is_old(context, p)));
    let available = count(status.number_available);
    let ready = if knows_pods { counted.ready } else { available };
    let progressing = |reason: String| {
        Judgement::progressing(Phase::Pods, reason)
            .pods(ready.min(wanted), wanted)
            .blocking(counted.blocking.clone())
    };
    if status.observed_generation < set.metadata.generation {
        return progressing("its controller has not seen the last change yet".to_owned());
    }
    if wanted == 0 {
        // That no node matches may be meant so, but shows nothing.
        let reason = "no node matches it: it has no pods";
        let none = if has_check {
            Judgement::failed(Phase::Pods, reason)
        } else {
            Judgement::unknown(Phase::Pods, reason)
        };
        return none.pods(0, 0);
    }
    let updated = count(status.updated_number_scheduled);
    let old = own.iter().filter(|p| revision::is_old(context, p) && !is_terminating(p)).count();
    if updated < wanted || old > 0 {
        let on_delete = set
            .spec
            .as_ref()
            .and_then(|s| s.update_strategy.as_ref())
            .and_then(|s| s.type_.as_deref())
            == Some("OnDelete");
        let how = if on_delete && old > 0 {
            ", the others stay until somebody deletes them (updateStrategy OnDelete)"
        } else {
            ""
        };
        return progressing(format!("{updated} of {} are of the current revision{how}", pods(wanted)));
    }
    if available < wanted || (knows_pods && counted.ready < wanted) {
        let seconds = set.spec.as_ref().and_then(|s| s.min_ready_seconds);
        return progressing(short_of(ready.min(available), wanted, ready, seconds));
    }
    finish(counted, wanted)
}
