//! A node that is lost: all pods of the namespace on it go at once.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::view::{View, has_ended, is_terminating};

/// The node, the pods on it, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) node: String,
    pub(crate) pods: BTreeSet<String>,
    pub(crate) workloads: Vec<ObjectRef>,
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec
        .as_ref()?
        .node_name
        .as_deref()
        .filter(|_| !has_ended(pod) && !is_terminating(pod))
}

/// What is lost with the node that is named, or with the one that runs most pods of the targets; the error says that it runs none.
pub(crate) fn lost(view: &View<'_>, named: Option<&str>, targets: &[ObjectRef]) -> Result<Lost, String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for workload in targets.iter().filter_map(|target| view.workload(target)) {
        for node in workload.pods.iter().filter_map(|pod| node(pod)) {
            *counts.entry(node).or_default() += 1;
        }
    }
    // The first by name of those that run as many.
    let busiest = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(node, _)| *node);
    let of = named.or(busiest).ok_or("no pod of the targets runs on a node")?;
    let on_it = view.snapshot.objects.pods.iter().filter(|pod| node(pod) == Some(of));
    let pods: BTreeSet<String> = on_it.clone().filter_map(Pod::uid).collect();
    if pods.is_empty() {
        return Err(format!("no pod of the namespace runs on node {of}"));
    }
    let workloads: BTreeSet<ObjectRef> = on_it.map(|pod| view.workload_of(pod)).collect();
    Ok(Lost {
        node: of.to_owned(),
        pods,
        workloads: workloads.into_iter().collect(),
    })
}
