//! Pods whose sandbox (network namespace, cgroup) cannot be made: their containers stay in ContainerCreating, and only an event tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::ending::{counts, owner_name};
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::text::shorten;
use crate::rules::Context;
use crate::rules::context::{EventView, condition, containers};

/// A single failure in the first moments of a pod is retried and soon forgotten.
const GRACE: Duration = Duration::from_secs(20);

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let pods = context.workloads().flat_map(|w| w.pods.iter().copied());
    let failing = pods.filter(|pod| counts(context, pod) && has_no_sandbox(pod)).filter_map(|pod| {
        let event = context
            .pod_events(pod)
            .into_iter()
            .find(|e| e.reason() == "FailedCreatePodSandBox")?;
        let young = context
            .age_of(pod.metadata.creation_timestamp.as_ref())
            .is_some_and(|age| age < GRACE);
        (!young || event.count() > 1).then_some((pod, event))
    });
    let mut by_node: BTreeMap<(&str, &str), Vec<(&Pod, EventView<'_>)>> = BTreeMap::new();
    for (pod, event) in failing {
        let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
        by_node.entry((node, reason(event.message()).cause)).or_default().push((pod, event));
    }
    by_node.into_values().flat_map(|group| of_node(context, &group)).collect()
}

/// Pods of one node that fail alike: of several workloads it is the node that is at fault, unless each asks for too little memory.
fn of_node(context: &Context<'_>, group: &[(&Pod, EventView<'_>)]) -> Vec<Finding> {
    let workloads: BTreeSet<ObjectRef> = group.iter().map(|(pod, _)| context.workload_of(pod)).collect();
    let each = || group.iter().map(|(pod, event)| judge(context, pod, event)).collect();
    let Some((pod, event)) = group.first().filter(|_| workloads.len() > 1) else {
        return each();
    };
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    let reason = reason(event.message());
    if node.is_empty() || reason.cause == "memory-limit" || is_about_the_pod(event.message()) {
        return each();
    }
    let name = pod.name_any();
    let mut names: Vec<String> = group.iter().map(|(pod, _)| pod.name_any()).collect();
    names.sort();
    let summary = format!(
        "node {node} cannot set up pods: {}; {} pods of {} workloads wait",
        reason.what,
        group.len(),
        workloads.len()
    );
    let finding = Finding::error(
        Code::PodSandboxFailing,
        reason.cause,
        Subject::of(ObjectRef::new(&kind::NODE, "", &node)),
        summary,
    )
    .evidence(
        format!("pod/{name} event FailedCreatePodSandBox"),
        shorten(said(event.message()), 400),
    )
    .evidence("the same on", names.join(", "))
    .suffering(Effect::Node(node.clone()))
    .fix_command(
        reason.fix,
        format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}"),
    );
    vec![workloads.into_iter().map(Effect::NotReady).fold(finding, Finding::breaking)]
}

/// Whether the runtime refuses what the pod itself asks for: each pod is at fault alone.
fn is_about_the_pod(message: &str) -> bool {
    ["no runtime for", "RuntimeHandler", "sysctl", "seccomp", "apparmor", "hostname"]
        .iter()
        .any(|word| message.contains(word))
}

/// Whether no sandbox stands now and no container has ever run.
pub fn has_no_sandbox(pod: &Pod) -> bool {
    let ready = condition(pod, "PodReadyToStartContainers").is_some_and(|(status, ..)| status == "True");
    let ran = containers(pod)
        .iter()
        .any(|c| c.is_running() || c.newest_end().is_some() || c.restarts() > 0);
    !ready && !ran
}

/// What a message says: the cause, in words, and what helps.
struct Reason {
    cause: &'static str,
    what: String,
    fix: &'static str,
}

/// The runtime's own words, without the call that failed.
fn said(message: &str) -> &str {
    message.split_once("desc = ").map_or(message, |(_, tail)| tail)
}

/// The image that every sandbox is made from, where that cannot be had: `failed to get sandbox image "registry.k8s.io/pause:3.10": …`.
fn sandbox_image(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("sandbox image \"")?;
    rest.split('"').next().filter(|image| !image.is_empty())
}

fn reason(message: &str) -> Reason {
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if let Some(image) = sandbox_image(message) {
        return Reason {
            cause: "runtime",
            what: format!("{image}, the image that every sandbox is made from, cannot be pulled"),
            fix: "let the node reach the registry of that image, or set the runtime's sandbox image (containerd: sandbox_image) to one that it has",
        };
    }
    let (cause, what, fix) = if has(&[
        "no ip addresses available",
        "failed to allocate for range",
        "no available ip",
        "failed to assign an ip address",
        "ip address exhaust",
        "no free ip",
    ]) {
        (
            "address-exhausted",
            "no address is left",
            "free addresses (pods that ended, leaked leases), or give the node a larger pod range",
        )
    } else if has(&[
        "memory limit too low",
        "oom-killed",
        "container init was oom",
        "cannot allocate memory",
        "memory.max",
        "memory limit",
    ]) {
        (
            "memory-limit",
            "the memory limit is too small even to start a container",
            "raise resources.limits.memory: a unit may be missing (128Mi, not 128 or 128m)",
        )
    } else if has(&["network", "cni", "plugin type="]) {
        (
            "network-plugin",
            "the network plugin fails",
            "look at the network plugin's own pods on this node",
        )
    } else {
        (
            "runtime",
            "the container runtime fails",
            "look at the runtime and the kubelet of this node",
        )
    };
    Reason {
        cause,
        what: what.to_owned(),
        fix,
    }
}

fn judge(context: &Context<'_>, pod: &Pod, event: &EventView<'_>) -> Finding {
    let message = event.message();
    let Reason { cause, what, fix } = reason(message);
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
    let summary = format!("pods of {} cannot be set up on node {node}: {what}", owner_name(context, pod));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let command = if cause == "memory-limit" {
        format!(
            "kubectl describe pod {name} -n {}",
            pod.metadata.namespace.as_deref().unwrap_or_default()
        )
    } else {
        format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}")
    };
    Finding::error(Code::PodSandboxFailing, cause, context.pod_subject(pod), summary)
        .evidence(format!("pod/{name} event FailedCreatePodSandBox"), shorten(said(message), 400))
        .evidence(format!("pod/{name}"), format!("on node {node}"))
        .breaking(Effect::NotReady(context.workload_of(pod)))
        .suffering(Effect::Node(node.to_owned()))
        .fix_command(fix, command)
}
