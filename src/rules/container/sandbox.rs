//! Pods whose sandbox (network namespace, cgroup) cannot be made: their containers stay in ContainerCreating, and only an event tells.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::ending::{counts, owner_name};
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding};
use crate::model::text::shorten;
use crate::rules::Context;
use crate::rules::context::{EventView, condition, containers};

/// A single failure in the first moments of a pod is retried and soon forgotten.
const GRACE: Duration = Duration::from_secs(20);

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let pods = context.workloads().flat_map(|w| w.pods.iter().copied());
    pods.filter(|pod| counts(context, pod) && has_no_sandbox(pod))
        .filter_map(|pod| {
            let event = context
                .pod_events(pod)
                .into_iter()
                .find(|e| e.reason() == "FailedCreatePodSandBox")?;
            let young = context
                .age_of(pod.metadata.creation_timestamp.as_ref())
                .is_some_and(|age| age < GRACE);
            (!young || event.count() > 1).then(|| judge(context, pod, &event))
        })
        .collect()
}

/// Whether no sandbox stands now and no container has ever run.
pub fn has_no_sandbox(pod: &Pod) -> bool {
    let ready = condition(pod, "PodReadyToStartContainers").is_some_and(|(status, ..)| status == "True");
    let ran = containers(pod)
        .iter()
        .any(|c| c.is_running() || c.newest_end().is_some() || c.restarts() > 0);
    !ready && !ran
}

fn judge(context: &Context<'_>, pod: &Pod, event: &EventView<'_>) -> Finding {
    let message = event.message();
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
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
            "no address is left for it on its node",
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
            "the network plugin of its node fails",
            "look at the network plugin's own pods on this node",
        )
    } else {
        (
            "runtime",
            "the container runtime of its node fails",
            "look at the runtime and the kubelet of this node",
        )
    };
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
    let summary = format!("pods of {} cannot be set up: {what}", owner_name(context, pod));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let detail = message.rsplit_once("desc = ").map_or(message, |(_, tail)| tail);
    let command = if cause == "memory-limit" {
        format!(
            "kubectl -n {} describe pod {name}",
            pod.metadata.namespace.as_deref().unwrap_or_default()
        )
    } else {
        format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}")
    };
    Finding::error(Code::PodSandboxFailing, cause, context.pod_subject(pod), summary)
        .evidence(format!("pod/{name} event FailedCreatePodSandBox"), shorten(detail, 200))
        .evidence(format!("pod/{name}"), format!("on node {node}"))
        .breaking(Effect::NotReady(context.workload_of(pod)))
        .suffering(Effect::Node(node.to_owned()))
        .fix_command(fix, command)
}
