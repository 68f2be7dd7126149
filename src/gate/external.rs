//! Services that only give another name to something: that name must resolve, and answer where something is asked.

use k8s_openapi::api::core::v1::Service;

use super::check::{Ask, Check, Via, Wish};
use super::judge::Plan;
use super::route::Route;
use crate::model::finding::ObjectRef;
use crate::model::text::shorten;
use crate::rules::ports;

/// What to ask the name that a Service stands for. The error says why that cannot be asked.
pub(super) fn checks(service: &Service, reference: &ObjectRef, plan: &Plan, wish: &Wish) -> Result<Vec<Check>, String> {
    let name = service.spec.as_ref().and_then(|s| s.external_name.as_deref()).unwrap_or_default();
    let name = name.trim_end_matches('.');
    let short = reference.short();
    let shown = shorten(name, 100);
    let may_from_inside = match &wish.via {
        Via::InCluster => true,
        Via::Auto => wish.prober,
        Via::Url(_) => false,
        _ => {
            return Err(format!(
                "{short} is another name for {shown}: only --via in-cluster or a URL lead there"
            ));
        }
    };
    let has_port = ports::of_service(service)
        .iter()
        .any(|port| ports::protocol(port.protocol.as_ref()) == "TCP");
    let is_named = wish.http.is_some() || wish.grpc.is_some() || wish.tcp || plan.port.is_some();
    // A prober can ask what the Service declares; from here the name alone is looked up.
    let is_asked = is_named || wish.via == Via::InCluster || (may_from_inside && has_port);
    let from_inside = may_from_inside && is_asked;
    if !from_inside && is_inside(name) && !matches!(wish.via, Via::Url(_)) {
        let lacks = match (may_from_inside, is_named || has_port) {
            (true, _) => "it declares no port, so that --http or --port have to say what --probe-image is to ask",
            (false, true) => "--probe-image asks from there",
            (false, false) => "--probe-image asks from there, and --http or --port say what",
        };
        return Err(format!(
            "{short} is another name for {shown}, which only the cluster resolves: {lacks}"
        ));
    }
    let mut found = Vec::new();
    for port in ports(service, plan, wish, is_asked, &short)? {
        let ask = match (&wish.http, &wish.grpc) {
            _ if !is_asked => Ask::Resolve,
            (Some(path), _) => Ask::Http(if path.is_empty() { "/".to_owned() } else { path.clone() }),
            (None, Some(service)) => Ask::Health(service.clone()),
            (None, None) => Ask::Connect,
        };
        found.push(Check {
            service: Some(reference.clone()),
            port,
            tls: port == 443,
            strict: matches!(ask, Ask::Http(_) | Ask::Health(_)),
            route: match &wish.via {
                Via::Url(url) => Route::Url(url.clone()),
                _ if from_inside => Route::InCluster {
                    host: format!("{}.{}.svc", reference.name, reference.namespace),
                    port,
                },
                _ => Route::Name(name.to_owned(), port),
            },
            ask_pods: ask.clone(),
            ask,
            pods: Vec::new(),
            untranslated: None,
        });
    }
    Ok(found)
}

/// Whether a name is one of the cluster's own.
fn is_inside(name: &str) -> bool {
    name.ends_with(".svc") || name.ends_with(".cluster.local")
}

/// The ports that are asked; 0 stands for none where only the name is looked up.
fn ports(service: &Service, plan: &Plan, wish: &Wish, is_asked: bool, short: &str) -> Result<Vec<u16>, String> {
    if !is_asked {
        return Ok(vec![0]);
    }
    let declared = ports::of_service(service)
        .iter()
        .filter(|p| ports::protocol(p.protocol.as_ref()) == "TCP" && plan.uses(p));
    let declared: Vec<u16> = declared.filter_map(|p| u16::try_from(p.port).ok()).collect();
    let given = plan.port.as_ref().and_then(|p| p.parse().ok());
    match (declared.is_empty(), given) {
        (false, _) => Ok(declared),
        (true, Some(port)) => Ok(vec![port]),
        (true, None) if wish.http.is_some() && plan.port.is_none() => Ok(vec![80]),
        (true, None) => Err(format!("{short} has no such port: --port names one by its number")),
    }
}
