//! Containers that run again after they ended: what says Ready for now.

use std::time::Duration;

use kube::ResourceExt;

use super::revision;
use crate::model::duration::short;
use crate::model::readiness::ObjectReadiness;
use crate::model::text::sanitise;
use crate::rules::context::{ContainerView, Context, containers, has_ended, is_terminating};

/// So much longer than half as long again as before has a container to run that was started again: what ends after a fixed time does so at
/// about the same age, and the times that the kubelet tells are whole seconds.
const LONGER: Duration = Duration::from_secs(5);
/// No container is waited for until it has run longer than this.
const MOST: Duration = Duration::from_secs(90);

/// A container of which nobody knows yet whether it will stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restless {
    /// Why, in words that are safe to show.
    pub reason: String,
    /// How long it takes until it has clearly run longer than before.
    pub left: Duration,
}

/// The container of the judged workloads' current pods that has to run the longest until it has clearly outlived its last run. A crash loop is ready
/// for a moment after each start, as the kubelet has no other sign of its health than that it runs where no probe asks.
pub fn restless(context: &Context<'_>, judged: &[ObjectReadiness]) -> Option<Restless> {
    let workloads = context.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
    workloads
        .flat_map(|w| w.pods.iter())
        .filter(|pod| !has_ended(pod) && !is_terminating(pod) && !revision::is_old(context, pod))
        .flat_map(|pod| {
            containers(pod)
                .into_iter()
                .filter_map(move |c| of_container(context, &pod.name_any(), &c))
        })
        .max_by_key(|restless| restless.left)
}

/// How long something has to last that lasted so long before it ended, until it has clearly outlived that.
pub(super) fn outlives(before: Duration) -> Duration {
    (before + before / 2 + LONGER).min(MOST)
}

fn of_container(context: &Context<'_>, pod: &str, container: &ContainerView<'_>) -> Option<Restless> {
    let started = container.running_since()?;
    let end = container.last_terminated()?;
    let ran = match (&end.started_at, &end.finished_at) {
        (Some(from), Some(to)) => Duration::try_from(to.0.duration_since(from.0)).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let runs = Duration::try_from(context.now().duration_since(started)).ok()?; // a node whose clock is ahead says nothing
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
