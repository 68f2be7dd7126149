//! Calls of a port that a Service does not have, or does not translate: the caller's number is wrong.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::facts::listening::fault;
use crate::facts::listening::fault::PortAnswer;
use crate::model::code::Code::ServicePortMismatch;
use crate::model::finding::{Confidence, Finding, ObjectRef, Subject};
use crate::rules::listen;
use crate::text::command;
use crate::trace::ends::Place;
use crate::trace::question::{Ask, AskedPort};
use crate::trace::route::Route;
use crate::view::{Needs, View, ports, service_reference};

fn caller(ask: &Ask, sources: &[Place<'_>]) -> ObjectRef {
    sources.first().and_then(|s| s.side.object()).unwrap_or_else(|| ask.from.clone())
}

fn finding(service: &Service, caller: ObjectRef, summary: String, fix: String) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    Finding::error(ServicePortMismatch, Subject::of(caller), summary)
        .evidence(format!("service/{name}"), format!("its ports are {}", ports::list(service)))
        .related("service", service_reference(service))
        .fix_command(fix, command("kubectl get service {} -n {}", &[&name, &namespace]))
}

/// A call of a port that the Service does not have: most often it is the port of the pods.
pub fn no_such_port(view: &View<'_>, service: &Service, ask: &Ask, sources: &[Place<'_>], route: &Route<'_>) -> Finding {
    let (caller, name) = (caller(ask, sources), service.name_any());
    let offered = ports::of_service(service);
    let begin = format!("{} calls Service {name} on port", caller.short());
    let only = format!("but that Service has only port {}", ports::list(service));
    let number = i32::from(route.port.unwrap_or_default());
    let protocol = &route.protocol;
    if let Some(other) = offered.iter().find(|p| p.port == number) {
        let by = ports::protocol(other.protocol.as_ref());
        let summary = format!("{begin} {number} by {protocol}, but that Service offers it by {by} only");
        let fix = format!("call it by {by}, or add port {number} with protocol {protocol} to Service {name}");
        return finding(service, caller, summary, fix);
    }
    let leads = offered.iter().find(|p| {
        let resolved = || {
            ports::specs_behind(view, service)
                .into_iter()
                .filter_map(|(_, spec)| ports::resolve(spec, p))
        };
        ports::target(p) == IntOrString::Int(number) || resolved().any(|n| n == number)
    });
    let hint = match leads {
        Some(p) => format!(" ({number} is the port of its pods; the Service offers it as {})", p.port),
        None => String::new(),
    };
    let fix = match leads.or(offered.first()) {
        Some(right) => format!("call port {}, or add port {number} to Service {name}", right.port),
        None => format!("add port {number} to Service {name}"),
    };
    finding(service, caller, format!("{begin} {number}/{protocol}, {only}{hint}"), fix)
}

/// A call of a headless Service by its own number where its pods listen on another: nothing translates it. Pods that do answer there are called
/// rightly, whatever they declare.
pub fn of_headless(
    view: &View<'_>,
    needs: &mut Needs,
    service: &Service,
    ask: &Ask,
    sources: &[Place<'_>],
    route: &Route<'_>,
) -> Option<Finding> {
    let Some(AskedPort::Number(port)) = ask.port else { return None };
    let right = ports::untranslated(view, service, port)?;
    let pod = route.endpoints.iter().find_map(|target| target.place.pod)?;
    let seen = fault::answer(view, needs, pod, port, &route.protocol);
    let confidence = match seen {
        PortAnswer::Listens(_) | PortAnswer::Inside | PortAnswer::Silent => return None,
        PortAnswer::Fault(_) => Confidence::Proven,
        PortAnswer::Starting | PortAnswer::Unknown => Confidence::Likely,
    };
    let (caller, name) = (caller(ask, sources), service.name_any());
    let (why, fix) = ports::mismatch_of_headless(service, port, right);
    let mut finding = finding(
        service,
        caller.clone(),
        format!("{} calls Service {name} on port {port}, {why}", caller.short()),
        fix,
    )
    .evidence(format!("service/{name}"), "clusterIP is None");
    if let PortAnswer::Fault(faulty) = seen {
        for seen in listen::finding(view, &faulty).evidence.iter().filter(|e| e.source == "dialled") {
            finding = finding.evidence(&seen.source, &seen.detail);
        }
    }
    Some(finding.confidence(confidence))
}
