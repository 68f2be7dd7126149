//! Probes that fail now and bring about nothing, because their failureThreshold is high: the container counts as ready.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

use crate::facts::ending::edit_command;
use crate::facts::probe as message;
use crate::facts::probe::Which;
use crate::model::finding::{Confidence, Finding};
use crate::text::{redact, shorten};
use crate::view::{ContainerView, View, condition_since};

/// Kubernetes acts on fewer failures in a row than this soon enough.
const HIGH_THRESHOLD: i32 = 10;
/// Fewer failures than this are stray ones.
const TIMES: i32 = 3;
/// The kubelet sends about 25 events of a pod as they come, some of them about its start, and then one in five minutes.
const BURST: i32 = 20;
const REPORTED_EVERY: Duration = Duration::from_secs(330);
/// Slow applications have started within this time.
const LONG_START: Duration = Duration::from_secs(300);

/// The failureThreshold of a probe, where it is so high that it hides failures.
pub(crate) fn threshold(probe: &Probe) -> Option<i32> {
    probe.failure_threshold.filter(|threshold| *threshold >= HIGH_THRESHOLD)
}

/// The failing probe of a container that counts as ready.
pub(crate) fn check(view: &View<'_>, container: &ContainerView<'_>) -> Option<Finding> {
    let started = container.running_since().filter(|_| container.is_ready())?;
    [Which::Readiness, Which::Liveness].into_iter().find_map(|which| {
        let probe = which.of(container.spec)?;
        let threshold = threshold(probe)?;
        let (event, text) = message::failures(view, container, which).next()?;
        let seen = event.last_seen?;
        // What fails before the container is ready is part of its start; without a readiness probe it counts as ready at once.
        let passed = condition_since(container.pod, "ContainersReady")?;
        let may_be_starting = container.spec.readiness_probe.is_none() && view.age(started) < LONG_START;
        let period = u64::try_from(probe.period_seconds.unwrap_or(10)).unwrap_or(10);
        let pause = if event.count() > BURST {
            REPORTED_EVERY
        } else {
            Duration::from_secs(3 * period.max(5))
        };
        if may_be_starting || seen <= passed || event.count() < TIMES || view.age(seen) > pause {
            return None;
        }
        let word = which.word();
        let summary = format!(
            "the {word} probe of container {} fails again and again, and its failureThreshold of {threshold} hides it: {} does not pass",
            container.name(),
            message::describe(probe),
        );
        let detail = format!("{} times: {}", event.count(), shorten(&redact(text), 200));
        Some(
            Finding::error(
                which.failing(message::cause(text, probe, container.spec)),
                view.subject_of(container),
                summary,
            )
            .confidence(Confidence::Likely)
            .evidence(format!("{} event Unhealthy", container.source()), detail)
            .evidence("spec", format!("{word}Probe.failureThreshold {threshold}"))
            .fix_command(
                format!("correct what the probe reports, and lower {word}Probe.failureThreshold so that Kubernetes acts on it"),
                edit_command(view, container.pod),
            ),
        )
    })
}
