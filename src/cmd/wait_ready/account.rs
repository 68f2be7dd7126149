//! The reports of a run: while it waits, when it is over, and when it is ended early.

use std::time::Duration;

use crate::cluster::Connection;
use crate::cmd::wait_ready::plan::Plan;
use crate::cmd::wait_ready::progress::ProgressReporter;
use crate::cmd::wait_ready::report::{exit_of, report};
use crate::cmd::wait_ready::selection::Selection;
use crate::exit::Exit;
use crate::model::duration;
use crate::model::finding::Finding;
use crate::model::readiness::{ObjectReadiness, Phase, Readiness, State, Trend};
use crate::model::snapshot::Snapshot;
use crate::observe::wait::Waiting;
use crate::readiness::hops::Milestones;
use crate::readiness::progress::Progress;
use crate::readiness::wait::Wait;
use crate::readiness::wait::observation::Observation;
use crate::readiness::{hops, unasked};
use crate::render::readiness::Ends;
use crate::view::{Options, View};

/// What a run reports on.
pub(crate) struct Account {
    pub(crate) plan: Plan,
    pub(crate) selection: Selection,
    pub(crate) connection: Connection,
    pub(crate) marks: Milestones,
    pub(crate) reporter: ProgressReporter,
    /// Its state at the last check.
    pub(crate) last: Option<Readiness>,
}

impl Waiting for Account {
    fn look(&mut self, view: &View<'_>) -> Observation {
        self.plan.gate.targets = self.selection.targets(view);
        Observation::new(view, &self.plan.gate, &self.plan.checks, self.selection.no_match(view))
    }

    fn note(&mut self, view: &View<'_>, judged: &[ObjectReadiness]) {
        self.marks.note(view, judged);
    }

    fn report(&mut self, mut progress: Progress, wait: &Wait, snapshot: &Snapshot, now: Duration) {
        for change in &mut progress.changes {
            change.reason = self.plan.sent.mask(&change.reason);
        }
        let report = self.readiness(&progress, wait, snapshot, now);
        let clock = |time: Duration| snapshot.taken_at.checked_add(time.saturating_sub(now)).unwrap_or(snapshot.taken_at);
        let fails = progress
            .fails_at
            .filter(|(time, _)| *time <= self.plan.limits.timeout && !wait.is_one_look());
        let ends = match fails {
            Some((time, code)) => Ends::Fails(clock(time), code),
            None => Ends::GivesUp(clock(self.plan.limits.timeout)),
        };
        self.reporter.report(&progress.changes, &report, ends, now, snapshot.taken_at);
        self.last = Some(report);
    }

    fn is_output_closed(&self) -> bool {
        self.reporter.is_closed()
    }
}

impl Account {
    /// How it stands.
    fn readiness(&self, progress: &Progress, wait: &Wait, snapshot: &Snapshot, now: Duration) -> Readiness {
        let mut causes: Vec<Finding> = progress.causes.clone();
        let others = wait.suspects().map(|s| &s.finding);
        causes.extend(others.filter(|f| !progress.causes.iter().any(|c| c.id == f.id)).cloned());
        let mut report = report(
            self.targets(),
            progress.phases.clone(),
            progress.judged.clone(),
            &progress.causes,
            snapshot,
        );
        report.root_causes = causes;
        report.proven_by = (report.state == State::Ready)
            .then(|| wait.answers().proven_by().to_owned())
            .filter(|path| !path.is_empty());
        report.application = wait.answers().reported();
        if report.state == State::Ready && report.proven_by.is_none() {
            let view = View::new(snapshot, Options::default());
            report.reason = unasked::why(&view, &report.objects).unwrap_or_default().to_owned();
        }
        report.requests = self.connection.request_count();
        report.elapsed_seconds = duration::rounded(now.as_secs_f64());
        if let Some(outage) = wait.api().outage() {
            report.reason = format!("{outage}; last seen: {}", report.reason);
        }
        self.plan.sent.mask_report(&mut report);
        report
    }

    fn targets(&self) -> Vec<String> {
        let targets = self.selection.in_words();
        if targets.is_empty() {
            self.plan.gate.targets.iter().map(ToString::to_string).collect()
        } else {
            targets
        }
    }

    /// The report of a run that ended with this state: what can never be checked is unknown, whatever else is still progressing.
    pub(crate) fn decided(&self, wait: &Wait, snapshot: &Snapshot, state: State) -> Readiness {
        let mut report = self.last(wait, snapshot);
        if state == State::Failed {
            return self.with_cause(report, wait, snapshot);
        }
        if report.state != state {
            let telling = report.phases.iter().rev().find(|phase| phase.state == state);
            report.reason = telling.map(|phase| phase.reason.clone()).unwrap_or_default();
            report.state = state;
            report.exit_code = exit_of(state).code();
        }
        report
    }

    /// The report of a run whose time is up.
    pub(crate) fn timed_out(&self, wait: &Wait, snapshot: &Snapshot, phase: Option<Phase>, trend: Trend) -> Readiness {
        let mut report = self.last(wait, snapshot);
        report.exit_code = Exit::TimedOut.code();
        report.trend = (!wait.is_one_look()).then_some(trend);
        if let Some(phase) = phase {
            report.reason = format!("phase {} has timed out: {}", phase.as_str(), report.reason);
        }
        self.with_cause(report, wait, snapshot)
    }

    /// The report of a run that was ended early.
    pub(crate) fn stopped(&self, wait: &Wait, snapshot: &Snapshot, now: Duration, exit: Exit) -> Readiness {
        let mut report = self.last(wait, snapshot);
        report.exit_code = exit.code();
        report.trend = Some(wait.trend(now));
        report.elapsed_seconds = duration::rounded(now.as_secs_f64());
        self.with_cause(report, wait, snapshot)
    }

    /// The report of the last look, with the time that each step of the slowest pod took.
    fn last(&self, wait: &Wait, snapshot: &Snapshot) -> Readiness {
        let mut report = self.last.clone().unwrap_or_else(|| {
            let mut report = report(self.targets(), Vec::new(), Vec::new(), &[], snapshot);
            report.state = State::Progressing;
            report.reason = "not all objects had been read yet".to_owned();
            report.requests = self.connection.request_count();
            report
        });
        let view = View::new(snapshot, Options::default());
        let answered = wait.answers().answered();
        let answered = answered.and_then(|after| self.marks.begun().checked_add(after).ok());
        report.hops = hops::of(&view, &report.objects, &self.marks, answered);
        report
    }

    /// The report with its first root cause in the last line, whether or not that is what ended the run.
    fn with_cause(&self, mut report: Readiness, wait: &Wait, snapshot: &Snapshot) -> Readiness {
        if let Some(application) = &report.application {
            let answered = application.attempts - application.failures;
            let of = match answered {
                0 => String::new(),
                _ => format!(", {answered} of {} times with success", application.attempts),
            };
            report.reason = format!("{} (asked by {}{of})", report.reason, wait.answers().proven_by());
        }
        if let Some(flapped) = self.marks.flaps().in_words(snapshot.taken_at) {
            report.reason = format!("{}; {flapped}", report.reason);
        }
        if let Some(cause) = report.root_causes.first().filter(|f| !report.reason.contains(f.code.as_str())) {
            report.reason = format!("{}; {}: {}", report.reason, cause.code, cause.summary);
        }
        report
    }
}
