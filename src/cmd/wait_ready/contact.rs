//! Whether the API server gives what it is asked for while a run goes on. While it does not, nothing is decided but that the time is up.

use std::time::Duration;

use jiff::Timestamp;

use crate::cluster::{ApiError, ApiErrorKind};
use crate::gate::progress::Change;
use crate::model::duration;
use crate::model::readiness::{Phase, State};

/// A watch that is taken up again sooner than this is nothing to tell.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// Why the API server does not give what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// It answers, and says no.
    refuses: bool,
    why: String,
}

impl Trouble {
    /// What an error says of it.
    pub(super) fn of(error: &ApiError) -> Self {
        Self {
            refuses: matches!(error.kind, ApiErrorKind::Forbidden | ApiErrorKind::Unauthorized),
            why: error.message.clone(),
        }
    }

    /// That it gives no answer.
    pub(super) fn silence(why: String) -> Self {
        Self { refuses: false, why }
    }
}

/// What is known of the way to the API server.
#[derive(Default)]
pub(super) struct Contact {
    lost: Option<Lost>,
}

struct Lost {
    since: Duration,
    clock: Timestamp,
    trouble: Trouble,
    told: bool,
}

impl Contact {
    /// Takes in whether it can be reached now; returns what is to be told about that.
    pub(super) fn note(&mut self, trouble: Option<Trouble>, at: Duration, clock: Timestamp) -> Option<Change> {
        let Some(trouble) = trouble else {
            let lost = self.lost.take().filter(|lost| lost.told)?;
            let after = duration::short(at.saturating_sub(lost.since));
            return Some(change(State::Progressing, format!("the API server answers again after {after}")));
        };
        let lost = self.lost.get_or_insert_with(|| Lost {
            since: at,
            clock,
            trouble: trouble.clone(),
            told: false,
        });
        lost.trouble = trouble;
        if lost.told || at < lost.since + TOLD_AFTER {
            return None;
        }
        lost.told = true;
        Some(change(State::Unknown, lost.in_words()))
    }

    /// Whether it cannot be reached now.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// When there is something to tell at the latest.
    pub(super) fn due(&self) -> Option<Duration> {
        self.lost.as_ref().filter(|lost| !lost.told).map(|lost| lost.since + TOLD_AFTER)
    }

    /// What to say of it; none while it can be reached, and in the first moment.
    pub(super) fn says(&self) -> Option<String> {
        self.lost.as_ref().filter(|lost| lost.told).map(Lost::in_words)
    }
}

impl Lost {
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
    fn a_cut_is_told_once_and_so_is_its_end() {
        let mut contact = Contact::default();
        let clock = Timestamp::UNIX_EPOCH;
        let mut note = |trouble: Option<&str>, seconds: u64| {
            let trouble = trouble.map(|why| Trouble::silence(why.to_owned()));
            let told = contact.note(trouble, Duration::from_secs(seconds), clock);
            (told.map(|change| change.reason), contact.is_lost(), contact.says().is_some())
        };
        assert_eq!(note(None, 0), (None, false, false));
        assert_eq!(
            note(Some("refused"), 1),
            (None, true, false),
            "at first it may be a moment's matter"
        );
        let says = "the API server cannot be reached since 00:00:00Z: refused".to_owned();
        assert_eq!(note(Some("refused"), 2), (Some(says), true, true));
        assert_eq!(note(Some("refused"), 20), (None, true, true));
        let again = "the API server answers again after 30s".to_owned();
        assert_eq!(note(None, 31), (Some(again), false, false));
        assert_eq!((note(Some("cut off"), 40).0, note(None, 40).0), (None, None), "too short to tell");
    }
}
