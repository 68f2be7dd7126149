//! Clients that try to be read in two ways: smuggling cases written by hand, and generated requests. Whatever they send, an answer is an error or
//! comes from the pod of the id in its path, its header or its host, and afterwards nothing is left of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::stream::{self, StreamExt as _};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::*;

/// Sessions, and the segments of paths that name them, in small letters.
const SESSIONS: [(&str, &[&str]); 3] = [
    ("own", &["own", "%6fwn", "o%77n"]),
    ("victim", &["victim", "%76ictim"]),
    ("own/victim", &["own%2fvictim"]),
];
/// What hosts that name a session end with.
const DOMAIN: &str = ".sessions.example";
/// Connections at once.
const AT_ONCE: usize = 128;
/// After so much silence a client sends no more, which ends what still waits for the rest of a request.
const SILENCE: Duration = Duration::from_millis(200);
/// The name of threads whose panics are counted.
const THREADS: &str = "hostile";

/// A gateway in front of one pod for each session.
struct Siege {
    front: Front,
    pods: Arc<Pods>,
    /// Whether headers and hosts name sessions, too.
    is_named: bool,
}

/// What pods have seen.
#[derive(Default)]
struct Pods {
    asked: AtomicUsize,
    faults: Mutex<Vec<String>>,
}

impl Siege {
    async fn new(is_named: bool) -> Self {
        let mut front = match is_named {
            true => Front::naming(true, DOMAIN.trim_start_matches('.')),
            false => Front::new(),
        };
        let pods = Arc::<Pods>::default();
        for (number, (id, _)) in (1..).zip(SESSIONS) {
            let address = pod(id, pods.clone(), is_named).await;
            front.put(id, id, number, address);
        }
        // There is nobody who makes other sessions, or tells of them.
        let mut starts = std::mem::replace(&mut front.starts, unbounded_channel().1);
        let mut asks = std::mem::replace(&mut front.asks, unbounded_channel().1);
        let flights = front.flights.clone();
        tokio::spawn(async move {
            while let Some(start) = starts.recv().await {
                flights.end(&start.id, start.owner.as_ref());
                let problem = Problem::new(StatusCode::CONFLICT, "no-pod", "no more sessions here");
                start.landing.send_replace(Some(Err(Arc::new(problem))));
            }
        });
        tokio::spawn(async move { while asks.recv().await.is_some() {} });
        Self { front, pods, is_named }
    }

    /// Sends bytes on a connection of their own, and ends after some silence: all that comes back.
    async fn send(&self, bytes: &[u8], silence: Duration) -> String {
        let (mut reader, mut writer) = TcpStream::connect(self.front.address).await.unwrap().into_split();
        // A gateway that has read enough closes the connection.
        let _ = writer.write_all(bytes).await;
        let (mut all, mut is_over) = (Vec::new(), false);
        loop {
            let wait = if is_over { DEADLINE } else { silence };
            match tokio::time::timeout(wait, reader.read_buf(&mut all)).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return all.iter().copied().map(char::from).collect(),
                Err(_) => {
                    assert!(!is_over, "the connection ends: {}", bytes.escape_ascii());
                    is_over = true;
                    let _ = writer.shutdown().await;
                }
            }
        }
    }

    /// Which sessions have answered. Each answer is to a path, a header or a host that the client has sent, and to the request that has its name.
    fn answered(&self, sent: &[u8], received: &str) -> Vec<&'static str> {
        let sent: String = sent.iter().copied().map(char::from).collect();
        let mut all = Vec::new();
        // No pod writes this.
        for answer in received.split("HTTP/1.") {
            let Some((head, words)) = answer.split_once("<<") else { continue };
            let words: Vec<&str> = words.split_once(">>").unwrap().0.split(SEPARATOR).collect();
            let [id, prefix, name, host, target] = words[..] else {
                panic!("{words:?}")
            };
            let (id, segments) = *SESSIONS.iter().find(|(known, _)| *known == id).unwrap();
            if prefix.is_empty() && self.is_named {
                assert!(
                    names(id, host, target, &sent),
                    "{host}, {target} reached {id}: {}",
                    sent.escape_debug()
                );
            } else {
                let segment = prefix.strip_prefix("/api/v1/session/").unwrap().to_lowercase();
                assert!(segments.contains(&&*segment), "{prefix} reached {id}: {}", sent.escape_debug());
                assert!(sent.contains(prefix), "{prefix} was not sent: {}", sent.escape_debug());
            }
            let is_http_1 = head.contains("x-session-generation");
            assert!(
                !is_http_1 || head.contains(&format!("x-request-id: {name}\r\n")),
                "an answer to another request: {}\n{received}",
                sent.escape_debug()
            );
            all.push(id);
        }
        all
    }

    /// Waits until nothing is left of all connections.
    async fn ends_flat(self, tasks: usize) {
        let end = tokio::time::Instant::now() + DEADLINE;
        for (id, _) in SESSIONS {
            while self.front.table.get(id).unwrap().activity.idle() == Some(Duration::ZERO) {
                assert!(tokio::time::Instant::now() < end, "{id} is in use");
                tokio::task::yield_now().await;
            }
            // Its kept connections go with it.
            self.front.table.remove(id);
        }
        let left = || {
            (
                tokio::runtime::Handle::current().metrics().num_alive_tasks(),
                sockets(self.front.address),
            )
        };
        while left() != (tasks, 0) {
            assert!(tokio::time::Instant::now() < end, "tasks and sockets: {:?}, not {tasks}", left());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.front.flights.waiting(), 0);
        assert_eq!(*self.pods.faults.lock().unwrap(), Vec::<String>::new());
    }
}

/// Whether a request for this host and path, of these bytes, names a session otherwise than by its path: the host does, or else a header that was
/// sent. A path that names a session, too, names the same one.
fn names(id: &str, host: &str, target: &str, sent: &str) -> bool {
    let is_it = |word: &str| {
        let (_, segments) = *SESSIONS.iter().find(|(known, _)| *known == id).unwrap();
        let word = word.to_lowercase();
        word == id || segments.contains(&&*word)
    };
    let host = host.to_lowercase();
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    let is_named = match host.strip_suffix(DOMAIN) {
        Some(label) => label == id,
        None => {
            sent
            .split(['\r', '\n'])
            .filter_map(|line| line.split_once(':'))
            .any(|(name, value)| name.eq_ignore_ascii_case("x-session-id") && is_it(value.trim()))
            // Over HTTP/2: a length is between the two.
            || sent.match_indices("x-session-id").any(|(at, name)| is_it_next(&sent[at + name.len()..], is_it))
        }
    };
    let mut of_path = target.strip_prefix("/api/v1/session/").into_iter();
    is_named && of_path.all(|rest| is_it(rest.split(['/', '?']).next().unwrap_or_default()))
}

/// Whether the literal of HPACK that comes next is a word.
fn is_it_next(rest: &str, is_it: impl Fn(&str) -> bool) -> bool {
    let mut rest = rest.chars();
    let length = rest.next().map_or(0, |length| length as usize);
    is_it(&rest.take(length).collect::<String>())
}

/// How many connections to an address this machine holds open at the end of the server.
fn sockets(address: SocketAddr) -> usize {
    let local = format!(":{:04X} ", address.port());
    let all = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_open = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        // ESTABLISHED and CLOSE_WAIT.
        columns.len() > 3 && format!("{} ", columns[1]).ends_with(&local) && ["01", "08"].contains(&columns[3])
    };
    all.lines().filter(is_open).count()
}

/// An application that reads requests leniently, as old servers do: where the gateway passes on what can be read in two ways, it reads it in the
/// other way. It answers with its id, the prefix and the name that a request came with, its host and its target.
async fn pod(id: &'static str, pods: Arc<Pods>, is_named: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let pods = pods.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Ok(Some(head)) = lenient_head(&mut stream).await {
                    pods.asked.fetch_add(1, Ordering::Relaxed);
                    let value = |name: &str| {
                        let mut all = head.iter().filter_map(|line| line.split_once(':'));
                        let found = all.rfind(|(known, _)| known.trim().eq_ignore_ascii_case(name));
                        found.map_or("", |(_, value)| value.trim()).to_owned()
                    };
                    let target = head[0].split(' ').nth(1).unwrap_or_default().to_owned();
                    let words = [
                        id.to_owned(),
                        value("x-forwarded-prefix"),
                        value("x-request-id"),
                        value("x-forwarded-host"),
                        target,
                    ];
                    if let Some(fault) = fault(&head, is_named) {
                        pods.faults.lock().unwrap().push(format!("{fault}: {head:?}"));
                    }
                    if lenient_body(&mut stream, &value("transfer-encoding"), &value("content-length"))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    let body = if head[0].starts_with("HEAD ") {
                        String::new()
                    } else {
                        format!("<<{}>>", words.join(SEPARATOR))
                    };
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Stands in no header.
const SEPARATOR: &str = "\u{1}";

/// What can be read in two ways in a head, or does not come from the gateway.
fn fault(head: &[String], is_named: bool) -> Option<&'static str> {
    let count = |name: &str| {
        let of = |line: &&String| {
            line.split_once(':')
                .is_some_and(|(known, _)| known.trim().eq_ignore_ascii_case(name))
        };
        head[1..].iter().filter(of).count()
    };
    let once = ["host", "x-forwarded-for", "x-request-id"];
    let is_odd = |line: &String| line.starts_with([' ', '\t']) || line.contains(['\r', '\0']) || !line.contains(':');
    let lengths = count("content-length") + count("transfer-encoding");
    let target = head[0].split(' ').nth(1).unwrap_or_default();
    [
        (head[0].split(' ').count() != 3, "a request line that is no three words"),
        (
            !target.starts_with('/') && head[0] != "OPTIONS * HTTP/1.1",
            "a target that is no path",
        ),
        (head[1..].iter().any(is_odd), "an odd line"),
        (lengths > 1, "two lengths"),
        (
            once.iter().any(|name| count(name) != 1) || count("x-forwarded-prefix") > 1 || (!is_named && count("x-forwarded-prefix") == 0),
            "a header that is there twice, or not at all",
        ),
        (is_named && count("x-session-id") > 0, "the name of the session"),
        (count("authorization") > 0, "a token"),
    ]
    .into_iter()
    .find_map(|(is_wrong, why)| is_wrong.then_some(why))
}

async fn lenient_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<String>>> {
    let mut head = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line: String = line.into_iter().map(char::from).collect();
        match line.trim_end_matches('\n').trim_end_matches('\r') {
            "" if head.is_empty() => {}
            "" => return Ok(Some(head)),
            line => head.push(line.to_owned()),
        }
    }
}

async fn lenient_body(stream: &mut BufReader<TcpStream>, encoding: &str, length: &str) -> std::io::Result<()> {
    if !encoding.to_lowercase().contains("chunked") {
        let length = length.parse().unwrap_or(0);
        let read = tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await?;
        return if read == length {
            Ok(())
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        };
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(std::io::Error::other)?;
        if size == 0 {
            // Trailers, or the empty line.
            while stream.read_line(&mut line).await? > 2 {}
            return Ok(());
        }
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).await?;
    }
}

/// A case of the corpus: what is tried, the statuses of the answers, and the bytes of one connection, one a character. `ends` instead of statuses:
/// there is no answer of a pod before the client ends the connection.
#[derive(Deserialize)]
struct Case(String, Vec<String>, String);

/// Runs clients against a gateway, and looks what is left of them.
fn besiege<F: Future<Output = ()>>(is_named: bool, clients: impl FnOnce(Arc<Siege>) -> F) {
    let panics = Arc::<AtomicUsize>::default();
    let (count, before) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        count.fetch_add(usize::from(thread::current().name() == Some(THREADS)), Ordering::Relaxed);
        before(panic);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(THREADS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let siege = Arc::new(Siege::new(is_named).await);
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        clients(siege.clone()).await;
        Arc::into_inner(siege).unwrap().ends_flat(tasks).await;
    });
    assert_eq!(panics.load(Ordering::Relaxed), 0);
}

fn cases(file: &str) -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(fixture(file)).unwrap()).unwrap()
}

#[test]
fn no_case_of_smuggling_reaches_another_pod() {
    let mut cases = cases("smuggling.json");
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    for (what, status, path, headers) in [
        ("a path that is too long", "431", &*"y".repeat(70_000), ""),
        ("a header that is too long", "431", "", &*format!("X: {}\r\n", "y".repeat(70_000))),
        ("too many headers", "431", "", &*many),
    ] {
        let text = format!("GET /api/v1/session/own/{path} HTTP/1.1\r\nHost: g\r\n{headers}\r\n");
        cases.push(Case(what.to_owned(), vec![status.to_owned()], text));
    }
    reach_no_victim(false, cases);
}

#[test]
fn no_header_and_no_host_reaches_another_pod() {
    reach_no_victim(true, cases("naming.json"));
}

fn reach_no_victim(is_named: bool, cases: Vec<Case>) {
    besiege(is_named, |siege| async move {
        let mut wrong = Vec::new();
        for Case(what, expected, text) in cases {
            let bytes: Vec<u8> = text.chars().map(|byte| u8::try_from(byte).unwrap()).collect();
            let before = siege.pods.asked.load(Ordering::Relaxed);
            // What has no end waits for the client's.
            let is_endless = expected == ["ends"];
            let received = siege.send(&bytes, if is_endless { Duration::ZERO } else { DEADLINE }).await;
            let answered = siege.answered(&bytes, &received);
            let statuses: Vec<&str> = received.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).collect();
            let asked = siege.pods.asked.load(Ordering::Relaxed) - before;
            let is_expected = if is_endless {
                answered.is_empty()
            } else {
                statuses == expected && asked <= statuses.len()
            };
            if !is_expected || answered.contains(&"victim") {
                wrong.push(format!("{what}: {statuses:?}, of {asked}: {answered:?}\n{received}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    });
}

/// Pieces of requests over HTTP/1.1, in the order in which they are put together.
fn request(hosts: &'static [&'static str], more: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let line = (
        mostly(
            "GET",
            &[
                "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "G\tET", "", " GET",
            ],
        ),
        target(),
        mostly(
            " HTTP/1.1",
            &[
                " HTTP/1.0",
                " HTTP/0.9",
                " HTTP/2.0",
                " http/1.1",
                " HTTP/1.1 ",
                "  HTTP/1.1",
                "\tHTTP/1.1",
                "",
            ],
        ),
    );
    let head = (
        line.prop_map(|(method, target, version)| format!("{method} {target}{version}")),
        mostly(hosts[0], &hosts[1..]),
        vec(select([HEADERS, more].concat()), 0..3),
        mostly(
            "Connection: close",
            &[
                "Connection: keep-alive",
                "Connection: close, host, x-forwarded-prefix, content-length",
            ],
        ),
        mostly("\r\n", &["\n", "\r", "\n\r", "\r\n ", "\r\r\n", "\0\r\n"]),
        select(BODIES),
    );
    let whole = head.prop_map(|(line, host, headers, connection, end, body)| {
        let mut lines = vec![line, host.to_owned()];
        lines.extend(headers.into_iter().chain([connection]).map(str::to_owned));
        lines.push(String::new());
        let head = lines.join("\u{1}").replace('\u{1}', end);
        [head.as_bytes(), b"\r\n", body.as_bytes()].concat()
    });
    edited(whole)
}

/// The usual thing more often than all others together.
fn mostly(usual: &'static str, others: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just(usual), 1 => select(others)]
}

fn target() -> impl Strategy<Value = String> {
    let parts = (
        mostly(
            "",
            &[
                "http://victim",
                "https://own@victim:1",
                "//victim",
                "http:",
                "victim:80",
                "*",
                "/..",
                "\\",
                "?",
            ],
        ),
        mostly(
            "/api/v1/session/",
            &[
                "/api/v1/sessions/",
                "/api/v1//session/",
                "/API/v1/session/",
                "/api/v1/session%2f",
                "/api/v1/./session/",
                "/%61pi/v1/session/",
            ],
        ),
        mostly(
            "own",
            &[
                "%6Fwn",
                "o%77n",
                "own%2Fvictim",
                "own%2fvictim",
                "..",
                "%2e%2e",
                ".",
                "",
                "own%00",
                "own;victim",
                "own%252fvictim",
                "own\\victim",
                "own%",
                "own\0",
            ],
        ),
        vec(
            select(
                &[
                    "/",
                    "//",
                    "..",
                    "/../victim/",
                    "/%2e%2e/victim",
                    "victim",
                    "%2f",
                    "%5c",
                    "?x=/../victim",
                    "#victim",
                    "\0",
                    "\t",
                    "%",
                    ";",
                    "/status",
                    "/execute",
                    "@victim",
                ][..],
            ),
            0..4,
        ),
    );
    parts.prop_map(|(before, path, id, rest)| format!("{before}{path}{id}{}", rest.concat()))
}

const HOSTS: &[&str] = &[
    "Host: g",
    "Host: victim",
    "Host: victim\u{1}Host: g",
    "Host:",
    "Host : g",
    "\u{1} Host: g",
    "Host: g, victim",
    "X: y",
];

/// The same where hosts name sessions.
const NAMING_HOSTS: &[&str] = &[
    "Host: own.sessions.example",
    "Host: g",
    "Host: OWN.Sessions.Example.:80",
    "Host: victim.sessions.example",
    "Host: victim.sessions.example\u{1}Host: own.sessions.example",
    "Host: own.sessions.example, victim.sessions.example",
    "Host: own.sessions.example@victim.sessions.example",
    "Host: victim@own.sessions.example",
    "Host: victim.own.sessions.example",
    "Host: victim.sessions.example.evil",
    "Host: %76ictim.sessions.example",
    "Host: victim.sessions.example:own",
    "Host: victim.sessions.example/own.sessions.example",
    "Host: own.sessions.example\\victim.sessions.example",
    "X: y",
];

const NAMES: &[&str] = &[
    "X-Session-Id: own",
    "X-Session-Id: own",
    "x-session-id: %6Fwn",
    "X-Session-Id: own/victim",
    "X-Session-Id: victim",
    "X-Session-Id: own, victim",
    "X-Session-Id: own%2fvictim",
    "X-Session-Id: own%252fvictim",
    "X-Session-Id: own\u{1} victim",
    "X-Session-Id : victim",
    "X_Session_Id: victim",
    "X-Session-Id:\u{b}victim",
    "X-Session-Id: ..",
    "X-Session-Id:",
    "Connection: X-Session-Id",
    "Connection: host, x-session-id",
    "Trailer: X-Session-Id",
    "Forwarded: host=victim.sessions.example",
    "X-Forwarded-Host: victim.sessions.example",
    "X-Original-Host: victim.sessions.example",
];

const HEADERS: &[&str] = &[
    "Content-Length: 0",
    "Content-Length: 5",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Content-Length: 0x5",
    "Content-Length:\u{b}5",
    "Content-Length: 99999999999999999999",
    "Content-Length : 5",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding:\u{b}chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding : chunked",
    "Transfer_Encoding: chunked",
    "X: y\u{1} folded: victim",
    "X: y\rTransfer-Encoding: chunked",
    "X\0: y",
    "X: \u{80}\u{ff}",
    ": empty",
    ":path: /api/v1/session/victim/",
    "X-Forwarded-Prefix: /api/v1/session/victim",
    "X-Forwarded-Host: victim",
    "X-Original-URL: /api/v1/session/victim/",
    "X-Rewrite-URL: /api/v1/session/victim/",
    "X-HTTP-Method-Override: CONNECT",
    "X-Request-Id: chosen",
    "X-Request-Id: a b",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Upgrade: h2c",
    "Upgrade: websocket",
    "Connection: upgrade",
    "Connection: transfer-encoding, content-length, x-request-id",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "TE: trailers, chunked",
    "Trailer: host, content-length",
    "Cookie: podlife-session-token=x; a=b",
    "Authorization: Bearer x",
    "Proxy-Authorization: Basic x",
    "Accept: text/html",
    "Prefer: respond-async",
];

const BODIES: &[&str] = &[
    "",
    "hello",
    "0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;x=\"\n\r\"\r\nhello\r\n0\r\nHost: victim\r\nContent-Length: 9\r\n\r\n",
    "5\nhello\n0\n\n",
    "0005\r\nhello\r\n00\r\n\r\n",
    "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "0\r\n\r\nGET /api/v1/session/own/second HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET /api/v1/session/own/second HTTP/1.1\r\nHost: g\r\n\r\n",
    "GET http://victim/api/v1/session/own%2Fvictim/second HTTP/1.1\r\nHost: victim\r\n\r\n",
];

/// Bytes with some of them replaced, repeated or left out.
fn edited(whole: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..3_u8, any::<u8>());
    (whole, prop_oneof![2 => Just(Vec::new()), 1 => vec(edit, 1..3)]).prop_map(|(mut bytes, edits)| {
        for (at, how, byte) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

/// A request over HTTP/2, with pseudo headers in any number and order: frames, and headers as literals of HPACK (RFC 7541, 6.2.2).
fn request_2(hosts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let authorities: Vec<&str> = hosts.iter().filter_map(|host| host.strip_prefix("Host: ")).collect();
    let pseudo = prop_oneof![
        6 => (select(authorities), target()).prop_map(|(host, target)| vec![(":method", "GET".to_owned()), (":scheme", "http".to_owned()), (":authority", host.to_owned()), (":path", target)]),
        1 => target().prop_map(|target| vec![(":path", target.clone()), (":method", "GET".to_owned()), (":path", target), (":scheme", "http".to_owned())]),
        1 => Just(vec![(":method", "CONNECT".to_owned()), (":authority", "victim:80".to_owned())]),
        1 => target().prop_map(|target| vec![(":method", "CONNECT".to_owned()), (":protocol", "websocket".to_owned()), (":scheme", "http".to_owned()), (":path", target), (":authority", "victim".to_owned())]),
        1 => target().prop_map(|target| vec![(":method", "GET /api/v1/session/victim/ HTTP/1.1\r\n".to_owned()), (":scheme", "http".to_owned()), (":path", target)]),
    ];
    let more = [
        ("host", "victim"),
        ("Host", "victim"),
        ("host", "own.sessions.example"),
        ("host", "victim.sessions.example"),
        ("x-session-id", "own"),
        ("x-session-id", "victim"),
        ("x-session-id", "own%2fvictim"),
        ("X-Session-Id", "victim"),
        ("content-length", "5"),
        ("content-length", "+1"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("te", "trailers"),
        ("te", "chunked"),
        (":path", "/api/v1/session/victim/"),
        (":status", "200"),
        ("x", "y\r\nhost: victim"),
        ("x\r\nhost", "victim"),
        ("x-forwarded-prefix", "/api/v1/session/victim"),
        ("cookie", "a=1"),
        ("cookie", "podlife-session-token=x"),
        ("x-request-id", "a"),
    ];
    let whole = (
        pseudo,
        vec(select(more.to_vec()), 0..3),
        select(&["", "hello", "0\r\n\r\nGET /api/v1/session/victim/ HTTP/1.1\r\n\r\n"][..]),
    );
    let whole = whole.prop_map(|(pseudo, more, body)| {
        let literal = |name: &str, value: &str| [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat();
        let mut block: Vec<u8> = pseudo.iter().flat_map(|(name, value)| literal(name, value)).collect();
        block.extend(more.iter().flat_map(|(name, value)| literal(name, value)));
        let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
            let length = payload.len() as u16;
            [&[0, (length >> 8) as u8, length as u8, kind, flags, 0, 0, 0, stream], payload].concat()
        };
        let ends = u8::from(body.is_empty());
        let mut all = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, b""),
            frame(1, 4 | ends, 1, &block),
        ]
        .concat();
        if !body.is_empty() {
            all.extend(frame(0, 1, 1, body.as_bytes()));
        }
        all
    });
    edited(whole)
}

#[test]
fn ten_thousand_hostile_connections_reach_no_other_pod_and_leave_nothing() {
    let requests = prop_oneof![9 => request(HOSTS, &[]).boxed(), 1 => request_2(&HOSTS[..1]).boxed()];
    storm(false, 10_000, requests);
}

#[test]
fn hostile_connections_that_name_sessions_by_header_and_host_reach_no_other_pod_either() {
    let requests = prop_oneof![8 => request(NAMING_HOSTS, NAMES).boxed(), 2 => request_2(NAMING_HOSTS).boxed()];
    storm(true, 5_000, requests);
}

fn storm(is_named: bool, connections: usize, requests: impl Strategy<Value = Vec<u8>>) {
    let mut runner = TestRunner::deterministic();
    besiege(is_named, |siege| async move {
        let (siege, answers, closed) = (&siege, &AtomicUsize::new(0), &AtomicUsize::new(0));
        let all = (0..connections).map(|_| requests.new_tree(&mut runner).unwrap().current());
        stream::iter(all)
            .for_each_concurrent(AT_ONCE, |bytes| async move {
                let received = siege.send(&bytes, SILENCE).await;
                answers.fetch_add(siege.answered(&bytes, &received).len(), Ordering::Relaxed);
                closed.fetch_add(usize::from(received.is_empty()), Ordering::Relaxed);
            })
            .await;
        // Both sides of the border have been tried.
        let answers = answers.load(Ordering::Relaxed);
        assert!(
            (connections / 100..connections).contains(&answers),
            "{answers} answers, {closed:?} closed"
        );
    });
}
