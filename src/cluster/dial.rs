//! Dials of a pod's ports: to the pod's address through the API server's pod proxy, and from inside the pod by port-forward.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::{Instant, timeout_at};

use super::Connection;
use super::error::{About, ApiError, ApiErrorKind};
use super::read::escape;
use super::request::{Call, Repeat, Status, user_agent};
use crate::model::dial::Reply;

/// As much of an answer as tells whether it is the API server's own.
const ENOUGH: usize = 4096;

/// Which port of which pod.
#[derive(Clone, Copy, Debug)]
pub struct PodPort<'a> {
    /// Namespace of the pod.
    pub namespace: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// The port.
    pub port: u16,
}

impl PodPort<'_> {
    fn about(&self, verb: &'static str, doing: &str, subresource: &str) -> About {
        About {
            doing: format!("{doing} port {} of pod/{}/{}", self.port, self.namespace, self.pod),
            verb,
            resource: format!("pods/{subresource}"),
            namespace: Some(self.namespace.to_owned()),
        }
    }
}

impl Connection {
    /// Asks the pod's own address for `path` with GET through the API server's pod proxy, which goes past NetworkPolicies and Services.
    /// Needs `get` on `pods/proxy`. A refusal by the API server (401, 403, 404 of the pod) is an error; what the pod answers, or that
    /// it does not, is a [`Reply`].
    pub async fn dial_address(&self, to: PodPort<'_>, tls: bool, path: &str, limit: Duration) -> Result<Reply, ApiError> {
        let scheme = if tls { "https:" } else { "" };
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let call = Call {
            accept: "*/*",
            repeat: Repeat::Never,
            enough: Some(ENOUGH),
            ..Call::get(
                format!(
                    "/api/v1/namespaces/{}/pods/{scheme}{}:{}/proxy{path}",
                    escape(to.namespace),
                    escape(to.pod),
                    to.port
                ),
                to.about("get", "dialling", "proxy"),
            )
        };
        match self.inner.transport.exchange(&call, limit).await? {
            None => Ok(Reply::TimedOut),
            Some((status, body)) => match own_answer(&body) {
                Some(own) => proxied(&call.about, to.pod, Some(to.port), status, own),
                None => Ok(Reply::Status(status.as_u16())),
            },
        }
    }

    /// Connects to the port from inside the pod by port-forward: the container runtime dials the pod's loopback address. With a `path`,
    /// asks for it with GET over HTTP; without one nothing is sent, and silence for half of the limit counts as accepted.
    /// Needs `create` on `pods/portforward` (before Kubernetes 1.35 `get` for this way of asking).
    pub async fn dial_inside(&self, to: PodPort<'_>, path: Option<&str>, limit: Duration) -> Result<Reply, ApiError> {
        let about = to.about("create", "forwarding", "portforward");
        let shown = format!("/api/v1/namespaces/{}/pods/{}/portforward?ports={}", to.namespace, to.pod, to.port);
        let transport = &self.inner.transport;
        let _permit = transport.permit().await;
        let (_, client) = transport.client().await?;
        let deadline = Instant::now() + limit;
        let started = Instant::now();
        let pods: Api<Pod> = Api::namespaced(client, to.namespace);
        let opened = timeout_at(deadline, pods.portforward(to.pod, &[to.port])).await;
        let status = match &opened {
            Ok(Ok(_)) => Some(StatusCode::SWITCHING_PROTOCOLS),
            Ok(Err(kube::Error::Api(status))) => StatusCode::from_u16(status.code).ok(),
            _ => None,
        };
        transport.record_request("GET", &shown, status, started.elapsed());
        let mut forwarder = match opened {
            Err(_) => return Ok(Reply::Untried),
            Ok(Err(error)) => return Err(transport.upgrade_failed(&about, error)),
            Ok(Ok(forwarder)) => forwarder,
        };
        let (Some(stream), Some(error)) = (forwarder.take_stream(to.port), forwarder.take_error(to.port)) else {
            return Ok(Reply::Untried);
        };
        let answer = async {
            match path {
                Some(path) => http_answer(stream, path, deadline).await,
                None => silent_answer(stream, Instant::now() + limit / 2).await,
            }
        };
        tokio::pin!(answer);
        let reply = tokio::select! {
            biased;
            said = error => match said {
                Some(said) => refusal(&said),
                // No error: the other side closed in good order, and what it said before is still to be read.
                None => answer.await,
            },
            reply = &mut answer => reply,
        };
        forwarder.abort();
        Ok(reply)
    }
}

/// The API server's own word in an answer that came through its proxy; an application's answer is none.
pub(super) fn own_answer(body: &[u8]) -> Option<Status> {
    serde_json::from_slice(body).ok().filter(|status: &Status| status.kind == "Status")
}

/// What a Status says about the way to the pod (`error trying to reach service: …`, apimachinery's proxy handler). An application that serves the
/// Kubernetes API answers with the same type: only what speaks of this very pod and port is the API server's own word. Of a Service the port of the
/// pod behind it is not known (none).
pub(super) fn proxied(about: &About, name: &str, port: Option<u16>, code: StatusCode, status: Status) -> Result<Reply, ApiError> {
    let Some((_, why)) = status.message.split_once("error trying to reach service: ") else {
        let of_pod = status.message.contains(&format!("\"{name}"));
        return match code.as_u16() {
            400.. if port.is_none() => Err(super::request::refusal(about, code, Some(status), b"")),
            403 | 404 if of_pod => Err(super::request::refusal(about, code, Some(status), b"")),
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

/// What the kubelet or the runtime says where it could not connect inside the pod
/// (containerd: `failed to connect to localhost:8080 inside namespace …: dial tcp4 127.0.0.1:8080: connect: connection refused`).
fn refusal(said: &str) -> Reply {
    let said = said.to_lowercase();
    if said.contains("refused") {
        Reply::Refused
    } else if said.contains("timed out") || said.contains("timeout") {
        Reply::TimedOut
    } else if said.contains("reset by peer") || said.contains("broken pipe") {
        Reply::Accepted
    } else {
        Reply::Untried
    }
}

/// Asks for a path over HTTP. Whatever is not HTTP but answers, or closes, has accepted the connection.
async fn http_answer(stream: DuplexStream, path: &str, deadline: Instant) -> Reply {
    let exchange = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = Request::get(path)
            .header("host", "localhost")
            .header("user-agent", user_agent())
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .ok()?;
        let answer = sender.send_request(request);
        tokio::pin!(connection, answer);
        // A short answer and the end of the connection come together: the answer counts.
        tokio::select! {
            biased;
            answer = &mut answer => answer.ok().map(|answer| answer.status()),
            _ = &mut connection => answer.await.ok().map(|answer| answer.status()),
        }
    };
    match timeout_at(deadline, exchange).await {
        Ok(Some(status)) => Reply::Status(status.as_u16()),
        // The other channel tells within this time if the connection was refused.
        Ok(None) => {
            tokio::time::sleep_until(deadline.min(Instant::now() + Duration::from_millis(300))).await;
            Reply::Accepted
        }
        Err(_) => Reply::Silent,
    }
}

/// Waits for the other side to say something, or to close; silence is as good.
async fn silent_answer(mut stream: DuplexStream, deadline: Instant) -> Reply {
    let mut first = [0; 1];
    let read = timeout_at(deadline, stream.read(&mut first)).await;
    if matches!(read, Ok(Ok(0) | Err(_))) {
        tokio::time::sleep_until(deadline).await;
    }
    Reply::Accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(message: &str) -> Result<Reply, ApiErrorKind> {
        let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": message, "code": 503});
        let own = own_answer(body.to_string().as_bytes()).expect("a Status");
        proxied(&About::default(), "api", Some(8080), StatusCode::SERVICE_UNAVAILABLE, own).map_err(|error| error.kind)
    }

    #[test]
    fn an_application_that_speaks_of_other_things_in_the_same_words_has_answered() {
        let said = |code: u16, message: &str| {
            let body = serde_json::json!({"kind": "Status", "status": "Failure", "message": message, "code": code});
            let own = own_answer(body.to_string().as_bytes()).expect("a Status");
            let code = StatusCode::from_u16(code).expect("a code");
            proxied(&About::default(), "api", Some(8080), code, own).map_err(|error| error.kind)
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

    #[test]
    fn the_runtimes_words_tell_a_refusal() {
        let containerd = "error forwarding port 8080 to pod 1a2b, uid : failed to execute portforward in network namespace \"/var/run/netns/cni-1\": \
            failed to connect to localhost:8080 inside namespace \"1a2b\", IPv4: dial tcp4 127.0.0.1:8080: connect: connection refused IPv6 dial tcp6 \
            [::1]:8080: connect: connection refused ";
        assert_eq!(refusal(containerd), Reply::Refused);
        assert_eq!(
            refusal("socat: E connect(5, AF=2 127.0.0.1:8080): Connection refused"),
            Reply::Refused
        );
        assert_eq!(refusal("unable to do port forwarding: socat not found"), Reply::Untried);
    }
}
