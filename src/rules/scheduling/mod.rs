//! Pods without a node.

mod capacity;
mod host_port;
mod labels;
mod reasons;
mod volumes;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use crate::facts::ending::edit_template;
use crate::facts::node;
use crate::facts::provided::holder;
use crate::model::cause::Unschedulable;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Settles, Severity};
use crate::model::snapshot::Presence;
use crate::model::{age, kind};
use crate::text::{command, shorten};
use crate::view::{Needs, Out, View, condition, containers, has_ended, is_terminating, phase};
use reasons::Reason;

/// A scheduler that runs looks at a pod within this time.
const SCHEDULER_ANSWERS: Duration = Duration::from_secs(30);
/// A gate that is still closed after this time is no longer part of a start.
const GATE_OVERDUE: Duration = Duration::from_secs(600);
/// A claim that is being provisioned, or a node that an autoscaler has ordered, makes a pod wait this long without a fault.
const SETTLES: Duration = Duration::from_secs(10);
const SCALE_UP: Duration = Duration::from_secs(600);
/// Labels of nodes that a cloud or an autoscaler manages in pools.
const NODE_POOLS: [&str; 5] = [
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "node.cluster.x-k8s.io/machine-pool",
];

/// Pods that no node takes.
pub fn check(view: &View<'_>, out: &mut Out) {
    for pod in &view.snapshot.objects.pods {
        if is_terminating(pod) {
            continue;
        }
        if has_ended(pod) {
            out.findings.extend(rejected(view, pod));
        } else if pod.spec.as_ref().is_none_or(|s| s.node_name.is_none()) {
            out.findings.extend(waiting(view, &mut out.needs, pod));
        } else {
            out.findings.extend(on_no_node(view, &mut out.needs, pod));
        }
    }
}

/// A pod that was given its node by name, past the scheduler, and whose node does not exist.
fn on_no_node(view: &View<'_>, needs: &mut Needs, pod: &Pod) -> Option<Finding> {
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    // The scheduler notes that it has found a node, and so does the kubelet, which then tells of each container.
    let is_touched = condition(pod, "PodScheduled").is_some() || containers(pod).iter().any(|c| c.status.is_some());
    if phase(pod) != "Pending" || is_touched {
        return None;
    }
    needs.list(view, &kind::NODE, "");
    if view.snapshot.presence(&kind::NODE, "", node) != Presence::Absent {
        return None;
    }
    let workload = view.workload_of(pod);
    let summary = format!(
        "pod {} is given to node {node}, which does not exist, so nothing runs it",
        pod.name_any()
    );
    Some(
        Finding::error(Unschedulable::NodeMissing, view.pod_subject(pod), summary)
            .evidence("spec", format!("nodeName: {node}"))
            .breaking(Effect::NotReady(workload.clone()))
            .fix_command(
                "remove nodeName from the pod template and leave the choice to the scheduler, or name a node that exists",
                edit_template(&workload),
            )
            .fix_command("see which nodes there are", "kubectl get nodes"),
    )
}

fn waiting(view: &View<'_>, needs: &mut Needs, pod: &Pod) -> Vec<Finding> {
    let Some(age) = view.age_of(pod.metadata.creation_timestamp.as_ref()) else {
        return Vec::new();
    };
    let Some((status, reason, message)) = condition(pod, "PodScheduled") else {
        return scheduler_missing(view, pod, age).into_iter().collect();
    };
    if status == "True" {
        return Vec::new();
    }
    if reason == "SchedulingGated" {
        return vec![gated(view, pod, age)];
    }
    let reasons = reasons::parse(message, pod);
    let several = reasons.len() > 1
        && reasons
            .iter()
            .any(|r| matches!(r.cause, Some(Unschedulable::NodeSelector | Unschedulable::NodeAffinity)));
    let decisive = reasons::decisive(&reasons, pod, several && fits_a_node(view, needs, pod));
    let settles = settles(view, needs, pod, decisive.and_then(|r| r.cause));
    let mut finding = unschedulable(view, needs, pod, decisive, &reasons, message).settling(settles);
    match decisive.and_then(|r| r.cause) {
        Some(Unschedulable::HostPort) => {
            let mut conflict = host_port::conflict(view, pod, message).settling(settles);
            if node::was_preempted(view, &view.workload_of(pod)) {
                conflict.severity = Severity::Symptom;
                conflict = conflict.suffering(Effect::NotReady(view.workload_of(pod)));
            }
            // The conflict is the fault; that no node takes the pod follows from it.
            finding.severity = Severity::Symptom;
            finding = finding.suffering(Effect::NotReady(view.workload_of(pod)));
            vec![conflict, finding]
        }
        // A taint that Kubernetes has set because a node is not well is the node's fault.
        Some(Unschedulable::Taint) => {
            vec![node::ill(view).fold(finding, |finding, node| finding.suffering(Effect::Node(node.to_owned())))]
        }
        _ => vec![finding],
    }
}

/// Whether a pod may still get a node by itself.
fn settles(view: &View<'_>, needs: &mut Needs, pod: &Pod, cause: Option<Unschedulable>) -> Settles {
    // A new node is on its way, says the cluster autoscaler.
    let events = view.pod_events(pod);
    let ordered = events
        .iter()
        .find(|event| matches!(event.reason(), "TriggeredScaleUp" | "Nominated"));
    let ordered = ordered
        .and_then(|event| event.last_seen)
        .map(|ordered| view.settles(ordered, SCALE_UP));
    // A node has been chosen that is being freed, or made.
    let is_nominated = pod.status.as_ref().is_some_and(|status| status.nominated_node_name.is_some());
    let nominated = is_nominated.then(|| view.settles_from(pod.metadata.creation_timestamp.as_ref(), SCALE_UP));
    if let Some(pending) = [ordered, nominated].into_iter().flatten().find(|settles| settles.is_pending()) {
        return pending;
    }
    // Labels of nodes do not change by themselves; only an autoscaler brings other ones.
    let by_labels = matches!(cause, Some(Unschedulable::NodeSelector | Unschedulable::NodeAffinity));
    if by_labels && needs.list(view, &kind::NODE, "") && !view.snapshot.objects.nodes.iter().any(is_of_pool) {
        return Settles::Never;
    }
    view.settles_from(pod.metadata.creation_timestamp.as_ref(), SETTLES)
}

/// Whether a node belongs to a pool that an autoscaler may extend.
fn is_of_pool(node: &Node) -> bool {
    NODE_POOLS.iter().any(|label| node.labels().contains_key(*label))
}

/// Whether some node that was read has the labels of the pod's nodeSelector. Affinity is taken as unmet: it is seldom needed, and then most nodes decide.
fn fits_a_node(view: &View<'_>, needs: &mut Needs, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let affinity = spec.and_then(|s| s.affinity.as_ref()).is_some_and(|a| a.node_affinity.is_some());
    let Some(selector) = spec.and_then(|s| s.node_selector.as_ref()).filter(|s| !s.is_empty() && !affinity) else {
        return false;
    };
    needs.list(view, &kind::NODE, "");
    let has_all = |node: &Node| selector.iter().all(|(key, value)| node.labels().get(key) == Some(value));
    view.snapshot.objects.nodes.iter().any(has_all)
}

fn scheduler_missing(view: &View<'_>, pod: &Pod, age: Duration) -> Option<Finding> {
    // The scheduler writes the condition on its first attempt, whatever comes of it. A manifest has no status at all.
    let settles = view.settles_from(pod.metadata.creation_timestamp.as_ref(), SCHEDULER_ANSWERS);
    let spec = pod.spec.as_ref()?;
    let scheduler = spec.scheduler_name.as_deref().unwrap_or("default-scheduler");
    // The default scheduler answers in a moment as a rule; another one may not be there.
    let may_answer = settles.is_pending() || !view.snapshot.has_clock;
    if phase(pod) != "Pending" || may_answer && scheduler == "default-scheduler" {
        return None;
    }
    let workload = view.workload_of(pod);
    let custom = scheduler != "default-scheduler";
    let finding = Finding::new(
        Unschedulable::SchedulerMissing,
        Severity::Error,
        Confidence::Likely,
        view.pod_subject(pod),
        format!(
            "no scheduler has handled the pod for {}: its schedulerName is {scheduler}{}",
            age::short(age),
            if settles.is_pending() { "" } else { ", which does not seem to run" }
        ),
    )
    .settling(settles)
    .evidence(
        format!("pod/{} status", pod.name_any()),
        format!("Pending for {}, without the condition PodScheduled", age::short(age)),
    )
    .evidence("spec", format!("schedulerName: {scheduler}"))
    .breaking(Effect::NotReady(workload.clone()));
    Some(if custom {
        finding.fix_command(
            format!("install the scheduler {scheduler}, or remove schedulerName from the pod template"),
            edit_template(&workload),
        )
    } else {
        finding.fix_command(
            "see whether the scheduler runs",
            "kubectl get pods -n kube-system -l component=kube-scheduler",
        )
    })
}

fn gated(view: &View<'_>, pod: &Pod, age: Duration) -> Finding {
    let gates: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|s| s.scheduling_gates.iter().flatten())
        .map(|gate| gate.name.as_str())
        .collect();
    let workload = view.workload_of(pod);
    let namespace = pod.namespace().unwrap_or_default();
    Finding::error(
        Unschedulable::Gated,
        view.pod_subject(pod),
        format!(
            "the pod is held back by its scheduling gate {} for {}",
            gates.join(", "),
            age::short(age)
        ),
    )
    .settling(view.settles_from(pod.metadata.creation_timestamp.as_ref(), GATE_OVERDUE))
    .evidence(format!("pod/{} status", pod.name_any()), "PodScheduled=False SchedulingGated")
    .breaking(Effect::NotReady(workload))
    .fix_command(
        "see why the controller that set the gate does not remove it",
        command("kubectl get pod {} -n {} -o yaml", &[&pod.name_any(), &namespace]),
    )
}

fn unschedulable(view: &View<'_>, needs: &mut Needs, pod: &Pod, decisive: Option<&Reason>, reasons: &[Reason], message: &str) -> Finding {
    let workload = view.workload_of(pod);
    let namespace = pod.namespace().unwrap_or_default();
    let cause = decisive.and_then(|r| r.cause);
    let spec = pod.spec.clone().unwrap_or_default();
    let resource = match cause {
        Some(Unschedulable::Cpu | Unschedulable::Memory | Unschedulable::EphemeralStorage) => cause.map(|cause| cause.as_str().to_owned()),
        Some(Unschedulable::ExtendedResource) => decisive.and_then(|r| r.text.strip_prefix("Insufficient ")).map(str::to_owned),
        _ => None,
    };
    let numbers = resource
        .as_deref()
        .and_then(|resource| capacity::compare(view, needs, pod, resource));
    let label = decisive.and_then(|reason| labels::missing(view, needs, pod, reason.cause?, &reason.text));
    let tied = decisive.filter(|reason| reason.text.contains("volume node affinity conflict"));
    let tied = tied.and_then(|_| volumes::tied(view, needs, pod, &claims(pod)));
    let what = match cause {
        _ if tied.is_some() => tied.as_ref().map(|tied| tied.what.clone()).unwrap_or_default(),
        _ if label.is_some() => label.as_ref().map(|label| label.what.clone()).unwrap_or_default(),
        Some(Unschedulable::Cpu | Unschedulable::Memory | Unschedulable::EphemeralStorage | Unschedulable::ExtendedResource) => {
            let resource = resource.clone().unwrap_or_default();
            match &numbers {
                Some(numbers) => format!("not enough {resource}: the pod {numbers}"),
                None => format!("not enough {resource}"),
            }
        }
        Some(Unschedulable::PodsPerNode) => "every node that fits runs its maximum number of pods".to_owned(),
        Some(Unschedulable::NodeSelector) => {
            let wanted: Vec<String> = spec.node_selector.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
            format!("no node has the labels of its nodeSelector ({})", wanted.join(", "))
        }
        Some(Unschedulable::NodeAffinity) => "no node matches its required node affinity".to_owned(),
        Some(Unschedulable::PodAffinity) => "no node has the pods that its required pod affinity needs".to_owned(),
        Some(Unschedulable::PodAntiAffinity) => "every node that fits already runs a pod that its anti-affinity excludes".to_owned(),
        Some(Unschedulable::Taint) => format!(
            "it does not tolerate the taint of the nodes ({})",
            decisive.map_or("", |r| braces(&r.text))
        ),
        Some(Unschedulable::Cordoned) => "the nodes that fit are cordoned".to_owned(),
        Some(Unschedulable::Volume) => format!("its volumes fit no node: {}", decisive.map_or("", |r| &r.text)),
        Some(Unschedulable::HostPort) => "its host port is taken on every node that fits".to_owned(),
        Some(Unschedulable::TopologySpread) => "no node satisfies its topology spread constraints".to_owned(),
        Some(Unschedulable::NoNodes) => "the cluster has no nodes".to_owned(),
        Some(Unschedulable::ResourceClaim) => format!("its resource claims cannot be met: {}", decisive.map_or("", |r| &r.text)),
        _ => shorten(message, 160),
    };
    let mut finding = Finding::error(cause, view.pod_subject(pod), format!("no node takes the pod: {what}"))
        .evidence(format!("pod/{} condition PodScheduled", pod.name_any()), shorten(message, 200))
        .breaking(Effect::NotReady(workload.clone()));
    if let Some(numbers) = numbers {
        finding = finding.evidence("nodes", numbers);
    }
    if reasons.len() > 1 {
        let all: Vec<String> = reasons.iter().map(|r| format!("{} × {}", r.nodes.max(1), r.text)).collect();
        finding = finding.evidence("reasons", shorten(&all.join("; "), 200));
    }
    if cause == Some(Unschedulable::Volume) {
        for claim in claims(pod) {
            finding = finding.suffering(Effect::Claim(namespace.clone(), claim));
        }
    }
    if message.contains("node.kubernetes.io/") {
        // Taints that Kubernetes puts on a node that is not well.
        for node in &view.snapshot.objects.nodes {
            finding = finding.suffering(Effect::Node(node.name_any()));
        }
    }
    // A pod of higher priority took the place: that explains why there is none now.
    if node::was_preempted(view, &workload) {
        finding.severity = Severity::Symptom;
        finding = finding.suffering(Effect::NotReady(workload.clone()));
    }
    if let Some(tied) = tied {
        return finding.fix_command(tied.fix, tied.command);
    }
    // ReadWriteOncePod: the claim is held by one pod, whatever its node.
    let is_held = cause == Some(Unschedulable::Volume) && message.contains("ReadWriteOncePod");
    let holder = claims(pod).iter().filter(|_| is_held).find_map(|claim| holder(view, pod, claim));
    if let Some(holder) = holder {
        return holder.explain(view, pod, finding);
    }
    let Some(label) = label else {
        return fixes(view, finding, cause, &workload);
    };
    if let Some(instead) = label.instead {
        finding = finding.evidence("nodes", instead);
    }
    finding
        .fix_command(label.fix, edit_template(&workload))
        .fix_command("or label a node", command("kubectl label node NODE {}", &[&label.label]))
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

fn fixes(view: &View<'_>, finding: Finding, cause: Option<Unschedulable>, workload: &ObjectRef) -> Finding {
    let is_cordoned = |node: &&k8s_openapi::api::core::v1::Node| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    let cordoned = view.snapshot.objects.nodes.iter().find(is_cordoned).map(|node| node.name_any());
    let edit = edit_template(workload);
    match cause {
        Some(Unschedulable::Cpu | Unschedulable::Memory | Unschedulable::EphemeralStorage) => finding
            .fix_command(
                format!(
                    "lower the {} request in the pod template, or add a node that has it",
                    cause.map_or("", Unschedulable::as_str)
                ),
                edit,
            )
            .fix_command("see what the nodes have left", "kubectl describe nodes"),
        Some(Unschedulable::ExtendedResource) => finding
            .fix_command(
                "see whether a node offers it (is its device plugin installed?)",
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,ALLOCATABLE:.status.allocatable",
            )
            .fix_command("or remove the limit", edit),
        Some(Unschedulable::PodsPerNode) => finding.fix_command("add a node, or scale something down", "kubectl get pods -A -o wide"),
        Some(Unschedulable::NodeSelector | Unschedulable::NodeAffinity) => finding
            .fix_command("compare with the labels of the nodes", "kubectl get nodes --show-labels")
            .fix_command("correct the selector, or label a node", edit),
        Some(Unschedulable::PodAffinity | Unschedulable::PodAntiAffinity | Unschedulable::TopologySpread) => finding.fix_command(
            "run fewer replicas, add nodes, or make the rule preferred instead of required",
            edit,
        ),
        Some(Unschedulable::Taint) => finding
            .fix_command(
                "see the taints",
                "kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints",
            )
            .fix_command(
                "add a toleration where the node is meant for such pods; a taint of node.kubernetes.io/ means that the node itself has a problem",
                edit,
            ),
        Some(Unschedulable::Cordoned) => finding.fix_command(
            "uncordon a node when its maintenance is over",
            match cordoned {
                Some(node) => command("kubectl uncordon {}", &[&node]),
                None => "kubectl get nodes && kubectl uncordon NODE".into(),
            },
        ),
        Some(Unschedulable::Volume) => finding.fix_command("look at the claims", command("kubectl get pvc -n {}", &[&workload.namespace])),
        Some(Unschedulable::HostPort) => finding.fix_command("use a Service instead of a host port, or run no more pods than nodes", edit),
        Some(Unschedulable::NoNodes) => finding.fix_command("add a node", "kubectl get nodes"),
        Some(Unschedulable::ResourceClaim) => {
            finding.fix_command("look at the claims", command("kubectl get resourceclaims -n {}", &[&workload.namespace]))
        }
        _ => finding.fix_command("see what the scheduler says", command("kubectl describe {} -n {}", &[&workload.short(), &workload.namespace])),
    }
}

/// A pod that its node refused on arrival (bare pods with nodeName, static pods, races): nothing tries it again.
fn rejected(view: &View<'_>, pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let workload = view.workload_of(pod);
    let is_bare = workload.is(&crate::model::kind::POD);
    let reason = status.reason.as_deref()?;
    if phase(pod) != "Failed" || !is_bare {
        // A controller has made another one since.
        return None;
    }
    let message = status.message.as_deref().unwrap_or_default();
    let cause = match reason {
        "OutOfcpu" => Unschedulable::Cpu,
        "OutOfmemory" => Unschedulable::Memory,
        "OutOfephemeral-storage" => Unschedulable::EphemeralStorage,
        "OutOfpods" => Unschedulable::PodsPerNode,
        "NodeAffinity" => Unschedulable::NodeSelector,
        "NodePorts" => return Some(host_port::conflict(view, pod, message)),
        other if other.starts_with("OutOf") => Unschedulable::ExtendedResource,
        _ => return None,
    };
    let namespace = pod.namespace().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("its node");
    let finding = Finding::error(
        cause,
        view.pod_subject(pod),
        format!("{node} refused the pod when it arrived: {}", shorten(message, 160)),
    )
    .evidence(format!("pod/{} status", pod.name_any()), format!("Failed, {reason}"))
    .breaking(Effect::NotReady(workload.clone()));
    Some(fixes(view, finding, Some(cause), &workload).fix_command(
        "a refused pod is not started again: delete it and create it again",
        command("kubectl delete pod {} -n {}", &[&pod.name_any(), &namespace]),
    ))
}

#[cfg(test)]
mod tests;
