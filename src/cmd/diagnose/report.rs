//! Prints a diagnosis, and gives the exit code.

use crate::cmd::Outcome;
use crate::cmd::diagnose::plan::OutputPlan;
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::report::{Diagnosis, Verdict};
use crate::render::changes::{changes, time};
use crate::render::diagnosis::{Detail, names, text};
use crate::render::document;
use crate::render::document::Format;
use crate::render::text_writer::TextWriter;

/// Prints a diagnosis and says how the run ends. `namespace`: the one that was looked at, none for all.
pub(crate) fn print(diagnosis: &Diagnosis, plan: &OutputPlan, namespace: Option<&str>, io: &mut Io) -> Outcome {
    let document = document::print(diagnosis, &plan.format).map_err(|e| Failure::new(Exit::Fault, e))?;
    match (&plan.format, document) {
        (_, Some(document)) => io.stdout.write(&document),
        (Format::Name, None) => io.stdout.write(&names(diagnosis)),
        (_, None) if is_empty(diagnosis) => io.stderr.line(&match namespace {
            Some(namespace) => format!("No resources found in {namespace} namespace."),
            None => "No resources found".to_owned(),
        }),
        (format, None) => {
            let detail = Detail {
                advice: plan.advice,
                wide: *format == Format::Wide,
            };
            let mut writer = TextWriter::new(plan.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            text(diagnosis, detail, &mut writer);
            io.stdout.write(&writer.into_text());
        }
    }
    let advised = plan.advice_fails && !diagnosis.advice.is_empty();
    Ok(match diagnosis.verdict {
        Verdict::Broken | Verdict::Degraded => Exit::Bad,
        _ if advised => Exit::Bad,
        Verdict::Inconclusive => Exit::CannotTell,
        Verdict::Progressing | Verdict::Healthy => Exit::Good,
    })
}

/// Prints a diagnosis of a watch: for people its time, and of each one after the first only what has changed.
pub(crate) fn print_change(
    before: Option<&Diagnosis>,
    diagnosis: &Diagnosis,
    plan: &OutputPlan,
    namespace: Option<&str>,
    io: &mut Io,
) -> Result<(), Failure> {
    if !matches!(plan.format, Format::Text | Format::Wide) {
        return print(diagnosis, plan, namespace, io).map(|_| ());
    }
    let mut writer = TextWriter::new(plan.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
    match before {
        Some(before) => changes(before, diagnosis, &mut writer),
        None => time(diagnosis, &mut writer),
    }
    let text = writer.into_text();
    let gap = if before.is_some() { "\n" } else { "" };
    io.stdout.write(&format!("{gap}{text}"));
    match before {
        Some(_) => Ok(()),
        None => print(diagnosis, plan, namespace, io).map(|_| ()),
    }
}

/// Whether there was nothing to judge, and nothing that could not be seen.
fn is_empty(diagnosis: &Diagnosis) -> bool {
    let has_findings = [&diagnosis.root_causes, &diagnosis.pending, &diagnosis.symptoms, &diagnosis.advice]
        .iter()
        .any(|list| !list.is_empty());
    diagnosis.workloads.is_empty() && diagnosis.pod_count == 0 && !has_findings && diagnosis.unchecked.is_empty()
}
