//! Gateways and their routes, judged by the conditions that controllers write.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::model::code::Code::{GatewayNotProgrammed, RouteNotAccepted};
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::text::shorten;
use crate::rules::Context;

/// A controller reports on a new object within this time, or is not there.
const SILENCE: Duration = Duration::from_secs(60);

const GROUP: &str = "gateway.networking.k8s.io/";
const ROUTES: [&str; 5] = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];

/// Gateways that are not programmed and routes that are not accepted.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let others = context.snapshot.objects.other.iter();
    others
        .filter(|o| text(o, "apiVersion").starts_with(GROUP) && o["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|o| match text(o, "kind") {
            "Gateway" => gateway(context, o),
            kind if ROUTES.contains(&kind) => route(context, o),
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

fn age(context: &Context<'_>, object: &Value) -> Option<Duration> {
    let created: Timestamp = text(&object["metadata"], "creationTimestamp").parse().ok()?;
    Some(context.age(created))
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

fn gateway(context: &Context<'_>, object: &Value) -> Option<Finding> {
    let reference = reference(object);
    let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
    let generation = object["metadata"]["generation"].as_i64();
    let conditions = &object["status"]["conditions"];
    let class = text(&object["spec"], "gatewayClassName");
    let describe = format!("kubectl describe gateway {name} -n {namespace}");
    // The API server fills in `Unknown` with reason `Pending` until a controller speaks.
    let refused = ["Accepted", "Programmed"]
        .into_iter()
        .filter_map(|type_| Some((type_, condition(conditions, type_, generation)?)))
        .find(|(_, c)| c["status"] == "False");
    let late = age(context, object).is_some_and(|age| age > SILENCE);
    let finding = |summary: String| {
        Finding::error(GatewayNotProgrammed, "", Subject::of(reference.clone()), summary).breaking(Effect::Object(reference.clone()))
    };
    if let Some((type_, condition)) = refused {
        // `Pending` is said while the address is on its way.
        if text(condition, "reason") == "Pending" && !late {
            return None;
        }
        return Some(
            finding(format!("Gateway {name} is not {}", type_.to_lowercase()))
                .evidence(format!("gateway/{name} condition {type_}"), says(condition))
                .fix_command("correct what its controller complains about", describe),
        );
    }
    let programmed = condition(conditions, "Programmed", generation).is_some_and(|c| c["status"] == "True");
    if programmed || !late || object["metadata"]["uid"].is_null() {
        return None;
    }
    Some(
        finding(format!(
            "Gateway {name} is served by nobody: no controller of class {class} has reported on it"
        ))
        .confidence(Confidence::Likely)
        .evidence(format!("gateway/{name}"), "no condition Programmed in its status")
        .fix_command(
            format!("check that GatewayClass {class} exists and that its controller runs"),
            "kubectl get gatewayclass",
        ),
    )
}

fn route(context: &Context<'_>, object: &Value) -> Option<Finding> {
    let reference = reference(object);
    let (namespace, name, kind_name) = (reference.namespace.clone(), reference.name.clone(), reference.kind.clone());
    let generation = object["metadata"]["generation"].as_i64();
    let parents = object["status"]["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let describe = format!("kubectl describe {} {name} -n {namespace}", kind_name.to_lowercase());
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
                format!("{kind_name} {name} leads to something that Gateway {gateway} cannot use")
            };
            return Some(suffering(
                Finding::error(
                    RouteNotAccepted,
                    "",
                    Subject::of(reference),
                    format!("{what} ({})", text(condition, "reason")),
                )
                .evidence(format!("{}/{name} condition {type_}", kind_name.to_lowercase()), says(condition))
                .fix_command("correct what its controller complains about", describe),
            ));
        }
    }
    let late = age(context, object).is_some_and(|age| age > SILENCE);
    (parents.is_empty() && late && !wanted.is_empty() && !object["metadata"]["uid"].is_null()).then(|| {
        let names: Vec<&str> = wanted.iter().map(|g| g.name.as_str()).collect();
        suffering(
            Finding::error(
                RouteNotAccepted,
                "",
                Subject::of(reference),
                format!("{kind_name} {name} is taken up by no Gateway: it names {}", names.join(", ")),
            )
            .confidence(Confidence::Likely)
            .evidence(format!("{}/{name}", kind_name.to_lowercase()), "its status has no parents")
            .fix_command("check that the Gateway exists and that its controller runs", describe),
        )
    })
}
