//! The gRPC health protocol, `grpc.health.v1.Health/Check`, on a connection that is there. Its two messages have one field each, so that no
//! library for gRPC is needed.

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::cluster::headers::{Headers, put, user_agent};
use crate::cluster::outcome::{Health, Told};

const PATH: &str = "/grpc.health.v1.Health/Check";
/// The answer is seven bytes long.
const ENOUGH: usize = 4096;

/// Asks for the health of a service; none where no gRPC is spoken.
pub(super) async fn check(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    scheme: &str,
    authority: &str,
    service: &str,
    headers: &Headers,
) -> Option<Told> {
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .ok()?;
    let mut request = Request::post(format!("{scheme}://{authority}{PATH}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", user_agent())
        .body(Full::new(Bytes::from(request_of(service))))
        .ok()?;
    put(request.headers_mut(), headers);
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Some(Told::Status(parts.status.as_u16()));
        }
        let is_grpc = parts
            .headers
            .get("content-type")
            .is_some_and(|v| v.as_bytes().starts_with(b"application/grpc"));
        let collected = Limited::new(body, ENOUGH).collect().await.ok()?;
        // An answer without a message has its trailers in the place of its headers.
        let code = collected
            .trailers()
            .and_then(|t| t.get("grpc-status"))
            .or(parts.headers.get("grpc-status"));
        let code = code.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u16>().ok());
        match code {
            Some(0) => Some(Told::Health(answer_of(&collected.to_bytes()))),
            Some(5) => Some(Told::Health(Health::NoSuchService)),
            Some(12) => Some(Told::Health(Health::NotOffered)),
            Some(other) => Some(Told::Health(Health::Code(other))),
            None if is_grpc => Some(Told::Health(Health::Unknown)),
            None => Some(Told::Status(parts.status.as_u16())),
        }
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

/// `HealthCheckRequest{service}` as one message that is not compressed.
fn request_of(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

/// The field `status` of a `HealthCheckResponse`; what is left out is 0, `UNKNOWN`.
fn answer_of(framed: &[u8]) -> Health {
    match framed.get(5..) {
        Some([0x08, 1, ..]) => Health::Serving,
        Some([0x08, 2, ..]) => Health::NotServing,
        Some([0x08, 3, ..]) => Health::NoSuchService,
        _ => Health::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_and_read_as_protobuf_says() {
        assert_eq!(request_of(""), [0, 0, 0, 0, 0]);
        assert_eq!(request_of("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(request_of(&"x".repeat(200))[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 1]);
        assert_eq!(answer_of(&[0, 0, 0, 0, 2, 8, 1]), Health::Serving);
        assert_eq!(answer_of(&[0, 0, 0, 0, 2, 8, 2]), Health::NotServing);
        assert_eq!(answer_of(&[0, 0, 0, 0, 0]), Health::Unknown);
        assert_eq!(answer_of(b"<html>"), Health::Unknown);
    }
}
