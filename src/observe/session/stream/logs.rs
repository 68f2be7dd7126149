//! The log of a session: of its pod, and of the pods that come after it.

use futures::future::{LocalBoxFuture, try_join_all};

use crate::cluster::{ApiError, ApiErrorKind, Follow, FollowQuery, LogPart};
use crate::exit::{Exit, Failure};
use crate::io::{Io, Stream};
use crate::model::kind;
use crate::observe::session::objects::InCluster;
use crate::observe::session::stream::{Attachment, Live, Pauses, Used, is_over, state};
use crate::observe::session::{Sessions, pod_of};
use crate::session::decide;

/// Which logs.
pub(crate) struct Logs<'a> {
    pub(crate) query: FollowQuery,
    pub(crate) container: Option<&'a str>,
    pub(crate) all_containers: bool,
    pub(crate) limit_bytes: Option<usize>,
    /// Go on with the pods that come after the present one.
    pub(crate) next_pods: bool,
    /// Whose log it is before each line.
    pub(crate) prefix: bool,
}

/// Takes what is read, up to a limit.
struct Output {
    stdout: Stream,
    left: std::cell::Cell<Option<usize>>,
}

/// Why no more is written.
enum Full {
    /// The limit is reached.
    Limit,
    /// Nobody reads it.
    Unread,
}

/// Why reading stopped before the end.
enum Stopped {
    Full(Full),
    Failed(Failure),
}

impl From<ApiError> for Stopped {
    fn from(error: ApiError) -> Self {
        let is_answer = error.kind == ApiErrorKind::Invalid;
        let mut failure = Failure::from(error);
        // There is no such log: that is what the API server says.
        if is_answer {
            failure.exit = Exit::Bad;
        }
        Self::Failed(failure)
    }
}

impl Output {
    async fn write(&self, mut bytes: Vec<u8>) -> Result<(), Stopped> {
        if let Some(left) = self.left.get() {
            bytes.truncate(left);
            self.left.set(Some(left - bytes.len()));
        }
        if !self.stdout.write_aside(bytes).await {
            return Err(Stopped::Full(Full::Unread));
        }
        match self.left.get() {
            Some(0) => Err(Stopped::Full(Full::Limit)),
            _ => Ok(()),
        }
    }
}

impl Sessions<InCluster> {
    /// Prints the log of a session. With `follow`, until the session ends. On the heap, as it runs deep within other work.
    pub(crate) fn logs<'a>(&'a self, live: Live, wanted: &'a Logs<'a>, io: &'a mut Io) -> LocalBoxFuture<'a, Result<Exit, Failure>> {
        Box::pin(self.print(live, wanted, io))
    }

    async fn print(&self, live: Live, wanted: &Logs<'_>, io: &mut Io) -> Result<Exit, Failure> {
        let output = Output {
            stdout: io.stdout.clone(),
            left: wanted.limit_bytes.into(),
        };
        if !wanted.query.follow {
            let read = self.read(&live, wanted, &output).await;
            return ended(read);
        }
        let with = Attachment {
            stderr: &io.stderr,
            stop: &io.stop,
            is_raw: false,
        };
        let record = live.record.clone();
        let follow = async {
            tokio::select! {
                biased;
                followed = self.follow(live, wanted, &output, &with) => ended(followed),
                () = output.stdout.unread() => Ok(Exit::Unread),
            }
        };
        match self.while_used(&record, &with, follow).await? {
            Used::Done(exit) => Ok(exit),
            Used::Interrupted(interruption) => Ok(interruption.into()),
        }
    }

    /// What there is.
    async fn read(&self, live: &Live, wanted: &Logs<'_>, output: &Output) -> Result<(), Stopped> {
        for container in containers(live, wanted).map_err(Stopped::Failed)? {
            let mut log = self.objects.connection.follow_log(live.to(&container), wanted.query.clone());
            loop {
                match log.next().await? {
                    LogPart::Lines(lines) => output.write(prefixed(lines, &container, wanted)).await?,
                    LogPart::Interrupted(_) | LogPart::Resumed => {}
                    LogPart::Ended => break,
                }
            }
            output.write(prefixed(log.take_rest(), &container, wanted)).await?;
        }
        Ok(())
    }

    /// The log of the pod, and of each one that comes after it.
    async fn follow(&self, live: Live, wanted: &Logs<'_>, output: &Output, with: &Attachment<'_>) -> Result<(), Stopped> {
        let (mut live, mut query) = (live, wanted.query.clone());
        loop {
            let containers = containers(&live, wanted).map_err(Stopped::Failed)?;
            let logs = containers.iter().map(|container| {
                let log = self.objects.connection.follow_log(live.to(container), query.clone());
                self.follow_container(&live, container, log, wanted, output, with)
            });
            try_join_all(logs).await?;
            let id = live.record.id.clone();
            let before = live.pod_name().to_owned();
            if !wanted.next_pods || self.is_done(&live).await {
                return Ok(());
            }
            live = self.next_pod(&id).await.map_err(Stopped::Failed)?;
            if live.pod_name() != before {
                with.note(&format!("pod {before} has ended; the log continues with pod {}", live.pod_name()));
            }
            // All of the next pod's log is new.
            query = FollowQuery {
                tail_lines: None,
                since_seconds: None,
                since_time: None,
                ..query
            };
        }
    }

    /// The log of one container until it will not be started again in this pod.
    async fn follow_container(
        &self,
        live: &Live,
        container: &str,
        mut log: Follow,
        wanted: &Logs<'_>,
        output: &Output,
        with: &Attachment<'_>,
    ) -> Result<(), Stopped> {
        let mut pauses = Pauses::new();
        let mut was_over = false;
        loop {
            match log.next().await {
                Ok(LogPart::Lines(lines)) => {
                    pauses = Pauses::new();
                    output.write(prefixed(lines, container, wanted)).await?;
                    continue;
                }
                Ok(LogPart::Interrupted(error)) => {
                    with.note(&format!("the log is interrupted: {error}"));
                    continue;
                }
                Ok(LogPart::Resumed) => {
                    with.note("the log continues");
                    continue;
                }
                Ok(LogPart::Ended) => {}
                Err(error) if error.kind == ApiErrorKind::NotFound => was_over = true,
                // It waits to start, or the kubelet has not heard of its pod yet.
                Err(error) if matches!(error.kind, ApiErrorKind::Invalid | ApiErrorKind::NoSuchKind) || error.kind.is_passing() => {
                    pauses.next().await;
                }
                Err(error) => return Err(error.into()),
            }
            if !self.has_ended(live, container).await? {
                was_over = false;
            } else if std::mem::replace(&mut was_over, true) {
                return output.write(prefixed(log.take_rest(), container, wanted)).await;
            }
            // The kubelet ends a log as soon as the container has ended, whether the runtime has written all of it or not: only what is asked for
            // after that is complete.
        }
    }

    /// Whether a container runs no more and will not in this pod.
    async fn has_ended(&self, live: &Live, container: &str) -> Result<bool, Stopped> {
        let pod = match self.pod_now(live).await {
            Ok(pod) => pod,
            Err(error) if error.kind.is_passing() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let Some(pod) = pod else { return Ok(true) };
        let state = state(&pod, container);
        let terminated = state.and_then(|state| state.terminated.as_ref());
        let runs = state.is_some_and(|state| state.running.is_some());
        let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        let is_init = init.into_iter().any(|init| init.name == container && init.restart_policy.is_none());
        Ok(match terminated {
            Some(terminated) => is_over(&pod) || (is_init && terminated.exit_code == 0),
            None => is_over(&pod) && !runs,
        })
    }

    /// Whether the pod has done all that it had to do.
    async fn is_done(&self, live: &Live) -> bool {
        let connection = &self.objects.connection;
        let pod = connection.get(&kind::POD, Some(&self.namespace), live.pod_name(), false).await;
        pod.is_ok_and(|pod| pod.and_then(pod_of).is_some_and(|pod| decide::is_done(&pod)))
    }
}

fn containers(live: &Live, wanted: &Logs<'_>) -> Result<Vec<String>, Failure> {
    match wanted.all_containers {
        true => Ok(live.containers().iter().map(|container| container.name.clone()).collect()),
        false => Ok(vec![live.container(wanted.container)?.name.clone()]),
    }
}

/// `[web] ` before each line, where that is wanted.
fn prefixed(lines: Vec<u8>, container: &str, wanted: &Logs<'_>) -> Vec<u8> {
    if !wanted.prefix {
        return lines;
    }
    let line = |line: &[u8]| [format!("[{container}] ").as_bytes(), line].concat();
    lines.split_inclusive(|byte| *byte == b'\n').flat_map(line).collect()
}

fn ended(read: Result<(), Stopped>) -> Result<Exit, Failure> {
    match read {
        Ok(()) | Err(Stopped::Full(Full::Limit)) => Ok(Exit::Good),
        Err(Stopped::Full(Full::Unread)) => Ok(Exit::Unread),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}
