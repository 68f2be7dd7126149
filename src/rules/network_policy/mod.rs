//! NetworkPolicies that stand between a caller and a Service whose pods are well.
//!
//! Only a timeout is blamed on a policy: a refusal has come from the other end.

pub mod allows;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;

use self::allows::{Answer, Direction, End, Port};
use super::context::{Context, is_ready, reference_of};
use super::dependency::callers::{self, Failure, Trouble, wrong_port};
use super::dependency::failure::How;
use super::dependency::names;
use super::dependency::places::Place;
use super::ports::{self, State};
use super::service;
use crate::model::code::Code::NetworkPolicyBlocks;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::text::{redact, shorten};

/// A connection that policies do not let pass.
#[derive(Clone, Debug)]
pub struct Denied<'a> {
    /// Which end is closed.
    pub direction: Direction,
    /// The policies that close it.
    pub policies: Vec<&'a NetworkPolicy>,
    /// The pod that is called; none for a name server.
    pub destination: Option<&'a Pod>,
    /// The port that is called, as the pod sees it.
    pub port: i32,
}

impl Denied<'_> {
    /// The policies by name.
    pub fn references(&self) -> Vec<ObjectRef> {
        self.policies
            .iter()
            .map(|p| reference_of(&kind::NETWORK_POLICY, &p.metadata))
            .collect()
    }

    /// The policy to change: one that allows something already, else the first by name.
    fn first(&self) -> Option<&NetworkPolicy> {
        let allows_some = |policy: &&&NetworkPolicy| {
            policy.spec.as_ref().is_some_and(|s| match self.direction {
                Direction::Ingress => s.ingress.as_ref().is_some_and(|r| !r.is_empty()),
                Direction::Egress => s.egress.as_ref().is_some_and(|r| !r.is_empty()),
            })
        };
        self.policies.iter().find(allows_some).or(self.policies.first()).copied()
    }
}

/// Calls that time out because a policy does not let them pass.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    callers::failures(context)
        .iter()
        .filter_map(|failure| blame(context, failure))
        .collect()
}

fn blame(context: &Context<'_>, failure: &Failure<'_>) -> Option<Finding> {
    let Place::Service { namespace, name } = &failure.place else {
        return None;
    };
    let service = context.service(namespace, name)?;
    let (cause, denied) = of_failure(context, failure, service)?;
    let policy = denied.first()?;
    let policy_name = policy.name_any();
    let policy_namespace = policy.namespace().unwrap_or_default();
    let caller = failure.container.pod;
    let from = context.workload_of(caller);
    let to = denied.destination.map_or_else(
        || ObjectRef::new(&kind::SERVICE, "kube-system", "kube-dns"),
        |pod| context.workload_of(pod),
    );
    let closed = match denied.direction {
        Direction::Ingress => denied.destination.unwrap_or(caller),
        Direction::Egress => caller,
    };
    let summary = match cause {
        "dns" => format!(
            "NetworkPolicy {policy_name} does not let {} ask the cluster's DNS (port 53), so names do not resolve",
            from.short()
        ),
        "ingress" => format!(
            "NetworkPolicy {policy_name} does not let {} in to {} on port {}",
            from.short(),
            to.short(),
            denied.port
        ),
        _ => format!(
            "NetworkPolicy {policy_name} does not let {} out to {} on port {}",
            from.short(),
            to.short(),
            denied.port
        ),
    };
    let rule = match (cause, denied.direction) {
        ("dns", _) => "egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]".to_owned(),
        (_, Direction::Ingress) => format!(
            "ingress: [{{from: [{}], ports: [{{port: {}}}]}}]",
            peer(context, caller, &policy_namespace),
            denied.port
        ),
        (_, Direction::Egress) => format!(
            "egress: [{{to: [{}], ports: [{{port: {}}}]}}]",
            denied
                .destination
                .map(|pod| peer(context, pod, &policy_namespace))
                .unwrap_or_default(),
            denied.port
        ),
    };
    let mut finding = Finding::error(
        NetworkPolicyBlocks,
        cause,
        Subject::of(reference_of(&kind::NETWORK_POLICY, &policy.metadata)).pod(&closed.name_any()),
        summary,
    )
    .confidence(Confidence::Likely);
    if let Some((source, line)) = &failure.line {
        finding = finding.evidence(source, shorten(&redact(line), 200));
    } else {
        finding = finding.evidence(failure.container.source(), "waits, and its log does not say why");
    }
    finding = finding
        .evidence(
            format!("networkpolicy/{policy_name}"),
            match denied.direction {
                Direction::Ingress => format!(
                    "selects pod {} for ingress, and no rule allows this caller and port",
                    closed.name_any()
                ),
                Direction::Egress => format!(
                    "selects pod {} for egress, and no rule allows this destination and port",
                    closed.name_any()
                ),
            },
        )
        .related("source", from)
        .related("destination", to)
        .related("service", service::reference(service))
        .fix_command(
            format!("add a rule to NetworkPolicy {policy_name}: {rule}"),
            format!("kubectl edit networkpolicy {policy_name} -n {policy_namespace}"),
        );
    for reference in denied.references() {
        if reference.name != policy_name {
            finding = finding.related("policy", reference.clone());
        }
        finding = finding.breaking(Effect::Object(reference));
    }
    if failure.trouble != Trouble::Suspect {
        for effect in context.container_effects(&failure.container) {
            finding = finding.breaking(effect);
        }
    }
    Some(finding)
}

/// The policy that explains a failed call to a Service, and the cause as it is told.
pub fn of_failure<'a>(context: &Context<'a>, failure: &Failure<'a>, service: &Service) -> Option<(&'static str, Denied<'a>)> {
    let caller = failure.container.pod;
    let dns = || denies_dns(context, caller).map(|denied| ("dns", denied));
    match failure.how {
        How::Unresolved => dns(),
        How::Timeout | How::Unknown => {
            if wrong_port(service, failure.port) || ports::state(context, service) != State::Ready {
                return None;
            }
            // A client with a time limit of its own may still have been asking for the name; an address in the line says that it was not.
            let has_address = failure
                .line
                .as_ref()
                .is_some_and(|(_, line)| names::in_line(line).iter().any(|m| m.ip().is_some()));
            if let Some(found) = (!has_address).then(dns).flatten() {
                return Some(found);
            }
            let denied = denies(context, caller, service, failure.port)?;
            let cause = match denied.direction {
                Direction::Ingress => "ingress",
                Direction::Egress => "egress",
            };
            Some((cause, denied))
        }
        _ => None,
    }
}

/// `{podSelector: {matchLabels: {app: web}}}`, with the namespace where it is another one.
fn peer(context: &Context<'_>, pod: &Pod, policy_namespace: &str) -> String {
    let of_template = context
        .workload(&context.workload_of(pod))
        .and_then(|w| w.object)
        .map(super::context::WorkloadObject::pod_labels)
        .filter(|labels| !labels.is_empty());
    let labels: BTreeMap<String, String> = of_template.unwrap_or_else(|| pod.labels().clone());
    let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}: {v}")).collect();
    let pods = format!("podSelector: {{matchLabels: {{{}}}}}", pairs.join(", "));
    let namespace = pod.namespace().unwrap_or_default();
    if namespace == policy_namespace {
        format!("{{{pods}}}")
    } else {
        format!("{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}, {pods}}}")
    }
}

/// What stops a pod from calling a port of a Service whose pods are ready; none where it may pass, or where that cannot be told.
pub fn denies<'a>(context: &Context<'a>, caller: &'a Pod, service: &Service, port: Option<u16>) -> Option<Denied<'a>> {
    let (from, to) = (caller.namespace().unwrap_or_default(), service.namespace().unwrap_or_default());
    // Policies do not hold for pods on the node's own network.
    if on_host(caller) || !policies_read(context, &from) || !policies_read(context, &to) {
        return None;
    }
    let offered = ports::of_service(service);
    let called = match port {
        Some(port) => offered.iter().find(|p| p.port == i32::from(port)),
        None => offered.first(),
    };
    let mut ready = ports::pods_behind(context, service)
        .into_iter()
        .filter(|pod| is_ready(pod) && !on_host(pod))
        .peekable();
    ready.peek()?;
    let mut first = None;
    for destination in ready {
        let number = match called {
            Some(service_port) => ports::resolve(destination.spec.as_ref()?, service_port)?,
            // Names of a headless Service lead to any port of its pods.
            None => i32::from(port?),
        };
        let protocol = called.map_or("TCP", |p| ports::protocol(p.protocol.as_ref()));
        let answer = allows::allows(
            &context.snapshot.objects.network_policies,
            &end(context, caller),
            &end(context, destination),
            Port { number, protocol },
        );
        // One pod that answers is enough for a call to succeed now and then; only a closed door is accused.
        let Answer::Denied(direction, policies) = answer else { return None };
        first.get_or_insert(Denied {
            direction,
            policies,
            destination: Some(destination),
            port: number,
        });
    }
    first
}

/// What stops a pod from asking the cluster's DNS.
pub fn denies_dns<'a>(context: &Context<'a>, caller: &'a Pod) -> Option<Denied<'a>> {
    const NAMESPACE: &str = "kube-system";
    let from = caller.namespace().unwrap_or_default();
    if on_host(caller) || !policies_read(context, &from) {
        return None;
    }
    let objects = &context.snapshot.objects;
    // Every distribution labels its DNS pods so, for the Service kube-dns to find them.
    let conventional = BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]);
    let server = objects
        .pods
        .iter()
        .find(|p| p.namespace().as_deref() == Some(NAMESPACE) && p.labels().get("k8s-app").is_some_and(|v| v == "kube-dns"));
    let destination = match server {
        Some(pod) => end(context, pod),
        None => End {
            namespace: NAMESPACE,
            namespace_labels: namespace_labels(context, NAMESPACE),
            labels: Some(&conventional),
            ip: None,
            ports: Vec::new(),
        },
    };
    // Only the way out is judged: the DNS pods' own policies are seldom readable.
    let answer = allows::out(
        &objects.network_policies,
        &end(context, caller),
        &destination,
        Port {
            number: 53,
            protocol: "UDP",
        },
    );
    match answer {
        Answer::Denied(direction, policies) => Some(Denied {
            direction,
            policies,
            destination: None,
            port: 53,
        }),
        _ => None,
    }
}

fn on_host(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|s| s.host_network).unwrap_or(false)
}

fn policies_read(context: &Context<'_>, namespace: &str) -> bool {
    context.needs_list(&kind::NETWORK_POLICY, namespace)
}

fn namespace_labels<'a>(context: &Context<'a>, name: &str) -> Option<&'a BTreeMap<String, String>> {
    context
        .snapshot
        .objects
        .namespaces
        .iter()
        .find(|n| n.name_any() == name)
        .map(ResourceExt::labels)
}

fn end<'a>(context: &Context<'a>, pod: &'a Pod) -> End<'a> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    End {
        namespace,
        namespace_labels: namespace_labels(context, namespace),
        labels: Some(pod.labels()),
        ip: pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        ports: pod.spec.as_ref().map(ports::declared).unwrap_or_default(),
    }
}
