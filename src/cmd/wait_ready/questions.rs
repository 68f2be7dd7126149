//! When the rules of `diagnose` are asked, and what has come of it: now and then while something is not ready, soon after it has moved, just
//! when a fault is about to be final, and before the last word.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::dials::Dials;
use super::why::{self, Answer, Asked, Orders};
use crate::cmd::reach::Reach;
use crate::gate::progress::Causes;
use crate::model::snapshot::Snapshot;

/// Time between two questions, growing from the first to the second while nothing moves.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// How long one connection may take, as with `diagnose`.
const DIAL_LIMIT: Duration = Duration::from_secs(2);
/// What the rules said this long ago is worth asking again before the last word.
const STALE: Duration = Duration::from_secs(5);
/// How long the rules may take for it: so long before the time is up they are asked, and so long they are waited for at the end.
const LAST_QUESTION: Duration = Duration::from_secs(3);

/// One question at a time.
pub(super) struct Questions {
    under_way: Option<BoxFuture<'static, Answer>>,
    next: Duration,
    pause: Duration,
    /// From when the last answer is.
    explained: Option<Duration>,
    /// Until when an answer is waited for although it is over.
    last_until: Option<Duration>,
    /// When the rules have to be asked for the last time.
    last: Option<Duration>,
    /// What the workloads are told to run.
    orders: Orders,
    dials: Dials,
    reach: Reach,
}

impl Questions {
    /// For a run of this length; zero is one look.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            under_way: None,
            next: PAUSE.0,
            pause: PAUSE.0,
            explained: None,
            last_until: None,
            last: (!timeout.is_zero()).then(|| timeout.saturating_sub(LAST_QUESTION)),
            orders: Orders::new(),
            dials: Dials::default(),
            reach: Reach::new(DIAL_LIMIT, false, None),
        }
    }

    /// Takes note of what the workloads are told to run; true where that is something else than before, and what was found out counts no
    /// more.
    pub(super) fn ordered(&mut self, orders: Orders, at: Duration) -> bool {
        if orders == self.orders {
            return false;
        }
        self.orders = orders;
        self.dials.forget();
        self.explained = None;
        self.soon(at);
        true
    }

    /// Something is not as it was: the next question comes soon.
    pub(super) fn soon(&mut self, at: Duration) {
        self.pause = PAUSE.0;
        self.next = self.next.min(at + self.pause);
    }

    /// What is asked about is not so any more.
    pub(super) fn drop_question(&mut self) {
        self.under_way = None;
    }

    /// The application answers: so is what came of dials.
    pub(super) fn forget_dials(&mut self) {
        self.dials.forget();
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Option<Duration> {
        let next = self.under_way.is_none().then_some(self.next);
        next.into_iter().chain(self.last).chain(self.last_until).min()
    }

    /// Whether it is time to ask.
    pub(super) fn is_due(&self, at: Duration) -> bool {
        self.under_way.is_none() && (at >= self.next || self.last.is_some_and(|last| at >= last))
    }

    /// Asks, aside from the run.
    pub(super) fn ask(&mut self, mut asked: Asked, at: Duration) {
        self.last = self.last.filter(|last| at < *last);
        self.dials.lend(&mut asked.snapshot, at);
        self.under_way = Some(why::ask(asked, self.reach.clone(), at, self.orders.clone()).boxed());
    }

    /// The answer to the question that is under way; never, where none is.
    pub(super) async fn answered(&mut self) -> Answer {
        match &mut self.under_way {
            Some(question) => question.await,
            None => std::future::pending().await,
        }
    }

    /// Takes in an answer: the causes that it names, none where it is about another order.
    pub(super) fn take(&mut self, answer: Answer, now: Duration, snapshot: &mut Snapshot) -> Option<Causes> {
        self.under_way = None;
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.next = now + self.pause;
        snapshot.unchecked.extend(answer.snapshot.unchecked.iter().cloned());
        if answer.orders != self.orders {
            return None;
        }
        self.dials.keep(&answer.snapshot, now);
        self.explained = Some(answer.at);
        Some(Causes {
            at: answer.at,
            now: answer.now,
            suspects: answer.suspects,
        })
    }

    /// A fault becomes final after this time: it is asked about just then.
    pub(super) fn before(&mut self, next_final: Duration, now: Duration) {
        self.next = self.next.min(now + next_final.max(PAUSE.0));
    }

    /// Whether what the rules said is from just now.
    pub(super) fn are_answered(&self, at: Duration) -> bool {
        self.explained.is_some_and(|from| at <= from + STALE)
    }

    /// Whether this is the first time that the last word lacks a cause, so that the rules are to be asked for it.
    pub(super) fn lack_cause(&mut self, at: Duration) -> bool {
        let first = self.last_until.is_none();
        self.last_until.get_or_insert(at + LAST_QUESTION);
        first
    }

    /// Whether the last word waits for an answer.
    pub(super) fn hold_up(&self, at: Duration) -> bool {
        self.under_way.is_some() && self.last_until.is_none_or(|until| at < until)
    }
}
