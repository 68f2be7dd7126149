//! What a pod asks for, against what nodes have.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use crate::facts::requests::{amount_of, asked, shown, sum};
use crate::model::kind;
use crate::view::{Needs, View, has_ended};

/// `asks 64 cpu; the largest node has 2 (node-1)`: what can be said with what was read.
pub fn compare(view: &View<'_>, needs: &mut Needs, pod: &Pod, resource: &str) -> Option<String> {
    let request = asked(pod.spec.as_ref()?, resource)?;
    let wanted = shown(&request, resource);
    if !needs.list(view, &kind::NODE, "") && view.snapshot.objects.nodes.is_empty() {
        return Some(format!("requests {wanted} {resource}"));
    }
    let allocatable = |node: &Node| amount_of(node.status.as_ref()?.allocatable.as_ref(), resource);
    let Some((largest, node)) = view
        .snapshot
        .objects
        .nodes
        .iter()
        .filter_map(|node| Some((allocatable(node)?, node)))
        .max_by(|a, b| a.0.cmp(&b.0))
    else {
        return Some(format!("requests {wanted} {resource}; no node has any"));
    };
    let name = node.name_any();
    let most = shown(&largest, resource);
    if request > largest {
        return Some(format!("requests {wanted} {resource}; the largest node ({name}) has {most}"));
    }
    // What is free is known only where every pod of every namespace was read.
    let used = |node: &Node| {
        let on_it = view
            .snapshot
            .objects
            .pods
            .iter()
            .filter(|p| !has_ended(p) && p.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(node.name_any().as_str()));
        sum(on_it.filter_map(|p| asked(p.spec.as_ref()?, resource)))
    };
    let used = used(node);
    let taken = used.as_ref().map(|used| shown(used, resource)).unwrap_or_default();
    let all = view.snapshot.is_complete(&kind::POD, "") && view.snapshot.namespaces.is_empty();
    Some(match used {
        Some(used) if all => format!(
            "requests {wanted} {resource}; the largest node ({name}) has {most}, of which {taken} is taken and {} free",
            shown(&(largest.clone() - used.clone()), resource)
        ),
        Some(_) => {
            format!("requests {wanted} {resource}; the largest node ({name}) has {most}, of which the pods in view take {taken}")
        }
        None => format!("requests {wanted} {resource}; the largest node ({name}) has {most}"),
    })
}
