//! Roll-outs that do not move: past their deadline, paused, or waiting for someone to delete pods.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};

use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, Fix, Severity, Subject};
use crate::model::kind::{self, Kind};
use crate::model::text::shorten;
use crate::rules::context::{WorkloadObject, controller, has_ended, is_terminating, reference_of, revision as revision_of};
use crate::rules::{Context, revision};

/// Deployments, StatefulSets and DaemonSets.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in context.workloads() {
        match workload.object {
            Some(WorkloadObject::Deployment(deployment)) => {
                found.extend(stuck(context, deployment));
                found.extend(paused(context, deployment));
            }
            Some(WorkloadObject::StatefulSet(set)) => found.extend(stateful_set_on_delete(context, set)),
            Some(WorkloadObject::DaemonSet(set)) => found.extend(daemon_set_on_delete(set)),
            _ => {}
        }
    }
    found
}

fn stuck(context: &Context<'_>, deployment: &Deployment) -> Option<Finding> {
    let status = deployment.status.as_ref()?;
    let condition = revision::missed_deadline(deployment)?;
    let reference = reference_of(&kind::DEPLOYMENT, &deployment.metadata);
    let since = context.age_of(condition.last_transition_time.as_ref()).map(age::short);
    let updated = status.updated_replicas.unwrap_or(0);
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let deadline = deployment.spec.as_ref().and_then(|s| s.progress_deadline_seconds).unwrap_or(600);
    let workload = context.workload(&reference);
    let half_way = workload.and_then(|workload| revision::half_way(context, workload));
    let summary = match &half_way {
        Some(half_way) => format!("the roll-out has made no progress within {deadline} s: {}", half_way.words()),
        None => format!(
            "the roll-out has made no progress within {deadline} s: {updated} of {wanted} pods are of the new revision, {} are available",
            status.available_replicas.unwrap_or(0)
        ),
    };
    let undo = half_way.and_then(|half_way| half_way.undo(workload?)).unwrap_or_else(|| Fix {
        text: "mend the cause, or go back to the revision before".to_owned(),
        command: Some(format!("kubectl rollout undo {} -n {}", reference.short(), reference.namespace)),
    });
    let mut finding = Finding::symptom(Code::RolloutStuck, "", Subject::of(reference.clone()), summary)
        .evidence(
            format!("{} condition Progressing", reference.short()),
            format!(
                "ProgressDeadlineExceeded{}: {}",
                since.map(|s| format!(" since {s}")).unwrap_or_default(),
                shorten(condition.message.as_deref().unwrap_or_default(), 160)
            ),
        )
        .suffering(Effect::NotReady(reference));
    finding.fixes.push(undo);
    Some(finding)
}

fn paused(context: &Context<'_>, deployment: &Deployment) -> Option<Finding> {
    let spec = deployment.spec.as_ref()?;
    if spec.paused != Some(true) || spec.replicas == Some(0) {
        return None;
    }
    let reference = reference_of(&kind::DEPLOYMENT, &deployment.metadata);
    // Without a status (a manifest) only the setting is known.
    let status = deployment.status.as_ref();
    let seen = status.filter(|s| s.observed_generation.is_some());
    let has_pods = seen.is_none_or(|s| s.replicas.unwrap_or(0) > 0);
    let waits = seen.is_some_and(|s| s.updated_replicas.unwrap_or(0) == 0);
    let what = match (waits, has_pods) {
        (true, false) if has_no_set(context, deployment) => "so it has never made any pod",
        (true, false) => "and has no pods",
        (true, true) => "and its newest change waits: the pods are those of an older revision",
        _ => "so changes of its template have no effect until it is resumed",
    };
    let finding = Finding::error(
        Code::RolloutPaused,
        "",
        Subject::of(reference.clone()),
        format!("the roll-out of {} is paused, {what}", reference.short()),
    )
    .severity(if waits { Severity::Error } else { Severity::Advice })
    .evidence("spec", "paused: true")
    .fix_command(
        "resume it",
        format!("kubectl rollout resume {} -n {}", reference.short(), reference.namespace),
    );
    Some(if has_pods {
        finding
    } else {
        finding.breaking(Effect::NotReady(reference))
    })
}

/// Whether the controller has not even made a ReplicaSet; a list that may lack some proves nothing.
fn has_no_set(context: &Context<'_>, deployment: &Deployment) -> bool {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let is_owned = |set: &ReplicaSet| {
        set.metadata.namespace == deployment.metadata.namespace
            && controller(&set.metadata)
                .is_some_and(|owner| owner.kind == "Deployment" && Some(&owner.name) == deployment.metadata.name.as_ref())
    };
    context.snapshot.is_complete(&kind::REPLICA_SET, namespace) && !context.snapshot.objects.replica_sets.iter().any(is_owned)
}

fn on_delete(kind: &Kind, metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta, old: usize, detail: String) -> Finding {
    let reference = reference_of(kind, metadata);
    let selector = format!("kubectl delete pod -n {} <pod>", reference.namespace);
    Finding::error(
        Code::UpdateOnDelete,
        "",
        Subject::of(reference.clone()),
        format!(
            "a change of {} waits: its update strategy is OnDelete, and {old} pods still run the older revision until someone deletes them",
            reference.short()
        ),
    )
    .evidence(format!("{} status", reference.short()), detail)
    .fix_command("delete the old pods one by one", selector)
    .fix_command(
        "or set updateStrategy.type to RollingUpdate",
        format!("kubectl edit {} -n {}", reference.short(), reference.namespace),
    )
}

fn stateful_set_on_delete(context: &Context<'_>, set: &StatefulSet) -> Option<Finding> {
    let strategy = set.spec.as_ref()?.update_strategy.as_ref()?;
    let wanted = set.status.as_ref()?.update_revision.as_deref()?;
    if strategy.type_.as_deref() != Some("OnDelete") {
        return None;
    }
    let reference = reference_of(&kind::STATEFUL_SET, &set.metadata);
    let pods = &context.workload(&reference)?.pods;
    let old = pods
        .iter()
        .filter(|p| !has_ended(p) && !is_terminating(p) && !revision_of(p).is_empty() && revision_of(p) != wanted)
        .count();
    (old > 0).then(|| {
        on_delete(
            &kind::STATEFUL_SET,
            &set.metadata,
            old,
            format!("updateRevision {wanted}, {old} pods of another revision"),
        )
    })
}

fn daemon_set_on_delete(set: &DaemonSet) -> Option<Finding> {
    let strategy = set.spec.as_ref()?.update_strategy.as_ref()?;
    let status = set.status.as_ref()?;
    if strategy.type_.as_deref() != Some("OnDelete") || status.observed_generation != set.metadata.generation {
        return None;
    }
    let (updated, current) = (status.updated_number_scheduled.unwrap_or(0), status.current_number_scheduled);
    let old = usize::try_from(current - updated).unwrap_or_default();
    (old > 0).then(|| {
        on_delete(
            &kind::DAEMON_SET,
            &set.metadata,
            old,
            format!("updatedNumberScheduled {updated} of currentNumberScheduled {current}"),
        )
    })
}
