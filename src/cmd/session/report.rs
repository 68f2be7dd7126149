//! What the verbs of `session` print in common.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use crate::cmd::Outcome;
use crate::exit::{Exit, Failure};
use crate::io::{Io, Stream};
use crate::model::report::Diagnosis;
use crate::model::session::Session;
use crate::model::{age, duration};
use crate::observe::session::Sessions;
use crate::observe::session::objects::InCluster;
use crate::observe::session::ready::{Ending, Healer};
use crate::render::diagnosis::{Detail, text};
use crate::render::document;
use crate::render::document::Format;
use crate::render::session::steps;
use crate::render::text_writer::TextWriter;
use crate::session::record::{Phase, Record};
use crate::session::state;
use crate::text;

/// An id as it can be pasted into a shell.
pub(super) fn shown(id: &str) -> String {
    text::command("{}", &[&id]).to_string()
}

/// When a session ends: `ends in 9m59s unless it is used`, `ends in 2h` by its maximum lifetime.
pub(super) fn ends(record: &Record, now: Timestamp) -> String {
    match record.expires() {
        None => "never ends by itself".to_owned(),
        Some(end) => {
            let left = Duration::try_from(end.duration_since(now)).unwrap_or_default();
            let unless = if record.expires_by_age() { "" } else { " unless it is used" };
            format!("ends in {}{unless}", age::short(left))
        }
    }
}

/// Does something for each id. An id that fails is reported, and the others go on; the exit code is the first one that is not 0.
pub(super) async fn each(ids: &[String], io: &mut Io, mut act: impl AsyncFnMut(&str, &mut Io) -> Outcome) -> Outcome {
    if let [id] = ids {
        return act(id, io).await;
    }
    let mut worst = Exit::Good;
    for id in ids {
        let exit = match act(id, io).await {
            Ok(exit) => exit,
            Err(failure) if failure.exit == Exit::NoAnswer => return Err(failure),
            Err(failure) => {
                io.stderr
                    .line(&format!("error: {}", text::sanitise(&text::redact(&failure.message))));
                failure.exit
            }
        };
        if worst == Exit::Good {
            worst = exit;
        }
    }
    Ok(worst)
}

/// After this long it is said on a terminal what is being waited for.
const SILENT: Duration = Duration::from_secs(3);

/// Does something within a time; 0 is any time. `late` says in words what was not reached after it.
pub(super) async fn within<T>(
    limit: Duration,
    act: impl Future<Output = Result<T, Failure>>,
    (sessions, err): (&Sessions<InCluster>, &mut Stream),
    late: impl FnOnce(String) -> String,
) -> Result<T, Failure> {
    let deadline = async {
        match limit.is_zero() {
            true => std::future::pending().await,
            false => tokio::time::sleep(limit).await,
        }
    };
    let (mut act, mut deadline) = (pin!(act), pin!(deadline));
    let mut said = None;
    loop {
        tokio::select! {
            done = &mut act => return done,
            () = &mut deadline => {
                let why = sessions.objects.waits_for().map_or_else(String::new, |what| format!(": {what}"));
                return Err(Failure::new(Exit::TimedOut, late(duration::short(limit)) + &why));
            }
            () = tokio::time::sleep(SILENT), if err.is_terminal() => {
                let waits_for = sessions.objects.waits_for();
                if let Some(what) = waits_for.clone().filter(|_| waits_for != said) {
                    err.line(&format!("waiting: {}", text::sanitise(&what)));
                }
                said = waits_for;
            }
        }
    }
}

/// How a session is waited for, and what is printed of it.
pub(super) struct Wait<'a> {
    /// `created`
    pub(super) word: &'static str,
    pub(super) begun: Instant,
    /// None does not wait, 0 waits forever.
    pub(super) timeout: Option<Duration>,
    /// Who replaces a pod that fails.
    pub(super) healer: Healer,
    pub(super) output: &'a Format,
}

/// Waits until the pod of a session is ready, and prints the session.
pub(super) async fn until_ready(sessions: &Sessions<InCluster>, record: Record, wait: &Wait<'_>, io: &mut Io) -> Outcome {
    let Some(timeout) = wait.timeout else {
        let pods = sessions.find(&record.id).await?;
        let session = state::report(&record, pods.pod(), sessions.now());
        let line = format!("session {} {}, {}", shown(&record.id), wait.word, ends(&record, sessions.now()));
        print(&session, &line, wait.output, io)?;
        return Ok(Exit::Good);
    };
    if record.phase == Phase::Failed {
        let reason = record.reason.as_deref().unwrap_or("its pods failed too often");
        let message = format!("session {} was given up: {reason}", shown(&record.id));
        // Who has just resumed it in vain needs another template.
        let hint = match wait.word {
            "resumed" => "create it again with its template, or use --if-exists=replace to change it".to_owned(),
            _ => text::command("kubectl podlife session resume -n {} -- {}", &[&sessions.namespace, &record.id]).to_string(),
        };
        return Err(Failure::new(Exit::Bad, message).hint(hint));
    }
    sessions.has_pods(&record)?;
    let deadline = (!timeout.is_zero()).then(|| wait.begun + timeout);
    let (id, name) = (record.id.clone(), shown(&record.id));
    let status = text::command("kubectl podlife session status -n {} -- {}", &[&sessions.namespace, &id]);
    match sessions
        .until_ready(record, state::is_ready, (wait.begun, deadline), wait.healer, io)
        .await?
    {
        Ending::Ready { record, pod, phases } => {
            let mut session = state::report(&record, Some(&pod), sessions.now());
            session.phases = phases;
            let line = format!(
                "session {name} {}, pod {} ready in {:.1} s ({}), {}",
                wait.word,
                record.pod(),
                wait.begun.elapsed().as_secs_f64(),
                steps(&phases),
                ends(&record, sessions.now())
            );
            print(&session, &line, wait.output, io)?;
            Ok(Exit::Good)
        }
        Ending::Broken { record, diagnosis } => {
            let found = sessions.find(&record.id).await?;
            let mut session = state::report(&record, found.pod(), sessions.now());
            if *wait.output == Format::Text || *wait.output == Format::Wide {
                io.stdout.write(&diagnosed(&diagnosis, io));
                let line = format!(
                    "error: session {name} will not become ready: see the root cause of pod {} above",
                    record.pod()
                );
                io.stderr.line(&line);
                io.stderr
                    .line("hint: to change its template, create it again with --if-exists=replace");
            } else {
                session.diagnosis = Some(diagnosis);
                print(&session, "", wait.output, io)?;
            }
            Ok(Exit::Bad)
        }
        Ending::TimedOut { diagnosis } => {
            if let Some(diagnosis) = diagnosis {
                io.stderr.write(&diagnosed(&diagnosis, io));
            }
            let message = format!("session {name} is not ready after {}", duration::short(timeout));
            Err(Failure::new(Exit::TimedOut, message).hint(status))
        }
        Ending::Ended => Err(
            Failure::new(Exit::Bad, format!("the command of session {name} has ended, and its pod with it")).hint(text::command(
                "kubectl podlife session delete -n {} -- {}",
                &[&sessions.namespace, &id],
            )),
        ),
        Ending::Gone => Err(Failure::new(
            Exit::Bad,
            format!("session {name} was deleted or paused before it was ready"),
        )),
    }
}

/// A diagnosis as text.
pub(super) fn diagnosed(diagnosis: &Diagnosis, io: &Io) -> String {
    let mut writer = TextWriter::new(false, io.stderr.columns());
    let detail = Detail {
        advice: false,
        wide: false,
    };
    text(diagnosis, detail, &mut writer);
    writer.into_text()
}

/// Prints a session: a line for people, the report for programs.
pub(super) fn print(session: &Session, line: &str, format: &Format, io: &mut Io) -> Result<(), Failure> {
    match document::print(session, format).map_err(|error| Failure::new(Exit::Fault, error))? {
        Some(document) => io.stdout.write(&document),
        None if *format == Format::Name => io.stdout.line(&format!("session/{}", session.name)),
        None => io.stdout.line(line),
    }
    Ok(())
}

/// Prints objects as manifests.
pub(super) fn objects(objects: &[Value], format: &Format, io: &mut Io) -> Outcome {
    if *format == Format::Name {
        for object in objects {
            let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
            io.stdout
                .line(&format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default()));
        }
        return Ok(Exit::Good);
    }
    let format = if matches!(format, Format::Text | Format::Wide) {
        &Format::Yaml
    } else {
        format
    };
    let text = document::manifests(objects, format).map_err(|error| Failure::new(Exit::Fault, error))?;
    io.stdout.write(&text.unwrap_or_default());
    Ok(Exit::Good)
}
