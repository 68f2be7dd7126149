//! What a run reports: as it goes on, when its time is up, and when it is told to end.

use std::time::Duration;

use super::live::Run;
use super::{exit_of, report};
use crate::cmd::exit::Exit;
use crate::gate::progress::Step;
use crate::gate::{hops, unasked};
use crate::model::duration;
use crate::model::finding::Finding;
use crate::model::readiness::{Phase, Readiness, State, Trend};
use crate::rules::Options;
use crate::rules::context::Context;

/// The report with the state that was decided on: what can never be tried is unknown, whatever else is still on its way.
pub(super) fn decided(mut report: Readiness, state: State) -> Readiness {
    if report.state != state {
        let telling = report.phases.iter().rev().find(|phase| phase.state == state);
        report.reason = telling.map(|phase| phase.reason.clone()).unwrap_or_default();
        report.state = state;
        report.exit_code = exit_of(state) as u8;
    }
    report
}

impl Run<'_> {
    /// How it stands.
    pub(super) fn report(&self, step: &Step, at: Duration) -> Readiness {
        let mut causes: Vec<Finding> = step.causes.clone();
        let others = self.tracker.suspects().map(|s| &s.finding);
        causes.extend(others.filter(|f| !step.causes.iter().any(|c| c.id == f.id)).cloned());
        let mut report = report(
            self.targets(),
            step.phases.clone(),
            step.judged.clone(),
            &step.causes,
            &self.store.snapshot,
        );
        report.root_causes = causes;
        report.proven_by = (report.state == State::Ready)
            .then(|| self.asking.proven_by().to_owned())
            .filter(|way| !way.is_empty());
        report.application = self.asking.told();
        if report.state == State::Ready && report.proven_by.is_none() {
            let context = Context::new(&self.store.snapshot, Options::default());
            report.reason = unasked::why(&context, &report.objects).unwrap_or_default().to_owned();
        }
        report.requests = self.connection.request_count();
        report.elapsed_seconds = duration::rounded(at.as_secs_f64());
        if let Some(cut) = self.contact.says() {
            report.reason = format!("{cut}; last seen: {}", report.reason);
        }
        self.asker.sent.mask_report(&mut report);
        report
    }

    /// The report with where the time of the slowest pod went.
    pub(super) fn with_hops(&self, mut report: Readiness) -> Readiness {
        let context = Context::new(&self.store.snapshot, Options::default());
        let answered = self.asking.answered().and_then(|after| self.marks.begun().checked_add(after).ok());
        report.hops = hops::of(&context, &report.objects, &self.marks, answered);
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

    /// The report with its first root cause in the last line, whether or not that is what ended the run.
    pub(super) fn with_cause(&self, mut report: Readiness) -> Readiness {
        if let Some(application) = &report.application {
            let answered = application.attempts - application.failures;
            let of = match answered {
                0 => String::new(),
                _ => format!(", {answered} of {} times with success", application.attempts),
            };
            report.reason = format!("{} (asked by {}{of})", report.reason, self.asking.proven_by());
        }
        if let Some(flapped) = self.marks.flaps().in_words(self.store.snapshot.taken_at) {
            report.reason = format!("{}; {flapped}", report.reason);
        }
        if let Some(cause) = report.root_causes.first().filter(|f| !report.reason.contains(f.code.as_str())) {
            report.reason = format!("{}; {}: {}", report.reason, cause.code, cause.summary);
        }
        report
    }

    /// A row of answers that is not broken is progress, although nothing else moves.
    fn answers_or(&self, trend: Trend) -> Trend {
        match self.asking.answered() {
            Some(_) => Trend::Progressing,
            None => trend,
        }
    }

    /// The report of a run whose time is up.
    pub(super) fn timed_out(&self, mut report: Readiness, phase: Option<Phase>, trend: Trend) -> Readiness {
        report.exit_code = Exit::TimedOut as u8;
        report.trend = (!self.plan.timeout.is_zero()).then_some(self.answers_or(trend));
        if let Some(phase) = phase {
            report.reason = format!("the time of phase {} is up: {}", phase.as_str(), report.reason);
        }
        self.with_cause(report)
    }

    /// The report of a run that was told to end: how it stood at the last look.
    pub(super) fn stopped(&self, at: Duration, exit: Exit) -> Readiness {
        let mut report = self.last.clone().unwrap_or_else(|| {
            let mut report = report(self.targets(), Vec::new(), Vec::new(), &[], &self.store.snapshot);
            report.state = State::Progressing;
            report.reason = "not everything had been read yet".to_owned();
            report.requests = self.connection.request_count();
            report
        });
        report.exit_code = exit as u8;
        report.trend = Some(self.answers_or(self.tracker.trend(at)));
        report.elapsed_seconds = duration::rounded(at.as_secs_f64());
        self.with_cause(self.with_hops(report))
    }
}
