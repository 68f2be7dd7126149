//! Containers that end although they should run: crashes, exits with 0, kills by a probe, ports that are taken.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::facts::ending::{
    Ending, edit_command, ended_after, for_each_pod, groups, killed_by_probe, logs_command, may_complete, owner_name, patch_command,
};
use crate::facts::log_line::{
    cause_of_line, explaining_line, is_address_in_use, is_child_killed, is_configuration_missing, is_loader_missing, is_unknown_option,
    port_in, signal_name,
};
use crate::facts::{provided, runtime};
use crate::model::cause::{AddressInUse, ContainerCrashing, OutOfMemory};
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, Severity};
use crate::text::{redact, redact_args, shorten};
use crate::view::{ContainerView, Needs, Role, View};

/// How much of a log line or message is quoted.
pub const QUOTE: usize = 200;

/// Exit code of a container that the runtime could not start.
const START_ERROR: i32 = 128;

pub(crate) fn check(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    // Init containers have rules of their own.
    groups(view, |c| c.role != Role::Init)
        .iter()
        .filter(|group| group.first().is_some_and(|e| !is_explained_elsewhere(view, e)))
        .flat_map(|group| {
            let findings = group.first().map(|ending| judge(view, needs, ending)).unwrap_or_default();
            findings.iter().flat_map(|f| for_each_pod(f, group)).collect::<Vec<_>>()
        })
        .collect()
}

/// Ends that other rules of this area name: memory, a failing hook, a runtime that refuses.
fn is_explained_elsewhere(view: &View<'_>, ending: &Ending<'_>) -> bool {
    let hook = || {
        view.pod_events(ending.container.pod).iter().any(|e| {
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

fn judge(view: &View<'_>, needs: &mut Needs, ending: &Ending<'_>) -> Vec<Finding> {
    let container = &ending.container;
    if let Some((probe, event)) = killed_by_probe(view, ending) {
        let summary = format!(
            "the {probe} probe of container {} of {} fails, so the kubelet kills and restarts it",
            container.name(),
            owner_name(view, container.pod)
        );
        let finding = Finding::symptom(Code::LivenessKilled, view.subject_of(container), summary)
            .evidence(container.source(), ending.describe(view))
            .evidence(format!("{} event Killing", container.source()), event.message());
        return vec![with_effects(view, container, finding)];
    }
    if ending.end.exit_code == 0 && ending.end.signal.is_none() {
        return if may_complete(view, container.pod) && container.role == Role::App {
            Vec::new()
        } else {
            vec![completes(view, needs, ending)]
        };
    }
    vec![crashes(view, needs, ending)]
}

fn with_effects(view: &View<'_>, container: &ContainerView<'_>, finding: Finding) -> Finding {
    view.container_effects(container).into_iter().fold(finding, Finding::breaking)
}

fn completes(view: &View<'_>, needs: &mut Needs, ending: &Ending<'_>) -> Finding {
    let container = &ending.container;
    let what = if container.role == Role::Sidecar { "sidecar" } else { "container" };
    let summary = format!(
        "{what} {} of {} ends with exit code 0 after {}, but it should keep running, so it is restarted over and over",
        container.name(),
        owner_name(view, container.pod),
        crate::model::age::short(ending.lifetime())
    );
    let mut finding =
        Finding::error(Code::ContainerCompletes, view.subject_of(container), summary).evidence(container.source(), ending.describe(view));
    if let Some(command) = command_line(container) {
        finding = finding.evidence("command", command);
    }
    if let Some(line) = needs
        .end_log(view, container)
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
    with_effects(view, container, finding)
}

/// Command and arguments on one line, without credentials; none where the image's own are used.
pub fn command_line(container: &ContainerView<'_>) -> Option<String> {
    let spec = container.spec;
    let words: Vec<&String> = spec.command.iter().chain(&spec.args).flatten().collect();
    (!words.is_empty()).then(|| shorten(&redact_args(words), QUOTE))
}

/// What a start error says about the program that should run; none where the fault is elsewhere (mounts, devices, security).
pub(crate) fn start_error_cause(message: &str) -> Option<ContainerCrashing> {
    if !runtime::is_about_program(message) {
        return None;
    }
    if message.to_lowercase().contains("exec format error") {
        Some(ContainerCrashing::ExecFormat)
    } else if runtime::may_not_execute(message) || message.contains("is a directory") {
        Some(ContainerCrashing::PermissionDenied)
    } else if runtime::is_absent(message) {
        Some(ContainerCrashing::CommandNotFound)
    } else {
        None
    }
}

struct Why {
    cause: ContainerCrashing,
    /// What the summary says behind the exit code.
    reason: String,
    /// Where the line was seen, and the line.
    line: Option<(&'static str, String)>,
    confidence: Confidence,
    fix: String,
}

fn crashes(view: &View<'_>, needs: &mut Needs, ending: &Ending<'_>) -> Finding {
    let container = &ending.container;
    if is_start_error(ending) {
        let message = ending.end.message.as_deref().unwrap_or_default();
        return start_error(view, needs, container, &ending.describe(view), message);
    }
    let log = needs.end_log(view, container);
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
        return address_in_use(view, ending, place, taken);
    }
    if ending.end.exit_code == 137 && lines.iter().rev().take(5).any(|l| is_child_killed(l)) && memory_limit(container).is_some() {
        return child_killed(view, ending, place, lines.last().copied().unwrap_or_default());
    }
    let provided = line.and_then(|line| provided::of_line(view, needs, container, line));
    if let (Some((_, strong)), Some(_)) = (explained.as_mut(), &provided) {
        // A line that the spec explains names a fault, whatever its words.
        *strong = true;
    }
    let mut why = why(ending, explained, place);
    if let Some(provided) = &provided {
        why.confidence = why.confidence.min(provided.confidence);
        why.cause = provided
            .cause
            .filter(|_| why.cause == ContainerCrashing::ExitCode)
            .unwrap_or(why.cause);
    }
    let what = if container.role == Role::Sidecar { "sidecar" } else { "container" };
    let code = match ending.is_told {
        true => format!("exit code {}", ending.end.exit_code),
        false => "it was started again".to_owned(),
    };
    let summary = format!(
        "{what} {} of {} crashes: {code}{}",
        container.name(),
        owner_name(view, container.pod),
        why.reason
    );
    let mut finding = Finding::new(why.cause, Severity::Error, why.confidence, view.subject_of(container), summary)
        .evidence(container.source(), ending.describe(view));
    if let Some((place, line)) = &why.line {
        finding = finding.evidence(place, line);
    } else if log.is_some_and(|l| l.text.is_some_and(|t| t.trim().is_empty())) {
        finding = finding.evidence(source, "(empty)");
    }
    if (matches!(
        why.cause,
        ContainerCrashing::CommandNotFound
            | ContainerCrashing::PermissionDenied
            | ContainerCrashing::ExecFormat
            | ContainerCrashing::Unknown
    ) || why.fix == UNKNOWN_OPTION)
        && let Some(command) = command_line(container)
    {
        finding = finding.evidence("command", command);
    }
    let previous = container.terminated().is_none() && container.restarts() > 0;
    let is_lost = log.is_some_and(|l| l.text.is_none());
    let finding = match provided {
        Some(provided) => provided.explain(view, container.pod, finding),
        None if is_lost && last_words.is_none() => lost_log(view, container, finding),
        None => {
            // The log has been quoted: where the spec holds the fault, it is opened.
            let is_in_spec = why.fix == FILE_MISSING
                || command_line(container).is_some() && (why.fix == UNKNOWN_OPTION || why.cause == ContainerCrashing::CommandNotFound);
            let is_silent = why.fix == READ_LOG && why.line.is_none();
            let command = if is_in_spec || is_silent {
                edit_command(view, container.pod)
            } else {
                logs_command(container, previous)
            };
            let fix = match is_silent {
                true => format!(
                    "its log does not say why: let it log more, or see what its command does before it ends with code {}",
                    ending.end.exit_code
                ),
                false => why.fix,
            };
            finding.fix_command(fix, command)
        }
    };
    with_effects(view, container, finding)
}

/// The log cannot be read any more: what keeps its last lines next time.
fn lost_log(view: &View<'_>, container: &ContainerView<'_>, finding: Finding) -> Finding {
    let patch = json!({"name": container.name(), "terminationMessagePolicy": "FallbackToLogsOnError"});
    let command = patch_command(&view.workload_of(container.pod), &patch).unwrap_or_else(|| edit_command(view, container.pod));
    finding.evidence("log", "the log of this run is gone").fix_command(
        "keep the last lines of the log in the status of the container: set terminationMessagePolicy: FallbackToLogsOnError",
        command,
    )
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
        (None, _) if !ending.is_told => (ContainerCrashing::Unknown, Confidence::Possible),
        _ if lost => (ContainerCrashing::Unknown, Confidence::Possible),
        (Some(cause), 126 | 127) => (cause, Confidence::Proven),
        (None, 127) => (ContainerCrashing::CommandNotFound, Confidence::Proven),
        (None, 126) => (ContainerCrashing::PermissionDenied, Confidence::Proven),
        (_, code) if signal_name(code).is_some() || ending.end.signal.is_some_and(|s| s > 0) => {
            (ContainerCrashing::Signal, Confidence::Proven)
        }
        (Some(cause), _) => (cause, Confidence::Likely),
        (None, _) => (ContainerCrashing::ExitCode, Confidence::Proven),
    };
    let reason = match (&quoted, cause) {
        (Some(line), ContainerCrashing::Signal) if strong => format!("{}, {line}", by_signal(code)),
        (_, ContainerCrashing::Signal) => by_signal(code),
        (Some(line), _) if strong => format!(", {line}"),
        (_, ContainerCrashing::CommandNotFound) => ", a command was not found".to_owned(),
        (_, ContainerCrashing::PermissionDenied) => ", a command may not be executed".to_owned(),
        _ => String::new(),
    };
    let fix = match &quoted {
        Some(line) if cause == ContainerCrashing::CommandNotFound && is_loader_missing(line) => LOADER_MISSING,
        Some(line) if cause == ContainerCrashing::Config && is_unknown_option(line) => UNKNOWN_OPTION,
        Some(line) if cause == ContainerCrashing::Config && is_configuration_missing(line) => FILE_MISSING,
        _ => fix_of(&ending.container, cause, code),
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

const READ_LOG: &str = "read the log around this line";

const LOADER_MISSING: &str = "the file is there, but not what starts it: correct its #! line (Windows line ends?), or use an image that has \
                              the libraries it was built for (glibc, musl)";

const UNKNOWN_OPTION: &str = "correct the option that the line names, in command or args of the container";

const FILE_MISSING: &str = "mount the file that the line names, for example from a ConfigMap, or correct its path";

fn fix_of(container: &ContainerView<'_>, cause: ContainerCrashing, code: i32) -> &'static str {
    let has_fixed_root = container.spec.security_context.as_ref().and_then(|s| s.read_only_root_filesystem) == Some(true);
    match (cause, code) {
        (ContainerCrashing::CommandNotFound, _) => {
            "the command is not in the image, or not on its PATH: correct command and args, or the image"
        }
        (ContainerCrashing::PermissionDenied, 126) => {
            "the file is not executable for this user: chmod +x it in the image, or run it through its interpreter"
        }
        (ContainerCrashing::PermissionDenied, _) => {
            "give the user of the container the right to this path: runAsUser, or the owner of the files"
        }
        (ContainerCrashing::ExecFormat, _) => {
            "the program is built for another CPU architecture, or lacks its #! line: use an image for the node's architecture"
        }
        (ContainerCrashing::Config, _) => {
            "correct the setting that the line names, in the environment or the configuration of the container"
        }
        (ContainerCrashing::NoSpace, _) => "free or enlarge the volume that is full, or the ephemeral-storage limit",
        (ContainerCrashing::ReadOnlyFilesystem, _) if !has_fixed_root => "let it write elsewhere, or see why this file system is read-only",
        (ContainerCrashing::ReadOnlyFilesystem, _) => "mount an emptyDir where it writes, or unset securityContext.readOnlyRootFilesystem",
        (ContainerCrashing::Signal, 139) => {
            "the program reads memory that is not its own: look for a core dump, or try another version of the image"
        }
        (ContainerCrashing::Signal, 137) => {
            "it was killed from outside and not by the kubelet's memory limit: look at its parent process and at the node"
        }
        _ => READ_LOG,
    }
}

/// A program that the runtime could not start; `state` says what became of the container.
pub(crate) fn start_error(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, state: &str, message: &str) -> Finding {
    let cause = start_error_cause(message).unwrap_or(ContainerCrashing::Unknown);
    let program =
        runtime::program_of(message, container.spec).map_or_else(|| "its command".to_owned(), |program| shorten(&redact(program), 80));
    let provided = provided::of_start(view, needs, container, message);
    let reason = match (cause, &provided) {
        (_, Some(_)) => runtime::tail_of(message),
        (ContainerCrashing::ExecFormat, _) => format!("{program} is built for another CPU architecture, or lacks its #! line"),
        (ContainerCrashing::PermissionDenied, _) => format!("{program} may not be executed"),
        _ => format!(
            "{program} does not exist in the image {}",
            container.spec.image.as_deref().unwrap_or_default()
        ),
    };
    let summary = format!(
        "container {} of {} cannot start: {reason}",
        container.name(),
        owner_name(view, container.pod)
    );
    let mut finding = Finding::error(cause, view.subject_of(container), summary)
        .evidence(container.source(), format!("{state}: {}", runtime::tail_of(message)));
    if let Some(command) = command_line(container) {
        finding = finding.evidence("command", command);
    }
    let finding = match provided {
        Some(provided) => provided.explain(view, container.pod, finding),
        None => finding.fix_command(fix_of(container, cause, 126), edit_command(view, container.pod)),
    };
    with_effects(view, container, finding)
}

fn address_in_use(view: &View<'_>, ending: &Ending<'_>, place: &str, line: &str) -> Finding {
    let container = &ending.container;
    let spec = container.pod.spec.as_ref();
    let host = spec.and_then(|s| s.host_network) == Some(true);
    let port = port_in(line);
    // Who else says that it uses this port.
    let other = port.and_then(|port| {
        let declares = |c: &ContainerView<'_>| c.spec.ports.iter().flatten().any(|p| p.container_port == i32::from(port));
        crate::view::containers(container.pod)
            .into_iter()
            .find(|c| c.name() != container.name() && declares(c))
    });
    let port_text = port.map_or_else(|| "a port".to_owned(), |p| format!("port {p}"));
    let node_of = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.clone());
    let beside = |other: &Pod| host && node_of(other) == node_of(container.pod);
    let older = provided::older(view, container.pod, beside, "shares the ports of the same node");
    let on_node = || {
        port.filter(|_| host)
            .and_then(|port| provided::holder_of_port(view, container, port))
    };
    let holder = older.or_else(on_node);
    let whom = match (&other, host) {
        (Some(other), _) => format!(": container {} of the same pod uses it", other.name()),
        (None, true) if holder.is_some() => String::new(),
        (None, true) => ": with hostNetwork another program of the node uses it".to_owned(),
        (None, false) => ": another process of the same pod uses it".to_owned(),
    };
    let summary = format!(
        "container {} of {} cannot listen on {port_text}{whom}",
        container.name(),
        owner_name(view, container.pod)
    );
    let mut subject = view.subject_of(container);
    if let Some(port) = port {
        subject = subject.port(port);
    }
    let cause = if host { AddressInUse::HostPort } else { AddressInUse::SamePod };
    let fix = if host {
        "give it another port, or do not use hostNetwork: two pods of one node cannot share a port"
    } else {
        "containers of a pod share its ports: give one of them another port"
    };
    let finding = Finding::error(cause, subject, summary)
        .confidence(Confidence::Likely)
        .evidence(container.source(), ending.describe(view))
        .evidence(place, shorten(&redact(line), QUOTE));
    let finding = match holder {
        Some(holder) => holder.explain(view, container.pod, finding),
        None => finding.fix_command(fix, edit_command(view, container.pod)),
    };
    with_effects(view, container, finding)
}

/// The memory limit of a container.
pub fn memory_limit<'a>(container: &ContainerView<'a>) -> Option<&'a str> {
    let limits = container.spec.resources.as_ref()?.limits.as_ref()?;
    limits.get("memory").map(|q| q.0.as_str())
}

fn child_killed(view: &View<'_>, ending: &Ending<'_>, place: &str, line: &str) -> Finding {
    let container = &ending.container;
    let limit = memory_limit(container).unwrap_or_default();
    let summary = format!(
        "a process in container {} of {} is killed, probably because memory runs out: the limit is {limit}",
        container.name(),
        owner_name(view, container.pod)
    );
    let finding = Finding::error(OutOfMemory::ChildProcess, view.subject_of(container), summary)
        .confidence(Confidence::Likely)
        .evidence(container.source(), ending.describe(view))
        .evidence(place, shorten(&redact(line), QUOTE))
        .fix_command(
            "raise resources.limits.memory, or make the program use less",
            edit_command(view, container.pod),
        );
    with_effects(view, container, finding)
}

/// What explains this finding as well: anything that another rule says about the same container.
pub(crate) fn suffering_from_all(view: &View<'_>, container: &ContainerView<'_>, finding: Finding) -> Finding {
    let workload = view.workload_of(container.pod);
    finding
        .suffering(Effect::Container(workload.clone(), container.name().to_owned()))
        .suffering(Effect::NotReady(workload))
}
