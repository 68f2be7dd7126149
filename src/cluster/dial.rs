//! Dials of a pod's ports: to the pod's address through the API server's pod proxy, and from inside the pod by port-forward.

use std::time::Duration;

use http::Method;
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::{Instant, timeout_at};

use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::proxied::Proxied;
use crate::cluster::{Connection, http1};
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
    pub(super) fn about(&self, verb: &'static str, doing: &str, subresource: &str) -> About {
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
        let proxied = Proxied {
            plural: "pods",
            namespace: to.namespace,
            name: to.pod,
            port: to.port,
            tls,
            path,
            headers: &Vec::new(),
        };
        let about = to.about("get", "dialling", "proxy");
        self.exchange_proxied(proxied, about, ENOUGH, limit).await.map(|(reply, _)| reply)
    }

    /// Connects to the port from inside the pod by port-forward: the container runtime dials the pod's loopback address. With a `path`,
    /// asks for it with GET over HTTP; without one nothing is sent, and silence for half of the limit counts as accepted. A connection that
    /// breaks between here and the pod is an error.
    /// Needs `create` on `pods/portforward` (before Kubernetes 1.35 `get` for this way of asking).
    pub async fn dial_inside(&self, to: PodPort<'_>, path: Option<&str>, limit: Duration) -> Result<Reply, ApiError> {
        self.forwarded(to, limit, async |stream, deadline| match path {
            Some(path) => http_answer(stream, path, deadline).await,
            None => silent_answer(stream, Instant::now() + limit / 2).await,
        })
        .await
    }

    /// Makes a connection inside the pod by port-forward, and hands it out together with the time by which all must be over. Where the
    /// container runtime could not connect, that is the answer; `ask` gives none where the connection was closed without one.
    pub(super) async fn forwarded<T: From<Reply>>(
        &self,
        to: PodPort<'_>,
        limit: Duration,
        ask: impl AsyncFnOnce(DuplexStream, Instant) -> Option<T>,
    ) -> Result<T, ApiError> {
        let about = to.about("create", "forwarding", "portforward");
        let shown = format!("/api/v1/namespaces/{}/pods/{}/portforward?ports={}", to.namespace, to.pod, to.port);
        let transport = &self.inner.transport;
        let _permit = transport.dial_permit().await;
        let (_, client) = transport.client().await?;
        let deadline = Instant::now() + limit;
        let started = Instant::now();
        let pods: Api<Pod> = Api::namespaced(client, to.namespace);
        let opened = timeout_at(deadline, pods.portforward(to.pod, &[to.port])).await;
        transport.record_upgrade(&shown, &opened, started.elapsed());
        let mut forwarder = match opened {
            Err(_) => return Ok(Reply::Untried.into()),
            Ok(Err(error)) => return Err(transport.upgrade_failed(&about, error)),
            Ok(Ok(forwarder)) => forwarder,
        };
        let (Some(stream), Some(error)) = (forwarder.take_stream(to.port), forwarder.take_error(to.port)) else {
            return Ok(Reply::Untried.into());
        };
        let answer = ask(stream, deadline);
        tokio::pin!(answer, error);
        let (reply, is_cut) = tokio::select! {
            biased;
            said = &mut error => match said {
                Some(said) => return Ok(refusal(&said).into()),
                // The forwarding ends before this end is closed only where it breaks; what was said before is still to be read.
                None => (answer.await, true),
            },
            reply = &mut answer => (reply, false),
        };
        if let Some(reply) = reply {
            forwarder.abort();
            return Ok(reply);
        }
        if is_cut {
            let why = "the connection to the pod was cut off";
            return Err(ApiError::of(&about, ApiErrorKind::Unreachable, why));
        }
        // Who closes had accepted before, unless the other channel says that there was nobody.
        let said = timeout_at(deadline.min(Instant::now() + LATE_ERROR), error).await;
        Ok(said.ok().flatten().map_or(Reply::Accepted, |said| refusal(&said)).into())
    }
}

/// How long after the end of a connection the reason for it may come.
const LATE_ERROR: Duration = Duration::from_millis(300);

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

/// Asks for a path over HTTP; none where the other side closes without HTTP.
async fn http_answer(stream: DuplexStream, path: &str, deadline: Instant) -> Option<Reply> {
    let request = http1::request(&Method::GET, "localhost", path, &Vec::new(), Bytes::new())?;
    match timeout_at(deadline, http1::once(stream, request, 0)).await {
        Ok(answer) => answer.map(|(status, _)| Reply::Status(status.as_u16())),
        Err(_) => Some(Reply::Silent),
    }
}

/// Waits for the other side to say something; silence is as good. None where it closes.
pub(super) async fn silent_answer(mut stream: DuplexStream, deadline: Instant) -> Option<Reply> {
    let mut first = [0; 1];
    match timeout_at(deadline, stream.read(&mut first)).await {
        Ok(Ok(0) | Err(_)) => None,
        _ => Some(Reply::Accepted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
