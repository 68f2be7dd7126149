//! Drills as text.

use crate::model::drill::{Connections, DrillPlan, DrillReport, DrillVerdict, MeasuredFrom, MeasuredRole, Measurement, RestoredHow};
use crate::render::drill_timeline;
use crate::render::text_writer::{TextWriter, Tone};
use crate::text::{sanitise, shorten};

/// Columns of the labels.
const LABELS: usize = 8;
/// Columns of a line where nothing says how many there are, and of the longest timeline.
const WIDTH: usize = 80;

/// Lines of logs that are shown, and letters of one.
const MOST_LOGGED: usize = 4;
const LONGEST_LOGGED: usize = 200;

fn labelled(writer: &mut TextWriter, label: &str, words: &str) {
    writer.labelled(0, label, LABELS, Tone::Plain, &sanitise(words));
}

/// A plan.
pub fn plan(plan: &DrillPlan, columns: Option<usize>) -> String {
    let mut writer = TextWriter::new(false, columns);
    let targets: Vec<String> = plan.targets.iter().map(|target| target.short()).collect();
    let hit = match plan.pods.hit {
        0 => format!("{} pods", plan.pods.all),
        hit => format!("{hit} of {} pods", plan.pods.all),
    };
    labelled(
        &mut writer,
        "plan",
        &format!("{} {} in namespace {}: {hit}", plan.fault, targets.join(" "), plan.namespace),
    );
    for request in &plan.requests {
        writer.command(0, "request", LABELS, Tone::Plain, &sanitise(request));
    }
    labelled(&mut writer, "proof", &plan.proof);
    labelled(&mut writer, "undo", &plan.undo);
    for expected in &plan.expected {
        labelled(&mut writer, "expected", expected);
    }
    let held = plan
        .held_seconds
        .map(|seconds| format!("held for {seconds} s, "))
        .unwrap_or_default();
    labelled(&mut writer, "time", &format!("{held}at most {} s", plan.worst_case_seconds));
    for refusal in &plan.refusals {
        labelled(&mut writer, "refused", &refusal.to_string());
    }
    writer.into_text()
}

/// How a change was undone.
pub fn how(how: RestoredHow) -> &'static str {
    match how {
        RestoredHow::Restored => "restored",
        RestoredHow::AsBefore => "as before",
        RestoredHow::ChangedByOthers => "kept",
        RestoredHow::Gone => "gone",
        RestoredHow::Failed => "FAILED",
    }
}

/// The kind of a client.
const fn client(role: MeasuredRole, connections: Connections) -> &'static str {
    match (role, connections) {
        (MeasuredRole::Target, Connections::New) => "measured",
        (MeasuredRole::Dependant, Connections::New) => "watched",
        (_, Connections::Kept) => "kept",
    }
}

/// What a client saw, in a line.
fn measured(measured: &Measurement, has_many: bool) -> String {
    let mut parts = Vec::new();
    if has_many {
        parts.push(measured.target.clone());
    }
    if measured.from == MeasuredFrom::Cluster {
        parts.push("from inside the cluster".to_owned());
    }
    parts.extend([
        format!("downtime {} s ± {}", measured.downtime_seconds, measured.interval_seconds),
        format!("errors {} % ({} of {})", measured.error_percent, measured.failed, measured.requests),
    ]);
    if measured.outages.len() > 1 {
        parts.push(format!(
            "{} outages, the longest {} s",
            measured.outages.len(),
            measured.longest_outage_seconds
        ));
    }
    let kinds: Vec<String> = measured.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if !kinds.is_empty() {
        parts.push(kinds.join(", "));
    }
    if let (Some(before), Some(during)) = (measured.latency_before, measured.latency_during) {
        parts.push(format!("p95 {} → {} ms", before.p95_milliseconds, during.p95_milliseconds));
    }
    parts.join("   ")
}

/// A report.
pub fn report(report: &DrillReport, columns: Option<usize>) -> String {
    let mut writer = TextWriter::new(false, columns);
    let targets: std::collections::BTreeSet<&str> = report.measured.iter().map(|seen| seen.target.as_str()).collect();
    let has_many = targets.len() > 1;
    let mut parts = Vec::new();
    if let Some(seconds) = report.recovery_seconds {
        parts.push(format!("recovered after {seconds} s"));
    }
    if let Some(seconds) = report.recovery_from_undo_seconds {
        parts.push(format!("{seconds} s from the undo"));
    }
    parts.push(format!("restarts {}", report.restarts));
    writer.line(
        &format!("{}   ", report.verdict.as_str()),
        report.verdict.as_str().len() + 3,
        &parts.join("   "),
    );
    for reason in &report.reasons {
        labelled(&mut writer, "because", reason);
    }
    let room = columns.unwrap_or(WIDTH).saturating_sub(LABELS + 2).clamp(10, WIDTH);
    if let Some((bar, marks)) = drill_timeline::bar(report, room) {
        writer.row(&format!("{:LABELS$}  {bar}", "timeline"));
        labelled(&mut writer, "", &marks);
    }
    if report.measured.is_empty() {
        labelled(&mut writer, "measured", "nothing: no client made requests (--target URL)");
    }
    for seen in &report.measured {
        labelled(&mut writer, client(seen.role, seen.connections), &measured(seen, has_many));
    }
    for gap in &report.endpoint_gaps {
        let to = gap.to_seconds.map_or_else(|| "the end".to_owned(), |to| format!("{to} s"));
        let words = format!("service/{} had no ready endpoint from {} s to {to}", gap.service, gap.from_seconds);
        labelled(&mut writer, "gap", &words);
    }
    if let Some(data) = &report.data {
        let words = if data.is_same {
            format!("as before: {}", data.before)
        } else {
            format!("{} before, {} after", data.before, data.after)
        };
        labelled(&mut writer, "data", &words);
    }
    for budget in &report.budgets {
        let words = format!(
            "poddisruptionbudget/{} ({}): at least {} pods ready, {} required",
            budget.name, budget.says, budget.least, budget.promised
        );
        labelled(&mut writer, "budget", &words);
    }
    for one in report.dependant_restarts.iter().filter(|one| one.restarts > 0) {
        let words = format!("{}: restarts {}, not judged", one.workload.short(), one.restarts);
        labelled(&mut writer, "watched", &words);
    }
    for surprise in &report.surprises {
        labelled(&mut writer, "surprise", surprise);
    }
    for made in &report.replacements {
        let ready = made
            .ready_seconds
            .map_or_else(|| "never ready".to_owned(), |seconds| format!("ready after {seconds} s"));
        labelled(&mut writer, "new", &format!("pod/{} {ready}", made.pod));
    }
    if report.verdict == DrillVerdict::DidNotHold {
        let all = report.logs.iter().flat_map(|log| log.lines.iter().map(move |line| (log, line)));
        let mut all: Vec<_> = all.collect();
        all.sort_by(|(_, a), (_, b)| a.at_seconds.total_cmp(&b.at_seconds));
        for (log, line) in &all[all.len().saturating_sub(MOST_LOGGED)..] {
            let words = format!(
                "pod/{} {} at {} s: {}",
                log.pod,
                log.container,
                line.at_seconds,
                shorten(&line.text, LONGEST_LOGGED)
            );
            labelled(&mut writer, "log", &words);
        }
    }
    for restored in &report.restored {
        let why = restored.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        labelled(&mut writer, how(restored.how), &format!("{}{why}", restored.what));
    }
    writer.into_text()
}
