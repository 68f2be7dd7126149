//! Drills as one HTML document that needs nothing else: no script, no font, no request. All text is escaped.

use std::fmt::Write as _;

use crate::model::drill::{DrillLogLine, DrillReport};
use crate::model::drill_suite::DrillSuiteReport;
use crate::render::drill::how;
use crate::render::drill_lanes::figure;
use crate::render::xml::escape;

/// The style, in light and dark, for screens and paper.
const STYLE: &str = include_str!("drill.css");

/// A drill as a document.
pub fn report(report: &DrillReport) -> String {
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"soft\">namespace {}, {}</p>\n",
        escape(&report.name()),
        escape(&report.namespace),
        report.started_at
    );
    drill(&mut body, report);
    document(&report.name(), &body)
}

/// A suite of drills as a document: an overview, and each drill below it.
pub fn suite(suite: &DrillSuiteReport) -> String {
    let mut body = format!(
        "<h1>{} {}</h1>\n<p class=\"soft\">namespace {}, {}, {} s</p>\n",
        verdict(suite.verdict.as_str(), class(&suite.verdict)),
        escape(&suite.name),
        escape(&suite.namespace),
        suite.started_at,
        suite.elapsed_seconds
    );
    body += "<div class=\"wide\"><table>\n<tr><th>Priority</th><th>Verdict</th><th>Drill</th><th>Downtime</th><th>Errors</th><th>Recovery</th>\
             <th>Restarts</th></tr>\n";
    for (index, one) in suite.drills.iter().enumerate() {
        let name = escape(&one.full_name());
        let priority = one.priority.as_str();
        let _ = match &one.report {
            Some(report) => {
                let (down, errors) = report
                    .worst()
                    .map(|(down, percent)| (format!("{down} s"), format!("{percent} %")))
                    .unwrap_or_default();
                let recovery = report.recovery_seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default();
                writeln!(
                    body,
                    "<tr><td>{priority}</td><td>{}</td><td><a href=\"#drill-{index}\">{name}</a></td><td class=\"number\">{down}</td>\
                     <td class=\"number\">{errors}</td><td class=\"number\">{recovery}</td><td class=\"number\">{}</td></tr>",
                    verdict(report.verdict.as_str(), class(&report.verdict)),
                    report.restarts
                )
            }
            None => writeln!(
                body,
                "<tr><td>{priority}</td><td>{}</td><td>{name}</td><td colspan=\"4\">{}</td></tr>",
                verdict("left out", "leftOut"),
                escape(one.skipped.as_deref().unwrap_or_default())
            ),
        };
    }
    body += "</table></div>\n";
    for (index, one) in suite.drills.iter().enumerate() {
        if let Some(report) = &one.report {
            let _ = writeln!(body, "<section id=\"drill-{index}\">\n<h2>{}</h2>", escape(&one.full_name()));
            drill(&mut body, report);
            body += "</section>\n";
        }
    }
    document(&suite.name, &body)
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

/// The class of a verdict: its word in the JSON.
fn class(verdict: &crate::model::drill::DrillVerdict) -> &'static str {
    use crate::model::drill::DrillVerdict::{DidNotHold, Held, Inconclusive, NotInjected, NotRestored};
    match verdict {
        Held => "held",
        DidNotHold => "didNotHold",
        Inconclusive => "inconclusive",
        NotInjected => "notInjected",
        NotRestored => "notRestored",
    }
}

fn verdict(word: &str, class: &str) -> String {
    format!("<span class=\"verdict {class}\">{word}</span>")
}

/// What is told about a drill: verdict, reasons, numbers, lanes, and what happened.
fn drill(body: &mut String, report: &DrillReport) {
    let _ = writeln!(body, "<p>{}</p>", verdict(report.verdict.as_str(), class(&report.verdict)));
    list(body, "Because", report.reasons.iter().map(String::as_str));
    numbers(body, report);
    body.push_str(&figure(report));
    list(body, "Surprises", report.surprises.iter().map(String::as_str));
    for log in &report.logs {
        let omitted = match log.omitted {
            0 => String::new(),
            omitted => format!(", {omitted} older lines left out"),
        };
        let title = format!("Log of container {} of pod/{}{omitted}", log.container, log.pod);
        let line = |line: &DrillLogLine| format!("{:>9} s  {}\n", line.at_seconds, escape(&line.text));
        let lines: String = log.lines.iter().map(line).collect();
        let _ = write!(body, "<h3>{}</h3>\n<pre>{lines}</pre>\n", escape(&title));
    }
    let events = report
        .events
        .iter()
        .map(|event| [format!("{} s", event.at_seconds), event.what.clone(), event.detail.clone()]);
    table(body, "Events", events);
    let word = |passed: bool| if passed { "passed" } else { "failed" };
    let checks = report
        .checks
        .iter()
        .map(|check| [word(check.passed).to_owned(), check.name.clone(), check.detail.clone()]);
    table(body, "Checks", checks);
    let restored = report
        .restored
        .iter()
        .map(|one| [how(one.how).to_owned(), one.what.clone(), one.why.clone().unwrap_or_default()]);
    table(body, "Restored", restored);
}

fn list<'a>(body: &mut String, title: &str, items: impl Iterator<Item = &'a str>) {
    let items: String = items.map(|item| format!("<li>{}</li>\n", escape(item))).collect();
    if !items.is_empty() {
        let _ = write!(body, "<h3>{title}</h3>\n<ul>\n{items}</ul>\n");
    }
}

/// Rows of three cells; the first is short.
fn table(body: &mut String, title: &str, rows: impl Iterator<Item = [String; 3]>) {
    let row = |[first, second, third]: [String; 3]| {
        let (first, second, third) = (escape(&first), escape(&second), escape(&third));
        format!("<tr><td class=\"number\">{first}</td><td>{second}</td><td>{third}</td></tr>\n")
    };
    let rows: String = rows.map(row).collect();
    if !rows.is_empty() {
        let _ = write!(body, "<h3>{title}</h3>\n<table class=\"short\">\n{rows}</table>\n");
    }
}

fn numbers(body: &mut String, report: &DrillReport) {
    let mut numbers: Vec<(String, String)> = Vec::new();
    for seen in &report.measured {
        let downtime = format!("{} s ± {}", seen.downtime_seconds, seen.interval_seconds);
        numbers.push((format!("downtime of {}", seen.client()), downtime));
        let errors = format!("{} % ({} of {})", seen.error_percent, seen.failed, seen.requests);
        numbers.push(("failed requests".to_owned(), errors));
        for (when, latency) in [
            ("before", seen.latency_before),
            ("during", seen.latency_during),
            ("after", seen.latency_after),
        ] {
            if let Some(latency) = latency {
                numbers.push((format!("95 % of answers {when} within"), format!("{} ms", latency.p95_milliseconds)));
            }
        }
    }
    let seconds = [
        ("seen after", report.injected_seconds),
        ("recovered after", report.recovery_seconds),
        ("from the undo", report.recovery_from_undo_seconds),
    ];
    numbers.extend(
        seconds
            .into_iter()
            .filter_map(|(name, seconds)| Some((name.to_owned(), format!("{} s", seconds?)))),
    );
    numbers.push(("restarts".to_owned(), report.restarts.to_string()));
    let dependants = report.dependant_restarts.iter();
    numbers.extend(dependants.map(|one| (format!("restarts of {}", one.workload.short()), one.restarts.to_string())));
    let told = |(name, value): &(String, String)| format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value));
    let numbers: String = numbers.iter().map(told).collect();
    let _ = write!(body, "<dl class=\"numbers\">\n{numbers}</dl>\n");
}
