//! The phases of a drill in seconds, and a bar of them.

use crate::model::drill::{DrillReport, PodLife};
use crate::model::duration::rounded;

/// A stretch of time of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the first change.
    Before,
    /// From the first change until the fault was undone or, where it heals by itself, seen.
    Fault,
    /// Until the recovery.
    Recovery,
    /// After it.
    Recovered,
}

impl Phase {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Fault => "fault",
            Self::Recovery => "recovery",
            Self::Recovered => "recovered",
        }
    }

    const fn mark(self) -> char {
        match self {
            Self::Before => '.',
            Self::Fault => '#',
            Self::Recovery => '-',
            Self::Recovered => '=',
        }
    }
}

/// Marks an outage in the bar.
const OUTAGE: char = 'X';

/// A drill on a line: seconds since the first change.
pub(crate) struct Timeline {
    /// Without gaps; the first begins and the last ends the line.
    pub(crate) phases: Vec<(Phase, f64, f64)>,
    /// Times in which some client had no answer, without overlaps.
    pub(crate) outages: Vec<(f64, f64)>,
}

impl Timeline {
    /// Where the line begins: at the first thing that was seen.
    pub(crate) fn from(&self) -> f64 {
        self.phases.first().map_or(0.0, |(_, from, _)| *from)
    }

    /// Where it ends.
    pub(crate) fn to(&self) -> f64 {
        self.phases.last().map_or(0.0, |(.., to)| *to)
    }

    /// A place on the line, from 0 to 1.
    pub(crate) fn place(&self, seconds: f64) -> f64 {
        let length = self.to() - self.from();
        if length > 0.0 {
            ((seconds - self.from()) / length).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

/// The phases of a drill.
pub(crate) fn of(report: &DrillReport) -> Timeline {
    let states = || {
        report
            .pods
            .iter()
            .flat_map(|life: &PodLife| life.states.iter().map(|at| at.at_seconds))
    };
    let samples = || report.measured.iter().flat_map(|seen| &seen.samples);
    let mut seen: Vec<(f64, f64)> = report
        .measured
        .iter()
        .flat_map(|seen| seen.outages.iter().map(|outage| (outage.from_seconds, outage.to_seconds)))
        .collect();
    seen.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Clients of one target see nearly the same outage.
    let mut outages: Vec<(f64, f64)> = Vec::new();
    for (from, to) in seen {
        match outages.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => outages.push((from, to)),
        }
    }
    let starts = states().chain(samples().map(|sample| sample.started_seconds));
    let ends = samples().map(|sample| sample.started_seconds + sample.took_milliseconds / 1000.0);
    let from = starts.fold(0.0, f64::min);
    let events = report.events.iter().map(|event| event.at_seconds);
    let to = states()
        .chain(ends)
        .chain(outages.iter().map(|outage| outage.1))
        .chain(events)
        .chain(report.recovery_seconds)
        .fold(0.0, f64::max);
    let when = |what: &str| report.events.iter().find(|event| event.what == what).map(|event| event.at_seconds);
    let faulty_until = when("undone").or_else(|| when("proven")).unwrap_or(to);
    let recovered = report.recovery_seconds.unwrap_or(to);
    let ends = [
        (Phase::Before, 0.0),
        (Phase::Fault, faulty_until),
        (Phase::Recovery, recovered),
        (Phase::Recovered, to),
    ];
    let mut at = from;
    let mut phases = Vec::new();
    for (phase, end) in ends {
        if end > at {
            phases.push((phase, at, end));
            at = end;
        }
    }
    Timeline { phases, outages }
}

/// A bar of at most so many columns, and what its marks are; none where nothing has lasted.
pub(crate) fn bar(report: &DrillReport, columns: usize) -> Option<(String, String)> {
    let line = of(report);
    if line.to() <= line.from() {
        return None;
    }
    let step = (line.to() - line.from()) / columns as f64;
    let mark = |column: usize| {
        let (from, to) = (line.from() + step * column as f64, line.from() + step * (column + 1) as f64);
        // What is shorter than a column is seen too.
        let is_out = line.outages.iter().any(|outage| outage.0 < to && outage.1 > from);
        let phase = line.phases.iter().find(|(_, _, end)| (from + to) / 2.0 <= *end);
        let mark = phase.map_or(Phase::Recovered.mark(), |(phase, ..)| phase.mark());
        if is_out { OUTAGE } else { mark }
    };
    let mut words: Vec<String> = line
        .phases
        .iter()
        .map(|(phase, from, to)| format!("{} {} {} s", phase.mark(), phase.as_str(), rounded(to - from)))
        .collect();
    words.extend(
        line.outages
            .iter()
            .map(|(from, to)| format!("{OUTAGE} outage {} s, from {from} to {to} s", rounded(to - from))),
    );
    Some(((0..columns).map(mark).collect(), words.join("   ")))
}
