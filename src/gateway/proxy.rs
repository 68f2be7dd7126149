//! A request on its way: to the application of its session, which is made ready first where it is not.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::gateway::activity::Exchange;
use crate::gateway::auth::{self, Caller};
use crate::gateway::backend::Backend;
use crate::gateway::flights::Seat;
use crate::gateway::gate::{About, Ask, Gate};
use crate::gateway::headers::{self, Origin};
use crate::gateway::inbound::{Answer, Inbound};
use crate::gateway::naming::SESSION_ID;
use crate::gateway::openapi;
use crate::gateway::outbound::{BrokenOff, Outbound, TooLong};
use crate::gateway::owners::Place;
use crate::gateway::problem::{self, Problem};
use crate::gateway::route::{self, Route};
use crate::gateway::table::{Entry, Step};
use crate::gateway::websocket;

/// How long a browser waits for an answer before it gets a page that waits.
const PAGE_AFTER: Duration = Duration::from_secs(1);
/// The pause before a pod is tried again that did not take a request, after which tries in a row.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a request that waits for longer than it should looks whether it still has reason to.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Where requests of one connection come from.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) client: IpAddr,
    pub(super) is_tls: bool,
    /// Lasts as long as anything of the connection does.
    pub(super) alive: mpsc::Sender<()>,
}

/// Answers one request.
pub(super) async fn answer(gate: &Gate, mut request: Request<Incoming>, peer: &Peer) -> Response<Answer> {
    let begun = Instant::now();
    let name = gate.ids.name(request.headers_mut());
    let is_page = *request.method() == Method::GET && headers::takes_page(request.headers());
    let is_http_1 = request.version() <= Version::HTTP_11;
    let checked = check(&request);
    // Where the next request begins is not certain either.
    let is_last = checked.is_err();
    let responded = match checked {
        Ok(()) => respond(gate, request, peer, is_page).await,
        Err(problem) => Err(problem),
    };
    let mut answer = match responded {
        Ok(answer) => answer,
        Err(problem) => {
            tracing::info!(request = ?name, status = problem.status.as_u16(), problem = problem.kind, "refused");
            own(if is_page { problem.page() } else { problem.answer() })
        }
    };
    let after = begun.elapsed();
    gate.metrics.answered(answer.status(), after);
    tracing::debug!(request = ?name, status = answer.status().as_u16(), seconds = after.as_secs_f64(), "answered");
    headers::named(answer.headers_mut(), name);
    // A client that is told so does not send its next request into a connection that closes.
    if is_http_1 && (is_last || gate.is_ending.load(Ordering::Relaxed)) && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn own(answer: Response<Bytes>) -> Response<Answer> {
    answer.map(|body| Answer::Own(Full::new(body)))
}

async fn respond(gate: &Gate, request: Request<Incoming>, peer: &Peer, is_page: bool) -> Result<Response<Answer>, Problem> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let method = request.method().clone();
    let is_read = matches!(method, Method::GET | Method::HEAD);
    let named = gate.naming.id(request.headers(), request.uri()).map_err(Problem::bad_request)?;
    let route = route::route(&method, &target).and_then(|route| match named {
        Some(id) => route.of_named(id, &target),
        None => Ok(route),
    });
    let route = route.map_err(Problem::bad_request)?;
    let caller = match route {
        Route::Alive | Route::Ready => Caller::anybody(),
        _ => gate.auth.caller(request.headers()).await?,
    };
    if let Route::Application { id, .. } | Route::Status(id) | Route::Session(id) = &route
        && !caller.may_use(id)
    {
        return Err(auth::forbidden());
    }
    let place = gate.owners.enter(caller.owner.as_ref())?;
    match route {
        Route::Application { id, prefix, rest } => {
            let to = To {
                caller: &caller,
                id: &id,
                prefix,
                rest: &rest,
            };
            application(gate, request, &to, peer, is_page, place).await
        }
        Route::Status(id) => Ok(own(ask(gate, About::One(id.into_owned()), caller).await?)),
        Route::Session(id) => match method {
            Method::GET | Method::HEAD => Ok(own(ask(gate, About::One(id.into_owned()), caller).await?)),
            Method::DELETE => Ok(own(ask(gate, About::Delete(id.into_owned()), caller).await?)),
            Method::PUT => put(gate, &request, &id, caller).await.map(own),
            _ => Err(not_allowed()),
        },
        Route::Sessions if is_read => Ok(own(ask(gate, About::All, caller).await?)),
        Route::OpenApi if is_read => Ok(own(problem::own(StatusCode::OK, "application/json", openapi::document()))),
        Route::Alive if is_read => Ok(own(word("ok"))),
        Route::Ready if is_read && gate.is_ready.load(Ordering::Relaxed) => Ok(own(word("ok"))),
        Route::Ready if is_read => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "the gateway has not read the sessions yet, or is shutting down",
        )),
        Route::Unknown => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "nothing is served at this path",
        )),
        _ => Err(not_allowed()),
    }
}

fn word(word: &str) -> Response<Bytes> {
    problem::own(StatusCode::OK, "text/plain; charset=utf-8", format!("{word}\n"))
}

fn not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this path does not allow the method",
    )
}

/// Refuses what proxies on the way may read in two ways. Where a body has two lengths, hyper takes the chunks, and closes the connection behind them.
fn check(request: &Request<Incoming>) -> Result<(), Problem> {
    let count = |name: header::HeaderName| request.headers().get_all(name).iter().count();
    if *request.method() == Method::CONNECT {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this is not a forward proxy",
        ));
    }
    let hosts = count(header::HOST);
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::bad_request("a request needs exactly one Host header"));
    }
    let mut encodings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !encodings.next().is_none_or(is_chunked) || encodings.next().is_some() {
        return Err(Problem::bad_request("the only allowed transfer encoding is chunked"));
    }
    Ok(())
}

/// Asks the API server.
async fn ask(gate: &Gate, about: About, caller: Caller) -> Result<Response<Bytes>, Problem> {
    let (answer, answered) = oneshot::channel();
    gate.asks.send(Ask { about, caller, answer }).map_err(|_| Problem::ending())?;
    answered.await.map_err(|_| Problem::ending())
}

/// Makes sure that a session exists and answers.
async fn put(gate: &Gate, request: &Request<Incoming>, id: &str, caller: Caller) -> Result<Response<Bytes>, Problem> {
    if !hyper::body::Body::is_end_stream(request.body()) {
        return Err(Problem::bad_request(
            "the session is created from the template of the gateway: send no body",
        ));
    }
    let is_new = gate.table.get(id).is_none();
    let mut seat = gate.flights.join(id, caller.owner.as_ref())?;
    if headers::prefers_async(request.headers()) {
        return Ok(accepted(id, true));
    }
    let deadline = Instant::now() + gate.limits.ready_timeout;
    landed(gate, id, &mut seat, deadline).await?;
    let mut answer = ask(gate, About::One(id.to_owned()), caller).await?;
    if is_new && answer.status() == StatusCode::OK {
        *answer.status_mut() = StatusCode::CREATED;
        located(&mut answer, id);
    }
    Ok(answer)
}

/// The session is being prepared; its location tells when it is ready, where it has one.
fn accepted(id: &str, has_location: bool) -> Response<Bytes> {
    let mut body = serde_json::json!({"id": id});
    if has_location {
        body["status"] = route::location(id).into();
    }
    let mut answer = problem::own(StatusCode::ACCEPTED, "application/json", body.to_string());
    if has_location {
        located(&mut answer, id);
    }
    let applied = HeaderValue::from_static("respond-async");
    answer.headers_mut().insert("preference-applied", applied);
    answer
}

fn located(answer: &mut Response<Bytes>, id: &str) {
    if let Ok(location) = HeaderValue::try_from(route::location(id)) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
}

/// Waits until a session has been made ready. Whether a node is on its way for it, only its flight knows, which lands in any case.
async fn landed(gate: &Gate, id: &str, seat: &mut Seat, mut deadline: Instant) -> Result<(), Problem> {
    loop {
        match timeout_at(deadline, seat.landed()).await {
            Ok(landing) => return landing.map_err(|problem| (*problem).clone()),
            Err(_) if seat.is_delayed() || step(gate, id) == Step::Unscheduled => deadline = Instant::now() + ASK_AGAIN,
            Err(_) => return Err(late(gate, id)),
        }
    }
}

/// The time is up, and this is what was waited for.
fn late(gate: &Gate, id: &str) -> Problem {
    let step = step(gate, id).waits_for().to_lowercase();
    let detail = format!("session {id} is not ready yet: {step}");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "not-ready", detail).retry_after(5)
}

fn step(gate: &Gate, id: &str) -> Step {
    gate.table.get(id).map_or(Step::Absent, |entry| entry.step)
}

/// What of which session is asked for.
struct To<'a> {
    caller: &'a Caller,
    id: &'a str,
    prefix: &'a str,
    rest: &'a str,
}

/// Passes a request on to the application of a session.
async fn application(
    gate: &Gate,
    mut request: Request<Incoming>,
    to: &To<'_>,
    peer: &Peer,
    is_page: bool,
    place: Option<Place>,
) -> Result<Response<Answer>, Problem> {
    let too_long = |length: u64| gate.limits.body.is_some_and(|limit| length > limit);
    if hyper::body::Body::size_hint(request.body()).exact().is_some_and(too_long) {
        return Err(is_too_long());
    }
    let upgraded = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    let is_async = headers::prefers_async(&parts.headers);
    // Upgraded to HTTP/2, the connection would carry requests that nobody looks at.
    let upgrade = headers::upgrade(&parts.headers)
        .filter(|protocol| parts.version == Version::HTTP_11 && !protocol.as_bytes().eq_ignore_ascii_case(b"h2c"))
        .cloned();
    if gate.naming.by_header {
        parts.headers.remove(SESSION_ID);
    }
    address(&mut parts, to, peer, upgrade.as_ref())?;
    let mut request = Request::from_parts(parts, Outbound::new(body, gate.limits.body));
    let (begun, mut tries) = (Instant::now(), 0);
    let mut deadline = begun + gate.limits.ready_timeout;
    loop {
        if let Some(entry) = gate.table.get(to.id) {
            if !to.caller.owns(entry.owner.as_deref()) {
                return Err(auth::forbidden());
            }
            match send(gate, &entry, request).await? {
                Sent::Answered(answered) => return Ok(pass_on(answered, upgraded, peer, place)),
                Sent::Not(unsent) => {
                    gate.metrics.retries.inc_by(u64::from(entry.backend.is_some()));
                    request = unsent;
                }
            }
        }
        tries += 1;
        if tries > 1 {
            sleep(PAUSE * tries.min(10)).await;
        }
        if Instant::now() >= deadline {
            return Err(late(gate, to.id));
        }
        let mut seat = gate.flights.join(to.id, to.caller.owner.as_ref())?;
        if is_async {
            // Where the path names no session, that of the location would be the application's, too.
            return Ok(own(accepted(to.id, !to.prefix.is_empty())));
        }
        let page = async {
            match is_page {
                true => tokio::time::sleep_until(begun + PAGE_AFTER).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            landed = landed(gate, to.id, &mut seat, deadline) => {
                landed?;
                deadline = deadline.max(Instant::now() + ASK_AGAIN);
            }
            () = page => return Ok(own(problem::waiting(step(gate, to.id).waits_for()))),
        }
    }
}

/// Makes a request into one for the application: its path there, and its headers.
fn address(parts: &mut Parts, to: &To<'_>, peer: &Peer, upgrade: Option<&HeaderValue>) -> Result<(), Problem> {
    let host = match parts.headers.get(header::HOST) {
        Some(host) => Some(host.clone()),
        // Of a request over HTTP/2.
        None => parts
            .uri
            .authority()
            .and_then(|authority| HeaderValue::try_from(authority.as_str()).ok()),
    };
    let origin = Origin {
        client: peer.client,
        is_tls: peer.is_tls,
        host: host.as_ref(),
        prefix: to.prefix,
    };
    headers::to_application(&mut parts.headers, &origin, upgrade);
    let uri = Uri::builder().path_and_query(to.rest).build();
    parts.uri = uri.map_err(|_| Problem::bad_request("the path of the application is invalid"))?;
    parts.version = Version::HTTP_11;
    Ok(())
}

/// What became of a request.
enum Sent {
    Answered(Answered),
    /// Nothing of it was sent: there is nobody who takes it.
    Not(Request<Outbound>),
}

struct Answered {
    response: Response<Incoming>,
    sender: hyper::client::conn::http1::SendRequest<Outbound>,
    backend: Arc<Backend>,
    exchange: Exchange,
    left: Option<Duration>,
}

/// Sends a request to the pod of a session. Only what was not sent at all is tried again.
async fn send(gate: &Gate, entry: &Entry, mut request: Request<Outbound>) -> Result<Sent, Problem> {
    if let Some(why) = &entry.given_up {
        let detail = format!("session {} was given up: {why}", entry.id);
        let mut problem = Problem::new(StatusCode::BAD_GATEWAY, "given-up", detail);
        problem.hint = Some("DELETE it, or resume it with kubectl podlife session resume".to_owned());
        return Err(problem);
    }
    let Some(backend) = entry.backend.as_ref().filter(|backend| backend.may_answer(&gate.dialer)) else {
        return Ok(Sent::Not(request));
    };
    let mut exchange = Exchange::begin(&entry.activity);
    loop {
        let (mut sender, is_new) = match backend.kept() {
            Some(kept) => (kept, false),
            None => match backend.connect(&gate.dialer).await {
                Ok(sender) => (sender, true),
                Err(_) => return Ok(Sent::Not(request)),
            },
        };
        match sender.try_send_request(request).await {
            Ok(response) => {
                if !response.status().is_server_error() {
                    exchange.count();
                }
                return Ok(Sent::Answered(Answered {
                    response,
                    sender,
                    backend: backend.clone(),
                    exchange,
                    left: entry.left(),
                }));
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) if is_new => return Ok(Sent::Not(unsent)),
                Some(unsent) => request = unsent,
                None if is_caused_by::<TooLong>(error.error()) => return Err(is_too_long()),
                None if is_caused_by::<BrokenOff>(error.error()) => {
                    return Err(Problem::bad_request("the request body could not be read completely"));
                }
                None => {
                    backend.prove(false);
                    let detail = format!("pod {} closed the connection before it answered", backend.pod);
                    return Err(Problem::new(StatusCode::BAD_GATEWAY, "no-answer", detail));
                }
            },
        }
    }
}

fn is_too_long() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-long", "the request body is too long")
}

fn is_caused_by<E: Error + 'static>(error: &hyper::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Passes an answer on. `upgraded`: the client's connection, should it change its protocol.
fn pass_on(answered: Answered, upgraded: OnUpgrade, peer: &Peer, place: Option<Place>) -> Response<Answer> {
    let Answered {
        mut response,
        sender,
        backend,
        mut exchange,
        left,
    } = answered;
    let protocol = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => headers::upgrade(response.headers()).cloned(),
        _ => None,
    };
    let of_pod = protocol.is_some().then(|| hyper::upgrade::on(&mut response));
    let (mut parts, body) = response.into_parts();
    parts.version = Version::HTTP_11;
    headers::to_client(&mut parts.headers, backend.generation, left, protocol.as_ref());
    let Some(of_pod) = of_pod else {
        return Response::from_parts(parts, Answer::Application(Inbound::new(body, backend, sender, exchange, place)));
    };
    exchange.count();
    let alive = peer.alive.clone();
    let is_websocket = protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    tokio::spawn(async move {
        if let (Ok(client), Ok(pod)) = tokio::join!(upgraded, of_pod) {
            websocket::carry(TokioIo::new(client), TokioIo::new(pod), is_websocket, &mut exchange).await;
        }
        drop((exchange, place, alive));
    });
    Response::from_parts(parts, Answer::Own(Full::default()))
}
