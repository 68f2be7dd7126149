//! The port that a connection leads to: whether anybody answers there, by the same rules as for every port that is used.

use std::collections::BTreeSet;

use crate::facts::listening::fault;
use crate::facts::listening::fault::{Fault, PortAnswer};
use crate::model::dial::{DialKey, Reply};
use crate::model::trace::{Hop, HopAnswer, Listening, Stage};
use crate::rules::listen;
use crate::trace::ends::Place;
use crate::trace::hops::Record;
use crate::trace::route::Endpoint;
use crate::view::{Needs, View, revision};

/// Looks at the port of each pod that is called; those of one revision are like the first of them.
pub fn look<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    targets: &[Endpoint<'a>],
    sources: &[Place<'a>],
    record: &mut Record<'a>,
) -> Vec<Listening> {
    let from = sources.first().map(Place::shown).unwrap_or_default();
    let mut known: Vec<(Key, Listening)> = Vec::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::with_capacity(targets.len());
    for target in targets {
        let Some(key) = key(view, target) else {
            found.push(Listening::Undialled);
            continue;
        };
        if let Some((_, same)) = known.iter().find(|(other, _)| *other == key) {
            found.push(*same);
            continue;
        }
        let listening = one(view, needs, target, &from, &mut told, record);
        known.push((key, listening));
        found.push(listening);
    }
    found
}

/// Workload, revision, port and protocol.
type Key = (crate::model::finding::ObjectRef, String, i32, String);

fn key(view: &View<'_>, target: &Endpoint<'_>) -> Option<Key> {
    let pod = target.place.pod?;
    Some((
        view.workload_of(pod),
        revision(pod).to_owned(),
        target.number,
        target.protocol.clone(),
    ))
}

fn one<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    target: &Endpoint<'a>,
    from: &str,
    told: &mut BTreeSet<String>,
    record: &mut Record<'a>,
) -> Listening {
    let answer = match (target.place.pod, u16::try_from(target.number)) {
        (Some(pod), Ok(port)) => fault::answer(view, needs, pod, port, &target.protocol),
        _ => PortAnswer::Unknown,
    };
    let finding = match &answer {
        PortAnswer::Fault(faulty) => Some(listen::finding(view, faulty)),
        _ => None,
    };
    let summary = finding.as_ref().map_or("", |finding| finding.summary.as_str());
    let (listening, said, reason) = match &answer {
        PortAnswer::Listens(why) => (Listening::Answers, HopAnswer::Open, *why),
        PortAnswer::Inside => (
            Listening::Inside,
            HopAnswer::Unknown,
            "it accepts connections there from inside the pod; its address was not dialled",
        ),
        PortAnswer::Silent => (
            Listening::Inside,
            HopAnswer::Unknown,
            "it accepts connections there, and no answer came in time",
        ),
        PortAnswer::Starting => (
            Listening::Starting,
            HopAnswer::Unknown,
            "nothing listens there yet: its container is still starting",
        ),
        PortAnswer::Unknown => match dialled(view, target) {
            Some((listening, words)) => (listening, HopAnswer::Unknown, words),
            None => (Listening::Undialled, HopAnswer::Unknown, "it was not dialled"),
        },
        PortAnswer::Fault(faulty) if matches!(faulty.fault, Fault::Fails(_)) => (Listening::Failing, HopAnswer::Open, summary),
        PortAnswer::Fault(_) => (Listening::Refuses, HopAnswer::Blocked, summary),
    };
    record.hop(Hop {
        stage: Stage::Listener,
        answer: said,
        from: from.to_owned(),
        to: target.place.shown(),
        port: Some(target.number),
        pairs: 1,
        policies: Vec::new(),
        allowed_by: None,
        reason: reason.to_owned(),
    });
    if let Some(finding) = finding
        && told.insert(finding.id.clone())
    {
        record.finding(Stage::Listener, finding);
    }
    listening
}

/// What came of the dials of a port about which no rule says anything for sure.
fn dialled(view: &View<'_>, target: &Endpoint<'_>) -> Option<(Listening, &'static str)> {
    let pod = target.place.pod?;
    let (namespace, name) = (pod.metadata.namespace.as_deref()?, pod.metadata.name.as_deref()?);
    let is_of = |key: &DialKey| key.namespace == namespace && key.pod == name && i32::from(key.port) == target.number;
    let dials: Vec<_> = view.snapshot.dials().filter(|dial| is_of(&dial.key)).collect();
    let came = |reply: &Reply| dials.iter().any(|dial| dial.address == *reply || dial.inside == *reply);
    if came(&Reply::Refused) {
        Some((
            Listening::Refuses,
            "a connection to it was refused; whether it is refused from everywhere is not known",
        ))
    } else if came(&Reply::TimedOut) {
        Some((Listening::Refuses, "a connection to it was tried and timed out"))
    } else {
        None
    }
}
