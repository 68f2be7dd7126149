//! Nodes, and pods that lost theirs.

mod terminating;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use crate::facts::ending::edit_template;
use crate::facts::node::{has_taint, is_satisfied, preemptions};
use crate::model::cause::{Cause, PodEvicted, PodPreempted};
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::{age, kind};
use crate::text::{command, shorten};
use crate::view::{
    HEALED_AFTER, Needs, Out, View, Workload, condition, containers, has_ended, is_ready, is_terminating, phase, reference_of,
};

/// A kubelet that runs reports on a new pod within this time.
const KUBELET_ANSWERS: Duration = Duration::from_secs(20);

/// A pod that replaces an evicted one and runs for less than this may still be evicted in the same way.
const SETTLED: Duration = Duration::from_secs(120);

/// Nodes that do not work, and evicted, preempted or stuck pods.
pub fn check(view: &View<'_>, out: &mut Out) {
    out.findings.extend(nodes(view, &mut out.needs));
    out.findings.extend(evicted(view, &mut out.needs));
    out.findings.extend(preempted(view));
    out.findings.extend(terminating::check(view, &mut out.needs));
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
            .filter(|c| c.role != crate::view::Role::Init)
            .all(|c| c.is_ready() && c.is_running())
}

/// A pod that has been given a node, and the node has not done anything about it.
fn is_untouched(view: &View<'_>, pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    phase(pod) == "Pending"
        && node_of(pod).is_some()
        && statuses.is_none()
        && view
            .age_of(pod.metadata.creation_timestamp.as_ref())
            .is_some_and(|age| age > KUBELET_ANSWERS)
}

fn node_condition<'a>(node: &'a Node, type_: &str) -> Option<&'a k8s_openapi::api::core::v1::NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == type_)
}

/// The scheduler's words from Kubernetes 1.34 on: it counts nodes by their taints and names none.
const UNNAMED_TAINTS: &str = "untolerated taint(s)";

fn nodes(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let pods = &view.snapshot.objects.pods;
    // A taint of Kubernetes' own that keeps a pod away says that a node is not well.
    let kept_away = |pod: &Pod| {
        condition(pod, "PodScheduled")
            .is_some_and(|(_, _, message)| message.contains("{node.kubernetes.io/") || message.contains(UNNAMED_TAINTS))
    };
    if pods
        .iter()
        .any(|pod| looks_lost(pod) || is_untouched(view, pod) || is_evicted_by_kubelet(pod) || kept_away(pod))
    {
        needs.list(view, &kind::NODE, "");
    }
    let says = |words: &str| {
        pods.iter()
            .any(|p| condition(p, "PodScheduled").is_some_and(|(_, _, message)| message.contains(words)))
    };
    let taint_named = |node: &Node, taint: &str| says(taint) || says(UNNAMED_TAINTS) && has_taint(node, taint);
    let mut found = Vec::new();
    for node in &view.snapshot.objects.nodes {
        let name = node.name_any();
        let here: Vec<&Pod> = pods.iter().filter(|p| node_of(p) == Some(&name) && !has_ended(p)).collect();
        if let Some(ready) = node_condition(node, "Ready").filter(|c| c.status != "True") {
            let taints = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
            let asked = view.is_in_focus(&reference_of(&kind::NODE, &node.metadata));
            if asked || !here.is_empty() || taints.iter().any(|t| taint_named(node, t)) {
                found.push(not_ready(view, node, ready, &here));
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
            let asked = view.is_in_focus(&reference_of(&kind::NODE, &node.metadata));
            let hurts = asked || taint_named(node, taint) || evicted.count() > 0;
            let mut finding = Finding::error(
                Code::NodePressure,
                Subject::of(reference_of(&kind::NODE, &node.metadata)),
                format!("node {name} is short of {what}: it evicts pods and accepts no new ones"),
            )
            .severity(if hurts { Severity::Error } else { Severity::Advice })
            .evidence(
                format!("node/{name} condition {type_}"),
                pressure.message.clone().unwrap_or_default(),
            )
            .fix_command("see what uses it up", command("kubectl describe node {}", &[&name]))
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

fn not_ready(view: &View<'_>, node: &Node, ready: &k8s_openapi::api::core::v1::NodeCondition, here: &[&Pod]) -> Finding {
    let name = node.name_any();
    let since = view.age_of(ready.last_transition_time.as_ref()).map(age::short);
    let message = ready.message.as_deref().unwrap_or_default();
    let what = if ready.status == "Unknown" {
        "its kubelet has stopped reporting"
    } else {
        "its kubelet says so"
    };
    let mut finding = Finding::error(
        Code::NodeNotReady,
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
    .fix_command("see what the node says", command("kubectl describe node {}", &[&name]))
    .fix("look at the kubelet and the container runtime on the node (journalctl -u kubelet), and at its network");
    let hit: BTreeSet<ObjectRef> = here.iter().filter(|p| !is_ready(p)).map(|p| view.workload_of(p)).collect();
    for workload in hit {
        finding = finding.breaking(Effect::NotReady(workload));
    }
    finding
}

struct Eviction<'a> {
    pod: &'a Pod,
    cause: Cause,
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
            PodEvicted::Memory.into()
        } else {
            PodEvicted::Disk.into()
        }
    } else {
        // Pods that a controller owns are deleted; only those that ended and stayed are looked at.
        match target?.1 {
            _ if phase(pod) != "Failed" => return None,
            "DeletionByTaintManager" => PodEvicted::Taint.into(),
            "EvictionByEvictionAPI" => PodEvicted::Api.into(),
            "PreemptionByScheduler" => PodPreempted::Preempted.into(),
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

fn evicted(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let mut by_workload: BTreeMap<(ObjectRef, Cause), Vec<Eviction<'_>>> = BTreeMap::new();
    for eviction in view.snapshot.objects.pods.iter().filter_map(eviction) {
        // What keeps it from going is the present fault; that it was evicted is the past.
        if terminating::stuck(view, needs, eviction.pod).is_some() {
            continue;
        }
        by_workload
            .entry((view.workload_of(eviction.pod), eviction.cause))
            .or_default()
            .push(eviction);
    }
    by_workload
        .into_iter()
        .filter_map(|((reference, cause), mut evictions)| {
            evictions.sort_by_key(|e| e.pod.metadata.creation_timestamp.as_ref().map(|t| t.0));
            let newest = evictions.last()?;
            let workload = view.workload(&reference)?;
            let is_bare = reference.is(&kind::POD);
            if is_bare && view.is_replaced(newest.pod) {
                return None;
            }
            let replaced = !is_bare && is_satisfied(workload);
            let over = workload.object.is_some_and(crate::view::WorkloadObject::is_finite) && !is_bare;
            let when = ended(newest.pod).map(|t| view.age(t));
            if (replaced || over) && when.is_none_or(|w| w > view.options.since) {
                return None;
            }
            // A newer pod that is up or has a fault of its own tells the present state.
            let newer = workload
                .pods
                .iter()
                .any(|p| !has_ended(p) && p.metadata.creation_timestamp > newest.pod.metadata.creation_timestamp);
            let repeats = !is_bare && !over && over_own_limit(newest) && !outlived(view, workload, newest.pod);
            let severity = if is_bare || repeats || (!replaced && !newer && !over) || (!replaced && evictions.len() > 1 && !over) {
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

/// Whether the pod used more than its own spec allows, so that each pod of this template ends in the same way.
fn over_own_limit(eviction: &Eviction<'_>) -> bool {
    is_evicted_by_kubelet(eviction.pod) && eviction.detail.contains("limit")
}

/// Whether a later pod of the workload has run for several times as long as the evicted one did.
fn outlived(view: &View<'_>, workload: &Workload<'_>, evicted: &Pod) -> bool {
    let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let lived = ended(evicted).zip(made(evicted)).map_or(Duration::ZERO, |(end, start)| {
        Duration::try_from(end.duration_since(start)).unwrap_or_default()
    });
    let enough = (lived * 3).clamp(SETTLED, HEALED_AFTER);
    let later = workload.pods.iter().filter(|p| !has_ended(p) && made(p) > made(evicted));
    later
        .filter_map(|p| view.age_of(p.metadata.creation_timestamp.as_ref()))
        .any(|age| age > enough)
}

/// The `NAME` and `SIZE` of `Usage of EmptyDir volume "NAME" exceeds the limit "SIZE".`
fn full_volume(detail: &str) -> Option<(&str, &str)> {
    let (name, rest) = detail.split_once("EmptyDir volume \"")?.1.split_once('"')?;
    let (size, _) = rest.split_once("limit \"")?.1.split_once('"')?;
    Some((name, size))
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
    cause: Cause,
    count: usize,
    severity: Severity,
    when: Option<String>,
) -> Finding {
    let pod = newest.pod;
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let node = node_of(pod).unwrap_or("its node").to_owned();
    let full = full_volume(&newest.detail).filter(|_| cause == Cause::PodEvicted(PodEvicted::Disk));
    let why = match cause {
        Cause::PodEvicted(PodEvicted::Memory) => format!("node {node} ran out of memory"),
        _ if let Some((volume, size)) = full => format!("it wrote more than sizeLimit {size} into its emptyDir volume {volume}"),
        Cause::PodEvicted(PodEvicted::Disk) if newest.detail.contains("limit") => "it used more local disk than it may".to_owned(),
        Cause::PodEvicted(PodEvicted::Disk) => format!("node {node} ran out of disk space"),
        Cause::PodEvicted(PodEvicted::Taint) => format!("node {node} got a taint that it does not tolerate"),
        Cause::PodEvicted(PodEvicted::Api) => "it was evicted through the API (a drain)".to_owned(),
        _ => "a pod of higher priority took its place".to_owned(),
    };
    let again = if count > 1 {
        format!("; {count} pods of {} were", workload.short())
    } else {
        String::new()
    };
    let ago = when.map(|w| format!(" {w} ago")).unwrap_or_default();
    let tail = if workload.is(&kind::POD) { "; nothing starts it again" } else { "" };
    // A limit of the spec is the template's; anything else befell this pod.
    let subject = match full {
        Some((volume, _)) => Subject::of(workload.clone()).pod(&name).volume(volume),
        None => Subject::of(reference_of(&kind::POD, &pod.metadata)),
    };
    let finding = Finding::new(
        cause,
        severity,
        Confidence::Proven,
        subject,
        format!("pod {name} was evicted{ago}: {why}{again}{tail}"),
    )
    .evidence(format!("pod/{name} status"), shorten(&newest.detail, 200))
    .breaking(Effect::NotReady(workload.clone()))
    .suffering(Effect::Node(node.clone()));
    match cause {
        _ if let Some((volume, size)) = full => finding.fix_command(
            format!("raise sizeLimit {size} of volume {volume}, let the program write less into it, or use a claim"),
            edit_template(workload),
        ),
        Cause::PodEvicted(PodEvicted::Disk) if newest.detail.contains("limit") => finding.fix_command(
            "write less to the container's file system and to emptyDir volumes, raise the ephemeral-storage limit, or use a claim",
            edit_template(workload),
        ),
        Cause::PodEvicted(PodEvicted::Memory) => finding.fix_command(
            "set memory requests to what the pods really use, so that the node is not overcommitted",
            command("kubectl describe node {}", &[&node]),
        ),
        Cause::PodEvicted(PodEvicted::Disk) => finding.fix_command(
            "free disk space on the node, or set ephemeral-storage requests",
            command("kubectl describe node {}", &[&node]),
        ),
        Cause::PodEvicted(PodEvicted::Taint) => finding.fix_command("see the node's taints", command("kubectl describe node {}", &[&node])),
        Cause::PodPreempted(_) => finding.fix_command(
            "give it a higher priority, or add room",
            command(
                "kubectl get pod {} -n {} -o jsonpath={.spec.priorityClassName}",
                &[&name, &namespace],
            ),
        ),
        _ => finding,
    }
    .fix_command("remove the remains", command("kubectl delete pod {} -n {}", &[&name, &namespace]))
}

fn preempted(view: &View<'_>) -> Vec<Finding> {
    let mut by_workload: BTreeMap<ObjectRef, Vec<&k8s_openapi::api::core::v1::Event>> = BTreeMap::new();
    for (workload, event) in preemptions(view) {
        by_workload.entry(workload).or_default().push(event);
    }
    by_workload
        .into_iter()
        .filter_map(|(reference, events)| {
            let event = *events.last()?;
            let pod = event.involved_object.name.clone().unwrap_or_default();
            let workload = view.workload(&reference)?;
            let replaced = is_satisfied(workload);
            let waits = workload
                .pods
                .iter()
                .any(|p| !is_terminating(p) && condition(p, "PodScheduled").is_some_and(|(status, ..)| status == "False"));
            let severity = if !replaced && waits { Severity::Error } else { Severity::Advice };
            Some(
                Finding::new(
                    PodPreempted::Preempted,
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
