//! Containers that end although they should run: crashes, exits with 0, kills by a probe, ports that are taken.

use super::ending::{Ending, edit_command, ended_after, for_each_pod, groups, killed_by_probe, logs_command, may_complete, owner_name};
use super::explain::{cause_of_line, explaining_line, is_address_in_use, is_child_killed, is_loader_missing, port_in, signal_name};
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, Severity};
use crate::model::text::{redact, redact_args, shorten};
use crate::rules::Context;
use crate::rules::context::{ContainerView, Role};

/// How much of a log line or message is quoted.
pub const QUOTE: usize = 200;

/// Exit code of a container that the runtime could not start.
const START_ERROR: i32 = 128;

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    // Init containers have rules of their own.
    groups(context, |c| c.role != Role::Init)
        .iter()
        .filter(|group| group.first().is_some_and(|e| !is_explained_elsewhere(context, e)))
        .flat_map(|group| {
            let findings = group.first().map(|ending| judge(context, ending)).unwrap_or_default();
            findings.iter().flat_map(|f| for_each_pod(f, group)).collect::<Vec<_>>()
        })
        .collect()
}

/// Ends that other rules of this area name: memory, a failing hook, a runtime that refuses.
fn is_explained_elsewhere(context: &Context<'_>, ending: &Ending<'_>) -> bool {
    let hook = || {
        context.pod_events(ending.container.pod).iter().any(|e| {
            e.reason() == "FailedPostStartHook"
                && e.container() == Some(ending.container.name())
                && (ending.end.exit_code == 137 || ended_after(ending, e))
        })
    };
    ending.end.reason.as_deref() == Some("OOMKilled")
        || hook()
        || (is_start_error(ending) && start_error_cause(ending.end.message.as_deref().unwrap_or_default()).is_none())
}

fn is_start_error(ending: &Ending<'_>) -> bool {
    ending.end.exit_code == START_ERROR || matches!(ending.end.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

fn judge(context: &Context<'_>, ending: &Ending<'_>) -> Vec<Finding> {
    let container = &ending.container;
    if let Some((probe, event)) = killed_by_probe(context, ending) {
        let summary = format!(
            "the {probe} probe of container {} of {} fails, so the kubelet kills and restarts it",
            container.name(),
            owner_name(context, container.pod)
        );
        let finding = Finding::symptom(Code::LivenessKilled, "", context.subject_of(container), summary)
            .evidence(container.source(), ending.describe(context))
            .evidence(format!("{} event Killing", container.source()), event.message());
        return vec![with_effects(context, container, finding)];
    }
    if ending.end.exit_code == 0 && ending.end.signal.is_none() {
        return if may_complete(context, container.pod) && container.role == Role::App {
            Vec::new()
        } else {
            vec![completes(context, ending)]
        };
    }
    vec![crashes(context, ending)]
}

fn with_effects(context: &Context<'_>, container: &ContainerView<'_>, finding: Finding) -> Finding {
    context.container_effects(container).into_iter().fold(finding, Finding::breaking)
}

fn completes(context: &Context<'_>, ending: &Ending<'_>) -> Finding {
    let container = &ending.container;
    let what = if container.role == Role::Sidecar { "sidecar" } else { "container" };
    let summary = format!(
        "{what} {} of {} ends with exit code 0 after {}, but it should keep running, so it is restarted over and over",
        container.name(),
        owner_name(context, container.pod),
        crate::model::age::short(ending.lifetime())
    );
    let mut finding = Finding::error(Code::ContainerCompletes, "", context.subject_of(container), summary)
        .evidence(container.source(), ending.describe(context));
    if let Some(command) = command_line(container) {
        finding = finding.evidence("command", command);
    }
    if let Some(line) = context
        .end_log(container)
        .and_then(|log| Some((log.source(), log.lines().next_back()?)))
    {
        finding = finding.evidence(line.0, shorten(&redact(line.1), QUOTE));
    }
    let finding = finding
        .fix_command(
            "run the program in the foreground (no daemon mode, no & at the end); a shell needs a command that stays",
            logs_command(container, container.restarts() > 0 && container.terminated().is_none()),
        )
        .fix("if it is meant to end, run it as a Job, or as an init container");
    with_effects(context, container, finding)
}

/// Command and arguments on one line, without credentials; none where the image's own are used.
pub fn command_line(container: &ContainerView<'_>) -> Option<String> {
    let spec = container.spec;
    let words: Vec<&String> = spec.command.iter().chain(&spec.args).flatten().collect();
    (!words.is_empty()).then(|| shorten(&redact_args(words), QUOTE))
}

/// What a start error says about the program that should run; none where the fault is elsewhere (mounts, devices, security).
pub(super) fn start_error_cause(message: &str) -> Option<&'static str> {
    let of_program = message.contains("exec: ") || message.contains("exec /") || message.contains("exec format error");
    if !of_program {
        return None;
    }
    if message.contains("exec format error") {
        Some("exec-format")
    } else if message.contains("permission denied") {
        Some("permission-denied")
    } else if message.contains("no such file or directory") || message.contains("not found") {
        Some("command-not-found")
    } else if message.contains("is a directory") {
        Some("permission-denied")
    } else {
        None
    }
}

/// The program that a start error names: `exec: "/nosuch": …`.
fn program_of(message: &str) -> Option<&str> {
    let rest = message.split_once("exec: \"")?.1;
    rest.split_once('"').map(|(program, _)| program)
}

struct Why {
    cause: &'static str,
    /// What the summary says behind the exit code.
    reason: String,
    /// Where the line was seen, and the line.
    line: Option<(&'static str, String)>,
    confidence: Confidence,
    fix: String,
}

fn crashes(context: &Context<'_>, ending: &Ending<'_>) -> Finding {
    let container = &ending.container;
    if is_start_error(ending) {
        let message = ending.end.message.as_deref().unwrap_or_default();
        return start_error(context, container, &ending.describe(context), message);
    }
    let log = context.end_log(container);
    let lines: Vec<&str> = log.iter().flat_map(|l| l.lines()).collect();
    let source = log.map_or("log", |l| l.source());
    let mut explained = explaining_line(&lines);
    // A program that writes its last words for the kubelet explains itself where the log is gone.
    let last_words = ending.end.message.as_deref().filter(|m| !m.trim().is_empty());
    let mut place = source;
    if explained.as_ref().is_none_or(|(_, strong)| !strong)
        && let Some(words) = last_words
    {
        let words: Vec<&str> = words.lines().filter(|l| !l.trim().is_empty()).collect();
        explained = explaining_line(&words).or(explained);
        place = "termination message";
    }
    let line = explained.as_ref().map(|(line, _)| line.as_str());
    if let Some(taken) = line.filter(|l| is_address_in_use(l)) {
        return address_in_use(context, ending, place, taken);
    }
    if ending.end.exit_code == 137 && lines.iter().rev().take(5).any(|l| is_child_killed(l)) && memory_limit(container).is_some() {
        return child_killed(context, ending, place, lines.last().copied().unwrap_or_default());
    }
    let why = why(ending, explained, place);
    let what = if container.role == Role::Sidecar { "sidecar" } else { "container" };
    let code = match ending.is_told {
        true => format!("exit code {}", ending.end.exit_code),
        false => "it was started again".to_owned(),
    };
    let summary = format!(
        "{what} {} of {} crashes: {code}{}",
        container.name(),
        owner_name(context, container.pod),
        why.reason
    );
    let mut finding = Finding::new(
        Code::ContainerCrashing,
        why.cause,
        Severity::Error,
        why.confidence,
        context.subject_of(container),
        summary,
    )
    .evidence(container.source(), ending.describe(context));
    if let Some((place, line)) = &why.line {
        finding = finding.evidence(place, line);
    } else if log.is_some_and(|l| l.text.is_some_and(|t| t.trim().is_empty())) {
        finding = finding.evidence(source, "(empty)");
    }
    if matches!(why.cause, "command-not-found" | "permission-denied" | "exec-format" | "unknown")
        && let Some(command) = command_line(container)
    {
        finding = finding.evidence("command", command);
    }
    let previous = container.terminated().is_none() && container.restarts() > 0;
    let finding = finding.fix_command(why.fix, logs_command(container, previous));
    with_effects(context, container, finding)
}

fn why(ending: &Ending<'_>, explained: Option<(String, bool)>, place: &'static str) -> Why {
    let code = ending.end.exit_code;
    let quoted = explained.as_ref().map(|(line, _)| shorten(&redact(line), QUOTE));
    let strong = explained.as_ref().is_some_and(|(_, strong)| *strong);
    let by_line = explained
        .as_ref()
        .filter(|(_, strong)| *strong)
        .and_then(|(line, _)| cause_of_line(line));
    let lost = matches!(ending.end.reason.as_deref(), Some("ContainerStatusUnknown" | "Unknown"));
    let (cause, confidence) = match (by_line, code) {
        (None, _) if !ending.is_told => ("unknown", Confidence::Possible),
        _ if lost => ("unknown", Confidence::Possible),
        (Some(cause), 126 | 127) => (cause, Confidence::Proven),
        (None, 127) => ("command-not-found", Confidence::Proven),
        (None, 126) => ("permission-denied", Confidence::Proven),
        (_, code) if signal_name(code).is_some() || ending.end.signal.is_some_and(|s| s > 0) => ("signal", Confidence::Proven),
        (Some(cause), _) => (cause, Confidence::Likely),
        (None, _) => ("exit-code", Confidence::Proven),
    };
    let reason = match (&quoted, cause) {
        (Some(line), "signal") if strong => format!("{}, {line}", by_signal(code)),
        (_, "signal") => by_signal(code),
        (Some(line), _) if strong => format!(", {line}"),
        (_, "command-not-found") => ", a command was not found".to_owned(),
        (_, "permission-denied") => ", a command may not be executed".to_owned(),
        _ => String::new(),
    };
    let fix = match &quoted {
        Some(line) if cause == "command-not-found" && is_loader_missing(line) => LOADER_MISSING,
        _ => fix_of(cause, code),
    };
    Why {
        cause,
        reason,
        line: quoted.map(|line| (place, line)),
        confidence,
        fix: fix.to_owned(),
    }
}

fn by_signal(code: i32) -> String {
    signal_name(code).map_or_else(String::new, |name| format!(" ({name})"))
}

const LOADER_MISSING: &str = "the file is there, but not what starts it: correct its #! line (Windows line ends?), or use an image that has \
                              the libraries it was built for (glibc, musl)";

fn fix_of(cause: &str, code: i32) -> &'static str {
    match (cause, code) {
        ("command-not-found", _) => "the command is not in the image, or not on its PATH: correct command and args, or the image",
        ("permission-denied", 126) => {
            "the file is not executable for this user: chmod +x it in the image, or run it through its interpreter"
        }
        ("permission-denied", _) => {
            "give the user of the container the right to this path: fsGroup, runAsUser, or the owner of the files in the image"
        }
        ("exec-format", _) => {
            "the program is built for another CPU architecture, or lacks its #! line: use an image for the node's architecture"
        }
        ("config", _) => "correct the setting that the line names, in the environment or the configuration of the container",
        ("no-space", _) => "free or enlarge the volume that is full, or the ephemeral-storage limit",
        ("read-only-filesystem", _) => "mount an emptyDir where it writes, or unset securityContext.readOnlyRootFilesystem",
        ("signal", 139) => "the program reads memory that is not its own: look for a core dump, or try another version of the image",
        ("signal", 137) => "it was killed from outside and not by the kubelet's memory limit: look at its parent process and at the node",
        _ => "the log around this line says more",
    }
}

/// A program that the runtime could not start; `state` says what became of the container.
pub(super) fn start_error(context: &Context<'_>, container: &ContainerView<'_>, state: &str, message: &str) -> Finding {
    let cause = start_error_cause(message).unwrap_or("unknown");
    let program = program_of(message).map_or_else(|| "its command".to_owned(), |p| shorten(&redact(p), 80));
    let reason = match cause {
        "exec-format" => format!("{program} is built for another CPU architecture, or lacks its #! line"),
        "permission-denied" => format!("{program} may not be executed"),
        _ => format!(
            "{program} does not exist in the image {}",
            container.spec.image.as_deref().unwrap_or_default()
        ),
    };
    let summary = format!(
        "container {} of {} cannot start: {reason}",
        container.name(),
        owner_name(context, container.pod)
    );
    let mut finding = Finding::error(Code::ContainerCrashing, cause, context.subject_of(container), summary)
        .evidence(container.source(), format!("{state}: {}", tail_of(message)));
    if let Some(command) = command_line(container) {
        finding = finding.evidence("command", command);
    }
    let finding = finding.fix_command(fix_of(cause, 126), edit_command(context, container.pod));
    with_effects(context, container, finding)
}

/// The part of a runtime's message that matters stands at its end.
pub fn tail_of(message: &str) -> String {
    let after = message
        .split_once("unable to start container process: ")
        .map_or(message, |(_, tail)| tail);
    shorten(&redact(after), QUOTE)
}

fn address_in_use(context: &Context<'_>, ending: &Ending<'_>, place: &str, line: &str) -> Finding {
    let container = &ending.container;
    let spec = container.pod.spec.as_ref();
    let host = spec.and_then(|s| s.host_network) == Some(true);
    let port = port_in(line);
    // Who else says that it uses this port.
    let other = port.and_then(|port| {
        let declares = |c: &ContainerView<'_>| c.spec.ports.iter().flatten().any(|p| p.container_port == i32::from(port));
        crate::rules::context::containers(container.pod)
            .into_iter()
            .find(|c| c.name() != container.name() && declares(c))
    });
    let port_text = port.map_or_else(|| "a port".to_owned(), |p| format!("port {p}"));
    let whom = match (&other, host) {
        (Some(other), _) => format!("container {} of the same pod uses it", other.name()),
        (None, true) => "with hostNetwork another program of the node uses it".to_owned(),
        (None, false) => "another process of the same pod uses it".to_owned(),
    };
    let summary = format!(
        "container {} of {} cannot listen on {port_text}: {whom}",
        container.name(),
        owner_name(context, container.pod)
    );
    let mut subject = context.subject_of(container);
    if let Some(port) = port {
        subject = subject.port(port);
    }
    let cause = if host { "host-port" } else { "same-pod" };
    let fix = if host {
        "give it another port, or do not use hostNetwork: two pods of one node cannot share a port"
    } else {
        "containers of a pod share its ports: give one of them another port"
    };
    let finding = Finding::error(Code::AddressInUse, cause, subject, summary)
        .confidence(Confidence::Likely)
        .evidence(container.source(), ending.describe(context))
        .evidence(place, shorten(&redact(line), QUOTE))
        .fix_command(fix, edit_command(context, container.pod));
    with_effects(context, container, finding)
}

/// The memory limit of a container.
pub fn memory_limit<'a>(container: &ContainerView<'a>) -> Option<&'a str> {
    let limits = container.spec.resources.as_ref()?.limits.as_ref()?;
    limits.get("memory").map(|q| q.0.as_str())
}

fn child_killed(context: &Context<'_>, ending: &Ending<'_>, place: &str, line: &str) -> Finding {
    let container = &ending.container;
    let limit = memory_limit(container).unwrap_or_default();
    let summary = format!(
        "a process in container {} of {} is killed, probably because memory runs out: the limit is {limit}",
        container.name(),
        owner_name(context, container.pod)
    );
    let finding = Finding::error(Code::OutOfMemory, "child-process", context.subject_of(container), summary)
        .confidence(Confidence::Likely)
        .evidence(container.source(), ending.describe(context))
        .evidence(place, shorten(&redact(line), QUOTE))
        .fix_command(
            "raise resources.limits.memory, or make the program use less",
            edit_command(context, container.pod),
        );
    with_effects(context, container, finding)
}

/// What explains this finding as well: anything that another rule says about the same container.
pub(super) fn suffering_from_all(context: &Context<'_>, container: &ContainerView<'_>, finding: Finding) -> Finding {
    let workload = context.workload_of(container.pod);
    finding
        .suffering(Effect::Container(workload.clone(), container.name().to_owned()))
        .suffering(Effect::NotReady(workload))
}
