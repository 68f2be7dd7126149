//! Asks pods and Services through the API server's proxy, and tells the API server's own words from what the application answers.

use std::time::Duration;

use http::StatusCode;

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::headers::Headers;
use crate::cluster::read::escape;
use crate::cluster::request::{Call, Repeat, Status};
use crate::model::dial::Reply;

/// What is asked through the API server.
#[derive(Clone, Copy, Debug)]
pub struct Proxied<'a> {
    /// `services` or `pods`.
    pub plural: &'static str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The port of the Service, or of the pod.
    pub port: u16,
    /// Whether TLS is spoken; certificates are not checked, as with probes.
    pub tls: bool,
    /// What is asked for with GET.
    pub path: &'a str,
    /// What is sent along; the API server keeps `Authorization` to itself.
    pub headers: &'a Headers,
}

impl Connection {
    /// One GET through the proxy: how it went, and the beginning of what the application sent, at most `enough` bytes or a little more.
    pub(super) async fn exchange_proxied(
        &self,
        to: Proxied<'_>,
        about: About,
        enough: usize,
        limit: Duration,
    ) -> Result<(Reply, Vec<u8>), ApiError> {
        let scheme = if to.tls { "https:" } else { "" };
        let path = to.path.trim_start_matches('/');
        let (namespace, name) = (escape(to.namespace), escape(to.name));
        let call = Call {
            accept: "*/*",
            repeat: Repeat::Never,
            enough: Some(enough),
            headers: to.headers.clone(),
            ..Call::get(
                format!(
                    "/api/v1/namespaces/{namespace}/{}/{scheme}{name}:{}/proxy/{path}",
                    to.plural, to.port
                ),
                about,
            )
        };
        let Some((status, body)) = self.inner.transport.exchange(&call, limit).await? else {
            return Ok((Reply::TimedOut, Vec::new()));
        };
        match own_answer(&body) {
            Some(own) => {
                let port = (to.plural == "pods").then_some(to.port);
                Ok((said_of_itself(&call.about, to.name, port, status, own)?, Vec::new()))
            }
            None => Ok((Reply::Status(status.as_u16()), body)),
        }
    }
}

/// The API server's own word in an answer that came through its proxy; an application's answer is none.
fn own_answer(body: &[u8]) -> Option<Status> {
    serde_json::from_slice(body).ok().filter(|status: &Status| status.kind == "Status")
}

/// What a Status says about the way to the pod (`error trying to reach service: …`, apimachinery's proxy handler). An application that serves the
/// Kubernetes API answers with the same type: only what speaks of this very pod and port is the API server's own word. Of a Service the port of the
/// pod behind it is not known (none).
fn said_of_itself(about: &About, name: &str, port: Option<u16>, code: StatusCode, status: Status) -> Result<Reply, ApiError> {
    let Some((_, why)) = status.message.split_once("error trying to reach service: ") else {
        let of_pod = status.message.contains(&format!("\"{name}"));
        return match code.as_u16() {
            400.. if port.is_none() => Err(crate::cluster::request::refusal(about, code, Some(status), b"")),
            403 | 404 if of_pod => Err(crate::cluster::request::refusal(about, code, Some(status), b"")),
            // The API server may be busy just then; whose word it is does not show.
            429 | 500..=599 => Ok(Reply::Untried),
            other => Ok(Reply::Status(other)),
        };
    };
    let of_port = port.is_none_or(|port| why.contains(&format!(":{port}")));
    if why.contains("dial tcp") && !of_port {
        return Ok(Reply::Status(code.as_u16()));
    }
    Ok(if why.contains("connection refused") {
        Reply::Refused
    } else if ["timeout", "deadline exceeded", "no route to host", "unreachable"]
        .iter()
        .any(|word| why.contains(word))
    {
        Reply::TimedOut
    } else if why.contains("lookup ") || why.contains("address not allowed") || why.contains("missing port") {
        return Err(ApiError::of(about, ApiErrorKind::Server, why.to_owned()));
    } else {
        // Cut off, or an answer in another protocol: the connection was made.
        Reply::Accepted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(message: &str) -> Result<Reply, ApiErrorKind> {
        let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": message, "code": 503});
        let own = own_answer(body.to_string().as_bytes()).expect("a Status");
        said_of_itself(&About::default(), "api", Some(8080), StatusCode::SERVICE_UNAVAILABLE, own).map_err(|error| error.kind)
    }

    #[test]
    fn an_application_that_speaks_of_other_things_in_the_same_words_has_answered() {
        let said = |code: u16, message: &str| {
            let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": message, "code": code});
            let own = own_answer(body.to_string().as_bytes()).expect("a Status");
            let code = StatusCode::from_u16(code).expect("a code");
            said_of_itself(&About::default(), "api", Some(8080), code, own).map_err(|error| error.kind)
        };
        let anonymous = "forbidden: User \"system:anonymous\" cannot get path \"/\"";
        assert_eq!(said(403, anonymous), Ok(Reply::Status(403)));
        assert_eq!(said(401, "Unauthorized"), Ok(Reply::Status(401)));
        assert_eq!(
            said(
                503,
                "error trying to reach service: dial tcp 10.0.0.9:9000: connect: connection refused"
            ),
            Ok(Reply::Status(503))
        );
        assert_eq!(said(500, "boom password=hunter2"), Ok(Reply::Untried));
        let denied = "pods \"api:8080\" is forbidden: User \"jane\" cannot get resource \"pods/proxy\"";
        assert_eq!(said(403, denied), Err(ApiErrorKind::Forbidden));
        assert_eq!(said(404, "pods \"api\" not found"), Err(ApiErrorKind::NotFound));
    }

    #[test]
    fn the_proxys_words_tell_a_refusal_from_silence_and_from_another_protocol() {
        let tried = |why: &str| reply(&format!("error trying to reach service: {why}"));
        assert_eq!(tried("dial tcp 10.244.0.7:8080: connect: connection refused"), Ok(Reply::Refused));
        assert_eq!(tried("dial tcp 10.244.0.7:8080: i/o timeout"), Ok(Reply::TimedOut));
        assert_eq!(tried("dial tcp 10.244.0.7:8080: connect: no route to host"), Ok(Reply::TimedOut));
        for other in [
            "EOF",
            "read tcp 10.0.0.1:1->10.244.0.7:8080: read: connection reset by peer",
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response \"\\x00\\x00\\x06\\x04\"",
            "tls: first record does not look like a TLS handshake",
        ] {
            assert_eq!(tried(other), Ok(Reply::Accepted), "{other}");
        }
        assert_eq!(reply("the server is currently unable to handle the request"), Ok(Reply::Untried));
        assert!(own_answer(b"{\"kind\":\"Order\"}").is_none() && own_answer(b"<html>").is_none());
    }
}
