//! Which ways lead to a Service, and which one is taken.

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use crate::readiness::check::{Ask, CheckOptions, ProbePath};
use crate::readiness::host::{concrete, covers};
use crate::readiness::route::{Front, Route};
use crate::readiness::{gateway, service};
use crate::view::ports::ingress_services;
use crate::view::{View, ports};

/// The way that is taken to a port of a Service; `inner` is the port of the pods behind it, where that is known. The error says why the one
/// that was asked for is not there.
pub(crate) fn choose(
    view: &View<'_>,
    of: &Service,
    port: u16,
    inner: Option<u16>,
    ask: &Ask,
    wish: &CheckOptions,
) -> Result<Route, String> {
    let name = of.name_any();
    match &wish.via {
        ProbePath::Url(url) => Ok(Route::Url(url.clone())),
        ProbePath::ServiceProxy => Ok(Route::ServiceProxy),
        ProbePath::PortForward => Ok(Route::PortForward),
        ProbePath::LoadBalancer => balancer(of, port).ok_or_else(|| format!("service/{name} has no load balancer address to check")),
        ProbePath::Ingress => {
            fronted(view, of, port, wish).ok_or_else(|| format!("no Ingress or Gateway with an address routes to service/{name}"))
        }
        ProbePath::NodePort => node_port(view, of, port).ok_or_else(|| format!("service/{name} has no node port to check")),
        ProbePath::InCluster => Ok(in_cluster(of, port, inner)),
        ProbePath::Auto => Ok(balancer(of, port)
            .or_else(|| fronted(view, of, port, wish))
            .unwrap_or_else(|| fallback(of, port, inner, ask, wish))),
    }
}

/// The way where nothing leads to a Service from outside. The API server speaks HTTP only, and keeps `Authorization` to itself.
fn fallback(of: &Service, port: u16, inner: Option<u16>, ask: &Ask, wish: &CheckOptions) -> Route {
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

fn node_port(view: &View<'_>, of: &Service, port: u16) -> Option<Route> {
    let found = ports::of_service(of).iter().find(|p| p.port == i32::from(port))?;
    let number = u16::try_from(found.node_port?).ok().filter(|n| *n > 0)?;
    let only_local = of.spec.as_ref().and_then(|s| s.external_traffic_policy.as_deref()) == Some("Local");
    let behind = ports::nodes_behind(view, of);
    let nodes = view.snapshot.objects.nodes.iter();
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

fn fronted(view: &View<'_>, of: &Service, port: u16, wish: &CheckOptions) -> Option<Route> {
    let front = ingress(view, of, port, wish).or_else(|| gateway::front(view, of, port, wish))?;
    Some(Route::Fronted(front))
}

fn ingress(view: &View<'_>, of: &Service, port: u16, wish: &CheckOptions) -> Option<Front> {
    let name = of.name_any();
    let named = ports::of_service(of)
        .iter()
        .find(|p| p.port == i32::from(port))
        .and_then(|p| p.name.clone());
    let mut leading = view
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

/// Whether an Ingress ends TLS for a host: an entry without hosts stands for all of them.
fn is_secured(ingress: &Ingress, host: &str) -> bool {
    let entries = ingress.spec.iter().flat_map(|s| s.tls.iter().flatten());
    !host.is_empty()
        && entries
            .map(|entry| entry.hosts.as_deref().unwrap_or_default())
            .any(|hosts| hosts.is_empty() || hosts.iter().any(|pattern| covers(pattern, host)))
}
