//! HTTP/1.1 over a stream that is open already: one request, or one after the other.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cluster::headers::{Headers, put, user_agent};

/// A request; none where the path or a header is none of HTTP.
pub(super) fn request(method: &Method, host: &str, path: &str, headers: &Headers, body: Bytes) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", host)
        .header("user-agent", user_agent())
        .body(Full::new(body))
        .ok()?;
    put(request.headers_mut(), headers);
    Some(request)
}

/// Makes one request. Answers with the status and at most `most` bytes of the body: none where that is 0 or the body is longer or broken off.
/// None where what came back is not HTTP, or nothing did before the stream ended.
pub(super) async fn once(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut request: Request<Full<Bytes>>,
    most: usize,
) -> Option<(StatusCode, Vec<u8>)> {
    let close = http::HeaderValue::from_static("close");
    request.headers_mut().insert(http::header::CONNECTION, close);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        if most == 0 {
            return Some((status, Vec::new()));
        }
        // A body without an end, or one that is too long, is answer enough.
        let body = Limited::new(response.into_body(), most).collect().await;
        Some((status, body.map(|b| b.to_bytes().to_vec()).unwrap_or_default()))
    };
    tokio::pin!(connection, answer);
    // A short answer and the end of the connection come together: the answer counts.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

/// Connections to one server that are used again, as clients with a pool do.
#[derive(Clone, Default)]
pub struct Kept {
    idle: Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>,
}

impl Kept {
    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, sender: SendRequest<Full<Bytes>>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    }

    /// Makes a request on a connection that is idle; none where that breaks. The error is the request where none of it was sent: nothing is
    /// idle, or the server has closed what was.
    pub(super) async fn again(&self, mut request: Request<Full<Bytes>>) -> Result<Option<StatusCode>, Request<Full<Bytes>>> {
        while let Some(mut sender) = self.take() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.read(sender, response).await),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Ok(None),
                },
            }
        }
        Err(request)
    }

    /// Makes the first request on a new connection. None where it broke, or speaks no HTTP.
    pub(super) async fn first(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Option<StatusCode> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        // It ends with the sender, or when the server ends it.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.ok()?;
        self.read(sender, response).await
    }

    /// Reads the body to its end, so that the connection can be used again. None where it is broken off.
    async fn read(&self, sender: SendRequest<Full<Bytes>>, response: http::Response<Incoming>) -> Option<StatusCode> {
        let status = response.status();
        match Limited::new(response.into_body(), MOST_READ).collect().await {
            Ok(_) => self.put_back(sender),
            Err(error) if error.is::<LengthLimitError>() => {}
            Err(_) => return None,
        }
        Some(status)
    }
}

/// As much of a body is read to keep its connection.
const MOST_READ: usize = 1 << 20;
