//! Whether one pod is ready, and the most telling reason why it is not.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, PodCondition};
use kube::ResourceExt;

use super::judgement::Judgement;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::{BlockingPod, Phase, State};
use crate::model::snapshot::Presence;
use crate::model::text::{sanitise, shorten};
use crate::rules::context::{ContainerView, Context, Role, condition, containers, is_terminating, phase};
use crate::rules::probes::message::Which;
use crate::rules::{Need, probes};

/// Reasons with which GKE's controller turns its readiness gate to True although no health check has passed
/// (ingress-gce, `pkg/neg/readiness`).
const UNPROVEN_GATES: [&str; 2] = ["LoadBalancerNegTimeout", "LoadBalancerNegWithoutHealthCheck"];

/// Whether a pod is ready: its own word, unless something else shows that it is out of date.
pub fn judge(context: &Context<'_>, pod: &Pod) -> Judgement {
    let progressing = |reason: String| Judgement::progressing(Phase::Pods, reason);
    if is_terminating(pod) {
        return progressing("is being deleted".to_owned());
    }
    match phase(pod) {
        "Failed" => return Judgement::failed(Phase::Pods, failure(pod)),
        "Succeeded" => return Judgement::ready(Phase::Pods, "has ended well"),
        _ => {}
    }
    if let Some(reason) = lost_node(context, pod) {
        return progressing(reason);
    }
    if let Some(reason) = unready(context, pod) {
        return progressing(reason);
    }
    match unproven_gate(pod) {
        Some(gate) => Judgement::unknown(
            Phase::Pods,
            format!(
                "readiness gate {} turned True without a health check ({})",
                gate.type_,
                gate.reason.as_deref().unwrap_or_default()
            ),
        ),
        None => Judgement::ready(Phase::Pods, ""),
    }
}

/// Pods and how they stand.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub ready: usize,
    /// Why some of the ready ones cannot be believed.
    pub unproven: Option<String>,
    pub blocking: Vec<BlockingPod>,
}

/// Counts the ready ones of these pods, and says why the others are not.
pub(super) fn count<'p>(context: &Context<'_>, pods: impl Iterator<Item = &'p Pod>) -> Count {
    let mut count = Count::default();
    for pod in pods {
        let judged = judge(context, pod);
        match judged.state {
            State::Ready if phase(pod) != "Succeeded" => count.ready += 1,
            State::Unknown => {
                count.ready += 1;
                count.unproven.get_or_insert(format!("pod {}: {}", pod.name_any(), judged.reason));
            }
            _ => count.blocking.push(BlockingPod {
                pod: sanitise(&pod.name_any()),
                reason: judged.reason,
            }),
        }
    }
    count
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

/// A node that reports nothing any more: its pods keep the last word that they had. Nodes count where they could be read.
fn lost_node(context: &Context<'_>, pod: &Pod) -> Option<String> {
    let name = pod.spec.as_ref()?.node_name.as_deref().filter(|n| !n.is_empty())?;
    let Some(node) = context.snapshot.objects.nodes.iter().find(|n| n.name_any() == name) else {
        let absent = context.snapshot.presence(&kind::NODE, "", name) == Presence::Absent;
        if !absent {
            context.need(Need::Object(ObjectRef::new(&kind::NODE, "", name)));
        }
        return absent.then(|| format!("its node {name} does not exist any more"));
    };
    let ready = node_condition(node)?;
    (ready.status != "True").then(|| {
        format!(
            "its node {name} is not ready: {}",
            ready.reason.as_deref().unwrap_or("it does not report")
        )
    })
}

fn node_condition(node: &Node) -> Option<&NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == "Ready")
}

/// Whether a node reports that it is ready, or reports nothing about it.
pub(super) fn node_is_ready(node: &Node) -> bool {
    node_condition(node).is_none_or(|c| c.status == "True")
}

/// Whether a node is ready: its own word is what pods on it rest on.
pub(super) fn node(node: &Node) -> Judgement {
    match node_condition(node) {
        Some(c) if c.status == "True" => Judgement::ready(Phase::Infrastructure, "takes pods"),
        Some(c) => {
            let why = format!(
                "{}: {}",
                c.reason.as_deref().unwrap_or_default(),
                c.message.as_deref().unwrap_or_default()
            );
            Judgement::progressing(Phase::Infrastructure, format!("is not ready: {}", shorten(&why, 120)))
        }
        None => Judgement::progressing(Phase::Infrastructure, "has not reported yet"),
    }
}

/// Why a pod that lives is not ready; none where it is.
fn unready(context: &Context<'_>, pod: &Pod) -> Option<String> {
    if let Some((status, reason, message)) = condition(pod, "PodScheduled")
        && status != "True"
    {
        return Some(match reason {
            "SchedulingGated" => "waits for its scheduling gates".to_owned(),
            _ if message.is_empty() => "is not scheduled yet".to_owned(),
            _ => format!("is not scheduled: {}", shorten(message, 120)),
        });
    }
    let views = containers(pod);
    for container in &views {
        let why = match container.role {
            Role::Init => init(container),
            Role::App | Role::Sidecar => running(context, container),
        };
        // A container that waits for those before it says nothing of its own.
        if let Some(why) = why {
            let role = if container.role == Role::App {
                "container"
            } else {
                "init container"
            };
            return Some(format!("{role} {}: {why}", container.name()));
        }
    }
    let gate_is_open = |gate: &str| condition(pod, gate).is_some_and(|(status, ..)| status == "True");
    let gates = pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    if let Some(closed) = gates.map(|g| g.condition_type.as_str()).find(|gate| !gate_is_open(gate)) {
        let why = condition(pod, closed).map(|(_, reason, message)| shorten(&format!("{reason} {message}"), 120));
        let why = why.filter(|w| !w.is_empty()).map(|w| format!(": {w}")).unwrap_or_default();
        return Some(format!("readiness gate {closed} is not True{why}"));
    }
    match condition(pod, "Ready") {
        Some(("True", ..)) => None,
        Some((_, reason, message)) => Some(format!("is not ready: {}", shorten(&format!("{reason} {message}"), 120))),
        None => Some("has not started yet".to_owned()),
    }
}

fn init(container: &ContainerView<'_>) -> Option<String> {
    if let Some(end) = container.terminated() {
        return (end.exit_code != 0).then(|| format!("ended with code {}", end.exit_code));
    }
    match container.waiting() {
        Some((reason, message)) => Some(waits(reason, message)),
        None if container.is_running() => Some("runs".to_owned()),
        None => Some("has not started yet".to_owned()),
    }
}

fn running(context: &Context<'_>, container: &ContainerView<'_>) -> Option<String> {
    if let Some(end) = container.terminated() {
        let why = end.reason.as_deref().filter(|r| !matches!(*r, "Error" | "Completed"));
        return Some(match why {
            Some(why) => format!("ended with code {} ({why})", end.exit_code),
            None => format!("ended with code {}", end.exit_code),
        });
    }
    if let Some((reason, message)) = container.waiting() {
        return Some(waits(reason, message));
    }
    if !container.is_running() {
        return Some("has not started yet".to_owned());
    }
    if container.is_ready() {
        return None;
    }
    let probes = [
        (container.spec.startup_probe.is_some() && !container.is_started(), Which::Startup),
        (container.spec.readiness_probe.is_some(), Which::Readiness),
    ];
    Some(match probes.iter().find(|(is, _)| *is) {
        Some((_, probe)) => {
            let says = probes::last_word(context, container, *probe).map(|says| format!(": {says}"));
            format!("does not pass its {} probe{}", probe.word(), says.unwrap_or_default())
        }
        None => "is not ready".to_owned(),
    })
}

fn waits(reason: &str, message: &str) -> String {
    match reason {
        "" => "waits".to_owned(),
        "ContainerCreating" | "PodInitializing" => "is being made".to_owned(),
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

fn unproven_gate(pod: &Pod) -> Option<&PodCondition> {
    let gates: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|s| s.readiness_gates.iter().flatten())
        .map(|g| g.condition_type.as_str())
        .collect();
    let mut conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.find(|c| gates.contains(&c.type_.as_str()) && UNPROVEN_GATES.contains(&c.reason.as_deref().unwrap_or_default()))
}
