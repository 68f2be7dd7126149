//! Follows the logs of the targets' pods while a drill is made: those of pods that end are gone afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::task::JoinSet;

use crate::cluster::{ApiErrorKind, Connection, FollowQuery, LogPart, PodContainer};
use crate::drill::logs::Tail;
use crate::model::drill::DrillLog;
use crate::model::finding::ObjectRef;
use crate::view::{View, containers};

/// Containers whose logs are followed at most.
const MOST: usize = 50;
/// Between two tries to read what is not there.
const AGAIN: Duration = Duration::from_millis(500);

/// One container of one pod, by uid.
type Key = (String, String);

struct Log {
    workload: ObjectRef,
    pod: String,
    tail: Arc<Mutex<Tail>>,
}

/// Logs that are followed.
#[derive(Default)]
pub(crate) struct Logs {
    of: BTreeMap<Key, Log>,
    refused: Arc<Mutex<Option<String>>>,
    /// They end with this.
    tasks: JoinSet<()>,
}

impl Logs {
    /// Follows the containers of the targets that have started since, from `since` on.
    pub(crate) fn note(&mut self, view: &View<'_>, connection: &Connection, targets: &[ObjectRef], since: Timestamp) {
        for target in targets {
            for pod in view.workload(target).iter().flat_map(|workload| &workload.pods) {
                for container in containers(pod).iter().filter(|container| container.is_running()) {
                    let key = (pod.uid().unwrap_or_default(), container.name().to_owned());
                    if self.of.len() >= MOST || self.of.contains_key(&key) {
                        continue;
                    }
                    let log = Log {
                        workload: target.clone(),
                        pod: pod.name_any(),
                        tail: Arc::default(),
                    };
                    let place = (target.namespace.clone(), log.pod.clone(), key.1.clone());
                    let shared = (log.tail.clone(), self.refused.clone());
                    self.tasks.spawn(follow(connection.clone(), place, since, shared));
                    self.of.insert(key, log);
                }
            }
        }
    }

    /// What was logged in these times, by workload, pod and container. Seconds count from `fault`.
    pub(crate) fn within(&self, times: &[(Timestamp, Timestamp)], fault: Timestamp) -> Vec<DrillLog> {
        let of = |((_, container), log): (&Key, &Log)| {
            let (lines, omitted) = log.tail.lock().unwrap_or_else(PoisonError::into_inner).within(times, fault);
            (!lines.is_empty()).then(|| DrillLog {
                workload: log.workload.clone(),
                pod: log.pod.clone(),
                container: container.clone(),
                lines,
                omitted,
            })
        };
        let mut logs: Vec<DrillLog> = self.of.iter().filter_map(of).collect();
        logs.sort_by(|a, b| (&a.workload, &a.pod, &a.container).cmp(&(&b.workload, &b.pod, &b.container)));
        logs
    }

    /// Why logs could not be read.
    pub(crate) fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads a log until its pod is gone.
async fn follow(
    connection: Connection,
    (namespace, pod, container): (String, String, String),
    since: Timestamp,
    (tail, refused): (Arc<Mutex<Tail>>, Arc<Mutex<Option<String>>>),
) {
    let of = PodContainer {
        namespace: &namespace,
        pod: &pod,
        container: &container,
    };
    let query = FollowQuery {
        follow: true,
        since_time: Some(since),
        timestamps: true,
        ..FollowQuery::default()
    };
    let mut log = connection.follow_log(of, query);
    loop {
        match log.next().await {
            Ok(LogPart::Lines(lines)) => {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                String::from_utf8_lossy(&lines).lines().for_each(|line| tail.add(line));
            }
            // Its container may start again.
            Ok(LogPart::Interrupted(_) | LogPart::Resumed | LogPart::Ended) => {}
            Err(error) if error.kind == ApiErrorKind::NotFound => return,
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                return;
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
