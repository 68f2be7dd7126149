//! What a pod asks for, against what nodes have.

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube_quantity::ParsedQuantity;

use crate::model::kind;
use crate::rules::Context;
use crate::rules::context::has_ended;

/// What a pod asks for of one resource: its containers together, or its largest init container, and its overhead
/// (KEP-753 counts sidecars with the containers).
pub fn asked(spec: &PodSpec, resource: &str) -> Option<ParsedQuantity> {
    let of = |container: &Container| request(container, resource);
    let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let init = || spec.init_containers.iter().flatten();
    let together = sum(spec.containers.iter().chain(init().filter(is_sidecar)).filter_map(of));
    let largest = init().filter(|c| !is_sidecar(c)).filter_map(of).max();
    let overhead = spec
        .overhead
        .as_ref()
        .and_then(|o| o.get(resource))
        .and_then(|q| ParsedQuantity::try_from(q).ok());
    let whole = spec
        .resources
        .as_ref()
        .and_then(|r| r.requests.as_ref().or(r.limits.as_ref()))
        .and_then(|r| r.get(resource))
        .and_then(|q| ParsedQuantity::try_from(q).ok());
    let containers = match (together, largest) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    sum(whole.or(containers).into_iter().chain(overhead))
}

fn request(container: &Container, resource: &str) -> Option<ParsedQuantity> {
    let resources = container.resources.as_ref()?;
    let of = |map: Option<&std::collections::BTreeMap<String, Quantity>>| map.and_then(|m| m.get(resource)).cloned();
    // A limit without a request counts as the request.
    of(resources.requests.as_ref())
        .or_else(|| of(resources.limits.as_ref()))
        .and_then(|q| ParsedQuantity::try_from(q).ok())
}

fn sum(quantities: impl Iterator<Item = ParsedQuantity>) -> Option<ParsedQuantity> {
    quantities.reduce(|a, b| a + b)
}

/// `640Gi`, `23.4Gi`, `500m`: an amount as people write it; nodes count their memory in Ki.
fn amount(quantity: &ParsedQuantity, resource: &str) -> String {
    let text = quantity.to_string();
    if !matches!(resource, "memory" | "ephemeral-storage") {
        return text;
    }
    let Some(bytes) = quantity.to_bytes_f64() else { return text };
    for (unit, size) in [("Gi", 1024_f64.powi(3)), ("Mi", 1024_f64.powi(2))] {
        if bytes >= size {
            let number = format!("{:.1}", bytes / size);
            return format!("{}{unit}", number.trim_end_matches(".0"));
        }
    }
    text
}

/// `asks 64 cpu; the largest node has 2 (node-1)`: what can be said with what was read.
pub fn compare(context: &Context<'_>, pod: &Pod, resource: &str) -> Option<String> {
    let asked = asked(pod.spec.as_ref()?, resource)?;
    let wanted = amount(&asked, resource);
    if !context.needs_list(&kind::NODE, "") && context.snapshot.objects.nodes.is_empty() {
        return Some(format!("asks for {wanted} {resource}"));
    }
    let allocatable = |node: &Node| {
        let map = node.status.as_ref()?.allocatable.as_ref()?;
        ParsedQuantity::try_from(map.get(resource)?).ok()
    };
    let Some((largest, node)) = context
        .snapshot
        .objects
        .nodes
        .iter()
        .filter_map(|node| Some((allocatable(node)?, node)))
        .max_by(|a, b| a.0.cmp(&b.0))
    else {
        return Some(format!("asks for {wanted} {resource}; no node has any"));
    };
    let name = node.name_any();
    let most = amount(&largest, resource);
    if asked > largest {
        return Some(format!("asks for {wanted} {resource}; the largest node ({name}) has {most}"));
    }
    // What is free is known only where every pod of every namespace was read.
    let used = |node: &Node| {
        let on_it = context
            .snapshot
            .objects
            .pods
            .iter()
            .filter(|p| !has_ended(p) && p.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(node.name_any().as_str()));
        sum(on_it.filter_map(|p| self::asked(p.spec.as_ref()?, resource)))
    };
    let used = used(node);
    let taken = used.as_ref().map(|used| amount(used, resource)).unwrap_or_default();
    let all = context.snapshot.is_complete(&kind::POD, "") && context.snapshot.namespaces.is_empty();
    Some(match used {
        Some(used) if all => format!(
            "asks for {wanted} {resource}; the largest node ({name}) has {most}, of which {taken} is taken and {} free",
            amount(&(largest.clone() - used.clone()), resource)
        ),
        Some(_) => {
            format!("asks for {wanted} {resource}; the largest node ({name}) has {most}, of which the pods in view take {taken}")
        }
        None => format!("asks for {wanted} {resource}; the largest node ({name}) has {most}"),
    })
}
