//! Services of type ExternalName: each is followed to the Service that it names, or to a host outside the cluster.

use k8s_openapi::api::core::v1::Service;

use crate::model::trace::{HopAnswer, Stage};
use crate::rules::service::alias;
use crate::rules::service::alias::{Step, external_name, of_cluster};
use crate::trace::ends::Place;
use crate::trace::hops;
use crate::trace::hops::Walk;
use crate::trace::question::{Ask, AskedPort, Unanswerable};
use crate::trace::route::{Endpoint, Route, called_port, needs_behind};
use crate::view::{ports, service_reference};

/// Where a chain of Services of type ExternalName ends.
pub enum Followed<'a> {
    /// At a Service of another type, with the port of the connection there.
    Service(&'a Service, Ask),
    /// Outside of the cluster, or where the chain is broken.
    Route(Route<'a>),
}

impl<'a> Walk<'_, 'a> {
    /// Follows a Service of type ExternalName.
    pub fn follow(&mut self, first: &'a Service, ask: &Ask) -> Result<Followed<'a>, Unanswerable> {
        let from = self.from();
        // The caller's port number stays the same; a port name, or no port, is looked up in the first Service.
        let number = match ask.port {
            Some(AskedPort::Number(number)) => Some(number),
            Some(AskedPort::Name(_)) | None => called_port(first, ask).ok().flatten().and_then(|p| u16::try_from(p.port).ok()),
        };
        let ask = Ask {
            port: number.map(AskedPort::Number).or_else(|| ask.port.clone()),
            ..ask.clone()
        };
        let mut route = Route {
            port: number,
            protocol: ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            is_ipv6: None,
            endpoints: Vec::new(),
        };
        let mut chain = vec![service_reference(first)];
        let mut service = first;
        loop {
            let host = external_name(service);
            let mut hop = hops::to_service(service, &from, number.map(i32::from));
            let Some(next) = of_cluster(&host) else {
                let Some(number) = number else {
                    return Err(nameless(first, &host, &ask));
                };
                hop.reason = format!("it is an alias for {host}, whose addresses are not known here");
                self.record.hop(hop);
                route.endpoints = vec![Endpoint {
                    place: Place::of_name(&host),
                    number: i32::from(number),
                    protocol: route.protocol.clone(),
                    node: None,
                }];
                return Ok(Followed::Route(route));
            };
            hop.reason = format!("it is an alias for Service {} in namespace {}", next.name, next.namespace);
            needs_behind(self.view, self.needs, &next.namespace);
            let stopped = match alias::step(self.view, service, &chain, &next) {
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
                self.record.hop(hop);
                if let Some(finding) = finding {
                    self.record.finding(Stage::Service, finding);
                }
                return Ok(Followed::Route(route));
            }
            self.record.hop(hop);
            chain.push(next.clone());
            let Some(found) = self.view.service(&next.namespace, &next.name) else {
                return Ok(Followed::Route(route));
            };
            if !ports::is_external_name(found) {
                return Ok(Followed::Service(found, ask));
            }
            service = found;
        }
    }
}

/// A host outside the cluster has no named ports and no default port.
fn nameless(first: &Service, host: &str, ask: &Ask) -> Unanswerable {
    let name = first.metadata.name.as_deref().unwrap_or_default();
    let write = format!("write the number, as in svc/{name}:443");
    Unanswerable::Usage(match &ask.port {
        Some(AskedPort::Name(wanted)) => format!("Service {name} is an alias for {host}, and has no port named {wanted}: {write}"),
        _ => format!("which port of Service {name}? it is an alias for {host}: {write}"),
    })
}
