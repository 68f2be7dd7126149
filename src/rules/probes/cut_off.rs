//! Containers that the kubelet ends in every run about when a probe has used up its failures, while nothing shows how long a start takes: they may
//! need longer than that.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Probe};
use kube::ResourceExt;

use crate::facts::calls::callers;
use crate::facts::listening::dials::opens_another;
use crate::facts::listening::fault::PortAnswer;
use crate::facts::listening::{fault, uses};
use crate::facts::probe::{kill_of, status_code};
use crate::model::cause::ProbeFailure;
use crate::model::finding::Finding;
use crate::rules::probes::Failing;
use crate::rules::probes::run::{RunLog, last_run, may_be_starting, shortest};
use crate::view::{Needs, View, containers, is_ready, ports, probe_budget, revision, service_effect};

/// The kubelet's probes and kills are late by up to this on a busy node.
const SLACK: Duration = Duration::from_secs(10);
/// What comes before the first run of a container: a node, images, volumes.
const BEFORE: Duration = Duration::from_secs(120);
/// The longest that the kubelet waits between two runs (`MaxContainerBackOff`).
const BACK_OFF: u64 = 300;

/// A container whose runs end with its budget.
pub struct CutOff {
    /// Whether nobody listens where its probe asks, although somebody else than the probe counts on that port: then a slow start is likely,
    /// else it is one of two that are alike.
    pub is_likely: bool,
    /// Whether a slow start is to be thought of first.
    pub is_first: bool,
}

/// Whether a container may just need longer than its probe leaves it.
pub(crate) fn of(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>, said: &RunLog<'_>) -> Option<CutOff> {
    let container = &failing.container;
    let probe = failing.which.of(container.spec)?;
    if !may_be_starting(failing) || !ends_with_budget(view, failing, probe) || has_run_long(view, failing, probe) {
        return None;
    }
    let port = uses::probe_port(probe, container.spec);
    let is_refused = failing.cause == Some(ProbeFailure::Refused);
    if is_refused
        && (callers::waits(view, needs, container) || port.is_some_and(|port| is_told_otherwise(view, needs, failing, probe, port)))
    {
        return None;
    }
    // A program that does not answer may have opened its port at once; a refused port was never open.
    if is_refused && said.started && said.too_late.is_none() && !outlives_the_kill(view, failing, probe) {
        return None;
    }
    let is_meant = port.is_some_and(|port| uses::is_meant(view, container, port));
    let is_elsewhere =
        is_refused && said.too_late.is_none() && port.is_some_and(|port| uses::meant_instead(view, container, port).is_some());
    Some(CutOff {
        is_likely: is_refused && (said.too_late.is_some() || (!said.started && !said.trouble && is_meant)),
        is_first: !said.trouble
            && !is_elsewhere
            && match failing.cause {
                Some(ProbeFailure::HttpStatus) => status_code(&failing.text) == Some(503),
                // What runs and takes long to answer needs a longer timeout first.
                Some(ProbeFailure::Timeout) => probe.exec.is_none() && !said.started,
                cause => matches!(cause, Some(ProbeFailure::Refused | ProbeFailure::Reset | ProbeFailure::Grpc)),
            },
    })
}

/// Whether the last run ended about when the probe had used up its failures, and not after it had been well for a while.
fn ends_with_budget(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> bool {
    let Some((lived, _)) = last_run(view, failing) else {
        return false;
    };
    // Times are cut to whole seconds.
    let is_not_before = |time: Duration| time + Duration::from_secs(1) >= shortest(probe);
    match killed_after(view, failing) {
        Some(after) => is_not_before(after) && after <= given_up(probe) + SLACK,
        None => is_not_before(lived) && lived <= longest(failing, probe),
    }
}

/// How long the last run had lasted when the kubelet gave it up, where its event tells.
fn killed_after(view: &View<'_>, failing: &Failing<'_>) -> Option<Duration> {
    let end = failing.container.newest_end()?;
    let (from, to) = (end.started_at.as_ref()?.0, end.finished_at.as_ref()?.0);
    let kill = kill_of(view, &failing.container, failing.which)?.last_seen?;
    (from <= kill && kill <= to).then(|| Duration::try_from(kill.duration_since(from)).ok())?
}

/// Whether the last run went on after it had been given up, so that what it says may come from then.
fn outlives_the_kill(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> bool {
    let given_up = killed_after(view, failing).unwrap_or_else(|| given_up(probe));
    last_run(view, failing).is_some_and(|(lived, _)| lived > given_up + Duration::from_secs(2))
}

/// The latest moment at which a probe that never passes has used up its failures.
fn given_up(probe: &Probe) -> Duration {
    let timeouts = i64::from(probe.timeout_seconds.unwrap_or(1)) * i64::from(probe.failure_threshold.unwrap_or(3));
    probe_budget(probe) + seconds(timeouts)
}

fn seconds(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or_default())
}

/// The latest moment at which a run that the probe never let pass has ended.
fn longest(failing: &Failing<'_>, probe: &Probe) -> Duration {
    let container = &failing.container;
    let of_pod = || container.pod.spec.as_ref()?.termination_grace_period_seconds;
    // Who does not heed SIGTERM lives on until the grace period is over, and who does may take as long to end.
    let grace = match container.newest_end().map(|end| end.exit_code) {
        Some(143) => 0,
        _ => probe.termination_grace_period_seconds.or_else(of_pod).unwrap_or(30),
    };
    given_up(probe) + seconds(grace) + SLACK
}

/// Whether the pod is so old for its restarts that one of its runs must have outlived the budget: then it did start.
fn has_run_long(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> bool {
    let container = &failing.container;
    let began = container.pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let ended = container.newest_end().and_then(|end| end.finished_at.as_ref());
    let (Some(began), Some(ended)) = (began, ended) else { return false };
    let runs = u32::try_from(container.restarts() + i32::from(container.terminated().is_some())).unwrap_or_default();
    let waits = (0..runs)
        .map(|run| 10_u64.saturating_mul(2_u64.saturating_pow(run)).min(BACK_OFF))
        .sum();
    let at_most = BEFORE + longest(failing, probe) * runs + Duration::from_secs(waits);
    view.age(began.0).saturating_sub(view.age(ended.0)) > at_most
}

/// Whether somebody is known to listen after all: on another address or port, or on this one earlier than the probe gives up.
fn is_told_otherwise(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>, probe: &Probe, port: u16) -> bool {
    let container = &failing.container;
    let is_young = container.running_since().is_some_and(|since| view.age(since) < shortest(probe));
    match fault::answer(view, needs, container.pod, port, "TCP") {
        PortAnswer::Fault(_) | PortAnswer::Inside | PortAnswer::Silent => true,
        PortAnswer::Listens(_) => is_young,
        PortAnswer::Starting | PortAnswer::Unknown => opens_another(view, container, port),
    }
}

/// Adds the Services that lead to a port which no run of the container has opened: they reach nobody, though the pod counts as ready.
pub(crate) fn silencing(view: &View<'_>, failing: &Failing<'_>, mut finding: Finding) -> Finding {
    let container = &failing.container;
    let pod = container.pod;
    let probe = failing
        .which
        .of(container.spec)
        .filter(|_| failing.cause == Some(ProbeFailure::Refused));
    let Some(port) = probe.and_then(|probe| uses::probe_port(probe, container.spec)) else {
        return finding;
    };
    let is_alike = |other: &Pod| {
        let restarted = containers(other).iter().any(|c| c.name() == container.name() && c.restarts() > 0);
        restarted && view.workload_of(other) == view.workload_of(pod) && revision(other) == revision(pod)
    };
    let Some(spec) = &pod.spec else { return finding };
    for of_pod in view.services_selecting(&pod.namespace().unwrap_or_default(), pod.labels()) {
        let leads = ports::of_service(of_pod)
            .iter()
            .any(|p| ports::resolve(spec, p) == Some(i32::from(port)));
        let mut ready = ports::pods_behind(view, of_pod).into_iter().filter(|other| is_ready(other));
        if leads && ready.all(is_alike) {
            finding = finding.breaking(service_effect(of_pod));
        }
    }
    finding
}
