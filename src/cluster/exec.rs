//! Commands in containers.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError, ApiErrorKind};

/// No output that podlife wants is longer.
const LONGEST_OUTPUT: u64 = 1 << 20;

/// What a command printed, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, the same way.
    pub stderr: String,
    /// Whether it ended with 0.
    pub succeeded: bool,
    /// Why it did not, in the kubelet's words: `command terminated with non-zero exit code`, `executable file not found in $PATH`.
    pub why: String,
}

impl Connection {
    /// Runs a command in a container of a running pod, without standard input, and waits for its end. Needs `create` on `pods/exec`
    /// (before Kubernetes 1.35 `get` for this way of asking). A command that cannot be started is no error: the output says why.
    pub async fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str], limit: Duration) -> Result<Output, ApiError> {
        let about = About {
            doing: format!("running {} in pod/{namespace}/{pod}, container {container}", command.join(" ")),
            verb: "create",
            resource: "pods/exec".to_owned(),
            namespace: Some(namespace.to_owned()),
        };
        let transport = &self.inner.transport;
        let _permit = transport.permit().await;
        let (_, client) = transport.client().await?;
        let deadline = Instant::now() + limit;
        let started = Instant::now();
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let parameters = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let opened = timeout_at(deadline, pods.exec(pod, command.iter().copied(), &parameters)).await;
        let shown = format!("/api/v1/namespaces/{namespace}/pods/{pod}/exec?container={container}");
        transport.record_upgrade(&shown, &opened, started.elapsed());
        let late = || ApiError::of(&about, ApiErrorKind::Timeout, format!("no end within {} s", limit.as_secs_f64()));
        let mut process = match opened {
            Err(_) => return Err(late()),
            Ok(Err(error)) => return Err(transport.upgrade_failed(&about, error)),
            Ok(Ok(process)) => process,
        };
        let (stdout, stderr, ended) = (process.stdout(), process.stderr(), process.take_status());
        let everything = async {
            // Both are read to their end: an undrained stream would hold the command up.
            let (stdout, stderr) = tokio::join!(text(stdout), text(stderr));
            let status = match ended {
                Some(ended) => ended.await,
                None => None,
            };
            (stdout, stderr, status)
        };
        let (stdout, stderr, status) = timeout_at(deadline, everything).await.map_err(|_| late())?;
        process.abort();
        let succeeded = status.as_ref().is_some_and(|status| status.status.as_deref() == Some("Success"));
        let why = status.and_then(|status| status.message).filter(|_| !succeeded).unwrap_or_default();
        Ok(Output {
            stdout,
            succeeded,
            why: if why.is_empty() && !succeeded { stderr.clone() } else { why },
            stderr,
        })
    }
}

async fn text(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What came before a broken connection is still worth reading; what is too long is read and dropped.
        let _ = (&mut stream).take(LONGEST_OUTPUT).read_to_end(&mut bytes).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
