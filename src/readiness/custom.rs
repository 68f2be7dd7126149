//! Objects that tell by conditions: Gateways, HTTPRoutes, types, nodes, and whatever else has a status.

use serde_json::Value;

use crate::model::readiness::{Phase, State};
use crate::readiness::judgement::Judgement;
use crate::readiness::service::addresses;
use crate::text::shorten;

/// Conditions that say yes, in the order in which they are believed.
const GOOD: [&str; 7] = [
    "Ready",
    "Available",
    "Healthy",
    "Programmed",
    "Established",
    "Succeeded",
    "Complete",
];
/// Conditions that say that it has failed for good.
const BAD: [&str; 2] = ["Stalled", "Failed"];
/// Conditions that say that it is not done.
const BUSY: [&str; 2] = ["Reconciling", "Progressing"];

fn generation(object: &Value) -> Option<i64> {
    object["metadata"]["generation"].as_i64()
}

/// A condition, unless it speaks of an older spec.
fn condition<'v>(conditions: &'v Value, type_: &str, generation: Option<i64>) -> Option<&'v Value> {
    let found = conditions.as_array()?.iter().find(|c| c["type"] == *type_)?;
    let observed = found["observedGeneration"].as_i64();
    (observed.is_none() || generation.is_none() || observed >= generation).then_some(found)
}

fn is(condition: Option<&Value>, status: &str) -> bool {
    condition.is_some_and(|c| c["status"] == *status)
}

fn says(condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    shorten(&format!("{} {}", text("reason"), text("message")), 160)
}

fn not(type_: &str, condition: Option<&Value>) -> String {
    match condition.map(says).filter(|s| !s.is_empty()) {
        Some(why) => format!("is not {type_}: {why}"),
        None => format!("is not {type_} yet"),
    }
}

/// Whether a Gateway of the present spec is programmed and has an address.
pub(crate) fn gateway(object: &Value) -> Judgement {
    let programmed = condition(&object["status"]["conditions"], "Programmed", generation(object));
    if !is(programmed, "True") {
        return Judgement::progressing(Phase::Infrastructure, not("programmed", programmed));
    }
    let entries = object["status"]["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
    match addresses(entries.iter().map(|a| a["value"].as_str())) {
        Ok(addresses) => Judgement::ready(Phase::Infrastructure, format!("programmed, address {}", addresses.join(", "))),
        Err(_) => Judgement::progressing(Phase::Infrastructure, "is programmed, but has no address yet"),
    }
}

/// Whether each Gateway that a route names has accepted it and found its backends.
pub(crate) fn route(object: &Value) -> Judgement {
    let wanted = object["spec"]["parentRefs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let parents = object["status"]["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let named = |r: &Value| {
        let text = |field: &str| r[field].as_str().unwrap_or_default().to_owned();
        let namespace = r["namespace"].as_str().unwrap_or(own).to_owned();
        (text("name"), namespace, text("sectionName"), r["port"].as_i64())
    };
    if wanted.is_empty() {
        return Judgement::unknown(Phase::Infrastructure, "names no Gateway");
    }
    for parent in wanted {
        let name = parent["name"].as_str().unwrap_or_default();
        let answers: Vec<&Value> = parents.iter().filter(|p| named(&p["parentRef"]) == named(parent)).collect();
        if answers.is_empty() {
            return Judgement::progressing(Phase::Infrastructure, format!("is not accepted by Gateway {name} yet"));
        }
        for type_ in ["Accepted", "ResolvedRefs"] {
            let found = answers.iter().find_map(|a| condition(&a["conditions"], type_, generation(object)));
            if !is(found, "True") {
                return Judgement::progressing(Phase::Infrastructure, format!("{} by Gateway {name}", not(type_, found)));
            }
        }
    }
    Judgement::ready(Phase::Infrastructure, "accepted")
}

/// Routes of the Gateway API that are accepted like an HTTPRoute, but along which nothing is asked.
pub(crate) const OTHER_ROUTES: [&str; 4] = ["GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];

/// How a route stands along which nothing is asked: never ready, for accepted is not reachable.
pub(crate) fn other_route(object: &Value) -> Judgement {
    let judged = route(object);
    if judged.state != State::Ready {
        return judged;
    }
    let kind = object["kind"].as_str().unwrap_or_default();
    let why = format!("is accepted, but a {kind} is not checked: wait for its Services, or use --via URL to check it from outside");
    Judgement::unknown(Phase::Infrastructure, why)
}

/// Whether the API server serves a type.
pub(crate) fn definition(object: &Value) -> Judgement {
    let conditions = &object["status"]["conditions"];
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Judgement::progressing(Phase::Infrastructure, "is being deleted");
    }
    let names = condition(conditions, "NamesAccepted", None);
    if is(names, "False") {
        return Judgement::failed(Phase::Infrastructure, not("accepted", names));
    }
    let established = condition(conditions, "Established", None);
    if is(established, "True") {
        Judgement::ready(Phase::Infrastructure, "established")
    } else {
        Judgement::progressing(Phase::Infrastructure, not("established", established))
    }
}

/// Whether an object says that it is ready, by the conventions of the API and of kstatus. One that says nothing is unknown.
pub(crate) fn conditions(object: &Value) -> Judgement {
    let phase = Phase::Infrastructure;
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Judgement::progressing(phase, "is being deleted");
    }
    let generation = generation(object);
    let observed = object["status"]["observedGeneration"].as_i64();
    if observed.is_some() && observed < generation {
        return Judgement::progressing(phase, "its controller has not observed the last change yet");
    }
    let all = &object["status"]["conditions"];
    let find = |type_: &str| condition(all, type_, generation);
    if let Some((type_, bad)) = BAD.iter().find_map(|t| find(t).filter(|c| is(Some(c), "True")).map(|c| (*t, c))) {
        return Judgement::failed(phase, format!("{}: {}", type_.to_lowercase(), says(bad)));
    }
    if let Some((type_, good)) = GOOD.iter().find_map(|t| find(t).map(|c| (*t, c))) {
        if !is(Some(good), "True") {
            return Judgement::progressing(phase, not(&type_.to_lowercase(), Some(good)));
        }
        // A Deployment-like `Progressing` stays True when all is well; `Reconciling` does not.
        return match find("Reconciling").filter(|c| is(Some(c), "True")) {
            Some(busy) => Judgement::progressing(phase, format!("reconciling: {}", says(busy))),
            None => Judgement::ready(phase, format!("condition {type_} is True")),
        };
    }
    if let Some(busy) = BUSY.iter().find_map(|t| find(t).filter(|c| is(Some(c), "True"))) {
        return Judgement::progressing(phase, says(busy));
    }
    // A condition of an older spec says that someone is at work.
    if all
        .as_array()
        .is_some_and(|all| GOOD.iter().any(|t| all.iter().any(|c| c["type"] == **t)))
    {
        return Judgement::progressing(phase, "its conditions speak of an older spec");
    }
    Judgement::unknown(phase, "it has no condition that says whether it is ready")
}
