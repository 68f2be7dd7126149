//! Pods that are being deleted and do not go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{is_satisfied, node_condition, node_of};
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::kind;
use crate::rules::Context;
use crate::rules::context::{containers, reference_of};

/// The kubelet and the controllers need this long to take a pod away after its grace period.
const TAKES_AWAY: Duration = Duration::from_secs(30);
/// A grace period up to this long is an ordinary end.
const ORDINARY_GRACE: i64 = 120;

/// Pods that are stuck on their way out.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut held: BTreeMap<&str, Vec<(&Pod, Finding)>> = BTreeMap::new();
    for pod in &context.snapshot.objects.pods {
        match (stuck(context, pod), node_of(pod)) {
            // Nothing but its node is known to hold it.
            (Some(finding), Some(node)) if finding.cause == "grace-period" && finding.confidence == Confidence::Possible => {
                held.entry(node).or_default().push((pod, finding));
            }
            (finding, _) => found.extend(finding),
        }
    }
    for (node, group) in held {
        match group.as_slice() {
            [_, _, ..] => found.push(held_by_node(context, node, &group)),
            _ => found.extend(group.into_iter().map(|(_, finding)| finding)),
        }
    }
    found
}

/// Several pods that one node does not let go are one fault: the node's.
fn held_by_node(context: &Context<'_>, node: &str, group: &[(&Pod, Finding)]) -> Finding {
    let names: Vec<String> = group.iter().map(|(pod, _)| pod.name_any()).collect();
    let finding = Finding::new(
        Code::PodStuckTerminating,
        "grace-period",
        Severity::Error,
        Confidence::Possible,
        Subject::of(ObjectRef::new(&kind::NODE, "", node)),
        format!("node {node} does not let {} pods go that should have ended", names.len()),
    )
    .evidence("pods", names.join(", "))
    .suffering(Effect::Node(node.to_owned()))
    .fix_command(
        "see whether its kubelet still reports, and what it says",
        format!("kubectl describe node {node}"),
    );
    let workloads: BTreeSet<ObjectRef> = group.iter().map(|(pod, _)| context.workload_of(pod)).collect();
    workloads.into_iter().map(Effect::NotReady).fold(finding, Finding::breaking)
}

/// What keeps a pod that is being deleted longer than an ordinary end takes.
pub(super) fn stuck(context: &Context<'_>, pod: &Pod) -> Option<Finding> {
    // The API sets it to the end of the grace period.
    let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let until = context.now().duration_since(deadline).as_secs();
    let since = Duration::from_secs(u64::try_from(until + grace).unwrap_or_default());
    let overdue = Duration::from_secs(u64::try_from(until).unwrap_or_default());
    let is_running = containers(pod).iter().any(|c| c.is_running());
    let finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_default();
    let workload = context.workload_of(pod);
    let subject = Subject::of(reference_of(&kind::POD, &pod.metadata));
    let for_long = age::short(since);
    let make = |cause: &str, severity: Severity, confidence: Confidence, summary: String| {
        Finding::new(Code::PodStuckTerminating, cause, severity, confidence, subject.clone(), summary)
            .breaking(Effect::NotReady(workload.clone()))
    };
    if !finalizers.is_empty() && !is_running && overdue >= TAKES_AWAY {
        return Some(
            make(
                "finalizer",
                Severity::Error,
                Confidence::Proven,
                format!(
                    "pod {name} has ended, but is kept for {for_long} by its finalizer {}",
                    finalizers.join(", ")
                ),
            )
            .evidence(format!("pod/{name}"), format!("metadata.finalizers: {}", finalizers.join(", ")))
            .fix("see why the controller that set the finalizer does not remove it; it may be uninstalled")
            .fix_command(
                "if nothing needs it any more, remove the finalizers",
                format!("kubectl patch pod {name} -n {namespace} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'"),
            ),
        );
    }
    if overdue >= TAKES_AWAY {
        let node = node_of(pod)?;
        context.needs_list(&kind::NODE, "");
        let read = context.snapshot.objects.nodes.iter().find(|n| n.name_any() == node);
        let is_lost = match read {
            Some(node) => node_condition(node, "Ready").is_some_and(|c| c.status != "True"),
            None => context.snapshot.is_complete(&kind::NODE, ""),
        };
        if is_lost {
            let what = if read.is_some() {
                "is not ready"
            } else {
                "does not exist any more"
            };
            return Some(
                make(
                    "node-lost",
                    Severity::Error,
                    Confidence::Proven,
                    format!("pod {name} is being deleted for {for_long}, but its node {node} {what} and nobody confirms that it has ended"),
                )
                .evidence(format!("pod/{name}"), format!("deletion was due {} ago", age::short(overdue)))
                .evidence(format!("node/{node}"), what)
                .suffering(Effect::Node(node.to_owned()))
                .fix_command(
                    "if the node is gone for good, remove the pod by force (two of it may run if the node is only cut off)",
                    format!("kubectl delete pod {name} -n {namespace} --force --grace-period=0"),
                ),
            );
        }
        return Some(
            make(
                "grace-period",
                Severity::Error,
                Confidence::Possible,
                format!(
                    "pod {name} should have ended {} ago, but its node {node} does not let it go",
                    age::short(overdue)
                ),
            )
            .evidence(
                format!("pod/{name} status"),
                if is_running {
                    "a container still runs"
                } else {
                    "its containers have ended; a volume or the network may hold it"
                },
            )
            .fix_command("see what the kubelet says", format!("kubectl describe pod {name} -n {namespace}")),
        );
    }
    // Inside a long grace period: an application that does not end when it is told to.
    if grace > ORDINARY_GRACE && is_running && since >= TAKES_AWAY {
        let waits = workload.is(&kind::POD) || workload.is(&kind::STATEFUL_SET);
        let missed = waits || context.workload(&workload).is_some_and(|w| !is_satisfied(w));
        let severity = if missed { Severity::Error } else { Severity::Advice };
        let running: Vec<&str> = containers(pod).iter().filter(|c| c.is_running()).map(|c| c.name()).collect();
        return Some(
            make(
                "grace-period",
                severity,
                Confidence::Proven,
                format!(
                    "pod {name} is being deleted for {for_long}: container {} has not ended on SIGTERM and is given {grace} s",
                    running.join(", ")
                ),
            )
            .evidence(
                format!("pod/{name}"),
                format!("deletionGracePeriodSeconds {grace}, {} s left", -until),
            )
            .fix("let the application end on SIGTERM (a shell as PID 1 does not pass it on), or lower terminationGracePeriodSeconds")
            .fix_command(
                "to end it now",
                format!("kubectl delete pod {name} -n {namespace} --grace-period=1"),
            ),
        );
    }
    None
}
