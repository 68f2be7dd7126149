//! A Service that is only another name: it is followed to the Service that it names, or it leads outside.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use super::ends::Place;
use super::hops::Record;
use super::service::{called_port, hop};
use super::{Ask, AskedPort, Called, Led, Unanswerable, needs_behind};
use crate::model::code::Code::{DependencyUnreachable, ServiceMissing};
use crate::model::connection::{HopAnswer, Stage};
use crate::model::finding::{Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::rules::context::Context;
use crate::rules::service::reference;

/// Resolvers follow no longer chain of names.
const LONGEST_CHAIN: usize = 8;

/// Follows another name to what it stands for.
pub fn lead<'a>(
    context: &Context<'a>,
    first: &'a Service,
    ask: &Ask,
    sources: &[Place<'a>],
    record: &mut Record<'a>,
) -> Result<Led<'a>, Unanswerable> {
    let from = sources.first().map(Place::shown).unwrap_or_default();
    // The port of another name is the caller's affair: only a name of it, or none, is looked up in the first one.
    let number = match ask.port {
        Some(AskedPort::Number(number)) => Some(number),
        Some(AskedPort::Name(_)) | None => called_port(first, ask).ok().flatten().and_then(|p| u16::try_from(p.port).ok()),
    };
    let ask = Ask {
        port: number.map(AskedPort::Number).or_else(|| ask.port.clone()),
        ..ask.clone()
    };
    let mut led = Led {
        port: number,
        protocol: ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        is_ipv6: None,
        targets: Vec::new(),
    };
    let mut chain = vec![reference(first)];
    let mut service = first;
    loop {
        let host = external_name(service);
        let mut hop = hop(service, &from, number.map(i32::from));
        let Some(next) = of_cluster(&host) else {
            hop.reason = format!("it is another name for {host}, whose addresses are not known here");
            record.hop(hop);
            led.targets = vec![Called {
                place: Place::of_name(&host),
                number: number.map(i32::from).unwrap_or_default(),
                protocol: led.protocol.clone(),
                node: None,
            }];
            return Ok(led);
        };
        hop.reason = format!("it is another name for Service {} in namespace {}", next.name, next.namespace);
        needs_behind(context, &next.namespace);
        let stopped = if chain.contains(&next) || chain.len() >= LONGEST_CHAIN {
            Some((HopAnswer::Blocked, Some(circle(service, &chain, &next))))
        } else {
            match context.snapshot.presence(&kind::SERVICE, &next.namespace, &next.name) {
                Presence::Present => None,
                Presence::Absent => Some((HopAnswer::Blocked, Some(missing(service, &next)))),
                Presence::Unknown => Some((HopAnswer::Unknown, None)),
            }
        };
        if let Some((answer, finding)) = stopped {
            hop.answer = answer;
            hop.reason = match &finding {
                Some(finding) => finding.summary.clone(),
                None => format!("{}, which could not be read", hop.reason),
            };
            record.hop(hop);
            if let Some(finding) = finding {
                record.finding(Stage::Service, finding);
            }
            return Ok(led);
        }
        record.hop(hop);
        chain.push(next.clone());
        let Some(found) = context.service(&next.namespace, &next.name) else {
            return Ok(led);
        };
        if !crate::rules::ports::is_external_name(found) {
            return super::service::lead(context, found, &ask, sources, record);
        }
        service = found;
    }
}

fn external_name(service: &Service) -> String {
    let name = service.spec.as_ref().and_then(|s| s.external_name.as_deref());
    name.unwrap_or_default().trim_end_matches('.').to_lowercase()
}

/// The Service of the cluster that a full name means: `db.data.svc`, `db.data.svc.cluster.local`.
fn of_cluster(host: &str) -> Option<ObjectRef> {
    match host.split('.').collect::<Vec<_>>().as_slice() {
        [name, namespace, "svc", ..] => Some(ObjectRef::new(&kind::SERVICE, namespace, name)),
        _ => None,
    }
}

fn missing(service: &Service, named: &ObjectRef) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    Finding::error(
        ServiceMissing,
        "",
        Subject::of(reference(service)),
        format!(
            "Service {name} is another name for Service {} in namespace {}, which does not exist",
            named.name, named.namespace
        ),
    )
    .evidence(format!("service/{name}"), format!("externalName is {}", external_name(service)))
    .related("missing", named.clone())
    .fix_command(
        format!(
            "create Service {} in namespace {}, or name another one",
            named.name, named.namespace
        ),
        format!("kubectl edit service {name} -n {namespace}"),
    )
}

fn circle(service: &Service, chain: &[ObjectRef], next: &ObjectRef) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let names: Vec<&str> = chain.iter().chain([next]).map(|o| o.name.as_str()).collect();
    let words = if chain.contains(next) {
        "in a circle, so the name has no address"
    } else {
        "without an end that resolvers would follow"
    };
    Finding::error(
        DependencyUnreachable,
        "",
        Subject::of(reference(service)),
        format!("Services are other names for each other {words}: {}", names.join(" → ")),
    )
    .evidence(format!("service/{name}"), format!("externalName is {}", external_name(service)))
    .fix_command(
        "name a Service that has pods in one of them",
        format!("kubectl edit service {name} -n {namespace}"),
    )
}
