//! Lifecycle hooks that fail. The kubelet kills a container whose postStart hook fails.

use crate::facts::ending::{counts, edit_command, ended_after, ending, owner_name};
use crate::model::code::Code;
use crate::model::finding::Finding;
use crate::text::{redact, redact_args, shorten};
use crate::view::{ContainerView, EventView, View, containers};

pub(crate) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            for container in containers(pod).iter().filter(|c| c.spec.lifecycle.is_some()) {
                let event = view
                    .pod_events(pod)
                    .into_iter()
                    .find(|e| matches!(e.reason(), "FailedPostStartHook" | "FailedPreStopHook") && e.container() == Some(container.name()));
                if let Some(event) = event {
                    findings.extend(judge(view, container, &event));
                }
            }
        }
    }
    findings
}

fn judge(view: &View<'_>, container: &ContainerView<'_>, event: &EventView<'_>) -> Option<Finding> {
    let post_start = event.reason() == "FailedPostStartHook";
    let ended = ending(view, *container);
    let lifecycle = container.spec.lifecycle.as_ref()?;
    let (name, handler) = if post_start {
        ("postStart", lifecycle.post_start.as_ref())
    } else {
        ("preStop", lifecycle.pre_stop.as_ref())
    };
    let summary = |consequence: &str| {
        format!(
            "the {name} hook of container {} of {} fails{consequence}",
            container.name(),
            owner_name(view, container.pod)
        )
    };
    let mut finding = if post_start {
        // Only while the container is down, or was last ended by it: a hook that worked at last left the container running.
        let blamed = ended.is_some_and(|e| e.end.exit_code == 137 || ended_after(&e, event))
            || container.waiting().is_some_and(|(reason, _)| reason == "PostStartHookError");
        if !blamed {
            return None;
        }
        let finding = Finding::error(
            Code::LifecycleHookFailing,
            view.subject_of(container),
            summary(", so the kubelet kills and restarts the container"),
        );
        view.container_effects(container).into_iter().fold(finding, Finding::breaking)
    } else {
        // The container ends all the same, only without its good-bye.
        Finding::advice(
            Code::LifecycleHookFailing,
            view.subject_of(container),
            summary(": the container ends without it"),
        )
    };
    finding = finding.evidence(
        format!("{} event {}", container.source(), event.reason()),
        shorten(&redact(event.message()), 200),
    );
    if let Some(ended) = ended {
        finding = finding.evidence(container.source(), ended.describe(view));
    }
    if let Some(command) = handler.and_then(|h| h.exec.as_ref()).and_then(|e| e.command.as_ref()) {
        finding = finding.evidence(format!("lifecycle.{name}"), shorten(&redact_args(command), 200));
    }
    Some(finding.fix_command(
        format!("run the command of lifecycle.{name} by hand in the container; it must exit with 0"),
        edit_command(view, container.pod),
    ))
}
