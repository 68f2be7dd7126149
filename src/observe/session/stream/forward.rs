//! Ports of this machine that lead to the pod of a session, and to the pods that come after it.

use std::net::IpAddr;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::cluster::{ApiErrorKind, Listeners, PodPort};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::observe::prober::denied;
use crate::observe::session::Sessions;
use crate::observe::session::objects::InCluster;
use crate::observe::session::stream::{Attachment, Live, Used};
use crate::text::command;

/// How long a connection waits for the next pod.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port of this machine, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// 0: any free one.
    pub(crate) local: u16,
    /// Number or name.
    pub(crate) remote: String,
}

/// The pod to connect to; none while there is none.
type Present = watch::Receiver<Option<String>>;

impl Sessions<InCluster> {
    /// Forwards ports until the session ends or the run is interrupted.
    pub(crate) async fn forward(&self, live: Live, mappings: &[Mapping], addresses: &[IpAddr], io: &mut Io) -> Result<Exit, Failure> {
        // As kubectl does, at once: nobody may connect for a long time. A websocket is opened with GET.
        if let Some(what) = denied(&self.objects.connection, &self.namespace, ("get", "", "pods", "portforward")).await {
            let message = format!("forwarding to session {:?}: {what} is forbidden", live.record.id);
            let hint = command("kubectl podlife rbac session -n {} --with forward", &[&self.namespace]);
            return Err(Failure::new(Exit::NoAnswer, message).hint(hint));
        }
        let mut bound = Vec::new();
        for mapping in mappings {
            let port = port_of(&live, &mapping.remote)?;
            let listeners = Listeners::bind(addresses, mapping.local).await.map_err(|error| {
                Failure::new(Exit::Fault, format!("listening on port {}: {error}", mapping.local))
                    .hint("choose another local port, or :REMOTE for any free one")
            })?;
            bound.push((listeners, port));
        }
        for (listeners, port) in &bound {
            for address in listeners.addresses() {
                io.stdout.line(&format!("Forwarding from {address} -> {port}"));
            }
        }
        let with = Attachment {
            stderr: &io.stderr,
            stop: &io.stop,
            is_raw: false,
        };
        let record = live.record.clone();
        let (sender, present) = watch::channel(None);
        let act = async {
            tokio::select! {
                failure = self.pods_in_turn(live, sender, &with) => Err(failure),
                failure = self.accept_all(&bound, present, &with) => Err(failure),
            }
        };
        match self.while_used(&record, &with, act).await? {
            Used::Done(()) => Ok(Exit::Good),
            Used::Interrupted(interruption) => Ok(interruption.into()),
        }
    }

    /// Says which pod is the present one, until there will be none.
    async fn pods_in_turn(&self, live: Live, present: watch::Sender<Option<String>>, with: &Attachment<'_>) -> Failure {
        let (id, mut pod) = (live.record.id, live.pod.metadata.name.unwrap_or_default());
        let mut is_first = true;
        loop {
            // Before that the kubelet may not know the pod.
            if let Err(failure) = self.until(&pod, runs).await {
                return failure;
            }
            if !std::mem::take(&mut is_first) {
                with.note(&format!("connections go to pod {pod}"));
            }
            present.send_replace(Some(pod.clone()));
            if let Err(failure) = self.until(&pod, |_| false).await {
                return failure;
            }
            present.send_replace(None);
            with.note(&format!("pod {pod} is terminating; connections wait for the next one"));
            pod = match self.next_pod(&id).await {
                Ok(next) => next.pod_name().to_owned(),
                Err(failure) => return failure,
            };
        }
    }

    /// Takes connections and carries them, all at once. One that fails is reported.
    async fn accept_all(&self, bound: &[(Listeners, u16)], present: Present, with: &Attachment<'_>) -> Failure {
        let mut accepts: FuturesUnordered<_> = bound.iter().map(accept).collect();
        let mut carried = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some((from, accepted)) = accepts.next() => {
                    accepts.push(accept(from));
                    match accepted {
                        Ok(stream) => carried.push(self.carry(stream, from.1, present.clone(), with)),
                        // Too many open files, for example: it passes when connections end.
                        Err(error) => {
                            with.note(&format!("error: accepting a connection for port {}: {error}", from.1));
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                }
                Some(()) = carried.next() => {}
                else => return Failure::new(Exit::Fault, "there is no port to listen on"),
            }
        }
    }

    /// Carries one connection. A pod that is gone before anything was sent is waited out.
    async fn carry(&self, mut local: TcpStream, port: u16, mut present: Present, with: &Attachment<'_>) {
        let connection = &self.objects.connection;
        let carried = async {
            loop {
                let now = present.wait_for(Option::is_some).await;
                let Ok(Some(pod)) = now.map(|pod| pod.clone()) else { return Ok(()) };
                let to = PodPort {
                    namespace: &self.namespace,
                    pod: &pod,
                    port,
                };
                match connection.forward(to, &mut local).await {
                    Err(error) if matches!(error.kind, ApiErrorKind::NotFound) => {
                        let is_next = present.wait_for(|now| now.as_ref() != Some(&pod));
                        if !matches!(tokio::time::timeout(PATIENCE, is_next).await, Ok(Ok(_))) {
                            return Err(error);
                        }
                    }
                    ended => return ended,
                }
            }
        };
        if let Err(error) = carried.await {
            with.note(&format!("error: {error}"));
        }
    }
}

/// Whether a container of the pod runs.
fn runs(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let mut states = statuses.into_iter().flatten().filter_map(|container| container.state.as_ref());
    states.any(|state| state.running.is_some())
}

async fn accept(from: &(Listeners, u16)) -> (&(Listeners, u16), std::io::Result<TcpStream>) {
    (from, from.0.accept().await)
}

/// The number of a port that may be named.
fn port_of(live: &Live, port: &str) -> Result<u16, Failure> {
    if let Ok(number) = port.parse::<u16>() {
        return Ok(number);
    }
    let mut ports = live.containers().into_iter().flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|known| known.name.as_deref() == Some(port));
    named
        .and_then(|port| u16::try_from(port.container_port).ok())
        .ok_or_else(|| Failure::usage(format!("pod {} has no port {port}", live.pod_name())))
}
