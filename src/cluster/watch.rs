//! Watches that outlive expired versions, lost connections and restarts of the API server, and end where waiting is
//! no use. Who may list and not watch is served by lists, again and again.
//!
//! kube's `watcher` tries for ever after 401, 403, 404 and 422 and does not fall back from streaming lists.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use http::StatusCode;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::read::{List, ListQuery, about_list, collection, query};
use crate::cluster::request::{Call, Repeat, Status, refusal};
use crate::model::kind::Kind;

/// How long the API server is asked to keep a watch open.
const PERIOD: Duration = Duration::from_secs(290);
/// How long a watch may say nothing before its connection is taken for dead, though the API server answers: it sends a bookmark every minute
/// (`defaultBookmarkFrequency` of its watch cache), and opening another one costs little where it has none to send.
const LONGEST_SILENCE: Duration = Duration::from_secs(100);
/// First and longest wait before trying again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long 401, 403 and 404 are put up with once the watch has worked: a starting API server refuses everyone for a while.
const REFUSALS: Duration = Duration::from_secs(60);
/// How often is listed for who may not watch, ...
const LIST_AGAIN: Duration = Duration::from_secs(3);
/// ... and when a watch is tried again: the right may have come, and API servers that start refuse everyone.
const WATCH_AGAIN: Duration = Duration::from_secs(60);
/// An object is 1.5 MiB at most (etcd), and a little more as JSON.
const LONGEST_LINE: usize = 32 << 20;

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// Everything there is now. Comes first, unless a resource version was given, and again after a gap: what is not
    /// in it is gone.
    Listed(List),
    /// An object is new or has changed.
    Applied(Value),
    /// An object is gone; this was its last state.
    Deleted(Value),
    /// The watch is interrupted and will be taken up again.
    Interrupted(ApiError),
    /// The watch goes on where it was interrupted.
    Resumed,
}

struct Watch {
    connection: Connection,
    kind: Kind,
    namespace: Option<String>,
    query: ListQuery,
    /// Where to go on; none means to list first.
    version: Option<String>,
    stream: Option<Open>,
    /// Whether the API server has ever answered as it should.
    worked: bool,
    /// Until when there is only listing, because watching was refused.
    lists_until: Option<Instant>,
    /// What was listed last, as names and versions: what is listed again unchanged is no news.
    listed: u64,
    failing_since: Option<Instant>,
    wait: Duration,
    /// Whether a reported interruption has not ended yet.
    interrupted: bool,
    ended: bool,
}

struct Open {
    body: Body,
    buffer: Vec<u8>,
    /// Up to where the buffer holds no line end.
    searched: usize,
    opened: Instant,
    heard: Instant,
}

enum Step {
    Event(WatchEvent),
    /// Nothing to tell; go on.
    Again,
}

impl Connection {
    /// Watches a kind from `resource_version` on, or from a list of its own where none is given. The stream ends only
    /// after an error, and an error ends it: refused or unknown from the start, or refused for a minute later on.
    /// Holds one connection; it is closed when the stream is dropped.
    pub fn watch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        query: &ListQuery,
        resource_version: Option<String>,
    ) -> BoxStream<'static, Result<WatchEvent, ApiError>> {
        let watch = Watch {
            connection: self.clone(),
            kind: kind.clone(),
            namespace: namespace.map(str::to_owned),
            query: query.clone(),
            version: resource_version.filter(|version| !version.is_empty()),
            stream: None,
            worked: false,
            lists_until: None,
            listed: 0,
            failing_since: None,
            wait: Duration::ZERO,
            interrupted: false,
            ended: false,
        };
        stream::unfold(watch, |mut watch| async move {
            if watch.ended {
                return None;
            }
            let next = watch.next().await;
            watch.ended = next.is_err();
            Some((next, watch))
        })
        .boxed()
    }
}

impl Watch {
    async fn next(&mut self) -> Result<WatchEvent, ApiError> {
        loop {
            match self.step().await {
                Ok(Step::Event(event)) => {
                    self.succeeded();
                    return Ok(event);
                }
                Ok(Step::Again) => {}
                Err(error) if error.kind == ApiErrorKind::Gone => {
                    // The version is too old: what happened since can only be seen by listing again.
                    self.stream = None;
                    self.version = None;
                    // A server that forgets at once must not be asked without a pause.
                    self.back_off();
                }
                Err(error) if error.kind == ApiErrorKind::Forbidden && self.version.is_some() => {
                    // What may be listed may not always be watched.
                    self.stream = None;
                    self.lists_until = Some(Instant::now() + WATCH_AGAIN);
                    self.list_later();
                }
                Err(error) if self.is_final(&error) => return Err(error),
                Err(error) => {
                    self.stream = None;
                    let first = self.failing_since.is_none();
                    self.failing_since.get_or_insert_with(Instant::now);
                    self.back_off();
                    if let Some(asked) = error.retry_after {
                        self.wait = self.wait.max(asked.min(LONGEST_WAIT));
                    }
                    if first {
                        self.interrupted = true;
                        return Ok(WatchEvent::Interrupted(error));
                    }
                }
            }
        }
    }

    fn succeeded(&mut self) {
        self.worked = true;
        self.failing_since = None;
        self.wait = Duration::ZERO;
    }

    fn list_later(&mut self) {
        self.version = None;
        self.wait = LIST_AGAIN;
    }

    fn back_off(&mut self) {
        self.wait = (self.wait * 2).clamp(BACK_OFF.0, BACK_OFF.1);
    }

    fn is_final(&self, error: &ApiError) -> bool {
        use ApiErrorKind::*;
        match error.kind {
            Usage | Config | Decode | Invalid => true,
            // A plugin may need the network that is away just now, and an API server that has just started does not know custom resources yet.
            Unauthorized | Forbidden | Credential | NoSuchKind | NotFound | Tls => {
                !self.worked || self.failing_since.is_some_and(|since| since.elapsed() > REFUSALS)
            }
            Unreachable | Timeout | TooManyRequests | Server | Conflict | Gone => !self.worked,
        }
    }

    fn about(&self) -> About {
        about_list("watch", "watching", &self.kind, self.namespace.as_deref())
    }

    async fn step(&mut self) -> Result<Step, ApiError> {
        if self.stream.is_none() {
            if !self.wait.is_zero() {
                tokio::time::sleep(self.wait).await;
            }
            let Some(version) = self.version.clone() else {
                let list = self.connection.list(&self.kind, self.namespace.as_deref(), &self.query).await?;
                self.version = Some(list.resource_version.clone());
                let before = std::mem::replace(&mut self.listed, fingerprint(&list));
                let interrupted = std::mem::take(&mut self.interrupted);
                if self.lists_until.is_some() && !interrupted && self.listed == before {
                    self.succeeded();
                    return Ok(Step::Again);
                }
                return Ok(Step::Event(WatchEvent::Listed(list)));
            };
            if self.lists_until.is_some_and(|until| Instant::now() < until) {
                self.list_later();
                return Ok(Step::Again);
            }
            self.open(&version).await?;
            self.worked = true;
            self.failing_since = None;
            if std::mem::take(&mut self.interrupted) {
                return Ok(Step::Event(WatchEvent::Resumed));
            }
            return Ok(Step::Again);
        }
        let about = self.about();
        let Some(open) = &mut self.stream else { return Ok(Step::Again) };
        match open.line(&self.connection, &about).await? {
            Some(line) => self.event(&about, &line),
            None => {
                // The API server ends each watch in time; going on is no failure, but must not spin.
                let lasted = open.opened.elapsed();
                self.stream = None;
                if lasted > BACK_OFF.1 {
                    self.wait = Duration::ZERO;
                } else if self.wait.is_zero() {
                    self.wait = BACK_OFF.0;
                } else {
                    self.back_off();
                }
                Ok(Step::Again)
            }
        }
    }

    async fn open(&mut self, version: &str) -> Result<(), ApiError> {
        let parameters = query(&[
            ("watch", "true".to_owned()),
            ("allowWatchBookmarks", "true".to_owned()),
            ("resourceVersion", version.to_owned()),
            ("timeoutSeconds", PERIOD.as_secs().to_string()),
            ("labelSelector", self.query.label_selector.clone()),
            ("fieldSelector", self.query.field_selector.clone()),
        ]);
        let path = collection(&self.kind, self.namespace.as_deref()) + &parameters;
        let mut call = Call {
            repeat: Repeat::Never,
            ..Call::get(path, self.about())
        };
        if self.query.metadata_only {
            call.accept = crate::cluster::read::GET_METADATA;
        }
        let body = self.connection.inner.transport.open_stream(&call).await?;
        let now = Instant::now();
        self.stream = Some(Open {
            body,
            buffer: Vec::new(),
            searched: 0,
            opened: now,
            heard: now,
        });
        Ok(())
    }

    fn event(&mut self, about: &About, line: &[u8]) -> Result<Step, ApiError> {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            // The last line of a connection that broke off.
            self.stream = None;
            self.back_off();
            return Ok(Step::Again);
        };
        let object = event["object"].take();
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "ERROR" {
            let status: Status = serde_json::from_value(object).unwrap_or_default();
            let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(refusal(about, code, Some(status), b""));
        }
        if let Some(version) = object["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty()) {
            self.version = Some(version.to_owned());
        }
        let complete = |object| crate::cluster::read::complete(&self.kind, self.query.metadata_only, object);
        Ok(match (kind, complete(object)) {
            ("ADDED" | "MODIFIED", Some(object)) => Step::Event(WatchEvent::Applied(object)),
            ("DELETED", Some(object)) => Step::Event(WatchEvent::Deleted(object)),
            _ => {
                self.succeeded();
                Step::Again
            }
        })
    }
}

/// Tells lists of different objects, or of others of their versions, apart.
fn fingerprint(list: &List) -> u64 {
    let mut hasher = DefaultHasher::new();
    for item in &list.items {
        let metadata = &item["metadata"];
        for field in ["uid", "name", "resourceVersion"] {
            metadata[field].as_str().hash(&mut hasher);
        }
    }
    hasher.finish()
}

impl Open {
    /// The next line; none at the end, also at one that came too soon.
    async fn line(&mut self, connection: &Connection, about: &About) -> Result<Option<Vec<u8>>, ApiError> {
        loop {
            if let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                line.pop();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST_LINE {
                return Err(ApiError::of(about, ApiErrorKind::Decode, "an event is longer than 32 MiB"));
            }
            let frame = tokio::select! {
                biased;
                frame = self.body.frame() => frame,
                error = connection.listen() => return Err(error),
                () = tokio::time::sleep_until(self.heard + LONGEST_SILENCE) => return Ok(None),
            };
            self.heard = Instant::now();
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(connection.inner.transport.broken(about, error)),
                None => return Ok(None),
            }
        }
    }
}
