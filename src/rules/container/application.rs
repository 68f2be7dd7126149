//! Containers that run while their log reports errors. Conservative: only a repeated error counts, and never beside another fault.

use std::collections::BTreeMap;

use super::crash::{QUOTE, memory_limit, suffering_from_all};
use super::ending::{counts, ending, logs_command, owner_name};
use super::explain::is_child_killed;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding};
use crate::model::text::{redact, shorten};
use crate::rules::Context;
use crate::rules::context::{ContainerView, LogView, Role, containers};

/// An error must be repeated this often within the last lines, and still occur among the newest.
const REPEATED: usize = 5;
/// How many of the last lines are looked at, and how many of them are the newest.
const TAIL: usize = 60;
const NEWEST: usize = 15;

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in context.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(context, pod)) {
            let running = |c: &ContainerView<'_>| c.role != Role::Init && c.is_running() && ending(context, *c).is_none();
            for container in containers(pod).into_iter().filter(running) {
                let stands = context.is_representative(pod, |other| {
                    containers(other)
                        .iter()
                        .any(|c| c.name() == container.name() && running(c) && c.is_ready() == container.is_ready())
                });
                // The log of a container that looks well is read only where the user named its workload: one request each.
                if stands && (!container.is_ready() || context.is_in_focus(&workload.reference) || context.has_log(&container, false)) {
                    let log = context.log(&container, false);
                    findings.extend(log.and_then(|log| judge(context, &container, &log)));
                }
            }
        }
    }
    findings
}

fn judge(context: &Context<'_>, container: &ContainerView<'_>, log: &LogView<'_>) -> Option<Finding> {
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    if let Some((line, times)) = repeated(tail, is_child_killed)
        && times >= 3
        && let Some(limit) = memory_limit(container)
    {
        let summary = format!(
            "processes in container {} of {} are killed again and again, probably because memory runs out: the limit is {limit}",
            container.name(),
            owner_name(context, container.pod)
        );
        let finding = Finding::error(Code::OutOfMemory, "child-process", context.subject_of(container), summary)
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
        owner_name(context, container.pod),
        tail.len()
    );
    let finding = Finding::error(Code::ApplicationError, "", context.subject_of(container), summary)
        .confidence(Confidence::Likely)
        .evidence(format!("log of {}", container.source()), quoted)
        .fix_command(
            "the application itself reports a fault: the lines around it say more",
            logs_command(container, false),
        );
    Some(suffering_from_all(context, container, finding))
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
    fn repetition_ignores_numbers() {
        let lines = ["ERROR order 1 failed", "ok", "ERROR order 2 failed", "ERROR other"];
        assert_eq!(repeated(&lines, is_error), Some(("ERROR order 2 failed", 2)));
    }
}
