//! The third phase: rounds of questions to the application, and what is known of its answers.

use std::time::Duration;

use futures::future::{BoxFuture, select_all};

use super::application::Fault;
use crate::gate::check::Check;
use crate::gate::streak::{Identity, Streak};
use crate::model::duration;
use crate::model::readiness::{Application, AskedPort, State};

/// From the start of one round of questions to the next.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(200);
/// A round that is silent for longer than this gets company while there is no row to be broken: its packets may have been lost before the
/// way was open, and are only sent again after a second.
const SILENT: Duration = Duration::from_millis(400);
/// Rounds under way at once.
const AT_ONCE: usize = 3;
/// An application that does not answer for this long is worth a question to the rules.
const UNANSWERED: Duration = Duration::from_secs(3);

/// What is known of the application's answers.
#[derive(Default)]
pub(super) struct Asking {
    /// What is asked; nothing while it is too early to ask.
    pub(super) checks: Vec<Check>,
    streak: Streak,
    rounds: Vec<Round>,
    next_round: Duration,
    /// Why the last round proved nothing, and since when that has been so.
    fault: Option<(Fault, Duration)>,
    /// When the first answer of the present row was there.
    answered: Option<Duration>,
}

/// A round of questions to the application that is under way.
struct Round {
    begun: Duration,
    identity: Identity,
    answer: BoxFuture<'static, Result<(), Fault>>,
}

/// A round that is over.
pub(super) struct Ended {
    begun: Duration,
    identity: Identity,
    outcome: Result<(), Fault>,
}

impl Asking {
    /// It is too early to ask, or not any more what is to be asked.
    pub(super) fn stop(&mut self) {
        self.rounds.clear();
        self.checks.clear();
        self.streak.reset();
        self.fault = None;
        self.answered = None;
    }

    /// When the next round is due; none where one that is under way has to end first, or there is nothing to ask.
    pub(super) fn due(&self) -> Option<Duration> {
        let may_begin = self.rounds.is_empty() || (self.streak.successes() == 0 && self.rounds.len() < AT_ONCE);
        (!self.checks.is_empty() && may_begin).then_some(self.next_round)
    }

    /// Begins a round.
    pub(super) fn begin(&mut self, at: Duration, identity: Identity, answer: BoxFuture<'static, Result<(), Fault>>) {
        self.next_round = at + SILENT;
        self.rounds.push(Round {
            begun: at,
            identity,
            answer,
        });
    }

    /// The next round to end; never, where none is under way.
    pub(super) async fn ended(&mut self) -> Ended {
        if self.rounds.is_empty() {
            return std::future::pending().await;
        }
        let (outcome, index, _) = select_all(self.rounds.iter_mut().map(|round| &mut round.answer)).await;
        let round = self.rounds.swap_remove(index);
        Ended {
            begun: round.begun,
            identity: round.identity,
            outcome,
        }
    }

    /// Takes in what came of a round; true where it answers and did not before.
    pub(super) fn take(&mut self, ended: Ended, now: Duration) -> bool {
        let Ended { begun, identity, outcome } = ended;
        match outcome {
            Ok(()) => {
                // What was asked before that and is still silent tells of an earlier time.
                self.rounds.retain(|round| round.begun > begun);
                self.streak.succeeded(begun, &identity);
                if self.streak.successes() == 1 {
                    self.answered = Some(now);
                }
                self.next_round = (begun + BETWEEN_ROUNDS).max(now);
                self.fault.take().is_some()
            }
            Err(fault) => {
                self.streak.failed();
                self.answered = None;
                self.next_round = now + BETWEEN_ROUNDS;
                let since = self.fault.take().map_or(now, |(_, since)| since);
                self.fault = Some((fault, since));
                false
            }
        }
    }

    /// Whether it has answered often and long enough, and nothing that was asked since is still open.
    pub(super) fn holds(&self, successes: u32, span: Duration, identity: &Identity) -> bool {
        self.rounds.is_empty() && self.streak.holds(successes, span, identity)
    }

    /// Whether the last round proved nothing.
    pub(super) fn is_at_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Whether it has not answered for so long that it is worth asking why.
    pub(super) fn is_unanswered(&self, at: Duration) -> bool {
        self.fault.as_ref().is_some_and(|(_, since)| at >= *since + UNANSWERED)
    }

    /// When the first answer of the present row was there.
    pub(super) fn answered(&self) -> Option<Duration> {
        self.answered
    }

    /// How the phase stands.
    pub(super) fn says(&self, wanted: u32, span: Duration, identity: &Identity) -> (State, String) {
        if self.holds(wanted, span, identity) {
            let row = match self.streak.successes() {
                1 => "answered once".to_owned(),
                times => format!("answered {times} times in a row over {}", duration::short(self.streak.span())),
            };
            return (State::Ready, format!("{row}, by {}", self.proven_by()));
        }
        match &self.fault {
            Some((Fault::Failing(why), _)) => (State::Progressing, why.clone()),
            Some((Fault::Impossible(why), _)) => (State::Unknown, why.clone()),
            None => {
                let over = duration::short(span);
                let says = format!("{wanted} answers in a row over {over} are needed, by {}", self.proven_by());
                (State::Progressing, says)
            }
        }
    }

    /// The weakest of the ways that are asked along.
    pub(super) fn proven_by(&self) -> &'static str {
        let weakest = ["service-proxy", "url", "ingress", "load-balancer"]
            .into_iter()
            .find(|way| self.checks.iter().any(|c| c.route.proves() == *way));
        weakest.unwrap_or_default()
    }

    /// What was asked and answered; none where there was nobody to ask.
    pub(super) fn told(&self) -> Option<Application> {
        if self.checks.is_empty() {
            return None;
        }
        let asked = self.checks.iter().map(|check| AskedPort {
            name: check.name(),
            via: check.route.proves().to_owned(),
            path: check.path.clone(),
            pods: check.pods.len(),
        });
        Some(Application {
            asked: asked.collect(),
            successes: self.streak.successes(),
            span_seconds: duration::rounded(self.streak.span().as_secs_f64()),
            attempts: self.streak.attempts,
            failures: self.streak.failures,
        })
    }
}
