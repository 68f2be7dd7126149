//! What nobody can be asked about proves itself by staying as it is.

use std::time::Duration;

use crate::gate::settle::Restless;
use crate::gate::streak::Identity;
use crate::model::duration;
use crate::model::readiness::State;

/// Since when nothing has moved.
#[derive(Default)]
pub(super) struct Calm {
    /// Since when everything has been ready, by the same pods.
    since: Option<(Duration, Identity)>,
    /// When to look again whether it is still.
    again: Option<Duration>,
}

impl Calm {
    /// A new look begins, in which everything is ready or not.
    pub(super) fn look(&mut self, is_ready: bool) {
        self.again = None;
        if !is_ready {
            self.since = None;
        }
    }

    /// When to look again.
    pub(super) const fn due(&self) -> Option<Duration> {
        self.again
    }

    /// It has to stay ready as long as what can be asked must go on answering; none where it has.
    pub(super) fn stayed(&mut self, at: Duration, pods: Identity, span: Duration) -> Option<(State, String)> {
        if pods.is_empty() {
            return None;
        }
        let since = match &self.since {
            Some((since, same)) if *same == pods => *since,
            _ => at,
        };
        self.since = Some((since, pods));
        (at < since + span).then(|| {
            self.again = Some(since + span);
            (State::Progressing, format!("it has to stay ready for {}", duration::short(span)))
        })
    }

    /// Nothing is ready while a container that ended before has not outlived that.
    pub(super) fn settled(&mut self, at: Duration, restless: Restless) -> (State, String) {
        self.again = Some(at + restless.left);
        (State::Progressing, restless.reason)
    }
}
