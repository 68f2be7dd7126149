//! Service meshes: a sidecar answers in the place of the application, so that a dial tells nothing of it.

use k8s_openapi::api::core::v1::Pod;

use super::uses::{self, Use};
use super::{look, representatives};
use crate::model::finding::ObjectRef;
use crate::model::snapshot::{DIALS, Unchecked};
use crate::rules::Context;
use crate::rules::context::{ContainerView, containers};

/// Names of the containers that service meshes put into pods: they answer in the application's place, so that a dial tells nothing of it.
const MESH: [&str; 6] = [
    "istio-proxy",
    "linkerd-proxy",
    "kuma-sidecar",
    "consul-dataplane",
    "envoy-sidecar",
    "osm-proxy",
];

/// Whether a container belongs to a service mesh.
pub(super) fn is_mesh(container: &ContainerView<'_>) -> bool {
    MESH.contains(&container.name())
}

/// The container of a service mesh that answers in the place of this pod's containers.
pub(super) fn mesh(pod: &Pod) -> Option<&str> {
    containers(pod).iter().find(|container| is_mesh(container)).map(ContainerView::name)
}

/// What is not dialled although somebody uses it, because a service mesh would answer in the application's place.
pub fn behind_meshes(context: &Context<'_>, has: impl Fn(&ObjectRef) -> bool) -> Vec<Unchecked> {
    let mut found = Vec::new();
    for workload in context.workloads().filter(|workload| has(&workload.reference)) {
        let unsaid = representatives(context, workload).into_iter().find_map(|pod| {
            let sidecar = mesh(pod)?;
            let uses = uses::of_pod(context, pod);
            let open = |used: &&Use<'_>| {
                let of_mesh = used.container(context, pod).is_some_and(|c| is_mesh(&c));
                used.is_used() && used.protocol == "TCP" && !of_mesh && !look::passes_probe(pod, used.port)
            };
            let ports: Vec<String> = uses.iter().filter(open).map(|used| used.port.to_string()).collect();
            (!ports.is_empty()).then_some((sidecar, ports))
        });
        if let Some((sidecar, ports)) = unsaid {
            let (word, place) = if ports.len() == 1 { ("port", "its") } else { ("ports", "their") };
            found.push(Unchecked::without_right(
                format!("{word} {} of {} {DIALS}", ports.join(", "), workload.reference.short()),
                format!("the service mesh's {sidecar} answers in {place} place; --exec shows what listens"),
            ));
        }
    }
    found
}
