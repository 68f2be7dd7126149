//! What a run says while it goes on: a tree on a terminal, a line per change in a log, a document per change for programs.

use std::time::Duration;

use jiff::Timestamp;

use super::Output;
use crate::gate::progress::Change;
use crate::io::{Io, Stream};
use crate::model::duration;
use crate::model::readiness::{Readiness, ReadinessEvent};
use crate::model::report::API_VERSION;
use crate::render::paper::{self, Paper};
use crate::render::readiness;

/// A log that says nothing for longer than this looks dead.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);

pub(super) struct Teller {
    stdout: Stream,
    stderr: Stream,
    colour: bool,
    documents: bool,
    /// Whether the terminal can take lines back.
    redraws: bool,
    timeout: Duration,
    /// How wide each line of the tree is that is on the terminal now.
    drawn: Vec<usize>,
    last_line: Duration,
}

impl Teller {
    pub(super) fn new(output: &Output, colour: super::super::Colour, timeout: Duration, io: &Io) -> Self {
        Self {
            stdout: io.stdout.clone(),
            stderr: io.stderr.clone(),
            colour: colour.is_on(&io.stderr, &io.environment),
            documents: *output == Output::NdJson,
            redraws: io.stderr.is_terminal() && io.environment.get("TERM") != Some("dumb"),
            timeout,
            drawn: Vec::new(),
            last_line: Duration::ZERO,
        }
    }

    /// How often something new is to be shown although nothing has changed.
    pub(super) fn period(&self) -> Duration {
        if self.redraws { Duration::from_secs(1) } else { HEARTBEAT }
    }

    /// Tells what has changed, and on a terminal how it stands.
    pub(super) fn tell(&mut self, changes: &[Change], report: &Readiness, at: Duration, now: Timestamp) {
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
        if self.redraws {
            self.draw(report);
        } else if at.saturating_sub(self.last_line) >= HEARTBEAT {
            self.stderr.line(&readiness::heartbeat(report, self.timeout, &clock));
            self.last_line = at;
        }
    }

    fn draw(&mut self, report: &Readiness) {
        let columns = self.stderr.columns();
        let written = |write: &dyn Fn(&mut Paper)| {
            let mut paper = Paper::new(self.colour, columns);
            write(&mut paper);
            paper.into_text()
        };
        let tree = written(&|paper| readiness::tree(report, paper));
        let waits = written(&|paper| readiness::waits(report, self.timeout, paper));
        let height = |line: &str| rows(seen(line), columns);
        let mut lines: Vec<&str> = tree.lines().collect();
        // What has left the top of the screen cannot be taken back; what it waits for says most.
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

    /// Whether what it told has no reader any more.
    pub(super) fn is_unread(&self) -> bool {
        self.stdout.is_closed()
    }

    /// Takes the tree away: the answer comes in its place.
    pub(super) fn clear(&mut self) {
        let drawn = self.rows_drawn();
        self.drawn.clear();
        if drawn > 0 {
            self.stderr.write(&format!("{}{}", up(drawn), blank(drawn)));
        }
    }

    /// Rows that the tree takes on the terminal: a narrower one has broken its lines anew.
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
    let plain = pieces.next().map(paper::width).unwrap_or_default();
    let coloured = pieces.map(|piece| paper::width(piece.split_once('m').map_or(piece, |(_, text)| text)));
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
