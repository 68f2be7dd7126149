//! Sessions as text.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::age;
use crate::model::session::{Phases, Session, SessionState};
use crate::render::text_writer::{TextWriter, Tone, width};
use crate::text::sanitise;

/// How much of an id a table shows.
const LONGEST_ID: usize = 40;

/// `scheduled 0.1 · started 0.6 · ready 1.4`, as far as it is known.
pub fn steps(phases: &Phases) -> String {
    let steps = [
        ("accepted", phases.accepted_seconds),
        ("scheduled", phases.scheduled_seconds),
        ("pulled", phases.pulled_seconds),
        ("started", phases.started_seconds),
        ("ready", phases.ready_seconds),
    ];
    let known = steps
        .into_iter()
        .filter_map(|(name, seconds)| Some(format!("{name} {}", short(seconds?))));
    known.collect::<Vec<_>>().join(" · ")
}

/// Two digits below a tenth of a second, so that fast steps are not all 0.
fn short(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.1 {
        format!("{seconds:.2}")
    } else {
        format!("{seconds:.1}")
    }
}

/// When a session ends, from now; `never`.
fn expires(session: &Session, now: Timestamp) -> String {
    match session.expires_at {
        None => "never".to_owned(),
        Some(end) => age::short(Duration::try_from(end.duration_since(now)).unwrap_or_default()),
    }
}

fn since(time: Timestamp, now: Timestamp) -> String {
    age::short(Duration::try_from(now.duration_since(time)).unwrap_or_default())
}

fn tone(state: SessionState) -> Tone {
    match state {
        SessionState::Ready => Tone::Good,
        SessionState::Failed | SessionState::NotReady => Tone::Bad,
        SessionState::Pending | SessionState::Starting | SessionState::Healing => Tone::Moving,
        SessionState::Paused | SessionState::Reaping | SessionState::Ended => Tone::Faint,
    }
}

/// A table of sessions.
pub fn table(sessions: &[Session], now: Timestamp, with_namespace: bool, with_headers: bool, writer: &mut TextWriter) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    if with_headers {
        let names = ["ID", "STATE", "POD", "READY", "GEN", "IDLE", "EXPIRES", "OWNER", "AGE"];
        rows.push(names.map(str::to_owned).to_vec());
    }
    for session in sessions {
        rows.push(vec![
            cut(&sanitise(&session.id)),
            session.state.as_str().to_owned(),
            session.pod.clone().unwrap_or_else(|| "-".to_owned()),
            session.ready.clone(),
            session.generation.to_string(),
            age::short(Duration::from_secs(session.idle_seconds)),
            expires(session, now),
            session
                .owner
                .as_deref()
                .map_or_else(|| "-".to_owned(), |owner| cut(&sanitise(owner))),
            since(session.created_at, now),
        ]);
    }
    if with_namespace {
        let namespaces = sessions.iter().map(|session| session.namespace.clone());
        let headers = with_headers.then(|| "NAMESPACE".to_owned());
        for (row, namespace) in rows.iter_mut().zip(headers.into_iter().chain(namespaces)) {
            row.insert(0, namespace);
        }
    }
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or_default())
        .collect();
    let state = usize::from(with_namespace) + 1;
    for (at, row) in rows.iter().enumerate() {
        let session = at.checked_sub(usize::from(with_headers)).map(|at| &sessions[at]);
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, wide))| {
            let padded = format!("{cell}{:1$}", "", wide - width(cell));
            match session {
                Some(session) if column == state => writer.tone(tone(session.state), &padded),
                _ => padded,
            }
        });
        let line = cells.collect::<Vec<_>>().join("   ");
        writer.row(line.trim_end());
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST_ID {
        return text.to_owned();
    }
    text.chars().take(LONGEST_ID - 1).chain(['…']).collect()
}

/// One session with everything that is known of it, but for its diagnosis.
pub fn status(session: &Session, now: Timestamp, writer: &mut TextWriter) {
    let lead = format!("{}  ", writer.tone(tone(session.state), session.state.as_str()));
    writer.line(
        &lead,
        session.state.as_str().len() + 2,
        &format!("session {}", sanitise(&session.id)),
    );
    let mut rows = vec![
        (
            "pod",
            session.pod.as_ref().map_or_else(|| "none".to_owned(), |pod| pod_line(pod, session)),
        ),
        (
            "created",
            format!(
                "{} ago{}",
                since(session.created_at, now),
                session
                    .owner
                    .as_ref()
                    .map_or_else(String::new, |owner| format!(" for {}", sanitise(owner)))
            ),
        ),
        (
            "used",
            format!(
                "{} ago ({})",
                age::short(Duration::from_secs(session.idle_seconds)),
                sanitise(&session.last_activity_by)
            ),
        ),
        ("next", next(session, now)),
    ];
    let steps = steps(&session.phases);
    if !steps.is_empty() {
        rows.insert(1, ("start", format!("{steps} (seconds)")));
    }
    if let Some(reason) = &session.reason {
        rows.insert(0, ("reason", sanitise(reason)));
    }
    for (label, words) in rows {
        writer.labelled(2, label, 7, Tone::Faint, &words);
    }
}

fn pod_line(pod: &str, session: &Session) -> String {
    let address = session.pod_ip.as_ref().map_or_else(String::new, |address| format!(" at {address}"));
    format!(
        "{pod}{address}, {} containers ready, generation {}",
        session.ready, session.generation
    )
}

/// What will happen to a session by itself, and when.
fn next(session: &Session, now: Timestamp) -> String {
    let end = match session.expires_at {
        None => "it is never cleaned up".to_owned(),
        Some(end) if end <= now => "the next `session gc` cleans it up".to_owned(),
        Some(_) => {
            let unless = if session.expires_by_age { "" } else { " unless it is used" };
            format!("cleaned up in {}{unless}", expires(session, now))
        }
    };
    match session.state {
        SessionState::Healing => {
            let later = session.next_pod_at.map_or_else(String::new, |at| format!(" in {}", since(now, at)));
            format!("`session gc` replaces its pod{later}; {end}")
        }
        SessionState::Ended => format!("its command has ended, and it gets no new pod; {end}"),
        SessionState::Failed => format!("no new pod until `session resume`; {end}"),
        SessionState::Paused => format!("no pod until `session resume`; {end}"),
        SessionState::Reaping => "it is being deleted".to_owned(),
        _ => end,
    }
}
