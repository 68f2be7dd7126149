//! Gateways as ways to a Service: which HTTPRoute leads to it, and which listener of which Gateway it is attached to.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::Value;

use crate::model::kind;
use crate::readiness::check::CheckOptions;
use crate::readiness::host::{both, concrete};
use crate::readiness::route::Front;
use crate::readiness::service::addresses;
use crate::view::View;

/// The listener through which a port of a Service is reached, with the first host and path that lead to it.
pub(crate) fn front(view: &View<'_>, of: &Service, port: u16, wish: &CheckOptions) -> Option<Front> {
    let others = &view.snapshot.objects.other;
    let routes = others.iter().filter(|o| o["kind"] == *kind::HTTP_ROUTE.kind);
    let mut found = routes.filter_map(|route| {
        let path = path_to(route, of, port)?;
        let own = text(&route["metadata"]["namespace"]);
        list(&route["spec"]["parentRefs"])
            .filter(|p| p["kind"].as_str().is_none_or(|k| k == kind::GATEWAY.kind))
            .find_map(|parent| {
                let namespace = parent["namespace"].as_str().unwrap_or(own);
                let gateway = others.iter().find(|o| {
                    o["kind"] == *kind::GATEWAY.kind
                        && o["metadata"]["name"] == parent["name"]
                        && text(&o["metadata"]["namespace"]) == namespace
                })?;
                let values = list(&gateway["status"]["addresses"]).map(|a| a["value"].as_str());
                let address = addresses(values).ok()?.into_iter().next()?;
                let (host, listener) = listener(gateway, parent, route, wish)?;
                Some(Front {
                    kind: "gateway",
                    address,
                    port: u16::try_from(listener["port"].as_u64()?).ok()?,
                    host,
                    tls: listener["protocol"] == "HTTPS",
                    path: path.clone(),
                })
            })
    });
    found.next()
}

/// The path of the first rule that leads to a port of a Service, where it takes all that begins with it or is exactly that path.
fn path_to(route: &Value, of: &Service, port: u16) -> Option<String> {
    let own = text(&route["metadata"]["namespace"]);
    let namespace = of.namespace().unwrap_or_default();
    let leads = |backend: &Value| {
        backend["kind"].as_str().is_none_or(|k| k == kind::SERVICE.kind)
            && text(&backend["name"]) == of.name_any()
            && backend["namespace"].as_str().unwrap_or(own) == namespace
            && backend["port"].as_u64().is_none_or(|p| p == u64::from(port))
            && backend["weight"].as_u64() != Some(0)
    };
    let mut rules = list(&route["spec"]["rules"]).filter(|rule| list(&rule["backendRefs"]).any(leads));
    rules.find_map(|rule| {
        let Some(matches) = rule["matches"].as_array().filter(|m| !m.is_empty()) else {
            return Some("/".to_owned());
        };
        // What asks for headers, a query or another method is not reached by a plain GET.
        let plain =
            |m: &&Value| m["headers"].is_null() && m["queryParams"].is_null() && m["method"].as_str().is_none_or(|method| method == "GET");
        matches.iter().filter(plain).find_map(|m| match m["path"]["type"].as_str() {
            None | Some("PathPrefix" | "Exact") => Some(m["path"]["value"].as_str().unwrap_or("/").to_owned()),
            Some(_) => None,
        })
    })
}

/// A listener that serves a route, and the host that is asked for: one that both of them take.
fn listener<'v>(gateway: &'v Value, parent: &Value, route: &Value, wish: &CheckOptions) -> Option<(String, &'v Value)> {
    let hosts: Vec<&str> = list(&route["spec"]["hostnames"]).filter_map(Value::as_str).collect();
    let fits = |l: &&Value| {
        matches!(l["protocol"].as_str(), Some("HTTP" | "HTTPS"))
            && parent["sectionName"].as_str().is_none_or(|name| l["name"] == *name)
            && parent["port"].as_u64().is_none_or(|port| l["port"] == port)
    };
    let mut fitting: Vec<&Value> = list(&gateway["spec"]["listeners"]).filter(fits).collect();
    // Where both are offered, plain HTTP mostly leads on to the other.
    fitting.sort_by_key(|l| l["protocol"] != "HTTPS");
    fitting.into_iter().find_map(|l| {
        let own = l["hostname"].as_str().unwrap_or_default();
        let common = if hosts.is_empty() {
            Some(own)
        } else {
            hosts.iter().copied().find_map(|host| both(host, own))
        };
        let host = common.map(concrete)?;
        Some((wish.host.clone().unwrap_or(host), l))
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
