//! A connection for people: whether it may pass, what stops it, and what was evaluated hop by hop.

use super::paper::{Paper, Tone, width};
use crate::model::connection::{Connection, Hop, HopAnswer, Listening, Passage, Stage};
use crate::model::report::Diagnosis;

/// Writes the first line: the answer and what was asked.
pub fn header(connection: &Connection, diagnosis: &Diagnosis, paper: &mut Paper) {
    let is_blocked_only_by = |stages: &[Stage]| {
        let mut blocked = connection.hops.iter().filter(|h| h.answer == HopAnswer::Blocked);
        blocked.all(|h| stages.contains(&h.stage))
    };
    let (word, tone) = match connection.passage {
        Passage::Allowed => match connection.listening {
            Listening::Answers | Listening::Refuses | Listening::Stopped => ("ALLOWED", Tone::Good),
            Listening::Inside => ("ALLOWED by policy; the port answers inside of the pod", Tone::Good),
            Listening::Starting => ("ALLOWED by policy; nobody listens on the port yet", Tone::Doubtful),
            Listening::Undialled => ("ALLOWED by policy; nobody dialled the port", Tone::Good),
            Listening::Failing => ("ALLOWED, but the application does not work", Tone::Doubtful),
        },
        // That nothing runs keeps the Service without endpoints, too.
        Passage::Blocked if connection.listening == Listening::Stopped && is_blocked_only_by(&[Stage::Service, Stage::Listener]) => {
            ("NOT RUNNING", Tone::Bad)
        }
        Passage::Blocked if is_blocked_only_by(&[Stage::Listener]) => ("REFUSED", Tone::Bad),
        Passage::Blocked => ("BLOCKED", Tone::Bad),
        Passage::Partly => ("PARTLY BLOCKED", Tone::Doubtful),
        Passage::Unknown => ("CANNOT TELL", Tone::Doubtful),
    };
    let of = |text: &str| match text.split('/').collect::<Vec<_>>().as_slice() {
        [kind, namespace, name] if *namespace == connection.from.namespace => format!("{kind}/{name}"),
        [kind, namespace, name] => format!("{kind}/{name} in namespace {namespace}"),
        _ => text.to_owned(),
    };
    let port = connection
        .port
        .map(|p| format!(" port {p}/{}", connection.protocol))
        .unwrap_or_default();
    let mut facts = vec![format!("namespace {}", connection.from.namespace)];
    if diagnosis.elapsed_seconds > 0.0 {
        facts.push(format!("{:.1} s", diagnosis.elapsed_seconds));
    }
    let lead = format!("{}  ", paper.tone(tone, word));
    let words = format!("{} → {}{port}   {}", connection.from.short(), of(&connection.to), facts.join(" · "));
    paper.line(&lead, width(word) + 2, &words);
}

/// Writes what was evaluated, and how far that goes.
pub fn hops(connection: &Connection, paper: &mut Paper) {
    paper.gap();
    let column = connection.hops.iter().map(|h| width(h.stage.as_str())).max().unwrap_or_default();
    for hop in &connection.hops {
        let (sign, tone) = match hop.answer {
            HopAnswer::Open | HopAnswer::Allowed => ("✓", Tone::Good),
            HopAnswer::Blocked => ("✗", Tone::Bad),
            HopAnswer::Unknown => ("?", Tone::Doubtful),
        };
        let stage = format!("{:column$}", hop.stage.as_str());
        let lead = format!("{} {stage}  ", paper.tone(tone, sign));
        paper.line(&lead, column + 4, &format!("{}: {}", ends(hop), hop.reason));
    }
    let lead = paper.tone(Tone::Faint, "i ");
    paper.line(&lead, 2, &connection.basis);
}

/// `pod/web-7c9f8 → pod/db-0:5432 and 3 more pairs`
fn ends(hop: &Hop) -> String {
    let port = hop.port.map(|p| format!(":{p}")).unwrap_or_default();
    let more = match hop.pairs {
        0 | 1 => String::new(),
        2 => " and one more".to_owned(),
        many => format!(" and {} more", many - 1),
    };
    format!("{} → {}{port}{more}", hop.from, hop.to)
}
