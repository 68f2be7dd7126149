//! Pods that are being deleted and do not go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::node::is_satisfied;
use crate::model::cause::PodStuckTerminating;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::{age, kind};
use crate::rules::node::{node_condition, node_of};
use crate::text::command;
use crate::view::{Needs, View, containers, reference_of};

/// The kubelet and the controllers need this long to take a pod away after its grace period.
const TAKES_AWAY: Duration = Duration::from_secs(30);
/// A grace period up to this long is an ordinary end.
const ORDINARY_GRACE: i64 = 120;

/// Pods that are stuck on their way out.
pub fn check(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut held: BTreeMap<&str, Vec<(&Pod, Finding)>> = BTreeMap::new();
    for pod in &view.snapshot.objects.pods {
        match (stuck(view, needs, pod), node_of(pod)) {
            // Nothing but its node is known to hold it.
            (Some(finding), Some(node))
                if finding.cause == PodStuckTerminating::GracePeriod.into() && finding.confidence == Confidence::Possible =>
            {
                held.entry(node).or_default().push((pod, finding));
            }
            (finding, _) => found.extend(finding),
        }
    }
    for (node, group) in held {
        match group.as_slice() {
            [_, _, ..] => found.push(held_by_node(view, node, &group)),
            _ => found.extend(group.into_iter().map(|(_, finding)| finding)),
        }
    }
    found
}

/// Several pods that one node does not let go are one fault: the node's.
fn held_by_node(view: &View<'_>, node: &str, group: &[(&Pod, Finding)]) -> Finding {
    let names: Vec<String> = group.iter().map(|(pod, _)| pod.name_any()).collect();
    let finding = Finding::new(
        PodStuckTerminating::GracePeriod,
        Severity::Error,
        Confidence::Possible,
        Subject::of(ObjectRef::new(&kind::NODE, "", node)),
        format!("node {node} does not let {} pods go that should have ended", names.len()),
    )
    .evidence("pods", names.join(", "))
    .suffering(Effect::Node(node.to_owned()))
    .fix_command(
        "see whether its kubelet still reports, and what it says",
        command("kubectl describe node {}", &[&node]),
    );
    let workloads: BTreeSet<ObjectRef> = group.iter().map(|(pod, _)| view.workload_of(pod)).collect();
    workloads.into_iter().map(Effect::NotReady).fold(finding, Finding::breaking)
}

/// What keeps a pod that is being deleted longer than an ordinary end takes.
pub(crate) fn stuck(view: &View<'_>, needs: &mut Needs, pod: &Pod) -> Option<Finding> {
    // The API sets it to the end of the grace period.
    let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let until = view.now().duration_since(deadline).as_secs();
    let since = Duration::from_secs(u64::try_from(until + grace).unwrap_or_default());
    let overdue = Duration::from_secs(u64::try_from(until).unwrap_or_default());
    let is_running = containers(pod).iter().any(|c| c.is_running());
    let finalizers = pod.metadata.finalizers.clone().unwrap_or_default();
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_default();
    let workload = view.workload_of(pod);
    let subject = Subject::of(reference_of(&kind::POD, &pod.metadata));
    let for_long = age::short(since);
    let make = |cause: PodStuckTerminating, severity: Severity, confidence: Confidence, summary: String| {
        Finding::new(cause, severity, confidence, subject.clone(), summary).breaking(Effect::NotReady(workload.clone()))
    };
    if !finalizers.is_empty() && !is_running && overdue >= TAKES_AWAY {
        return Some(
            make(
                PodStuckTerminating::Finalizer,
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
                command(
                    "kubectl patch pod {} -n {} --type=merge -p '{\"metadata\":{\"finalizers\":null}}'",
                    &[&name, &namespace],
                ),
            ),
        );
    }
    if overdue >= TAKES_AWAY {
        let node = node_of(pod)?;
        needs.list(view, &kind::NODE, "");
        let read = view.snapshot.objects.nodes.iter().find(|n| n.name_any() == node);
        let is_lost = match read {
            Some(node) => node_condition(node, "Ready").is_some_and(|c| c.status != "True"),
            None => view.snapshot.is_complete(&kind::NODE, ""),
        };
        if is_lost {
            let what = if read.is_some() {
                "is not ready"
            } else {
                "does not exist any more"
            };
            return Some(
                make(
                    PodStuckTerminating::NodeLost,
                    Severity::Error,
                    Confidence::Proven,
                    format!(
                        "pod {name} is being deleted for {for_long}, but its node {node} {what}, so nothing confirms that it has ended"
                    ),
                )
                .evidence(format!("pod/{name}"), format!("deletion was due {} ago", age::short(overdue)))
                .evidence(format!("node/{node}"), what)
                .suffering(Effect::Node(node.to_owned()))
                .fix_command(
                    "if the node is gone for good, remove the pod by force (two of it may run if the node is only cut off)",
                    command("kubectl delete pod {} -n {} --force --grace-period=0", &[&name, &namespace]),
                ),
            );
        }
        return Some(
            make(
                PodStuckTerminating::GracePeriod,
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
            .fix_command(
                "see what the kubelet says",
                command("kubectl describe pod {} -n {}", &[&name, &namespace]),
            ),
        );
    }
    // Inside a long grace period: an application that ignores SIGTERM.
    if grace > ORDINARY_GRACE && is_running && since >= TAKES_AWAY {
        let waits = workload.is(&kind::POD) || workload.is(&kind::STATEFUL_SET);
        let missed = waits || view.workload(&workload).is_some_and(|w| !is_satisfied(w));
        let severity = if missed { Severity::Error } else { Severity::Advice };
        let running: Vec<&str> = containers(pod).iter().filter(|c| c.is_running()).map(|c| c.name()).collect();
        return Some(
            make(
                PodStuckTerminating::GracePeriod,
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
                command("kubectl delete pod {} -n {} --grace-period=1", &[&name, &namespace]),
            ),
        );
    }
    None
}
