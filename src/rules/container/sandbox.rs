//! Pods whose sandbox (network namespace, cgroup) cannot be made: their containers stay in ContainerCreating, and only an event tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::ending::{counts, owner_name};
use crate::model::cause::PodSandboxFailing;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::text::{command, shorten};
use crate::view::{EventView, View, condition, containers};

/// A single failure in the first moments of a pod is retried and soon forgotten.
const GRACE: Duration = Duration::from_secs(20);

pub(crate) fn check(view: &View<'_>) -> Vec<Finding> {
    let pods = view.workloads().flat_map(|w| w.pods.iter().copied());
    let failing = pods.filter(|pod| counts(view, pod) && has_no_sandbox(pod)).filter_map(|pod| {
        let event = view.pod_events(pod).into_iter().find(|e| e.reason() == "FailedCreatePodSandBox")?;
        Some((pod, event))
    });
    let mut findings = Vec::new();
    let mut by_node: BTreeMap<(&str, PodSandboxFailing), Vec<(&Pod, EventView<'_>)>> = BTreeMap::new();
    for (pod, event) in failing {
        let settles = view.settles_from(pod.metadata.creation_timestamp.as_ref(), GRACE);
        if settles.is_pending() && event.count() <= 1 {
            findings.push(judge(view, pod, &event).settling(settles));
            continue;
        }
        let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
        by_node.entry((node, reason(event.message()).cause)).or_default().push((pod, event));
    }
    findings.extend(by_node.into_values().flat_map(|group| of_node(view, &group)));
    findings
}

/// Pods of one node that fail alike: of several workloads it is the node that is at fault, unless each asks for too little memory.
fn of_node(view: &View<'_>, group: &[(&Pod, EventView<'_>)]) -> Vec<Finding> {
    let workloads: BTreeSet<ObjectRef> = group.iter().map(|(pod, _)| view.workload_of(pod)).collect();
    let each = || group.iter().map(|(pod, event)| judge(view, pod, event)).collect();
    let Some((pod, event)) = group.first().filter(|_| workloads.len() > 1) else {
        return each();
    };
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    let reason = reason(event.message());
    if node.is_empty() || reason.cause == PodSandboxFailing::MemoryLimit || is_about_the_pod(event.message()) {
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
    let finding = Finding::error(reason.cause, Subject::of(ObjectRef::new(&kind::NODE, "", &node)), summary)
        .evidence(
            format!("pod/{name} event FailedCreatePodSandBox"),
            shorten(said(event.message()), 400),
        )
        .evidence("the same on", names.join(", "))
        .suffering(Effect::Node(node.clone()))
        .fix_command(
            reason.fix,
            command("kubectl get pods -A -o wide --field-selector spec.nodeName={}", &[&node]),
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
    cause: PodSandboxFailing,
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
            cause: PodSandboxFailing::Runtime,
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
            PodSandboxFailing::AddressExhausted,
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
            PodSandboxFailing::MemoryLimit,
            "the memory limit is too small even to start a container",
            "raise resources.limits.memory: a unit may be missing (128Mi, not 128 or 128m)",
        )
    } else if has(&["network", "cni", "plugin type="]) {
        (
            PodSandboxFailing::NetworkPlugin,
            "the network plugin fails",
            "look at the network plugin's own pods on this node",
        )
    } else {
        (
            PodSandboxFailing::Runtime,
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

fn judge(view: &View<'_>, pod: &Pod, event: &EventView<'_>) -> Finding {
    let message = event.message();
    let Reason { cause, what, fix } = reason(message);
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
    let summary = format!("pods of {} cannot be set up on node {node}: {what}", owner_name(view, pod));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let command = if cause == PodSandboxFailing::MemoryLimit {
        command(
            "kubectl describe pod {} -n {}",
            &[&name, &pod.metadata.namespace.as_deref().unwrap_or_default()],
        )
    } else {
        command("kubectl get pods -A -o wide --field-selector spec.nodeName={}", &[&node])
    };
    Finding::error(cause, view.pod_subject(pod), summary)
        .evidence(format!("pod/{name} event FailedCreatePodSandBox"), shorten(said(message), 400))
        .evidence(format!("pod/{name}"), format!("on node {node}"))
        .breaking(Effect::NotReady(view.workload_of(pod)))
        .suffering(Effect::Node(node.to_owned()))
        .fix_command(fix, command)
}
