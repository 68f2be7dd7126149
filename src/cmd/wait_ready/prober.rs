//! The Job that asks from inside of the cluster: it is made when it is needed, its log is read, and it is removed whatever happens.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::application::Fault;
use crate::cluster::{Answer, ApiError, ApiErrorKind, Connection, Deletion, ListQuery, LogQuery, Preconditions, Told, WriteOptions};
use crate::gate::prober::{self, Order, Outcome, Question, Standing};
use crate::io::Stream;
use crate::model::kind::{self, Kind};
use crate::model::text::{sanitise, shorten};

/// Between two looks at its log.
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);
/// How long it may take to answer one question, beyond the three seconds that it gives itself.
const SLACK: Duration = Duration::from_secs(4);
/// A run of one look gives it this long to start, and to live.
const ONE_LOOK: Duration = Duration::from_secs(60);
/// How long a creation that is under way is waited for in the end, and how long the removal may take: less than a run has for its last words.
const LAST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(2500));

/// Asks who may do what.
const REVIEW: Kind = Kind {
    group: Cow::Borrowed("authorization.k8s.io"),
    version: Cow::Borrowed("v1"),
    kind: Cow::Borrowed("SelfSubjectAccessReview"),
    plural: Cow::Borrowed("selfsubjectaccessreviews"),
    namespaced: false,
};

/// What a prober does, and so needs the right to.
pub(crate) const RIGHTS: [(&str, &str, &str, &str); 5] = [
    ("create", "batch", "jobs", ""),
    ("delete", "batch", "jobs", ""),
    ("list", "", "pods", ""),
    ("list", "", "events", ""),
    ("get", "", "pods", "log"),
];

/// Asks Services from inside of the cluster.
pub(super) struct Prober {
    connection: Connection,
    image: String,
    with_body: bool,
    /// Until when the run lasts; none for one look.
    ends: Option<Instant>,
    stderr: Stream,
    made: Mutex<Option<Made>>,
}

/// A Job that was asked for.
struct Made {
    namespace: String,
    name: String,
    nonce: String,
    questions: Vec<Question>,
    since: Instant,
    creation: Creation,
    pod: Option<String>,
}

enum Creation {
    /// Owned by the prober, so that a run that ends meanwhile can wait for it.
    UnderWay(JoinHandle<Result<Value, ApiError>>),
    Done(String),
    Failed(String),
}

impl Prober {
    pub(super) fn new(connection: &Connection, image: &str, with_body: bool, ends: Option<Instant>, stderr: &Stream) -> Self {
        Self {
            connection: connection.clone(),
            image: image.to_owned(),
            with_body,
            ends,
            stderr: stderr.clone(),
            made: Mutex::new(None),
        }
    }

    /// Asks every question once from a namespace, each on a new connection that was begun after this was called.
    pub(super) async fn ask(&self, namespace: &str, questions: &[Question]) -> Result<Vec<Answer>, Fault> {
        let mut made = self.made.lock().await;
        if made.as_ref().is_some_and(|m| m.questions != questions || m.namespace != namespace) {
            self.remove(&mut made).await;
        }
        if made.is_none() {
            self.may(namespace).await?;
            *made = Some(self.make(namespace, questions));
        }
        let Some(made) = made.as_mut() else {
            return Err(Fault::Pending("the prober starts".to_owned()));
        };
        self.created(made).await?;
        let pod = self.running(made).await?;
        self.answers(made, &pod).await
    }

    /// Whether everything that is needed may be done: what could not be removed is not made.
    async fn may(&self, namespace: &str) -> Result<(), Fault> {
        let asked = RIGHTS.map(|(verb, group, resource, subresource)| async move {
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {
                "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource}}});
            let answer = self.connection.create(&REVIEW, None, &review, &WriteOptions::default()).await;
            // Who cannot be asked says no when it comes to it.
            let denied = answer.is_ok_and(|answer| answer["status"]["allowed"] == false);
            let what = if subresource.is_empty() {
                resource.to_owned()
            } else {
                format!("{resource}/{subresource}")
            };
            denied.then(|| format!("{verb} on {what}"))
        });
        let denied: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        if denied.is_empty() {
            return Ok(());
        }
        Err(Fault::Impossible(format!(
            "the prober needs rights that are missing: {} (kubectl podlife rbac wait-ready --with in-cluster)",
            denied.join(", ")
        )))
    }

    fn make(&self, namespace: &str, questions: &[Question]) -> Made {
        let name = format!("podlife-probe-{:010x}", random() & 0xff_ffff_ffff);
        let nonce = format!("{:016x}", random());
        let left = self.ends.map_or(ONE_LOOK, |ends| ends.saturating_duration_since(Instant::now()));
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let job = prober::job(&Order {
            name: &name,
            nonce: &nonce,
            image: &self.image,
            deadline_seconds: seconds,
            with_body: self.with_body,
            questions,
        });
        self.stderr.line(&sanitise(&format!(
            "asking from inside of the cluster: job/{name} in namespace {namespace}, image {}; it is removed in the end, and ends by itself after {seconds} s",
            self.image
        )));
        let (connection, of) = (self.connection.clone(), namespace.to_owned());
        let creation = tokio::spawn(async move { connection.create(&kind::JOB, Some(&of), &job, &WriteOptions::default()).await });
        Made {
            namespace: namespace.to_owned(),
            name,
            nonce,
            questions: questions.to_vec(),
            since: Instant::now(),
            creation: Creation::UnderWay(creation),
            pod: None,
        }
    }

    async fn created(&self, made: &mut Made) -> Result<(), Fault> {
        if let Creation::UnderWay(handle) = &mut made.creation {
            made.creation = match handle.await {
                Ok(Ok(job)) => Creation::Done(job["metadata"]["uid"].as_str().unwrap_or_default().to_owned()),
                Ok(Err(error)) => Creation::Failed(format!("the prober's Job is refused: {}", shorten(&error.message, 240))),
                Err(error) => Creation::Failed(format!("the prober could not be made: {error}")),
            };
        }
        match &made.creation {
            Creation::Failed(why) => Err(Fault::Impossible(why.clone())),
            _ => Ok(()),
        }
    }

    /// The prober's pod, once it runs.
    async fn running(&self, made: &mut Made) -> Result<String, Fault> {
        if let Some(pod) = &made.pod {
            return Ok(pod.clone());
        }
        let query = ListQuery {
            label_selector: format!("job-name={}", made.name),
            ..ListQuery::default()
        };
        let pods = match self.connection.list(&kind::POD, Some(&made.namespace), &query).await {
            Ok(list) => list.items,
            Err(error) => {
                return Err(Fault::Pending(format!(
                    "the prober's pod could not be read: {}",
                    shorten(&error.message, 160)
                )));
            }
        };
        let pod = pods.into_iter().find_map(|pod| serde_json::from_value::<Pod>(pod).ok());
        let standing = match &pod {
            Some(pod) => prober::standing(pod),
            None => match self.refusal(made).await {
                Some(why) => Standing::Stuck(format!("its pod is refused: {}", shorten(&why, 240))),
                None => Standing::Starting("its pod does not exist yet".to_owned()),
            },
        };
        match (standing, pod.and_then(|pod| pod.metadata.name)) {
            (Standing::Running, Some(name)) => {
                made.pod = Some(name.clone());
                Ok(name)
            }
            (Standing::Stuck(why), _) => Err(Fault::Impossible(format!("the prober cannot ask: {why}"))),
            (Standing::Starting(why), _) => {
                if self.ends.is_none() && made.since.elapsed() >= ONE_LOOK {
                    return Err(Fault::Impossible(format!("the prober has not started: {why}")));
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
                Err(Fault::Pending(format!("the prober job/{} starts: {why}", made.name)))
            }
            (Standing::Running, None) => Err(Fault::Pending("the prober starts".to_owned())),
        }
    }

    /// Why no pod of a Job could be made: quota, Pod Security, a webhook.
    async fn refusal(&self, made: &Made) -> Option<String> {
        let query = ListQuery {
            field_selector: format!("involvedObject.name={},reason=FailedCreate", made.name),
            ..ListQuery::default()
        };
        let events = self.connection.list(&kind::EVENT, Some(&made.namespace), &query).await.ok()?;
        events.items.last()?["message"].as_str().map(str::to_owned)
    }

    /// Waits for a round that was begun after now.
    async fn answers(&self, made: &mut Made, pod: &str) -> Result<Vec<Answer>, Fault> {
        let asked = made.questions.len();
        let query = LogQuery {
            tail_lines: Some(3 * (asked as u64 + 2)),
            ..LogQuery::default()
        };
        let patience = (super::judgement::LIMIT + SLACK) * u32::try_from(asked).unwrap_or(u32::MAX) * 2;
        let begun = Instant::now();
        let mut before = None;
        loop {
            let text = match self.connection.log(&made.namespace, pod, prober::CONTAINER, &query).await {
                Ok(text) => text,
                Err(error) if error.kind == ApiErrorKind::NotFound => {
                    made.pod = None;
                    return Err(Fault::Impossible("the prober's pod was removed".to_owned()));
                }
                Err(error) => {
                    return Err(Fault::Failing(format!(
                        "the prober's log could not be read: {}",
                        shorten(&error.message, 160)
                    )));
                }
            };
            let log = prober::read(&text, &made.nonce, asked);
            let since = *before.get_or_insert(log.begun);
            if let Some((_, round)) = log.last.filter(|(number, _)| *number > since) {
                return round.into_iter().map(|(outcome, body)| self.answer(outcome, &body)).collect();
            }
            if begun.elapsed() > patience {
                made.pod = None;
                return Err(Fault::Failing("the prober says nothing".to_owned()));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            if begun.elapsed() > Duration::from_secs(5) {
                self.still_runs(made).await?;
            }
        }
    }

    /// A prober that has ended writes nothing any more, and its log can be read all the same.
    async fn still_runs(&self, made: &mut Made) -> Result<(), Fault> {
        let known = made.pod.take();
        match self.running(made).await {
            Ok(_) => {
                made.pod = known;
                Ok(())
            }
            Err(Fault::Pending(why)) => Err(Fault::Impossible(why)),
            Err(fault) => Err(fault),
        }
    }

    fn answer(&self, outcome: Outcome, body: &str) -> Result<Answer, Fault> {
        let told = match outcome {
            Outcome::Status(status) => Told::Status(status),
            Outcome::Accepted | Outcome::Closed => Told::Accepted,
            Outcome::Refused => Told::Refused,
            Outcome::TimedOut => Told::TimedOut,
            Outcome::Unresolved => Told::Unresolved,
            Outcome::NoTls => Told::NoTls("no TLS connection".to_owned()),
            Outcome::NoTool => {
                return Err(Fault::Impossible(format!(
                    "the image {} has nothing that could ask: it needs curl, or wget and nc",
                    shorten(&self.image, 120)
                )));
            }
        };
        let body = STANDARD.decode(body).unwrap_or_default();
        Ok(Answer { told, body })
    }

    /// Removes what was made; a run calls it in the end, whatever that is.
    pub(super) async fn end(&self) {
        let mut made = self.made.lock().await;
        self.remove(&mut made).await;
    }

    async fn remove(&self, made: &mut Option<Made>) {
        let Some(made) = made.take() else { return };
        let uid = match made.creation {
            Creation::Failed(_) => return,
            Creation::Done(uid) => Some(uid),
            // Whether it came about is not known then: its name is nobody else's.
            Creation::UnderWay(handle) => match timeout(LAST.0, handle).await {
                Ok(Ok(Ok(job))) => job["metadata"]["uid"].as_str().map(str::to_owned),
                _ => None,
            },
        };
        let deletion = Deletion {
            preconditions: Preconditions {
                uid: uid.filter(|uid| !uid.is_empty()),
                resource_version: None,
            },
            propagation: Some("Background"),
            ..Deletion::default()
        };
        let job = kind::JOB;
        let asked = self.connection.delete(&job, Some(&made.namespace), &made.name, &deletion);
        let why = match timeout(LAST.1, asked).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Conflict) => return,
            Ok(Err(error)) => error.message.clone(),
            Err(_) => "no answer".to_owned(),
        };
        self.stderr.line(&sanitise(&format!(
            "job/{} could not be removed ({}): it ends by itself; kubectl delete job -n {} {}",
            made.name,
            shorten(&why, 160),
            made.namespace,
            made.name
        )));
    }
}

/// Whether an object is a prober or its pod: no run takes one for something that it waits for.
pub(super) fn is_prober(object: &Value) -> bool {
    let (name, value) = prober::LABEL;
    object["metadata"]["labels"][name] == value
}

fn random() -> u64 {
    // The keys of a new hasher are random.
    RandomState::new().build_hasher().finish()
}
