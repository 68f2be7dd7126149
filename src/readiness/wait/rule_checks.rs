//! When the rules of `diagnose` are run, and what is kept of their answers. They run now and then while something is not ready, soon after a
//! change, when a fault is about to become final, and once more before the end.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::dial::Dial;
use crate::model::finding::ObjectRef;
use crate::model::readiness::{ObjectReadiness, State};
use crate::readiness::failfast::Suspect;
use crate::readiness::progress::Causes;
use crate::readiness::wait::answers::Answers;
use crate::readiness::wait::dials::DialCache;
use crate::view::FailingPod;

/// Time from one run of the rules to the next: it grows from the first value to the second while nothing changes.
pub(crate) const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// Before the end, the rules run again where their last answer is older than this.
const STALE: Duration = Duration::from_secs(5);
/// Time for the last run of the rules: it begins this long before the timeout, and the end waits this long for it.
const LAST_CHECK: Duration = Duration::from_secs(3);

/// The UID and generation of each workload: another one makes earlier causes void.
pub type Generations = Vec<(ObjectRef, Option<String>, Option<i64>)>;

/// What the rules are asked about.
#[derive(Clone, Debug)]
pub struct RuleCheck {
    /// When the objects were looked at.
    pub at: Duration,
    /// What is waited for.
    pub targets: Vec<ObjectRef>,
    /// Every object in its phases.
    pub judged: Vec<ObjectReadiness>,
    /// Everything is ready and the application does not answer: any fault around it may be why.
    pub all: bool,
    /// Which workloads of which generation the answer is about.
    pub generations: Generations,
    /// Results of dials that can be used again.
    pub dials: Vec<Dial>,
    /// Whether these are first samples, so that each needs a second one.
    pub redial: bool,
    /// Paths that are requested from the application.
    pub requested: BTreeSet<String>,
    /// Pods that do not answer these requests.
    pub failing: BTreeSet<FailingPod>,
}

/// What the rules found.
#[derive(Debug)]
pub struct Explanation {
    /// When the objects were looked at.
    pub at: Duration,
    /// The same by the wall clock.
    pub clock: Timestamp,
    /// Which workloads of which generation it is about.
    pub generations: Generations,
    /// Root causes of what is not ready.
    pub suspects: Vec<Suspect>,
    /// Results of dials.
    pub dials: Vec<Dial>,
}

/// The schedule of the rules; they run once at a time.
#[derive(Debug)]
pub(crate) struct RuleChecks {
    under_way: Option<u32>,
    /// Checks so far.
    begun: u32,
    next: Duration,
    pause: Duration,
    /// When the objects of the last answer were looked at.
    explained: Option<Duration>,
    /// Whether there has been any answer.
    has_answered: bool,
    /// Until when the end waits for an answer.
    wait_until: Option<Duration>,
    /// When the rules run for the last time before the timeout.
    last: Option<Duration>,
    generations: Generations,
    dials: DialCache,
}

impl RuleChecks {
    /// A schedule for a run with this timeout; zero is one look.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            under_way: None,
            begun: 0,
            next: PAUSE.0,
            pause: PAUSE.0,
            explained: None,
            has_answered: false,
            wait_until: None,
            last: (!timeout.is_zero()).then(|| timeout.saturating_sub(LAST_CHECK)),
            generations: Generations::new(),
            dials: DialCache::default(),
        }
    }

    /// Notes the generations of the workloads; true where they have changed, so that earlier causes are void.
    pub(crate) fn note_generations(&mut self, generations: Generations, now: Duration) -> bool {
        if generations == self.generations {
            return false;
        }
        self.generations = generations;
        self.cancel();
        self.forget_dials();
        self.explained = None;
        self.soon(now);
        true
    }

    /// Something has changed: the rules run soon.
    pub(crate) fn soon(&mut self, now: Duration) {
        self.pause = PAUSE.0;
        self.next = self.next.min(now + self.pause);
    }

    /// Drops the check that is under way: what it is about has passed.
    pub(crate) fn cancel(&mut self) {
        self.under_way = None;
    }

    /// Forgets results of dials: the application answers now, or other pods are to run.
    pub(crate) fn forget_dials(&mut self) {
        self.dials = DialCache::default();
    }

    /// When something is to be done.
    pub(crate) fn due(&self) -> Option<Duration> {
        let next = self.under_way.is_none().then_some(self.next);
        next.into_iter().chain(self.last).chain(self.wait_until).min()
    }

    /// Whether it is time to run the rules.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.under_way.is_none() && (now >= self.next || self.last.is_some_and(|last| now >= last))
    }

    /// Whether the rules run now.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether a check is under way and its answer counts.
    pub(crate) fn awaits(&self, id: u32) -> bool {
        self.under_way == Some(id)
    }

    /// Begins a check, in place of one that is under way.
    pub(crate) fn begin(
        &mut self,
        targets: Vec<ObjectRef>,
        judged: &[ObjectReadiness],
        answers: &Answers,
        now: Duration,
    ) -> (u32, RuleCheck) {
        self.last = self.last.filter(|last| now < *last);
        self.begun += 1;
        self.under_way = Some(self.begun);
        let check = RuleCheck {
            at: now,
            targets,
            judged: judged.to_vec(),
            all: judged.iter().all(|j| j.state == State::Ready),
            generations: self.generations.clone(),
            dials: self.dials.known(now),
            redial: self.dials.is_past(now),
            requested: answers.requested(),
            failing: answers.failing(),
        };
        (self.begun, check)
    }

    /// Takes in an answer; returns its causes, none where it is about other generations.
    pub(crate) fn take(&mut self, explanation: Explanation, now: Duration) -> Option<Causes> {
        self.under_way = None;
        self.has_answered = true;
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.next = now + self.pause;
        if explanation.generations != self.generations {
            return None;
        }
        self.dials.keep(explanation.dials, now);
        self.explained = Some(explanation.at);
        Some(Causes {
            at: explanation.at,
            now: explanation.clock,
            suspects: explanation.suspects,
        })
    }

    /// A fault becomes final at this time: the rules run just then.
    pub(crate) fn before_final(&mut self, time: Duration, now: Duration) {
        let time = time.max(now + PAUSE.0);
        // One that begins shortly before would have to run again.
        if self.next + PAUSE.0 >= time {
            self.next = time;
        }
    }

    /// Whether the rules have answered at all.
    pub(crate) const fn have_answered(&self) -> bool {
        self.has_answered
    }

    /// Whether the rules have answered just now.
    pub(crate) fn are_fresh(&self, now: Duration) -> bool {
        self.explained.is_some_and(|at| now <= at + STALE)
    }

    /// Begins to hold up an end that has no cause yet; true the first time, when the rules have to run for it.
    pub(crate) fn hold_up(&mut self, now: Duration) -> bool {
        let first = self.wait_until.is_none();
        self.wait_until.get_or_insert(now + LAST_CHECK);
        first
    }

    /// Whether the end waits for an answer.
    pub(crate) fn holds_up(&self, now: Duration) -> bool {
        self.under_way.is_some() && self.wait_until.is_none_or(|until| now < until)
    }
}
