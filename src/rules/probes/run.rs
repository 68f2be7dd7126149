//! How the runs of a container end that a probe has killed.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

use crate::facts::probe::status_code;
use crate::model::age;
use crate::model::cause::ProbeFailure;
use crate::rules::probes::Failing;
use crate::view::{View, probe_budget};

/// What the log of a run that was ended tells of it.
pub(crate) struct RunLog<'a> {
    /// That it has started.
    pub started: bool,
    /// That something goes wrong.
    pub trouble: bool,
    /// That it listens where the probe asks, for everybody: who was refused until the end asked before that.
    pub too_late: Option<&'a str>,
}

/// An application that is still starting refuses, hangs, or answers that it is not there yet; it does not answer 404.
pub(crate) fn may_be_starting(failing: &Failing<'_>) -> bool {
    match failing.cause {
        Some(ProbeFailure::HttpStatus) => status_code(&failing.text).is_some_and(|status| status >= 500),
        cause => matches!(
            cause,
            Some(ProbeFailure::Refused | ProbeFailure::Timeout | ProbeFailure::Reset | ProbeFailure::Grpc | ProbeFailure::ExecExit) | None
        ),
    }
}

/// The earliest moment at which the probe can have used up its failures.
pub(crate) fn shortest(probe: &Probe) -> Duration {
    let period = Duration::from_secs(u64::try_from(probe.period_seconds.unwrap_or(10)).unwrap_or(10));
    probe_budget(probe).saturating_sub(period)
}

pub(crate) fn last_run(view: &View<'_>, failing: &Failing<'_>) -> Option<(Duration, String)> {
    let end = failing.container.newest_end()?;
    let (from, to) = (end.started_at.as_ref()?.0, end.finished_at.as_ref()?.0);
    Some((Duration::try_from(to.duration_since(from)).ok()?, age::short(view.age(to))))
}
