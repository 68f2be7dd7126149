//! What the containers of the targets log while nobody is served.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::drill::DrillLogLine;
use crate::model::duration::rounded;
use crate::text::{redact, shorten};
use crate::view::LogView;

/// Lines and bytes of a container that are kept while a drill is made, and that are reported.
const KEPT: (usize, usize) = (2000, 256 << 10);
const REPORTED: (usize, usize) = (40, 8 << 10);
/// Letters of a line.
const LONGEST: usize = 500;
/// What is reported around an outage: clocks differ, and what explains it may come just before it.
const AROUND: Duration = Duration::from_secs(1);

/// The newest lines of a container, each with its time.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<(Timestamp, String)>,
    bytes: usize,
}

/// What is reported of a container, and how many lines were left out.
pub(crate) type Told = (Vec<DrillLogLine>, usize);

impl Tail {
    /// Adds a line as the API server sends it: its time, a space, and the text.
    pub(crate) fn add(&mut self, line: &str) {
        let Some((time, text)) = line.split_once(' ') else { return };
        let Ok(time) = time.parse() else { return };
        let text = shorten(text, LONGEST);
        self.bytes += text.len();
        self.lines.push_back((time, text));
        while self.lines.len() > KEPT.0 || self.bytes > KEPT.1 {
            let Some((_, oldest)) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// The last lines in these times, without credentials and what is about our own requests. Seconds count from `fault`.
    pub(crate) fn within(&self, times: &[(Timestamp, Timestamp)], fault: Timestamp) -> Told {
        let is_in = |at: Timestamp| times.iter().any(|(from, to)| at >= *from - AROUND && at <= *to + AROUND);
        let is_told = |text: &str| {
            let line = LogView {
                text: Some(text),
                previous: false,
            };
            line.lines().next().is_some()
        };
        let lines: Vec<&(Timestamp, String)> = self.lines.iter().filter(|(at, text)| is_in(*at) && is_told(text)).collect();
        // A key may go over several lines.
        let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
        let masked = redact(&texts.join("\n"));
        let mut bytes = 0;
        let masked: Vec<&str> = masked.split('\n').collect();
        let mut told: Vec<DrillLogLine> = lines
            .iter()
            .zip(masked)
            .rev()
            .take(REPORTED.0)
            .take_while(|(_, text)| {
                bytes += text.len();
                bytes <= REPORTED.1
            })
            .map(|((at, _), text)| DrillLogLine {
                at_seconds: rounded(at.duration_since(fault).as_secs_f64()),
                text: text.trim_end().to_owned(),
            })
            .collect();
        told.reverse();
        let omitted = lines.len() - told.len();
        (told, omitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn tail(lines: &[(i64, &str)]) -> Tail {
        let mut tail = Tail::default();
        lines
            .iter()
            .for_each(|(seconds, text)| tail.add(&format!("{} {text}", at(*seconds))));
        tail
    }

    #[test]
    fn what_was_logged_during_an_outage_is_told_without_credentials() {
        let tail = tail(&[
            (0, "starts"),
            (9, "connecting with password=hunter22"),
            (10, "GET / 200 kubectl-podlife/0.1"),
            (10, ""),
            (11, "-----BEGIN PRIVATE KEY-----"),
            (11, "MIIEvQIBADANBgkq"),
            (11, "-----END PRIVATE KEY-----"),
            (12, "connection refused"),
            (30, "serves"),
        ]);
        let (told, omitted) = tail.within(&[(at(10), at(12))], at(10));
        let texts: Vec<&str> = told.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["connecting with password=***", "***", "***", "***", "connection refused"]);
        assert_eq!((told[0].at_seconds, told[4].at_seconds, omitted), (-1.0, 2.0, 0));
        assert!(tail.within(&[], at(10)).0.is_empty());
    }

    #[test]
    fn a_container_that_logs_much_is_cut() {
        let long = "x y ".repeat(1000);
        let lines: Vec<(i64, &str)> = (0..3000).map(|_| (1, long.as_str())).collect();
        let tail = tail(&lines);
        assert!(tail.bytes <= KEPT.1 && tail.lines.len() < 3000);
        let (told, omitted) = tail.within(&[(at(0), at(2))], at(0));
        let bytes: usize = told.iter().map(|line| line.text.len()).sum();
        assert!(
            told.len() <= REPORTED.0 && bytes <= REPORTED.1 && omitted > 100,
            "{} {omitted}",
            told.len()
        );
    }
}
