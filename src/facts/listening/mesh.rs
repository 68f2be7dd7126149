//! Service meshes: a sidecar answers in the place of the application, so that a dial tells nothing of it.

use k8s_openapi::api::core::v1::Pod;

use crate::view::{ContainerView, containers};

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
pub fn is_mesh(container: &ContainerView<'_>) -> bool {
    MESH.contains(&container.name())
}

/// The container of a service mesh that answers in the place of this pod's containers.
pub fn mesh(pod: &Pod) -> Option<&str> {
    containers(pod).iter().find(|container| is_mesh(container)).map(ContainerView::name)
}
