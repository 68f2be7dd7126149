//! Restarted containers, and pods that were not ready for a while: they may be ready only until they fail again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Probe};
use kube::ResourceExt;

use crate::facts::probe::{Which, failures_now};
use crate::model::duration::short;
use crate::model::readiness::ObjectReadiness;
use crate::readiness::judge;
use crate::text::sanitise;
use crate::view::{ContainerView, View, WorkloadObject, containers, has_ended, is_terminating, ports, revision};

/// A restarted container has to run for one and a half times as long as before, and this much longer: what ends after a fixed time does so at
/// about the same age, and the kubelet's times are whole seconds.
const LONGER: Duration = Duration::from_secs(5);
/// A container that has run for this long is never waited for.
const MOST: Duration = Duration::from_secs(90);

/// The kubelet sends about 25 events of a pod as they come, some of them about its start.
const BURST: i32 = 20;

/// Clocks of nodes and of the control plane differ, and their times are whole seconds.
const SKEW: Duration = Duration::from_secs(3);

/// Something that may fail again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restless {
    /// The reason, sanitised.
    pub reason: String,
    /// Time until it has clearly lasted for longer than before.
    pub left: Duration,
}

/// What takes longest, among the current pods of the judged workloads and Services, to outlive what came before: a container its last run, a
/// pod the time in which it was ready. Without a readiness probe, a crash-looping container is ready for a moment after each start.
pub fn restless(view: &View<'_>, judged: &[ObjectReadiness]) -> Option<Restless> {
    let workloads = view.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
    let own = workloads.flat_map(|workload| workload.pods.iter().copied());
    let behind = judge::services(view, judged)
        .into_iter()
        .flat_map(|service| ports::pods_behind(view, service));
    let current = |pod: &&Pod| !has_ended(pod) && !is_terminating(pod) && !revision::is_old(view, pod);
    let found = own.chain(behind).filter(current).flat_map(|pod| {
        let of_containers = containers(pod).into_iter();
        let of_containers = of_containers.filter_map(move |c| of_container(view, &pod.name_any(), &c));
        of_containers.chain(ready_again(view, pod))
    });
    found.max_by_key(|restless| restless.left)
}

/// A pod that has run since it was ready, and became ready again later: nobody knows for how long it was ready before, but no longer than this.
fn ready_again(view: &View<'_>, pod: &Pod) -> Option<Restless> {
    let of_pod = pod.status.as_ref()?.conditions.as_deref()?;
    let ready = of_pod.iter().find(|c| c.type_ == "Ready" && c.status == "True")?;
    let ready = ready.last_transition_time.as_ref()?.0;
    let ran = containers(pod).into_iter().filter_map(|c| c.running_since()).max()?;
    let lasts = Duration::try_from(view.now().duration_since(ready)).ok()?;
    let before = since_complete(view, pod, ran, ready).max(between_failures(view, pod, ready))?;
    let left = outlives(before).saturating_sub(lasts);
    (!left.is_zero()).then(|| Restless {
        reason: sanitise(&format!(
            "pod {} has run for {} and was not ready in between: it is ready again for {} only",
            pod.name_any(),
            short(Duration::try_from(view.now().duration_since(ran)).unwrap_or_default()),
            short(lasts)
        )),
        left,
    })
}

/// The time from when the Deployment of a pod was complete to when the pod became ready again.
fn since_complete(view: &View<'_>, pod: &Pod, ran: Timestamp, ready: Timestamp) -> Option<Duration> {
    let workload = view.workload(&view.workload_of(pod))?;
    let Some(WorkloadObject::Deployment(deployment)) = workload.object else {
        return None;
    };
    let conditions = deployment.status.as_ref()?.conditions.as_deref()?;
    let complete = conditions.iter().find(|c| c.reason.as_deref() == Some("NewReplicaSetAvailable"))?;
    let complete = complete.last_update_time.as_ref()?.0;
    let before = Duration::try_from(ready.duration_since(complete)).ok()?;
    (ran <= complete && before >= SKEW).then_some(before)
}

/// The longest time for which a readiness probe must have passed before its last failure: it failed late for the first time, or less often
/// than a probe does that never passes.
fn between_failures(view: &View<'_>, pod: &Pod, ready: Timestamp) -> Option<Duration> {
    let of_container = |container: ContainerView<'_>| {
        let probe = container.spec.readiness_probe.as_ref()?;
        let started = container.running_since()?;
        let failures: Vec<_> = failures_now(view, &container, Which::Readiness).collect();
        let count = failures.iter().map(|(event, _)| event.count()).sum::<i32>();
        let first = failures.iter().filter_map(|(event, _)| event.first_seen()).min()?;
        let last = failures.iter().filter_map(|(event, _)| event.last_seen).max()?;
        let between = |from: Timestamp, to: Timestamp| Duration::try_from(to.duration_since(from)).unwrap_or_default();
        let each = seconds(probe.period_seconds, 10).max(seconds(probe.timeout_seconds, 1));
        let delay = jiff::SignedDuration::try_from(seconds(probe.initial_delay_seconds, 0)).ok()?;
        // Where nobody can tell when its startup probe has passed, it may have failed from the beginning on.
        let passed = container
            .spec
            .startup_probe
            .as_ref()
            .map_or(Some(started), |startup| passed(view, &container, startup, started));
        let at_first = between(passed.unwrap_or(first).max(started.checked_add(delay).ok()?), first);
        // The kubelet leaves out events of a pod that has many.
        let is_counted = count < BURST;
        let later = between(first, last).saturating_sub(each * u32::try_from(count - 1).ok()?);
        let longest = at_first.max(if is_counted { later } else { Duration::ZERO });
        (started <= first && first < ready && longest > each * 2 + SKEW).then_some(longest)
    };
    containers(pod).into_iter().filter_map(of_container).max()
}

/// When a startup probe has passed at the latest: at its next try after its last failure, else at its first. None where it failed so often that
/// not every failure was sent.
fn passed(view: &View<'_>, container: &ContainerView<'_>, probe: &Probe, started: Timestamp) -> Option<Timestamp> {
    let failures: Vec<_> = failures_now(view, container, Which::Startup).collect();
    let count = failures.iter().map(|(event, _)| event.count()).sum::<i32>();
    let last = failures.iter().filter_map(|(event, _)| event.last_seen).max();
    let (from, after) = match last {
        Some(last) => (last, seconds(probe.period_seconds, 10)),
        None => (started, seconds(probe.initial_delay_seconds, 0)),
    };
    let after = jiff::SignedDuration::try_from(after + seconds(probe.timeout_seconds, 1)).ok()?;
    (count < BURST).then(|| from.checked_add(after).ok()).flatten()
}

fn seconds(number: Option<i32>, default: i32) -> Duration {
    Duration::from_secs(u64::try_from(number.unwrap_or(default)).unwrap_or_default())
}

/// How long something has to last to be clearly longer than `before`.
pub(crate) fn outlives(before: Duration) -> Duration {
    (before + before / 2 + LONGER).min(MOST)
}

fn of_container(view: &View<'_>, pod: &str, container: &ContainerView<'_>) -> Option<Restless> {
    let started = container.running_since()?;
    let end = container.last_terminated()?;
    let ran = match (&end.started_at, &end.finished_at) {
        (Some(from), Some(to)) => Duration::try_from(to.0.duration_since(from.0)).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let runs = Duration::try_from(view.now().duration_since(started)).ok()?; // a node whose clock is ahead says nothing
    let left = outlives(ran).saturating_sub(runs);
    (!left.is_zero()).then(|| Restless {
        reason: sanitise(&format!(
            "container {} of pod {pod} has run for {} since it ended with code {} after {}",
            container.name(),
            short(runs),
            end.exit_code,
            short(ran)
        )),
        left,
    })
}
