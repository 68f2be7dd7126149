//! Containers that the kubelet or the runtime refuses to create or start.

use crate::facts::ending::{counts, edit_command, ending, owner_name};
use crate::facts::{provided, references, runtime};
use crate::model::code::Code;
use crate::model::finding::Finding;
use crate::rules::container::crash::{start_error, start_error_cause};
use crate::text::shorten;
use crate::view::{ContainerView, Needs, Role, View, containers};

/// What passes by itself: caches of the kubelet that are not filled yet, names and deadlines of a slow runtime.
const PASSING: &[&str] = &[
    "failed to sync",
    "services have not yet been read",
    "is reserved for",
    "context deadline exceeded",
    "not registered",
];

pub(crate) fn check(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            findings.extend(containers(pod).iter().filter_map(|c| judge(view, needs, c)));
        }
    }
    findings
}

fn judge(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Option<Finding> {
    let (reason, message) = refusal(view, container)?;
    if PASSING.iter().any(|p| message.contains(p)) || references::names_an_object(message) {
        return None;
    }
    // The rules of ends and of init containers name what has an end already.
    let ended = ending(view, *container).is_some();
    if ended && (container.role == Role::Init || start_error_cause(message).is_some()) {
        return None;
    }
    if start_error_cause(message).is_some() {
        // The first instance has only just failed to start.
        return Some(start_error(view, needs, container, reason, message));
    }
    let finding = if is_root_refused(message) {
        runs_as_root(view, container, message)
    } else {
        let provided = provided::of_start(view, needs, container, message);
        // The runtime quotes long paths of the node, where the explanation names the path in the container.
        let refused = match &provided {
            Some(_) => "a mount does not fit its target".to_owned(),
            None => why(message),
        };
        let summary = format!(
            "container {} of {} cannot be created: {refused}",
            container.name(),
            owner_name(view, container.pod)
        );
        let finding = Finding::error(Code::ContainerCreateFailing, view.subject_of(container), summary)
            .evidence(container.source(), format!("{reason}: {}", runtime::tail_of(message)));
        match provided {
            Some(provided) => provided.explain(view, container.pod, finding),
            None => finding.fix_command(fix_of(message), edit_command(view, container.pod)),
        }
    };
    Some(view.container_effects(container).into_iter().fold(finding, Finding::breaking))
}

/// Reason and message of a refusal: while the container waits, or as the end of an instance that never ran.
fn refusal<'a>(view: &View<'_>, container: &ContainerView<'a>) -> Option<(&'a str, &'a str)> {
    if let Some((reason, message)) = container.waiting()
        && matches!(
            reason,
            "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" | "PreCreateHookError" | "PreStartHookError"
        )
    {
        return Some((reason, message));
    }
    let end = ending(view, *container)?.end;
    let reason = end.reason.as_deref().unwrap_or_default();
    let message = end.message.as_deref().unwrap_or_default();
    matches!(reason, "StartError" | "ContainerCannotRun").then_some((reason, message))
}

fn is_root_refused(message: &str) -> bool {
    ["runAsNonRoot", "non-root", "nonroot"].iter().any(|w| message.contains(w))
}

fn runs_as_root(view: &View<'_>, container: &ContainerView<'_>, message: &str) -> Finding {
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
        owner_name(view, container.pod)
    );
    // The kubelet's text repeats pod and uid behind the part that matters.
    let short = message.split(" (pod:").next().unwrap_or(message);
    Finding::error(Code::RunAsNonRootViolated, view.subject_of(container), summary)
        .evidence(container.source(), shorten(short, 200))
        .fix_command(fix, edit_command(view, container.pod))
}

/// The refusal in words.
fn why(message: &str) -> String {
    let tail = runtime::tail_of(message);
    let tail = tail.strip_prefix("failed to create containerd container: ").unwrap_or(&tail);
    let tail = tail.strip_prefix("failed to generate container ").unwrap_or(tail);
    shorten(tail, 160)
}

fn fix_of(message: &str) -> &'static str {
    let lower = message.to_lowercase();
    let has = |word: &str| lower.contains(word);
    if has("seccomp") {
        "name a seccomp profile that is on the node, or use RuntimeDefault"
    } else if has("apparmor") {
        "name an AppArmor profile that is loaded on the node, or use RuntimeDefault"
    } else if has("not a directory") && !has("mount") {
        "workingDir, or a folder on the way to it, is a file in the image: correct workingDir or the image"
    } else if has("not a directory") || has("error mounting") {
        "a mount does not fit its target (a file over a directory, or the reverse): correct mountPath, subPath or workingDir"
    } else if has("subpath") {
        "correct the subPath of the volume mount: it must exist in the volume or be creatable there"
    } else if has("no command specified") {
        "the image has no entry point: set command"
    } else if has("oom") || has("memory") {
        "raise resources.limits.memory: a unit may be missing (128Mi, not 128 or 128m)"
    } else {
        "correct what the message names in the container's spec"
    }
}
