//! The Service of a connection: which pods, and which of their ports, a call of it leads to.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::ends::Place;
use super::hops::Record;
use super::{Ask, AskedPort, Called, Led, Unanswerable};
use crate::model::code::Code::{
    LocalTrafficPolicyWithoutEndpoint, ServiceHasNoReadyEndpoints, ServicePortMismatch, ServiceProtocolMismatch, ServiceSelectsNothing,
    TargetPortNameUnresolved,
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
    record: &mut Record,
) -> Result<Led<'a>, Unanswerable> {
    let reference = service::reference(service);
    let mut hop = Hop {
        stage: Stage::Service,
        answer: HopAnswer::Open,
        from: sources.first().map(Place::shown).unwrap_or_default(),
        to: reference.short(),
        port: None,
        pairs: 1,
        policies: Vec::new(),
        allowed_by: None,
        reason: String::new(),
    };
    let called = called_port(service, ask)?;
    let number = called.map(|p| p.port).or(match ask.port {
        Some(AskedPort::Number(number)) => Some(i32::from(number)),
        _ => None,
    });
    hop.port = number;
    let mut led = Led {
        port: number.and_then(|n| u16::try_from(n).ok()),
        protocol: called.map_or_else(
            || ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            |p| ports::protocol(p.protocol.as_ref()).to_owned(),
        ),
        targets: Vec::new(),
    };
    // Names of a headless Service lead to any port of its pods, and another name leads anywhere.
    let is_free = ports::is_headless(service) || ports::is_external_name(service);
    if called.is_none() && !is_free {
        hop.answer = HopAnswer::Blocked;
        hop.reason = format!("it has no such port; its ports are {}", ports::list(service));
        record.hop(hop);
        record.finding(no_such_port(context, service, ask, sources, &led));
        return Ok(led);
    }
    if let Some(host) = external_name(service) {
        hop.reason = format!("it is another name for {host}, whose addresses are not known here");
        record.hop(hop);
        led.targets = vec![Called {
            place: Place::of_name(host),
            number: number.unwrap_or_default(),
            protocol: led.protocol.clone(),
            node: None,
        }];
        return Ok(led);
    }
    led.targets = if ports::has_selector(service) {
        by_selector(context, service, called, number, &led.protocol)
    } else {
        by_slices(context, service, called, number, &led.protocol, ask)
    };
    if led.targets.is_empty() {
        broken(context, service, called, hop, record);
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
            record.finding(nobody_on_node(context, service, node));
        }
    }
    let numbers: std::collections::BTreeSet<i32> = led.targets.iter().map(|t| t.number).collect();
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let count = led.targets.len();
    let one = if ports::has_selector(service) { "ready pod" } else { "endpoint" };
    hop.reason = format!(
        "it leads to port {} of {count} {one}{}",
        numbers.join(", "),
        if count == 1 { "" } else { "s" }
    );
    if sources.iter().any(|s| led.targets.iter().any(|t| t.is_for(s))) {
        record.hop(hop);
    }
    Ok(led)
}

/// The port of a Service that was asked for; none where it has no such port.
fn called_port<'a>(service: &'a Service, ask: &Ask) -> Result<Option<&'a ServicePort>, Unanswerable> {
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
        Some(AskedPort::Name(wanted)) => {
            let named = offered.iter().find(|p| p.name.as_deref() == Some(wanted));
            let none = || {
                Unanswerable::Usage(format!(
                    "Service {name} has no port named {wanted}; its ports are {}",
                    ports::list(service)
                ))
            };
            named.map(Some).ok_or_else(none)
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

fn external_name(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref().filter(|_| ports::is_external_name(service))?;
    spec.external_name.as_deref()
}

fn by_selector<'a>(
    context: &Context<'a>,
    service: &Service,
    called: Option<&ServicePort>,
    number: Option<i32>,
    protocol: &str,
) -> Vec<Called<'a>> {
    let unready_too = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false);
    let behind = ports::pods_behind(context, service).into_iter();
    behind
        .filter(|pod| is_ready(pod) || unready_too)
        .filter_map(|pod| {
            let number = match called {
                Some(port) if !ports::is_headless(service) => ports::resolve(pod.spec.as_ref()?, port)?,
                // The client dials the pod itself on the port that it knows.
                _ => number?,
            };
            Some(Called {
                place: Place::of_pod(context, pod),
                number,
                protocol: protocol.to_owned(),
                node: None,
            })
        })
        .collect()
}

/// Endpoints that someone wrote by hand, or another controller.
fn by_slices<'a>(
    context: &Context<'a>,
    service: &Service,
    called: Option<&ServicePort>,
    number: Option<i32>,
    protocol: &str,
    ask: &Ask,
) -> Vec<Called<'a>> {
    context.needs_list(&kind::ENDPOINT_SLICE, &service.namespace().unwrap_or_default());
    let name = called.and_then(|p| p.name.as_deref()).unwrap_or_default();
    let mut found = Vec::new();
    for slice in ports::slices(context, service) {
        let listed = slice.ports.iter().flatten().find(|p| p.name.as_deref().unwrap_or_default() == name);
        let Some(number) = listed.and_then(|p| p.port).or(number.filter(|_| called.is_none())) else {
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
                protocol: protocol.to_owned(),
                node: None,
            });
        }
    }
    found
}

/// A Service that leads nowhere: what its own rules say about it.
fn broken(context: &Context<'_>, service: &Service, called: Option<&ServicePort>, mut hop: Hop, record: &mut Record) {
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
    let mut all: Vec<Finding> = service::selector::check(context, service).into_iter().collect();
    all.extend(service::targets::check(context, service));
    all.extend(service::endpoints::check(context, service));
    let found = all
        .into_iter()
        .filter(|f| codes.contains(&f.code) && f.severity != Severity::Advice && of_port(f))
        .min_by_key(|f| codes.iter().position(|c| *c == f.code));
    let finding = found.map_or_else(
        || no_endpoints(service),
        // Whatever keeps the pods from being ready, at this moment nobody is there to answer.
        |f| f.severity(Severity::Error).confidence(Confidence::Proven),
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
    record.finding(finding);
}

fn no_endpoints(service: &Service) -> Finding {
    Finding::error(
        ServiceHasNoReadyEndpoints,
        "",
        Subject::of(service::reference(service)),
        format!("Service {} has no ready endpoints", service.name_any()),
    )
    .evidence(format!("service/{}", service.name_any()), "no ready pod or endpoint belongs to it")
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

/// The caller's number is wrong: most often it is the port of the pods.
fn no_such_port(context: &Context<'_>, service: &Service, ask: &Ask, sources: &[Place<'_>], led: &Led<'_>) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let number = led.port.unwrap_or_default();
    let protocol = &led.protocol;
    let leads = ports::of_service(service).iter().find(|p| {
        let resolved = || {
            ports::specs_behind(context, service)
                .into_iter()
                .filter_map(|(_, spec)| ports::resolve(spec, p))
        };
        ports::target(p) == IntOrString::Int(i32::from(number)) || resolved().any(|n| n == i32::from(number))
    });
    let other = ports::of_service(service).iter().find(|p| p.port == i32::from(number));
    let hint = match (other, leads) {
        (Some(p), _) => format!(" ({number} is a port of protocol {})", ports::protocol(p.protocol.as_ref())),
        (None, Some(p)) => format!(" ({number} is the port of its pods; the Service offers it as {})", p.port),
        (None, None) => String::new(),
    };
    let right = leads.or_else(|| ports::of_service(service).first());
    let subject = sources.first().and_then(|s| s.side.object()).unwrap_or_else(|| ask.from.clone());
    Finding::error(
        ServicePortMismatch,
        "",
        Subject::of(subject.clone()),
        format!(
            "{} calls Service {name} on port {number}/{protocol}, but that Service has only port {}{hint}",
            subject.short(),
            ports::list(service)
        ),
    )
    .evidence(format!("service/{name}"), format!("its ports are {}", ports::list(service)))
    .related("service", service::reference(service))
    .fix_command(
        format!(
            "call port {}, or add port {number} to Service {name}",
            right.map_or_else(String::new, |p| p.port.to_string())
        ),
        format!("kubectl get service {name} -n {namespace}"),
    )
}
