//! Rounds of checks of the application, and what is known of its answers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::duration;
use crate::model::readiness::{Application, AskedPort, State};
use crate::readiness::check::{Ask, Check};
use crate::readiness::fault::Fault;
use crate::readiness::route::Route;
use crate::readiness::streak::{Identity, Streak};
use crate::view::FailingPod;

/// From the start of one round to the start of the next.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(200);
/// From the end of a round that proved nothing to the next: a tenth of the time for which the same has been answered, between these two.
const AFTER_FAULT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// While there is no streak, another round begins when one is silent for this long: its packets may have been lost before the network path
/// was open, and are only sent again after a second.
const SILENT: Duration = Duration::from_millis(250);
/// An answer counts when its request began this long after the checks have changed: kube-proxy, and whatever else leads to the pods, follows
/// their endpoints a little later, and until then leads to earlier pods. (How much later depends on `--iptables-min-sync-period`, and it takes
/// longer where much changes; a streak of several seconds sees that.)
pub(crate) const FOLLOWS: Duration = Duration::from_millis(250);
/// Rounds under way at the same time.
const MOST_ROUNDS: usize = 3;
/// The rules are asked why an application does not answer after this time.
const UNANSWERED: Duration = Duration::from_secs(1);

/// What is known of the application's answers.
#[derive(Debug, Default)]
pub struct Answers {
    /// What is checked; nothing while it is too early.
    checks: Vec<Check>,
    /// When the last request of a streak may begin.
    counts_from: Duration,
    streak: Streak,
    rounds: Vec<Round>,
    /// Rounds that have begun so far.
    begun: u32,
    next_round: Duration,
    last_begun: Duration,
    /// Why the last round proved nothing, and since when rounds have proved nothing.
    fault: Option<(Fault, Duration)>,
    /// Since when each round has proved nothing for the same reason.
    steady_since: Duration,
    /// Why nothing can be checked yet.
    pending: Option<String>,
    /// When the first answer of the present streak came.
    answered: Option<Duration>,
    /// The pods that have answered well last.
    well: Identity,
    /// The pods whose answers the last round was about.
    asked: Identity,
}

/// A round that is under way.
#[derive(Debug)]
struct Round {
    id: u32,
    begun: Duration,
    identity: Identity,
}

impl Answers {
    /// Ends all checks: it is too early, or they have changed.
    pub(crate) fn stop(&mut self) {
        self.rounds.clear();
        self.checks.clear();
        self.streak.reset();
        self.fault = None;
        self.pending = None;
        self.answered = None;
    }

    /// Sets what is checked from now on. Where that changes, the last request of a streak may begin at `counts_from`.
    pub(crate) fn set_checks(&mut self, checks: Vec<Check>, counts_from: Duration) {
        if self.checks != checks {
            self.checks = checks;
            self.counts_from = counts_from;
        }
    }

    /// What is checked.
    pub(crate) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// When the next round is due in a streak that has to last for `span`; none where a round that is under way has to end first, or nothing is
    /// checked. The last round of a streak begins just when it has lasted long enough.
    pub(crate) fn due(&self, span: Duration) -> Option<Duration> {
        let last = self.streak.since().map(|since| (since + span).max(self.counts_from));
        let last = last.filter(|last| *last > self.last_begun);
        // A prober Job makes one round at a time.
        let may_overlap = !self.checks.iter().any(|check| matches!(check.route, Route::InCluster { .. }));
        let may_begin = self.rounds.is_empty() || (may_overlap && self.streak.successes() == 0 && self.rounds.len() < MOST_ROUNDS);
        let due = last.map_or(self.next_round, |last| last.min(self.next_round));
        (!self.checks.is_empty() && may_begin).then_some(due)
    }

    /// Begins a round and returns its number.
    pub(crate) fn begin(&mut self, now: Duration, identity: Identity) -> u32 {
        let pause = if self.fault.is_some() { self.pause(now) } else { Duration::ZERO };
        self.next_round = now + SILENT.max(pause);
        self.last_begun = now;
        self.begun += 1;
        self.rounds.push(Round {
            id: self.begun,
            begun: now,
            identity,
        });
        self.begun
    }

    /// How long to leave the application alone after a fault: what has not changed for long will hardly change at once.
    fn pause(&self, now: Duration) -> Duration {
        let tenth = now.saturating_sub(self.steady_since).as_millis() / 10;
        Duration::from_millis(u64::try_from(tenth).unwrap_or(u64::MAX)).clamp(AFTER_FAULT.0, AFTER_FAULT.1)
    }

    /// Whether a round is under way and its answer counts.
    pub(crate) fn awaits(&self, id: u32) -> bool {
        self.rounds.iter().any(|round| round.id == id)
    }

    /// Whether any round is under way.
    pub(crate) fn is_asking(&self) -> bool {
        !self.rounds.is_empty()
    }

    /// Takes in the outcome of a round; true where the application answers after a fault.
    pub(crate) fn take(&mut self, id: u32, outcome: Result<(), Fault>, now: Duration) -> bool {
        let Some(index) = self.rounds.iter().position(|round| round.id == id) else {
            return false;
        };
        let Round { begun, identity, .. } = self.rounds.swap_remove(index);
        self.asked.clone_from(&identity);
        match outcome {
            Ok(()) => {
                self.well.clone_from(&identity);
                // Earlier rounds that are still silent say nothing about now.
                self.rounds.retain(|round| round.begun > begun);
                // A round that hung before its answer does not prove an answer for all that time.
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
                self.next_round = now + AFTER_FAULT.0;
                self.pending = Some(why);
                false
            }
            Err(fault) => {
                self.pending = None;
                self.streak.failed();
                self.answered = None;
                if self.fault.as_ref().is_none_or(|(before, _)| *before != fault) {
                    self.steady_since = now;
                }
                let since = self.fault.take().map_or(now, |(_, since)| since);
                self.fault = Some((fault, since));
                self.next_round = now + self.pause(now);
                false
            }
        }
    }

    /// Whether it has answered often and long enough, and no round is under way.
    pub(crate) fn holds(&self, successes: u32, span: Duration, identity: &Identity) -> bool {
        self.rounds.is_empty() && self.streak.holds(successes, span, identity) && self.last_begun >= self.counts_from
    }

    /// Whether a streak has begun and is unbroken.
    pub fn is_answering(&self) -> bool {
        self.answered.is_some()
    }

    /// Whether nothing can be checked yet, or any more, because the prober is not ready.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the last round proved nothing.
    pub(crate) fn is_at_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Since when each round has proved nothing for the same reason.
    pub(crate) fn same_fault_since(&self) -> Option<Duration> {
        self.fault.as_ref().map(|_| self.steady_since)
    }

    /// Whether it can never be checked in the way that was asked for.
    pub(crate) fn is_hopeless(&self) -> bool {
        matches!(self.fault, Some((Fault::Never(_), _)))
    }

    /// Whether it has not answered for so long that the rules should say why.
    pub(crate) fn is_unanswered(&self, now: Duration) -> bool {
        self.fault.as_ref().is_some_and(|(_, since)| now >= *since + UNANSWERED)
    }

    /// The pods that do not answer as they should.
    pub(crate) fn failing(&self) -> BTreeSet<FailingPod> {
        let Some((Fault::OfPods(_, pods), _)) = &self.fault else {
            return BTreeSet::new();
        };
        let was_well = !self.asked.is_empty() && self.well == self.asked;
        pods.iter().cloned().map(|pod| FailingPod { was_well, ..pod }).collect()
    }

    /// When the first answer of the present streak came.
    pub fn answered(&self) -> Option<Duration> {
        self.answered
    }

    /// The state of the application phase, and why.
    pub(crate) fn state(&self, wanted: u32, span: Duration, identity: &Identity) -> (State, String) {
        if self.holds(wanted, span, identity) {
            let streak = match self.streak.successes() {
                1 => "answered once".to_owned(),
                times => format!("answered {times} times in a row over {}", duration::short(self.streak.span())),
            };
            return (State::Ready, format!("{streak}, by {}", self.proven_by()));
        }
        match &self.fault {
            Some((Fault::Impossible(why) | Fault::Never(why), _)) => (State::Unknown, why.clone()),
            Some((Fault::Failing(why) | Fault::OfPods(why, _) | Fault::Pending(why), _)) => (State::Progressing, why.clone()),
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

    /// The weakest of the network paths that are used; empty where nothing is checked.
    pub fn proven_by(&self) -> &'static str {
        Route::weakest(self.checks.iter().map(|c| &c.route))
    }

    /// Rounds that have ended so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.streak.attempts
    }

    /// Paths that are requested from the application.
    pub(crate) fn requested(&self) -> BTreeSet<String> {
        let asks = self.checks.iter().flat_map(|check| [&check.ask, &check.ask_pods]);
        let paths = asks.filter(|ask| matches!(ask, Ask::Http(_))).map(|ask| ask.path());
        paths.filter_map(|path| path.split('?').next()).map(str::to_owned).collect()
    }

    /// What was checked and answered, for a report; none where nothing is checked.
    pub fn reported(&self) -> Option<Application> {
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
    use crate::readiness::check::ANSWER_LIMIT;

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
            limit: ANSWER_LIMIT,
            admitted: Vec::new(),
        }]
    }

    fn answers() -> Answers {
        let mut answers = Answers::default();
        answers.set_checks(checks(80), ms(0));
        answers
    }

    fn begin(answers: &mut Answers, at: u64) -> u32 {
        answers.begin(ms(at), Identity::new())
    }

    /// A round with this outcome; true where the application answers after a fault.
    fn round(answers: &mut Answers, begun: u64, ended: u64, outcome: Result<(), Fault>) -> bool {
        let id = begin(answers, begun);
        answers.take(id, outcome, ms(ended))
    }

    fn holds(answers: &Answers, successes: u32, span: u64) -> bool {
        answers.holds(successes, ms(span), &Identity::new())
    }

    #[test]
    fn a_round_that_hangs_does_not_delay_the_next() {
        let mut answers = answers();
        assert_eq!(answers.due(ms(0)), Some(ms(0)));
        let hangs = begin(&mut answers, 0);
        assert_eq!(answers.due(ms(0)), Some(SILENT), "its packets may be lost");
        round(&mut answers, 400, 410, Ok(()));
        assert!(holds(&answers, 1, 0) && !answers.awaits(hangs), "the round that hangs is older");
        // Within a streak each answer is waited for.
        begin(&mut answers, 600);
        assert_eq!(answers.due(ms(5000)), None);
        assert!(!holds(&answers, 1, 0), "the last round is open");
    }

    #[test]
    fn the_last_round_begins_when_the_streak_has_lasted_long_enough() {
        let mut answers = answers();
        round(&mut answers, 50, 60, Ok(()));
        assert_eq!(answers.due(ms(5000)), Some(ms(250)));
        round(&mut answers, 4950, 4960, Ok(()));
        assert_eq!(answers.due(ms(5000)), Some(ms(5050)));
        round(&mut answers, 5050, 5060, Ok(()));
        assert!(holds(&answers, 3, 5000));
    }

    #[test]
    fn one_answer_is_enough_once_the_network_path_has_followed() {
        let mut answers = answers();
        answers.set_checks(checks(81), ms(1000) + FOLLOWS);
        round(&mut answers, 1000, 1010, Ok(()));
        assert!(!holds(&answers, 1, 0), "it may have come from an earlier pod");
        assert_eq!(answers.due(ms(0)), Some(ms(1200)));
        round(&mut answers, 1200, 1210, Ok(()));
        assert_eq!((holds(&answers, 1, 0), answers.due(ms(0))), (false, Some(ms(1250))));
        answers.set_checks(checks(81), ms(9000));
        round(&mut answers, 1250, 1260, Ok(()));
        assert!(holds(&answers, 1, 0), "the checks are the same as before");
    }

    #[test]
    fn the_same_fault_again_and_again_is_asked_about_less_often() {
        let mut answers = answers();
        let fails = |answers: &mut Answers, why: &str| {
            let mut rounds = 0;
            let mut at = answers.due(ms(0)).unwrap();
            let end = at + ms(30_000);
            while at < end {
                let id = answers.begin(at, Identity::new());
                answers.take(id, Err(Fault::Failing(why.into())), at);
                rounds += 1;
                at = answers.due(ms(0)).unwrap();
            }
            rounds
        };
        let rounds = fails(&mut answers, "it answers with status 404");
        assert!((25..60).contains(&rounds), "{rounds} in 30 s");
        let pause = answers.due(ms(0)).map(|due| due - answers.last_begun);
        assert!(pause >= Some(ms(2500)) && pause <= Some(AFTER_FAULT.1), "{pause:?} in the end");
        // Another answer is news.
        let now = answers.due(ms(0)).unwrap();
        let id = answers.begin(now, Identity::new());
        answers.take(id, Err(Fault::Failing("it answers with status 503".into())), now);
        assert_eq!(answers.due(ms(0)), Some(now + AFTER_FAULT.0));
    }

    #[test]
    fn a_cut_connection_to_the_api_server_is_no_failure_of_the_application() {
        let mut answers = answers();
        round(&mut answers, 0, 10, Ok(()));
        round(&mut answers, 200, 210, Err(Fault::Pending("connection reset".into())));
        let (state, why) = answers.state(3, ms(0), &Identity::new());
        assert_eq!((state, why.as_str()), (State::Progressing, "connection reset"));
        assert!(!answers.is_at_fault() && !answers.is_answering(), "nothing was asked");
        assert_eq!(answers.reported().map(|r| (r.attempts, r.failures)), Some((1, 0)));
        assert_eq!(answers.due(ms(0)), Some(ms(210) + AFTER_FAULT.0));
    }

    #[test]
    fn an_answer_after_faults_is_reported() {
        let mut answers = answers();
        assert!(!round(&mut answers, 0, 10, Err(Fault::Failing("refused".into()))));
        assert!(!answers.is_unanswered(ms(1000)) && answers.is_unanswered(ms(1010)));
        assert_eq!(answers.answered(), None);
        assert!(round(&mut answers, 3100, 3120, Ok(())));
        assert_eq!(answers.answered(), Some(ms(3120)));
    }
}
