//! Whether one pod is ready, and what it lacks.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, PodCondition};

use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::view::rollout::state::{OnDelete, PodState, Rollout, Stage, count};
use crate::view::{ContainerView, Role, View, Workload, condition, containers, has_ended, is_terminating, phase, revision};

/// Reasons with which GKE's controller turns its readiness gate to True although no health check has passed
/// (ingress-gce, `pkg/neg/readiness`).
const UNPROVEN_GATES: [&str; 2] = ["LoadBalancerNegTimeout", "LoadBalancerNegWithoutHealthCheck"];

/// The state of a pod: its own word, unless something else shows that it is out of date.
pub fn state<'a>(view: &View<'a>, pod: &'a Pod) -> PodState<'a> {
    if is_terminating(pod) {
        return PodState::Deleted;
    }
    match phase(pod) {
        "Failed" => return PodState::Failed,
        "Succeeded" => return PodState::Succeeded,
        _ => {}
    }
    lost_node(view, pod)
        .or_else(|| unready(pod))
        .unwrap_or_else(|| unproven_gate(pod).map_or(PodState::Ready, PodState::Unproven))
}

/// The rollout of a bare pod.
pub(crate) fn rollout<'a>(view: &View<'a>, pod: &'a Pod) -> Rollout<'a> {
    let state = state(view, pod);
    let stage = match state {
        PodState::Ready => Stage::Ready { kept: None },
        PodState::Unproven(_) => Stage::Unproven,
        PodState::Succeeded => Stage::Complete,
        PodState::Failed => Stage::Failed("has failed".to_owned()),
        PodState::Deleted => Stage::Deleted,
        _ => Stage::PodUnready,
    };
    let ready = usize::from(stage.is_goal());
    let mut rollout = Rollout::of(stage).with_pods(ready, 1);
    rollout.blocking.push((pod, state));
    rollout
}

/// The pods of a workload, counted.
pub(crate) struct Count<'a> {
    /// Pods that say that they are ready.
    pub(crate) ready: usize,
    /// One of them whose word proves nothing.
    pub(crate) unproven: Option<(&'a Pod, PodState<'a>)>,
    /// The others.
    pub(crate) blocking: Vec<(&'a Pod, PodState<'a>)>,
}

impl<'a> Count<'a> {
    /// Counts the ready ones of these pods.
    pub(crate) fn of(view: &View<'a>, pods: impl Iterator<Item = &'a Pod>) -> Self {
        let mut counted = Self {
            ready: 0,
            unproven: None,
            blocking: Vec::new(),
        };
        for pod in pods {
            let state = state(view, pod);
            match state {
                PodState::Ready => counted.ready += 1,
                PodState::Unproven(_) => {
                    counted.ready += 1;
                    counted.unproven.get_or_insert((pod, state));
                }
                _ => counted.blocking.push((pod, state)),
            }
        }
        counted
    }

    /// A workload that lacks nothing that its status could tell, by the word of its pods.
    pub(crate) fn finish(self, wanted: usize, kept: Option<(usize, usize)>) -> Rollout<'a> {
        match self.unproven {
            Some(unproven) => Rollout {
                blocking: vec![unproven],
                ..Rollout::of(Stage::Unproven).with_pods(self.ready, wanted)
            },
            None => Rollout::of(Stage::Ready { kept }).with_pods(wanted, wanted),
        }
    }
}

/// The numbers of a status that decide how far the pods of a workload are.
pub(crate) struct Pods<'a> {
    pub(crate) counted: Count<'a>,
    /// Whether every pod could be read; otherwise the status alone counts.
    pub(crate) is_known: bool,
    pub(crate) wanted: usize,
    pub(crate) available: usize,
    pub(crate) min_ready_seconds: Option<i32>,
}

impl<'a> Pods<'a> {
    /// Ready pods, or where the pods are not known, those that the status calls available.
    pub(crate) fn ready(&self) -> usize {
        if self.is_known { self.counted.ready } else { self.available }
    }

    /// Fewer pods are available or ready than wanted.
    pub(crate) fn short(&self) -> Option<Stage> {
        let ready = self.ready();
        let available = ready.min(self.available);
        (available < self.wanted).then(|| Stage::Unready {
            available,
            wanted: self.wanted,
            must_stay: self.min_ready_seconds.filter(|s| *s > 0 && ready > available),
        })
    }

    /// Whether old pods stay until somebody deletes them. Nobody is at work on them where each wanted pod exists and is ready or old, and none is
    /// being deleted.
    pub(crate) fn on_delete(&self, strategy: Option<&str>, old: &[&Pod]) -> OnDelete {
        let is_complete = self.is_known && self.counted.blocking.is_empty() && self.counted.ready + old.len() >= self.wanted;
        match strategy {
            Some("OnDelete") if old.is_empty() => OnDelete::No,
            Some("OnDelete") if is_complete && !old.iter().any(|pod| is_terminating(pod)) => OnDelete::Waits,
            Some("OnDelete") => OnDelete::AtWork,
            _ => OnDelete::No,
        }
    }

    /// A workload that lacks something, with its pods.
    pub(crate) fn at(self, stage: Stage) -> Rollout<'a> {
        let ready = self.ready();
        Rollout {
            blocking: self.counted.blocking,
            ..Rollout::of(stage).with_pods(ready, self.wanted)
        }
    }
}

/// The pods that a workload controls itself and that have not ended.
pub(crate) fn living<'c, 'a>(workload: Option<&'c Workload<'a>>) -> impl Iterator<Item = &'a Pod> + use<'c, 'a> {
    let own = workload.into_iter().flat_map(|w| w.pods.iter().map(move |pod| (w, *pod)));
    own.filter(|(w, pod)| revision::is_of(pod, &w.reference) && !has_ended(pod))
        .map(|(_, pod)| pod)
}

/// A node that does not report any more: its pods keep the last state that they had. Nodes count where they could be read.
fn lost_node<'a>(view: &View<'a>, pod: &'a Pod) -> Option<PodState<'a>> {
    let name = node_of(pod)?;
    let nodes = &view.snapshot.objects.nodes;
    let Some(node) = nodes.iter().find(|n| n.metadata.name.as_deref() == Some(name)) else {
        let is_gone = view.snapshot.presence(&kind::NODE, "", name) == Presence::Absent;
        return is_gone.then_some(PodState::NodeGone(name));
    };
    (!node_is_ready(node)).then_some(PodState::NodeNotReady(node, name))
}

/// The name of the node that a pod is on.
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// What a node says about being ready.
pub fn node_condition(node: &Node) -> Option<&NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == "Ready")
}

/// Whether a node reports that it is ready, or reports nothing about it.
pub fn node_is_ready(node: &Node) -> bool {
    node_condition(node).is_none_or(|c| c.status == "True")
}

/// What keeps a living pod from being ready.
fn unready(pod: &Pod) -> Option<PodState<'_>> {
    if let Some((status, reason, message)) = condition(pod, "PodScheduled")
        && status != "True"
    {
        return Some(PodState::Unscheduled(reason, message));
    }
    let ready = condition(pod, "Ready");
    let says_ready = ready.is_some_and(|(status, ..)| status == "True");
    let is_held = |container: &ContainerView<'_>| match (container.status, container.role) {
        (None, _) => !says_ready,
        (Some(_), Role::Init) => container.terminated().is_none_or(|end| end.exit_code != 0),
        (Some(_), Role::App | Role::Sidecar) => !(container.is_running() && container.is_ready()),
    };
    if let Some(held) = containers(pod).into_iter().find(is_held) {
        return Some(PodState::Held(held));
    }
    let gate_is_open = |gate: &str| condition(pod, gate).is_some_and(|(status, ..)| status == "True");
    let mut gates = pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
    if let Some(closed) = gates.find(|gate| !gate_is_open(&gate.condition_type)) {
        return Some(PodState::GateClosed(&closed.condition_type));
    }
    match ready {
        Some(("True", ..)) => None,
        Some((_, reason, message)) => Some(PodState::NotReady(reason, message)),
        None => Some(PodState::Silent),
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

/// Whether a controller has seen the newest spec; none where it has written nothing yet. An object without a generation was never in a
/// cluster: its status counts as it is.
pub(crate) fn unseen(observed: Option<i64>, generation: Option<i64>) -> Option<Stage> {
    match (observed, generation) {
        (None, Some(_)) => Some(Stage::Unseen),
        (observed, generation) => (observed < generation).then_some(Stage::Behind),
    }
}

/// What a scaled-down workload still has.
pub(crate) fn zero<'a>(left: Option<i32>) -> Rollout<'a> {
    Rollout::of(Stage::Zero(count(left))).with_pods(0, 0)
}
