//! Decides after each look whether a run is over. Times are counted from the start of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::model::code::Code;
use crate::model::finding::{Finding, ObjectRef};
use crate::model::readiness::{ObjectReadiness, Phase, PhaseReadiness, State, Trend};
use crate::model::{duration, kind};
use crate::readiness::failfast::{Grace, Suspect};
use crate::readiness::verdict::{self, NoMatch};

/// A run ends as unknown when its state has been unknown for this long.
const SILENCE: Duration = Duration::from_secs(10);
/// A run is progressing if something has changed within this time, or half of the timeout.
const MOVES: Duration = Duration::from_secs(60);

/// The time limits of a run.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of the run as a whole; zero means one look.
    pub timeout: Duration,
    /// Of each phase, from when the phase before it was ready.
    pub phases: BTreeMap<Phase, Duration>,
    /// Of faults.
    pub grace: Grace,
}

/// What one look at the objects has shown.
#[derive(Debug)]
pub struct Look {
    /// The time of the look.
    pub at: Duration,
    /// Every object in its phases.
    pub judged: Vec<ObjectReadiness>,
    /// The third phase, where there is one.
    pub application: Option<(State, String)>,
    /// A selection that nothing matches.
    pub no_match: Option<NoMatch>,
    /// The application can never be checked as was asked for, so that waiting is useless.
    pub is_hopeless: bool,
}

/// What the rules have said at one moment.
#[derive(Debug)]
pub struct Causes {
    /// When the objects were read that they rest on.
    pub at: Duration,
    /// The same by the wall clock.
    pub now: Timestamp,
    /// Root causes of what is not ready.
    pub suspects: Vec<Suspect>,
}

/// A change since the last look.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// In which phase.
    pub phase: Phase,
    /// Which object; none for a phase as a whole.
    pub object: Option<ObjectRef>,
    /// How ready it is now.
    pub state: State,
    /// Why.
    pub reason: String,
}

/// What to do after a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Look again.
    Wait,
    /// It is over.
    Done(State),
    /// The time is up: of the run, or of one phase.
    TimedOut(Option<Phase>, Trend),
}

/// What a look has come to.
#[derive(Debug)]
pub struct Progress {
    /// What to do.
    pub decision: Decision,
    /// Changes to report.
    pub changes: Vec<Change>,
    /// The objects; those that will not become ready have failed.
    pub judged: Vec<ObjectReadiness>,
    /// The phases as a whole.
    pub phases: Vec<PhaseReadiness>,
    /// Root causes that are final.
    pub causes: Vec<Finding>,
    /// Whether there is a state that was never seen in this run.
    pub moved: bool,
    /// When the next root cause will be final, and which one that is, if nothing changes.
    pub fails_at: Option<(Duration, Code)>,
}

/// What a run remembers.
#[derive(Debug)]
pub struct Tracker {
    limits: Limits,
    /// Root causes that are seen now, and since when.
    since: BTreeMap<String, Duration>,
    causes: Option<Causes>,
    /// What was reported last.
    reported: BTreeMap<(Phase, Option<ObjectRef>), (State, String)>,
    /// Every state that was ever seen: one that comes back is not progress.
    known: BTreeSet<String>,
    moved: Duration,
    unknown_since: Option<Duration>,
    ready_after: BTreeMap<Phase, Duration>,
    /// What is suspended, and since when.
    suspended: BTreeMap<ObjectRef, Duration>,
    /// What had missed its deadline before the first look; none before that.
    overdue: Option<BTreeSet<ObjectRef>>,
}

impl Tracker {
    /// A run that has just begun.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            since: BTreeMap::new(),
            causes: None,
            reported: BTreeMap::new(),
            known: BTreeSet::new(),
            moved: Duration::ZERO,
            unknown_since: None,
            ready_after: BTreeMap::new(),
            suspended: BTreeMap::new(),
            overdue: None,
        }
    }

    /// Takes in what the rules found. The time of a cause counts from when it was first seen, and starts again after it was gone. `new_since`:
    /// since when what was not seen before has been there.
    pub fn explain(&mut self, causes: Causes, new_since: Duration) {
        let seen: BTreeSet<&String> = causes.suspects.iter().map(|s| &s.finding.id).collect();
        self.since.retain(|id, _| seen.contains(id));
        for suspect in &causes.suspects {
            self.since.entry(suspect.finding.id.clone()).or_insert(new_since);
        }
        self.causes = Some(causes);
    }

    /// Forgets causes: they were those of another revision.
    pub fn forget_causes(&mut self) {
        self.since.clear();
        self.causes = None;
    }

    /// Ignores the causes until the rules run again: what they were about is ready now.
    pub fn set_causes_aside(&mut self) {
        self.causes = None;
    }

    /// What the rules found last.
    pub fn suspects(&self) -> impl Iterator<Item = &Suspect> {
        self.causes.iter().flat_map(|c| c.suspects.iter())
    }

    /// Takes in a look and decides whether the run is over.
    pub fn look(&mut self, look: Look) -> Progress {
        let Look {
            at,
            mut judged,
            application,
            no_match,
            is_hopeless,
        } = look;
        self.tolerate_suspended(at, &mut judged);
        self.tolerate_overdue(at, &mut judged);
        let moved = self.note_movement(at, &judged, application.as_ref());
        for suspect in self.causes.iter().flat_map(|c| &c.suspects) {
            for item in judged
                .iter_mut()
                .filter(|j| matches!(j.state, State::Progressing | State::Failed) && suspect.of.contains(&j.object))
            {
                item.causes.push(suspect.finding.id.clone());
            }
        }
        let mut final_causes = Vec::new();
        if let Some(causes) = &self.causes {
            // The rules' answer holds for the time of their snapshot, not for now.
            let once = self.limits.timeout.is_zero();
            let seen_for = |finding: &Finding| {
                let since = self.since.get(&finding.id).filter(|_| !once)?;
                Some(causes.at.saturating_sub(*since))
            };
            final_causes = verdict::condemn(&mut judged, &causes.suspects, &self.limits.grace, causes.now, seen_for);
        }
        self.condemn_stalled(at, &mut judged);
        let mut application = application;
        if let Some((state, _)) = application.as_mut().filter(|(state, _)| *state == State::Progressing)
            && !final_causes.is_empty()
            && judged.iter().all(|j| j.state == State::Ready)
        {
            *state = State::Failed;
        }
        let mut phases = verdict::phases(&judged, application);
        if let Some(no_match) = no_match {
            verdict::note_no_match(&mut phases, no_match);
        }
        for phase in &mut phases {
            if phase.state == State::Ready {
                self.ready_after.entry(phase.phase).or_insert(at);
            } else {
                self.ready_after.remove(&phase.phase);
            }
            phase.ready_after_seconds = self.ready_after.get(&phase.phase).map(|d| duration::rounded(d.as_secs_f64()));
        }
        let decision = self.decide(at, &phases, is_hopeless);
        Progress {
            changes: self.changes(&judged, &phases),
            decision,
            judged,
            phases,
            causes: final_causes,
            moved,
            fails_at: self.fails_at(),
        }
    }

    /// When the next cause is final if nothing changes, and its code; none where that does not depend on time.
    pub fn fails_at(&self) -> Option<(Duration, Code)> {
        let causes = self.causes.as_ref()?;
        let of = |suspect: &Suspect| {
            let since = self.since.get(&suspect.finding.id)?;
            let left = suspect.is_final_in(&self.limits.grace, causes.now, causes.at.saturating_sub(*since))?;
            Some((causes.at + left, suspect.finding.code))
        };
        causes.suspects.iter().filter_map(of).min()
    }

    /// The API server answers again: what was not seen during the outage counts neither as silent nor as stuck.
    pub fn resumed(&mut self, at: Duration) {
        self.unknown_since = None;
        self.moved = at;
    }

    /// Whether something has changed lately.
    pub fn trend(&self, at: Duration) -> Trend {
        if at.saturating_sub(self.moved) <= MOVES.min(self.limits.timeout / 2) {
            Trend::Progressing
        } else {
            Trend::Stuck
        }
    }

    /// The decision when the time is up, whatever was seen.
    pub fn time_is_up(&self, at: Duration) -> Decision {
        Decision::TimedOut(None, self.trend(at))
    }

    /// When a decision is due although nothing changes: for what is unknown, suspended or overdue.
    pub fn due(&self) -> Option<Duration> {
        let suspended = self.suspended.values().map(|since| *since + self.limits.grace.suspended);
        let overdue = self.overdue.iter().flatten().map(|_| self.limits.grace.other);
        let silence = self.unknown_since.map(|since| since + SILENCE);
        silence.into_iter().chain(suspended).chain(overdue).min()
    }

    fn decide(&mut self, at: Duration, phases: &[PhaseReadiness], is_hopeless: bool) -> Decision {
        let state = verdict::state(phases);
        if is_hopeless && state != State::Failed {
            return Decision::Done(State::Unknown);
        }
        self.unknown_since = (state == State::Unknown).then(|| self.unknown_since.unwrap_or(at));
        if self.limits.timeout.is_zero() {
            return match state {
                State::Progressing => Decision::TimedOut(None, Trend::Progressing),
                state => Decision::Done(state),
            };
        }
        match state {
            State::Ready | State::Failed => return Decision::Done(state),
            State::Unknown if self.unknown_since.is_some_and(|since| at.saturating_sub(since) >= SILENCE) => {
                return Decision::Done(State::Unknown);
            }
            _ => {}
        }
        let trend = self.trend(at);
        // What is unknown stays so when the time is up.
        let out_of_time = |phase: Option<Phase>| match state {
            State::Unknown => Decision::Done(State::Unknown),
            _ => Decision::TimedOut(phase, trend),
        };
        let mut begun = Duration::ZERO;
        for phase in phases {
            match self.ready_after.get(&phase.phase) {
                Some(ready) => begun = begun.max(*ready),
                None => {
                    if self.limits.phases.get(&phase.phase).is_some_and(|limit| at >= begun + *limit) {
                        return out_of_time(Some(phase.phase));
                    }
                    break;
                }
            }
        }
        if at >= self.limits.timeout {
            return out_of_time(None);
        }
        Decision::Wait
    }

    /// Notes whether there is a state that was never seen in this run.
    fn note_movement(&mut self, at: Duration, judged: &[ObjectReadiness], application: Option<&(State, String)>) -> bool {
        let mut now: Vec<String> = judged
            .iter()
            .map(|j| {
                // Names change with each new pod; the reasons say more.
                let reasons: BTreeSet<&str> = j.blocking.iter().map(|b| b.reason.as_str()).collect();
                format!(
                    "{} {:?} {:?} {} {:?} {reasons:?}",
                    j.object, j.phase, j.state, j.reason, j.ready_pods
                )
            })
            .collect();
        now.extend(application.map(|(state, reason)| format!("{state:?} {reason}")));
        let mut moved = false;
        for fact in now {
            moved |= self.known.insert(fact);
        }
        if moved {
            self.moved = at;
        }
        moved
    }

    /// What is suspended, paused or at zero may be resumed within its grace period, as a queue does with its Jobs.
    fn tolerate_suspended(&mut self, at: Duration, judged: &mut [ObjectReadiness]) {
        let rests = |item: &ObjectReadiness| item.suspended && item.state == State::Failed;
        self.suspended
            .retain(|object, _| judged.iter().any(|j| j.object == *object && rests(j)));
        let grace = self.limits.grace.suspended;
        for item in judged.iter_mut().filter(|j| rests(j)) {
            let since = *self.suspended.entry(item.object.clone()).or_insert(at);
            if self.limits.timeout.is_zero() {
                continue;
            }
            if at < since + grace {
                item.state = State::Progressing;
            } else if grace.is_zero() {
                item.reason.push_str("; --grace suspended=5m would wait for that");
            }
        }
    }

    /// A deadline that was missed before the run says nothing about what was mended since then. It counts after the grace period of other faults.
    fn tolerate_overdue(&mut self, at: Duration, judged: &mut [ObjectReadiness]) {
        let is_overdue = |item: &ObjectReadiness| item.overdue && item.state == State::Failed;
        let mut now: BTreeSet<ObjectRef> = judged.iter().filter(|j| is_overdue(j)).map(|j| j.object.clone()).collect();
        if let Some(before) = &self.overdue {
            now.retain(|object| before.contains(object));
        }
        let overdue = self.overdue.insert(now);
        if self.limits.timeout.is_zero() || at >= self.limits.grace.other {
            return;
        }
        for item in judged.iter_mut().filter(|j| is_overdue(j)) {
            if overdue.contains(&item.object) {
                item.state = State::Progressing;
            }
        }
    }

    /// Sets a deadline for kinds that have none.
    fn condemn_stalled(&self, at: Duration, judged: &mut [ObjectReadiness]) {
        let quiet = at.saturating_sub(self.moved);
        if quiet < self.limits.grace.stall {
            return;
        }
        let kinds = [
            kind::STATEFUL_SET,
            kind::DAEMON_SET,
            kind::REPLICA_SET,
            kind::REPLICATION_CONTROLLER,
        ];
        for item in judged
            .iter_mut()
            .filter(|j| j.state == State::Progressing && kinds.iter().any(|k| j.object.is(k)))
        {
            item.state = State::Failed;
            item.reason = format!("nothing has moved for {}: {}", crate::model::duration::short(quiet), item.reason);
        }
    }

    fn changes(&mut self, judged: &[ObjectReadiness], phases: &[PhaseReadiness]) -> Vec<Change> {
        let mut now: BTreeMap<(Phase, Option<ObjectRef>), (State, String)> = BTreeMap::new();
        for item in judged {
            let reason = match item.blocking.first().filter(|b| !item.reason.contains(&b.pod)) {
                Some(blocking) => format!("{}, pod {}: {}", item.reason, blocking.pod, blocking.reason),
                None => item.reason.clone(),
            };
            now.insert((item.phase, Some(item.object.clone())), (item.state, reason));
        }
        for phase in phases {
            // The objects of a phase say why it is not ready.
            let is_reported = judged.iter().any(|j| j.phase == phase.phase && j.state == phase.state);
            let reason = if !is_reported { phase.reason.clone() } else { String::new() };
            now.insert((phase.phase, None), (phase.state, reason));
        }
        let changes = now
            .iter()
            .filter(|(key, value)| self.reported.get(key) != Some(value))
            // A phase that has just begun is not worth a line.
            .filter(|((_, object), (state, reason))| object.is_some() || !reason.is_empty() || *state == State::Ready)
            .map(|((phase, object), (state, reason))| Change {
                phase: *phase,
                object: object.clone(),
                state: *state,
                reason: reason.clone(),
            })
            .collect();
        self.reported = now;
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn tracker(timeout: u64) -> Tracker {
        Tracker::new(Limits {
            timeout: seconds(timeout),
            phases: BTreeMap::from([(Phase::Infrastructure, seconds(30))]),
            grace: Grace::default(),
        })
    }

    fn item(kind: &kind::Kind, phase: Phase, state: State, reason: &str) -> ObjectReadiness {
        ObjectReadiness {
            object: ObjectRef::new(kind, "shop", "web"),
            phase,
            state,
            reason: reason.into(),
            related: false,
            suspended: false,
            overdue: false,
            ready_pods: None,
            wanted_pods: None,
            blocking: Vec::new(),
            causes: Vec::new(),
        }
    }

    fn at(tracker: &mut Tracker, second: u64, state: State, reason: &str) -> Progress {
        tracker.look(Look {
            at: seconds(second),
            judged: vec![item(&kind::STATEFUL_SET, Phase::Pods, state, reason)],
            application: None,
            no_match: None,
            is_hopeless: false,
        })
    }

    #[test]
    fn a_ready_or_failed_target_ends_the_run() {
        assert_eq!(at(&mut tracker(60), 1, State::Ready, "").decision, Decision::Done(State::Ready));
        assert_eq!(at(&mut tracker(60), 1, State::Failed, "").decision, Decision::Done(State::Failed));
        assert_eq!(at(&mut tracker(60), 1, State::Progressing, "").decision, Decision::Wait);
        assert_eq!(at(&mut tracker(60), 1, State::NotFound, "").decision, Decision::Wait);
    }

    #[test]
    fn one_look_decides_where_there_is_no_time() {
        assert_eq!(
            at(&mut tracker(0), 0, State::NotFound, "").decision,
            Decision::Done(State::NotFound)
        );
        assert_eq!(at(&mut tracker(0), 0, State::Unknown, "").decision, Decision::Done(State::Unknown));
        assert_eq!(
            at(&mut tracker(0), 0, State::Progressing, "").decision,
            Decision::TimedOut(None, Trend::Progressing)
        );
    }

    #[test]
    fn an_object_without_status_gets_a_moment() {
        let mut run = tracker(60);
        assert_eq!(at(&mut run, 1, State::Unknown, "").decision, Decision::Wait);
        assert_eq!(at(&mut run, 5, State::Progressing, "").decision, Decision::Wait);
        assert_eq!(at(&mut run, 8, State::Unknown, "").decision, Decision::Wait, "it starts anew");
        assert_eq!(at(&mut run, 18, State::Unknown, "").decision, Decision::Done(State::Unknown));
    }

    #[test]
    fn an_unknown_state_stays_unknown_at_the_timeout() {
        let mut run = tracker(5);
        assert_eq!(at(&mut run, 1, State::Unknown, "").decision, Decision::Wait);
        assert_eq!(run.due(), Some(seconds(11)));
        assert_eq!(at(&mut run, 5, State::Unknown, "").decision, Decision::Done(State::Unknown));
        // Something else is on its way: then it is that for which the time was too short.
        let both = |second: u64| Look {
            at: seconds(second),
            judged: vec![
                item(&kind::SERVICE, Phase::Infrastructure, State::Unknown, ""),
                item(&kind::DEPLOYMENT, Phase::Pods, State::Progressing, ""),
            ],
            application: None,
            no_match: None,
            is_hopeless: false,
        };
        let mut run = tracker(5);
        assert_eq!(run.look(both(5)).decision, Decision::TimedOut(None, Trend::Progressing));
    }

    #[test]
    fn a_suspended_workload_gets_its_requested_grace() {
        let look = |second: u64, suspended: bool| Look {
            at: seconds(second),
            judged: vec![ObjectReadiness {
                suspended,
                ..item(
                    &kind::JOB,
                    Phase::Pods,
                    if suspended { State::Failed } else { State::Progressing },
                    "rests",
                )
            }],
            application: None,
            no_match: None,
            is_hopeless: false,
        };
        let with = |suspended: u64, timeout: u64| {
            Tracker::new(Limits {
                timeout: seconds(timeout),
                phases: BTreeMap::new(),
                grace: Grace {
                    suspended: seconds(suspended),
                    ..Grace::default()
                },
            })
        };
        let at_once = with(0, 600).look(look(1, true));
        assert_eq!(at_once.decision, Decision::Done(State::Failed));
        assert!(at_once.judged[0].reason.contains("--grace suspended="), "{:?}", at_once.judged);
        let mut queued = with(30, 600);
        assert_eq!(queued.look(look(1, true)).decision, Decision::Wait);
        assert_eq!(queued.due(), Some(seconds(31)));
        assert_eq!(queued.look(look(20, false)).decision, Decision::Wait, "it was let go on");
        assert_eq!((queued.due(), queued.look(look(25, true)).decision), (None, Decision::Wait));
        assert_eq!(queued.look(look(54, true)).decision, Decision::Wait, "it counts anew");
        assert_eq!(queued.look(look(55, true)).decision, Decision::Done(State::Failed));
        assert_eq!(
            with(30, 0).look(look(0, true)).decision,
            Decision::Done(State::Failed),
            "one look has no time"
        );
    }

    #[test]
    fn a_deadline_that_was_missed_before_is_given_the_time_of_other_faults() {
        let look = |second: u64, overdue: bool| Look {
            at: seconds(second),
            judged: vec![ObjectReadiness {
                overdue,
                ..item(
                    &kind::DEPLOYMENT,
                    Phase::Pods,
                    if overdue { State::Failed } else { State::Progressing },
                    "is late",
                )
            }],
            application: None,
            no_match: None,
            is_hopeless: false,
        };
        let mut before = tracker(600);
        assert_eq!(before.look(look(0, true)).decision, Decision::Wait);
        assert_eq!(before.due(), Some(seconds(120)));
        assert_eq!(before.look(look(119, true)).decision, Decision::Wait);
        assert_eq!(before.look(look(120, true)).decision, Decision::Done(State::Failed));
        let mut meanwhile = tracker(600);
        assert_eq!(meanwhile.look(look(0, false)).decision, Decision::Wait);
        assert_eq!(
            meanwhile.look(look(1, true)).decision,
            Decision::Done(State::Failed),
            "this run has seen all of that time"
        );
        assert_eq!(tracker(0).look(look(0, true)).decision, Decision::Done(State::Failed));
    }

    #[test]
    fn impossible_checks_are_not_waited_for() {
        let look = |state: State| Look {
            at: seconds(1),
            judged: vec![item(&kind::DEPLOYMENT, Phase::Pods, state, "")],
            application: Some((State::Unknown, "no such port".into())),
            no_match: None,
            is_hopeless: true,
        };
        for (state, decision) in [
            (State::Progressing, State::Unknown),
            (State::Ready, State::Unknown),
            (State::Failed, State::Failed),
        ] {
            assert_eq!(tracker(60).look(look(state)).decision, Decision::Done(decision), "{state:?}");
            assert_eq!(tracker(0).look(look(state)).decision, Decision::Done(decision), "{state:?}");
        }
    }

    #[test]
    fn a_timeout_says_whether_something_moved() {
        let mut moving = tracker(60);
        at(&mut moving, 1, State::Progressing, "1 of 3 pods ready");
        at(&mut moving, 50, State::Progressing, "2 of 3 pods ready");
        assert_eq!(
            at(&mut moving, 60, State::Progressing, "2 of 3 pods ready").decision,
            Decision::TimedOut(None, Trend::Progressing)
        );
        let mut stuck = tracker(60);
        at(&mut stuck, 1, State::Progressing, "crashes");
        at(&mut stuck, 10, State::Progressing, "starts");
        // What has been so before is no progress.
        at(&mut stuck, 40, State::Progressing, "crashes");
        at(&mut stuck, 55, State::Progressing, "starts");
        assert_eq!(
            at(&mut stuck, 60, State::Progressing, "crashes").decision,
            Decision::TimedOut(None, Trend::Stuck)
        );
    }

    #[test]
    fn a_phase_has_its_own_time_counted_from_the_one_before() {
        let look = |second: u64, state: State| Look {
            at: seconds(second),
            judged: vec![
                item(&kind::SERVICE, Phase::Infrastructure, state, ""),
                item(&kind::DEPLOYMENT, Phase::Pods, State::Progressing, ""),
            ],
            application: None,
            no_match: None,
            is_hopeless: false,
        };
        let mut run = tracker(300);
        assert_eq!(run.look(look(29, State::Progressing)).decision, Decision::Wait);
        assert_eq!(
            run.look(look(30, State::Progressing)).decision,
            Decision::TimedOut(Some(Phase::Infrastructure), Trend::Progressing)
        );
        let mut run = tracker(300);
        assert_eq!(run.look(look(29, State::Ready)).decision, Decision::Wait);
        assert_eq!(run.look(look(100, State::Ready)).decision, Decision::Wait);
    }

    #[test]
    fn a_set_that_does_not_move_is_given_up() {
        let mut run = tracker(3600);
        assert_eq!(at(&mut run, 1, State::Progressing, "1 of 3 pods ready").decision, Decision::Wait);
        assert_eq!(at(&mut run, 600, State::Progressing, "1 of 3 pods ready").decision, Decision::Wait);
        let given_up = at(&mut run, 601, State::Progressing, "1 of 3 pods ready");
        assert_eq!(given_up.decision, Decision::Done(State::Failed));
        assert!(
            given_up.judged[0].reason.starts_with("nothing has moved for 10m"),
            "{:?}",
            given_up.judged
        );
    }

    #[test]
    fn a_selection_without_anything_in_it_is_waited_for() {
        let look = |second: u64, judged: Vec<ObjectReadiness>| Look {
            at: seconds(second),
            judged,
            application: None,
            no_match: Some(NoMatch {
                phase: Phase::Pods,
                state: State::NotFound,
                reason: "nothing matches".into(),
            }),
            is_hopeless: false,
        };
        let mut run = tracker(60);
        let step = run.look(look(1, Vec::new()));
        assert_eq!(step.decision, Decision::Wait);
        let reported: Vec<(State, &str)> = step.changes.iter().map(|c| (c.state, c.reason.as_str())).collect();
        assert_eq!(reported, [(State::NotFound, "nothing matches")]);
        assert_eq!(verdict::reason(State::NotFound, &step.phases, &[]), "nothing matches");
        assert_eq!(run.look(look(2, Vec::new())).changes, []);
        let both = run.look(look(3, vec![item(&kind::DEPLOYMENT, Phase::Pods, State::Ready, "")]));
        assert_eq!(both.decision, Decision::Wait, "that something else is ready is not enough");
        assert_eq!(run.look(look(60, Vec::new())).decision, Decision::TimedOut(None, Trend::Stuck));
        assert_eq!(tracker(0).look(look(0, Vec::new())).decision, Decision::Done(State::NotFound));
    }

    #[test]
    fn each_change_is_reported_once() {
        let mut run = tracker(60);
        let reported = |step: Progress| step.changes.iter().map(|c| (c.object.is_some(), c.state)).collect::<Vec<_>>();
        assert_eq!(reported(at(&mut run, 1, State::Progressing, "a")), [(true, State::Progressing)]);
        assert_eq!(reported(at(&mut run, 2, State::Progressing, "a")), []);
        assert_eq!(reported(at(&mut run, 3, State::Progressing, "b")), [(true, State::Progressing)]);
        assert_eq!(
            reported(at(&mut run, 4, State::Ready, "")),
            [(false, State::Ready), (true, State::Ready)]
        );
    }
}
