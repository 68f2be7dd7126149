//! The Service of a connection: which pods, and which of their ports, a call of it leads to.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt;

use crate::model::code::Code::{
    LocalTrafficPolicyWithoutEndpoint, ServiceHasNoReadyEndpoints, ServiceProtocolMismatch, ServiceSelectsNothing, TargetPortNameUnresolved,
};
use crate::model::finding::{Confidence, Finding, Severity, Subject};
use crate::model::kind;
use crate::model::trace::{Hop, HopAnswer, Stage};
use crate::rules::service;
use crate::text::command;
use crate::trace::alias::Followed;
use crate::trace::ends::Place;
use crate::trace::hops::Walk;
use crate::trace::question::{Ask, AskedPort, Unanswerable};
use crate::trace::route::{Endpoint, Route, called_port};
use crate::trace::{ends, hops, mismatch};
use crate::view::{Needs, View, is_ready, ports, service_reference};

impl<'a> Walk<'_, 'a> {
    /// Follows a Service to the ports of its pods.
    pub fn through(mut self, service: &'a Service, ask: &Ask) -> Result<Route<'a>, Unanswerable> {
        if !ports::is_external_name(service) {
            return self.endpoints(service, ask);
        }
        match self.follow(service, ask)? {
            Followed::Service(service, ask) => self.endpoints(service, &ask),
            Followed::Route(route) => Ok(route),
        }
    }

    fn endpoints(self, service: &'a Service, ask: &Ask) -> Result<Route<'a>, Unanswerable> {
        let from = self.from();
        let Walk {
            view,
            needs,
            sources,
            record,
        } = self;
        let called = called_port(service, ask)?;
        let number = called.map(|p| p.port).or(match ask.port {
            Some(AskedPort::Number(number)) => Some(i32::from(number)),
            _ => None,
        });
        let mut hop = hops::to_service(service, &from, number);
        let mut route = Route {
            port: number.and_then(|n| u16::try_from(n).ok()),
            protocol: called.map_or_else(
                || ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                |p| ports::protocol(p.protocol.as_ref()).to_owned(),
            ),
            is_ipv6: is_ipv6(service),
            endpoints: Vec::new(),
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
            record.finding(Stage::Service, mismatch::no_such_port(view, service, ask, sources, &route));
            return Ok(route);
        }
        let way = Way {
            called,
            literal,
            protocol: &route.protocol,
        };
        route.endpoints = if ports::has_selector(service) {
            by_selector(view, service, &way)
        } else {
            by_slices(view, needs, service, &way, ask)
        };
        if route.endpoints.is_empty() {
            // Also reports what would stop the connection once there is an endpoint.
            route.endpoints = not_ready(view, service, &way);
            match broken(view, needs, service, called) {
                Some(finding) => record.stopped(hop, finding),
                None => {
                    hop.answer = HopAnswer::Unknown;
                    let namespace = service.namespace().unwrap_or_default();
                    hop.reason = format!("the pods and endpoints of namespace {namespace} may not be read");
                    record.hop(hop);
                }
            }
            return Ok(route);
        }
        if let Some(finding) = mismatch::of_headless(view, needs, service, ask, sources, &route) {
            record.stopped(hop, finding);
            route.endpoints.clear();
            return Ok(route);
        }
        let is_local = service.spec.as_ref().and_then(|s| s.internal_traffic_policy.as_deref()) == Some("Local");
        if is_local {
            for target in &mut route.endpoints {
                target.node = target.place.node();
            }
            for source in sources.iter().filter(|s| !route.endpoints.iter().any(|t| t.is_for(s))) {
                let node = source.node().unwrap_or_default();
                record.hop(Hop {
                    answer: HopAnswer::Blocked,
                    from: source.shown(),
                    reason: format!("it has internalTrafficPolicy Local, and none of its ready pods is on node {node}"),
                    ..hop.clone()
                });
                record.finding(Stage::Service, nobody_on_node(view, service, node));
            }
        }
        hop.reason = leads_to(service, &route);
        if sources.iter().any(|s| route.endpoints.iter().any(|t| t.is_for(s))) {
            record.hop(hop);
        }
        Ok(route)
    }
}

fn leads_to(service: &Service, route: &Route<'_>) -> String {
    let numbers: std::collections::BTreeSet<i32> = route.endpoints.iter().map(|t| t.number).collect();
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let count = route.endpoints.len();
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

/// How a call gets from a Service to a port of a pod.
struct Way<'w> {
    /// The port of the Service; none where a headless one lists no such port.
    called: Option<&'w ServicePort>,
    /// The port of the pods that the client dials by itself.
    literal: Option<i32>,
    protocol: &'w str,
}

impl Way<'_> {
    fn to<'a>(&self, place: Place<'a>) -> Option<Endpoint<'a>> {
        let number = match (self.literal, self.called) {
            (Some(number), _) => number,
            (None, called) => ports::resolve(place.spec?, called?)?,
        };
        Some(Endpoint {
            place,
            number,
            protocol: self.protocol.to_owned(),
            node: None,
        })
    }
}

fn by_selector<'a>(view: &View<'a>, service: &Service, way: &Way<'_>) -> Vec<Endpoint<'a>> {
    let unready_too = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false);
    let behind = ports::pods_behind(view, service).into_iter();
    behind
        .filter(|pod| is_ready(pod) || unready_too)
        .filter_map(|pod| way.to(Place::of_pod(view, pod)))
        .collect()
}

/// The pods that are not ready, or else those that are to come: what a call leads to once they are.
fn not_ready<'a>(view: &View<'a>, service: &Service, way: &Way<'_>) -> Vec<Endpoint<'a>> {
    if !ports::has_selector(service) {
        return Vec::new();
    }
    let workloads = ports::workloads_behind(view, service);
    let places = workloads.into_iter().flat_map(|w| ends::of_object(view, &w.reference));
    places.filter_map(|place| way.to(place)).collect()
}

/// Endpoints that someone wrote by hand, or another controller.
fn by_slices<'a>(view: &View<'a>, needs: &mut Needs, service: &Service, way: &Way<'_>, ask: &Ask) -> Vec<Endpoint<'a>> {
    needs.list(view, &kind::ENDPOINT_SLICE, &service.namespace().unwrap_or_default());
    let name = way.called.and_then(|p| p.name.as_deref()).unwrap_or_default();
    let mut found = Vec::new();
    for slice in ports::slices(view, service) {
        let listed = slice.ports.iter().flatten().find(|p| p.name.as_deref().unwrap_or_default() == name);
        let Some(number) = way.literal.or_else(|| listed?.port) else {
            continue;
        };
        let ready = slice
            .endpoints
            .iter()
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true));
        for ip in ready.flat_map(|e| &e.addresses).filter_map(|text| text.parse().ok()) {
            found.push(Endpoint {
                place: Place::of_address(view, ip, ask.searched),
                number,
                protocol: way.protocol.to_owned(),
                node: None,
            });
        }
    }
    found
}

/// A Service that leads nowhere: what its own rules say about it; none where too little may be read.
fn broken(view: &View<'_>, needs: &mut Needs, service: &Service, called: Option<&ServicePort>) -> Option<Finding> {
    let namespace = service.namespace().unwrap_or_default();
    let known = [kind::POD, kind::ENDPOINT_SLICE].map(|kind| needs.list(view, &kind, &namespace)) == [true; 2];
    if !known && !view.snapshot.local {
        return None;
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
    let mut all: Vec<Finding> = service::selector::check_now(view, needs, service).into_iter().collect();
    all.extend(service::targets::check(view, needs, service));
    all.extend(service::endpoints::check(view, needs, service));
    let found = all
        .into_iter()
        .filter(|f| codes.contains(&f.code) && f.severity != Severity::Advice && of_port(f))
        .min_by_key(|f| codes.iter().position(|c| *c == f.code));
    let finding = found.map_or_else(
        || no_endpoints(view, service),
        // Whatever keeps the pods from being ready, at this moment nobody is there to answer.
        |f| match f.code {
            ServiceSelectsNothing => f,
            _ => f.severity(Severity::Error).confidence(Confidence::Proven),
        },
    );
    let (name, command) = (
        service.name_any(),
        command("kubectl podlife diagnose service/{} -n {}", &[&service.name_any(), &namespace]),
    );
    Some(match finding.code {
        ServiceHasNoReadyEndpoints => finding.fix_command(format!("see why the pods behind Service {name} are not ready"), command),
        _ => finding,
    })
}

fn no_endpoints(view: &View<'_>, service: &Service) -> Finding {
    let finding = Finding::error(
        ServiceHasNoReadyEndpoints,
        Subject::of(service_reference(service)),
        format!("Service {} has no ready endpoints", service.name_any()),
    )
    .evidence(format!("service/{}", service.name_any()), "no ready pod or endpoint belongs to it");
    let behind = ports::workloads_behind(view, service);
    behind.into_iter().fold(finding, |f, workload| {
        f.suffering(crate::model::finding::Effect::NotReady(workload.reference.clone()))
    })
}

fn nobody_on_node(view: &View<'_>, service: &Service, node: &str) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let behind: Vec<&str> = ports::nodes_behind(view, service).into_iter().take(5).collect();
    Finding::error(
        LocalTrafficPolicyWithoutEndpoint,
        Subject::of(service_reference(service)),
        format!("Service {name} has internalTrafficPolicy Local, and node {node} runs none of its ready pods: callers there reach no pod"),
    )
    .evidence(format!("service/{name}"), format!("its ready pods run on {}", behind.join(", ")))
    .fix_command(
        "set internalTrafficPolicy: Cluster, or run a pod of it on every node that calls it",
        command("kubectl edit service {} -n {}", &[&name, &namespace]),
    )
}
