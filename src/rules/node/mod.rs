//! Nodes, and pods that lost theirs.

mod terminating;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use super::Context;
use super::context::{Workload, condition, containers, has_ended, is_ready, is_replaced, is_terminating, phase, reference_of};
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::kind;
use crate::model::text::shorten;

/// A kubelet that runs reports on a new pod within this time.
const KUBELET_ANSWERS: Duration = Duration::from_secs(20);

/// Nodes that do not work, and evicted, preempted or stuck pods.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = nodes(context);
    found.extend(evicted(context));
    found.extend(preempted(context));
    found.extend(terminating::check(context));
    found
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// A pod whose containers all look well while the pod does not: what is left when a node stops reporting.
fn looks_lost(pod: &Pod) -> bool {
    let gated = condition(pod, "Ready").is_some_and(|(_, reason, _)| reason == "ReadinessGatesNotReady");
    !has_ended(pod)
        && !gated
        && phase(pod) == "Running"
        && condition(pod, "Ready").is_some_and(|(status, ..)| status != "True")
        && containers(pod)
            .iter()
            .filter(|c| c.role != super::context::Role::Init)
            .all(|c| c.is_ready() && c.is_running())
}

/// A pod that has been given a node, and the node has not done anything about it.
fn is_untouched(context: &Context<'_>, pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    phase(pod) == "Pending"
        && node_of(pod).is_some()
        && statuses.is_none()
        && context
            .age_of(pod.metadata.creation_timestamp.as_ref())
            .is_some_and(|age| age > KUBELET_ANSWERS)
}

fn node_condition<'a>(node: &'a Node, type_: &str) -> Option<&'a k8s_openapi::api::core::v1::NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == type_)
}

/// The scheduler's words from Kubernetes 1.34 on: it counts nodes by their taints and names none.
const UNNAMED_TAINTS: &str = "untolerated taint(s)";

/// The taints that Kubernetes itself puts on nodes that are not well.
const OF_ILLNESS: [&str; 5] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
];

fn has_taint(node: &Node, taint: &str) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.into_iter().any(|t| t.key == taint)
}

/// The names of the nodes that were read and that Kubernetes keeps pods away from because they are not well.
pub fn ill<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a str> {
    let nodes = context.snapshot.objects.nodes.iter();
    nodes
        .filter(|node| OF_ILLNESS.iter().any(|taint| has_taint(node, taint)))
        .filter_map(|node| node.metadata.name.as_deref())
}

fn nodes(context: &Context<'_>) -> Vec<Finding> {
    let pods = &context.snapshot.objects.pods;
    // A taint of Kubernetes' own that keeps a pod away says that a node is not well.
    let kept_away = |pod: &Pod| {
        condition(pod, "PodScheduled")
            .is_some_and(|(_, _, message)| message.contains("{node.kubernetes.io/") || message.contains(UNNAMED_TAINTS))
    };
    if pods
        .iter()
        .any(|pod| looks_lost(pod) || is_untouched(context, pod) || is_evicted_by_kubelet(pod) || kept_away(pod))
    {
        context.needs_list(&kind::NODE, "");
    }
    let says = |words: &str| {
        pods.iter()
            .any(|p| condition(p, "PodScheduled").is_some_and(|(_, _, message)| message.contains(words)))
    };
    let taint_named = |node: &Node, taint: &str| says(taint) || says(UNNAMED_TAINTS) && has_taint(node, taint);
    let mut found = Vec::new();
    for node in &context.snapshot.objects.nodes {
        let name = node.name_any();
        let here: Vec<&Pod> = pods.iter().filter(|p| node_of(p) == Some(&name) && !has_ended(p)).collect();
        if let Some(ready) = node_condition(node, "Ready").filter(|c| c.status != "True") {
            let taints = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
            let asked = context.is_in_focus(&reference_of(&kind::NODE, &node.metadata));
            if asked || !here.is_empty() || taints.iter().any(|t| taint_named(node, t)) {
                found.push(not_ready(context, node, ready, &here));
            }
        }
        for (type_, taint, what) in [
            ("MemoryPressure", "node.kubernetes.io/memory-pressure", "memory"),
            ("DiskPressure", "node.kubernetes.io/disk-pressure", "disk space"),
            ("PIDPressure", "node.kubernetes.io/pid-pressure", "process ids"),
        ] {
            let Some(pressure) = node_condition(node, type_).filter(|c| c.status == "True") else {
                continue;
            };
            let evicted = pods.iter().filter(|p| node_of(p) == Some(&name) && is_evicted_by_kubelet(p));
            let asked = context.is_in_focus(&reference_of(&kind::NODE, &node.metadata));
            let hurts = asked || taint_named(node, taint) || evicted.count() > 0;
            let mut finding = Finding::error(
                Code::NodePressure,
                "",
                Subject::of(reference_of(&kind::NODE, &node.metadata)),
                format!("node {name} is short of {what}: it evicts pods and takes no new ones"),
            )
            .severity(if hurts { Severity::Error } else { Severity::Advice })
            .evidence(
                format!("node/{name} condition {type_}"),
                pressure.message.clone().unwrap_or_default(),
            )
            .fix_command("see what uses it up", format!("kubectl describe node {name}"))
            .breaking(Effect::Node(name.clone()));
            if !hurts && here.is_empty() {
                continue;
            }
            finding.subject.pod_count = None;
            found.push(finding);
        }
    }
    found
}

fn not_ready(context: &Context<'_>, node: &Node, ready: &k8s_openapi::api::core::v1::NodeCondition, here: &[&Pod]) -> Finding {
    let name = node.name_any();
    let since = context.age_of(ready.last_transition_time.as_ref()).map(age::short);
    let message = ready.message.as_deref().unwrap_or_default();
    let what = if ready.status == "Unknown" {
        "its kubelet has stopped reporting"
    } else {
        "its kubelet says so"
    };
    let mut finding = Finding::error(
        Code::NodeNotReady,
        "",
        Subject::of(reference_of(&kind::NODE, &node.metadata)),
        format!(
            "node {name} is not ready{}: {what}; {} pods in view are on it",
            since.map(|s| format!(" since {s}")).unwrap_or_default(),
            here.len()
        ),
    )
    .evidence(
        format!("node/{name} condition Ready"),
        format!(
            "{} {}: {}",
            ready.status,
            ready.reason.as_deref().unwrap_or_default(),
            shorten(message, 200)
        ),
    )
    .breaking(Effect::Node(name.clone()))
    .fix_command("see what the node says", format!("kubectl describe node {name}"))
    .fix("look at the kubelet and the container runtime on the node (journalctl -u kubelet), and at its network");
    let hit: BTreeSet<ObjectRef> = here.iter().filter(|p| !is_ready(p)).map(|p| context.workload_of(p)).collect();
    for workload in hit {
        finding = finding.breaking(Effect::NotReady(workload));
    }
    finding
}

/// Whether a workload has as many ready pods as it wants.
fn is_satisfied(workload: &Workload<'_>) -> bool {
    let ready = workload.pods.iter().filter(|p| is_ready(p)).count();
    match workload.object {
        Some(object) => object
            .wanted()
            .is_some_and(|wanted| ready >= usize::try_from(wanted).unwrap_or_default()),
        None => ready > 0,
    }
}

struct Eviction<'a> {
    pod: &'a Pod,
    cause: &'static str,
    detail: String,
}

fn is_evicted_by_kubelet(pod: &Pod) -> bool {
    phase(pod) == "Failed" && pod.status.as_ref().and_then(|s| s.reason.as_deref()) == Some("Evicted")
}

fn eviction(pod: &Pod) -> Option<Eviction<'_>> {
    let status = pod.status.as_ref()?;
    let message = status.message.as_deref().unwrap_or_default();
    let target = condition(pod, "DisruptionTarget").filter(|(status, ..)| *status == "True");
    let by_kubelet = is_evicted_by_kubelet(pod);
    let cause = if by_kubelet {
        if message.contains("low on resource: memory") || message.contains("MemoryPressure") {
            "memory"
        } else {
            "disk"
        }
    } else {
        // Pods that a controller owns are deleted; only those that ended and stayed are looked at.
        match target?.1 {
            _ if phase(pod) != "Failed" => return None,
            "DeletionByTaintManager" => "taint",
            "EvictionByEvictionAPI" => "api",
            "PreemptionByScheduler" => "preempted",
            _ => return None,
        }
    };
    let detail = match target {
        _ if by_kubelet => message.to_owned(),
        Some((_, reason, message)) => format!("{reason}: {message}"),
        None => message.to_owned(),
    };
    Some(Eviction { pod, cause, detail })
}

fn evicted(context: &Context<'_>) -> Vec<Finding> {
    let mut by_workload: BTreeMap<(ObjectRef, &str), Vec<Eviction<'_>>> = BTreeMap::new();
    for eviction in context.snapshot.objects.pods.iter().filter_map(eviction) {
        // What keeps it from going is the present fault; that it was evicted is the past.
        if terminating::stuck(context, eviction.pod).is_some() {
            continue;
        }
        by_workload
            .entry((context.workload_of(eviction.pod), eviction.cause))
            .or_default()
            .push(eviction);
    }
    by_workload
        .into_iter()
        .filter_map(|((reference, cause), mut evictions)| {
            evictions.sort_by_key(|e| e.pod.metadata.creation_timestamp.as_ref().map(|t| t.0));
            let newest = evictions.last()?;
            let workload = context.workload(&reference)?;
            let is_bare = reference.is(&kind::POD);
            if is_bare && is_replaced(context, newest.pod) {
                return None;
            }
            let replaced = !is_bare && is_satisfied(workload);
            let over = workload.object.is_some_and(super::context::WorkloadObject::is_finite) && !is_bare;
            let when = ended(newest.pod).map(|t| context.age(t));
            if (replaced || over) && when.is_none_or(|w| w > context.options.since) {
                return None;
            }
            // A newer pod that is up or has a fault of its own tells the present state.
            let newer = workload
                .pods
                .iter()
                .any(|p| !has_ended(p) && p.metadata.creation_timestamp > newest.pod.metadata.creation_timestamp);
            let severity = if is_bare || (!replaced && !newer && !over) || (!replaced && evictions.len() > 1 && !over) {
                Severity::Error
            } else {
                Severity::Advice
            };
            Some(eviction_finding(
                &reference,
                newest,
                cause,
                evictions.len(),
                severity,
                when.map(age::short),
            ))
        })
        .collect()
}

fn ended(pod: &Pod) -> Option<jiff::Timestamp> {
    let of_containers = containers(pod)
        .iter()
        .filter_map(|c| c.terminated().and_then(|t| t.finished_at.as_ref()).map(|t| t.0))
        .max();
    of_containers.or_else(|| pod.metadata.creation_timestamp.as_ref().map(|t| t.0))
}

fn eviction_finding(
    workload: &ObjectRef,
    newest: &Eviction<'_>,
    cause: &str,
    count: usize,
    severity: Severity,
    when: Option<String>,
) -> Finding {
    let pod = newest.pod;
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let node = node_of(pod).unwrap_or("its node").to_owned();
    let why = match cause {
        "memory" => format!("node {node} ran out of memory"),
        "disk" if newest.detail.contains("limit") => "it used more local disk than it may".to_owned(),
        "disk" => format!("node {node} ran out of disk space"),
        "taint" => format!("node {node} got a taint that it does not tolerate"),
        "api" => "it was evicted through the API (a drain)".to_owned(),
        _ => "a pod of higher priority took its place".to_owned(),
    };
    let code = if cause == "preempted" {
        Code::PodPreempted
    } else {
        Code::PodEvicted
    };
    let again = if count > 1 {
        format!("; {count} pods of {} were", workload.short())
    } else {
        String::new()
    };
    let ago = when.map(|w| format!(" {w} ago")).unwrap_or_default();
    let tail = if workload.is(&kind::POD) { "; nothing starts it again" } else { "" };
    let finding = Finding::new(
        code,
        cause,
        severity,
        Confidence::Proven,
        Subject::of(reference_of(&kind::POD, &pod.metadata)),
        format!("pod {name} was evicted{ago}: {why}{again}{tail}"),
    )
    .evidence(format!("pod/{name} status"), shorten(&newest.detail, 200))
    .breaking(Effect::NotReady(workload.clone()))
    .suffering(Effect::Node(node.clone()));
    match cause {
        "disk" if newest.detail.contains("limit") => finding.fix_command(
            "write less to the container's file system and to emptyDir volumes, raise the ephemeral-storage limit, or use a claim",
            format!("kubectl edit {} -n {namespace}", workload.short()),
        ),
        "memory" => finding.fix_command(
            "set memory requests to what the pods really use, so that the node is not overcommitted",
            format!("kubectl describe node {node}"),
        ),
        "disk" => finding.fix_command(
            "free disk space on the node, or set ephemeral-storage requests",
            format!("kubectl describe node {node}"),
        ),
        "taint" => finding.fix_command("see the node's taints", format!("kubectl describe node {node}")),
        "preempted" => finding.fix_command(
            "give it a higher priority, or add room",
            format!("kubectl get pod {name} -n {namespace} -o jsonpath={{.spec.priorityClassName}}"),
        ),
        _ => finding,
    }
    .fix_command("remove the remains", format!("kubectl delete pod {name} -n {namespace}"))
}

/// Events about pods that are gone because a pod of higher priority took their place, with the workload they belonged to.
fn preemptions<'a>(context: &Context<'a>) -> Vec<(ObjectRef, &'a k8s_openapi::api::core::v1::Event)> {
    context
        .snapshot
        .objects
        .events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("Preempted") && event.involved_object.kind.as_deref() == Some("Pod"))
        .filter(|event| {
            let seen = event
                .event_time
                .as_ref()
                .map(|t| t.0)
                .or_else(|| event.last_timestamp.as_ref().map(|t| t.0));
            seen.is_none_or(|t| context.age(t) <= context.options.since)
        })
        .filter_map(|event| {
            let namespace = event.involved_object.namespace.as_deref().unwrap_or_default();
            let name = event.involved_object.name.as_deref()?;
            // The pod is gone; its name still begins with that of its controller.
            let (owner, _) = name.rsplit_once('-')?;
            let owned = [
                &kind::REPLICA_SET,
                &kind::STATEFUL_SET,
                &kind::DAEMON_SET,
                &kind::JOB,
                &kind::REPLICATION_CONTROLLER,
            ];
            let top = owned
                .into_iter()
                .map(|kind| context.climb(&ObjectRef::new(kind, namespace, owner)))
                .find(|reference| context.workload(reference).is_some())?;
            Some((top, event))
        })
        .collect()
}

/// Whether the pods of a workload were preempted and their replacements are not up yet.
pub fn was_preempted(context: &Context<'_>, workload: &ObjectRef) -> bool {
    preemptions(context)
        .iter()
        .any(|(of, _)| of == workload && context.workload(of).is_some_and(|w| !is_satisfied(w)))
}

fn preempted(context: &Context<'_>) -> Vec<Finding> {
    let mut by_workload: BTreeMap<ObjectRef, Vec<&k8s_openapi::api::core::v1::Event>> = BTreeMap::new();
    for (workload, event) in preemptions(context) {
        by_workload.entry(workload).or_default().push(event);
    }
    by_workload
        .into_iter()
        .filter_map(|(reference, events)| {
            let event = *events.last()?;
            let pod = event.involved_object.name.clone().unwrap_or_default();
            let workload = context.workload(&reference)?;
            let replaced = is_satisfied(workload);
            let waits = workload
                .pods
                .iter()
                .any(|p| !is_terminating(p) && condition(p, "PodScheduled").is_some_and(|(status, ..)| status == "False"));
            let severity = if !replaced && waits { Severity::Error } else { Severity::Advice };
            Some(
                Finding::new(
                    Code::PodPreempted,
                    "preempted",
                    severity,
                    Confidence::Proven,
                    Subject::of(reference.clone()),
                    format!(
                        "a pod of higher priority took the place of {pod}{}",
                        if severity == Severity::Error {
                            ", and its replacement finds no node"
                        } else {
                            ""
                        }
                    ),
                )
                .evidence(
                    format!("pod/{pod} event Preempted"),
                    shorten(event.message.as_deref().unwrap_or_default(), 200),
                )
                .breaking(Effect::NotReady(reference.clone()))
                .fix_command("add room, or give the workload a higher priority", "kubectl get priorityclasses"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
