//! Pods without a node.

mod capacity;
mod host_port;
mod reasons;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::Context;
use super::context::{condition, has_ended, is_terminating, phase};
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, Severity};
use crate::model::text::shorten;
use reasons::Reason;

/// A scheduler that runs looks at a pod within this time.
const SCHEDULER_ANSWERS: Duration = Duration::from_secs(30);
/// A gate that is still closed after this time is no longer part of a start.
const GATE_OVERDUE: Duration = Duration::from_secs(600);
/// A claim that is being provisioned, or a node that an autoscaler has ordered, makes a pod wait this long without a fault.
const SETTLES: Duration = Duration::from_secs(10);
const SCALE_UP: Duration = Duration::from_secs(600);

/// Pods that no node takes.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for pod in &context.snapshot.objects.pods {
        if is_terminating(pod) {
            continue;
        }
        if has_ended(pod) {
            found.extend(rejected(context, pod));
        } else if pod.spec.as_ref().is_none_or(|s| s.node_name.is_none()) {
            found.extend(waiting(context, pod));
        }
    }
    found
}

fn waiting(context: &Context<'_>, pod: &Pod) -> Vec<Finding> {
    let Some(age) = context.age_of(pod.metadata.creation_timestamp.as_ref()) else {
        return Vec::new();
    };
    let Some((status, reason, message)) = condition(pod, "PodScheduled") else {
        return scheduler_missing(context, pod, age).into_iter().collect();
    };
    if status == "True" {
        return Vec::new();
    }
    if reason == "SchedulingGated" {
        return vec![gated(context, pod, age)];
    }
    // A new node is on its way, says the cluster autoscaler.
    let ordered = |event: &super::context::EventView<'_>| {
        matches!(event.reason(), "TriggeredScaleUp" | "Nominated") && event.last_seen.is_some_and(|seen| context.age(seen) < SCALE_UP)
    };
    if age < SETTLES || context.pod_events(pod).iter().any(ordered) {
        return Vec::new();
    }
    let reasons = reasons::parse(message, pod);
    let several = reasons.len() > 1 && reasons.iter().any(|r| matches!(r.cause, "node-selector" | "node-affinity"));
    let decisive = reasons::decisive(&reasons, pod, several && fits_a_node(context, pod));
    let mut finding = unschedulable(context, pod, decisive, &reasons, message);
    match decisive.map(|r| r.cause) {
        Some("host-port") => {
            let mut conflict = host_port::conflict(context, pod, message);
            if super::node::was_preempted(context, &context.workload_of(pod)) {
                conflict.severity = Severity::Symptom;
                conflict = conflict.suffering(Effect::NotReady(context.workload_of(pod)));
            }
            // The conflict is the fault; that no node takes the pod follows from it.
            finding.severity = Severity::Symptom;
            finding = finding.suffering(Effect::NotReady(context.workload_of(pod)));
            vec![conflict, finding]
        }
        // A taint that Kubernetes has set because a node is not well is the node's fault.
        Some("taint") => vec![super::node::ill(context).fold(finding, |finding, node| finding.suffering(Effect::Node(node.to_owned())))],
        _ => vec![finding],
    }
}

/// Whether some node that was read has the labels of the pod's nodeSelector. Affinity is taken as unmet: it is seldom needed, and then most nodes decide.
fn fits_a_node(context: &Context<'_>, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let affinity = spec.and_then(|s| s.affinity.as_ref()).is_some_and(|a| a.node_affinity.is_some());
    let Some(selector) = spec.and_then(|s| s.node_selector.as_ref()).filter(|s| !s.is_empty() && !affinity) else {
        return false;
    };
    context.needs_list(&crate::model::kind::NODE, "");
    let has_all = |node: &k8s_openapi::api::core::v1::Node| selector.iter().all(|(key, value)| node.labels().get(key) == Some(value));
    context.snapshot.objects.nodes.iter().any(has_all)
}

fn scheduler_missing(context: &Context<'_>, pod: &Pod, age: Duration) -> Option<Finding> {
    // The scheduler writes the condition on its first attempt, whatever comes of it. A manifest has no status at all.
    if phase(pod) != "Pending" || age < SCHEDULER_ANSWERS {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    let scheduler = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
    let namespace = pod.namespace().unwrap_or_default();
    let workload = context.workload_of(pod);
    let custom = scheduler != "default-scheduler";
    let finding = Finding::new(
        Code::Unschedulable,
        "scheduler-missing",
        Severity::Error,
        Confidence::Likely,
        context.pod_subject(pod),
        format!(
            "no scheduler has looked at the pod for {}: it asks for {scheduler}, which does not seem to run",
            age::short(age)
        ),
    )
    .evidence(
        format!("pod/{} status", pod.name_any()),
        format!("Pending for {}, without the condition PodScheduled", age::short(age)),
    )
    .evidence("spec", format!("schedulerName: {scheduler}"))
    .breaking(Effect::NotReady(workload.clone()));
    Some(if custom {
        finding.fix_command(
            format!("install the scheduler {scheduler}, or remove schedulerName from the pod template"),
            format!("kubectl edit {} -n {namespace}", workload.short()),
        )
    } else {
        finding.fix_command(
            "see whether the scheduler runs",
            "kubectl get pods -n kube-system -l component=kube-scheduler",
        )
    })
}

fn gated(context: &Context<'_>, pod: &Pod, age: Duration) -> Finding {
    let gates: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|s| s.scheduling_gates.iter().flatten())
        .map(|gate| gate.name.as_str())
        .collect();
    let workload = context.workload_of(pod);
    let namespace = pod.namespace().unwrap_or_default();
    let severity = if age >= GATE_OVERDUE { Severity::Error } else { Severity::Advice };
    Finding::new(
        Code::Unschedulable,
        "gated",
        severity,
        Confidence::Proven,
        context.pod_subject(pod),
        format!(
            "the pod is held back by its scheduling gate {} for {}",
            gates.join(", "),
            age::short(age)
        ),
    )
    .evidence(format!("pod/{} status", pod.name_any()), "PodScheduled=False SchedulingGated")
    .breaking(Effect::NotReady(workload))
    .fix_command(
        "see why the controller that set the gate does not remove it",
        format!("kubectl get pod {} -n {namespace} -o yaml", pod.name_any()),
    )
}

fn unschedulable(context: &Context<'_>, pod: &Pod, decisive: Option<&Reason>, reasons: &[Reason], message: &str) -> Finding {
    let workload = context.workload_of(pod);
    let namespace = pod.namespace().unwrap_or_default();
    let cause = decisive.map_or("", |r| r.cause);
    let spec = pod.spec.clone().unwrap_or_default();
    let resource = match cause {
        "cpu" | "memory" | "ephemeral-storage" => Some(cause.to_owned()),
        "extended-resource" => decisive.and_then(|r| r.text.strip_prefix("Insufficient ")).map(str::to_owned),
        _ => None,
    };
    let numbers = resource.as_deref().and_then(|resource| capacity::compare(context, pod, resource));
    let what = match cause {
        "cpu" | "memory" | "ephemeral-storage" | "extended-resource" => {
            let resource = resource.clone().unwrap_or_default();
            match &numbers {
                Some(numbers) => format!("not enough {resource}: the pod {numbers}"),
                None => format!("not enough {resource}"),
            }
        }
        "pods-per-node" => "every node that fits runs as many pods as it may".to_owned(),
        "node-selector" => {
            let wanted: Vec<String> = spec.node_selector.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
            format!("no node has the labels that its nodeSelector asks for ({})", wanted.join(", "))
        }
        "node-affinity" => "no node matches its required node affinity".to_owned(),
        "pod-affinity" => "its required pod affinity finds no pod to be near to".to_owned(),
        "pod-anti-affinity" => "every node that fits already runs a pod that its anti-affinity keeps away from".to_owned(),
        "taint" => format!(
            "it does not tolerate the taint of the nodes ({})",
            decisive.map_or("", |r| braces(&r.text))
        ),
        "cordoned" => "the nodes that fit are cordoned".to_owned(),
        "volume" => format!("its volumes fit no node: {}", decisive.map_or("", |r| &r.text)),
        "host-port" => "its host port is taken on every node that fits".to_owned(),
        "topology-spread" => "no node satisfies its topology spread constraints".to_owned(),
        "no-nodes" => "the cluster has no nodes".to_owned(),
        "resource-claim" => format!("its resource claims cannot be met: {}", decisive.map_or("", |r| &r.text)),
        _ => shorten(message, 160),
    };
    let mut finding = Finding::error(
        Code::Unschedulable,
        cause,
        context.pod_subject(pod),
        format!("no node takes the pod: {what}"),
    )
    .evidence(format!("pod/{} condition PodScheduled", pod.name_any()), shorten(message, 200))
    .breaking(Effect::NotReady(workload.clone()));
    if let Some(numbers) = numbers {
        finding = finding.evidence("nodes", numbers);
    }
    if reasons.len() > 1 {
        let all: Vec<String> = reasons.iter().map(|r| format!("{} × {}", r.nodes.max(1), r.text)).collect();
        finding = finding.evidence("reasons", shorten(&all.join("; "), 200));
    }
    if cause == "volume" {
        for claim in claims(pod) {
            finding = finding.suffering(Effect::Claim(namespace.clone(), claim));
        }
    }
    if message.contains("node.kubernetes.io/") {
        // Taints that Kubernetes puts on a node that is not well.
        for node in &context.snapshot.objects.nodes {
            finding = finding.suffering(Effect::Node(node.name_any()));
        }
    }
    // A pod of higher priority took the place: that explains why there is none now.
    if super::node::was_preempted(context, &workload) {
        finding.severity = Severity::Symptom;
        finding = finding.suffering(Effect::NotReady(workload.clone()));
    }
    fixes(finding, cause, &workload.short(), &namespace)
}

/// The names of the claims that a pod mounts, those that its ephemeral volumes make included.
fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|volume| {
            let named = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
            named.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name_any(), volume.name)))
        })
        .collect()
}

fn braces(text: &str) -> &str {
    match (text.find('{'), text.rfind('}')) {
        (Some(from), Some(to)) if from < to => &text[from + 1..to],
        _ => text,
    }
}

fn fixes(finding: Finding, cause: &str, object: &str, namespace: &str) -> Finding {
    let edit = format!("kubectl edit {object} -n {namespace}");
    match cause {
        "cpu" | "memory" | "ephemeral-storage" => finding
            .fix_command(
                format!("lower the {cause} request in the pod template, or add a node that has it"),
                edit,
            )
            .fix_command("see what the nodes have left", "kubectl describe nodes"),
        "extended-resource" => finding
            .fix_command(
                "see whether a node offers it (is its device plugin installed?)",
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,ALLOCATABLE:.status.allocatable",
            )
            .fix_command("or remove the limit", edit),
        "pods-per-node" => finding.fix_command("add a node, or scale something down", "kubectl get pods -A -o wide"),
        "node-selector" | "node-affinity" => finding
            .fix_command("compare with the labels of the nodes", "kubectl get nodes --show-labels")
            .fix_command("correct the selector, or label a node", edit),
        "pod-affinity" | "pod-anti-affinity" | "topology-spread" => finding.fix_command(
            "run fewer replicas, add nodes, or make the rule preferred instead of required",
            edit,
        ),
        "taint" => finding
            .fix_command(
                "see the taints",
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints",
            )
            .fix_command(
                "add a toleration where the node is meant for such pods; a taint of node.kubernetes.io/ says that the node itself is ill",
                edit,
            ),
        "cordoned" => finding.fix_command(
            "uncordon a node when its maintenance is over",
            "kubectl get nodes && kubectl uncordon <node>",
        ),
        "volume" => finding.fix_command("look at the claims", format!("kubectl get pvc -n {namespace}")),
        "host-port" => finding.fix_command("use a Service instead of a host port, or run no more pods than nodes", edit),
        "no-nodes" => finding.fix_command("add a node", "kubectl get nodes"),
        "resource-claim" => finding.fix_command("look at the claims", format!("kubectl get resourceclaims -n {namespace}")),
        _ => finding.fix_command("see what the scheduler says", format!("kubectl describe {object} -n {namespace}")),
    }
}

/// A pod that its node refused on arrival (bare pods with nodeName, static pods, races): nothing tries it again.
fn rejected(context: &Context<'_>, pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let workload = context.workload_of(pod);
    let is_bare = workload.is(&crate::model::kind::POD);
    let reason = status.reason.as_deref()?;
    if phase(pod) != "Failed" || !is_bare {
        // A controller has made another one since.
        return None;
    }
    let message = status.message.as_deref().unwrap_or_default();
    let cause = match reason {
        "OutOfcpu" => "cpu",
        "OutOfmemory" => "memory",
        "OutOfephemeral-storage" => "ephemeral-storage",
        "OutOfpods" => "pods-per-node",
        "NodeAffinity" => "node-selector",
        "NodePorts" => return Some(host_port::conflict(context, pod, message)),
        other if other.starts_with("OutOf") => "extended-resource",
        _ => return None,
    };
    let namespace = pod.namespace().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("its node");
    let finding = Finding::error(
        Code::Unschedulable,
        cause,
        context.pod_subject(pod),
        format!("{node} refused the pod when it arrived: {}", shorten(message, 160)),
    )
    .evidence(format!("pod/{} status", pod.name_any()), format!("Failed, {reason}"))
    .breaking(Effect::NotReady(workload.clone()));
    Some(fixes(finding, cause, &workload.short(), &namespace).fix_command(
        "nothing starts a refused pod again: delete it and create it anew",
        format!("kubectl delete pod {} -n {namespace}", pod.name_any()),
    ))
}

#[cfg(test)]
mod tests;
