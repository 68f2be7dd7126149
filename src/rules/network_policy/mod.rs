//! NetworkPolicies that stand between a caller and a Service whose pods are well.
//!
//! Only a timeout is blamed on a policy: a refusal has come from the other end.

pub mod allows;
pub mod block;
pub mod connection;
pub mod denied;
pub mod dns;
pub mod remedy;
pub mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Service};
use kube::ResourceExt;

use self::allows::{Direction, Doubt, End, Identity, Port};
use self::denied::Denied;
use self::rule::Side;
use super::context::{Context, Need, is_ready};
use super::dependency::Trouble;
use super::dependency::callers::{self, Failure, wrong_port};
use super::dependency::failure::How;
use super::dependency::names;
use super::dependency::places::Place;
use super::ports::{self, State};
use super::service;
use crate::model::finding::{Confidence, Finding, ObjectRef};
use crate::model::kind;
use crate::model::text::{redact, shorten};

/// Calls that time out because a policy does not let them pass.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let failures = callers::failures(context);
    let blamed = failures.iter().filter_map(|failure| {
        let Place::Service { namespace, name } = &failure.place else {
            return None;
        };
        let service = context.service(namespace, name)?;
        Some((failure, service, of_failure(context, failure, service)?))
    });
    let (calls, denied): (Vec<_>, Vec<_>) = blamed.map(|(failure, service, denied)| ((failure, service), denied)).unzip();
    // Whoever may not ask for names has not come so far as to be stopped at the port: it would be next.
    let by_name = calls.iter().zip(&denied).filter(|(_, one)| one.cause() == "dns");
    let next = by_name.filter_map(|((failure, service), _)| denies(context, failure.container.pod, service, failure.port));
    let all: Vec<Denied<'_>> = denied.iter().cloned().chain(next).collect();
    let each = calls.iter().zip(&denied);
    each.filter_map(|((failure, service), one)| Some(blame(context, failure, service, one.finding(&all)?)))
        .collect()
}

fn blame(context: &Context<'_>, failure: &Failure<'_>, service: &Service, finding: Finding) -> Finding {
    // Where its own words tell of no call, the policy is in the way of one that its spec names, and no more is known.
    let is_silent = failure.line.is_none() && failure.trouble.lasts();
    let finding = finding.confidence(if is_silent { Confidence::Possible } else { Confidence::Likely });
    // What was seen stands before what was evaluated.
    let evaluated = finding.evidence.clone();
    let mut finding = Finding {
        evidence: Vec::new(),
        ..finding
    };
    finding = match &failure.line {
        Some((source, line)) => finding.evidence(source, shorten(&redact(line), 200)),
        None if is_silent => finding.evidence(
            failure.container.source(),
            format!(
                "{}, its log does not say why, and its {} names {}",
                if failure.trouble == Trouble::Deaf {
                    "does not listen"
                } else {
                    "is not ready"
                },
                failure.named_by,
                service.name_any()
            ),
        ),
        None => finding.evidence(failure.container.source(), "waits, and its log does not say why"),
    };
    finding.evidence.extend(evaluated);
    finding = finding.related("service", service::reference(service));
    if failure.trouble != Trouble::Suspect {
        for effect in context.container_effects(&failure.container) {
            finding = finding.breaking(effect);
        }
    }
    finding
}

/// What explains a failed call to a Service.
pub fn of_failure<'a>(context: &Context<'a>, failure: &Failure<'a>, service: &Service) -> Option<Denied<'a>> {
    let caller = failure.container.pod;
    match failure.how {
        How::Unresolved => denies_dns(context, caller),
        How::Timeout | How::Unknown => {
            if wrong_port(context, service, failure.port) || ports::state(context, service) != State::Ready {
                return None;
            }
            // A client with a time limit of its own may still have been asking for the name; an address in the line says that it was not.
            let has_address = failure
                .line
                .as_ref()
                .is_some_and(|(_, line)| names::in_line(line).iter().any(|m| m.ip().is_some()));
            if let Some(found) = (!has_address).then(|| denies_dns(context, caller)).flatten() {
                return Some(found);
            }
            denies(context, caller, service, failure.port)
        }
        _ => None,
    }
}

/// What stops a pod from calling a port of a Service whose pods are ready; none where it may pass, or where that cannot be told.
pub fn denies<'a>(context: &Context<'a>, caller: &'a Pod, service: &Service, port: Option<u16>) -> Option<Denied<'a>> {
    let (from, to) = (caller.namespace().unwrap_or_default(), service.namespace().unwrap_or_default());
    // Policies do not hold for pods on the node's own network.
    if on_host(caller.spec.as_ref()) || !policies_read(context, &from) || !policies_read(context, &to) {
        return None;
    }
    let offered = ports::of_service(service);
    let called = match port {
        Some(port) => offered.iter().find(|p| p.port == i32::from(port)),
        None => offered.first(),
    };
    let mut ready = ports::pods_behind(context, service)
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
        let denied = between(context, caller, destination, Port { number, protocol })?;
        first.get_or_insert(denied);
    }
    first
}

/// What stops a pod from calling a port of another one; none where it may pass, or where that cannot be told.
fn between<'a>(context: &Context<'a>, caller: &'a Pod, destination: &'a Pod, port: Port<'_>) -> Option<Denied<'a>> {
    // No policy keeps a pod from itself.
    if caller.metadata.name == destination.metadata.name && caller.metadata.namespace == destination.metadata.namespace {
        return None;
    }
    let policies = &context.snapshot.objects.network_policies;
    let (from, to) = (end(context, caller), end(context, destination));
    [Direction::Egress, Direction::Ingress].into_iter().find_map(|direction| {
        let evaluation = allows::evaluate(policies, direction, &from, &to, port);
        if evaluation.doubt() == Some(Doubt::Namespace) {
            let peer = match direction {
                Direction::Egress => destination,
                Direction::Ingress => caller,
            };
            needs_namespace(context, peer.metadata.namespace.as_deref().unwrap_or_default());
        }
        let sides = (Side::of_pod(context, caller), Side::of_pod(context, destination));
        Denied::of(&evaluation, (&from, &sides.0), (&to, &sides.1), port)
    })
}

/// What stops a pod from asking the cluster's DNS; only the way out is judged, for the DNS pods' own policies are seldom readable.
pub fn denies_dns<'a>(context: &Context<'a>, caller: &'a Pod) -> Option<Denied<'a>> {
    let from = caller.namespace().unwrap_or_default();
    let spec = caller.spec.as_ref();
    let asks_cluster = matches!(
        spec.and_then(|s| s.dns_policy.as_deref()),
        None | Some("ClusterFirst" | "ClusterFirstWithHostNet")
    );
    if on_host(spec) || !asks_cluster || !policies_read(context, &from) {
        return None;
    }
    let source = (&end(context, caller), &Side::of_pod(context, caller));
    dns::evaluate(context, source)?.1
}

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

fn policies_read(context: &Context<'_>, namespace: &str) -> bool {
    context.needs_list(&kind::NETWORK_POLICY, namespace)
}

/// Asks for a namespace, whose labels policies select by.
pub fn needs_namespace(context: &Context<'_>, name: &str) {
    if namespace_labels(context, name).is_none() {
        context.need(Need::Object(ObjectRef::new(&kind::NAMESPACE, "", name)));
    }
}

/// The labels of a namespace, where it was read.
pub fn namespace_labels<'a>(context: &Context<'a>, name: &str) -> Option<&'a BTreeMap<String, String>> {
    let namespaces = &context.snapshot.objects.namespaces;
    namespaces.iter().find(|n| n.name_any() == name).map(ResourceExt::labels)
}

/// A pod as an end of a connection.
pub fn end<'a>(context: &Context<'a>, pod: &'a Pod) -> End<'a> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let labels = pod.labels();
    End {
        namespace,
        namespace_labels: namespace_labels(context, namespace),
        identity: if on_host(pod.spec.as_ref()) {
            Identity::Host(labels)
        } else {
            Identity::Pod(labels)
        },
        ip: pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        ports: Some(pod.spec.as_ref().map(ports::declared).unwrap_or_default()),
    }
}
