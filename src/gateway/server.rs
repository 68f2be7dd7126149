//! Connections of clients.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::gateway::gate::Gate;
use crate::gateway::problem::{self, Problem};
use crate::gateway::proxy::{self, Peer};
use crate::gateway::tls::Tls;

/// How long a client may take to send the head of a request, and keep a connection without one.
const HEAD: Duration = Duration::from_secs(75);
/// How long TLS may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The format of metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 200;
/// The pause after a connection that could not be accepted, for want of file descriptors for example.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until some time after `stop` is set, and then until the last connection has ended.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    tls: Option<Arc<Tls>>,
    gate: Arc<Gate>,
    stop: watch::Receiver<Option<Duration>>,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD as u32)
        .keep_alive_interval(HEAD);
    let builder = Arc::new(builder);
    let (alive, mut ended) = mpsc::channel(1);
    let is_over = stopped(stop.clone());
    tokio::pin!(is_over);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut is_over => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let peer = Peer {
                    client: client.ip().to_canonical(),
                    is_tls: tls.is_some(),
                    alive: alive.clone(),
                };
                let (builder, gate, stop) = (builder.clone(), gate.clone(), stop.clone());
                let acceptor = tls.as_ref().map(|tls| tls.acceptor());
                tokio::spawn(async move {
                    if stream.set_nodelay(true).is_err() {
                        return;
                    }
                    match acceptor {
                        None => connection(stream, &builder, gate, peer, stop).await,
                        Some(acceptor) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                                connection(stream, &builder, gate, peer, stop).await;
                            }
                        }
                    }
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    drop((listener, alive));
    // Nobody sends anything: it ends when all have gone.
    ended.recv().await;
    Ok(())
}

async fn connection<S>(stream: S, builder: &Builder<TokioExecutor>, gate: Arc<Gate>, peer: Peer, stop: watch::Receiver<Option<Duration>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (gate, peer) = (gate.clone(), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(proxy::answer(&gate, request, &peer).await) }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let is_stopping = tokio::select! {
        biased;
        // What went wrong between client and gateway is the client's to notice.
        _ = connection.as_mut() => false,
        () = stopped(stop) => true,
    };
    if is_stopping {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Waits until the gateway is to end, and for the notice that it gives.
async fn stopped(mut stop: watch::Receiver<Option<Duration>>) {
    let told = stop.wait_for(Option::is_some).await.map(|notice| notice.unwrap_or_default());
    if let Ok(notice) = told {
        tokio::time::sleep(notice).await;
    }
}

/// Serves metrics, to whoever can connect.
pub(super) async fn metrics(listener: std::net::TcpListener, gate: Arc<Gate>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let gate = gate.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = match (request.method(), request.uri().path()) {
                (&Method::GET, "/metrics") => problem::own(StatusCode::OK, OPEN_METRICS, gate.counted()),
                _ => Problem::new(StatusCode::NOT_FOUND, "no-such-path", "metrics are at /metrics").answer(),
            };
            async move { Ok::<_, std::convert::Infallible>(answer.map(Full::new)) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}
