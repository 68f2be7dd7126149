//! What NetworkPolicies allow between two ends of a connection.

pub(crate) mod allows;
pub(crate) mod block;
pub(crate) mod denied;
pub(crate) mod dns;
pub(crate) mod ends;
pub(crate) mod remedy;
pub(crate) mod rule;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

use crate::facts::policy::allows::{Direction, Doubt, End, Identity, Port};
use crate::facts::policy::denied::Denied;
use crate::facts::policy::ends::{end, needs_namespace, on_host};
use crate::facts::policy::rule::Side;
use crate::model::kind;
use crate::view::{Needs, View, is_ready, ports};

/// What stops a pod first from calling a port of a Service whose pods are ready; none where it is allowed or unknown.
pub fn denies<'a>(view: &View<'a>, needs: &mut Needs, caller: &'a Pod, service: &Service, port: Option<u16>) -> Option<Denied<'a>> {
    denies_all(view, needs, caller, service, port)?.into_iter().next()
}

/// All that stops it, on the way out and on the way in.
pub fn denies_all<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    caller: &'a Pod,
    service: &Service,
    port: Option<u16>,
) -> Option<Vec<Denied<'a>>> {
    let (from, to) = (caller.namespace().unwrap_or_default(), service.namespace().unwrap_or_default());
    // Policies do not hold for pods on the node's own network.
    if on_host(caller.spec.as_ref()) || !policies_read(view, needs, &from) || !policies_read(view, needs, &to) {
        return None;
    }
    let offered = ports::of_service(service);
    let called = match port {
        Some(port) => offered.iter().find(|p| p.port == i32::from(port)),
        None => offered.first(),
    };
    let mut ready = ports::pods_behind(view, service)
        .into_iter()
        .filter(|pod| is_ready(pod) && !on_host(pod.spec.as_ref()))
        .peekable();
    ready.peek()?;
    let mut first = None;
    for destination in ready {
        let number = match (called, port) {
            // Names of a headless Service lead to any port of its pods, as it is called.
            (_, Some(port)) if ports::is_headless(service) => i32::from(port),
            (Some(service_port), _) => ports::resolve(destination.spec.as_ref()?, service_port)?,
            (None, port) => i32::from(port?),
        };
        let protocol = called.map_or("TCP", |p| ports::protocol(p.protocol.as_ref()));
        // One pod that answers is enough for a call to succeed now and then; only a closed door is accused.
        let denied = between(view, needs, caller, destination, Port { number, protocol });
        if denied.is_empty() {
            return None;
        }
        first.get_or_insert(denied);
    }
    first
}

/// What stops a pod from calling a port of another one; nothing where it is allowed or unknown.
fn between<'a>(view: &View<'a>, needs: &mut Needs, caller: &'a Pod, destination: &'a Pod, port: Port<'_>) -> Vec<Denied<'a>> {
    // No policy keeps a pod from itself.
    if caller.metadata.name == destination.metadata.name && caller.metadata.namespace == destination.metadata.namespace {
        return Vec::new();
    }
    let policies = &view.snapshot.objects.network_policies;
    let (from, to) = (end(view, caller), end(view, destination));
    let judged = [Direction::Egress, Direction::Ingress].into_iter().filter_map(|direction| {
        let evaluation = allows::evaluate(policies, direction, &from, &to, port);
        if evaluation.doubt() == Some(Doubt::Namespace) {
            let peer = match direction {
                Direction::Egress => destination,
                Direction::Ingress => caller,
            };
            needs_namespace(view, needs, peer.metadata.namespace.as_deref().unwrap_or_default());
        }
        let sides = (Side::of_pod(view, caller), Side::of_pod(view, destination));
        Denied::of(&evaluation, (&from, &sides.0), (&to, &sides.1), port)
    });
    judged.collect()
}

/// What stops a pod from calling a port of a host outside of the cluster; none where it is allowed or unknown.
pub fn denies_outside<'a>(view: &View<'a>, needs: &mut Needs, caller: &'a Pod, host: &str, port: u16) -> Option<Denied<'a>> {
    if on_host(caller.spec.as_ref()) || !policies_read(view, needs, &caller.namespace().unwrap_or_default()) {
        return None;
    }
    let ip: Option<IpAddr> = host.parse().ok();
    let is_own = ends::is_own_node(caller, None, ip);
    let destination = End {
        // Rules can select a pod whatever its address.
        identity: match ip.is_some_and(block::may_be_of_pod) {
            true => Identity::Unseen,
            false => Identity::Outside,
        },
        ip,
        ..End::default()
    };
    let side = ip.map_or_else(|| Side::Name(host.to_owned()), Side::Address);
    let (from, port) = (
        end(view, caller),
        Port {
            number: port.into(),
            protocol: "TCP",
        },
    );
    let policies = &view.snapshot.objects.network_policies;
    let evaluation = allows::evaluate(policies, Direction::Egress, &from, &destination, port);
    let source = Side::of_pod(view, caller);
    Denied::of(&evaluation, (&from, &source), (&destination, &side), port).filter(|_| !is_own)
}

/// What stops a pod from asking the cluster's DNS; only the way out is judged, for the DNS pods' own policies are seldom readable.
pub fn denies_dns<'a>(view: &View<'a>, needs: &mut Needs, caller: &'a Pod) -> Option<Denied<'a>> {
    let from = caller.namespace().unwrap_or_default();
    let spec = caller.spec.as_ref();
    let asks_cluster = matches!(
        spec.and_then(|s| s.dns_policy.as_deref()),
        None | Some("ClusterFirst" | "ClusterFirstWithHostNet")
    );
    if on_host(spec) || !asks_cluster || !policies_read(view, needs, &from) {
        return None;
    }
    let source = (&end(view, caller), &Side::of_pod(view, caller));
    dns::evaluate(view, needs, source)?.1
}

fn policies_read(view: &View<'_>, needs: &mut Needs, namespace: &str) -> bool {
    needs.list(view, &kind::NETWORK_POLICY, namespace)
}
