//! The scheduler's words: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {…}. preemption: …`.

use k8s_openapi::api::core::v1::Pod;

use crate::model::cause::Unschedulable;
use crate::view::controller;

/// Why some nodes do not take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The variant, in the words of finding-codes.
    pub cause: Option<Unschedulable>,
    /// How many nodes say so.
    pub nodes: u32,
    /// The scheduler's words, without the count.
    pub text: String,
}

/// The reasons of a `PodScheduled` condition's message, in the order in which they are written.
pub fn parse(message: &str, pod: &Pod) -> Vec<Reason> {
    if message.starts_with("no nodes available") || message.starts_with("0/0 nodes") {
        return vec![Reason {
            cause: Some(Unschedulable::NoNodes),
            nodes: 0,
            text: "there are no nodes".to_owned(),
        }];
    }
    // What follows is about preemption, and says the same again in other words.
    let main = [" preemption:", " no new claims", ". not found"]
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .map_or(message, |end| &message[..end]);
    let list = main.split_once("nodes are available: ").map_or(main, |(_, list)| list);
    split(list.trim().trim_end_matches('.'))
        .into_iter()
        .map(|text| reason(text, pod))
        .collect()
}

/// At commas that stand before a count: taints and names may hold others.
fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = list;
    let mut from = 0;
    while let Some(comma) = rest[from..].find(", ") {
        let at = from + comma;
        let next = &rest[at + 2..];
        if next.starts_with(|c: char| c.is_ascii_digit()) {
            parts.push(&rest[..at]);
            rest = next;
            from = 0;
        } else {
            from = at + 2;
        }
    }
    parts.push(rest);
    parts.retain(|p| !p.trim().is_empty());
    parts
}

fn reason(text: &str, pod: &Pod) -> Reason {
    let (count, words) = text.split_once(' ').unwrap_or(("", text));
    let (nodes, words) = match count.parse() {
        Ok(nodes) => (nodes, words),
        Err(_) => (0, text),
    };
    Reason {
        cause: cause(words, pod),
        nodes,
        text: words.trim().trim_end_matches('.').to_owned(),
    }
}

fn cause(words: &str, pod: &Pod) -> Option<Unschedulable> {
    let has = |needle: &str| words.contains(needle);
    if let Some(resource) = words.strip_prefix("Insufficient ") {
        return Some(match resource {
            "cpu" => Unschedulable::Cpu,
            "memory" => Unschedulable::Memory,
            "ephemeral-storage" => Unschedulable::EphemeralStorage,
            "pods" => Unschedulable::PodsPerNode,
            _ => Unschedulable::ExtendedResource,
        });
    }
    Some(if has("Too many pods") {
        Unschedulable::PodsPerNode
    } else if has("node.kubernetes.io/unschedulable") || has("were unschedulable") {
        Unschedulable::Cordoned
    } else if has("untolerated taint") {
        Unschedulable::Taint
    } else if has("pod anti-affinity") || has("pods anti-affinity") {
        Unschedulable::PodAntiAffinity
    } else if has("pod affinity") {
        Unschedulable::PodAffinity
    } else if has("topology spread") {
        Unschedulable::TopologySpread
    } else if has("free ports") {
        Unschedulable::HostPort
    } else if has("resource claim")
        || has("resourceclaim")
        || has("cannot allocate all claims")
        || has("ResourceClaim")
        || has("device class ")
    {
        Unschedulable::ResourceClaim
    } else if has("olume") || has("persistentvolumeclaim") {
        Unschedulable::Volume
    } else if has("node affinity") || has("NodeAffinity") || has("node selector") {
        if asks_by_affinity(pod) {
            Unschedulable::NodeAffinity
        } else {
            Unschedulable::NodeSelector
        }
    } else if has("requested node name") {
        Unschedulable::NodeSelector
    } else {
        return None;
    })
}

fn asks_by_affinity(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let selector = spec.and_then(|s| s.node_selector.as_ref()).is_some_and(|s| !s.is_empty());
    let affinity = spec.and_then(|s| s.affinity.as_ref()).is_some_and(|a| a.node_affinity.is_some());
    affinity && !selector
}

/// How close a node came to taking the pod. The scheduler asks whether a node is cordoned, then for its taints, then for its labels: one that
/// says anything else has passed all of these, and is a node that the pod was meant for, be the others ever so many.
fn weight(cause: Option<Unschedulable>) -> u8 {
    match cause {
        None => 0,
        Some(Unschedulable::Taint | Unschedulable::Cordoned) => 1,
        Some(Unschedulable::NodeSelector | Unschedulable::NodeAffinity) => 2,
        Some(_) => 3,
    }
}

/// The reason that decides: what most nodes say, leaving out the nodes that the pod was never meant for.
/// `fits_a_node`: whether some node has the labels that the pod asks for; then the others were never meant.
pub fn decisive<'a>(reasons: &'a [Reason], pod: &Pod, fits_a_node: bool) -> Option<&'a Reason> {
    let of_daemon_set = controller(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet");
    let aside = |reason: &Reason| {
        // A pod of a DaemonSet is for one node, so all others refuse it; control planes are kept free on purpose.
        ((of_daemon_set || fits_a_node) && matches!(reason.cause, Some(Unschedulable::NodeAffinity | Unschedulable::NodeSelector)))
            || (reason.cause == Some(Unschedulable::Taint)
                && ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"]
                    .iter()
                    .any(|t| reason.text.contains(t)))
    };
    let most = |candidates: Vec<&'a Reason>| {
        // The first one that is written wins a tie.
        candidates
            .into_iter()
            .rev()
            .max_by_key(|reason| (weight(reason.cause), reason.nodes))
    };
    most(reasons.iter().filter(|r| !aside(r)).collect()).or_else(|| most(reasons.iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(yaml: &str) -> Pod {
        serde_saphyr::from_str(&format!("{{metadata: {{name: a}}, spec: {yaml}}}")).unwrap()
    }

    #[test]
    fn every_text_of_the_scheduler_has_its_cause() {
        let selector = "{nodeSelector: {disktype: ssd}, containers: []}";
        let affinity = "{affinity: {nodeAffinity: {}}, containers: []}";
        let tail = " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
        for (spec, message, expected) in [
            (selector, "0/1 nodes are available: 1 Insufficient cpu.", "cpu"),
            (selector, "0/1 nodes are available: 1 Insufficient memory.", "memory"),
            (
                selector,
                "0/1 nodes are available: 1 Insufficient ephemeral-storage.",
                "ephemeral-storage",
            ),
            (
                selector,
                "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                "extended-resource",
            ),
            (selector, "0/3 nodes are available: 3 Too many pods.", "pods-per-node"),
            (
                selector,
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                "node-selector",
            ),
            (
                affinity,
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                "node-affinity",
            ),
            (
                selector,
                "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
                "pod-affinity",
            ),
            (
                selector,
                "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
                "pod-anti-affinity",
            ),
            (
                selector,
                "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
                "pod-anti-affinity",
            ),
            (
                selector,
                "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}.",
                "taint",
            ),
            (selector, "0/1 nodes are available: 1 node(s) were unschedulable.", "cordoned"),
            (
                selector,
                "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unschedulable: }.",
                "cordoned",
            ),
            (
                selector,
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
                "host-port",
            ),
            (
                selector,
                "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label).",
                "topology-spread",
            ),
            (
                selector,
                "0/1 nodes are available: persistentvolumeclaim \"nope\" not found. not found",
                "volume",
            ),
            (
                selector,
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
                "volume",
            ),
            (
                selector,
                "0/3 nodes are available: 3 node(s) had volume node affinity conflict.",
                "volume",
            ),
            (selector, "0/3 nodes are available: 3 node(s) exceed max volume count.", "volume"),
            (
                selector,
                "0/1 nodes are available: request r: device class gpu.example does not exist.",
                "resource-claim",
            ),
            (selector, "no nodes available to schedule pods", "no-nodes"),
            (
                selector,
                "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory.",
                "memory",
            ),
            (
                selector,
                "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.",
                "taint",
            ),
        ] {
            let pod = pod(spec);
            let reasons = parse(&format!("{message}{tail}"), &pod);
            assert_eq!(
                decisive(&reasons, &pod, false).and_then(|r| r.cause).map(Unschedulable::as_str),
                Some(expected),
                "{message}: {reasons:?}"
            );
        }
    }

    #[test]
    fn nodes_that_are_kept_for_others_do_not_decide() {
        let pod = pod("{nodeSelector: {disktype: ssd}, containers: []}");
        for (list, cause) in [
            ("1 Insufficient cpu, 4 node(s) had untolerated taint {gpu: }", "cpu"),
            (
                "1 node(s) didn't match Pod's node affinity/selector, 4 node(s) had untolerated taint {gpu: }",
                "node-selector",
            ),
            (
                "1 Too many pods, 4 node(s) didn't match Pod's node affinity/selector",
                "pods-per-node",
            ),
        ] {
            let reasons = parse(&format!("0/5 nodes are available: {list}. preemption: x"), &pod);
            assert_eq!(
                decisive(&reasons, &pod, false).and_then(|r| r.cause).map(Unschedulable::as_str),
                Some(cause),
                "{list}"
            );
        }
    }

    #[test]
    fn a_taint_decides_where_only_a_tainted_node_has_the_labels() {
        let pod = pod("{nodeSelector: {gpu: a}, containers: []}");
        let reasons = parse(
            "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }, 2 node(s) didn't match Pod's node affinity/selector. preemption: x",
            &pod,
        );
        assert_eq!(
            decisive(&reasons, &pod, true).and_then(|r| r.cause).map(Unschedulable::as_str),
            Some("taint")
        );
        assert_eq!(
            decisive(&reasons, &pod, false).and_then(|r| r.cause).map(Unschedulable::as_str),
            Some("node-selector")
        );
    }

    #[test]
    fn a_pod_of_a_daemon_set_is_not_blamed_for_other_nodes() {
        let mut pod = pod("{affinity: {nodeAffinity: {}}, containers: []}");
        pod.metadata =
            serde_saphyr::from_str("{ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: d, uid: u, controller: true}]}")
                .unwrap();
        let reasons = parse(
            "0/5 nodes are available: 1 Insufficient cpu, 4 node(s) didn't match Pod's node affinity/selector. preemption: 0/5 …",
            &pod,
        );
        assert_eq!(
            decisive(&reasons, &pod, false).and_then(|r| r.cause).map(Unschedulable::as_str),
            Some("cpu")
        );
    }
}
