//! Unhealthy nodes, and preempted pods.

use k8s_openapi::api::core::v1::{Event, Node};

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::{View, Workload, is_ready};

/// The taints that Kubernetes puts on unhealthy nodes.
const OF_ILLNESS: [&str; 5] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
];

/// Whether a node has a taint.
pub fn has_taint(node: &Node, taint: &str) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.into_iter().any(|t| t.key == taint)
}

/// The names of the nodes that Kubernetes has tainted as unhealthy.
pub fn ill<'a>(view: &View<'a>) -> impl Iterator<Item = &'a str> {
    let nodes = view.snapshot.objects.nodes.iter();
    nodes
        .filter(|node| OF_ILLNESS.iter().any(|taint| has_taint(node, taint)))
        .filter_map(|node| node.metadata.name.as_deref())
}

/// Whether a workload has as many ready pods as it wants.
pub fn is_satisfied(workload: &Workload<'_>) -> bool {
    let ready = workload.pods.iter().filter(|p| is_ready(p)).count();
    match workload.object {
        Some(object) => object
            .wanted()
            .is_some_and(|wanted| ready >= usize::try_from(wanted).unwrap_or_default()),
        None => ready > 0,
    }
}

/// Events about preempted pods, with their workload.
pub fn preemptions<'a>(view: &View<'a>) -> Vec<(ObjectRef, &'a Event)> {
    view.snapshot
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
            seen.is_none_or(|t| view.age(t) <= view.options.since)
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
                .map(|kind| view.climb(&ObjectRef::new(kind, namespace, owner)))
                .find(|reference| view.workload(reference).is_some())?;
            Some((top, event))
        })
        .collect()
}

/// Whether the pods of a workload were preempted and their replacements are not up yet.
pub fn was_preempted(view: &View<'_>, workload: &ObjectRef) -> bool {
    preemptions(view)
        .iter()
        .any(|(of, _)| of == workload && view.workload(of).is_some_and(|w| !is_satisfied(w)))
}
