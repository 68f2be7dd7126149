//! One GET over a stream that is open already.

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cluster::headers::{Headers, put, user_agent};

/// Asks for a path. Answers with the status and at most `most` bytes of the body: none where that is 0 or the body is longer or broken off.
/// None where what came back is not HTTP, or nothing did before the stream ended.
pub(super) async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
    headers: &Headers,
    most: usize,
) -> Option<(StatusCode, Vec<u8>)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let mut request = Request::get(path)
        .header("host", host)
        .header("user-agent", user_agent())
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    put(request.headers_mut(), headers);
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
