//! What a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_quantity::ParsedQuantity;

/// What a pod asks for of one resource: its containers together, or its largest init container, and its overhead
/// (KEP-753 counts sidecars with the containers).
pub fn asked(spec: &PodSpec, resource: &str) -> Option<ParsedQuantity> {
    // A limit without a request counts as the request.
    let of = |all: &ResourceRequirements| amount_of(all.requests.as_ref(), resource).or_else(|| amount_of(all.limits.as_ref(), resource));
    together(spec, resource, of)
}

/// The limit of a pod for one resource, counted like [`asked`].
pub fn limited(spec: &PodSpec, resource: &str) -> Option<ParsedQuantity> {
    together(spec, resource, |all| amount_of(all.limits.as_ref(), resource))
}

fn together(spec: &PodSpec, resource: &str, of: impl Fn(&ResourceRequirements) -> Option<ParsedQuantity>) -> Option<ParsedQuantity> {
    let of_container = |container: &Container| container.resources.as_ref().and_then(&of);
    let is_sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let init = || spec.init_containers.iter().flatten();
    let together = sum(spec.containers.iter().chain(init().filter(is_sidecar)).filter_map(of_container));
    let largest = init().filter(|c| !is_sidecar(c)).filter_map(of_container).max();
    let overhead = amount_of(spec.overhead.as_ref(), resource);
    let whole = spec.resources.as_ref().and_then(&of);
    let containers = match (together, largest) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    sum(whole.or(containers).into_iter().chain(overhead))
}

/// The amount of one resource in a map of them.
pub fn amount_of(all: Option<&BTreeMap<String, Quantity>>, resource: &str) -> Option<ParsedQuantity> {
    ParsedQuantity::try_from(all?.get(resource)?).ok()
}

/// The sum of amounts; none of none.
pub fn sum(quantities: impl Iterator<Item = ParsedQuantity>) -> Option<ParsedQuantity> {
    quantities.reduce(|a, b| a + b)
}

/// `640Gi`, `23.4Gi`, `500m`: an amount as people write it; nodes count their memory in Ki.
pub fn shown(quantity: &ParsedQuantity, resource: &str) -> String {
    let text = quantity.to_string();
    if !["memory", "storage"].iter().any(|of_bytes| resource.ends_with(of_bytes)) {
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
