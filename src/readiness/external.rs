//! Services that only give another name to something: that name must resolve, and answer where something is asked.

use k8s_openapi::api::core::v1::Service;

use crate::model::finding::ObjectRef;
use crate::readiness::check::{ANSWER_LIMIT, Ask, Check, CheckOptions, ProbePath};
use crate::readiness::goal::Goal;
use crate::readiness::route::Route;
use crate::text::shorten;
use crate::view::ports;

/// What to ask the name that a Service stands for. The error says why that cannot be asked.
pub(crate) fn checks(service: &Service, reference: &ObjectRef, goal: &Goal, wish: &CheckOptions) -> Result<Vec<Check>, String> {
    let name = service.spec.as_ref().and_then(|s| s.external_name.as_deref()).unwrap_or_default();
    let name = name.trim_end_matches('.');
    let short = reference.short();
    let shown = shorten(name, 100);
    let may_from_inside = match &wish.via {
        ProbePath::InCluster => true,
        ProbePath::Auto => wish.prober,
        ProbePath::Url(_) => false,
        _ => {
            return Err(format!("{short} is an alias for {shown}: use --via in-cluster or a URL"));
        }
    };
    let has_port = ports::of_service(service)
        .iter()
        .any(|port| ports::protocol(port.protocol.as_ref()) == "TCP");
    let is_named = wish.http.is_some() || wish.grpc.is_some() || wish.tcp || goal.port.is_some();
    // A prober can ask what the Service declares; from here the name alone is looked up.
    let is_asked = is_named || wish.via == ProbePath::InCluster || (may_from_inside && has_port);
    let from_inside = may_from_inside && is_asked;
    if !from_inside && is_inside(name) && !matches!(wish.via, ProbePath::Url(_)) {
        let lacks = match (may_from_inside, is_named || has_port) {
            (true, _) => "it declares no port, so --http or --port must say what --probe-image checks",
            (false, true) => "--probe-image checks it from there",
            (false, false) => "--probe-image checks it from there, with --http or --port",
        };
        return Err(format!("{short} is an alias for {shown}, which only the cluster resolves: {lacks}"));
    }
    let mut found = Vec::new();
    for port in ports(service, goal, wish, is_asked, &short)? {
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
                ProbePath::Url(url) => Route::Url(url.clone()),
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
            limit: wish.answer_timeout.unwrap_or(ANSWER_LIMIT),
            admitted: Vec::new(),
        });
    }
    Ok(found)
}

/// Whether a name is one of the cluster's own.
fn is_inside(name: &str) -> bool {
    name.ends_with(".svc") || name.ends_with(".cluster.local")
}

/// The ports that are asked; 0 stands for none where only the name is looked up.
fn ports(service: &Service, goal: &Goal, wish: &CheckOptions, is_asked: bool, short: &str) -> Result<Vec<u16>, String> {
    if !is_asked {
        return Ok(vec![0]);
    }
    let declared = ports::of_service(service)
        .iter()
        .filter(|p| ports::protocol(p.protocol.as_ref()) == "TCP" && goal.uses(p));
    let declared: Vec<u16> = declared.filter_map(|p| u16::try_from(p.port).ok()).collect();
    let given = goal.port.as_ref().and_then(|p| p.parse().ok());
    match (declared.is_empty(), given) {
        (false, _) => Ok(declared),
        (true, Some(port)) => Ok(vec![port]),
        (true, None) if wish.http.is_some() && goal.port.is_none() => Ok(vec![80]),
        (true, None) => Err(format!("{short} has no such port: --port names one by its number")),
    }
}
