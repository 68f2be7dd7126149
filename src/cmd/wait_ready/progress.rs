//! Reports of progress: a tree on a terminal, a line per change in a log, a document per change for programs.

use std::time::Duration;

use jiff::Timestamp;

use crate::cmd::wait_ready::plan::OutputPlan;
use crate::cmd::wait_ready::values::Output;
use crate::io::{Io, Stream};
use crate::model::duration;
use crate::model::readiness::{Readiness, ReadinessEvent};
use crate::model::report::API_VERSION;
use crate::readiness::progress::Change;
use crate::render::readiness::Ends;
use crate::render::text_writer::TextWriter;
use crate::render::{readiness, text_writer};

/// A line is written at least this often, so that a log does not look dead.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

pub(crate) struct ProgressReporter {
    stdout: Stream,
    stderr: Stream,
    colour: bool,
    documents: bool,
    /// Whether lines on the terminal can be overwritten.
    redraws: bool,
    timeout: Duration,
    /// How the run was last said to end.
    ends: Option<Ends>,
    /// The width of each line of the tree that is on the terminal now.
    drawn: Vec<usize>,
    last_line: Duration,
}

impl ProgressReporter {
    pub(crate) fn new(plan: &OutputPlan, timeout: Duration, io: &Io) -> Self {
        Self {
            stdout: io.stdout.clone(),
            stderr: io.stderr.clone(),
            colour: plan.color.is_on(&io.stderr, &io.environment),
            documents: plan.output == Output::NdJson,
            redraws: io.stderr.is_terminal() && io.environment.get("TERM") != Some("dumb"),
            timeout,
            ends: None,
            drawn: Vec::new(),
            last_line: Duration::ZERO,
        }
    }

    /// How often to report although nothing has changed.
    pub(crate) fn period(&self) -> Duration {
        if self.redraws { Duration::from_secs(1) } else { HEARTBEAT }
    }

    /// Reports what has changed, when the run ends if nothing changes, and on a terminal how it stands.
    pub(crate) fn report(&mut self, changes: &[Change], report: &Readiness, ends: Ends, at: Duration, now: Timestamp) {
        let clock = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for change in changes {
            let event = ReadinessEvent {
                api_version: API_VERSION.to_owned(),
                kind: "ReadinessEvent".to_owned(),
                at: clock.clone(),
                elapsed_seconds: duration::rounded(at.as_secs_f64()),
                phase: change.phase,
                object: change.object.clone(),
                state: change.state,
                reason: change.reason.clone(),
            };
            if self.documents {
                self.stdout.line(&serde_json::to_string(&event).unwrap_or_default());
            }
            if !self.redraws {
                self.stderr.line(&readiness::change(&event, report));
                self.last_line = at;
            }
        }
        let is_new = self.ends.is_none_or(|before| !before.is_same(ends));
        if !self.redraws && is_new && !self.timeout.is_zero() {
            self.ends = Some(ends);
            self.stderr.line(&readiness::ends(report, ends, &clock));
        }
        if self.redraws {
            self.draw(report, ends);
        } else if at.saturating_sub(self.last_line) >= HEARTBEAT {
            self.stderr.line(&readiness::heartbeat(report, ends, &clock));
            self.last_line = at;
        }
    }

    fn draw(&mut self, report: &Readiness, ends: Ends) {
        let columns = self.stderr.columns();
        let written = |write: &dyn Fn(&mut TextWriter)| {
            let mut writer = TextWriter::new(self.colour, columns);
            write(&mut writer);
            writer.into_text()
        };
        let tree = written(&|writer| readiness::tree(report, writer));
        let waits = written(&|writer| readiness::waits(report, self.timeout, ends, writer));
        let height = |line: &str| rows(seen(line), columns);
        let mut lines: Vec<&str> = tree.lines().collect();
        // Lines that have scrolled off cannot be overwritten; the last lines say most.
        let room = self.stderr.rows().unwrap_or(usize::MAX).saturating_sub(1);
        let room = room.saturating_sub(waits.lines().map(height).sum());
        while lines.iter().map(|line| height(line)).sum::<usize>() > room {
            lines.pop();
        }
        lines.extend(waits.lines());
        let before = self.rows_drawn();
        let now: usize = lines.iter().map(|line| height(line)).sum();
        self.drawn = lines.iter().map(|line| seen(line)).collect();
        // Line by line: clearing the screen at once flickers, and some terminals keep what is cleared that way in their history.
        let lines: String = lines.iter().map(|line| format!("{line}\u{1b}[K\n")).collect();
        self.stderr
            .write(&format!("{}{lines}{}", up(before), blank(before.saturating_sub(now))));
    }

    /// Whether nobody reads what it reports any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.stdout.is_closed()
    }

    /// Clears the tree: the report comes in its place.
    pub(crate) fn clear(&mut self) {
        let drawn = self.rows_drawn();
        self.drawn.clear();
        if drawn > 0 {
            self.stderr.write(&format!("{}{}", up(drawn), blank(drawn)));
        }
    }

    /// Rows of the tree on the terminal, which wraps its lines when it becomes narrower.
    fn rows_drawn(&self) -> usize {
        let columns = self.stderr.columns();
        self.drawn.iter().map(|width| rows(*width, columns)).sum()
    }
}

/// Moves up to the start of the line so many rows above.
fn up(count: usize) -> String {
    if count == 0 { String::new() } else { format!("\u{1b}[{count}F") }
}

/// Empties so many rows from here on, and comes back.
fn blank(count: usize) -> String {
    "\u{1b}[K\n".repeat(count) + &up(count)
}

/// Rows that a line of this width takes.
fn rows(width: usize, columns: Option<usize>) -> usize {
    columns.map_or(1, |columns| width.div_ceil(columns.max(1)).max(1))
}

/// Columns that a line takes, colours left out.
fn seen(line: &str) -> usize {
    let mut pieces = line.split('\u{1b}');
    let plain = pieces.next().map(text_writer::width).unwrap_or_default();
    let coloured = pieces.map(|piece| text_writer::width(piece.split_once('m').map_or(piece, |(_, text)| text)));
    plain + coloured.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_takes_several_rows() {
        assert_eq!(seen("\u{1b}[32m✓\u{1b}[0m \u{1b}[1mpods\u{1b}[0m"), 6);
        assert_eq!(seen("日本"), 4);
        assert_eq!(
            (rows(0, Some(80)), rows(80, Some(80)), rows(81, Some(80)), rows(500, None)),
            (1, 1, 2, 1)
        );
    }
}
