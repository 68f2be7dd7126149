//! The ways to an application: which there are, and which one is taken.

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use super::check::{Ask, Via, Wish};
use super::{gateway, service};
use crate::rules::context::Context;
use crate::rules::ports;
use crate::rules::scope::ingress_services;

/// A way to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// An address and port that is connected to from here.
    LoadBalancer(String, u16),
    /// An Ingress or a Gateway, which looks at the host.
    Fronted(Front),
    /// A Job in the cluster that asks the Service by its name.
    InCluster {
        /// The name that it asks.
        host: String,
        /// The port that it asks.
        port: u16,
    },
    /// A port of a node.
    NodePort(String, u16),
    /// By the API server.
    ServiceProxy,
    /// From inside of each pod, and no other way.
    PortForward,
    /// The name that a Service stands for, asked from here.
    Name(String, u16),
    /// Another URL.
    Url(String),
}

/// What stands before a Service and routes by host and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// `ingress` or `gateway`.
    pub kind: &'static str,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The host of its rule; empty where it has none.
    pub host: String,
    /// Whether TLS is spoken, with the host as SNI.
    pub tls: bool,
    /// The path of its rule.
    pub path: String,
}

impl Route {
    /// What an answer along it proves.
    pub const fn proves(&self) -> &'static str {
        match self {
            Self::LoadBalancer(..) => "load-balancer",
            Self::Fronted(front) => front.kind,
            Self::InCluster { .. } => "in-cluster",
            Self::NodePort(..) => "node-port",
            Self::ServiceProxy => "service-proxy",
            Self::PortForward => "port-forward",
            Self::Name(..) | Self::Url(_) => "url",
        }
    }

    /// What the answers along several ways prove together: the weakest of them.
    pub fn weakest<'r>(routes: impl Iterator<Item = &'r Self>) -> &'static str {
        const WAYS: [&str; 8] = [
            "port-forward",
            "service-proxy",
            "url",
            "in-cluster",
            "node-port",
            "gateway",
            "ingress",
            "load-balancer",
        ];
        let rank = |way: &&str| WAYS.iter().position(|known| known == way);
        routes.map(Self::proves).min_by_key(rank).unwrap_or_default()
    }

    /// `load balancer 192.0.2.1:80`
    pub fn in_words(&self) -> String {
        match self {
            Self::LoadBalancer(address, port) => format!("load balancer {address}:{port}"),
            Self::Fronted(front) => {
                let host = if front.host.is_empty() { "any host" } else { &front.host };
                format!("{} {host} at {}:{}", front.kind, front.address, front.port)
            }
            Self::InCluster { host, port } => format!("{host}:{port} from inside of the cluster"),
            Self::NodePort(address, port) => format!("node port {address}:{port}"),
            Self::ServiceProxy => "the API server's proxy".to_owned(),
            Self::PortForward => "port-forward".to_owned(),
            Self::Name(name, 0) => name.clone(),
            Self::Name(name, port) => format!("{name}:{port}"),
            Self::Url(url) => url.clone(),
        }
    }
}

/// The way that is taken to a port of a Service; `inner` is the port of the pods behind it, where that is known. The error says why the one
/// that was asked for is not there.
pub(super) fn choose(context: &Context<'_>, of: &Service, port: u16, inner: Option<u16>, ask: &Ask, wish: &Wish) -> Result<Route, String> {
    let name = of.name_any();
    match &wish.via {
        Via::Url(url) => Ok(Route::Url(url.clone())),
        Via::ServiceProxy => Ok(Route::ServiceProxy),
        Via::PortForward => Ok(Route::PortForward),
        Via::LoadBalancer => balancer(of, port).ok_or_else(|| format!("service/{name} has no load balancer to be asked through")),
        Via::Ingress => {
            fronted(context, of, port, wish).ok_or_else(|| format!("no Ingress or Gateway with an address leads to service/{name}"))
        }
        Via::NodePort => node_port(context, of, port).ok_or_else(|| format!("service/{name} has no node port that can be asked")),
        Via::InCluster => Ok(in_cluster(of, port, inner)),
        Via::Auto => Ok(balancer(of, port)
            .or_else(|| fronted(context, of, port, wish))
            .unwrap_or_else(|| fallback(of, port, inner, ask, wish))),
    }
}

/// The way where nothing leads to a Service from outside. The API server speaks HTTP only, and keeps `Authorization` to itself.
fn fallback(of: &Service, port: u16, inner: Option<u16>, ask: &Ask, wish: &Wish) -> Route {
    match ask {
        Ask::Http(_) | Ask::Connect if wish.prober => in_cluster(of, port, inner),
        Ask::Http(_) if !wish.authorization => Route::ServiceProxy,
        _ => Route::PortForward,
    }
}

fn balancer(of: &Service, port: u16) -> Option<Route> {
    let is_balanced = of.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("LoadBalancer");
    let status = of.status.as_ref().and_then(|s| s.load_balancer.as_ref()).filter(|_| is_balanced);
    let address = service::load_balancer(status).ok()?.into_iter().next()?;
    Some(Route::LoadBalancer(address, port))
}

/// Clients of a headless Service reach its pods themselves, on the pods' port.
fn in_cluster(of: &Service, port: u16, inner: Option<u16>) -> Route {
    let port = if ports::is_headless(of) { inner.unwrap_or(port) } else { port };
    let namespace = of.namespace().unwrap_or_default();
    Route::InCluster {
        host: format!("{}.{namespace}.svc", of.name_any()),
        port,
    }
}

fn node_port(context: &Context<'_>, of: &Service, port: u16) -> Option<Route> {
    let found = ports::of_service(of).iter().find(|p| p.port == i32::from(port))?;
    let number = u16::try_from(found.node_port?).ok().filter(|n| *n > 0)?;
    let only_local = of.spec.as_ref().and_then(|s| s.external_traffic_policy.as_deref()) == Some("Local");
    let behind = ports::nodes_behind(context, of);
    let nodes = context.snapshot.objects.nodes.iter();
    let mut usable = nodes.filter(|n| is_ready(n) && (!only_local || behind.contains(n.name_any().as_str())));
    usable.find_map(|node| Some(Route::NodePort(address_of(node)?, number)))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.filter(|c| c.type_ == "Ready").any(|c| c.status == "True")
}

fn address_of(node: &Node) -> Option<String> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    ["ExternalIP", "InternalIP"]
        .iter()
        .find_map(|kind| addresses.iter().find(|a| a.type_ == *kind).map(|a| a.address.clone()))
}

fn fronted(context: &Context<'_>, of: &Service, port: u16, wish: &Wish) -> Option<Route> {
    let front = ingress(context, of, port, wish).or_else(|| gateway::front(context, of, port, wish))?;
    Some(Route::Fronted(front))
}

fn ingress(context: &Context<'_>, of: &Service, port: u16, wish: &Wish) -> Option<Front> {
    let name = of.name_any();
    let named = ports::of_service(of)
        .iter()
        .find(|p| p.port == i32::from(port))
        .and_then(|p| p.name.clone());
    let mut leading = context
        .snapshot
        .objects
        .ingresses
        .iter()
        .filter(|i| i.namespace() == of.namespace() && ingress_services(i).contains(&name));
    leading.find_map(|ingress| {
        let entries = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
        let address = service::addresses(entries.iter().map(|e| e.ip.as_deref().or(e.hostname.as_deref()))).ok()?;
        let spec = ingress.spec.as_ref();
        let rules = spec.and_then(|s| s.rules.as_ref());
        let leads = |backend: &k8s_openapi::api::networking::v1::IngressBackend| {
            backend.service.as_ref().is_some_and(|s| {
                let to = s.port.as_ref();
                let by_number = to.and_then(|p| p.number).is_none_or(|n| n == i32::from(port));
                let by_name = to.and_then(|p| p.name.as_ref()).is_none_or(|n| Some(n) == named.as_ref());
                s.name == name && by_number && by_name
            })
        };
        let rule = rules.into_iter().flatten().find_map(|rule| {
            let path = rule.http.as_ref()?.paths.iter().find(|p| leads(&p.backend))?;
            Some((rule.host.clone().unwrap_or_default(), path.path.clone()))
        });
        let by_default = || {
            spec.and_then(|s| s.default_backend.as_ref())
                .filter(|b| leads(b))
                .map(|_| (String::new(), None))
        };
        let (host, path) = rule.or_else(by_default)?;
        let host = wish.host.clone().unwrap_or_else(|| concrete(&host));
        let tls = is_secured(ingress, &host);
        Some(Front {
            kind: "ingress",
            address: address.into_iter().next()?,
            port: if tls { 443 } else { 80 },
            host,
            tls,
            path: path.unwrap_or_else(|| "/".to_owned()),
        })
    })
}

/// `*.example.org` takes any name below it.
pub(super) fn concrete(host: &str) -> String {
    host.replacen("*.", "podlife.", 1)
}

/// Whether a host is the pattern, or stands one step below its asterisk.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(first, tail)| !first.is_empty() && tail == rest),
        None => pattern == host,
    }
}

/// Whether an Ingress ends TLS for a host: an entry without hosts stands for all of them.
fn is_secured(ingress: &Ingress, host: &str) -> bool {
    let entries = ingress.spec.iter().flat_map(|s| s.tls.iter().flatten());
    !host.is_empty()
        && entries
            .map(|entry| entry.hosts.as_deref().unwrap_or_default())
            .any(|hosts| hosts.is_empty() || hosts.iter().any(|pattern| covers(pattern, host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stands_for_one_step() {
        for (pattern, host, is) in [
            ("shop.example", "shop.example", true),
            ("*.example", "shop.example", true),
            ("*.example", "a.shop.example", false),
            ("*.example", "example", false),
            ("shop.example", "other.example", false),
        ] {
            assert_eq!(covers(pattern, host), is, "{pattern} {host}");
        }
        assert_eq!(concrete("*.shop.example"), "podlife.shop.example");
    }

    #[test]
    fn the_weakest_way_is_what_is_proven() {
        let balancer = Route::LoadBalancer("192.0.2.1".into(), 80);
        let ways = [balancer, Route::ServiceProxy];
        assert_eq!(Route::weakest(ways.iter()), "service-proxy");
        assert_eq!(Route::weakest(ways[..1].iter()), "load-balancer");
    }
}
