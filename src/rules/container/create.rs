//! Containers that the kubelet or the runtime refuses to create or start.

use super::crash::{start_error, start_error_cause, tail_of};
use super::ending::{counts, edit_command, ending, owner_name};
use crate::model::code::Code;
use crate::model::finding::Finding;
use crate::model::text::{redact, shorten};
use crate::rules::Context;
use crate::rules::config;
use crate::rules::context::{ContainerView, Role, containers};

/// What passes by itself: caches of the kubelet that are not filled yet, names and deadlines of a slow runtime.
const PASSING: &[&str] = &[
    "failed to sync",
    "services have not yet been read",
    "is reserved for",
    "context deadline exceeded",
    "not registered",
];

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in context.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(context, pod)) {
            findings.extend(containers(pod).iter().filter_map(|c| judge(context, c)));
        }
    }
    findings
}

fn judge(context: &Context<'_>, container: &ContainerView<'_>) -> Option<Finding> {
    let (reason, message) = refusal(context, container)?;
    if PASSING.iter().any(|p| message.contains(p)) || config::names_an_object(message) {
        return None;
    }
    // The rules of ends and of init containers name what has an end already.
    let ended = ending(context, *container).is_some();
    if ended && (container.role == Role::Init || start_error_cause(message).is_some()) {
        return None;
    }
    if start_error_cause(message).is_some() {
        // The first instance has only just failed to start.
        return Some(start_error(context, container, reason, message));
    }
    let finding = if is_root_refused(message) {
        runs_as_root(context, container, message)
    } else {
        let summary = format!(
            "container {} of {} cannot be created: {}",
            container.name(),
            owner_name(context, container.pod),
            why(message)
        );
        Finding::error(Code::ContainerCreateFailing, "", context.subject_of(container), summary)
            .evidence(container.source(), format!("{reason}: {}", tail_of(message)))
            .fix_command(fix_of(message), edit_command(context, container.pod))
    };
    Some(context.container_effects(container).into_iter().fold(finding, Finding::breaking))
}

/// Reason and message of a refusal: while the container waits, or as the end of an instance that never ran.
fn refusal<'a>(context: &Context<'_>, container: &ContainerView<'a>) -> Option<(&'a str, &'a str)> {
    if let Some((reason, message)) = container.waiting()
        && matches!(
            reason,
            "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" | "PreCreateHookError" | "PreStartHookError"
        )
    {
        return Some((reason, message));
    }
    let end = ending(context, *container)?.end;
    let reason = end.reason.as_deref().unwrap_or_default();
    let message = end.message.as_deref().unwrap_or_default();
    matches!(reason, "StartError" | "ContainerCannotRun").then_some((reason, message))
}

fn is_root_refused(message: &str) -> bool {
    ["runAsNonRoot", "non-root", "nonroot"].iter().any(|w| message.contains(w))
}

fn runs_as_root(context: &Context<'_>, container: &ContainerView<'_>, message: &str) -> Finding {
    let (what, fix) = if message.contains("non-numeric user") {
        (
            "its image names its user by a word, so that the kubelet cannot tell whether it is root",
            "set securityContext.runAsUser to the number of that user",
        )
    } else if message.contains("runAsUser breaks") {
        (
            "its securityContext sets runAsUser: 0 and runAsNonRoot: true at once",
            "set runAsUser to a number other than 0, or drop runAsNonRoot",
        )
    } else {
        (
            "its image runs as root, but securityContext.runAsNonRoot is true",
            "set securityContext.runAsUser to a number other than 0, or build the image with a USER of that kind",
        )
    };
    let summary = format!(
        "container {} of {} may not start: {what}",
        container.name(),
        owner_name(context, container.pod)
    );
    // The kubelet's text repeats pod and uid behind the part that matters.
    let short = message.split(" (pod:").next().unwrap_or(message);
    Finding::error(Code::RunAsNonRootViolated, "", context.subject_of(container), summary)
        .evidence(container.source(), shorten(short, 200))
        .fix_command(fix, edit_command(context, container.pod))
}

/// The refusal in words: the runtime's layers repeat each other, the last one names the fault.
fn why(message: &str) -> String {
    let tail = message
        .split_once("unable to start container process: ")
        .map_or(message, |(_, tail)| tail);
    let tail = tail.strip_prefix("failed to create containerd container: ").unwrap_or(tail);
    let tail = tail.strip_prefix("failed to generate container ").unwrap_or(tail);
    shorten(&redact(tail.trim_end_matches(": unknown")), 160)
}

fn fix_of(message: &str) -> &'static str {
    let has = |word: &str| message.contains(word);
    if has("seccomp") {
        "name a seccomp profile that is on the node, or use RuntimeDefault"
    } else if has("apparmor") || has("AppArmor") {
        "name an AppArmor profile that is loaded on the node, or use RuntimeDefault"
    } else if has("not a directory") && !has("mount") {
        "workingDir, or a folder on the way to it, is a file in the image: correct workingDir or the image"
    } else if has("not a directory") || has("error mounting") {
        "a mount does not fit its target (a file over a directory, or the reverse): correct mountPath, subPath or workingDir"
    } else if has("subPath") {
        "correct the subPath of the volume mount: it must exist in the volume or be creatable there"
    } else if has("no command specified") {
        "the image has no entry point: set command"
    } else if has("oom") || has("memory") {
        "raise resources.limits.memory: a unit may be missing (128Mi, not 128 or 128m)"
    } else {
        "correct what the message names in the container's spec"
    }
}
