//! The port that a connection leads to: whether anybody answers there, by the same rules as for every port that is used.

use std::collections::BTreeSet;

use super::Called;
use super::ends::Place;
use super::hops::Record;
use crate::model::code::Code;
use crate::model::connection::{Hop, HopAnswer, Listening, Stage};
use crate::model::dial::{DialKey, Reply};
use crate::rules::context::{Context, revision};
use crate::rules::listen::{self, Answer};

/// Looks at the port of each pod that is called; those of one revision are like the first of them.
pub fn look<'a>(context: &Context<'a>, targets: &[Called<'a>], sources: &[Place<'a>], record: &mut Record<'a>) -> Vec<Listening> {
    let from = sources.first().map(Place::shown).unwrap_or_default();
    let mut known: Vec<(Key, Listening)> = Vec::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::with_capacity(targets.len());
    for target in targets {
        let Some(key) = key(context, target) else {
            found.push(Listening::Undialled);
            continue;
        };
        if let Some((_, same)) = known.iter().find(|(other, _)| *other == key) {
            found.push(*same);
            continue;
        }
        let listening = one(context, target, &from, &mut told, record);
        known.push((key, listening));
        found.push(listening);
    }
    found
}

/// Workload, revision, port and protocol.
type Key = (crate::model::finding::ObjectRef, String, i32, String);

fn key(context: &Context<'_>, target: &Called<'_>) -> Option<Key> {
    let pod = target.place.pod?;
    Some((
        context.workload_of(pod),
        revision(pod).to_owned(),
        target.number,
        target.protocol.clone(),
    ))
}

fn one<'a>(context: &Context<'a>, target: &Called<'a>, from: &str, told: &mut BTreeSet<String>, record: &mut Record<'a>) -> Listening {
    let answer = match (target.place.pod, u16::try_from(target.number)) {
        (Some(pod), Ok(port)) => listen::answer(context, pod, port, &target.protocol),
        _ => Answer::Unknown,
    };
    let (listening, said, reason) = match &answer {
        Answer::Listens(why) => (Listening::Answers, HopAnswer::Open, *why),
        Answer::Inside => (
            Listening::Inside,
            HopAnswer::Unknown,
            "it accepts connections there from inside of the pod; nobody dialled its address",
        ),
        Answer::Starting => (
            Listening::Starting,
            HopAnswer::Unknown,
            "nobody listens there yet, and its container is still starting",
        ),
        Answer::Unknown => match dialled(context, target) {
            Some((listening, words)) => (listening, HopAnswer::Unknown, words),
            None => (Listening::Undialled, HopAnswer::Unknown, "nobody dialled it"),
        },
        Answer::Fault(finding) if finding.code == Code::ApplicationError => (Listening::Failing, HopAnswer::Open, finding.summary.as_str()),
        Answer::Fault(finding) => (Listening::Refuses, HopAnswer::Blocked, finding.summary.as_str()),
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
    if let Answer::Fault(finding) = answer
        && told.insert(finding.id.clone())
    {
        record.finding(Stage::Listener, *finding);
    }
    listening
}

/// What came of the dials of a port about which no rule says anything for sure.
fn dialled(context: &Context<'_>, target: &Called<'_>) -> Option<(Listening, &'static str)> {
    let pod = target.place.pod?;
    let (namespace, name) = (pod.metadata.namespace.as_deref()?, pod.metadata.name.as_deref()?);
    let is_of = |key: &DialKey| key.namespace == namespace && key.pod == name && i32::from(key.port) == target.number;
    let dials: Vec<_> = context.snapshot.dials().filter(|dial| is_of(&dial.key)).collect();
    let came = |reply: &Reply| dials.iter().any(|dial| dial.address == *reply || dial.inside == *reply);
    if came(&Reply::Refused) {
        Some((
            Listening::Refuses,
            "a connection to it was refused; whether it is refused from everywhere is not known",
        ))
    } else if came(&Reply::TimedOut) {
        Some((Listening::Refuses, "a connection to it was tried, and nobody answered in time"))
    } else {
        None
    }
}
