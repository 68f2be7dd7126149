//! Containers that are killed before they could start: the time that a start-up or liveness probe leaves, against the time a start takes, or,
//! where nothing shows that, against how each run ends.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use kube::ResourceExt;

use crate::facts::ending::logs_command;
use crate::facts::listening::uses;
use crate::facts::probe::describe;
use crate::model::bind::Bind;
use crate::model::cause::ProbeFailure;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding};
use crate::rules::probes::cut_off::CutOff;
use crate::rules::probes::run::{RunLog, last_run, may_be_starting, shortest};
use crate::rules::probes::{Failing, Which, cut_off, remedy};
use crate::text::{Command, Words, counted, redact, redact_args, shell, shorten};
use crate::view::{LogView, Needs, View, containers, probe_budget};

/// How long a start takes, and what says so.
struct Start {
    takes: Duration,
    /// The start was cut off: it takes longer than `takes`.
    at_least: bool,
    source: String,
    detail: String,
}

/// Whether a probe that kills leaves the time that the application needs.
pub enum Judgement {
    /// As far as anything tells, the budget is not at fault.
    Fits,
    /// It is too short.
    TooShort(Box<Finding>),
    /// It may be, as may something else.
    Perhaps(CutOff),
}

/// Nothing else tells how long a start may take: what most applications stay below (the example of the Kubernetes manual).
const AMPLE: Duration = Duration::from_secs(300);

/// Compares what a probe that kills leaves with what the application needs.
pub fn judge(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>) -> Judgement {
    let container = &failing.container;
    let Some(probe) = failing.which.of(container.spec) else {
        return Judgement::Fits;
    };
    // A liveness probe behind a start-up probe begins after the start.
    let is_late = failing.which == Which::Liveness && container.spec.startup_probe.is_some();
    if is_late || !may_be_starting(failing) || container.restarts() == 0 && container.terminated().is_none() {
        return Judgement::Fits;
    }
    let log = log(view, needs, failing);
    let became_ready = from_status(failing);
    let is_known = became_ready.is_some();
    let start = became_ready
        .or_else(|| from_command(container.spec))
        .or_else(|| from_log(view, failing, log.as_ref()));
    // Who answers may have opened its port at once, and still be loading.
    let answers = !matches!(failing.cause, Some(ProbeFailure::Refused) | None);
    match start {
        Some(start) if start.takes >= shortest(probe) || start.at_least => {
            return Judgement::TooShort(Box::new(seen(view, failing, probe, start)));
        }
        Some(_) if is_known || !answers => return Judgement::Fits,
        _ => {}
    }
    // One pod of the revision speaks for all.
    if !is_representative(view, failing) {
        return Judgement::Fits;
    }
    let lines: Vec<&str> = log.iter().flat_map(|log| log.lines()).collect();
    let said = RunLog {
        started: lines.iter().any(|line| contains(line, STARTED) && !contains(line, STARTING)),
        trouble: lines.iter().any(|line| contains(line, TROUBLE)),
        too_late: uses::probe_port(probe, container.spec).and_then(|port| opened(&lines, port)),
    };
    match cut_off::of(view, needs, failing, &said) {
        None => Judgement::Fits,
        Some(cut_off) if cut_off.is_likely => Judgement::TooShort(Box::new(unseen(view, failing, probe, log.as_ref(), &said))),
        Some(cut_off) => Judgement::Perhaps(cut_off),
    }
}

/// The line that says that a port is open on every address, or on that of the pod.
fn opened<'a>(lines: &[&'a str], port: u16) -> Option<&'a str> {
    let tells = |line: &&str| {
        let told = crate::facts::listening::log_lines::of_line(line);
        told.iter()
            .any(|told| told.address.port == Some(port) && matches!(told.address.bind, Bind::AnyV4 | Bind::AnyV6 | Bind::Address(_)))
    };
    lines.iter().copied().find(tells)
}

fn seconds(time: Duration) -> u64 {
    time.as_secs_f64().round() as u64
}

/// What is to be done where a start may take longer than a probe waits, and nothing shows how long it takes.
pub fn perhaps_more_time(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> (String, Command) {
    let budget = probe_budget(probe);
    let (change, command) = remedy::more_time(view, failing, AMPLE.max(budget * 4));
    (format!("if it needs longer than {} s to start, {change}", seconds(budget)), command)
}

/// When the last run was ended, and why a run may need more: `, the last time 14 s after its start; it may need longer …`.
pub fn perhaps(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> String {
    let after = last_run(view, failing).map_or_else(String::new, |(lived, _)| {
        format!(", the last time {} s after its start", seconds(lived))
    });
    format!(
        "{after}; it may need longer to start than the {} s that this probe leaves it",
        seconds(probe_budget(probe))
    )
}

/// The budget in numbers, as evidence.
pub fn evidence_of_budget(failing: &Failing<'_>, probe: &Probe, finding: Finding) -> Finding {
    finding.evidence(
        "spec",
        format!("{}Probe: {}, {}", failing.which.word(), describe(probe), sum(probe)),
    )
}

/// The finding where nobody listened in any run on a port that is meant to be served, and nothing shows why.
fn unseen(view: &View<'_>, failing: &Failing<'_>, probe: &Probe, log: Option<&LogView<'_>>, said: &RunLog<'_>) -> Finding {
    let container = &failing.container;
    let budget = seconds(probe_budget(probe));
    let port = crate::rules::probes::port(probe).unwrap_or_default();
    let summary = format!(
        "container {} is killed before it listens on port {port}: its {} probe allows {budget} s ({}), and it may need longer than that to start",
        container.name(),
        failing.which.word(),
        sum(probe),
    );
    let mut finding = frame(view, failing, probe, summary);
    finding = ended_by_kubelet(view, failing, finding).evidence(
        format!("pod/{} event Unhealthy", container.pod.name_any()),
        shorten(&failing.text, 200),
    );
    if let Some(log) = log.filter(|log| log.text.is_some()) {
        let source = format!("pod/{} {} {}", container.pod.name_any(), log.source(), container.name());
        finding = match said.too_late {
            Some(line) => finding.evidence(source, format!("{}, when the probe had given up", shorten(&redact(line), 160))),
            None => finding.evidence(source, "says neither that it has started nor what is wrong"),
        };
    }
    let (change, command) = perhaps_more_time(view, failing, probe);
    let previous = container.restarts() > 0 && container.terminated().is_none();
    finding.fix_command(change, command).fix_command(
        format!("if it starts sooner than that, see why it does not listen on port {port} of the pod's address, or probe the port that it listens on"),
        logs_command(container, previous),
    )
}

fn frame(view: &View<'_>, failing: &Failing<'_>, probe: &Probe, summary: String) -> Finding {
    let container = &failing.container;
    let finding = Finding::new(
        Code::ProbeBudgetTooShort,
        crate::model::finding::Severity::Error,
        Confidence::Likely,
        view.subject_of(container),
        summary,
    );
    let finding = evidence_of_budget(failing, probe, finding);
    view.container_effects(container).into_iter().fold(finding, Finding::breaking)
}

fn ended_by_kubelet(view: &View<'_>, failing: &Failing<'_>, finding: Finding) -> Finding {
    let container = &failing.container;
    match last_run(view, failing) {
        Some((lived, ended)) => finding.evidence(
            container.source(),
            format!(
                "the last run was ended by the kubelet after {} s, {ended} ago; {}",
                seconds(lived),
                counted(container.restarts(), "restart")
            ),
        ),
        None => finding,
    }
}

/// The finding where it is known how long a start takes.
fn seen(view: &View<'_>, failing: &Failing<'_>, probe: &Probe, start: Start) -> Finding {
    let container = &failing.container;
    let budget = probe_budget(probe);
    let took = format!("{}{} s", if start.at_least { "more than " } else { "about " }, seconds(start.takes));
    let summary = format!(
        "container {} is killed before it has started: its {} probe gives it {} s ({}), a start takes {took}",
        container.name(),
        failing.which.word(),
        seconds(budget),
        sum(probe),
    );
    let finding = frame(view, failing, probe, summary).evidence(start.source, start.detail);
    let wanted = (start.takes.max(budget) * 2).max(Duration::from_secs(60));
    let (change, command) = remedy::more_time(view, failing, wanted);
    ended_by_kubelet(view, failing, finding).fix_command(change, command)
}

/// `initialDelaySeconds 5 + periodSeconds 2 × failureThreshold 3`
fn sum(probe: &Probe) -> String {
    let delay = probe
        .initial_delay_seconds
        .filter(|d| *d > 0)
        .map(|d| format!("initialDelaySeconds {d} + "));
    format!(
        "{}periodSeconds {} × failureThreshold {}",
        delay.unwrap_or_default(),
        probe.period_seconds.unwrap_or(10),
        probe.failure_threshold.unwrap_or(3)
    )
}

/// A run that did start, seen by the pod's own condition: it became ready this long after the container began.
fn from_status(failing: &Failing<'_>) -> Option<Start> {
    let container = &failing.container;
    if !container.is_ready() || container.spec.readiness_probe.is_none() {
        return None;
    }
    let since = container.running_since()?;
    let conditions = container.pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|c| c.type_ == "ContainersReady" && c.status == "True")?;
    let takes = Duration::try_from(ready.last_transition_time.as_ref()?.0.duration_since(since)).ok()?;
    Some(Start {
        takes,
        at_least: false,
        source: format!("pod/{} status", container.pod.name_any()),
        detail: format!("this run became ready {} s after it began", takes.as_secs()),
    })
}

/// A script that sleeps before it starts its server.
fn from_command(container: &Container) -> Option<Start> {
    let words: Vec<String> = container.command.iter().chain(&container.args).flatten().cloned().collect();
    let seconds = sleeps_before_last_step(&words);
    (seconds > 0).then(|| Start {
        takes: Duration::from_secs(seconds),
        at_least: false,
        source: "spec".to_owned(),
        detail: format!(
            "its command sleeps {seconds} s before its last step: {}",
            shorten(&redact_args(&words), 120)
        ),
    })
}

fn sleeps_before_last_step(words: &[String]) -> u64 {
    let steps = shell::commands(words);
    let Some((_, before)) = steps.split_last() else { return 0 };
    // A loop that sleeps is waiting for something, not starting.
    if steps
        .iter()
        .flatten()
        .any(|word| matches!(word.as_str(), "while" | "until" | "done"))
    {
        return 0;
    }
    let sleeps = before.iter().filter_map(|step| {
        let at = step.iter().position(|word| word == "sleep")?;
        let seconds: f64 = step.get(at + 1)?.trim_end_matches('s').parse().ok()?;
        Some(seconds).filter(|seconds| seconds.is_finite())
    });
    sleeps.sum::<f64>() as u64
}

/// Whether this pod speaks for its revision: logs are asked for one alone.
fn is_representative(view: &View<'_>, failing: &Failing<'_>) -> bool {
    let container = failing.container;
    let same = |other: &k8s_openapi::api::core::v1::Pod| {
        containers(other)
            .iter()
            .any(|c| c.name() == container.name() && (c.restarts() > 0 || c.terminated().is_some()))
    };
    view.is_representative(container.pod, same)
}

fn log<'a>(view: &View<'a>, needs: &mut Needs, failing: &Failing<'_>) -> Option<LogView<'a>> {
    is_representative(view, failing).then(|| needs.end_log(view, &failing.container))?
}

fn from_log(view: &View<'_>, failing: &Failing<'_>, log: Option<&LogView<'_>>) -> Option<Start> {
    let (container, log) = (failing.container, log?);
    let lived = last_run(view, failing).map(|(lived, _)| lived);
    let mut start = read_log(log, lived)?;
    start.source = format!("pod/{} {} {}", container.pod.name_any(), log.source(), container.name());
    Some(start)
}

const STARTED: Words = Words(
    "listening, started, ready to accept, ready for, is ready, now ready, server running, serving, accepting connections, \
     up and running, startup complete",
);
const STARTING: Words = Words(
    "starting, loading, initializ, initialis, migrat, warming, warm-up, warmup, booting, bootstrap, compiling, building, \
     indexing, importing, preparing, restoring, replaying, recovering, fetching, downloading",
);
const TROUBLE: Words = Words("error, fatal, panic, exception, traceback, refused, denied, no such");

fn contains(line: &str, words: Words) -> bool {
    words.occur_in(&line.to_lowercase())
}

/// How long a start takes, as a log says: in words (`Started in 45.2 seconds`), by its time stamps, or because it ends in the middle.
fn read_log(log: &LogView<'_>, lived: Option<Duration>) -> Option<Start> {
    let lines: Vec<&str> = log.lines().collect();
    let says = contains;
    let start = |takes: Duration, at_least: bool, line: &str| Start {
        takes,
        at_least,
        source: String::new(),
        detail: shorten(&redact(line), 160),
    };
    let about_start = lines.iter().rev().filter(|line| says(line, STARTED) || says(line, STARTING));
    for line in about_start {
        if let Some(takes) = duration_in(line) {
            return Some(start(takes, false, line));
        }
    }
    if let Some(up) = lines.iter().find(|line| says(line, STARTED) && !says(line, STARTING)) {
        let (first, up_at) = (lines.iter().find_map(|l| time_of(l))?, time_of(up)?);
        let takes = Duration::try_from(up_at.duration_since(first)).ok()?;
        return Some(start(takes, false, up));
    }
    // It ends in the middle of its start, without a complaint: it needs more than it got.
    let last = lines.last()?;
    if says(last, STARTING) && !lines.iter().any(|line| says(line, TROUBLE)) {
        return Some(start(lived?, true, last));
    }
    None
}

/// A number of seconds in a line: `in 45.2 seconds`, `took 1500 ms`, `needs 40s`.
fn duration_in(line: &str) -> Option<Duration> {
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|w| w.trim_matches(['(', ')', ',', ';', ':', '.', '[', ']']))
        .collect();
    words.iter().enumerate().rev().find_map(|(i, word)| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: f64 = digits.parse().ok().filter(|n| *n >= 0.0)?;
        let unit = match &word[digits.len()..] {
            "" => words.get(i + 1).copied().unwrap_or_default(),
            unit => unit,
        };
        let seconds = match unit.to_lowercase().as_str() {
            "ms" | "millis" | "milliseconds" => number / 1000.0,
            "s" | "sec" | "secs" | "second" | "seconds" => number,
            "min" | "mins" | "minute" | "minutes" => number * 60.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(seconds).ok()
    })
}

/// The time stamp a line begins with, if it is written as RFC 3339.
fn time_of(line: &str) -> Option<Timestamp> {
    let word = line.split_whitespace().next()?.trim_matches(['[', ']']);
    word.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> LogView<'_> {
        LogView {
            text: Some(text),
            previous: true,
        }
    }

    #[test]
    fn a_log_tells_how_long_a_start_takes() {
        let lived = Some(Duration::from_secs(9));
        for (text, expected) in [
            (
                "boot\nStarted Application in 45.123 seconds (process running for 46.5)",
                Some((45.123, false)),
            ),
            ("starting, this takes 40s", Some((40.0, false))),
            ("server ready for requests, startup took 31000 ms", Some((31.0, false))),
            (
                "2026-01-01T12:00:00Z boot\n2026-01-01T12:00:33Z listening on 8080",
                Some((33.0, false)),
            ),
            ("hello\nloading the model", Some((9.0, true))),
            ("loading\nerror: cannot open /model\nloading", None),
            ("listening on 8080", None),
            ("", None),
        ] {
            let start = read_log(&log(text), lived).map(|s| (s.takes.as_secs_f64(), s.at_least));
            assert_eq!(start, expected, "{text}");
        }
    }

    #[test]
    fn a_script_that_sleeps_before_its_server() {
        for (script, expected) in [
            ("sh -c sleep 40; httpd -f -p 8080", 40),
            ("sh -c echo a && sleep 20s && exec server", 20),
            ("sh -c sleep 30 & wait; echo up; httpd -f", 30),
            ("sleep 3600", 0),
            ("sh -c while true; do sleep 60; date; done", 0),
            ("sh -c sleep infinity; x", 0),
        ] {
            let words: Vec<String> = match script.strip_prefix("sh -c ") {
                Some(script) => vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
                None => script.split(' ').map(str::to_owned).collect(),
            };
            assert_eq!(sleeps_before_last_step(&words), expected, "{script}");
        }
    }
}
