//! Gateways and their routes, judged by the conditions that controllers write.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::model::code::Code::{GatewayNotProgrammed, RouteNotAccepted};
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Settles, Subject};
use crate::model::kind;
use crate::text::{command, shorten};
use crate::view::View;

/// A controller reports on a new object within this time, or is not there.
const SILENCE: Duration = Duration::from_secs(60);

const GROUP: &str = "gateway.networking.k8s.io/";
const ROUTES: [&str; 5] = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];

/// Gateways that are not programmed and routes that are not accepted.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let others = view.snapshot.objects.other.iter();
    others
        .filter(|o| text(o, "apiVersion").starts_with(GROUP) && o["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|o| match text(o, "kind") {
            "Gateway" => gateway(view, o),
            kind if ROUTES.contains(&kind) => route(view, o),
            _ => None,
        })
        .collect()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn reference(object: &Value) -> ObjectRef {
    ObjectRef {
        api_version: text(object, "apiVersion").to_owned(),
        kind: text(object, "kind").to_owned(),
        namespace: text(&object["metadata"], "namespace").to_owned(),
        name: text(&object["metadata"], "name").to_owned(),
    }
}

/// Whether a controller may still be about to report on an object; one of a manifest has no time to tell.
fn settles(view: &View<'_>, object: &Value) -> Settles {
    let created: Option<Timestamp> = text(&object["metadata"], "creationTimestamp").parse().ok();
    created.map_or(Settles::Never, |created| view.settles(created, SILENCE))
}

/// The condition of this type, unless it speaks of an older spec.
fn condition<'v>(conditions: &'v Value, type_: &str, generation: Option<i64>) -> Option<&'v Value> {
    let found = conditions.as_array()?.iter().find(|c| c["type"] == *type_)?;
    let observed = found["observedGeneration"].as_i64();
    (observed.is_none() || generation.is_none() || observed >= generation).then_some(found)
}

fn says(condition: &Value) -> String {
    format!("{}: {}", text(condition, "reason"), shorten(text(condition, "message"), 200))
}

fn gateway(view: &View<'_>, object: &Value) -> Option<Finding> {
    let reference = reference(object);
    let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
    let generation = object["metadata"]["generation"].as_i64();
    let conditions = &object["status"]["conditions"];
    let class = text(&object["spec"], "gatewayClassName");
    let describe = command("kubectl describe gateway {} -n {}", &[&name, &namespace]);
    // The API server fills in `Unknown` with reason `Pending` until a controller speaks.
    let refused = ["Accepted", "Programmed"]
        .into_iter()
        .filter_map(|type_| Some((type_, condition(conditions, type_, generation)?)))
        .find(|(_, c)| c["status"] == "False");
    let settles = settles(view, object);
    let finding = |summary: String| {
        Finding::error(GatewayNotProgrammed, Subject::of(reference.clone()), summary).breaking(Effect::Object(reference.clone()))
    };
    if let Some((type_, condition)) = refused {
        // `Pending` is said while the address is on its way.
        let is_late = text(condition, "reason") != "Pending";
        return Some(
            finding(format!("Gateway {name} is not {}", type_.to_lowercase()))
                .settling(if is_late { Settles::Never } else { settles })
                .evidence(format!("gateway/{name} condition {type_}"), says(condition))
                .fix_command("correct what its controller reports", describe),
        );
    }
    let programmed = condition(conditions, "Programmed", generation).is_some_and(|c| c["status"] == "True");
    // A part of an object says nothing about what its controller has reported.
    let is_partial = view.snapshot.local && !conditions.is_array();
    if programmed || is_partial || object["metadata"]["uid"].is_null() {
        return None;
    }
    Some(
        finding(format!(
            "Gateway {name} is not served: no controller of class {class} has reported on it{}",
            yet(settles)
        ))
        .settling(settles)
        .confidence(Confidence::Likely)
        .evidence(format!("gateway/{name}"), "no condition Programmed in its status")
        .fix_command(
            format!("check that GatewayClass {class} exists and that its controller runs"),
            "kubectl get gatewayclass",
        ),
    )
}

/// ` yet` while there is still time.
const fn yet(settles: Settles) -> &'static str {
    match settles {
        Settles::Never => "",
        Settles::Within(_) | Settles::Sometime => " yet",
    }
}

fn route(view: &View<'_>, object: &Value) -> Option<Finding> {
    let reference = reference(object);
    let (namespace, name, kind_name) = (reference.namespace.clone(), reference.name.clone(), reference.kind.clone());
    let generation = object["metadata"]["generation"].as_i64();
    let parents = object["status"]["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let describe = command("kubectl describe {} {} -n {}", &[&kind_name.to_lowercase(), &name, &namespace]);
    let wanted: Vec<ObjectRef> = object["spec"]["parentRefs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|p| p["kind"].as_str().is_none_or(|k| k == "Gateway"))
        .map(|p| ObjectRef::new(&kind::GATEWAY, p["namespace"].as_str().unwrap_or(&namespace), text(p, "name")))
        .collect();
    let suffering = |finding: Finding| {
        wanted.iter().fold(finding, |f, gateway| {
            f.suffering(Effect::Object(gateway.clone())).related("gateway", gateway.clone())
        })
    };
    for parent in parents {
        for type_ in ["Accepted", "ResolvedRefs"] {
            let Some(condition) = condition(&parent["conditions"], type_, generation).filter(|c| c["status"] == "False") else {
                continue;
            };
            let gateway = text(&parent["parentRef"], "name");
            let what = if type_ == "Accepted" {
                format!("{kind_name} {name} is not accepted by Gateway {gateway}")
            } else {
                format!("{kind_name} {name} has a backend that Gateway {gateway} cannot use")
            };
            return Some(suffering(
                Finding::error(
                    RouteNotAccepted,
                    Subject::of(reference),
                    format!("{what} ({})", text(condition, "reason")),
                )
                .evidence(format!("{}/{name} condition {type_}", kind_name.to_lowercase()), says(condition))
                .fix_command("correct what its controller reports", describe),
            ));
        }
    }
    let settles = settles(view, object);
    let is_partial = view.snapshot.local && !object["status"]["parents"].is_array();
    (parents.is_empty() && !is_partial && !wanted.is_empty() && !object["metadata"]["uid"].is_null()).then(|| {
        let names: Vec<&str> = wanted.iter().map(|g| g.name.as_str()).collect();
        suffering(
            Finding::error(
                RouteNotAccepted,
                Subject::of(reference),
                format!(
                    "{kind_name} {name} is accepted by no Gateway{}: it names {}",
                    yet(settles),
                    names.join(", ")
                ),
            )
            .settling(settles)
            .confidence(Confidence::Likely)
            .evidence(format!("{}/{name}", kind_name.to_lowercase()), "its status has no parents")
            .fix_command("check that the Gateway exists and that its controller runs", describe),
        )
    })
}
