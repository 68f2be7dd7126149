//! The one way a request takes: credential, headers, time limit, retries, and what a refusal means.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT, WARNING};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::util::MapRequestLayer;

use crate::cluster::credential::Credential;
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::headers::{Headers, user_agent};
use crate::cluster::kubeconfig::{Target, certificates};
use crate::cluster::options::{ConnectOptions, Log};
use crate::cluster::proxy;

/// Requests under way at once. Each is a connection of its own, because kube speaks HTTP/1.1.
const AT_ONCE: usize = 6;
/// Connections to pods under way at once, through the API server: one that nobody answers is idle until its time is up.
const DIALS_AT_ONCE: usize = 24;
/// Tries of one read, the first included.
const TRIES: u32 = 4;
/// Wait before the second try; doubled for each further one.
const BACK_OFF: Duration = Duration::from_millis(200);
/// Longest `Retry-After` that is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Time to connect and time per request where `--request-timeout` says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No answer that podlife wants is longer; protects memory from a server that never stops.
const LONGEST_ANSWER: usize = 256 << 20;
/// How much of an answer that is no Status is repeated in an error.
const LONGEST_QUOTE: usize = 300;

pub(super) const JSON: &str = "application/json";

/// When a request that failed is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Never: it may have had its effect.
    Never,
    /// When the API server is busy or the connection broke; a 5xx is the kubelet's and will not change.
    Busy,
    /// When it may help.
    Yes,
}

pub(super) struct Call {
    pub method: Method,
    /// With query.
    pub path: String,
    pub accept: &'static str,
    pub body: Option<(&'static str, Vec<u8>)>,
    pub about: About,
    pub repeat: Repeat,
    /// Where the answer may be cut off without harm.
    pub enough: Option<usize>,
    /// What is sent along to whom a proxied request is for; never shown.
    pub headers: Headers,
}

impl Call {
    pub(super) fn get(path: String, about: About) -> Self {
        Self {
            method: Method::GET,
            path,
            accept: JSON,
            body: None,
            about,
            repeat: Repeat::Yes,
            enough: None,
            headers: Headers::new(),
        }
    }
}

pub(super) struct Answer {
    pub body: Vec<u8>,
}

/// `metav1.Status`, as far as it matters here.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub kind: String,
    pub message: String,
    pub reason: String,
    pub code: u16,
    pub details: Option<StatusDetails>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StatusDetails {
    pub name: String,
    pub kind: String,
    pub retry_after_seconds: u64,
}

/// What stays the same over all requests of a connection.
pub(super) struct Transport {
    client: Mutex<(u64, Client)>,
    credential: Arc<Credential>,
    target: Target,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    permits: Semaphore,
    dial_permits: Semaphore,
    log: Log,
    verbosity: u8,
    /// Requests that were made, retries included.
    requests: AtomicUsize,
    warnings: Mutex<BTreeSet<String>>,
    /// The latest time that the API server can have sent, and when that came.
    server_time: Mutex<Option<(Timestamp, Instant)>>,
}

enum Failure {
    /// The time was up.
    Late,
    /// The connection failed.
    Broken(kube::Error),
    /// The answer was too long.
    TooLong,
}

struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Transport {
    pub(super) async fn new(target: Target, credential: Credential, options: &ConnectOptions, log: Log) -> Result<Self, ApiError> {
        let none_if_zero = |limit: Duration| (!limit.is_zero()).then_some(limit);
        let timeout = options.request_timeout.map_or(Some(REQUEST_TIMEOUT), none_if_zero);
        let connect_timeout = match options.request_timeout {
            None => Some(CONNECT_TIMEOUT),
            Some(limit) => none_if_zero(limit),
        };
        let credential = Arc::new(credential);
        let generation = credential.prepare().await?;
        let client = build(&target, &credential, connect_timeout)?;
        Ok(Self {
            client: Mutex::new((generation, client)),
            credential,
            target,
            timeout,
            connect_timeout,
            permits: Semaphore::new(AT_ONCE),
            dial_permits: Semaphore::new(DIALS_AT_ONCE),
            log,
            verbosity: options.verbosity,
            requests: AtomicUsize::new(0),
            warnings: Mutex::default(),
            server_time: Mutex::default(),
        })
    }

    pub(super) fn namespace(&self) -> &str {
        &self.target.namespace
    }

    pub(super) fn context(&self) -> Option<&str> {
        self.target.context.as_deref()
    }

    /// URL of the API server, without credentials.
    pub(super) fn server(&self) -> String {
        proxy::masked(self.target.server.to_string().trim_end_matches('/'))
    }

    pub(super) fn request_count(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        lock(&self.warnings).iter().cloned().collect()
    }

    /// The API server's clock, from the dates of its answers; none before the first one. Up to a second behind, never ahead.
    pub(super) fn server_time(&self) -> Option<Timestamp> {
        let (time, came) = (*lock(&self.server_time))?;
        time.checked_add(jiff::SignedDuration::try_from(came.elapsed()).ok()?).ok()
    }

    /// A date has whole seconds, cut off: of all answers, the one that makes the clock latest is nearest to the truth.
    fn note_time(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let Some(time) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else {
            return;
        };
        let time = time.timestamp();
        if self.server_time().is_none_or(|known| known < time) {
            *lock(&self.server_time) = Some((time, Instant::now()));
        }
    }

    /// kube's client with the present credential, and that credential's generation.
    pub(super) async fn client(&self) -> Result<(u64, Client), ApiError> {
        let generation = self.credential.prepare().await?;
        let mut built = lock(&self.client);
        if built.0 != generation {
            // The header is looked up for every request; a client certificate is part of the connection.
            if self.credential.identity().is_some() {
                built.1 = build(&self.target, &self.credential, self.connect_timeout)?;
            }
            built.0 = generation;
        }
        Ok(built.clone())
    }

    /// Makes a request and returns the answer to it, or what is wrong.
    pub(super) async fn call(&self, call: &Call) -> Result<Answer, ApiError> {
        // Waiting for one's turn is not the API server's fault and costs none of its time.
        let _permit = self.permits.acquire().await;
        let mut deadline = self.timeout.map(|limit| Instant::now() + limit);
        let mut renewed = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let (generation, client) = self.client().await?;
            let (error, wait) = match self.once(&client, call, deadline).await {
                Ok(raw) if raw.status.is_success() => {
                    self.note_time(&raw.headers);
                    return Ok(Answer { body: raw.body });
                }
                Ok(raw) if raw.status == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    if self.credential.renew(generation).await? {
                        deadline = self.timeout.map(|limit| Instant::now() + limit);
                        continue;
                    }
                    return Err(self.refusal(&call.about, &raw));
                }
                Ok(raw) => (self.refusal(&call.about, &raw), pause(call.repeat, &raw)),
                Err(Failure::Broken(error)) => {
                    let wait = (call.repeat != Repeat::Never && is_cut_off(&error)).then_some(Duration::ZERO);
                    (self.broken(&call.about, error), wait)
                }
                Err(Failure::Late) => (self.late(&call.about), None),
                Err(Failure::TooLong) => (
                    ApiError::of(&call.about, ApiErrorKind::Decode, "the answer is longer than 256 MiB"),
                    None,
                ),
            };
            let Some(wait) = wait.filter(|_| tries < TRIES) else {
                return Err(error);
            };
            let wait = wait.max(BACK_OFF * 2_u32.pow(tries - 1));
            if wait > LONGEST_WAIT || deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a request whose answer does not end, and returns once its head is there.
    pub(super) async fn open_stream(&self, call: &Call) -> Result<Body, ApiError> {
        let mut renewed = false;
        loop {
            let deadline = self.timeout.map(|limit| Instant::now() + limit);
            let (generation, client) = self.client().await?;
            let started = Instant::now();
            let send = async { client.send(request(call, true)?).await };
            let response = limited(deadline, send).await;
            let status = response.as_ref().ok().map(http::Response::status);
            self.record(call, status, started.elapsed());
            let response = response.map_err(|failure| self.failed(&call.about, failure))?;
            self.note_warnings(response.headers());
            if response.status().is_success() {
                return Ok(response.into_body());
            }
            let (parts, body) = response.into_parts();
            let body = limited(deadline, collect(body, Some(LONGEST_ANSWER)))
                .await
                .map_err(|failure| self.failed(&call.about, failure))?;
            let raw = Raw {
                status: parts.status,
                headers: parts.headers,
                body,
            };
            if raw.status == StatusCode::UNAUTHORIZED && !renewed && self.credential.renew(generation).await? {
                renewed = true;
                continue;
            }
            return Err(self.refusal(&call.about, &raw));
        }
    }

    /// Opens a websocket, and returns once it is there. Records show `path` without what follows its first `&`: a command may hold a credential.
    pub(super) async fn upgrade(&self, path: &str, about: &About) -> Result<kube::client::Connection, ApiError> {
        let shown = path.split('&').next().unwrap_or_default();
        let mut renewed = false;
        loop {
            let deadline = self.timeout.map(|limit| Instant::now() + limit);
            let (generation, client) = self.client().await?;
            let started = Instant::now();
            let connect = async {
                let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
                client.connect(request).await
            };
            let opened = limited(deadline, connect).await;
            let status = match &opened {
                Ok(_) => Some(StatusCode::SWITCHING_PROTOCOLS),
                Err(Failure::Broken(kube::Error::Api(status))) => StatusCode::from_u16(status.code).ok(),
                Err(_) => None,
            };
            self.record_request("GET", shown, status, started.elapsed());
            match opened {
                Ok(connection) => return Ok(connection),
                Err(Failure::Broken(kube::Error::Api(status)))
                    if status.code == 401 && !renewed && self.credential.renew(generation).await? =>
                {
                    renewed = true;
                }
                Err(Failure::Broken(error)) => return Err(self.upgrade_failed(about, error)),
                Err(failure) => return Err(self.failed(about, failure)),
            }
        }
    }

    async fn once(&self, client: &Client, call: &Call, deadline: Option<Instant>) -> Result<Raw, Failure> {
        let started = Instant::now();
        let mut status = None;
        let exchange = async {
            let response = client.send(request(call, false)?).await?;
            status = Some(response.status());
            let (parts, body) = response.into_parts();
            let enough = call.enough.filter(|_| parts.status.is_success());
            let body = collect(body, Some(enough.unwrap_or(LONGEST_ANSWER))).await?;
            Ok(Raw {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        let raw = limited(deadline, exchange).await;
        self.record(call, status, started.elapsed());
        let raw = raw?;
        if call.enough.is_none() && raw.body.len() >= LONGEST_ANSWER {
            return Err(Failure::TooLong);
        }
        self.note_warnings(&raw.headers);
        if self.verbosity >= 8 {
            self.log_headers("Response", &raw.headers);
        }
        Ok(raw)
    }

    /// A turn for a stream that is opened past [`Self::call`].
    pub(super) async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    /// A turn for a connection to a pod.
    pub(super) async fn dial_permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.dial_permits.acquire().await.ok()
    }

    /// Makes a request to a pod once within a time of its own, and hands out whatever came.
    /// None where no answer came in time.
    pub(super) async fn exchange(&self, call: &Call, limit: Duration) -> Result<Option<(StatusCode, Vec<u8>)>, ApiError> {
        let _permit = self.permits.acquire().await;
        self.exchange_at_once(call, limit).await
    }

    /// The same without waiting for a turn: who has to know whether there is an answer cannot wait for others that may never get one.
    pub(super) async fn exchange_at_once(&self, call: &Call, limit: Duration) -> Result<Option<(StatusCode, Vec<u8>)>, ApiError> {
        let (_, client) = self.client().await?;
        match self.once(&client, call, Some(Instant::now() + limit)).await {
            Ok(raw) => Ok(Some((raw.status, raw.body))),
            Err(Failure::Late) => Ok(None),
            Err(failure) => Err(self.failed(&call.about, failure)),
        }
    }

    /// What a failed upgrade means.
    pub(super) fn upgrade_failed(&self, about: &About, error: kube::Error) -> ApiError {
        match error {
            kube::Error::Api(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let body = serde_json::to_vec(&*status).unwrap_or_default();
                let parsed = serde_json::from_slice(&body).ok();
                refusal(about, code, parsed, &body)
            }
            other => self.broken(about, other),
        }
    }

    fn record(&self, call: &Call, status: Option<StatusCode>, elapsed: Duration) {
        self.record_request(call.method.as_str(), &call.path, status, elapsed);
        if self.verbosity >= 8 {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(call.accept));
            headers.extend(HeaderValue::try_from(user_agent()).map(|agent| (USER_AGENT, agent)));
            headers.extend(self.credential.header().map(|value| (AUTHORIZATION, value)));
            self.log_headers("Request", &headers);
        }
    }

    /// Counts a request that was made, and shows it from `-v 6` on.
    pub(super) fn record_request(&self, method: &str, path: &str, status: Option<StatusCode>, elapsed: Duration) {
        if self.verbosity >= 6 {
            let outcome = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            let (server, ms) = (self.server(), elapsed.as_millis());
            self.log(&format!("{method} {server}{path} {outcome} in {ms} ms"));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows from `-v 6` on what went past the API server: what was asked, and what came of it. It is no request to the API server, and no credential
    /// of the kubeconfig goes there.
    pub(super) fn show_direct(&self, shown: impl FnOnce() -> (String, String), elapsed: Duration) {
        if self.verbosity >= 6 {
            let (asked, outcome) = shown();
            let line = format!("{asked} {outcome} in {} ms", elapsed.as_millis());
            self.log(&crate::text::sanitise(&crate::text::redact(&line)));
        }
    }

    /// Notes a request for a stream (exec, port-forward), by its result.
    pub(super) fn record_upgrade<T>(
        &self,
        path: &str,
        opened: &Result<Result<T, kube::Error>, tokio::time::error::Elapsed>,
        elapsed: Duration,
    ) {
        let status = match opened {
            Ok(Ok(_)) => Some(StatusCode::SWITCHING_PROTOCOLS),
            Ok(Err(kube::Error::Api(status))) => StatusCode::from_u16(status.code).ok(),
            _ => None,
        };
        self.record_request("GET", path, status, elapsed);
    }

    /// A line in klog's form.
    fn log(&self, line: &str) {
        (self.log)(&format!("I{} podlife] {line}", Timestamp::now().strftime("%m%d %H:%M:%S.%6f")));
    }

    fn log_headers(&self, what: &str, headers: &HeaderMap) {
        self.log(&format!("{what} headers:"));
        for (name, value) in headers {
            let secret = value.is_sensitive() || is_secret_header(name.as_str());
            let shown = if secret { "<masked>" } else { value.to_str().unwrap_or("<binary>") };
            self.log(&format!("    {name}: {shown}"));
        }
    }

    fn note_warnings(&self, headers: &HeaderMap) {
        for value in headers.get_all(WARNING) {
            let Some(text) = value.to_str().ok().and_then(warning_text) else {
                continue;
            };
            if lock(&self.warnings).insert(text.clone()) {
                (self.log)(&format!("Warning: {}", crate::text::sanitise(&text)));
            }
        }
    }

    fn failed(&self, about: &About, failure: Failure) -> ApiError {
        match failure {
            Failure::Late => self.late(about),
            Failure::Broken(error) => self.broken(about, error),
            Failure::TooLong => ApiError::of(about, ApiErrorKind::Decode, "the answer is too long"),
        }
    }

    fn late(&self, about: &About) -> ApiError {
        let limit = self.timeout.unwrap_or_default();
        ApiError::of(
            about,
            ApiErrorKind::Timeout,
            format!("no complete answer from {} within {} s", self.server(), limit.as_secs_f64()),
        )
        .hint("see whether `kubectl get --raw /readyz` answers, or pass a longer --request-timeout")
    }

    pub(super) fn broken(&self, about: &About, error: kube::Error) -> ApiError {
        let server = self.server();
        if let Some(tls) = find::<rustls::Error>(&error) {
            let hint = tls_hint(tls);
            let message = format!("no secure connection to {server}: {}", tls_text(tls));
            return ApiError::of(about, ApiErrorKind::Tls, message).hint(hint).caused_by(error);
        }
        let io = find::<std::io::Error>(&error).map(std::io::Error::kind);
        let innermost = innermost(&error);
        let why = match io {
            Some(std::io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            Some(std::io::ErrorKind::TimedOut) => match self.connect_timeout {
                Some(limit) => format!("no connection within {} s", limit.as_secs_f64()),
                None => "no connection".to_owned(),
            },
            _ if is_cut_off(&error) => format!("the connection was cut off: {innermost}"),
            _ => innermost,
        };
        let through = self.target.proxy.as_ref().map_or_else(String::new, |proxy| {
            format!(" through the proxy {}", proxy::masked(proxy.to_string().trim_end_matches('/')))
        });
        ApiError::of(about, ApiErrorKind::Unreachable, format!("cannot reach {server}{through}: {why}"))
            .hint("did you choose the right cluster? see `kubectl config view --minify`")
            .caused_by(error)
    }

    fn refusal(&self, about: &About, raw: &Raw) -> ApiError {
        let status: Option<Status> = serde_json::from_slice(&raw.body)
            .ok()
            .filter(|status: &Status| status.kind == "Status");
        let mut error = refusal(about, raw.status, status, &raw.body);
        error.retry_after = retry_after(raw);
        error
    }
}

/// The error that a Status (or, without one, the text of an answer) stands for.
pub(super) fn refusal(about: &About, code: StatusCode, status: Option<Status>, body: &[u8]) -> ApiError {
    use ApiErrorKind::*;
    // A missing type is told from a missing object by the details: the server's router answers in plain text,
    // and its generic answer names no object.
    let names_object = status.as_ref().is_some_and(|status| {
        !status.message.contains("the server could not find the requested resource")
            && (status.details.as_ref().is_some_and(|details| !details.name.is_empty()) || status.message.contains("not found"))
    });
    let kind = match code.as_u16() {
        401 => Unauthorized,
        403 => Forbidden,
        404 if names_object => NotFound,
        404 => NoSuchKind,
        409 => Conflict,
        410 => Gone,
        408 => Timeout,
        429 => TooManyRequests,
        400..=499 => Invalid,
        _ => Server,
    };
    let message = match (&status, kind) {
        (_, NoSuchKind) => match about.resource.is_empty() {
            true => "the server could not find the requested resource".to_owned(),
            false => format!("the server doesn't have the resource type {:?}", about.resource),
        },
        (Some(status), _) if !status.message.is_empty() => status.message.clone(),
        _ => {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            let quote: String = text.chars().take(LONGEST_QUOTE).collect();
            match quote.is_empty() || text.starts_with('<') {
                true => format!("the server answered {code}"),
                false => format!("the server answered {code}: {quote}"),
            }
        }
    };
    let mut error = ApiError::of(about, kind, message);
    error.status = Some(code.as_u16());
    error.reason = status.map(|status| status.reason).filter(|reason| !reason.is_empty());
    error.hint = match kind {
        Unauthorized => Some("see who you are with `kubectl auth whoami`; the credential may have expired".to_owned()),
        // Nobody's rights would change the answer.
        Forbidden if error.is_about_the_object() => None,
        Forbidden => {
            let scope = match &about.namespace {
                Some(namespace) => format!("-n {namespace}"),
                None => "--all-namespaces".to_owned(),
            };
            let (resource, sub) = about.resource.split_once('/').unwrap_or((&about.resource, ""));
            let sub = if sub.is_empty() {
                String::new()
            } else {
                format!(" --subresource={sub}")
            };
            Some(format!("`kubectl auth can-i {} {resource}{sub} {scope}`", about.verb))
        }
        NoSuchKind => Some("see `kubectl api-resources`".to_owned()),
        TooManyRequests => Some("the API server is busy; try again in a while".to_owned()),
        _ => None,
    };
    error
}

fn request(call: &Call, streams: bool) -> Result<http::Request<Body>, kube::Error> {
    let mut builder = http::Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(ACCEPT, call.accept);
    if streams {
        // kube's layer decodes only the first gzip member, and Kubernetes 1.37 sends one per event.
        builder = builder.header(ACCEPT_ENCODING, "identity");
    }
    let body = match &call.body {
        Some((content_type, bytes)) => {
            builder = builder.header(CONTENT_TYPE, *content_type);
            Body::from(bytes.clone())
        }
        None => Body::empty(),
    };
    let mut request = builder.body(body).map_err(kube::Error::HttpError)?;
    crate::cluster::headers::put(request.headers_mut(), &call.headers);
    Ok(request)
}

async fn limited<T>(deadline: Option<Instant>, exchange: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    match deadline {
        Some(deadline) => match tokio::time::timeout_at(deadline, exchange).await {
            Ok(result) => result.map_err(Failure::Broken),
            Err(_) => Err(Failure::Late),
        },
        None => exchange.await.map_err(Failure::Broken),
    }
}

/// Reads a body until its end or until there is enough of it.
async fn collect(mut body: Body, enough: Option<usize>) -> Result<Vec<u8>, kube::Error> {
    let enough = enough.unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    while bytes.len() < enough {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    bytes.truncate(enough);
    Ok(bytes)
}

/// How long to wait before trying again, where that may help; the back-off is added by the caller.
fn pause(repeat: Repeat, raw: &Raw) -> Option<Duration> {
    let again = match (repeat, raw.status.as_u16()) {
        (Repeat::Never, _) => false,
        (_, 429) => true,
        (Repeat::Yes, 500 | 502 | 503 | 504) => true,
        _ => false,
    };
    again.then(|| retry_after(raw).unwrap_or_default())
}

/// How long the API server wants to be left alone, by its header or its Status.
fn retry_after(raw: &Raw) -> Option<Duration> {
    let header = raw
        .headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let asked = header.or_else(|| {
        let status: Status = serde_json::from_slice(&raw.body).ok()?;
        status.details.map(|details| details.retry_after_seconds)
    });
    asked.filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn build(target: &Target, credential: &Arc<Credential>, connect_timeout: Option<Duration>) -> Result<Client, ApiError> {
    let bad = |message: String| ApiError::before(ApiErrorKind::Config, "preparing the connection", message);
    let mut config = kube::Config::new(target.server.clone());
    config.default_namespace = target.namespace.clone();
    // kube would repeat writes too, and for minutes.
    config.default_retry = false;
    config.connect_timeout = connect_timeout;
    config.read_timeout = None;
    config.write_timeout = None;
    config.accept_invalid_certs = target.insecure;
    config.tls_server_name = target.tls_server_name.clone();
    config.proxy_url = target.proxy.clone();
    config.disable_compression = target.disable_compression;
    config.root_cert_file = target.ca_file.clone();
    if let Some(pem) = &target.ca {
        config.root_cert = Some(certificates(pem).map_err(|why| bad(format!("the certificate authority {why}")))?);
    }
    // Only who to act as and the client certificate; what authorises comes with every request.
    config.auth_info = kube::config::AuthInfo {
        impersonate: target.user.impersonate.clone(),
        impersonate_uid: target.user.impersonate_uid.clone(),
        impersonate_groups: target.user.impersonate_groups.clone(),
        impersonate_user_extra: target.user.impersonate_user_extra.clone(),
        ..Default::default()
    };
    if let Some(identity) = credential.identity() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        use secrecy::ExposeSecret as _;
        certificates(&identity.certificate).map_err(|why| bad(format!("the client certificate {why}")))?;
        config.auth_info.client_certificate_data = Some(STANDARD.encode(&identity.certificate));
        config.auth_info.client_key_data = Some(STANDARD.encode(identity.key.expose_secret()).into());
    }
    let agent = HeaderValue::try_from(user_agent()).map_err(|error| bad(error.to_string()))?;
    let credential = credential.clone();
    let layer = MapRequestLayer::new(move |mut request: http::Request<Body>| {
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, agent.clone());
        if let Some(value) = credential.header() {
            headers.insert(AUTHORIZATION, value);
        }
        request
    });
    let builder = ClientBuilder::try_from(config)
        .map_err(|error| bad(format!("the connection cannot be set up: {}", innermost(&error))).caused_by(error))?;
    Ok(builder.with_layer(&layer).build())
}

fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "token", "secret"]
        .iter()
        .any(|part| name.contains(part))
}

/// `299 - "text"`, as RFC 7234 and the API server write it.
fn warning_text(value: &str) -> Option<String> {
    let rest = value.strip_prefix("299 ")?;
    let start = rest.find('"')?;
    let mut text = String::new();
    let mut characters = rest[start + 1..].chars();
    loop {
        match characters.next()? {
            '\\' => text.push(characters.next()?),
            '"' => return Some(text),
            c => text.push(c),
        }
    }
}

/// Walks the causes of an error, also those that an `io::Error` wraps without naming them as its source.
fn walk<'a>(error: &'a (dyn StdError + 'static), mut visit: impl FnMut(&'a (dyn StdError + 'static)) -> bool) {
    let mut next = Some(error);
    // A chain this long is a circle.
    for _ in 0..32 {
        let Some(error) = next else { return };
        if visit(error) {
            return;
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut found = None;
    walk(error, |error| {
        if let Some(wanted) = error.downcast_ref::<E>() {
            found = Some(wanted);
        }
        false
    });
    found
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    walk(error, |error| {
        let own = error.to_string();
        if !own.is_empty() {
            text = own;
        }
        false
    });
    text
}

/// Whether the connection was there and broke off, so that another try may do better.
fn is_cut_off(error: &(dyn StdError + 'static)) -> bool {
    use std::io::ErrorKind::*;
    let mut cut = false;
    walk(error, |error| {
        let by_io = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| matches!(io.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof));
        let by_http = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|http| http.is_incomplete_message() || http.is_closed() || http.is_canceled());
        cut |= by_io || by_http;
        cut
    });
    cut
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::CertificateError::*;
    match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => "its certificate is signed by an authority that is not trusted".to_owned(),
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => "its certificate has expired".to_owned(),
        rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "its certificate is not valid yet; compare the clocks".to_owned()
        }
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

fn tls_hint(error: &rustls::Error) -> String {
    use rustls::CertificateError::*;
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "pass the name of the certificate with --tls-server-name".to_owned()
        }
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "pass the cluster's authority with --certificate-authority FILE, and see whether a proxy stands in between".to_owned()
        }
        rustls::Error::AlertReceived(_) => "the server refused the client certificate; see `kubectl config view --minify`".to_owned(),
        rustls::Error::InvalidMessage(_) => "the server's URL may have to start with http://".to_owned(),
        _ => "see `kubectl config view --minify`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_with_their_escapes() {
        assert_eq!(
            warning_text(r#"299 - "v1 Endpoints is deprecated""#),
            Some("v1 Endpoints is deprecated".into())
        );
        assert_eq!(warning_text(r#"299 kube "a \"b\" c" "date""#), Some(r#"a "b" c"#.into()));
        assert_eq!(warning_text(r#"199 - "other""#), None);
        assert_eq!(warning_text(r#"299 - "open"#), None);
    }

    #[test]
    fn a_right_is_named_where_it_would_help() {
        let about = About {
            verb: "create",
            resource: "pods".into(),
            namespace: Some("shop".into()),
            ..About::default()
        };
        for (message, is_right) in [
            (
                r#"pods is forbidden: User "a" cannot create resource "pods" in API group "" in the namespace "shop""#,
                true,
            ),
            ("Forbidden", true),
            (r#"pods "a" is forbidden: exceeded quota: q, requested: pods=1"#, false),
            (
                r#"pods "a" is forbidden: violates PodSecurity "restricted:latest": privileged"#,
                false,
            ),
            (
                r#"pods "a" is forbidden: unable to create new content in namespace shop because it is being terminated"#,
                false,
            ),
            (r#"admission webhook "a.example" denied the request: no"#, false),
        ] {
            let status = serde_json::from_value(serde_json::json!({"kind": "Status", "message": message})).unwrap();
            let error = refusal(&about, StatusCode::FORBIDDEN, Some(status), b"");
            assert_eq!(
                (error.hint.is_some(), error.is_about_the_object()),
                (is_right, !is_right),
                "{message}"
            );
        }
    }

    #[test]
    fn a_missing_type_is_not_a_missing_object() {
        let about = About {
            resource: "pods".into(),
            ..About::default()
        };
        let kind = |body: &str| {
            let status = serde_json::from_str(body).ok();
            refusal(&about, StatusCode::NOT_FOUND, status, body.as_bytes()).kind
        };
        assert_eq!(
            kind(r#"{"kind":"Status","message":"pods \"a\" not found","details":{"name":"a","kind":"pods"}}"#),
            ApiErrorKind::NotFound
        );
        assert_eq!(
            kind(r#"{"kind":"Status","message":"the server could not find the requested resource","details":{}}"#),
            ApiErrorKind::NoSuchKind
        );
        assert_eq!(kind("404 page not found"), ApiErrorKind::NoSuchKind);
    }

    #[test]
    fn a_page_of_html_is_not_repeated() {
        let about = About::default();
        let error = refusal(&about, StatusCode::BAD_GATEWAY, None, b"<html><body>login</body></html>");
        assert_eq!(error.message, "the server answered 502 Bad Gateway");
    }
}
