//! The third phase: rounds of questions to the application, and what is known of its answers.

use std::time::Duration;

use futures::future::{BoxFuture, select_all};

use super::application::Fault;
use crate::gate::check::Check;
use crate::gate::route::Route;
use crate::gate::streak::{Identity, Streak};
use crate::model::duration;
use crate::model::readiness::{Application, AskedPort, State};

/// From the start of one round of questions to the next, and after one that proved nothing.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(200);
const AFTER_FAULT: Duration = Duration::from_millis(100);
/// A round that is silent for longer than this gets company while there is no row to be broken: its packets may have been lost before the
/// way was open, and are only sent again after a second.
const SILENT: Duration = Duration::from_millis(250);
/// An answer counts that was asked for so long after what is asked has changed: kube-proxy, and whatever else leads to the pods, follows
/// their endpoints a little later, and until then leads to pods of before. (How much later is up to `--iptables-min-sync-period`, and more than
/// this where much changes; a row of several seconds sees that.)
pub(super) const FOLLOWS: Duration = Duration::from_millis(250);
/// Rounds under way at once.
const AT_ONCE: usize = 3;
/// An application that does not answer for this long is worth a question to the rules.
const UNANSWERED: Duration = Duration::from_secs(3);

/// What is known of the application's answers.
#[derive(Default)]
pub(super) struct Asking {
    /// What is asked; nothing while it is too early to ask.
    checks: Vec<Check>,
    /// From when on an answer counts as the last of a row.
    counts_from: Duration,
    streak: Streak,
    rounds: Vec<Round>,
    next_round: Duration,
    last_begun: Duration,
    /// Why the last round proved nothing, and since when that has been so.
    fault: Option<(Fault, Duration)>,
    /// What is not ready to ask yet.
    pending: Option<String>,
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
        self.pending = None;
        self.answered = None;
    }

    /// What is to be asked from now on, and from when on an answer counts as the last of a row where that is not the same as before.
    pub(super) fn turn_to(&mut self, checks: Vec<Check>, counts_from: Duration) {
        if self.checks != checks {
            self.checks = checks;
            self.counts_from = counts_from;
        }
    }

    /// What is asked.
    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// When the next round is due in a row that has to last for `span`; none where one that is under way has to end first, or there is nothing
    /// to ask. The last round of a row comes just when it has lasted long enough.
    pub(super) fn due(&self, span: Duration) -> Option<Duration> {
        let last = self.streak.since().map(|since| (since + span).max(self.counts_from));
        let last = last.filter(|last| *last > self.last_begun);
        // A prober asks one round after the other.
        let has_company = !self.checks.iter().any(|check| matches!(check.route, Route::InCluster { .. }));
        let may_begin = self.rounds.is_empty() || (has_company && self.streak.successes() == 0 && self.rounds.len() < AT_ONCE);
        let due = last.map_or(self.next_round, |last| last.min(self.next_round));
        (!self.checks.is_empty() && may_begin).then_some(due)
    }

    /// Begins a round.
    pub(super) fn begin(&mut self, at: Duration, identity: Identity, answer: BoxFuture<'static, Result<(), Fault>>) {
        self.next_round = at + SILENT;
        self.last_begun = at;
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
                // What hung before it answered did not answer all that time.
                let is_late = self.streak.successes() == 0 && now.saturating_sub(begun) > SILENT;
                self.streak.succeeded(if is_late { now } else { begun }, &identity);
                if self.streak.successes() == 1 {
                    self.answered = Some(now);
                }
                self.next_round = (begun + BETWEEN_ROUNDS).max(now);
                self.pending = None;
                self.fault.take().is_some()
            }
            Err(Fault::Pending(why)) => {
                self.streak.reset();
                self.answered = None;
                self.next_round = now;
                self.pending = Some(why);
                false
            }
            Err(fault) => {
                self.pending = None;
                self.streak.failed();
                self.answered = None;
                self.next_round = now + AFTER_FAULT;
                let since = self.fault.take().map_or(now, |(_, since)| since);
                self.fault = Some((fault, since));
                false
            }
        }
    }

    /// Whether it has answered often and long enough, and nothing that was asked since is still open.
    pub(super) fn holds(&self, successes: u32, span: Duration, identity: &Identity) -> bool {
        self.rounds.is_empty() && self.streak.holds(successes, span, identity) && self.last_begun >= self.counts_from
    }

    /// Whether a row of answers has begun and is unbroken.
    pub(super) fn is_answering(&self) -> bool {
        self.streak.successes() > 0 && self.fault.is_none()
    }

    /// Whether it could not be asked yet, or not any more, for want of somebody who asks.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the last round proved nothing.
    pub(super) fn is_at_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Whether it can never be asked as it was said.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self.fault, Some((Fault::Never(_), _)))
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
            Some((Fault::Impossible(why) | Fault::Never(why), _)) => (State::Unknown, why.clone()),
            Some((Fault::Failing(why) | Fault::Pending(why), _)) => (State::Progressing, why.clone()),
            None if self.pending.is_some() => (State::Progressing, self.pending.clone().unwrap_or_default()),
            None => {
                let over = duration::short(span);
                let needed = match wanted {
                    1 if span.is_zero() => "1 answer is needed".to_owned(),
                    1 => format!("answers over {over} are needed"),
                    many if span.is_zero() => format!("{many} answers in a row are needed"),
                    many => format!("{many} answers in a row over {over} are needed"),
                };
                (State::Progressing, format!("{needed}, by {}", self.proven_by()))
            }
        }
    }

    /// The weakest of the ways that are asked along.
    pub(super) fn proven_by(&self) -> &'static str {
        Route::weakest(self.checks.iter().map(|c| &c.route))
    }

    /// Rounds so far.
    pub(super) fn attempts(&self) -> u32 {
        self.streak.attempts
    }

    /// What was asked and answered; none where there was nobody to ask.
    pub(super) fn told(&self) -> Option<Application> {
        if self.checks.is_empty() {
            return None;
        }
        let asked = self.checks.iter().map(|check| AskedPort {
            name: check.name(),
            via: check.route.proves().to_owned(),
            ask: check.ask.as_str().to_owned(),
            path: check.ask.path().to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::check::Ask;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn checks(port: u16) -> Vec<Check> {
        vec![Check {
            service: None,
            port,
            ask: Ask::Http("/".into()),
            ask_pods: Ask::Http("/".into()),
            tls: false,
            strict: false,
            route: Route::ServiceProxy,
            pods: Vec::new(),
            untranslated: None,
        }]
    }

    fn asking() -> Asking {
        let mut asking = Asking::default();
        asking.turn_to(checks(80), ms(0));
        asking
    }

    /// Begins a round that ends with this, or never.
    fn begin(asking: &mut Asking, at: u64, outcome: Option<Result<(), Fault>>) {
        let answer: BoxFuture<'static, Result<(), Fault>> = match outcome {
            Some(outcome) => Box::pin(std::future::ready(outcome)),
            None => Box::pin(std::future::pending()),
        };
        asking.begin(ms(at), Identity::new(), answer);
    }

    async fn end(asking: &mut Asking, now: u64) -> bool {
        let ended = asking.ended().await;
        asking.take(ended, ms(now))
    }

    #[tokio::test]
    async fn a_round_that_hangs_does_not_keep_the_next_ones_waiting() {
        let mut asking = asking();
        assert_eq!(asking.due(ms(0)), Some(ms(0)));
        begin(&mut asking, 0, None);
        assert_eq!(asking.due(ms(0)), Some(SILENT), "its packets may be lost");
        begin(&mut asking, 400, Some(Ok(())));
        end(&mut asking, 410).await;
        assert!(
            asking.holds(1, ms(0), &Identity::new()),
            "what hung was asked before: {:?}",
            asking.rounds.len()
        );
        // Within a row each answer is waited for.
        begin(&mut asking, 600, None);
        assert_eq!(asking.due(ms(5000)), None);
        assert!(!asking.holds(1, ms(0), &Identity::new()), "nobody knows yet");
    }

    #[tokio::test]
    async fn the_last_round_comes_when_the_row_has_lasted_long_enough() {
        let mut asking = asking();
        begin(&mut asking, 50, Some(Ok(())));
        end(&mut asking, 60).await;
        assert_eq!(asking.due(ms(5000)), Some(ms(250)));
        begin(&mut asking, 4950, Some(Ok(())));
        end(&mut asking, 4960).await;
        assert_eq!(asking.due(ms(5000)), Some(ms(5050)));
        begin(&mut asking, 5050, Some(Ok(())));
        end(&mut asking, 5060).await;
        assert!(asking.holds(3, ms(5000), &Identity::new()));
    }

    #[tokio::test]
    async fn one_answer_is_enough_once_the_way_has_followed() {
        let mut asking = asking();
        asking.turn_to(checks(81), ms(1000) + FOLLOWS);
        begin(&mut asking, 1000, Some(Ok(())));
        end(&mut asking, 1010).await;
        let holds = |asking: &Asking| asking.holds(1, ms(0), &Identity::new());
        assert!(!holds(&asking), "it may have come from a pod of before");
        assert_eq!(asking.due(ms(0)), Some(ms(1200)));
        begin(&mut asking, 1200, Some(Ok(())));
        end(&mut asking, 1210).await;
        assert_eq!((holds(&asking), asking.due(ms(0))), (false, Some(ms(1250))));
        asking.turn_to(checks(81), ms(9000));
        begin(&mut asking, 1250, Some(Ok(())));
        end(&mut asking, 1260).await;
        assert!(holds(&asking), "what is asked is the same as before");
    }

    #[tokio::test]
    async fn an_answer_after_faults_is_told() {
        let mut asking = asking();
        begin(&mut asking, 0, Some(Err(Fault::Failing("refused".into()))));
        assert!(!end(&mut asking, 10).await);
        assert!(!asking.is_unanswered(ms(3000)) && asking.is_unanswered(ms(3010)));
        assert_eq!(asking.answered(), None);
        begin(&mut asking, 3100, Some(Ok(())));
        assert!(end(&mut asking, 3120).await);
        assert_eq!(asking.answered(), Some(ms(3120)));
    }
}
