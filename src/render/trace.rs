//! A trace for people: whether the connection may pass, what stops it, and what was evaluated hop by hop.

use crate::model::finding::ObjectRef;
use crate::model::report::Verdict;
use crate::model::trace::{Hop, HopAnswer, Listening, Passage, Stage, Trace};
use crate::render::finding::{Links, Names, root_causes};
use crate::render::text_writer::{TextWriter, Tone, width};
use crate::render::unchecked::by_reason;

/// Writes a trace. `wide`: with all evidence.
pub(crate) fn text(trace: &Trace, wide: bool, writer: &mut TextWriter) {
    header(trace, writer);
    let verdict = match trace.passage {
        Passage::Blocked => Verdict::Broken,
        Passage::Allowed | Passage::Partly => Verdict::Degraded,
        Passage::Unknown => Verdict::Inconclusive,
    };
    let names = Names::of(trace.root_causes.iter().map(|f| &f.subject.object));
    let targets = [trace.from.to_string(), trace.to.clone()];
    let links = Links::of(&trace.root_causes, &trace.symptoms, &[], &targets);
    root_causes(&trace.root_causes, verdict, &links, &names, wide, writer);
    hops(trace, writer);
    writer.gap();
    for (what, why) in by_reason(&trace.unchecked, "trace") {
        let lead = format!("{} ", writer.tone(Tone::Doubtful, "?"));
        writer.line(&lead, 2, &format!("not checked: {what} ({why})"));
    }
}

/// `kind/name` of the objects that have to change, most important first.
pub(crate) fn names(trace: &Trace) -> String {
    let mut objects: Vec<&ObjectRef> = Vec::new();
    for finding in &trace.root_causes {
        if !objects.contains(&&finding.subject.object) {
            objects.push(&finding.subject.object);
        }
    }
    objects.into_iter().map(|object| object.with_group() + "\n").collect()
}

/// Writes the answer and the question in one line.
fn header(trace: &Trace, writer: &mut TextWriter) {
    let is_blocked_only_by = |stages: &[Stage]| {
        let mut blocked = trace.hops.iter().filter(|h| h.answer == HopAnswer::Blocked);
        blocked.all(|h| stages.contains(&h.stage))
    };
    let (word, tone) = match trace.passage {
        Passage::Allowed => match trace.listening {
            Listening::Answers | Listening::Refuses | Listening::Stopped => ("ALLOWED", Tone::Good),
            Listening::Inside => ("ALLOWED by policy; the port answers inside the pod", Tone::Good),
            Listening::Starting => ("ALLOWED by policy; nothing listens on the port yet", Tone::Doubtful),
            Listening::Undialled => ("ALLOWED by policy; the port was not dialled", Tone::Good),
            Listening::Failing => ("ALLOWED, but the application does not work", Tone::Doubtful),
        },
        // A Service has no endpoints if its pods do not run.
        Passage::Blocked if trace.listening == Listening::Stopped && is_blocked_only_by(&[Stage::Service, Stage::Listener]) => {
            ("NOT RUNNING", Tone::Bad)
        }
        Passage::Blocked if is_blocked_only_by(&[Stage::Listener]) => ("REFUSED", Tone::Bad),
        Passage::Blocked => ("BLOCKED", Tone::Bad),
        Passage::Partly => ("PARTLY BLOCKED", Tone::Doubtful),
        Passage::Unknown => ("CANNOT TELL", Tone::Doubtful),
    };
    let to = match trace.to.split('/').collect::<Vec<_>>().as_slice() {
        [kind, namespace, name] if *namespace == trace.from.namespace => format!("{kind}/{name}"),
        [kind, namespace, name] => format!("{kind}/{name} in namespace {namespace}"),
        _ => trace.to.clone(),
    };
    let port = trace.port.map(|p| format!(" port {p}/{}", trace.protocol)).unwrap_or_default();
    let mut facts = vec![format!("namespace {}", trace.from.namespace)];
    if trace.elapsed_seconds > 0.0 {
        facts.push(format!("{:.1} s", trace.elapsed_seconds));
    }
    let lead = format!("{}  ", writer.tone(tone, word));
    let words = format!("{} → {to}{port}   {}", trace.from.short(), facts.join(" · "));
    writer.line(&lead, width(word) + 2, &words);
}

/// Writes what was evaluated, and the limits of the evaluation.
fn hops(trace: &Trace, writer: &mut TextWriter) {
    writer.gap();
    let column = trace.hops.iter().map(|h| width(h.stage.as_str())).max().unwrap_or_default();
    for hop in &trace.hops {
        let (sign, tone) = match hop.answer {
            HopAnswer::Open | HopAnswer::Allowed => ("✓", Tone::Good),
            HopAnswer::Blocked => ("✗", Tone::Bad),
            HopAnswer::Unknown => ("?", Tone::Doubtful),
        };
        let stage = format!("{:column$}", hop.stage.as_str());
        let lead = format!("{} {stage}  ", writer.tone(tone, sign));
        writer.line(&lead, column + 4, &format!("{}: {}", ends(hop), hop.reason));
    }
    let lead = writer.tone(Tone::Faint, "i ");
    writer.line(&lead, 2, &trace.basis);
}

/// `pod/web-7c9f8 → pod/db-0:5432 (one of 4 such pairs)`
fn ends(hop: &Hop) -> String {
    let port = hop.port.map(|p| format!(":{p}")).unwrap_or_default();
    let more = match hop.pairs {
        0 | 1 => String::new(),
        pairs => format!(" (one of {pairs} such pairs)"),
    };
    format!("{} → {}{port}{more}", hop.from, hop.to)
}
