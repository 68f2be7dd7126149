//! Connections of this machine that are carried to a port inside a pod.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Error;

use crate::cluster::channels::{Incoming, KEEP_ALIVE, Outgoing};
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::read::{collection, escape};
use crate::cluster::{Connection, PodPort};
use crate::model::kind;

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// How long the pod may be silent once the client has sent all that it has: whether it still listens cannot be seen, and the protocol has no
/// way to tell the pod.
const LINGER: Duration = Duration::from_secs(30);

/// How often a free port is looked for.
const TRIES: usize = 10;

/// One local port, on one or more addresses.
pub struct Listeners(Vec<TcpListener>);

impl Listeners {
    /// Listens on a port of each address; 0 chooses a free one, the same for all. Addresses that this machine does not have are left out as long
    /// as there is another one.
    pub async fn bind(addresses: &[IpAddr], port: u16) -> std::io::Result<Self> {
        // What is free at one address may be taken at another one.
        for _ in 1..TRIES {
            match Self::bind_once(addresses, port).await {
                Err(error) if port == 0 && error.kind() == std::io::ErrorKind::AddrInUse => {}
                bound => return bound,
            }
        }
        Self::bind_once(addresses, port).await
    }

    async fn bind_once(addresses: &[IpAddr], port: u16) -> std::io::Result<Self> {
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut missing = None;
        for address in addresses {
            let port = match listeners.first() {
                Some(first) => first.local_addr()?.port(),
                None => port,
            };
            match TcpListener::bind(SocketAddr::new(*address, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::AddrNotAvailable | std::io::ErrorKind::Unsupported) => {
                    missing = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(Self(listeners)),
        }
    }

    /// Where is listened.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The next connection.
    pub async fn accept(&self) -> std::io::Result<TcpStream> {
        let accepts = self.0.iter().map(|listener| Box::pin(listener.accept()));
        let (accepted, _, _) = futures::future::select_all(accepts).await;
        accepted.map(|(stream, _)| stream)
    }
}

impl Connection {
    /// Carries bytes between `local` and a port inside a pod until either side is done. That the pod refuses the connection is an error
    /// ([`ApiErrorKind::Invalid`]). Needs `create` on `pods/portforward` (before Kubernetes 1.35 `get` for this way of asking).
    pub async fn forward(&self, to: PodPort<'_>, local: impl AsyncRead + AsyncWrite) -> Result<(), ApiError> {
        let about = to.about("create", "forwarding", "portforward");
        let pods = collection(&kind::POD, Some(to.namespace));
        let path = format!("{pods}/{}/portforward?ports={}", escape(to.pod), to.port);
        let opened = {
            let _permit = self.inner.transport.dial_permit().await;
            self.channels(&path, &about).await
        };
        let (incoming, mut outgoing) = opened?;
        let heard = Cell::new(Instant::now());
        let (reader, writer) = tokio::io::split(local);
        let done = tokio::select! {
            done = from_pod(incoming, writer, &heard) => done,
            done = to_pod(&mut outgoing, reader, &heard) => done,
        };
        // The pod learns of it now or when the connection is dropped.
        let _ = outgoing.close().await;
        match done {
            Ok(()) => Ok(()),
            Err(Cut::Refused(why)) => Err(refused(&about, &why)),
            Err(Cut::Broken(error)) => Err(self.cut_off(&about, error)),
        }
    }
}

enum Cut {
    /// The kubelet or the runtime says that the port cannot be connected to.
    Refused(String),
    Broken(Error),
}

impl From<Error> for Cut {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// The kubelet's error, without what is known already (containerd: `error forwarding port 80 to pod 1a2b, uid : failed to execute portforward in
/// network namespace "…": failed to connect to localhost:80 inside namespace "1a2b", IPv4: dial tcp4 127.0.0.1:80: connect: connection refused …`).
fn refused(about: &About, why: &str) -> ApiError {
    let short = match why.contains("connection refused") {
        true => "connection refused",
        false => why.trim(),
    };
    ApiError::of(about, ApiErrorKind::Invalid, short)
}

async fn from_pod(mut incoming: Incoming, mut writer: impl AsyncWrite + Unpin, heard: &Cell<Instant>) -> Result<(), Cut> {
    // The first message of each channel repeats the port.
    let mut begun = [false; 2];
    while let Some((channel, bytes)) = incoming.next().await? {
        let Some(begun) = begun.get_mut(usize::from(channel)) else {
            continue;
        };
        if !std::mem::replace(begun, true) {
            continue;
        }
        heard.set(Instant::now());
        match channel {
            ERROR if !bytes.is_empty() => return Err(Cut::Refused(String::from_utf8_lossy(&bytes).into_owned())),
            // A client that is gone is no error of anybody.
            DATA if writer.write_all(&bytes).await.is_err() => return Ok(()),
            _ => {}
        }
    }
    let _ = writer.shutdown().await;
    Ok(())
}

async fn to_pod(outgoing: &mut Outgoing, mut reader: impl AsyncRead + Unpin, heard: &Cell<Instant>) -> Result<(), Cut> {
    let mut keep_alive = interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = vec![0; 32 << 10];
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(0) => break,
                Ok(count) => outgoing.send(DATA, &buffer[..count]).await?,
                Err(_) => return Ok(()),
            },
            _ = keep_alive.tick() => outgoing.keep_alive().await?,
        }
    }
    let ended = Instant::now();
    loop {
        let until = heard.get().max(ended) + LINGER;
        if Instant::now() >= until {
            return Ok(());
        }
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[tokio::test]
    async fn one_free_port_serves_all_addresses() {
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let listeners = Listeners::bind(&addresses, 0).await.unwrap();
        let bound = listeners.addresses();
        assert!(bound.iter().all(|address| address.port() == bound[0].port()), "{bound:?}");
        for address in bound {
            let (connected, accepted) = tokio::join!(TcpStream::connect(address), listeners.accept());
            assert_eq!(connected.unwrap().local_addr().unwrap(), accepted.unwrap().peer_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error() {
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST)];
        let first = Listeners::bind(&addresses, 0).await.unwrap();
        let again = Listeners::bind(&addresses, first.addresses()[0].port()).await;
        assert_eq!(again.err().map(|error| error.kind()), Some(std::io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_refusal_is_short() {
        let about = About::default();
        let containerd = "error forwarding port 80 to pod 1a2b, uid : failed to execute portforward in network namespace \"/x\": failed to connect to \
            localhost:80 inside namespace \"1a2b\", IPv4: dial tcp4 127.0.0.1:80: connect: connection refused IPv6 dial tcp6 [::1]:80: connect: \
            connection refused ";
        assert_eq!(refused(&about, containerd).message, "connection refused");
        assert_eq!(refused(&about, "socat not found\n").message, "socat not found");
    }
}
