//! A small API server for tests: it serves objects and scripted answers, misbehaves on request, and remembers what it was asked.
//!
//! ```ignore
//! let api = FakeApi::start()
//!     .holding([json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}})])
//!     .on("GET", "/api/v1/namespaces/n/pods/a/log", Answer::text("line"))
//!     .forbid("GET", "/api/v1/namespaces/n/events");
//! let connection = api.connect().await;
//! ```
//!
//! A route is a method and a path, exact or ending in `*`; with `?name=value` it asks for these parameters too.
//! Several answers for one route are given in turn, the last one for ever. Routes win over held objects, later ones
//! over earlier ones that are less exact. The server has its own thread, so that tests may start processes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use podlife::cluster::{ConnectOptions, Connection, no_log};
use podlife::io::Environment;
use podlife::model::kind::{self, Kind};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One answer of the server.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    content: Content,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Content {
    /// All at once.
    Whole,
    /// In pieces of so many bytes, with a pause after each.
    Dribble(usize, Duration),
    /// The body, and then nothing more for ever.
    Open,
    /// The body, and then the connection breaks.
    CutOff,
    /// A port-forward whose server closes at once, in good order or not.
    Forward { breaks: bool },
    /// Nothing, and the connection stays open.
    Hang,
    /// Nothing, and the connection breaks.
    Drop,
}

impl Answer {
    fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
            content: Content::Whole,
            delay: Duration::ZERO,
        }
    }

    /// 200 with a document; an array becomes a list.
    pub fn json(value: Value) -> Self {
        let value = match value {
            Value::Array(items) => list(items),
            value => value,
        };
        Self::new(200, "application/json", value.to_string())
    }

    /// 200 with text.
    pub fn text(text: &str) -> Self {
        Self::new(200, "text/plain", text)
    }

    /// 200 with bytes of any kind.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::new(200, "text/plain", bytes)
    }

    /// A Status as the API server writes it.
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Self::new(code, "application/json", body.to_string())
    }

    /// A bare code without a Status.
    pub fn code(code: u16) -> Self {
        Self::new(code, "text/plain", "")
    }

    /// Events of a watch; the connection stays open behind them.
    pub fn watch(events: impl IntoIterator<Item = Value>) -> Self {
        let body: String = events.into_iter().map(|event| format!("{event}\n")).collect();
        Self {
            content: Content::Open,
            ..Self::new(200, "application/json", body)
        }
    }

    /// Takes a port-forward, whose server closes the connection; or the connection breaks on the way.
    pub fn forward(breaks: bool) -> Self {
        Self {
            content: Content::Forward { breaks },
            ..Self::new(101, "", Vec::new())
        }
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Self {
            content: Content::Hang,
            ..Self::code(200)
        }
    }

    /// Closes the connection without an answer.
    pub fn drop() -> Self {
        Self {
            content: Content::Drop,
            ..Self::code(200)
        }
    }

    /// Ends the connection behind the body, in place of what [`Self::watch`] does.
    pub fn ending(self) -> Self {
        Self {
            content: Content::Whole,
            ..self
        }
    }

    /// Breaks the connection behind the body.
    pub fn cut_off(self) -> Self {
        Self {
            content: Content::CutOff,
            ..self
        }
    }

    /// Keeps the connection open behind the body, as if there were more to come.
    pub fn open(self) -> Self {
        Self {
            content: Content::Open,
            ..self
        }
    }

    /// Sends the body in pieces, with a pause after each.
    pub fn dribble(self, piece: usize, pause: Duration) -> Self {
        Self {
            content: Content::Dribble(piece, pause),
            ..self
        }
    }

    /// Waits before the head of the answer.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self::json(value)
    }
}

fn list(items: Vec<Value>) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1000"}, "items": items})
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// Decoded parameters.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    /// Values of a header, joined.
    pub fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        values.join(",")
    }

    /// A parameter, or nothing.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

struct Route {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    answers: Vec<Answer>,
    given: usize,
}

#[derive(Default)]
struct State {
    routes: Vec<Route>,
    objects: Vec<Value>,
    serves_kinds: bool,
    seen: Vec<Seen>,
    connections: usize,
}

/// The server. It stops with the test process.
pub struct FakeApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    folder: Folder,
    tls: Option<PathBuf>,
}

impl FakeApi {
    /// Starts a server without any route, on a free port of 127.0.0.1, over plain HTTP.
    pub fn start() -> Self {
        Self::listen(None)
    }

    /// The same over TLS with the certificate `tests/fixtures/tls/NAME.crt`, and that folder's `ca.crt` in the kubeconfig.
    pub fn start_tls(name: &str) -> Self {
        Self::listen(Some(name))
    }

    fn listen(certificate: Option<&str>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let acceptor = certificate.map(acceptor);
        let (send, receive) = std::sync::mpsc::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    shared.lock().unwrap().connections += 1;
                    let (state, acceptor) = (shared.clone(), acceptor.clone());
                    tokio::spawn(async move {
                        match acceptor {
                            Some(acceptor) => {
                                if let Ok(socket) = acceptor.accept(socket).await {
                                    serve(socket, state).await;
                                }
                            }
                            None => serve(socket, state).await,
                        }
                    });
                }
            });
        });
        Self {
            address: receive.recv().unwrap(),
            state,
            folder: Folder::new(),
            tls: certificate.map(|_| fixture("tls/ca.crt")),
        }
    }

    /// Adds an answer for a route; a second one for the same route is given the second time, and so on.
    pub fn on(self, method: &str, route: &str, answer: impl Into<Answer>) -> Self {
        let (path, query) = route.split_once('?').unwrap_or((route, ""));
        let query = parameters(query);
        let mut state = self.state.lock().unwrap();
        let same = |r: &&mut Route| r.method == method && r.path == path && r.query == query;
        match state.routes.iter_mut().find(same) {
            Some(route) => route.answers.push(answer.into()),
            None => state.routes.push(Route {
                method: method.to_owned(),
                path: path.to_owned(),
                query,
                answers: vec![answer.into()],
                given: 0,
            }),
        }
        drop(state);
        self
    }

    /// From now on, this is the only answer for a route that has some.
    pub fn replace(&self, method: &str, path: &str, answer: impl Into<Answer>) {
        let mut state = self.state.lock().unwrap();
        let mut routes = state.routes.iter_mut();
        let route = routes.find(|route| route.method == method && route.path == path).unwrap();
        route.answers = vec![answer.into()];
    }

    /// Refuses a route as RBAC does.
    pub fn forbid(self, method: &str, route: &str) -> Self {
        let resource = route.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        let message = format!("{resource} is forbidden: User \"jane\" cannot use resource \"{resource}\"");
        self.on(method, route, Answer::status(403, "Forbidden", &message))
    }

    /// Serves these objects: lists (with label and field selectors), single reads, and empty lists of every kind that podlife knows.
    pub fn holding(self, objects: impl IntoIterator<Item = Value>) -> Self {
        let mut state = self.state.lock().unwrap();
        state.objects.extend(objects);
        state.serves_kinds = true;
        drop(state);
        self
    }

    /// What was asked, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// A folder for files of the test, removed with the server.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Writes a kubeconfig with this server as the current context (namespace `fallback`) and returns its path.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of(json!({}), json!({}))
    }

    /// The same with fields of the cluster and the user set.
    pub fn kubeconfig_of(&self, cluster: Value, user: Value) -> PathBuf {
        let mut entry = json!({"server": self.url()});
        if let Some(ca) = &self.tls {
            entry["certificate-authority"] = json!(ca);
        }
        for (field, value) in cluster.as_object().unwrap() {
            entry[field] = value.clone();
        }
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": entry}],
            "users": [{"name": "jane", "user": user}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "jane", "namespace": "fallback"}}],
        });
        let path = self.folder().join("kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Options for this server; what is not said is the default.
    pub fn options(&self) -> ConnectOptions {
        ConnectOptions {
            kubeconfig: Some(self.kubeconfig()),
            ..ConnectOptions::default()
        }
    }

    /// A connection as it is without flags, in an empty environment.
    pub async fn connect(&self) -> Connection {
        self.connect_with(self.options()).await
    }

    /// A connection with options of the test.
    pub async fn connect_with(&self, options: ConnectOptions) -> Connection {
        Connection::open(&options, &Environment::default(), no_log()).await.unwrap()
    }
}

/// A folder of its own for each user, removed in the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file below `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn acceptor(name: &str) -> tokio_rustls::TlsAcceptor {
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(fixture(&format!("tls/{name}.crt"))).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture(&format!("tls/{name}.key"))).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("tls/ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

async fn serve(socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request: Request<Incoming>| answer(request, state.clone()));
    // A broken connection is what some tests want.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
}

async fn answer(mut request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Body>, String> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Seen {
        method: parts.method.to_string(),
        path: decoded(parts.uri.path()),
        query: parameters(parts.uri.query().unwrap_or_default()),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let answer = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        state.choose(&seen)
    };
    tokio::time::sleep(answer.delay).await;
    let bytes = Bytes::from(answer.body);
    let body: Body = match answer.content {
        Content::Drop => return Err("dropped".to_owned()),
        Content::Hang => std::future::pending().await,
        Content::Forward { breaks } => return Ok(forwarded(&seen, upgrade, breaks)),
        Content::Whole => http_body_util::Full::new(bytes).boxed_unsync(),
        Content::Open => pieces(vec![bytes], Duration::ZERO, true),
        Content::Dribble(size, pause) => pieces(bytes.chunks(size).map(Bytes::copy_from_slice).collect(), pause, false),
        Content::CutOff => {
            // A length that is never reached.
            let mut response = Response::builder().status(answer.status).header("content-length", bytes.len() + 1);
            for (name, value) in answer.headers {
                response = response.header(name, value);
            }
            // What was sent must have left before the break.
            let body = pieces(vec![bytes, Bytes::new()], Duration::from_millis(50), false);
            return response.body(body).map_err(|error| error.to_string());
        }
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(|error| error.to_string())
}

/// Accepts a port-forward by WebSocket, names the port on both of its channels, and ends.
fn forwarded(seen: &Seen, upgrade: hyper::upgrade::OnUpgrade, breaks: bool) -> Response<Body> {
    use base64::Engine as _;
    use sha1::Digest as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let [low, high] = seen.parameter("ports").parse::<u16>().unwrap().to_le_bytes();
    tokio::spawn(async move {
        let mut socket = TokioIo::new(upgrade.await.unwrap());
        let mut frames = vec![0x82, 3, 0, low, high, 0x82, 3, 1, low, high];
        if !breaks {
            frames.extend([0x88, 0]);
        }
        socket.write_all(&frames).await.unwrap();
        socket.flush().await.unwrap();
        if !breaks {
            // Until the other end has closed too.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    });
    let key = seen.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = base64::engine::general_purpose::STANDARD.encode(sha1::Sha1::digest(key));
    let response = Response::builder()
        .status(101)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-accept", accept)
        .header("sec-websocket-protocol", "v4.channel.k8s.io");
    response.body(http_body_util::Empty::new().boxed_unsync()).unwrap()
}

fn pieces(pieces: Vec<Bytes>, pause: Duration, open: bool) -> Body {
    let sent = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(piece))
    });
    match open {
        true => StreamBody::new(sent.chain(stream::pending())).boxed_unsync(),
        false => StreamBody::new(sent).boxed_unsync(),
    }
}

impl State {
    fn choose(&mut self, seen: &Seen) -> Answer {
        let fits = |route: &Route| {
            let path = match route.path.strip_suffix('*') {
                Some(start) => seen.path.starts_with(start),
                None => seen.path == route.path,
            };
            path && route.method == seen.method && route.query.iter().all(|pair| seen.query.contains(pair))
        };
        let exactness = |route: &Route| (!route.path.ends_with('*'), route.query.len(), route.path.len());
        let best = self
            .routes
            .iter_mut()
            .filter(|route| fits(route))
            .max_by_key(|route| exactness(route));
        if let Some(route) = best {
            let answer = route.answers[route.given.min(route.answers.len() - 1)].clone();
            route.given += 1;
            return answer;
        }
        if self.serves_kinds
            && seen.method == "GET"
            && let Some(answer) = self.held(seen)
        {
            return answer;
        }
        Answer::new(404, "text/plain", "404 page not found\n")
    }

    /// Lists and single objects out of what is held.
    fn held(&self, seen: &Seen) -> Option<Answer> {
        let (kind, namespace, name) = split(&seen.path)?;
        let mut found: Vec<Value> = self
            .objects
            .iter()
            .filter(|object| {
                object["kind"] == *kind.kind
                    && kind.is_group_of(object["apiVersion"].as_str().unwrap())
                    && namespace
                        .as_ref()
                        .is_none_or(|namespace| object["metadata"]["namespace"] == **namespace)
            })
            .cloned()
            .collect();
        if let Some(name) = name {
            return Some(match found.into_iter().find(|object| object["metadata"]["name"] == *name) {
                Some(object) => Answer::json(object),
                None => {
                    let body = json!({
                        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                        "message": format!("{} {name:?} not found", kind.qualified_plural()),
                        "details": {"name": name, "kind": kind.plural},
                    });
                    Answer::new(404, "application/json", body.to_string())
                }
            });
        }
        found.retain(|object| {
            selects(seen.parameter("labelSelector"), |key| &object["metadata"]["labels"][key])
                && selects(seen.parameter("fieldSelector"), |path| {
                    path.split('.').fold(object, |at, step| &at[step])
                })
        });
        if seen.parameter("watch") == "true" {
            return Some(Answer::watch([]));
        }
        for object in &mut found {
            // The items of a real list have no type.
            object.as_object_mut().unwrap().remove("apiVersion");
            object.as_object_mut().unwrap().remove("kind");
        }
        Some(Answer::json(Value::Array(found)))
    }
}

/// Kind, namespace and name that a path of a known kind speaks of.
fn split(path: &str) -> Option<(&'static Kind, Option<String>, Option<String>)> {
    let namespace = path.split_once("/namespaces/").and_then(|(_, rest)| rest.split('/').next());
    kind::KNOWN.iter().find_map(|(kind, _)| {
        let roots = [kind.path(namespace), kind.path(None)];
        roots.iter().find_map(|root| {
            let rest = path.strip_prefix(root.as_str())?;
            let name = match rest.strip_prefix('/') {
                Some(name) if !name.contains('/') => Some(name.to_owned()),
                None if rest.is_empty() => None,
                _ => return None,
            };
            let of = namespace.filter(|_| kind.namespaced).map(str::to_owned);
            Some((kind, of, name))
        })
    })
}

/// `a=b,c!=d` over the values that `get` finds; other operators select everything.
fn selects<'a>(selector: &str, get: impl Fn(&str) -> &'a Value) -> bool {
    selector.split(',').filter(|term| !term.is_empty()).all(|term| {
        let text = |key: &str| get(key).as_str().unwrap_or_default().to_owned();
        match (term.split_once("!="), term.split_once('=')) {
            (Some((key, value)), _) => text(key) != value,
            (None, Some((key, value))) => text(key) == value.trim_start_matches('='),
            _ => true,
        }
    })
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            let digits = String::from_utf8(digits).unwrap();
            bytes.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
