//! Waits until the pod of a session is ready, or until it is certain that it will not be.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use crate::cluster::ListQuery;
use crate::diagnosis::assess::Question;
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::findings::Class;
use crate::io::Io;
use crate::model::code::Code;
use crate::model::finding::Finding;
use crate::model::report::{Diagnosis, Verdict};
use crate::model::session::Phases;
use crate::model::{duration, kind};
use crate::observe::diagnose::{Engine, Request};
use crate::observe::dials::Reach;
use crate::observe::reads::Rights;
use crate::observe::session::objects::InCluster;
use crate::observe::session::{PodSeen, Sessions};
use crate::observe::targets::{Selection, Wanted};
use crate::session::decide;
use crate::session::record::{Phase, Record};
use crate::session::state::{has_started, is_scheduled, shows_trouble};
use crate::view::Options;

/// How often a pod is diagnosed that is not ready, and how long it may take before.
const LOOK: Duration = Duration::from_secs(2);
/// The same for a pod that shows no trouble: many clients that wait must not keep the cluster from starting their pods.
const LOOK_AT_CALM: Duration = Duration::from_secs(15);

/// How the wait ended.
pub(crate) enum Ending {
    /// The pod is as far as it should be.
    Ready { record: Record, pod: Box<Pod>, phases: Phases },
    /// It will not become ready by itself.
    Broken { record: Record, diagnosis: Box<Diagnosis> },
    /// The time is up.
    TimedOut { diagnosis: Option<Box<Diagnosis>> },
    /// Its command was to run once, and has ended.
    Ended,
    /// The session is gone, or was paused.
    Gone,
}

/// Whether a pod has no node yet because one is being made, or freed, for it.
pub(crate) fn awaits_node(diagnosis: &Diagnosis) -> bool {
    diagnosis.pending.iter().any(|finding| finding.code == Code::Unschedulable)
}

/// Who replaces a pod that fails while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Healer {
    /// This run does.
    This,
    /// Whoever cleans up; this run only looks.
    Another,
}

/// When each step was seen.
#[derive(Default)]
struct Seen {
    scheduled: Option<Instant>,
    started: Option<Instant>,
}

impl Seen {
    fn note(&mut self, pod: &Pod) {
        let now = Instant::now();
        if is_scheduled(pod) {
            self.scheduled.get_or_insert(now);
        }
        if has_started(pod) {
            self.started.get_or_insert(now);
        }
    }

    fn phases(&self, begun: Instant, accepted: Instant, pulled: Option<Duration>) -> Phases {
        let seconds = |duration: Duration| Some(duration::rounded(duration.as_secs_f64()));
        let scheduled = self.scheduled.unwrap_or(accepted);
        let started = self.started.unwrap_or(scheduled);
        Phases {
            accepted_seconds: seconds(accepted - begun),
            scheduled_seconds: seconds(scheduled - accepted),
            pulled_seconds: pulled.and_then(seconds),
            started_seconds: seconds((started - scheduled).saturating_sub(pulled.unwrap_or_default())),
            ready_seconds: seconds(started.elapsed()),
        }
    }
}

impl Sessions<InCluster> {
    /// Waits until the pod of a record is as far as `goal` says. `begun` is when the run began; `deadline`: none waits for ever.
    pub(crate) async fn until_ready(
        &self,
        record: Record,
        goal: fn(&Pod) -> bool,
        (begun, deadline): (Instant, Option<Instant>),
        healer: Healer,
        io: &Io,
    ) -> Result<Ending, Failure> {
        let mut record = record;
        let mut diagnosis = None;
        loop {
            let pod = record.pod();
            let accepted = Instant::now();
            let mut events = self.watch_pod(&pod);
            let mut seen = Seen::default();
            let (mut was_broken, mut is_once, mut pulled) = (false, false, None);
            let (mut is_troubled, mut looked, mut restarts) = (false, accepted, 0);
            loop {
                let look = looked + if is_troubled { LOOK } else { LOOK_AT_CALM };
                let until = deadline.map_or(look, |deadline| deadline.min(look));
                let event = tokio::time::timeout_at(until, events.next()).await;
                let now = match event {
                    Err(_) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                        // There may be no pod, or no answer: the time is up all the same.
                        if let Ok(now) = self.diagnose(&pod, io).await {
                            diagnosis = Some(Box::new(now));
                        }
                        return Ok(Ending::TimedOut { diagnosis });
                    }
                    Err(_) => {
                        looked = Instant::now();
                        let found = match self.diagnose(&pod, io).await {
                            // It has just gone, as the next event says.
                            Err(failure) if failure.exit == Exit::NotFound => continue,
                            found => found?,
                        };
                        // A pod that is run once has no goal that its verdict could miss.
                        let is_bad = found.verdict == Verdict::Broken || (is_once && found.verdict == Verdict::Degraded);
                        // A probe that fails may only be slow, until it has cost the container its life twice.
                        let is_certain = |finding: &Finding| restarts >= 2 || findings::class(finding.cause) != Class::Probe;
                        let is_broken = is_bad && found.root_causes.iter().any(is_certain);
                        diagnosis = Some(Box::new(found));
                        match diagnosis.take_if(|_| is_broken && was_broken) {
                            Some(diagnosis) => return Ok(Ending::Broken { record, diagnosis }),
                            None => was_broken = is_broken,
                        }
                        continue;
                    }
                    Ok(Some(event)) => match event? {
                        PodSeen::Now(pod) if pod.metadata.deletion_timestamp.is_none() => pod,
                        _ => break,
                    },
                    Ok(None) => break,
                };
                seen.note(&now);
                // Asked while the pod is not ready yet, this costs no time.
                if pulled.is_none() && (has_started(&now) || goal(&now)) {
                    pulled = self.pulled(&now).await;
                }
                is_once = decide::is_once(&now);
                is_troubled = shows_trouble(&now);
                let statuses = now.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
                restarts = statuses.map(|container| container.restart_count).max().unwrap_or_default();
                if goal(&now) {
                    let phases = seen.phases(begun, accepted, pulled);
                    let pod = Box::new(now);
                    return Ok(Ending::Ready { record, pod, phases });
                }
                if decide::is_done(&now) {
                    return Ok(Ending::Ended);
                }
                let status = now.status.unwrap_or_default();
                if status.phase.as_deref() == Some("Failed") {
                    // Without a reason of its own it is the program that failed, and the next pod would run the same.
                    if status.reason.is_none() {
                        let diagnosis = Box::new(self.diagnose(&pod, io).await?);
                        return Ok(Ending::Broken { record, diagnosis });
                    }
                    break;
                }
            }
            // The pod was evicted, is gone, or goes.
            let id = record.id.clone();
            let Some(next) = self.record(&id).await?.filter(|next| next.uid == record.uid) else {
                return Ok(Ending::Gone);
            };
            if healer == Healer::Another {
                if matches!(next.phase, Phase::Paused | Phase::Failed) {
                    return Ok(Ending::Gone);
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return Ok(Ending::TimedOut { diagnosis });
                }
                tokio::time::sleep(LOOK).await;
                record = next;
                continue;
            }
            match self.drive(next, None).await? {
                Some(next) if next.pod() != pod => record = next,
                _ => return Ok(Ending::Gone),
            }
        }
    }

    /// Why a pod is not ready.
    pub(crate) async fn diagnose(&self, pod: &str, io: &Io) -> Result<Diagnosis, Failure> {
        let engine = Engine {
            connection: self.objects.connection.clone(),
            documents: None,
        };
        let request = Request {
            selection: Selection {
                wanted: vec![Wanted::Named("pod".to_owned(), pod.to_owned())],
                ..Selection::default()
            },
            question: Question {
                targets: None,
                containers: BTreeSet::new(),
                ignore: BTreeSet::new(),
                options: Options {
                    logs: true,
                    ..Options::default()
                },
            },
            rights: Rights {
                secrets: false,
                reach: Reach::new(Duration::ZERO, false, None),
            },
            keeps_objects: false,
        };
        Ok(engine.diagnose(&request, io).await?.diagnosis)
    }

    /// How long images were pulled for a pod, as its events say; none where they do not.
    async fn pulled(&self, pod: &Pod) -> Option<Duration> {
        // A pod of an earlier session of the same id may have had the same name.
        let uid = pod.metadata.uid.as_deref()?;
        let query = ListQuery {
            field_selector: format!("involvedObject.uid={uid},reason=Pulled"),
            ..ListQuery::default()
        };
        let events = self
            .objects
            .connection
            .list(&kind::EVENT, Some(&self.namespace), &query)
            .await
            .ok()?;
        let mut pulls = events
            .items
            .iter()
            .filter_map(|event| pull_time(event["message"].as_str()?))
            .peekable();
        pulls.peek()?;
        Some(pulls.sum())
    }
}

/// `Successfully pulled image "x" in 1.2s (1.2s including waiting). …`, `Container image "x" already present on machine`.
fn pull_time(message: &str) -> Option<Duration> {
    if message.contains("already present on machine") {
        return Some(Duration::ZERO);
    }
    let (_, rest) = message.strip_prefix("Successfully pulled image ")?.split_once(" in ")?;
    duration::parse(rest.split_whitespace().next()?).ok()
}
