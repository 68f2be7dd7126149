//! A websocket of the API server for exec, attach and port-forward: the first byte of a message is the number of its channel.
//!
//! kube's own loops over such a websocket do one thing at a time: while they wait until bytes are sent they read none. Where the other side
//! reads no more until its output is taken, that is for ever. Here the two directions know nothing of each other.

use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError};

/// How often a websocket on which nothing happens is used all the same: load balancers cut idle connections.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The channel on which version 5 of the protocol says that another one has ended.
const CLOSE: u8 = 255;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What the other side says.
pub(super) struct Incoming(SplitStream<Socket>);

/// What is said to the other side.
pub(super) struct Outgoing {
    sink: SplitSink<Socket, Message>,
    has_close: bool,
}

impl Incoming {
    /// The next message, with its channel; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(u8, Bytes)>, Error> {
        loop {
            match self.0.next().await.transpose()? {
                None | Some(Message::Close(_)) => return Ok(None),
                Some(Message::Binary(mut bytes)) if !bytes.is_empty() => {
                    let channel = bytes.split_to(1)[0];
                    return Ok(Some((channel, bytes)));
                }
                Some(_) => {}
            }
        }
    }
}

impl Outgoing {
    /// Sends bytes on a channel.
    pub(super) async fn send(&mut self, channel: u8, bytes: &[u8]) -> Result<(), Error> {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        self.sink.send(Message::Binary(message.into())).await
    }

    /// Says that nothing more comes on a channel. Before version 5 of the protocol (Kubernetes 1.30) all channels can only end together.
    pub(super) async fn end(&mut self, channel: u8) -> Result<(), Error> {
        match self.has_close {
            true => self.send(CLOSE, &[channel]).await,
            false => self.close().await,
        }
    }

    pub(super) async fn keep_alive(&mut self) -> Result<(), Error> {
        self.sink.send(Message::Ping(Bytes::new())).await
    }

    pub(super) async fn close(&mut self) -> Result<(), Error> {
        self.sink.close().await
    }
}

impl Connection {
    /// Opens a websocket with channels.
    pub(super) async fn channels(&self, path: &str, about: &About) -> Result<(Incoming, Outgoing), ApiError> {
        let connection = self.inner.transport.upgrade(path, about).await?;
        let has_close = connection.supports_stream_close();
        let (sink, stream) = connection.into_stream().split();
        Ok((Incoming(stream), Outgoing { sink, has_close }))
    }

    /// What a websocket that broke off means.
    pub(super) fn cut_off(&self, about: &About, error: Error) -> ApiError {
        self.inner.transport.broken(about, kube::Error::Service(error.into()))
    }
}
