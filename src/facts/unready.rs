//! Why a pod is not ready, in a few words.

use k8s_openapi::api::core::v1::Pod;

use crate::facts::probe;
use crate::facts::probe::Which;
use crate::text::shorten;
use crate::view::rollout::PodState;
use crate::view::rollout::pod::node_condition;
use crate::view::{ContainerView, Role, View, condition, containers};

/// Why a pod is not ready, in a few words.
pub(crate) fn reason(view: &View<'_>, pod: &Pod, state: &PodState<'_>) -> String {
    match state {
        PodState::Ready => String::new(),
        PodState::Succeeded => "has completed".to_owned(),
        PodState::Deleted => "is being deleted".to_owned(),
        PodState::Old => "is of an older revision".to_owned(),
        PodState::Failed => failure(pod),
        PodState::Unproven(gate) => format!(
            "readiness gate {} turned True without a health check ({})",
            gate.type_,
            gate.reason.as_deref().unwrap_or_default()
        ),
        PodState::NodeGone(name) => format!("its node {name} does not exist any more"),
        PodState::NodeNotReady(node, name) => {
            let why = node_condition(node).and_then(|c| c.reason.as_deref());
            format!("its node {name} is not ready: {}", why.unwrap_or("it does not report"))
        }
        PodState::Unscheduled("SchedulingGated", _) => {
            let gates = pod.spec.iter().flat_map(|spec| spec.scheduling_gates.iter().flatten());
            let names: Vec<&str> = gates.map(|gate| gate.name.as_str()).collect();
            format!("waits for its scheduling gates ({})", names.join(", "))
        }
        PodState::Unscheduled(_, "") => "is not scheduled yet".to_owned(),
        PodState::Unscheduled(_, message) => format!("is not scheduled: {}", shorten(message, 120)),
        PodState::Held(container) => {
            let (role, why) = match container.role {
                Role::App => ("container", running(view, container)),
                Role::Sidecar => ("init container", running(view, container)),
                Role::Init => ("init container", init(view, container)),
            };
            format!("{role} {}: {why}", container.name())
        }
        PodState::GateClosed(gate) => {
            let why = condition(pod, gate).map(|(_, reason, message)| shorten(&format!("{reason} {message}"), 120));
            let why = why.filter(|w| !w.is_empty()).map(|w| format!(": {w}")).unwrap_or_default();
            format!("readiness gate {gate} is not True{why}")
        }
        PodState::NotReady(reason, message) => format!("is not ready: {}", shorten(&format!("{reason} {message}"), 120)),
        PodState::Silent => "has not started yet".to_owned(),
    }
}

fn failure(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let text = |field: Option<&String>| field.map(String::as_str).unwrap_or_default().to_owned();
    let reason = text(status.and_then(|s| s.reason.as_ref()));
    let message = text(status.and_then(|s| s.message.as_ref()));
    let ended = containers(pod).iter().find_map(|c| {
        c.terminated()
            .filter(|t| t.exit_code != 0)
            .map(|t| format!("container {} ended with code {}", c.name(), t.exit_code))
    });
    match (reason.as_str(), ended) {
        ("", Some(ended)) => format!("has failed: {ended}"),
        ("", None) => "has failed".to_owned(),
        (reason, _) => format!("has failed ({reason}) {}", shorten(&message, 120)).trim_end().to_owned(),
    }
}

fn init(view: &View<'_>, container: &ContainerView<'_>) -> String {
    if let Some(end) = container.terminated() {
        return format!("ended with code {}", end.exit_code);
    }
    match container.waiting() {
        Some((reason, message)) => waits(view, container, reason, message),
        None if container.is_running() => "runs".to_owned(),
        None => "has not started yet".to_owned(),
    }
}

fn running(view: &View<'_>, container: &ContainerView<'_>) -> String {
    if let Some(end) = container.terminated() {
        let why = end.reason.as_deref().filter(|r| !matches!(*r, "Error" | "Completed"));
        return match why {
            Some(why) => format!("ended with code {} ({why})", end.exit_code),
            None => format!("ended with code {}", end.exit_code),
        };
    }
    if let Some((reason, message)) = container.waiting() {
        return waits(view, container, reason, message);
    }
    if !container.is_running() {
        return "has not started yet".to_owned();
    }
    let probes = [
        (container.spec.startup_probe.is_some() && !container.is_started(), Which::Startup),
        (container.spec.readiness_probe.is_some(), Which::Readiness),
    ];
    match probes.iter().find(|(is, _)| *is) {
        Some((_, which)) => {
            let says = probe::last_word(view, container, *which).map(|says| format!(": {says}"));
            format!("does not pass its {} probe{}", which.word(), says.unwrap_or_default())
        }
        None => "is not ready".to_owned(),
    }
}

fn waits(view: &View<'_>, container: &ContainerView<'_>, reason: &str, message: &str) -> String {
    match reason {
        "" => "waits".to_owned(),
        "ContainerCreating" | "PodInitializing" => {
            let events = view.pod_events(container.pod);
            let newest = events.iter().find(|event| event.container() == Some(container.name()));
            match newest.filter(|event| event.reason() == "Pulling") {
                Some(_) => format!("pulls image {}", container.spec.image.as_deref().unwrap_or_default()),
                None => "is being created".to_owned(),
            }
        }
        _ => {
            // The kubelet's back-off text repeats the reason and adds a number that changes.
            let message = if message.starts_with("back-off ") || message.starts_with("Back-off ") {
                String::new()
            } else {
                shorten(message, 120)
            };
            format!("{reason} {message}").trim_end().to_owned()
        }
    }
}
