//! What came of dials, from one question to the next.

use std::time::Duration;

use crate::model::dial::Dial;
use crate::model::snapshot::Snapshot;

/// How long what came of a dial counts; each time that nothing has changed by then, twice as long, up to the second.
const DIALS_COUNT: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));

/// What came of dials, for as long as that counts: dialling anew with each question would be a burden to the pods.
#[derive(Default)]
pub(super) struct Dials {
    made: Vec<Dial>,
    until: Duration,
    counts_for: Duration,
}

impl Dials {
    /// Puts into a snapshot what still counts.
    pub(super) fn lend(&self, snapshot: &mut Snapshot, at: Duration) {
        if at < self.until {
            self.made.iter().for_each(|dial| snapshot.put_dial(dial.clone()));
        }
    }

    /// Keeps what was dialled for a question.
    pub(super) fn keep(&mut self, snapshot: &Snapshot, at: Duration) {
        let made: Vec<Dial> = snapshot.dials().cloned().collect();
        if at < self.until || made.is_empty() {
            return;
        }
        self.counts_for = (self.counts_for * 2).clamp(DIALS_COUNT.0, DIALS_COUNT.1);
        self.until = at + self.counts_for;
        self.made = made;
    }

    /// Forgets everything: it was about other pods, or the pods answer now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
