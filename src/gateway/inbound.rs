//! The body of an answer on its way to the client, and what happens when it ends: its connection is kept for the next request.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;

use crate::gateway::activity::Exchange;
use crate::gateway::backend::Backend;
use crate::gateway::outbound::Outbound;
use crate::gateway::owners::Place;

/// What a client gets.
pub(super) enum Answer {
    /// The gateway's own words.
    Own(Full<Bytes>),
    /// What the application says.
    Application(Inbound),
}

/// The body of an application's answer.
pub(super) struct Inbound {
    body: Incoming,
    backend: Arc<Backend>,
    sender: Option<SendRequest<Outbound>>,
    /// Both go on as long as the body does.
    exchange: Exchange,
    _place: Option<Place>,
}

impl Inbound {
    pub(super) fn new(
        body: Incoming,
        backend: Arc<Backend>,
        sender: SendRequest<Outbound>,
        exchange: Exchange,
        place: Option<Place>,
    ) -> Self {
        Self {
            body,
            backend,
            sender: Some(sender),
            exchange,
            _place: place,
        }
    }

    /// Gives the connection back. One that is in the middle of an answer closes with it.
    fn end(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.backend.keep(sender);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        // Nobody asks for the end of a body whose length is known.
        if self.body.is_end_stream() {
            self.end();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Application(inbound) => {
                let frame = Pin::new(&mut inbound.body).poll_frame(context);
                let is_cut = match &frame {
                    Poll::Pending => inbound.exchange.cut().poll(context).is_ready(),
                    Poll::Ready(frame) => frame.is_some() && inbound.exchange.cut().cause().is_some(),
                };
                if is_cut {
                    return Poll::Ready(Some(Err("the stream is cut".into())));
                }
                let frame = ready!(frame);
                if frame.is_none() {
                    inbound.end();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Application(inbound) => inbound.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Application(inbound) => inbound.body.size_hint(),
        }
    }
}
