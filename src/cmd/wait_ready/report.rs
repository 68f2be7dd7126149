//! The report: how it is made of what was judged, and where it is written.

use std::path::Path;

use crate::cmd::Colour;
use crate::cmd::wait_ready::plan::{OutputPlan, Plan};
use crate::cmd::wait_ready::values::{Annotate, Output};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::finding::Finding;
use crate::model::readiness::{ObjectReadiness, PhaseReadiness, Readiness, State};
use crate::model::report::API_VERSION;
use crate::model::snapshot::Snapshot;
use crate::readiness::verdict;
use crate::render::readiness::Annotations;
use crate::render::readiness_junit::junit;
use crate::render::text_writer::TextWriter;
use crate::render::{document, readiness};

/// The exit code of a state; in one look, what is still progressing has timed out.
pub(crate) const fn exit_of(state: State) -> Exit {
    match state {
        State::Ready => Exit::Good,
        State::Failed => Exit::Bad,
        State::Unknown => Exit::CannotTell,
        State::NotFound => Exit::NotFound,
        State::Progressing => Exit::TimedOut,
    }
}

/// The report of a look at objects; `causes` are those that are final.
pub(crate) fn report(
    targets: Vec<String>,
    phases: Vec<PhaseReadiness>,
    judged: Vec<ObjectReadiness>,
    causes: &[Finding],
    snapshot: &Snapshot,
) -> Readiness {
    let state = verdict::state(&phases);
    Readiness {
        api_version: API_VERSION.to_owned(),
        kind: "Readiness".to_owned(),
        targets,
        state,
        reason: verdict::reason(state, &phases, causes),
        exit_code: exit_of(state).code(),
        trend: None,
        proven_by: None,
        application: None,
        hops: None,
        phases,
        objects: judged,
        root_causes: Vec::new(),
        unchecked: snapshot.unchecked.iter().cloned().collect(),
        taken_at: snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    }
}

/// Prints the report, then writes the files: a full disk does not hide the verdict.
pub(crate) fn finish(plan: &Plan, report: &Readiness, snapshot: &Snapshot, io: &Io) -> Result<(), Failure> {
    let output = &plan.output;
    let is = |name: &str| io.environment.get(name) == Some("true");
    // The log of a GitLab runner is not a terminal, and shows colour.
    let is_colourless = output.color == Colour::Never || (output.color == Colour::Auto && io.environment.get("NO_COLOR").is_some());
    let gitlab = Annotations::Gitlab { colour: !is_colourless };
    let style = match output.annotations {
        Annotate::Github => Some(Annotations::Github),
        Annotate::Gitlab => Some(gitlab),
        Annotate::Auto if is("GITHUB_ACTIONS") => Some(Annotations::Github),
        Annotate::Auto if is("GITLAB_CI") => Some(gitlab),
        // A person reads the verdict on the same terminal; a log may keep standard error alone.
        Annotate::Auto | Annotate::None if io.stdout.is_terminal() && io.stderr.is_terminal() => None,
        Annotate::Auto | Annotate::None => Some(Annotations::Plain),
    };
    for line in style.iter().flat_map(|style| readiness::annotations(report, *style)) {
        io.stderr.line(&line);
    }
    print(report, output, io)?;
    if let Some(path) = &output.save {
        let mut document = snapshot.to_json();
        plan.sent.mask_document(&mut document);
        crate::cmd::save::document(path, &document)?;
    }
    if let Some(path) = &output.junit {
        write(path, &junit(report))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(Exit::Fault, format!("writing {}: {error}", path.display())))
}

fn print(report: &Readiness, output: &OutputPlan, io: &Io) -> Result<(), Failure> {
    let format = match &output.output {
        Output::Report(format) => format,
        Output::NdJson => {
            let line = serde_json::to_string(report).map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
            io.stdout.line(&line);
            return Ok(());
        }
    };
    match document::print(report, format).map_err(|e| Failure::new(Exit::Fault, e))? {
        Some(document) => io.stdout.write(&document),
        None => {
            let mut writer = TextWriter::new(output.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            readiness::text(report, &mut writer);
            io.stdout.write(&writer.into_text());
        }
    }
    Ok(())
}
