//! Streams to the pod of a session: commands, logs and forwarded ports. The session counts as used as long as one is open.

pub(crate) mod exec;
pub(crate) mod forward;
pub(crate) mod logs;
pub(crate) mod run;

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Container, ContainerState, Pod};

use crate::cluster::{ApiError, PodContainer};
use crate::exit::{Exit, Failure};
use crate::io::{Interruption, Stop, Stream};
use crate::model::kind;
use crate::observe::session::objects::InCluster;
use crate::observe::session::settle::{Haste, Settled};
use crate::observe::session::{PodSeen, Sessions, pod_of};
use crate::session::decide;
use crate::session::record::{Phase, Record};
use crate::text::{command, sanitise};

/// Which container kubectl takes where none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// How often the record is renewed while a stream is open: so often, or ten times in its idle timeout, ...
const RENEW: Duration = Duration::from_secs(30);
/// ... but never less often than thrice in that time.
const AT_LEAST: u32 = 3;
/// How often is looked for the next pod: first, and at last.
const LOOK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How long the last renewal may take.
const LAST: Duration = Duration::from_secs(2);

/// A session with the pod of its present generation.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) record: Record,
    pub(crate) pod: Pod,
}

impl From<(Record, Pod)> for Live {
    fn from((record, pod): (Record, Pod)) -> Self {
        Self { record, pod }
    }
}

impl Live {
    pub(crate) fn pod_name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// All containers, in the order in which they start.
    fn containers(&self) -> Vec<&Container> {
        let Some(spec) = &self.pod.spec else { return Vec::new() };
        spec.init_containers.iter().flatten().chain(&spec.containers).collect()
    }

    /// The container of that name; where none is named the one that kubectl takes.
    pub(crate) fn container(&self, wanted: Option<&str>) -> Result<&Container, Failure> {
        let marked = self.pod.metadata.annotations.as_ref().and_then(|all| all.get(DEFAULT_CONTAINER));
        let first = self.pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let named = |name: &str| self.containers().into_iter().find(|container| container.name == name);
        let found = match wanted {
            Some(name) => named(name),
            None => marked.and_then(|name| named(name)).or(first),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.containers().iter().map(|container| container.name.as_str()).collect();
            let wanted = wanted.unwrap_or_default();
            Failure::usage(format!(
                "pod {} has no container {wanted}: it has {}",
                self.pod_name(),
                names.join(", ")
            ))
        })
    }

    pub(crate) fn to<'a>(&'a self, container: &'a str) -> PodContainer<'a> {
        PodContainer {
            namespace: &self.record.namespace,
            pod: self.pod_name(),
            container,
        }
    }
}

/// Whether a pod goes, or has ended.
pub(super) fn is_over(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || !decide::is_live(pod)
}

/// The state of a container.
pub(super) fn state<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerState> {
    let status = pod.status.as_ref()?;
    let lists = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let mut all = lists.into_iter().flatten().flatten();
    all.find(|status| status.name == container)?.state.as_ref()
}

impl Sessions<InCluster> {
    /// A session and its pod, which may not run yet, or not any more.
    pub(crate) async fn live(&self, id: &str) -> Result<Live, Failure> {
        let found = self.find(id).await?;
        self.has_pods(&found.record)?;
        match found.pod().cloned() {
            Some(pod) => Ok(Live { record: found.record, pod }),
            None => Err(self.without_pod(id, "its pod is gone, and the next one does not exist yet")),
        }
    }

    fn without_pod(&self, id: &str, why: &str) -> Failure {
        let wait = command("kubectl podlife session wait -n {} -- {}", &[&self.namespace, &id]);
        Failure::new(Exit::Bad, format!("session {id:?} has no running pod: {why}")).hint(wait)
    }

    /// A session that was paused or has failed has no pod and gets none by itself.
    pub(crate) fn has_pods(&self, record: &Record) -> Result<(), Failure> {
        let what = match record.phase {
            Phase::Pending | Phase::Active => return Ok(()),
            Phase::Paused => "is paused".to_owned(),
            Phase::Failed => format!("has failed: {}", record.reason.as_deref().unwrap_or("its pods did")),
        };
        let resume = command("kubectl podlife session resume -n {} -- {}", &[&self.namespace, &record.id]);
        Err(Failure::new(Exit::Bad, format!("session {:?} {what}", record.id)).hint(resume))
    }

    /// Waits until the session has a pod whose containers are being started or run, and helps it to one. Fails where it never will.
    pub(super) async fn next_pod(&self, id: &str) -> Result<Live, Failure> {
        let mut pauses = Pauses::new();
        loop {
            let record = self.existing(id).await?;
            self.has_pods(&record)?;
            // Who may not write waits for who may.
            match self.settle(record, Haste::Patient).await {
                Ok(Settled::Refused { error, .. }) => return Err(self.without_pod(id, &error.to_string())),
                Ok(_) => {}
                Err(failure) if failure.exit == Exit::NoAnswer => {}
                Err(failure) => return Err(failure),
            }
            let found = self.find(id).await?;
            let is_scheduled = |pod: &&Pod| !is_over(pod) && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            if let Some(pod) = found.pod().filter(is_scheduled).cloned() {
                return Ok(Live { record: found.record, pod });
            }
            pauses.next().await;
        }
    }

    /// The pod as it is now; none where it is gone, also where another one has its name.
    async fn pod_now(&self, live: &Live) -> Result<Option<Pod>, ApiError> {
        let connection = &self.objects.connection;
        let now = connection.get(&kind::POD, Some(&self.namespace), live.pod_name(), false).await?;
        Ok(now.and_then(pod_of).filter(|pod| pod.metadata.uid == live.pod.metadata.uid))
    }

    /// Waits until something holds for a pod, or the pod goes, has ended or is gone.
    pub(super) async fn until(&self, pod: &str, holds: fn(&Pod) -> bool) -> Result<(), Failure> {
        let mut seen = self.watch_pod(pod);
        while let Some(seen) = seen.next().await {
            match seen? {
                PodSeen::Now(pod) if !is_over(&pod) && !holds(&pod) => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// Does something while the session counts as used: it is renewed at the beginning, from time to time, and at the end, also where the run
    /// is interrupted. `line_end` is what a line on `stderr` ends with.
    pub(crate) async fn while_used<T>(
        &self,
        record: &Record,
        with: &Attachment<'_>,
        act: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Used<T>, Failure> {
        self.renew_once(&record.id, with).await;
        let every = period(record.idle_timeout);
        let renewals = async {
            loop {
                tokio::time::sleep(every).await;
                self.renew_once(&record.id, with).await;
            }
        };
        let outcome = tokio::select! {
            biased;
            interruption = with.stop.told() => Ok(Used::Interrupted(interruption)),
            outcome = act => outcome.map(Used::Done),
            () = renewals => Err(Failure::new(Exit::Fault, "the renewal of the session ended")),
        };
        // The stream is closed by now; what cannot be renewed in this time ends earlier.
        let _ = tokio::time::timeout(LAST, self.touch(&record.id, Duration::ZERO)).await;
        outcome
    }

    async fn renew_once(&self, id: &str, with: &Attachment<'_>) {
        match self.touch(id, Duration::ZERO).await {
            // Its end shows in the stream.
            Err(failure) if failure.exit == Exit::NotFound => {}
            Err(failure) => with.note(&format!("Warning: the use of the session could not be recorded: {failure}")),
            Ok(_) => {}
        }
    }
}

/// How something ended during which the session counted as used.
pub(crate) enum Used<T> {
    Done(T),
    Interrupted(Interruption),
}

/// Who is attached to a session.
pub(crate) struct Attachment<'a> {
    pub(crate) stderr: &'a Stream,
    pub(crate) stop: &'a Stop,
    /// Whether the terminal is in raw mode.
    pub(crate) is_raw: bool,
}

impl Attachment<'_> {
    /// Prints a line for the person who is attached.
    pub(crate) fn note(&self, line: &str) {
        let end = if self.is_raw { "\r\n" } else { "\n" };
        self.stderr.write(&format!("{}{end}", sanitise(line)));
    }
}

/// How often a record is renewed.
fn period(idle_timeout: Option<Duration>) -> Duration {
    match idle_timeout {
        None => RENEW,
        Some(timeout) => RENEW.max(timeout / 10).min(timeout / AT_LEAST),
    }
}

/// Waits a little longer each time.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) const fn new() -> Self {
        Self(LOOK.0)
    }

    pub(super) async fn next(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LOOK.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_renewed_in_time() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(period(None), RENEW);
        assert_eq!(period(seconds(600)), Duration::from_secs(60));
        assert_eq!(period(seconds(120)), Duration::from_secs(30));
        assert_eq!(period(seconds(3)), Duration::from_secs(1));
    }
}
