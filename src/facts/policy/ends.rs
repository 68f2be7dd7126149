//! The ends of a connection as policies see them: pods, their namespaces, and the node's own network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;

use crate::facts::policy::allows::{End, Identity};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::{Need, Needs, View, ports};

/// Whether a pod is on its node's own network, for which no policy holds.
pub fn on_host(spec: Option<&PodSpec>) -> bool {
    spec.and_then(|s| s.host_network).unwrap_or(false)
}

/// Whether what a pod calls is the node that it runs on, or on that node's network: traffic between both is always allowed.
pub fn is_own_node(caller: &Pod, called: Option<&Pod>, ip: Option<IpAddr>) -> bool {
    let node = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.clone());
    let status = caller.status.iter();
    let mut own = status.flat_map(|s| s.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(s.host_ip.as_deref()));
    let has_address = ip.is_some_and(|ip| own.any(|text| text.parse() == Ok(ip)));
    match called {
        Some(called) => on_host(called.spec.as_ref()) && (has_address || node(caller).is_some() && node(caller) == node(called)),
        None => has_address,
    }
}

/// Asks for a namespace, whose labels policies select by.
pub fn needs_namespace(view: &View<'_>, needs: &mut Needs, name: &str) {
    if namespace_labels(view, name).is_none() {
        needs.need(Need::Object(ObjectRef::new(&kind::NAMESPACE, "", name)));
    }
}

/// The labels of a namespace, where it was read.
pub fn namespace_labels<'a>(view: &View<'a>, name: &str) -> Option<&'a BTreeMap<String, String>> {
    let namespaces = &view.snapshot.objects.namespaces;
    namespaces.iter().find(|n| n.name_any() == name).map(ResourceExt::labels)
}

/// A pod as an end of a connection.
pub fn end<'a>(view: &View<'a>, pod: &'a Pod) -> End<'a> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let labels = pod.labels();
    End {
        namespace,
        namespace_labels: namespace_labels(view, namespace),
        identity: if on_host(pod.spec.as_ref()) {
            Identity::Host(labels)
        } else {
            Identity::Pod(labels)
        },
        ip: pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        ports: Some(pod.spec.as_ref().map(ports::declared).unwrap_or_default()),
    }
}
