//! Deployments and ReplicaSets.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::ResourceExt;

use super::judge::Plan;
use super::judgement::{Judgement, count, pods};
use super::pod::{self, Count};
use super::revision;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::Phase;
use crate::model::text::shorten;
use crate::rules::context::{Context, has_ended, is_terminating};

/// Whether a Deployment runs its current template, and nothing else, with all pods available.
///
/// Its conditions decide one thing only, that the roll-out of *this* template has run out of time: a condition is kept from one revision to
/// the next until something changes (`deployment/progress.go`), so that it speaks for the current one only where it names its ReplicaSet.
pub(super) fn deployment(context: &Context<'_>, deployment: &Deployment, plan: &Plan, has_check: bool) -> Judgement {
    let spec = deployment.spec.as_ref();
    let wanted = count(spec.and_then(|s| s.replicas).or(Some(1)));
    let Some(status) = deployment.status.as_ref().filter(|s| s.observed_generation.is_some()) else {
        return Judgement::progressing(Phase::Pods, "its controller has not seen it yet").pods(0, wanted);
    };
    let namespace = deployment.namespace().unwrap_or_default();
    let seen = status.observed_generation >= deployment.metadata.generation;
    let set = revision::replica_set(context, deployment);
    let knows_pods = context.snapshot.is_complete(&kind::POD, &namespace) && set.is_some();
    let all = context
        .workload(&ObjectRef::new(&kind::DEPLOYMENT, &namespace, &deployment.name_any()))
        .map(|w| w.pods.clone())
        .unwrap_or_default();
    let owner = set.map(|s| ObjectRef::new(&kind::REPLICA_SET, &namespace, &s.name_any()));
    let (current, old): (Vec<&Pod>, Vec<&Pod>) = all
        .into_iter()
        .partition(|p| owner.as_ref().is_none_or(|owner| revision::is_of(p, owner)));
    let counted = pod::count(context, current.iter().copied().filter(|p| !has_ended(p)));
    let updated = count(status.updated_replicas);
    let ready = if knows_pods {
        counted.ready
    } else {
        count(status.available_replicas)
    };
    let judged = |judgement: Judgement| judgement.pods(ready.min(wanted), wanted).blocking(counted.blocking.clone());
    let progressing = |reason: String| judged(Judgement::progressing(Phase::Pods, reason));

    if !seen {
        return progressing("its controller has not seen the last change yet".to_owned());
    }
    let complete = updated >= wanted && count(status.replicas) <= updated;
    if spec.and_then(|s| s.paused) == Some(true) && (set.is_none() || !complete) {
        return judged(Judgement::suspended(
            Phase::Pods,
            "it is paused: its last change is not rolled out until it is resumed",
        ));
    }
    if wanted == 0 {
        return scaled_to_zero(has_check, count(status.replicas));
    }
    if let Some(reason) = out_of_time(deployment, set) {
        return judged(Judgement::overdue(Phase::Pods, reason));
    }
    if updated < wanted {
        let refused = set.and_then(refusal).map(|why| format!(": {why}")).unwrap_or_default();
        return progressing(format!("{updated} of {} of the current revision exist{refused}", pods(wanted)));
    }
    if !complete {
        return progressing(format!(
            "{} of older revisions are still there",
            pods(count(status.replicas) - updated)
        ));
    }
    if count(status.available_replicas) < wanted || (knows_pods && counted.ready < wanted) {
        let available = ready.min(count(status.available_replicas));
        return progressing(short_of(available, wanted, ready, spec.and_then(|s| s.min_ready_seconds)));
    }
    let old: Vec<&Pod> = old.into_iter().filter(|p| !has_ended(p)).collect();
    if old.iter().any(|p| !is_terminating(p)) || (plan.old_gone && !old.is_empty()) {
        return progressing(format!("{} of older revisions are still there", pods(old.len())));
    }
    finish(counted, wanted)
}

/// `2 of 3 available`, and what the ready ones wait for.
pub(super) fn short_of(available: usize, wanted: usize, ready: usize, min_ready_seconds: Option<i32>) -> String {
    match min_ready_seconds.filter(|s| *s > 0 && ready > available) {
        Some(seconds) => format!("{available} of {} available, others must stay ready for {seconds} s", pods(wanted)),
        None => format!("{available} of {} ready", pods(wanted)),
    }
}

/// Ready, unless the word of some pods is not to be believed.
pub(super) fn finish(counted: Count, wanted: usize) -> Judgement {
    let ready = counted.ready.min(wanted);
    match counted.unproven {
        Some(why) => Judgement::unknown(Phase::Pods, why).pods(ready, wanted),
        None => Judgement::ready(Phase::Pods, format!("{wanted} of {} ready", pods(wanted))).pods(wanted, wanted),
    }
}

/// Nothing runs, as it was asked for; where something is to answer, nobody will.
pub(super) fn scaled_to_zero(has_check: bool, still: usize) -> Judgement {
    if has_check {
        Judgement::suspended(Phase::Pods, "it is scaled to zero: nobody will answer").pods(0, 0)
    } else if still > 0 {
        Judgement::progressing(Phase::Pods, format!("it is scaled to zero, {} still there", pods(still))).pods(0, 0)
    } else {
        Judgement::ready(Phase::Pods, "it is scaled to zero").pods(0, 0)
    }
}

fn out_of_time(deployment: &Deployment, set: Option<&ReplicaSet>) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == "Progressing" && c.status == "False")?;
    if condition.reason.as_deref() != Some("ProgressDeadlineExceeded") {
        return None;
    }
    // `ReplicaSet "web-7c9f8" has timed out progressing.`
    let names_current = condition
        .message
        .as_deref()
        .unwrap_or_default()
        .contains(&format!("{:?}", set?.name_any()));
    let seconds = deployment.spec.as_ref().and_then(|s| s.progress_deadline_seconds).unwrap_or(600);
    names_current.then(|| format!("its roll-out has made no progress within {seconds} s"))
}

/// Why the current ReplicaSet cannot make pods.
fn refusal(set: &ReplicaSet) -> Option<String> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    Some(shorten(condition.message.as_deref().unwrap_or_default(), 160))
}

/// What a ReplicaSet and a ReplicationController say alike, by types of their own.
macro_rules! numbers {
    ($set:expr) => {{
        let (spec, status) = ($set.spec.as_ref(), $set.status.as_ref());
        Numbers {
            wanted: count(spec.and_then(|s| s.replicas).or(Some(1))),
            replicas: count(status.map(|s| s.replicas)),
            available: count(status.and_then(|s| s.available_replicas)),
            seen: status.is_some_and(|s| s.observed_generation.is_some() && s.observed_generation >= $set.metadata.generation),
            min_ready_seconds: spec.and_then(|s| s.min_ready_seconds),
        }
    }};
}

/// Whether a ReplicaSet that nothing controls has all its pods.
pub(super) fn replica_set(context: &Context<'_>, set: &ReplicaSet, has_check: bool) -> Judgement {
    let numbers = numbers!(set);
    let reference = ObjectRef::new(&kind::REPLICA_SET, &set.namespace().unwrap_or_default(), &set.name_any());
    plain(context, &reference, &numbers, refusal(set), has_check)
}

/// Whether a ReplicationController has all its pods.
pub(super) fn replication_controller(context: &Context<'_>, set: &ReplicationController, has_check: bool) -> Judgement {
    let numbers = numbers!(set);
    let reference = ObjectRef::new(&kind::REPLICATION_CONTROLLER, &set.namespace().unwrap_or_default(), &set.name_any());
    plain(context, &reference, &numbers, None, has_check)
}

struct Numbers {
    wanted: usize,
    replicas: usize,
    available: usize,
    seen: bool,
    min_ready_seconds: Option<i32>,
}

fn plain(context: &Context<'_>, reference: &ObjectRef, numbers: &Numbers, refusal: Option<String>, has_check: bool) -> Judgement {
    let wanted = numbers.wanted;
    let counted = pod::count(context, revision::living(context, reference));
    let knows_pods = context.snapshot.is_complete(&kind::POD, &reference.namespace);
    let ready = if knows_pods { counted.ready } else { numbers.available };
    let progressing = |reason: String| {
        Judgement::progressing(Phase::Pods, reason)
            .pods(ready.min(wanted), wanted)
            .blocking(counted.blocking.clone())
    };
    if !numbers.seen {
        return progressing("its controller has not seen the last change yet".to_owned());
    }
    if wanted == 0 {
        return scaled_to_zero(has_check, numbers.replicas);
    }
    if numbers.replicas < wanted {
        let refused = refusal.map(|why| format!(": {why}")).unwrap_or_default();
        return progressing(format!("{} of {} exist{refused}", numbers.replicas, pods(wanted)));
    }
    if numbers.available < wanted || (knows_pods && counted.ready < wanted) {
        return progressing(short_of(ready.min(numbers.available), wanted, ready, numbers.min_ready_seconds));
    }
    finish(counted, wanted)
}
