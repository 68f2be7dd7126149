//! A container's log as it grows. A connection that breaks off is made again behind the last line that came, without loss or repetition.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::client::Body;
use tokio::time::Instant;

use crate::cluster::error::ApiError;
use crate::cluster::read::log_call;
use crate::cluster::{Connection, PodContainer};

/// First and longest wait before trying again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// A line that is longer is handed out in pieces of this length.
const LONGEST_PIECE: usize = 1 << 20;

/// Which part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowQuery {
    /// Wait for more.
    pub follow: bool,
    /// The log of the instance before the present one.
    pub previous: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// Only what is younger than this many seconds.
    pub since_seconds: Option<u64>,
    /// Only what is younger than this.
    pub since_time: Option<Timestamp>,
    /// Keep the time before each line.
    pub timestamps: bool,
}

/// What comes of a log.
#[derive(Clone, Debug)]
pub enum LogPart {
    /// Whole lines, or a piece of a very long one.
    Lines(Vec<u8>),
    /// The connection broke off; it is made again.
    Interrupted(ApiError),
    /// The log goes on where it was interrupted.
    Resumed,
    /// The container has ended, or the kubelet has closed the log. To go on means to look again behind the last line.
    Ended,
}

/// A log that is being read. After an error or the end it may be asked again.
pub struct Follow {
    connection: Connection,
    namespace: String,
    pod: String,
    container: String,
    query: FollowQuery,
    body: Option<(Body, Instant)>,
    lines: Lines,
    has_worked: bool,
    is_interrupted: bool,
    wait: Duration,
}

impl Connection {
    /// Reads a container's log. Makes no request before the first part is asked for, and takes no turn of other requests while it waits.
    pub fn follow_log(&self, of: PodContainer<'_>, query: FollowQuery) -> Follow {
        Follow {
            connection: self.clone(),
            namespace: of.namespace.to_owned(),
            pod: of.pod.to_owned(),
            container: of.container.to_owned(),
            lines: Lines::new(query.timestamps),
            query,
            body: None,
            has_worked: false,
            is_interrupted: false,
            wait: Duration::ZERO,
        }
    }
}

impl Follow {
    /// The next part. An error from the start, or one that trying again does not mend, is handed out.
    pub async fn next(&mut self) -> Result<LogPart, ApiError> {
        match self.step().await {
            Err(error) if self.has_worked && error.kind.is_passing() => {
                self.body = None;
                self.back_off();
                match std::mem::replace(&mut self.is_interrupted, true) {
                    false => Ok(LogPart::Interrupted(error)),
                    true => Box::pin(self.next()).await,
                }
            }
            outcome => outcome,
        }
    }

    /// What came of a line that has not ended, where nothing more comes.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.lines.take_rest()
    }

    async fn step(&mut self) -> Result<LogPart, ApiError> {
        let (body, opened) = match &mut self.body {
            Some(open) => open,
            None => {
                tokio::time::sleep(self.wait).await;
                let body = self.open().await?;
                self.has_worked = true;
                self.lines.begin();
                let open = self.body.insert((body, Instant::now()));
                if std::mem::take(&mut self.is_interrupted) {
                    return Ok(LogPart::Resumed);
                }
                open
            }
        };
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                error = self.connection.listen() => return Err(error),
            };
            match frame {
                None => {
                    let lasted = opened.elapsed();
                    self.body = None;
                    match lasted > BACK_OFF.1 {
                        true => self.wait = BACK_OFF.0,
                        false => self.back_off(),
                    }
                    return Ok(LogPart::Ended);
                }
                Some(Err(error)) => {
                    let about = self.call().about;
                    return Err(self.connection.inner.transport.broken(&about, error));
                }
                Some(Ok(frame)) => {
                    let mut new = Vec::new();
                    if let Ok(data) = frame.into_data() {
                        self.lines.add(&data, &mut new);
                    }
                    if !new.is_empty() {
                        self.wait = Duration::ZERO;
                        return Ok(LogPart::Lines(new));
                    }
                }
            }
        }
    }

    async fn open(&mut self) -> Result<Body, ApiError> {
        let call = self.call();
        let transport = &self.connection.inner.transport;
        let _permit = transport.permit().await;
        transport.open_stream(&call).await
    }

    fn call(&self) -> crate::cluster::request::Call {
        let mut parameters = vec![("timestamps", "true".to_owned())];
        if self.query.follow {
            parameters.push(("follow", "true".to_owned()));
        }
        match self.lines.since() {
            Some(since) => parameters.push(("sinceTime", since.to_string())),
            None => {
                let query = &self.query;
                let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
                parameters.push(("tailLines", number(query.tail_lines)));
                parameters.push(("sinceSeconds", number(query.since_seconds)));
                parameters.push(("sinceTime", query.since_time.map(|time| time.to_string()).unwrap_or_default()));
            }
        }
        log_call((&self.namespace, &self.pod, &self.container), self.query.previous, &parameters)
    }

    fn back_off(&mut self) {
        self.wait = (self.wait * 2).clamp(BACK_OFF.0, BACK_OFF.1);
    }
}

/// Splits what comes into lines, takes their times off, and leaves out what came before.
///
/// The kubelet starts a log at whole seconds, and the lines of standard output and standard error may be in it a little out of order. So a
/// repeated request begins a second early, and what came in that time is remembered line by line.
struct Lines {
    keeps_times: bool,
    buffer: Vec<u8>,
    /// The second of the line whose first piece has been handed out.
    continued: Option<i64>,
    /// How often each line of the last seconds came.
    seen: BTreeMap<i64, HashMap<u64, u32>>,
    /// What is still to come again on this connection.
    repeated: BTreeMap<i64, HashMap<u64, u32>>,
}

impl Lines {
    fn new(keeps_times: bool) -> Self {
        Self {
            keeps_times,
            buffer: Vec::new(),
            continued: None,
            seen: BTreeMap::new(),
            repeated: BTreeMap::new(),
        }
    }

    /// From when on to ask, where something has come already.
    fn since(&self) -> Option<Timestamp> {
        let (last, _) = self.seen.last_key_value()?;
        Timestamp::from_second(last - 1).ok()
    }

    /// A new connection begins.
    fn begin(&mut self) {
        self.buffer.clear();
        self.continued = None;
        self.repeated = self.seen.clone();
    }

    /// Takes what has come and adds what is new to `new`.
    fn add(&mut self, data: &[u8], new: &mut Vec<u8>) {
        self.buffer.extend_from_slice(data);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        loop {
            let piece = match rest.iter().take(LONGEST_PIECE).position(|byte| *byte == b'\n') {
                Some(end) => &rest[..=end],
                None if rest.len() >= LONGEST_PIECE => &rest[..LONGEST_PIECE],
                None => break,
            };
            self.piece(piece, new);
            rest = &rest[piece.len()..];
        }
        self.buffer = rest.to_vec();
    }

    fn take_rest(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.buffer);
        let mut new = Vec::new();
        // Where lines have come, the kubelet's word that it cannot retrieve the log of a pod that is gone is no line of it.
        let is_of_the_log = self.continued.is_some() || self.seen.is_empty() || time(&rest).is_some();
        if !rest.is_empty() && is_of_the_log {
            self.piece(&rest, &mut new);
        }
        new
    }

    fn piece(&mut self, piece: &[u8], new: &mut Vec<u8>) {
        let (second, text) = match self.continued {
            Some(second) => (Some(second), piece),
            None => match time(piece) {
                Some((time, text)) => (Some(time.as_second()), if self.keeps_times { piece } else { text }),
                // The kubelet's own words.
                None => (None, piece),
            },
        };
        self.continued = second.filter(|_| !piece.ends_with(b"\n"));
        if second.is_some_and(|second| self.came_before(second, piece)) {
            return;
        }
        new.extend_from_slice(text);
    }

    fn came_before(&mut self, second: i64, piece: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        piece.hash(&mut hasher);
        let hash = hasher.finish();
        let again = self.repeated.get_mut(&second).and_then(|lines| lines.get_mut(&hash));
        if let Some(count) = again.filter(|count| **count > 0) {
            *count -= 1;
            return true;
        }
        *self.seen.entry(second).or_default().entry(hash).or_default() += 1;
        while let (Some((first, _)), Some((last, _))) = (self.seen.first_key_value(), self.seen.last_key_value())
            && first + 1 < *last
        {
            self.seen.pop_first();
        }
        false
    }
}

/// The time at the beginning of a line, and what follows it.
fn time(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let space = line.iter().take(40).position(|byte| *byte == b' ')?;
    let time = str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    Some((time, &line[space + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &mut Lines, data: &str) -> String {
        let mut new = Vec::new();
        lines.add(data.as_bytes(), &mut new);
        String::from_utf8(new).unwrap()
    }

    const LOG: [&str; 5] = [
        "2026-01-02T03:04:05.1Z one\n",
        "2026-01-02T03:04:06.2Z two\n",
        "2026-01-02T03:04:06.1Z early\n",
        "2026-01-02T03:04:06.2Z two\n",
        "2026-01-02T03:04:06.3Z \n",
    ];

    #[test]
    fn lines_that_came_before_are_left_out_and_others_are_not() {
        for cut in 0..=LOG.concat().len() {
            let log = LOG.concat();
            let mut lines = Lines::new(false);
            lines.begin();
            let mut shown = text(&mut lines, &log[..cut]);
            let since = lines.since();
            lines.begin();
            // What the kubelet sends from then on.
            let again: Vec<&str> = LOG
                .into_iter()
                .filter(|line| since.is_none_or(|since| time(line.as_bytes()).unwrap().0 >= since))
                .collect();
            shown += &text(&mut lines, &again.concat());
            shown += &text(&mut lines, "2026-01-02T03:04:06.3Z two\n");
            assert_eq!(shown, "one\ntwo\nearly\ntwo\n\ntwo\n", "cut at {cut}");
        }
    }

    #[test]
    fn what_was_seen_long_ago_is_forgotten() {
        let mut lines = Lines::new(true);
        text(&mut lines, "2026-01-02T03:04:05Z a\n2026-01-02T03:04:09Z b\n");
        assert_eq!(lines.since().unwrap().to_string(), "2026-01-02T03:04:08Z");
        assert_eq!(lines.seen.len(), 1);
    }

    #[test]
    fn bytes_are_handed_out_as_they_are() {
        let mut lines = Lines::new(false);
        let mut new = Vec::new();
        lines.add(
            b"2026-01-02T03:04:05Z \xff\x00 x\nunable to retrieve container logs for a\n2026-01-02T03:04:05Z open",
            &mut new,
        );
        assert_eq!(new, b"\xff\x00 x\nunable to retrieve container logs for a\n");
        assert_eq!(lines.take_rest(), b"open");
        assert!(lines.take_rest().is_empty());
        let gone = b"unable to retrieve container logs for containerd://a";
        lines.begin();
        lines.add(gone, &mut new);
        assert!(lines.take_rest().is_empty(), "lines of the log have come before");
        let mut unread = Lines::new(false);
        unread.add(gone, &mut new);
        assert_eq!(unread.take_rest(), gone);
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let log = format!("2026-01-02T03:04:05Z {}\n2026-01-02T03:04:05Z b\n", "a".repeat(LONGEST_PIECE * 2));
        let mut lines = Lines::new(false);
        for begin in [true, false] {
            lines.begin();
            let mut shown = String::new();
            for part in log.as_bytes().chunks(300_000) {
                shown += &text(&mut lines, str::from_utf8(part).unwrap());
                assert!(lines.buffer.len() < LONGEST_PIECE);
            }
            let expected = if begin { LONGEST_PIECE * 2 + "\nb\n".len() } else { 0 };
            assert_eq!(shown.len(), expected);
        }
    }
}
