//! The endpoints of a connection: the pods or addresses that it leads to, each with its port.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt;

use crate::facts::calls::names::default_port;
use crate::model::kind;
use crate::trace::ends;
use crate::trace::ends::Place;
use crate::trace::question::{Ask, AskedPort, Target, Unanswerable};
use crate::view::{Needs, View, ports};

/// The objects behind a Service. Workloads have the labels that its selector and the rules of policies should name.
pub const BEHIND: [kind::Kind; 8] = [
    kind::POD,
    kind::NETWORK_POLICY,
    kind::SERVICE,
    kind::ENDPOINT_SLICE,
    kind::DEPLOYMENT,
    kind::REPLICA_SET,
    kind::STATEFUL_SET,
    kind::DAEMON_SET,
];

/// Notes that the objects behind the Services of a namespace are needed.
pub fn needs_behind(view: &View<'_>, needs: &mut Needs, namespace: &str) {
    for kind in &BEHIND {
        needs.list(view, kind, namespace);
    }
}

/// The endpoints of a connection.
pub struct Route<'a> {
    pub port: Option<u16>,
    pub protocol: String,
    /// Whether it goes over IPv6, if the address or the Service says so.
    pub is_ipv6: Option<bool>,
    pub endpoints: Vec<Endpoint<'a>>,
}

/// A pod or address with the port that the connection leads to.
pub struct Endpoint<'a> {
    pub place: Place<'a>,
    pub number: i32,
    pub protocol: String,
    /// Only callers on this node are routed here.
    pub node: Option<&'a str>,
}

impl Endpoint<'_> {
    /// Whether callers on the node of `source` are routed here.
    pub fn is_for(&self, source: &Place<'_>) -> bool {
        self.node.is_none_or(|node| source.node().is_none_or(|own| own == node))
    }
}

/// The Service that the destination names, or whose address it is.
pub fn called_service<'a>(view: &View<'a>, needs: &mut Needs, ask: &Ask) -> Option<&'a Service> {
    match &ask.to {
        Target::Object(to) if to.is(&kind::SERVICE) => view.service(&to.namespace, &to.name),
        Target::Object(_) | Target::Name(_) => None,
        Target::Address(ip) => {
            let has = |service: &&Service| {
                let spec = service.spec.iter();
                let mut all = spec.flat_map(|s| s.cluster_ips.iter().flatten().chain(s.cluster_ip.iter()));
                all.any(|text| text.parse() == Ok(*ip))
            };
            let service = view.snapshot.objects.services.iter().find(has)?;
            needs_behind(view, needs, &service.namespace().unwrap_or_default());
            Some(service)
        }
    }
}

/// The route to a pod, a workload or an address without a Service.
pub fn direct<'a>(view: &View<'a>, ask: &Ask) -> Result<Route<'a>, Unanswerable> {
    let places = match &ask.to {
        Target::Address(ip) => vec![Place::of_address(view, *ip, ask.searched)],
        Target::Name(name) => vec![Place::of_name(name)],
        Target::Object(to) if to.is(&kind::SERVICE) => {
            return Err(Unanswerable::Unread(format!("{to} could not be read")));
        }
        Target::Object(to) => ends::of_object(view, to),
    };
    if places.is_empty() {
        return Err(Unanswerable::Unread("the pods that are called could not be read".to_owned()));
    }
    let mut endpoints = Vec::new();
    let mut called = (None, ask.protocol.clone());
    for place in places {
        let (number, protocol) = port_of(&place, ask)?;
        called = (u16::try_from(number).ok(), Some(protocol.clone()));
        endpoints.push(Endpoint {
            place,
            number,
            protocol,
            node: None,
        });
    }
    Ok(Route {
        port: called.0,
        protocol: called.1.unwrap_or_else(|| "TCP".to_owned()),
        is_ipv6: match &ask.to {
            Target::Address(ip) => Some(ip.is_ipv6()),
            Target::Object(_) | Target::Name(_) => None,
        },
        endpoints,
    })
}

/// The port of a pod, by number or by its name in the pod.
fn port_of(place: &Place<'_>, ask: &Ask) -> Result<(i32, String), Unanswerable> {
    let declared = place.spec.map(ports::declared).unwrap_or_default();
    let shown = place.shown();
    match &ask.port {
        Some(AskedPort::Number(number)) => {
            let protocol = ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Ok((i32::from(*number), protocol))
        }
        Some(AskedPort::Name(name)) => {
            let named = declared
                .iter()
                .find(|d| d.name == name && ask.protocol.as_ref().is_none_or(|p| p == d.protocol));
            if let Some(named) = named {
                return Ok((named.number, named.protocol.to_owned()));
            }
            let names: Vec<String> = declared.iter().filter(|d| !d.name.is_empty()).map(|d| d.name.to_owned()).collect();
            let host = if shown.contains(':') { format!("[{shown}]") } else { shown.clone() };
            Err(Unanswerable::Usage(match (place.spec, names.as_slice()) {
                (None, _) => format!(
                    "{shown} has no ports with names: write the number, as in {host}:{}",
                    default_port(name).unwrap_or(443)
                ),
                (Some(_), []) if declared.is_empty() => format!("{shown} declares no port named {name}, nor any other: write the number"),
                (Some(_), []) => {
                    let numbers: Vec<String> = declared.iter().map(|d| d.number.to_string()).collect();
                    format!(
                        "{shown} declares no port named {name}; it declares {} without a name: write the number",
                        numbers.join(", ")
                    )
                }
                (Some(_), names) => format!("{shown} declares no port named {name}; its names are {}", names.join(", ")),
            }))
        }
        None => match declared.as_slice() {
            [only] => Ok((only.number, only.protocol.to_owned())),
            _ => Err(Unanswerable::Usage(format!("which port of {shown}? name it, as in {shown}:8080"))),
        },
    }
}

/// The port of a Service; none if it has no such port.
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
        // A wrong number is a finding; a name that the Service does not have cannot be evaluated.
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
