//! What a run says while it goes on: a tree on a terminal, a line per change in a log, a document per change for programs.

use std::time::Duration;

use jiff::Timestamp;

use super::Output;
use crate::gate::progress::Change;
use crate::io::{Io, Stream};
use crate::model::duration;
use crate::model::readiness::{Readiness, ReadinessEvent};
use crate::model::report::API_VERSION;
use crate::render::paper::Paper;
use crate::render::readiness;

/// A log that says nothing for longer than this looks dead.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);

pub(super) struct Teller {
    stdout: Stream,
    stderr: Stream,
    colour: bool,
    documents: bool,
    timeout: Duration,
    /// Lines of the tree that is on the terminal now.
    drawn: usize,
    last_line: Duration,
}

impl Teller {
    pub(super) fn new(output: &Output, colour: super::super::Colour, timeout: Duration, io: &Io) -> Self {
        Self {
            stdout: io.stdout.clone(),
            stderr: io.stderr.clone(),
            colour: colour.is_on(&io.stderr, &io.environment),
            documents: *output == Output::NdJson,
            timeout,
            drawn: 0,
            last_line: Duration::ZERO,
        }
    }

    /// How often something new is to be shown although nothing has changed.
    pub(super) fn period(&self) -> Duration {
        if self.stderr.is_terminal() {
            Duration::from_secs(1)
        } else {
            HEARTBEAT
        }
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
            if !self.stderr.is_terminal() {
                self.stderr.line(&readiness::change(&event));
                self.last_line = at;
            }
        }
        if self.stderr.is_terminal() {
            self.draw(report);
        } else if at.saturating_sub(self.last_line) >= HEARTBEAT {
            self.stderr.line(&readiness::heartbeat(report, self.timeout, &clock));
            self.last_line = at;
        }
    }

    fn draw(&mut self, report: &Readiness) {
        let mut paper = Paper::new(self.colour, self.stderr.columns());
        readiness::tree(report, self.timeout, &mut paper);
        let text = paper.into_text();
        self.clear();
        self.drawn = text.lines().count();
        self.stderr.write(&text);
    }

    /// Takes the tree away: the answer comes in its place.
    pub(super) fn clear(&mut self) {
        if self.drawn > 0 {
            self.stderr.write(&format!("\u{1b}[{}F\u{1b}[J", self.drawn));
            self.drawn = 0;
        }
    }
}
