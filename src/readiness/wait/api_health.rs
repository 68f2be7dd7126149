//! Whether the API server answers while a run watches. While it does not, a run only ends when its time is up.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::duration;
use crate::model::readiness::{Phase, State};
use crate::readiness::progress::Change;

/// A watch that is restored sooner than this is not reported.
const REPORTED_AFTER: Duration = Duration::from_secs(1);

/// Why the API server does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// It answers, and refuses.
    refuses: bool,
    why: String,
}

impl Trouble {
    /// It refuses the request.
    pub fn refusal(why: String) -> Self {
        Self { refuses: true, why }
    }

    /// It does not answer.
    pub fn silence(why: String) -> Self {
        Self { refuses: false, why }
    }
}

/// What is known of the connection to the API server.
#[derive(Debug, Default)]
pub struct ApiHealth {
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    since: Duration,
    clock: Timestamp,
    trouble: Trouble,
    reported: bool,
}

impl ApiHealth {
    /// Notes whether it answers now; returns what to report about that.
    pub(crate) fn note(&mut self, trouble: Option<Trouble>, now: Duration, clock: Timestamp) -> Option<Change> {
        let Some(trouble) = trouble else {
            let outage = self.outage.take().filter(|outage| outage.reported)?;
            let after = duration::short(now.saturating_sub(outage.since));
            return Some(change(State::Progressing, format!("the API server answers again after {after}")));
        };
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now,
            clock,
            trouble: trouble.clone(),
            reported: false,
        });
        outage.trouble = trouble;
        if outage.reported || now < outage.since + REPORTED_AFTER {
            return None;
        }
        outage.reported = true;
        Some(change(State::Unknown, outage.in_words()))
    }

    /// Whether it does not answer now.
    pub(crate) fn is_lost(&self) -> bool {
        self.outage.is_some()
    }

    /// When an outage has to be reported.
    pub(crate) fn due(&self) -> Option<Duration> {
        let unreported = self.outage.as_ref().filter(|outage| !outage.reported);
        unreported.map(|outage| outage.since + REPORTED_AFTER)
    }

    /// The outage that has been reported, in words.
    pub fn outage(&self) -> Option<String> {
        self.outage.as_ref().filter(|outage| outage.reported).map(Outage::in_words)
    }
}

impl Outage {
    fn in_words(&self) -> String {
        let since = self.clock.strftime("%H:%M:%SZ");
        let Trouble { refuses, why } = &self.trouble;
        if *refuses {
            return format!("the API server refuses since {since}: {why}");
        }
        format!("the API server cannot be reached since {since}: {why}")
    }
}

fn change(state: State, reason: String) -> Change {
    Change {
        phase: Phase::Infrastructure,
        object: None,
        state,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_and_its_end_are_reported_once() {
        let mut health = ApiHealth::default();
        let clock = Timestamp::UNIX_EPOCH;
        let mut note = |trouble: Option<&str>, seconds: u64| {
            let trouble = trouble.map(|why| Trouble::silence(why.to_owned()));
            let reported = health.note(trouble, Duration::from_secs(seconds), clock);
            (reported.map(|change| change.reason), health.is_lost(), health.outage().is_some())
        };
        assert_eq!(note(None, 0), (None, false, false));
        assert_eq!(note(Some("refused"), 1), (None, true, false), "it may be over in a moment");
        let outage = "the API server cannot be reached since 00:00:00Z: refused".to_owned();
        assert_eq!(note(Some("refused"), 2), (Some(outage), true, true));
        assert_eq!(note(Some("refused"), 20), (None, true, true));
        let again = "the API server answers again after 30s".to_owned();
        assert_eq!(note(None, 31), (Some(again), false, false));
        assert_eq!((note(Some("cut off"), 40).0, note(None, 40).0), (None, None), "too short to report");
    }
}
