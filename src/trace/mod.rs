//! Whether anything stops a connection from a pod to a Service, pod or address: the name, the Service, the policies of both ends, the port.
//!
//! The evaluation uses only what was read. Like a rule, it names what it needs and does not have yet.

mod alias;
mod ends;
mod hops;
mod listener;
mod mismatch;
pub(crate) mod parse;
mod question;
mod route;
mod service;
mod stopped;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use kube::ResourceExt;

use crate::diagnosis::causes;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding, Severity};
use crate::model::kind;
use crate::model::report::API_VERSION;
use crate::model::snapshot::Snapshot;
use crate::model::trace::{EVALUATED, Hop, HopAnswer, LOOKED_AT, Listening, Passage, Stage, Trace};
use crate::trace::ends::Place;
pub(crate) use crate::trace::hops::near_namespace;
use crate::trace::hops::{Record, Walk};
pub(crate) use crate::trace::question::{Ask, Target, Unanswerable};
use crate::trace::route::Endpoint;
use crate::view::{Need, Needs, Options, View};

/// What an evaluation needs and the snapshot does not have yet.
pub(crate) fn needs(snapshot: &Snapshot, ask: &Ask, options: &Options) -> BTreeSet<Need> {
    let view = View::new(snapshot, options.clone());
    let mut needs = Needs::default();
    first_lists(&view, &mut needs, ask);
    // Needs are noted until the evaluation ends, also if it fails.
    drop(evaluate(&view, &mut needs, ask));
    needs.into_set()
}

/// The lists that every evaluation needs.
pub(crate) fn first_needs(snapshot: &Snapshot, ask: &Ask) -> BTreeSet<Need> {
    let view = View::new(snapshot, Options::default());
    let mut needs = Needs::default();
    first_lists(&view, &mut needs, ask);
    needs.into_set()
}

fn first_lists(view: &View<'_>, needs: &mut Needs, ask: &Ask) {
    let mut lists = vec![
        (kind::POD, ask.from.namespace.clone()),
        (kind::NETWORK_POLICY, ask.from.namespace.clone()),
        (kind::REPLICA_SET, ask.from.namespace.clone()),
    ];
    if let Some(of) = kind::of_object(&ask.from.api_version, &ask.from.kind) {
        lists.push((of.clone(), ask.from.namespace.clone()));
        if of == &kind::CRON_JOB {
            lists.push((kind::JOB, ask.from.namespace.clone()));
        }
    }
    if let Target::Object(to) = &ask.to {
        lists.extend(route::BEHIND.map(|kind| (kind, to.namespace.clone())));
    }
    for (kind, namespace) in lists {
        needs.list(view, &kind, &namespace);
    }
}

/// Evaluates a connection. Requests and time are those of the caller.
pub(crate) fn trace(snapshot: &Snapshot, ask: &Ask, options: &Options) -> Result<Trace, Unanswerable> {
    evaluate(&View::new(snapshot, options.clone()), &mut Needs::default(), ask)
}

fn evaluate(view: &View<'_>, needs: &mut Needs, ask: &Ask) -> Result<Trace, Unanswerable> {
    let sources = ends::of_object(view, &ask.from);
    if sources.is_empty() {
        return Err(Unanswerable::Unread(format!("the pods of {} could not be read", ask.from)));
    }
    let mut record = Record::default();
    let service = route::called_service(view, needs, ask);
    if !matches!(ask.to, Target::Address(_)) {
        let name = match (&ask.to, service) {
            (Target::Name(name), _) => Some(name.clone()),
            (_, service) => service.map(|s| format!("Service {}", s.name_any())),
        };
        for source in sources.iter().filter(|_| name.is_some()) {
            hops::dns(view, needs, source, name.as_deref().unwrap_or_default(), service, &mut record);
        }
    }
    if let Target::Name(name) = &ask.to {
        hops::outside(view, &sources, name, &mut record);
    }
    let mut route = match service {
        Some(service) => Walk {
            view,
            needs,
            sources: &sources,
            record: &mut record,
        }
        .through(service, ask)?,
        None => route::direct(view, ask)?,
    };
    route.endpoints = stopped::without(view, needs, route.endpoints);
    let stopped: Vec<(usize, String)> = route
        .endpoints
        .iter()
        .enumerate()
        .filter_map(|(at, endpoint)| Some((at, stopped::reason(view, needs, &endpoint.place)?)))
        .collect();
    let is_stopped = !stopped.is_empty() && stopped.len() == route.endpoints.len();
    let mut passages: BTreeSet<Passage> = BTreeSet::new();
    let seen = listener::look(view, needs, &route.endpoints, &sources, &mut record);
    for source in &sources {
        for (endpoint, listening) in route.endpoints.iter().zip(&seen).filter(|(t, _)| t.is_for(source)) {
            let is_ipv6 = route.is_ipv6.or_else(|| Some(endpoint.place.end.ip?.is_ipv6())).unwrap_or_default();
            let endpoint = Endpoint {
                place: endpoint.place.clone().of_family(is_ipv6),
                protocol: endpoint.protocol.clone(),
                ..*endpoint
            };
            let passage = hops::policies(view, needs, &source.clone().of_family(is_ipv6), &endpoint, &mut record);
            let is_sure = record
                .hops
                .iter()
                .any(|h| (h.stage, h.answer) == (Stage::Listener, HopAnswer::Blocked));
            passages.insert(match (listening, passage) {
                _ if is_stopped => Passage::Blocked,
                (Listening::Refuses, _) if is_sure => Passage::Blocked,
                // The API server was refused; another client may not be.
                (Listening::Refuses, Passage::Allowed) => Passage::Unknown,
                _ => passage,
            });
        }
    }
    let mut causes_of_stop = Vec::new();
    if is_stopped {
        causes_of_stop = stopped::causes(view, needs, &route.endpoints);
        if service.is_none() {
            record.hops.retain(|h| h.stage != Stage::Listener);
            for (at, reason) in &stopped {
                let endpoint = &route.endpoints[*at];
                record.hop(Hop {
                    stage: Stage::Listener,
                    answer: HopAnswer::Blocked,
                    from: sources.first().map(Place::shown).unwrap_or_default(),
                    to: endpoint.place.shown(),
                    port: Some(endpoint.number),
                    pairs: 1,
                    policies: Vec::new(),
                    allowed_by: None,
                    reason: reason.clone(),
                });
                if causes_of_stop.is_empty()
                    && let Some(finding) = stopped::unexplained(endpoint, reason)
                {
                    record.finding(Stage::Listener, finding);
                }
            }
        }
    }
    let passage = record.passage(&passages);
    let explained: Vec<String> = causes_of_stop.iter().map(|f| f.id.clone()).collect();
    let own = record.findings().into_iter().map(|finding| match finding.code {
        // The causes for the pods explain why the Service has no ready endpoints.
        Code::ServiceHasNoReadyEndpoints if !explained.is_empty() => Finding {
            severity: Severity::Symptom,
            caused_by: explained.clone(),
            ..finding
        },
        _ => finding,
    });
    let findings = causes_of_stop.iter().cloned().chain(own).map(|finding| {
        let assumed = view.snapshot.local && finding.confidence == Confidence::Proven;
        if assumed { finding.confidence(Confidence::Likely) } else { finding }
    });
    let findings: Vec<Finding> = findings.collect();
    let order: Vec<String> = findings.iter().map(|f| f.id.clone()).collect();
    let mut linked = causes::link(findings);
    linked.sort_by_key(|f| order.iter().position(|id| *id == f.id));
    let (root_causes, symptoms) = linked.into_iter().partition(|f| f.severity == Severity::Error);
    let to = match &ask.to {
        Target::Object(object) => object.to_string(),
        Target::Address(ip) => ip.to_string(),
        Target::Name(name) => name.clone(),
    };
    let listening = match is_stopped {
        true => Listening::Stopped,
        false => seen.into_iter().max().unwrap_or_default(),
    };
    Ok(Trace {
        api_version: API_VERSION.to_owned(),
        kind: "Trace".to_owned(),
        from: ask.from.clone(),
        to,
        port: route.port,
        protocol: route.protocol,
        passage,
        listening,
        hops: record.hops,
        basis: match listening {
            Listening::Undialled | Listening::Starting | Listening::Stopped => EVALUATED,
            _ => LOOKED_AT,
        }
        .to_owned(),
        root_causes,
        symptoms,
        unchecked: view.snapshot.unchecked.iter().cloned().collect(),
        taken_at: view.snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    })
}
