//! The pod that answers for a session, and connections to it that are kept.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::gateway::outbound::Outbound;

/// How long a connection is kept without a request. Servers close idle ones too, and a request that is just then on its way is lost: node.js does
/// so after 5 s.
const KEPT: Duration = Duration::from_secs(4);
/// How many are kept of one session.
const MOST_KEPT: usize = 64;
/// A pod of the same cluster answers a dial within a few milliseconds; the kernel sends the first packet again after 1 s.
const DIAL: Duration = Duration::from_millis(2500);

/// One pod, at one address. Another pod of the session is another backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) generation: u32,
    pub(super) address: SocketAddr,
    /// Whether the application has accepted a connection.
    is_proven: AtomicBool,
    /// Whether it knows its session.
    is_told: AtomicBool,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Outbound>,
    since: Instant,
}

/// A connection into a pod that is wanted of the API server.
pub(super) struct Tunnel {
    pub(super) pod: String,
    pub(super) port: u16,
    pub(super) end: DuplexStream,
}

/// How pods are reached.
#[derive(Clone)]
pub(super) enum Dialer {
    /// At their addresses.
    Direct,
    /// Through the API server, from outside of the cluster.
    Tunnels(UnboundedSender<Tunnel>),
}

impl Backend {
    pub(super) fn new(pod: &str, uid: &str, generation: u32, address: SocketAddr) -> Self {
        Self {
            pod: pod.to_owned(),
            uid: uid.to_owned(),
            generation,
            address,
            is_proven: AtomicBool::new(false),
            is_told: AtomicBool::new(true),
            idle: Mutex::default(),
        }
    }

    /// The same pod, which was made before there was a session for it.
    pub(super) fn untold(mut self) -> Self {
        self.is_told = AtomicBool::new(false);
        self
    }

    /// Whether it knows its session.
    pub(super) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Relaxed)
    }

    /// Notes that it knows its session.
    pub(super) fn told(&self) {
        self.is_told.store(true, Ordering::Relaxed);
    }

    /// Tells the application which session it has got, and returns what it answers.
    pub(super) async fn tell(&self, dialer: &Dialer, path: &str, id: &str) -> io::Result<StatusCode> {
        let body = serde_json::json!({"id": id}).to_string();
        let request = Request::post(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)));
        let request = request.map_err(io::Error::other)?;
        let mut sender = self.connect(dialer).await?;
        Ok(sender.send_request(request).await.map_err(io::Error::other)?.status())
    }

    /// Whether it is the same pod, at the same address.
    pub(super) fn is(&self, uid: &str, address: SocketAddr) -> bool {
        self.uid == uid && self.address == address
    }

    /// Whether it is worth a try without waiting. A tunnel begins before it is known whether anybody listens at its end.
    pub(super) fn may_answer(&self, dialer: &Dialer) -> bool {
        self.is_told() && (matches!(dialer, Dialer::Direct) || self.is_proven.load(Ordering::Relaxed))
    }

    /// Notes whether the application accepts connections.
    pub(super) fn prove(&self, accepts: bool) {
        self.is_proven.store(accepts, Ordering::Relaxed);
    }

    /// A connection that is kept and still open.
    pub(super) fn kept(&self) -> Option<SendRequest<Outbound>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The last one that was used is the one that lasts longest.
        let at = idle
            .iter()
            .rposition(|idle| idle.sender.is_ready() && idle.since.elapsed() < KEPT)?;
        Some(idle.swap_remove(at).sender)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn keep(&self, sender: SendRequest<Outbound>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_KEPT {
            let since = Instant::now();
            idle.push(Idle { sender, since });
        }
    }

    /// Closes connections that have been kept for long enough.
    pub(super) fn tidy(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < KEPT && !idle.sender.is_closed());
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
    }

    /// A new connection.
    pub(super) async fn connect<B>(&self, dialer: &Dialer) -> io::Result<SendRequest<B>>
    where
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        match dialer {
            Dialer::Direct => {
                let stream = dial(self.address).await?;
                stream.set_nodelay(true)?;
                handshake(stream).await
            }
            Dialer::Tunnels(tunnels) => {
                let (near, end) = tokio::io::duplex(64 << 10);
                let (pod, port) = (self.pod.clone(), self.address.port());
                let sent = tunnels.send(Tunnel { pod, port, end });
                sent.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
                handshake(near).await
            }
        }
    }
}

/// Connects to an address within the time that a pod takes.
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(DIAL, TcpStream::connect(address)).await?
}

async fn handshake<S, B>(stream: S) -> io::Result<SendRequest<B>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with its sender, or when the pod ends it; what went wrong is told to the exchange.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
