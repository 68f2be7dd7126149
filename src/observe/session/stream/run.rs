//! A session whose command is run once, with the streams of this process.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

use crate::cluster::{Ending, Ends, FollowQuery, Process};
use crate::exit::{Exit, Failure};
use crate::io::{Io, read_aside};
use crate::observe::session::objects::InCluster;
use crate::observe::session::stream::exec::not_started;
use crate::observe::session::stream::logs::Logs;
use crate::observe::session::stream::{Live, Used, state};
use crate::observe::session::{PodSeen, Sessions};
use crate::text::sanitise;

/// The log shows all that the command printed, whenever it began.
const LOG: Logs<'static> = Logs {
    query: FollowQuery {
        follow: true,
        previous: false,
        tail_lines: None,
        since_seconds: None,
        since_time: None,
        timestamps: false,
    },
    container: None,
    all_containers: false,
    limit_bytes: None,
    next_pods: false,
    prefix: false,
};

/// How long the API server may take to learn from the kubelet that a container has ended.
const LEARNS: Duration = Duration::from_secs(5);

/// Whether the first container of a pod runs, or has run.
pub(crate) fn has_begun(pod: &Pod) -> bool {
    let first = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    first
        .and_then(|container| state(pod, &container.name))
        .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

impl Sessions<InCluster> {
    /// Connects the command that a pod runs once with the streams of this process, and returns its exit code. On the heap, as it runs deep
    /// within other work.
    pub(crate) fn run_once<'a>(
        &'a self,
        live: &'a Live,
        streams: (bool, bool),
        io: &'a mut Io,
    ) -> LocalBoxFuture<'a, Result<Exit, Failure>> {
        Box::pin(self.connect_once(live, streams, io))
    }

    async fn connect_once(&self, live: &Live, (stdin, tty): (bool, bool), io: &mut Io) -> Result<Exit, Failure> {
        let first = live.pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let container = first.map(|container| container.name.clone()).unwrap_or_default();
        if tty {
            io.stderr.line("If you don't see a command prompt, try pressing enter.");
            let attached = self.attached(live, (&container, Process::Main), (stdin, tty), io).await;
            let failure = match attached {
                Ok(Used::Interrupted(interruption)) => return Ok(interruption.into()),
                Ok(Used::Done(Ending::Unread)) => return Ok(Exit::Unread),
                Ok(Used::Done(Ending::Exited(_))) => None,
                Ok(Used::Done(Ending::Failed(why))) => Some(Failure::new(Exit::NoAnswer, sanitise(&why))),
                Err(failure) => Some(failure),
            };
            if let Some(failure) = failure {
                // What has ended cannot be attached to, and the API server learns of the end a moment later.
                let Ok(ended) = tokio::time::timeout(LEARNS, self.until_ended(live, &container)).await else {
                    return Err(failure);
                };
                ended?;
                // It ended before: its log has all that it printed.
                self.logs(live.clone(), &LOG, io).await?;
            }
        } else {
            let nobody: Box<dyn std::io::Read + Send> = Box::new(std::io::empty());
            let input = stdin.then(|| read_aside(std::mem::replace(&mut io.stdin, nobody)));
            let ends = Ends {
                input,
                terminal: None,
                // The log has it too, and from the beginning.
                output: async |_, _| true,
            };
            let send = async {
                if stdin {
                    // The end of the command shows in its log and its status.
                    let _ = self.objects.connection.attach(live.to(&container), Process::Main, ends).await;
                }
                std::future::pending().await
            };
            let printed = tokio::select! {
                printed = self.logs(live.clone(), &LOG, io) => printed?,
                () = send => Exit::Fault,
            };
            if printed != Exit::Good {
                return Ok(printed);
            }
        }
        let ended = self.until_ended(live, &container).await?;
        let code = u8::try_from(ended.exit_code).unwrap_or(u8::MAX);
        match ended.reason.as_deref() {
            Some("StartError" | "ContainerCannotRun") => Err(not_started(ended.message.as_deref().unwrap_or_default())),
            Some("OOMKilled") => Err(
                Failure::new(Exit::OfCommand(code), "the command used more memory than allowed (OOMKilled)")
                    .hint("--memory REQUEST:LIMIT sets another limit"),
            ),
            _ => Ok(Exit::OfCommand(code)),
        }
    }

    /// Waits until a container has ended.
    async fn until_ended(&self, live: &Live, container: &str) -> Result<ContainerStateTerminated, Failure> {
        let mut seen = self.watch_pod(live.pod_name());
        while let Some(seen) = seen.next().await {
            let now = match seen? {
                PodSeen::Now(pod) | PodSeen::Last(pod) if pod.metadata.uid == live.pod.metadata.uid => pod,
                _ => break,
            };
            let is_leaving = now.metadata.deletion_timestamp.is_some();
            match state(&now, container).and_then(|state| state.terminated.clone()) {
                Some(_) if is_leaving => break,
                Some(ended) => return Ok(ended),
                // Evicted, for example.
                None if now.status.is_some_and(|status| status.phase.as_deref() == Some("Failed")) => break,
                None => {}
            }
        }
        Err(self.went_away(live))
    }
}
