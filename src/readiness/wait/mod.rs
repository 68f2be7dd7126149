//! The waiting loop as a state machine: [`Wait::step`] takes an event and returns actions. Times are counted from the start of the run; the
//! wall clock comes with the objects. Its driver watches the objects, performs the actions, and passes the results back.

pub(crate) mod answers;
pub(crate) mod api_health;
mod dials;
pub(crate) mod observation;
pub(crate) mod rereads;
pub(crate) mod rule_checks;
mod stability;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::finding::ObjectRef;
use crate::model::readiness::{ObjectReadiness, Phase, State, Trend};
use crate::readiness::check::Check;
use crate::readiness::failfast::Suspect;
use crate::readiness::fault::Fault;
use crate::readiness::progress::{Decision, Limits, Look, Progress, Tracker};
use crate::readiness::steady::Steady;
use crate::readiness::streak::Identity;
use crate::readiness::untried::Untried;
use crate::readiness::wait::answers::{Answers, FOLLOWS};
use crate::readiness::wait::api_health::{ApiHealth, Trouble};
use crate::readiness::wait::observation::Observation;
use crate::readiness::wait::rereads::{Reread, Rereads};
use crate::readiness::wait::rule_checks::{Explanation, PAUSE, RuleCheck, RuleChecks};
use crate::readiness::wait::stability::StabilityTimer;

/// The longest time between two looks: it bounds how late a deadline is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// What a run waits for.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How patient it is. A timeout of zero is one look.
    pub limits: Limits,
    /// How many answers in a row are needed.
    pub successes: u32,
    /// How long everything has to stay ready, and to answer.
    pub stable_for: Duration,
    /// How often progress is reported although nothing changes.
    pub report_every: Duration,
}

/// What happens to a run.
#[derive(Debug)]
pub enum Event {
    /// Not all objects have been listed yet.
    Listing,
    /// A look at the objects, because something has changed or it is time.
    Looked(Box<Observation>),
    /// A round of checks has ended.
    Answered(u32, Result<(), Fault>),
    /// The rules have answered.
    Explained(u32, Explanation),
    /// A read has ended; its objects are part of the next look.
    Reread(u32, Result<(), Trouble>),
    /// The user, or the system, ends the run.
    Interrupted,
    /// Nobody reads the output any more.
    OutputClosed,
}

/// What a run does next.
#[derive(Debug)]
pub enum Action {
    /// Watch these objects too.
    Watch(BTreeSet<ObjectRef>),
    /// Begin a round of checks. The second number is how many rounds have ended so far.
    Ask(u32, u32, Vec<Check>),
    /// Run the rules of `diagnose`.
    Explain(u32, RuleCheck),
    /// Read objects beside the watches.
    Reread(u32, Reread),
    /// Report how it stands.
    Report(Box<Progress>),
    /// Look again at this time, or when something changes. Without this action, only the end of what is under way counts.
    SleepUntil(Duration),
    /// The run is over.
    Finish(End),
}

/// Why a run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The state of the objects.
    Decided(State),
    /// The timeout of the run, or of a phase, has passed.
    TimedOut(Option<Phase>, Trend),
    /// The timeout has passed before all objects were listed.
    NotListed,
    /// It was ended from outside.
    Interrupted,
    /// Nobody reads its output.
    OutputClosed,
}

/// Something that a run waits for; the outcome of anything else is not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pending {
    /// A round of checks.
    Answer(u32),
    /// A read beside the watches.
    Reread(u32),
    /// An answer of the rules.
    Explanation(u32),
}

/// The state of a run.
#[derive(Debug)]
pub struct Wait {
    terms: Terms,
    tracker: Tracker,
    answers: Answers,
    rules: RuleChecks,
    rereads: Rereads,
    api: ApiHealth,
    stability: StabilityTimer,
    /// How long everything stayed ready.
    ready: Steady,
    /// How long everything stayed ready and answered.
    answering: Steady,
    /// How long the present streak of answers has to last.
    span: Duration,
    /// Since when everything is ready.
    ready_since: Option<Duration>,
    /// Whether the rules have been asked since everything is ready what the answers do not show.
    is_vetted: bool,
}

impl Wait {
    /// A run that has just begun.
    pub fn new(terms: Terms) -> Self {
        Self {
            tracker: Tracker::new(terms.limits.clone()),
            answers: Answers::default(),
            rules: RuleChecks::new(terms.limits.timeout),
            rereads: Rereads::default(),
            api: ApiHealth::default(),
            stability: StabilityTimer::default(),
            ready: Steady::default(),
            answering: Steady::default(),
            span: Duration::ZERO,
            ready_since: None,
            is_vetted: false,
            terms,
        }
    }

    /// Takes in an event and says what to do. A look at the objects has to follow each event but the last.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Looked(seen) => return self.look(*seen, now),
            Event::Listing => {
                let is_over = !self.is_one_look() && now >= self.terms.limits.timeout;
                let next = if is_over { Action::Finish(End::NotListed) } else { self.sleep(now) };
                return vec![next];
            }
            Event::Interrupted => return vec![Action::Finish(End::Interrupted)],
            Event::OutputClosed => return vec![Action::Finish(End::OutputClosed)],
            Event::Answered(id, outcome) => {
                if self.answers.take(id, outcome, now) {
                    // It answers now: the causes that were found are not why.
                    self.tracker.forget_causes();
                    self.is_vetted = false;
                    self.rules.cancel();
                    self.rules.forget_dials();
                }
                if self.answers.is_at_fault() {
                    self.rereads.forget_confirmation();
                }
            }
            Event::Reread(id, outcome) => self.rereads.take(id, outcome, now),
            Event::Explained(id, _) if !self.rules.awaits(id) => {}
            Event::Explained(_, explanation) => {
                if let Some(mut causes) = self.rules.take(explanation, now) {
                    self.is_vetted = self.ready_since.is_some_and(|since| since <= causes.at);
                    let mut since = causes.at;
                    if self.is_vetted {
                        match self.answers.same_fault_since() {
                            // What the rules explain is older than their look.
                            Some(fault) => since = fault.max(since.saturating_sub(PAUSE.0)).min(since),
                            None => {
                                let path = self.answers.proven_by();
                                causes.suspects.retain(|suspect| suspect.is_hidden_from(path));
                            }
                        }
                    }
                    self.tracker.explain(causes, since);
                    if self.ready_since.is_some() && !self.is_vetted {
                        // It has become ready meanwhile. What is still found later has been there since.
                        self.tracker.set_causes_aside();
                        self.rules.soon(now);
                    }
                }
                if let Some((time, _)) = self.tracker.fails_at() {
                    self.rules.before_final(time, now);
                }
            }
        }
        Vec::new()
    }

    /// Whether an outcome is still needed.
    pub fn awaits(&self, pending: Pending) -> bool {
        match pending {
            Pending::Answer(id) => self.answers.awaits(id),
            Pending::Reread(id) => self.rereads.awaits(id),
            Pending::Explanation(id) => self.rules.awaits(id),
        }
    }

    /// What is known of the application's answers.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What is known of the connection to the API server.
    pub fn api(&self) -> &ApiHealth {
        &self.api
    }

    /// Root causes that the rules named last, whether they are final or not.
    pub fn suspects(&self) -> impl Iterator<Item = &Suspect> {
        self.tracker.suspects()
    }

    /// Whether something has changed lately. A streak of answers is progress, although nothing else changes.
    pub fn trend(&self, now: Duration) -> Trend {
        self.answering_or(self.tracker.trend(now))
    }

    /// Whether it looks once and does not wait.
    pub fn is_one_look(&self) -> bool {
        self.terms.limits.timeout.is_zero()
    }

    fn answering_or(&self, trend: Trend) -> Trend {
        if self.answers.is_answering() { Trend::Progressing } else { trend }
    }

    fn sleep(&self, now: Duration) -> Action {
        let due = [
            self.rules.due(),
            self.rereads.due(),
            self.answers.due(self.span),
            self.api.due(),
            self.stability.due(),
            self.tracker.due(),
            Some(self.terms.limits.timeout),
            Some(now + self.terms.report_every),
        ];
        // What was due by now has just been done.
        let next = due.into_iter().flatten().filter(|time| *time > now).min();
        let latest = now + LONGEST_SLEEP;
        Action::SleepUntil(next.map_or(latest, |next| next.min(latest)))
    }

    fn look(&mut self, mut seen: Observation, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if !seen.unwatched.is_empty() {
            return vec![Action::Watch(seen.unwatched), self.sleep(now)];
        }
        let is_ready = seen.is_ready();
        let was_lost = self.api.is_lost();
        let lost_nodes = if was_lost {
            BTreeSet::new()
        } else {
            std::mem::take(&mut seen.lost_nodes)
        };
        let reread = self.rereads.look(std::mem::take(&mut seen.unread), lost_nodes, now);
        actions.extend(reread.map(|(id, reread)| Action::Reread(id, reread)));
        if self.is_one_look() && self.rereads.reads_new_objects() {
            return actions;
        }
        if self.rules.note_generations(std::mem::take(&mut seen.generations), now) {
            self.tracker.forget_causes();
        }
        if is_ready && self.ready_since.is_none() {
            // Whatever kept it from being ready is gone.
            self.tracker.set_causes_aside();
            self.is_vetted = false;
        }
        self.ready_since = is_ready.then(|| self.ready_since.unwrap_or(now));
        self.stability.look(is_ready);
        let is_hopeless = seen.checks.as_ref().is_err_and(|untried| untried.is_final);
        let checks = std::mem::replace(&mut seen.checks, Ok(Vec::new()));
        let mut application = self.application(checks, &seen, now, &mut actions);
        if self.is_one_look() && self.answers.is_asking() {
            return actions;
        }
        let restless = seen.restless.take().filter(|_| is_ready && !self.terms.stable_for.is_zero());
        if let (Some(restless), None | Some((State::Ready, _))) = (restless, &application) {
            application = Some(self.stability.settles(now, restless));
        }
        if let Some((State::Ready, answered)) = &application
            && let Some(suspect) = self.hidden()
        {
            application = Some(suspect.in_doubt(answered));
        }
        if self.is_one_look() && !is_ready && !seen.judged.is_empty() && !self.rules.have_answered() {
            if !self.rules.is_under_way() {
                actions.push(self.explain(seen.targets, &seen.judged, now));
            }
            return actions;
        }
        let mut progress = self.tracker.look(Look {
            at: now,
            judged: seen.judged,
            application,
            no_match: seen.no_match,
            is_hopeless: is_hopeless || self.answers.is_hopeless(),
        });
        if progress.moved {
            self.rules.soon(now);
        }
        let trouble = seen.trouble.or_else(|| self.rereads.trouble().cloned());
        progress.changes.extend(self.api.note(trouble, now, seen.clock));
        if was_lost && !self.api.is_lost() {
            self.tracker.resumed(now);
        }
        let decision = self.decide(&progress, seen.nodes, &seen.targets, now, &mut actions);
        let asks = decision == Decision::Wait
            && self.rules.is_due(now)
            && !progress.judged.is_empty()
            && (!is_ready || self.answers.is_unanswered(now) || self.is_to_vet() || self.hidden().is_some())
            && !self.api.is_lost();
        if asks {
            actions.push(self.explain(seen.targets, &progress.judged, now));
        }
        actions.push(Action::Report(Box::new(progress)));
        actions.push(match decision {
            Decision::Wait => self.sleep(now),
            Decision::Done(state) => Action::Finish(End::Decided(state)),
            Decision::TimedOut(phase, trend) => Action::Finish(End::TimedOut(phase, self.answering_or(trend))),
        });
        actions
    }

    /// What a look leads to, once it is known whether the objects are up to date and why they are not ready.
    fn decide(
        &mut self,
        progress: &Progress,
        nodes: BTreeSet<String>,
        targets: &[ObjectRef],
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Decision {
        let is_late = now >= self.terms.limits.timeout;
        let is_over = is_late && !self.is_one_look();
        let decision = match progress.decision.clone() {
            // While the API server is silent, nothing is decided but that the time is up.
            Decision::Done(_) if self.api.is_lost() && is_late => self.tracker.time_is_up(now),
            Decision::Done(_) if self.api.is_lost() => Decision::Wait,
            decision => decision,
        };
        if decision != Decision::Done(State::Ready) {
            self.rereads.forget_confirmation();
        }
        let needs_cause = match decision {
            Decision::Wait => return decision,
            Decision::Done(State::Ready) if self.is_to_vet() => {
                if !self.rules.is_under_way() {
                    actions.push(self.explain(targets.to_vec(), &progress.judged, now));
                }
                return if is_over { self.tracker.time_is_up(now) } else { Decision::Wait };
            }
            Decision::Done(State::Ready) if self.rereads.is_confirmed() => return decision,
            Decision::Done(State::Ready) => {
                let objects = progress.judged.iter().map(|j| j.object.clone()).collect();
                let reread = self.rereads.confirm(objects, nodes);
                actions.extend(reread.map(|(id, reread)| Action::Reread(id, reread)));
                return if is_over || (is_late && !self.rereads.is_confirming()) {
                    self.tracker.time_is_up(now)
                } else {
                    Decision::Wait
                };
            }
            Decision::Done(State::Failed) | Decision::TimedOut(..) => {
                let is_known = !progress.causes.is_empty() || progress.judged.is_empty() || self.rules.are_fresh(now);
                !is_known && !self.api.is_lost() && !self.is_one_look()
            }
            Decision::Done(_) => false,
        };
        // Before the end the rules run once more, for a limited time.
        if needs_cause && !is_over {
            if self.rules.hold_up(now) {
                actions.push(self.explain(targets.to_vec(), &progress.judged, now));
            }
            if self.rules.holds_up(now) {
                return Decision::Wait;
            }
        }
        decision
    }

    /// The application phase: begins the next round of checks where it is due, and says how it stands. None where nothing is checked.
    fn application(
        &mut self,
        checks: Result<Vec<Check>, Untried>,
        seen: &Observation,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Option<(State, String)> {
        let is_ready = seen.is_ready();
        self.note_stretches(is_ready, seen, now);
        if !is_ready {
            self.answers.stop();
            return checks.err().map(|untried| (State::Unknown, untried.why));
        }
        let once = self.is_one_look();
        let span = self.ready.wanted(self.terms.stable_for, &seen.pods);
        let span = self.answering.wanted(span, &seen.pods);
        self.span = span;
        let checks = match checks {
            Ok(checks) => checks,
            Err(untried) => {
                self.answers.stop();
                return Some((State::Unknown, untried.why));
            }
        };
        let has_checks = !checks.is_empty();
        self.answers.set_checks(checks, if once { now } else { now + FOLLOWS });
        if !has_checks {
            return if once {
                None
            } else {
                self.stability.stayed_ready(now, seen.pods.clone(), span)
            };
        }
        let wanted = self.terms.successes;
        if once {
            // One look makes as many rounds as are needed, one after the other, but does not wait to see the answers last.
            let is_done = self.answers.holds(wanted, Duration::ZERO, &seen.pods) || self.answers.is_at_fault();
            if !is_done && !self.answers.is_asking() {
                actions.push(self.ask(&seen.pods, now));
            }
            return Some(self.answers.state(wanted, Duration::ZERO, &seen.pods));
        }
        let mut state = self.answers.state(wanted, span, &seen.pods);
        if span > self.terms.stable_for && state.0 == State::Progressing && self.answers.is_answering() {
            state.1.push_str("; it failed before, so it has to last longer now");
        }
        if state.0 != State::Ready && self.answers.due(span).is_some_and(|due| now >= due) {
            actions.push(self.ask(&seen.pods, now));
        }
        Some(state)
    }

    /// Notes for how long everything is ready, and answers.
    fn note_stretches(&mut self, is_ready: bool, seen: &Observation, now: Duration) {
        if self.api.is_lost() {
            // What happens meanwhile is unknown.
            self.ready = Steady::default();
            self.answering = Steady::default();
        } else if !(is_ready && self.answers.is_pending()) {
            let answers = self.answers.checks().is_empty() || self.answers.is_answering();
            self.ready.note(now, is_ready, seen.ready_for, &seen.pods);
            // The first answers after a rollout may fail on the network path, however long the pods have been ready.
            self.answering.note(now, is_ready && answers, Duration::ZERO, &seen.pods);
        }
    }

    /// Whether the rules have to say what the answers do not show: by these paths, what keeps clients away does not keep the checks away.
    fn is_to_vet(&self) -> bool {
        let is_weak = matches!(self.answers.proven_by(), "service-proxy" | "port-forward");
        is_weak && self.answers.is_answering() && !self.is_vetted
    }

    /// What keeps clients away although the application answers.
    fn hidden(&self) -> Option<&Suspect> {
        let path = self.answers.proven_by();
        self.tracker
            .suspects()
            .find(|suspect| self.answers.is_answering() && suspect.is_hidden_from(path))
    }

    fn explain(&mut self, targets: Vec<ObjectRef>, judged: &[ObjectReadiness], now: Duration) -> Action {
        let (id, check) = self.rules.begin(targets, judged, &self.answers, now);
        Action::Explain(id, check)
    }

    fn ask(&mut self, pods: &Identity, now: Duration) -> Action {
        let id = self.answers.begin(now, pods.clone());
        Action::Ask(id, self.answers.attempts(), self.answers.checks().to_vec())
    }
}
