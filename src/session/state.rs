//! Where a session stands, from its record and its pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use crate::model::report::API_VERSION;
use crate::model::session::{Phases, Session, SessionState};
use crate::session::decide;
use crate::session::decide::Healing;
use crate::session::record::{Phase, Record};

/// The report on a session. `pod` is the one of the present generation.
pub(crate) fn report(record: &Record, pod: Option<&Pod>, now: Timestamp) -> Session {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let ready = containers.iter().filter(|container| container.ready).count();
    let all = pod.and_then(|pod| pod.spec.as_ref()).map_or(0, |spec| spec.containers.len());
    Session {
        api_version: API_VERSION,
        kind: "Session",
        id: record.id.clone(),
        name: record.name.clone(),
        namespace: record.namespace.clone(),
        state: of(record, pod, now),
        reason: record.reason.clone(),
        pod: pod.map(|_| record.pod()),
        pod_ip: status.and_then(|status| status.pod_ip.clone()),
        ready: format!("{ready}/{all}"),
        generation: record.generation,
        created_at: record.created,
        last_activity_at: record.last_activity,
        last_activity_by: record.stamped_by.clone(),
        idle_seconds: record.idle(now).as_secs(),
        expires_at: record.expires(),
        expires_by_age: record.expires_by_age(),
        next_pod_at: match decide::heal(record, pod, now) {
            Healing::Later(until) => Some(until),
            _ => None,
        },
        owner: record.owner.clone(),
        template: record.template.clone(),
        phases: pod.map(phases).unwrap_or_default(),
        diagnosis: None,
    }
}

/// Where a session stands.
pub(crate) fn of(record: &Record, pod: Option<&Pod>, now: Timestamp) -> SessionState {
    match record.phase {
        _ if record.is_going => return SessionState::Reaping,
        Phase::Paused => return SessionState::Paused,
        Phase::Failed => return SessionState::Failed,
        Phase::Pending if pod.is_none() && record.failures == 0 => return SessionState::Pending,
        Phase::Pending | Phase::Active => {}
    }
    let Some(pod) = pod else { return SessionState::Healing };
    match decide::heal(record, Some(pod), now) {
        _ if is_ready(pod) => SessionState::Ready,
        Healing::No if decide::is_done(pod) => SessionState::Ended,
        Healing::No if !is_scheduled(pod) => SessionState::Pending,
        Healing::No if has_run(pod) => SessionState::NotReady,
        Healing::No => SessionState::Starting,
        _ => SessionState::Healing,
    }
}

/// Whether the pod is ready and stays.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && time(pod, "Ready").is_some()
}

/// Whether the pod has a node.
pub(crate) fn is_scheduled(pod: &Pod) -> bool {
    time(pod, "PodScheduled").is_some()
}

/// Whether all containers of the pod run.
pub(crate) fn has_started(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default();
    let runs = |container: &ContainerStatus| container.state.as_ref().is_some_and(|state| state.running.is_some());
    !statuses.is_empty() && statuses.iter().all(runs)
}

/// Whether it is past its start: each container started, or one ended.
fn has_run(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    statuses.is_some_and(|statuses| statuses.iter().any(has_ended) || statuses.iter().all(|container| container.started == Some(true)))
}

fn has_ended(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    container.restart_count > 0 || state.is_some_and(|state| state.terminated.is_some())
}

/// Whether the pod says that something keeps it from starting: no node takes it, or a container waits for what it cannot get, or ended.
pub(crate) fn shows_trouble(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let is_refused = |condition: &PodCondition| condition.type_ == "PodScheduled" && condition.status == "False";
    let waits = |container: &ContainerStatus| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
        container.restart_count > 0 || reason.is_some_and(|reason| !matches!(reason, "ContainerCreating" | "PodInitializing"))
    };
    status.conditions.iter().flatten().any(is_refused)
        || status.init_container_statuses.iter().flatten().any(waits)
        || status
            .container_statuses
            .iter()
            .flatten()
            .any(|container| waits(container) || has_ended(container))
}

/// Since when a condition is true.
fn time(pod: &Pod, kind: &str) -> Option<Timestamp> {
    let is_met = |condition: &&PodCondition| condition.type_ == kind && condition.status == "True";
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    Some(conditions.iter().find(is_met)?.last_transition_time.as_ref()?.0)
}

/// How long the steps took, by the times of the pod's conditions: whole seconds.
fn phases(pod: &Pod) -> Phases {
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let scheduled = time(pod, "PodScheduled");
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let starts = statuses.unwrap_or_default().iter().map(|container| {
        let running = container.state.as_ref()?.running.as_ref()?;
        running.started_at.as_ref().map(|time| time.0)
    });
    let started = starts.collect::<Option<Vec<_>>>().and_then(|starts| starts.into_iter().max());
    let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.duration_since(from?).as_secs_f64().max(0.0));
    Phases {
        accepted_seconds: None,
        scheduled_seconds: between(created, scheduled),
        pulled_seconds: None,
        started_seconds: between(scheduled, started),
        ready_seconds: between(started, time(pod, "Ready")),
    }
}
