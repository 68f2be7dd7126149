//! Requests through a gateway whose table is written by hand, to applications in this process. What it asks the cluster is answered by hand, too.

mod hostile;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

use crate::gateway::activity::{Activity, Cause};
use crate::gateway::auth::Auth;
use crate::gateway::auth::jwt::{Claims, Source};
use crate::gateway::auth::keys::Keys;
use crate::gateway::backend::{Backend, Dialer};
use crate::gateway::flights::{Flights, Start};
use crate::gateway::gate::{Ask, Gate};
use crate::gateway::headers::RequestIds;
use crate::gateway::metrics::Metrics;
use crate::gateway::naming::Naming;
use crate::gateway::owners::Owners;
use crate::gateway::plan::Limits;
use crate::gateway::problem::Problem;
use crate::gateway::server;
use crate::gateway::table::{Entry, Step, Table};
use crate::gateway::tls::{Tls, TlsFiles};

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

struct Front {
    address: SocketAddr,
    gate: Arc<Gate>,
    table: Arc<Table>,
    flights: Arc<Flights>,
    starts: UnboundedReceiver<Start>,
    asks: UnboundedReceiver<Ask>,
    stop: watch::Sender<Option<Duration>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Front {
    fn new() -> Self {
        Self::limited(|_| {})
    }

    fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::begin(change, Auth::Nobody, None, Naming::default())
    }

    fn guarded(change: impl FnOnce(&mut Limits), auth: Auth) -> Self {
        Self::begin(change, auth, None, Naming::default())
    }

    fn secured(tls: Tls) -> Self {
        Self::begin(|_| {}, Auth::Nobody, Some(Arc::new(tls)), Naming::default())
    }

    fn naming(by_header: bool, domain: &str) -> Self {
        let domain = Some(domain.to_owned());
        Self::begin(|_| {}, Auth::Nobody, None, Naming { by_header, domain })
    }

    fn begin(change: impl FnOnce(&mut Limits), auth: Auth, tls: Option<Arc<Tls>>, naming: Naming) -> Self {
        let mut limits = Limits {
            ready_timeout: DEADLINE,
            waiters_of_session: 10,
            waiters: 10,
            requests_of_owner: None,
            sessions_of_owner: None,
            body: None,
            drain: Duration::ZERO,
        };
        change(&mut limits);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let ((starter, starts), (asks, asked)) = (unbounded_channel(), unbounded_channel());
        let (table, flights) = (Arc::new(Table::new()), Arc::new(Flights::new(limits, starter)));
        let gate = Arc::new(Gate {
            table: table.clone(),
            flights: flights.clone(),
            dialer: Dialer::Direct,
            limits,
            naming,
            owners: Owners::new(limits.requests_of_owner),
            asks,
            auth,
            metrics: Metrics::new(),
            ids: RequestIds::new(),
            is_ready: true.into(),
            is_ending: false.into(),
        });
        let (stop, stopped) = watch::channel(None);
        let server = tokio::spawn(server::serve(listener, tls, gate.clone(), stopped));
        Self {
            address,
            gate,
            table,
            flights,
            starts,
            asks: asked,
            stop,
            server,
        }
    }

    /// From now on the application of a session is at this address.
    fn put(&self, id: &str, uid: &str, generation: u32, address: SocketAddr) {
        self.put_entry(id, None, Some(Backend::new("pod", uid, generation, address)));
    }

    /// The same for a session of somebody.
    fn put_of(&self, id: &str, owner: Option<&str>, address: SocketAddr) {
        self.put_entry(id, owner, Some(Backend::new("pod", id, 1, address)));
    }

    fn put_entry(&self, id: &str, owner: Option<&str>, backend: Option<Backend>) {
        self.table.put(Entry {
            id: id.into(),
            record_uid: "record".to_owned(),
            owner: owner.map(str::to_owned),
            step: if backend.is_some() { Step::Running } else { Step::Unscheduled },
            backend: backend.map(Arc::new),
            given_up: None,
            recorded: jiff::Timestamp::UNIX_EPOCH,
            idle_timeout: Some(Duration::from_secs(600)),
            kept: None,
            end: None,
            activity: Activity::new(),
        });
    }

    /// Sends bytes, and reads all that comes back until the connection ends.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_all(&mut stream).await
    }

    /// A request on a connection of its own: the whole answer.
    async fn get(&self, path: &str, headers: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{headers}\r\n");
        self.raw(request.as_bytes()).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut all)).await;
    // A reset after the answer is an end, too.
    let _ = read.expect("the connection ends");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until a text has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(text) {
        let byte = tokio::time::timeout(DEADLINE, stream.read_u8()).await.expect(text);
        all.push(byte.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&all))));
    }
    String::from_utf8(all).unwrap()
}

fn fixture(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).boxed())
}

/// An application: what it answers, on any number of connections.
async fn application<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = Response<Body>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection.with_upgrades());
        }
    });
    address
}

/// An application that answers with what it was asked.
async fn echo() -> SocketAddr {
    application(|request| async move {
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        lines.extend(request.headers().iter().map(header));
        let body = request.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        lines.push(format!("body: {}", String::from_utf8_lossy(&body.to_bytes())));
        lines.extend(trailers.iter().map(header).map(|line| format!("trailer {line}")));
        text(lines.join("\n"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_gets_to_the_application_without_the_prefix() {
    let front = Front::new();
    front.put("a", "pod-1", 3, echo().await);
    let answer = front
        .get("/api/v1/session/a/x/../y?q=%2f", "Authorization: Bearer x\r\nX-Own: 1\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for line in [
        "x-session-generation: 3",
        "x-session-expires-in: 600",
        "x-request-id: ",
        "GET /x/../y?q=%2f\n",
        "\nhost: gateway\n",
        "x-own: 1\n",
        "x-forwarded-for: 127.0.0.1\n",
        "x-forwarded-host: gateway\n",
        "x-forwarded-prefix: /api/v1/session/a\n",
        "x-forwarded-proto: http\n",
    ] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert!(!answer.contains("Bearer"), "{answer}");
    let posted = front
        .raw(b"POST /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    assert!(
        posted.contains("POST /\n") && posted.contains("content-length: 5\n") && posted.contains("body: hello"),
        "{posted}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_waited_for_its_session_is_told_it_before_the_first_request() {
    let mut front = Front::new();
    let mut starts = std::mem::replace(&mut front.starts, unbounded_channel().1);
    let (asked, mut asks) = unbounded_channel();
    let app = application(move |request| {
        let asked = asked.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            asked.send(format!("{line} {}", String::from_utf8_lossy(&body))).unwrap();
            let mut answer = text("");
            if line.contains("/refuse") {
                *answer.status_mut() = StatusCode::CONFLICT;
            }
            answer
        }
    })
    .await;
    front.put_entry("a \"b\"", None, Some(Backend::new("pod", "pod-1", 1, app).untold()));
    let entry = front.table.get("a \"b\"").unwrap();
    let backend = entry.backend.as_ref().unwrap();
    let begun = front.get("/api/v1/session/a%20%22b%22/first", "");
    let told = async {
        // The request waits for a flight, which has to tell first.
        let start = starts.recv().await.unwrap();
        assert_eq!(
            backend.tell(&Dialer::Direct, "/refuse", &start.id).await.unwrap(),
            StatusCode::CONFLICT
        );
        assert!(!backend.may_answer(&Dialer::Direct));
        assert_eq!(
            backend.tell(&Dialer::Direct, "/claim?a=b", &start.id).await.unwrap(),
            StatusCode::OK
        );
        backend.told();
        start.landing.send_replace(Some(Ok(())));
        front.flights.end(&start.id, None);
    };
    let (answer, ()) = tokio::join!(begun, told);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    for expected in [
        "POST /refuse {\"id\":\"a \\\"b\\\"\"}",
        "POST /claim?a=b {\"id\":\"a \\\"b\\\"\"}",
        "GET /first ",
    ] {
        assert_eq!(asks.recv().await.as_deref(), Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_in_both_directions() {
    let front = Front::new();
    let app = application(|request| async move {
        let body = request.into_body().collect().await.unwrap();
        let sum = body.trailers().and_then(|all| all.get("x-sum")).cloned().unwrap();
        let frames = [
            Frame::data(body.to_bytes()),
            Frame::trailers([(http::HeaderName::from_static("x-sum"), sum)].into_iter().collect()),
        ];
        let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)));
        let mut answer = Response::new(body.boxed());
        answer.headers_mut().insert("trailer", "x-sum".parse().unwrap());
        answer
    })
    .await;
    front.put("a", "pod-1", 1, app);
    let request = "POST /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\nTE: trailers\r\nConnection: TE, close\r\nTrailer: x-sum\r\n\
                   Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n";
    let answer = front.raw(request.as_bytes()).await;
    assert!(answer.contains("hello") && answer.ends_with("x-sum: 42\r\n\r\n"), "{answer}");
}

/// An application that answers once, with what is sent to it here.
async fn streaming() -> (SocketAddr, tokio::sync::mpsc::Sender<Bytes>) {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let app = application(move |_| {
        let receiver = receiver.clone();
        async move {
            let receiver = receiver.lock().await.take().unwrap();
            let stream = futures::stream::unfold(receiver, |mut receiver| async move {
                let bytes = receiver.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
            });
            Response::new(StreamBody::new(stream).boxed())
        }
    })
    .await;
    (app, sender)
}

/// A request to such an application, and what sends its answer.
async fn streamed() -> (Front, TcpStream, tokio::sync::mpsc::Sender<Bytes>) {
    let front = Front::new();
    let (app, sender) = streaming().await;
    front.put("a", "pod-1", 1, app);
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    stream
        .write_all(b"GET /api/v1/session/a/events HTTP/1.1\r\nHost: g\r\n\r\n")
        .await
        .unwrap();
    (front, stream, sender)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_may_be_named_by_a_header_or_by_its_host() {
    let front = Front::naming(true, "sessions.example");
    front.put("a", "pod-1", 1, echo().await);
    let ask = |host: &str, headers: &str, path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        let front = &front;
        async move { front.raw(request.as_bytes()).await }
    };
    for (host, headers) in [
        ("gateway", "X-Session-Id: a\r\n"),
        ("A.sessions.example:8080", ""),
        ("a.sessions.example", "X-Session-Id: a\r\n"),
    ] {
        for path in ["/x/../y?q=%2f", "/healthz", "/api/v1/sessions", "//b"] {
            let answer = ask(host, headers, path).await;
            assert!(answer.contains(&format!("GET {path}\n")), "{host}{path}: {answer}");
            assert!(
                !answer.contains("x-session-id") && !answer.contains("x-forwarded-prefix"),
                "{answer}"
            );
        }
    }
    for (host, headers, path) in [
        ("b.sessions.example", "X-Session-Id: a\r\n", "/"),
        ("a.sessions.example", "Host: a.sessions.example\r\n", "/"),
        ("a.sessions.example", "", "http://b.sessions.example/"),
        ("a.sessions.example", "", "/api/v1/session/b/"),
        ("gateway", "X-Session-Id: a\r\n", "/api/v1/sessions/b"),
        ("gateway", "X-Session-Id: a\r\nX-Session-Id: a\r\n", "/"),
        ("x.a.sessions.example", "", "/"),
    ] {
        let answer = ask(host, headers, path).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{host} {headers}{path}: {answer}");
    }
    // Over HTTP/2.
    for (authority, header, status) in [
        ("a.sessions.example", None, 200),
        ("a.sessions.example", Some(("host", "a.sessions.example")), 200),
        ("a.sessions.example", Some(("host", "b.sessions.example")), 400),
        ("gateway", Some(("host", "a.sessions.example")), 400),
        ("a.sessions.example", Some(("x-session-id", "b")), 400),
        ("gateway", Some(("x-session-id", "a")), 200),
        ("gateway", None, 404),
    ] {
        let stream = TcpStream::connect(front.address).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(format!("http://{authority}/x"))
            .body(Full::<Bytes>::default())
            .unwrap();
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{authority} {header:?}");
    }
    assert!(ask("sessions.example", "", "/healthz").await.ends_with("ok\n"));
    let accepted = ask("c.sessions.example", "Prefer: respond-async\r\n", "/").await;
    assert!(
        accepted.starts_with("HTTP/1.1 202 ") && !accepted.contains("location: ") && accepted.ends_with("{\"id\":\"c\"}"),
        "{accepted}"
    );
    // Not switched on, it is a header as any other.
    let front = Front::new();
    front.put("a", "pod-1", 1, echo().await);
    assert!(
        front
            .get("/api/v1/session/a/", "X-Session-Id: b\r\n")
            .await
            .contains("x-session-id: b\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_cut_at_the_maximum_lifetime_and_not_ended() {
    let (front, mut stream, sender) = streamed().await;
    sender.send(Bytes::from("data: 1\n\n")).await.unwrap();
    read_until(&mut stream, "data: 1\n\n\r\n").await;
    front.table.get("a").unwrap().activity.cut(Cause::Lifetime);
    assert_eq!(read_all(&mut stream).await, "");
    sender.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_passes_as_it_comes_and_counts_as_use() {
    let (front, mut stream, sender) = streamed().await;
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(Bytes::from(event)).await.unwrap();
        read_until(&mut stream, event).await;
    }
    let activity = front.table.get("a").unwrap().activity.clone();
    assert_eq!(activity.idle(), Some(Duration::ZERO));
    drop(sender);
    read_until(&mut stream, "0\r\n\r\n").await;
    let end = tokio::time::Instant::now() + DEADLINE;
    while activity.idle() == Some(Duration::ZERO) {
        assert!(tokio::time::Instant::now() < end, "the stream has ended");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let front = Front::new();
    let app = application(|mut request| async move {
        assert_eq!(request.headers()["upgrade"], "websocket");
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded.await.unwrap()));
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
        let mut answer = text("");
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        answer.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        answer
    })
    .await;
    front.put("a", "pod-1", 1, app);
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let request = b"GET /api/v1/session/a/ws HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("x-session-generation: 1"),
        "{head}"
    );
    for word in ["one", "two"] {
        stream.write_all(word.as_bytes()).await.unwrap();
        assert_eq!(read_until(&mut stream, word).await, word);
    }
    assert_eq!(front.table.get("a").unwrap().activity.idle(), Some(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_first_is_told_to_go_on_only_when_there_is_an_application() {
    let mut front = Front::new();
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let head = b"POST /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let start = front.starts.recv().await.unwrap();
    front.put("a", "pod-1", 1, echo().await);
    front.flights.end(&"a".into(), None);
    start.landing.send_replace(Some(Ok(())));
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.contains("body: hello") && !answer.contains("expect"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_served_too() {
    let front = Front::new();
    front.put("a", "pod-1", 1, echo().await);
    let stream = TcpStream::connect(front.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://gateway.example/api/v1/session/a/x?y")
        .body(Full::new(Bytes::from("hello")))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["x-session-generation"], "1");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    assert!(
        body.contains("POST /x?y\n") && body.contains("\nhost: gateway.example\n") && body.contains("body: hello"),
        "{body}"
    );
}

/// An application that says how often it was connected to, and on which connection it answers.
async fn counting(answers: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for connection in 1.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                for answer in 1..=answers {
                    if !head_came(&mut stream).await {
                        return;
                    }
                    let body = format!("connection {connection}, answer {answer}");
                    let last = if answer == answers { "Connection: close\r\n" } else { "" };
                    let answer = format!("HTTP/1.1 200 OK\r\n{last}Content-Length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn head_came(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_used_again_until_the_application_closes_them() {
    let front = Front::new();
    front.put("a", "pod-1", 1, counting(2).await);
    let mut again = 0;
    while again < 5 {
        let answer = front.get("/api/v1/session/a/", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        again += usize::from(answer.ends_with("answer 2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_sent_is_never_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut front = Front::new();
    front.put("a", "pod-1", 1, listener.local_addr().unwrap());
    let asked = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(head_came(&mut stream).await);
    };
    let (answer, ()) = tokio::join!(front.get("/api/v1/session/a/", ""), asked);
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("urn:podlife:no-answer"),
        "{answer}"
    );
    // Whoever had connected again would be waiting by now.
    let again = listener.into_std().unwrap().accept();
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert!(front.starts.try_recv().is_err());
    assert_eq!(front.table.get("a").unwrap().activity.idle(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_pod_of_the_session_gets_connections_of_its_own() {
    let front = Front::new();
    front.put("a", "pod-1", 1, counting(9).await);
    front.get("/api/v1/session/a/", "").await;
    front.put("a", "pod-2", 2, counting(9).await);
    let answer = front.get("/api/v1/session/a/", "").await;
    assert!(
        answer.contains("x-session-generation: 2") && answer.ends_with("connection 1, answer 1"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_for_one_flight_also_when_the_first_client_has_gone() {
    let mut front = Front::new();
    let mut first = TcpStream::connect(front.address).await.unwrap();
    first
        .write_all(b"GET /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\n\r\n")
        .await
        .unwrap();
    let start = front.starts.recv().await.unwrap();
    drop(first);
    // Otherwise it might be answered first.
    while front.flights.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let second = front.get("/api/v1/session/a/", "");
    let landing = async {
        while front.flights.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        front.put("a", "pod-1", 1, counting(9).await);
        front.flights.end(&"a".into(), None);
        start.landing.send_replace(Some(Ok(())));
    };
    let (answer, ()) = tokio::join!(second, landing);
    assert!(answer.ends_with("connection 1, answer 1"), "{answer}");
    assert!(front.starts.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_fails_is_a_problem_and_a_page_for_browsers() {
    let mut front = Front::new();
    let mut starts = std::mem::replace(&mut front.starts, unbounded_channel().1);
    for (accept, kind) in [("*/*", "application/problem+json"), ("text/html", "text/html")] {
        let headers = format!("Accept: {accept}\r\n");
        let asked = front.get("/api/v1/session/a/", &headers);
        let landing = async {
            let start = starts.recv().await.unwrap();
            front.flights.end(&"a".into(), None);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-sessions", "the maximum <b>").retry_after(30);
            start.landing.send_replace(Some(Err(Arc::new(problem))));
        };
        let (answer, ()) = tokio::join!(asked, landing);
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
        assert!(answer.contains("retry-after: 30") && answer.contains(kind), "{answer}");
        assert_eq!(kind == "text/html", answer.contains("the maximum &lt;b&gt;"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_gets_a_page_that_waits_and_others_may_ask_not_to() {
    let mut front = Front::new();
    let page = front.get("/api/v1/session/a/", "Accept: text/html\r\n").await;
    assert!(
        page.starts_with("HTTP/1.1 503 ") && page.contains("http-equiv=\"refresh\""),
        "{page}"
    );
    assert!(page.contains("Creating the pod") && !page.contains("<script"), "{page}");
    let start = front.starts.recv().await.unwrap();
    let accepted = front.get("/api/v1/session/a/", "Prefer: respond-async\r\n").await;
    assert!(
        accepted.starts_with("HTTP/1.1 202 ") && accepted.contains("location: /api/v1/sessions/a\r\n"),
        "{accepted}"
    );
    drop(start);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_not_ready_in_time_is_said_so() {
    let front = Front::limited(|limits| limits.ready_timeout = Duration::from_millis(50));
    let answer = front.get("/api/v1/session/a/", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 504 ") && answer.contains("creating the pod"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_without_a_node_is_waited_for_as_long_as_its_flight_says() {
    let mut front = Front::limited(|limits| limits.ready_timeout = Duration::from_millis(50));
    let mut starts = std::mem::replace(&mut front.starts, unbounded_channel().1);
    front.put_entry("a", None, None);
    let asked = front.get("/api/v1/session/a/", "");
    let landing = async {
        let start = starts.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        front.put("a", "pod-1", 1, echo().await);
        front.flights.end(&"a".into(), None);
        start.landing.send_replace(Some(Ok(())));
    };
    let (answer, ()) = tokio::join!(asked, landing);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_long_is_refused_whether_its_length_is_told_or_not() {
    let front = Front::limited(|limits| limits.body = Some(4));
    front.put("a", "pod-1", 1, echo().await);
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let request = format!("POST /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\nConnection: close\r\n{body}");
        let answer = front.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{body}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused() {
    let front = Front::new();
    front.put("a", "pod-1", 1, echo().await);
    let session = "/api/v1/session/a/";
    for (request, status) in [
        (format!("GET {session} HTTP/1.1\r\nHost: g\r\nHost: h\r\n"), 400),
        (format!("GET {session} HTTP/1.1\r\n"), 400),
        ("CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n".to_owned(), 405),
        ("GET /api/v1/session/../x HTTP/1.1\r\nHost: g\r\n".to_owned(), 400),
        ("GET /api/v1/session/%2e%2e/x HTTP/1.1\r\nHost: g\r\n".to_owned(), 400),
        ("GET /api/v1/session//x HTTP/1.1\r\nHost: g\r\n".to_owned(), 400),
        ("GET //api/v1/session/a/ HTTP/1.1\r\nHost: g\r\n".to_owned(), 404),
        ("GET http://127.0.0.1:1/x HTTP/1.1\r\nHost: g\r\n".to_owned(), 404),
        (
            format!("POST {session} HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nContent-Length: 6\r\n"),
            400,
        ),
        (
            format!("POST {session} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked, identity\r\n"),
            400,
        ),
        (
            format!("POST {session} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding : chunked\r\n"),
            400,
        ),
        (format!("POST {session} HTTP/1.1\r\nHost: g\r\nContent-Length: +5\r\n"), 400),
        (format!("GET {session} HTTP/1.1\r\nHost: g\r\n X: folded\r\n"), 400),
        (format!("GET {session} HTTP/3.0\r\nHost: g\r\n"), 400),
    ] {
        let answer = front.raw(format!("{request}Connection: close\r\n\r\n").as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(!answer.contains("HTTP/1.1 200"), "{request}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_two_lengths_hides_no_request() {
    let front = Front::new();
    front.put("a", "pod-1", 1, echo().await);
    let hidden = "GET /api/v1/session/a/hidden HTTP/1.1\r\nHost: g\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let request = format!("POST /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\n{lengths}\r\n\r\n0\r\n\r\n{hidden}");
        let answer = front.raw(request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(!answer.contains("hidden") && !answer.contains("content-length: 5"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absolute_address_and_a_host_choose_nothing() {
    let front = Front::new();
    front.put("a", "pod-1", 1, echo().await);
    let answer = front
        .raw(b"GET http://10.0.0.1:99/api/v1/session/a/x HTTP/1.1\r\nHost: 10.0.0.1:99\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("GET /x\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_ends_finishes_what_it_has_begun() {
    let front = Front::new();
    let (sender, receiver) = watch::channel(false);
    let app = application(move |_| {
        let mut receiver = receiver.clone();
        async move {
            receiver.wait_for(|go| *go).await.unwrap();
            text("late")
        }
    })
    .await;
    front.put("a", "pod-1", 1, app);
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    stream
        .write_all(b"GET /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\n\r\n")
        .await
        .unwrap();
    let activity = front.table.get("a").unwrap().activity.clone();
    while activity.idle().is_none() {
        tokio::task::yield_now().await;
    }
    front.gate.is_ending.store(true, std::sync::atomic::Ordering::Relaxed);
    front.stop.send_replace(Some(Duration::ZERO));
    sender.send_replace(true);
    let answer = read_all(&mut stream).await;
    assert!(
        answer.ends_with("late") && answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    tokio::time::timeout(DEADLINE, front.server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(front.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_session_has_answers_of_its_own() {
    let front = Front::new();
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/openapi.json", 200),
        ("/", 404),
        ("/api/v1/session", 404),
    ] {
        let answer = front.get(path, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let refused = front
        .raw(b"POST /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    let document = front.get("/openapi.json", "").await;
    let document: Value = serde_json::from_str(document.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

/// Keys, and a token that is Ann's and names the ids a and team/*.
async fn signed() -> (Auth, String) {
    let keys = Keys::new(
        Claims {
            audiences: vec!["podlife".to_owned()],
            issuers: Vec::new(),
            owner: "sub".to_owned(),
            ids: Some("sessions".to_owned()),
        },
        Source::KeysFile(fixture("jwt/keys.json")),
    );
    keys.read(async |_, _| Err("no URL".to_owned())).await.unwrap();
    let token = std::fs::read_to_string(fixture("jwt/eddsa.jwt")).unwrap();
    (Auth::Jwt(keys), token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_has_so_many_requests_at_once_streams_included() {
    let (auth, token) = signed().await;
    let front = Front::guarded(|limits| limits.requests_of_owner = Some(1), auth);
    let with_token = format!("Authorization: Bearer {}\r\n", token.trim());
    let (app, sender) = streaming().await;
    front.put_of("a", Some("ann"), app);
    front.put_of("team/1", Some("ann"), echo().await);
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let request = format!("GET /api/v1/session/a/ HTTP/1.1\r\nHost: g\r\n{with_token}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n").await;
    let refused = front.get("/api/v1/session/team%2F1/", &with_token).await;
    assert!(
        refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: 1") && refused.contains("urn:podlife:too-many-requests"),
        "{refused}"
    );
    assert!(front.get("/readyz", "").await.starts_with("HTTP/1.1 200 "));
    drop(sender);
    read_until(&mut stream, "0\r\n\r\n").await;
    let end = tokio::time::Instant::now() + DEADLINE;
    while !front
        .get("/api/v1/session/team%2F1/", &with_token)
        .await
        .starts_with("HTTP/1.1 200 ")
    {
        assert!(tokio::time::Instant::now() < end, "the stream has ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_owner_learns_nothing() {
    let (auth, token) = signed().await;
    let mut front = Front::guarded(|_| {}, auth);
    let with_token = format!("Authorization: Bearer {}\r\n", token.trim());
    let app = echo().await;
    for (id, owner) in [
        ("a", Some("ann")),
        ("team/1", Some("bob")),
        ("other", Some("ann")),
        ("team/2", None),
    ] {
        front.put_of(id, owner, app);
    }
    let answer = front.get("/api/v1/session/a/", &with_token).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains(token.trim()), "{answer}");
    let cookie = format!("Cookie: a=1; podlife-session-token={}\r\n", token.trim());
    let answer = front.get("/api/v1/session/a/", &cookie).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("cookie: a=1\n"), "{answer}");
    let undated = |answer: String| {
        answer
            .lines()
            .filter(|line| !line.starts_with("date: ") && !line.starts_with("x-request-id: "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let mut refused = std::collections::BTreeSet::new();
    // Of Bob, of nobody, not named by the token though Ann's, and absent: each as a request, and as an object.
    for id in ["team%2F1", "team%2F2", "other", "absent"] {
        refused.insert(undated(front.get(&format!("/api/v1/session/{id}/"), &with_token).await));
    }
    for id in ["other", "absent"] {
        for path in [format!("/api/v1/session/{id}/status"), format!("/api/v1/sessions/{id}")] {
            refused.insert(undated(front.get(&path, &with_token).await));
        }
    }
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused.first().unwrap().starts_with("HTTP/1.1 403 "), "{refused:?}");
    assert!(front.starts.try_recv().is_err());
    for headers in ["", "Authorization: Bearer x\r\n", "Authorization: Basic x\r\n"] {
        let answer = front.get("/api/v1/session/a/", headers).await;
        assert!(
            answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Bearer"),
            "{answer}"
        );
    }
    assert!(front.get("/readyz", "").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_where_there_is_a_certificate() {
    let tls = Tls::open(TlsFiles {
        certificate: fixture("tls/ip.crt"),
        key: fixture("tls/ip.key"),
        client_authority: None,
    })
    .unwrap();
    let front = Front::secured(tls);
    front.put("a", "pod-1", 1, echo().await);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("tls/ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(front.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://127.0.0.1/api/v1/session/a/")
        .body(Full::<Bytes>::default())
        .unwrap();
    let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    let body = body.to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("x-forwarded-proto: https\n"), "{body:?}");
    // Plain text gets nothing.
    let plain = front.get("/healthz", "").await;
    assert!(!plain.contains("200 OK"), "{plain}");
}
