//! The body of a request on its way to an application: passed on as it comes, up to a length.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// A body is longer than the gateway lets through.
#[derive(Debug)]
pub(super) struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body is too long")
    }
}

impl Error for TooLong {}

/// A body that ends too early, or whose chunks are none.
#[derive(Debug)]
pub(super) struct BrokenOff(hyper::Error);

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request body cannot be read: {}", self.0)
    }
}

impl Error for BrokenOff {}

/// A body that a client sends.
#[derive(Debug)]
pub(super) struct Outbound {
    body: Incoming,
    left: u64,
}

impl Outbound {
    pub(super) fn new(body: Incoming, limit: Option<u64>) -> Self {
        let left = limit.unwrap_or(u64::MAX);
        Self { body, left }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            let length = data.map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err(TooLong.into()))),
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BrokenOff(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
