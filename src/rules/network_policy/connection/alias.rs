//! A Service that is only another name: it is followed to the Service that it names, or it leads outside.

use k8s_openapi::api::core::v1::Service;

use super::ends::Place;
use super::hops::Record;
use super::service::{called_port, hop};
use super::{Ask, AskedPort, Called, Led, Unanswerable, needs_behind};
use crate::model::connection::{HopAnswer, Stage};
use crate::rules::context::Context;
use crate::rules::service::alias::{self, Step, external_name, of_cluster};
use crate::rules::service::reference;

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
            let Some(number) = number else {
                return Err(nameless(first, &host, &ask));
            };
            hop.reason = format!("it is another name for {host}, whose addresses are not known here");
            record.hop(hop);
            led.targets = vec![Called {
                place: Place::of_name(&host),
                number: i32::from(number),
                protocol: led.protocol.clone(),
                node: None,
            }];
            return Ok(led);
        };
        hop.reason = format!("it is another name for Service {} in namespace {}", next.name, next.namespace);
        needs_behind(context, &next.namespace);
        let stopped = match alias::step(context, service, &chain, &next) {
            Step::Leads => None,
            Step::Ends(finding) => Some((HopAnswer::Blocked, Some(*finding))),
            Step::Unknown => Some((HopAnswer::Unknown, None)),
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

/// A host outside gives its ports no names, and has no port that could be meant by none.
fn nameless(first: &Service, host: &str, ask: &Ask) -> Unanswerable {
    let name = first.metadata.name.as_deref().unwrap_or_default();
    let write = format!("write the number, as in svc/{name}:443");
    Unanswerable::Usage(match &ask.port {
        Some(AskedPort::Name(wanted)) => format!("Service {name} is another name for {host}, and has no port named {wanted}: {write}"),
        _ => format!("which port of Service {name}? it is another name for {host}: {write}"),
    })
}
