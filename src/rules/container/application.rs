//! Containers that run while their log reports errors. Conservative: only a repeated error counts, and never beside another fault.

use std::collections::BTreeMap;

use crate::facts::ending::{counts, ending, logs_command, owner_name};
use crate::facts::log_line::is_child_killed;
use crate::facts::provided;
use crate::model::cause;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding};
use crate::rules::container::crash::{QUOTE, memory_limit, suffering_from_all};
use crate::text::{redact, shorten};
use crate::view::{ContainerView, LogView, Needs, Role, View, containers};

/// An error must be repeated this often within the last lines, and still occur among the newest.
const REPEATED: usize = 5;
/// How many of the last lines are looked at, and how many of them are the newest.
const TAIL: usize = 60;
const NEWEST: usize = 15;

pub(crate) fn check(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            let running = |c: &ContainerView<'_>| c.role != Role::Init && c.is_running() && ending(view, *c).is_none();
            for container in containers(pod).into_iter().filter(running) {
                let stands = view.is_representative(pod, |other| {
                    containers(other)
                        .iter()
                        .any(|c| c.name() == container.name() && running(c) && c.is_ready() == container.is_ready())
                });
                // The log of a container that looks well is read only where the user named its workload: one request each.
                if stands && (!container.is_ready() || view.is_in_focus(&workload.reference) || view.has_log(&container, false)) {
                    let log = needs.log(view, &container, false);
                    findings.extend(log.and_then(|log| judge(view, needs, &container, &log)));
                }
            }
        }
    }
    findings
}

fn judge(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, log: &LogView<'_>) -> Option<Finding> {
    let lines: Vec<&str> = log.lines().filter(|line| !is_about_own_request(view, container, line)).collect();
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    if let Some((line, times)) = repeated(tail, is_child_killed)
        && times >= 3
        && let Some(limit) = memory_limit(container)
    {
        let summary = format!(
            "processes in container {} of {} are killed again and again, probably because memory runs out: the limit is {limit}",
            container.name(),
            owner_name(view, container.pod)
        );
        let finding = Finding::error(cause::OutOfMemory::ChildProcess, view.subject_of(container), summary)
            .confidence(Confidence::Likely)
            .evidence(format!("log of {}", container.source()), shorten(&redact(line), QUOTE))
            .fix_command(
                "raise resources.limits.memory, or make the program use less (fewer workers, smaller heap)",
                logs_command(container, false),
            );
        return Some(finding);
    }
    let (line, times) = repeated(tail, is_error)?;
    let newest = &tail[tail.len().saturating_sub(NEWEST)..];
    if times < REPEATED || !newest.iter().any(|l| pattern(l) == pattern(line)) {
        return None;
    }
    let quoted = shorten(&redact(line), QUOTE);
    let summary = format!(
        "container {} of {} runs, but its log reports the same error {times} times in its last {} lines",
        container.name(),
        owner_name(view, container.pod),
        tail.len()
    );
    let finding = Finding::error(Code::ApplicationError, view.subject_of(container), summary)
        .confidence(Confidence::Likely)
        .evidence(format!("log of {}", container.source()), quoted);
    let finding = match provided::of_line(view, needs, container, line) {
        Some(provided) => provided.explain(view, container.pod, finding),
        None => finding.fix_command(
            "the application itself reports an error: see the lines around it",
            logs_command(container, false),
        ),
    };
    Some(suffering_from_all(view, container, finding))
}

/// Whether a line is about a path that this run requests, and no probe.
fn is_about_own_request(view: &View<'_>, container: &ContainerView<'_>, line: &str) -> bool {
    let spec = container.spec;
    let probes = [&spec.startup_probe, &spec.liveness_probe, &spec.readiness_probe]
        .into_iter()
        .flatten();
    let probed: Vec<&str> = probes.filter_map(|probe| probe.http_get.as_ref()?.path.as_deref()).collect();
    let is_own = |word: &str| view.options.requested.contains(word) && !probed.contains(&word);
    line.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '=' | '(' | ')'))
        .any(is_own)
}

/// The newest line of the pattern that occurs most often among the lines that fit, and how often.
fn repeated<'a>(lines: &[&'a str], fits: fn(&str) -> bool) -> Option<(&'a str, usize)> {
    let mut seen: BTreeMap<String, (usize, &'a str)> = BTreeMap::new();
    for line in lines.iter().filter(|line| fits(line)) {
        let entry = seen.entry(pattern(line)).or_insert((0, line));
        *entry = (entry.0 + 1, line);
    }
    seen.into_values()
        .max_by_key(|(times, _)| *times)
        .map(|(times, line)| (line, times))
}

/// A line without what differs from one time to the next: numbers, identifiers, times.
fn pattern(line: &str) -> String {
    let word = |word: &str| !word.contains(|c: char| c.is_ascii_digit());
    line.split_whitespace().filter(|w| word(w)).take(12).collect::<Vec<_>>().join(" ")
}

/// Whether a log line calls itself an error: a level word, not the word "error" somewhere in a sentence.
fn is_error(line: &str) -> bool {
    let lower = line.to_lowercase();
    let structured = [
        "level=error",
        "level=fatal",
        "\"level\":\"error\"",
        "\"level\": \"error\"",
        "\"level\":\"fatal\"",
        "\"severity\":\"error\"",
        "\"severity\": \"error\"",
        "\"levelname\": \"error\"",
    ]
    .iter()
    .any(|w| lower.contains(w));
    // The level stands near the beginning, behind a time and a name at most.
    let level = line
        .split(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | ':' | '|' | '(' | ')' | '<' | '>'))
        .filter(|w| !w.is_empty())
        .take(7)
        .any(|w| {
            matches!(
                w,
                "ERROR" | "FATAL" | "CRITICAL" | "PANIC" | "EMERG" | "SEVERE" | "Error" | "error" | "fatal" | "emerg" | "crit"
            )
        });
    let exception = lower.starts_with("traceback (most recent call last)") || lower.starts_with("exception in thread");
    structured || level || exception
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Options;

    #[test]
    fn only_levels_are_errors() {
        for line in [
            "ERROR could not write order: permission denied for table orders",
            "2026-01-01 12:00:00,123 [worker-1] ERROR app - failed",
            "time=2026 level=error msg=x",
            "{\"level\":\"error\",\"msg\":\"x\"}",
            "Error: x",
        ] {
            assert!(is_error(line), "{line}");
        }
        for line in [
            "GET /error 200",
            "finished with 0 errors",
            "INFO handled an ERRORLESS request",
            "loaded error_pages",
        ] {
            assert!(!is_error(line), "{line}");
        }
    }

    #[test]
    fn our_own_requests_are_no_evidence() {
        let snapshot = crate::testing::snapshot(
            "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: app, image: i, \
             readinessProbe: {httpGet: {path: /readyz, port: 80}}}]}}",
        );
        let requested = ["/missing", "/readyz"].map(str::to_owned).into();
        let view = View::new(
            &snapshot,
            Options {
                requested,
                ..Options::default()
            },
        );
        let container = containers(&snapshot.objects.pods[0]).remove(0);
        for (line, is_own) in [
            ("ERROR 404 GET /missing", true),
            ("level=error path=\"/missing\" status=404", true),
            ("ERROR 404 GET /missing/orders", false),
            // The kubelet requests that too.
            ("ERROR 503 GET /readyz", false),
        ] {
            assert_eq!(is_about_own_request(&view, &container, line), is_own, "{line}");
        }
        let log = LogView {
            text: Some("ERROR 404 \"kubectl-podlife/1.0\"\nERROR 404 \"curl/8.0\"\n"),
            previous: false,
        };
        assert_eq!(log.lines().collect::<Vec<_>>(), ["ERROR 404 \"curl/8.0\""]);
    }

    #[test]
    fn repetition_ignores_numbers() {
        let lines = ["ERROR order 1 failed", "ok", "ERROR order 2 failed", "ERROR other"];
        assert_eq!(repeated(&lines, is_error), Some(("ERROR order 2 failed", 2)));
    }
}
