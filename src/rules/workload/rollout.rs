//! Roll-outs that do not move: past their deadline, paused, or waiting for someone to delete pods.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use kube::ResourceExt;

use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, Fix, ObjectRef, Severity, Subject};
use crate::model::{age, kind};
use crate::text::{command, shorten};
use crate::view::{View, WorkloadObject, controller, has_ended, is_terminating, reference_of, revision, revision as revision_of};

/// Deployments, StatefulSets and DaemonSets.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in view.workloads() {
        match workload.object {
            Some(WorkloadObject::Deployment(deployment)) => {
                found.extend(stuck(view, deployment));
                found.extend(paused(view, deployment));
            }
            Some(WorkloadObject::StatefulSet(set)) => found.extend(stateful_set_on_delete(view, set)),
            Some(WorkloadObject::DaemonSet(set)) => found.extend(daemon_set_on_delete(view, set)),
            _ => {}
        }
    }
    found
}

fn stuck(view: &View<'_>, deployment: &Deployment) -> Option<Finding> {
    let status = deployment.status.as_ref()?;
    let condition = revision::missed_deadline(deployment)?;
    let reference = reference_of(&kind::DEPLOYMENT, &deployment.metadata);
    let since = view.age_of(condition.last_transition_time.as_ref()).map(age::short);
    let updated = status.updated_replicas.unwrap_or(0);
    let wanted = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    let deadline = deployment.spec.as_ref().and_then(|s| s.progress_deadline_seconds).unwrap_or(600);
    let workload = view.workload(&reference);
    let half_way = workload.and_then(|workload| revision::half_way(view, workload));
    let summary = match &half_way {
        Some(half_way) => format!("the rollout has made no progress within {deadline} s: {}", half_way.words()),
        None => format!(
            "the rollout has made no progress within {deadline} s: {updated} of {wanted} pods are of the new revision, {} are available",
            status.available_replicas.unwrap_or(0)
        ),
    };
    let undo = half_way.and_then(|half_way| half_way.undo(workload?)).or_else(|| {
        revision::has_older(view, deployment).then(|| {
            Fix::command(
                "fix the cause, or go back to the previous revision",
                command("kubectl rollout undo {} -n {}", &[&reference.short(), &reference.namespace]),
            )
        })
    });
    let mut finding = Finding::symptom(Code::RolloutStuck, Subject::of(reference.clone()), summary)
        .evidence(
            format!("{} condition Progressing", reference.short()),
            format!(
                "ProgressDeadlineExceeded{}: {}",
                since.map(|s| format!(" since {s}")).unwrap_or_default(),
                shorten(condition.message.as_deref().unwrap_or_default(), 160)
            ),
        )
        .suffering(Effect::NotReady(reference.clone()));
    finding.fixes.extend(undo);
    Some(match finding.fixes.is_empty() {
        true => finding.fix_command(
            "fix what keeps its pods from being available: there is no older revision to go back to",
            command("kubectl describe {} -n {}", &[&reference.short(), &reference.namespace]),
        ),
        false => finding,
    })
}

fn paused(view: &View<'_>, deployment: &Deployment) -> Option<Finding> {
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
        (true, false) if has_no_set(view, deployment) => "so it has never made any pod",
        (true, false) => "and has no pods",
        (true, true) => "and its newest change waits: the pods are those of an older revision",
        _ => "so changes of its template have no effect until it is resumed",
    };
    let finding = Finding::error(
        Code::RolloutPaused,
        Subject::of(reference.clone()),
        format!("the rollout of {} is paused, {what}", reference.short()),
    )
    .severity(if waits { Severity::Error } else { Severity::Advice })
    .evidence("spec", "paused: true")
    .fix_command(
        "resume it",
        command("kubectl rollout resume {} -n {}", &[&reference.short(), &reference.namespace]),
    );
    Some(if has_pods {
        finding
    } else {
        finding.breaking(Effect::NotReady(reference))
    })
}

/// Whether the controller has not even made a ReplicaSet; a list that may lack some proves nothing.
fn has_no_set(view: &View<'_>, deployment: &Deployment) -> bool {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let is_owned = |set: &ReplicaSet| {
        set.metadata.namespace == deployment.metadata.namespace
            && controller(&set.metadata)
                .is_some_and(|owner| owner.kind == "Deployment" && Some(&owner.name) == deployment.metadata.name.as_ref())
    };
    view.snapshot.is_complete(&kind::REPLICA_SET, namespace) && !view.snapshot.objects.replica_sets.iter().any(is_owned)
}

/// `oldest`: one of the pods of an older revision.
fn on_delete(reference: ObjectRef, old: usize, oldest: &str, detail: String) -> Finding {
    let delete = command("kubectl delete pod {} -n {}", &[&oldest, &reference.namespace]);
    let edit = command("kubectl edit {} -n {}", &[&reference.short(), &reference.namespace]);
    Finding::error(
        Code::UpdateOnDelete,
        Subject::of(reference.clone()),
        format!(
            "a change of {} waits: its update strategy is OnDelete, and {old} pods still run the older revision until someone deletes them",
            reference.short()
        ),
    )
    .evidence(format!("{} status", reference.short()), detail)
    .fix_command("delete the old pods one by one", delete)
    .fix_command("or set updateStrategy.type to RollingUpdate", edit)
}

fn stateful_set_on_delete(view: &View<'_>, set: &StatefulSet) -> Option<Finding> {
    let strategy = set.spec.as_ref()?.update_strategy.as_ref()?;
    let wanted = set.status.as_ref()?.update_revision.as_deref()?;
    if strategy.type_.as_deref() != Some("OnDelete") {
        return None;
    }
    let reference = reference_of(&kind::STATEFUL_SET, &set.metadata);
    let pods = view.workload(&reference)?.pods.iter();
    let old: Vec<_> = pods
        .filter(|p| !has_ended(p) && !is_terminating(p) && !revision_of(p).is_empty() && revision_of(p) != wanted)
        .collect();
    let (count, oldest) = (old.len(), old.first()?.name_any());
    let detail = format!("updateRevision {wanted}, {count} pods of another revision");
    Some(on_delete(reference, count, &oldest, detail))
}

fn daemon_set_on_delete(view: &View<'_>, set: &DaemonSet) -> Option<Finding> {
    let strategy = set.spec.as_ref()?.update_strategy.as_ref()?;
    let status = set.status.as_ref()?;
    if strategy.type_.as_deref() != Some("OnDelete") || status.observed_generation != set.metadata.generation {
        return None;
    }
    let (updated, current) = (status.updated_number_scheduled.unwrap_or(0), status.current_number_scheduled);
    let old = usize::try_from(current - updated).unwrap_or_default();
    let reference = reference_of(&kind::DAEMON_SET, &set.metadata);
    let pods = view.workload(&reference)?.pods.iter();
    let oldest = pods.min_by_key(|pod| pod.metadata.creation_timestamp.clone())?.name_any();
    let detail = format!("updatedNumberScheduled {updated} of currentNumberScheduled {current}");
    (old > 0).then(|| on_delete(reference, old, &oldest, detail))
}
