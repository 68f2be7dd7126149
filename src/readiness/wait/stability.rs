//! Stability timer for targets without a check.

use std::time::Duration;

use crate::model::duration;
use crate::model::readiness::State;
use crate::readiness::settle::Restless;
use crate::readiness::streak::Identity;

/// How long everything has been ready without a change of pods.
#[derive(Debug, Default)]
pub(crate) struct StabilityTimer {
    /// Since when everything has been ready, with these pods.
    since: Option<(Duration, Identity)>,
    /// When it has been ready for long enough.
    due: Option<Duration>,
}

impl StabilityTimer {
    /// Begins a look at which everything is ready, or not.
    pub(crate) fn look(&mut self, is_ready: bool) {
        self.due = None;
        if !is_ready {
            self.since = None;
        }
    }

    /// When to look again.
    pub(crate) const fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The state of the application phase while the pods have not been ready for `span`; none once they have, or where there are no pods.
    pub(crate) fn stayed_ready(&mut self, now: Duration, pods: Identity, span: Duration) -> Option<(State, String)> {
        if pods.is_empty() {
            return None;
        }
        let since = match &self.since {
            Some((since, same)) if *same == pods => *since,
            _ => now,
        };
        self.since = Some((since, pods));
        (now < since + span).then(|| {
            self.due = Some(since + span);
            (State::Progressing, format!("it has to stay ready for {}", duration::short(span)))
        })
    }

    /// The state of the application phase while a restarted container has not run for longer than it did before it ended.
    pub(crate) fn settles(&mut self, now: Duration, restless: Restless) -> (State, String) {
        self.due = Some(now + restless.left);
        (State::Progressing, restless.reason)
    }
}
