//! The Service of a connection: which pods, and which of their ports, a call of it leads to.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt;

use super::ends::{self, Place};
use super::hops::Record;
use super::{Ask, AskedPort, Called, Led, Unanswerable, alias, mismatch};
use crate::model::code::Code::{
    LocalTrafficPolicyWithoutEndpoint, ServiceHasNoReadyEndpoints, ServiceProtocolMismatch, ServiceSelectsNothing, TargetPortNameUnresolved,
};
use crate::model::connection::{Hop, HopAnswer, Stage};
use crate::model::finding::{Confidence, Finding, Severity, Subject};
use crate::model::kind;
use crate::rules::context::{Context, is_ready};
use crate::rules::ports;
use crate::rules::service;

/// Follows a Service to the ports of its pods, and notes where that ends before it gets there.
pub fn lead<'a>(
    context: &Context<'a>,
    service: &'a Service,
    ask: &Ask,
    sources: &[Place<'a>],
    record: &mut Record<'a>,
) -> Result<Led<'a>, Unanswerable> {
    let from = sources.first().map(Place::shown).unwrap_or_default();
    if ports::is_external_name(service) {
        return alias::lead(context, service, ask, sources, record);
    }
    let called = called_port(service, ask)?;
    let number = called.map(|p| p.port).or(match ask.port {
        Some(AskedPort::Number(number)) => Some(i32::from(number)),
        _ => None,
    });
    let mut hop = hop(service, &from, number);
    let mut led = Led {
        port: number.and_then(|n| u16::try_from(n).ok()),
        protocol: called.map_or_else(
            || ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            |p| ports::protocol(p.protocol.as_ref()).to_owned(),
        ),
        is_ipv6: is_ipv6(service),
        targets: Vec::new(),
    };
    // Names of a headless Service lead to any port of its pods, which the client has to know by its number.
    let literal = match ask.port {
        Some(AskedPort::Number(number)) if ports::is_headless(service) => Some(i32::from(number)),
        _ => None,
    };
    if called.is_none() && literal.is_none() {
        hop.answer = HopAnswer::Blocked;
        hop.reason = format!("it has no such port; its ports are {}", ports::list(service));
        record.hop(hop);
        record.finding(Stage::Service, mismatch::no_such_port(context, service, ask, sources, &led));
        return Ok(led);
    }
    let way = Way {
        called,
        literal,
        protocol: &led.protocol,
    };
    led.targets = if ports::has_selector(service) {
        by_selector(context, service, &way)
    } else {
        by_slices(context, service, &way, ask)
    };
    if led.targets.is_empty() {
        // Whatever else would stop the connection once somebody is there is told as well.
        led.targets = not_ready(context, service, &way);
        broken(context, service, called, hop, record);
        return Ok(led);
    }
    if let Some(finding) = mismatch::of_headless(context, service, ask, sources, &led) {
        hop.answer = HopAnswer::Blocked;
        hop.reason = finding.summary.clone();
        record.hop(hop);
        record.finding(Stage::Service, finding);
        led.targets.clear();
        return Ok(led);
    }
    let is_local = service.spec.as_ref().and_then(|s| s.internal_traffic_policy.as_deref()) == Some("Local");
    if is_local {
        for target in &mut led.targets {
            target.node = target.place.node();
        }
        for source in sources.iter().filter(|s| !led.targets.iter().any(|t| t.is_for(s))) {
            let node = source.node().unwrap_or_default();
            record.hop(Hop {
                answer: HopAnswer::Blocked,
                from: source.shown(),
                reason: format!("it has internalTrafficPolicy Local, and none of its ready pods is on node {node}"),
                ..hop.clone()
            });
            record.finding(Stage::Service, nobody_on_node(context, service, node));
        }
    }
    hop.reason = leads_to(service, &led);
    if sources.iter().any(|s| led.targets.iter().any(|t| t.is_for(s))) {
        record.hop(hop);
    }
    Ok(led)
}

/// A hop to a Service that nothing was found about yet.
pub fn hop(service: &Service, from: &str, port: Option<i32>) -> Hop {
    Hop {
        stage: Stage::Service,
        answer: HopAnswer::Open,
        from: from.to_owned(),
        to: service::reference(service).short(),
        port,
        pairs: 1,
        policies: Vec::new(),
        allowed_by: None,
        reason: String::new(),
    }
}

fn leads_to(service: &Service, led: &Led<'_>) -> String {
    let numbers: std::collections::BTreeSet<i32> = led.targets.iter().map(|t| t.number).collect();
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let count = led.targets.len();
    let one = if ports::has_selector(service) { "ready pod" } else { "endpoint" };
    format!(
        "it leads to port {} of {count} {one}{}",
        numbers.join(", "),
        if count == 1 { "" } else { "s" }
    )
}

/// Clients take the first family of a Service that has two.
fn is_ipv6(service: &Service) -> Option<bool> {
    Some(service.spec.as_ref()?.ip_families.as_ref()?.first()? == "IPv6")
}

/// The port of a Service that was asked for; none where it has no such port.
pub fn called_port<'a>(service: &'a Service, ask: &Ask) -> Result<Option<&'a ServicePort>, Unanswerable> {
    let offered = ports::of_service(service);
    let by_protocol = |port: &&ServicePort| ask.protocol.as_ref().is_none_or(|p| p == ports::protocol(port.protocol.as_ref()));
    let name = service.name_any();
    match &ask.port {
        Some(AskedPort::Number(number)) => {
            let mut same: Vec<&ServicePort> = offered
                .iter()
                .filter(|p| p.port == i32::from(*number))
                .filter(by_protocol)
                .collect();
            same.sort_by_key(|p| ports::protocol(p.protocol.as_ref()) != "TCP");
            Ok(same.first().copied())
        }
        // A number may be what somebody calls; a name has no meaning but the one that the Service gives it.
        Some(AskedPort::Name(wanted)) => {
            let named = offered.iter().filter(by_protocol).find(|p| p.name.as_deref() == Some(wanted));
            let protocol = ask.protocol.as_ref().map(|p| format!("{p} ")).unwrap_or_default();
            named.map(Some).ok_or_else(|| {
                Unanswerable::Usage(match offered {
                    [] => format!("Service {name} has no {protocol}port named {wanted}: it lists none"),
                    [only] => format!(
                        "Service {name} has no {protocol}port named {wanted}; its only port is {}",
                        ports::shown(only)
                    ),
                    _ => format!(
                        "Service {name} has no {protocol}port named {wanted}; its ports are {}",
                        ports::list(service)
                    ),
                })
            })
        }
        None => match offered.iter().filter(by_protocol).collect::<Vec<_>>().as_slice() {
            [only] => Ok(Some(only)),
            [] => Err(Unanswerable::Usage(format!("which port of Service {name}? it lists none"))),
            _ => Err(Unanswerable::Usage(format!(
                "which port of Service {name}? it has {}",
                ports::list(service)
            ))),
        },
    }
}

/// How a call gets from a Service to a port of a pod.
struct Way<'w> {
    /// The port of the Service; none where a headless one lists no such port.
    called: Option<&'w ServicePort>,
    /// The port of the pods that the client dials by itself.
    literal: Option<i32>,
    protocol: &'w str,
}

impl Way<'_> {
    fn to<'a>(&self, place: Place<'a>) -> Option<Called<'a>> {
        let number = match (self.literal, self.called) {
            (Some(number), _) => number,
            (None, called) => ports::resolve(place.spec?, called?)?,
        };
        Some(Called {
            place,
            number,
            protocol: self.protocol.to_owned(),
            node: None,
        })
    }
}

fn by_selector<'a>(context: &Context<'a>, service: &Service, way: &Way<'_>) -> Vec<Called<'a>> {
    let unready_too = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false);
    let behind = ports::pods_behind(context, service).into_iter();
    behind
        .filter(|pod| is_ready(pod) || unready_too)
        .filter_map(|pod| way.to(Place::of_pod(context, pod)))
        .collect()
}

/// The pods that are not ready, or else those that are to come: what a call leads to once they are.
fn not_ready<'a>(context: &Context<'a>, service: &Service, way: &Way<'_>) -> Vec<Called<'a>> {
    if !ports::has_selector(service) {
        return Vec::new();
    }
    let workloads = ports::workloads_behind(context, service);
    let places = workloads.into_iter().flat_map(|w| ends::of_object(context, &w.reference));
    places.filter_map(|place| way.to(place)).collect()
}

/// Endpoints that someone wrote by hand, or another controller.
fn by_slices<'a>(context: &Context<'a>, service: &Service, way: &Way<'_>, ask: &Ask) -> Vec<Called<'a>> {
    context.needs_list(&kind::ENDPOINT_SLICE, &service.namespace().unwrap_or_default());
    let name = way.called.and_then(|p| p.name.as_deref()).unwrap_or_default();
    let mut found = Vec::new();
    for slice in ports::slices(context, service) {
        let listed = slice.ports.iter().flatten().find(|p| p.name.as_deref().unwrap_or_default() == name);
        let Some(number) = way.literal.or_else(|| listed?.port) else {
            continue;
        };
        let ready = slice
            .endpoints
            .iter()
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true));
        for ip in ready.flat_map(|e| &e.addresses).filter_map(|text| text.parse().ok()) {
            found.push(Called {
                place: Place::of_address(context, ip, ask.searched),
                number,
                protocol: way.protocol.to_owned(),
                node: None,
            });
        }
    }
    found
}

/// A Service that leads nowhere: what its own rules say about it.
fn broken(context: &Context<'_>, service: &Service, called: Option<&ServicePort>, mut hop: Hop, record: &mut Record<'_>) {
    let namespace = service.namespace().unwrap_or_default();
    let known = [kind::POD, kind::ENDPOINT_SLICE].map(|kind| context.needs_list(&kind, &namespace)) == [true; 2];
    if !known && !context.snapshot.local {
        hop.answer = HopAnswer::Unknown;
        hop.reason = format!("the pods and endpoints of namespace {namespace} may not be read");
        record.hop(hop);
        return;
    }
    let codes = [
        ServiceSelectsNothing,
        TargetPortNameUnresolved,
        ServiceProtocolMismatch,
        ServiceHasNoReadyEndpoints,
    ];
    let of_port = |f: &Finding| match (&f.subject.port, called) {
        (Some(of), Some(called)) => *of == called.port.to_string() || Some(of.as_str()) == called.name.as_deref(),
        _ => true,
    };
    let mut all: Vec<Finding> = service::selector::check_now(context, service).into_iter().collect();
    all.extend(service::targets::check(context, service));
    all.extend(service::endpoints::check(context, service));
    let found = all
        .into_iter()
        .filter(|f| codes.contains(&f.code) && f.severity != Severity::Advice && of_port(f))
        .min_by_key(|f| codes.iter().position(|c| *c == f.code));
    let finding = found.map_or_else(
        || no_endpoints(context, service),
        // Whatever keeps the pods from being ready, at this moment nobody is there to answer.
        |f| match f.code {
            ServiceSelectsNothing => f,
            _ => f.severity(Severity::Error).confidence(Confidence::Proven),
        },
    );
    let (name, command) = (
        service.name_any(),
        format!("kubectl podlife diagnose service/{} -n {namespace}", service.name_any()),
    );
    let finding = if finding.code == ServiceHasNoReadyEndpoints {
        finding.fix_command(format!("see why the pods behind Service {name} are not ready"), command)
    } else {
        finding
    };
    hop.answer = HopAnswer::Blocked;
    hop.reason = finding.summary.clone();
    record.hop(hop);
    record.finding(Stage::Service, finding);
}

fn no_endpoints(context: &Context<'_>, service: &Service) -> Finding {
    let finding = Finding::error(
        ServiceHasNoReadyEndpoints,
        "",
        Subject::of(service::reference(service)),
        format!("Service {} has no ready endpoints", service.name_any()),
    )
    .evidence(format!("service/{}", service.name_any()), "no ready pod or endpoint belongs to it");
    let behind = ports::workloads_behind(context, service);
    behind.into_iter().fold(finding, |f, workload| {
        f.suffering(crate::model::finding::Effect::NotReady(workload.reference.clone()))
    })
}

fn nobody_on_node(context: &Context<'_>, service: &Service, node: &str) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let behind: Vec<&str> = ports::nodes_behind(context, service).into_iter().take(5).collect();
    Finding::error(
        LocalTrafficPolicyWithoutEndpoint,
        "",
        Subject::of(service::reference(service)),
        format!("Service {name} has internalTrafficPolicy Local, and node {node} runs none of its ready pods: callers there reach nobody"),
    )
    .evidence(format!("service/{name}"), format!("its ready pods run on {}", behind.join(", ")))
    .fix_command(
        "set internalTrafficPolicy: Cluster, or run a pod of it on every node that calls it",
        format!("kubectl edit service {name} -n {namespace}"),
    )
}
