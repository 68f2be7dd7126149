//! Several drills, and two reports beside each other, as text.

use crate::model::drill::DrillReport;
use crate::model::drill_suite::{DrillComparison, DrillSuitePlan, DrillSuiteReport};
use crate::render::drill;
use crate::render::text_writer::{TextWriter, Tone, width};
use crate::text::sanitise;

/// Columns of the longest verdict.
const VERDICT: usize = 12;

/// The plans of a suite.
pub fn plan(suite: &DrillSuitePlan, columns: Option<usize>) -> String {
    let mut text = String::new();
    for drill in &suite.drills {
        let mut writer = TextWriter::new(false, columns);
        let lead = format!("{}  ", drill.priority.as_str());
        writer.line(&lead, lead.len(), &sanitise(&drill.name));
        text += &writer.into_text();
        text += &drill::plan(&drill.plan, columns);
        text.push('\n');
    }
    text
}

/// Downtime, errors and recovery of a drill in a few words.
fn numbers(report: &DrillReport) -> String {
    let worst = report.worst().map(|(down, percent)| format!("down {down} s, errors {percent} %"));
    let mut parts: Vec<String> = worst.into_iter().collect();
    parts.extend(report.recovery_seconds.map(|seconds| format!("recovered after {seconds} s")));
    if report.restarts > 0 {
        parts.push(format!("{} restarts", report.restarts));
    }
    parts.join(", ")
}

/// What came of a suite: a line for each drill, and the reasons of those that are not `HELD`.
pub fn report(suite: &DrillSuiteReport, columns: Option<usize>) -> String {
    let mut writer = TextWriter::new(false, columns);
    let made = suite.drills.iter().filter(|drill| drill.report.is_some()).count();
    let head = format!("{} drills of suite {} in {} s", made, sanitise(&suite.name), suite.elapsed_seconds);
    writer.line(&format!("{}   ", suite.verdict.as_str()), suite.verdict.as_str().len() + 3, &head);
    let longest = suite
        .drills
        .iter()
        .map(|drill| width(&sanitise(&drill.full_name())))
        .max()
        .unwrap_or_default()
        .min(48);
    for drill in &suite.drills {
        let (verdict, words) = match &drill.report {
            Some(report) => (report.verdict.as_str(), numbers(report)),
            None => ("left out", drill.skipped.clone().unwrap_or_default()),
        };
        let name = sanitise(&drill.full_name());
        let padding = " ".repeat(longest.saturating_sub(width(&name)));
        let lead = format!("{}  {verdict:<VERDICT$}  {name}{padding}  ", drill.priority.as_str());
        writer.beside(0, &lead, width(&lead), &sanitise(&words));
        for reason in drill.report.iter().flat_map(|report| &report.reasons) {
            writer.labelled(4, "because", 8, Tone::Plain, &sanitise(reason));
        }
    }
    writer.into_text()
}

/// Two reports beside each other: what is worse, or all values where nothing is.
pub fn comparison(comparison: &DrillComparison, columns: Option<usize>) -> String {
    let mut writer = TextWriter::new(false, columns);
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    for one in &comparison.differences {
        let mark = if one.is_regression { "WORSE" } else { "ok" };
        let words = format!("{}: {} {} → {}", one.drill, one.value, value(&one.before), value(&one.after));
        writer.labelled(0, mark, 5, Tone::Plain, &sanitise(&words));
    }
    let worse = comparison.differences.iter().filter(|one| one.is_regression).count();
    let told = match worse {
        0 => format!("nothing is more than {} % worse", comparison.tolerance_percent),
        worse => format!(
            "{worse} of {} values are more than {} % worse",
            comparison.differences.len(),
            comparison.tolerance_percent
        ),
    };
    writer.line("", 0, &told);
    writer.into_text()
}
