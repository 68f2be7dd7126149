//! The Job of one namespace: how it is made, read and removed.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::cluster::{
    Answer, ApiError, ApiErrorKind, Connection, Deletion, Follow, FollowQuery, ListQuery, LogQuery, PodContainer, Told, WriteOptions,
};
use crate::io::Stream;
use crate::model::kind;
use crate::readiness::fault::Fault;
use crate::readiness::prober;
use crate::readiness::prober::{Order, Outcome, ProberState, Question, Sampled};
use crate::text::{command, sanitise, shorten};

/// Between two looks at its log.
const BETWEEN_LOOKS: Duration = Duration::from_millis(150);
/// How long after one whose creation was not answered another one is made.
const MAKE_AGAIN: Duration = Duration::from_secs(5);
/// How long it may take to answer one question, beyond the time that it gives itself.
const SLACK: Duration = Duration::from_secs(4);
/// A run of one look gives it this long to start, and to live.
const ONE_LOOK: Duration = Duration::from_secs(60);
/// How long a creation that is under way is waited for in the end, and how long the removal may take: less than a run has for its last words.
const LAST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(2500));

/// What every Job is made with.
pub(crate) struct Means {
    pub(crate) connection: Connection,
    pub(crate) image: String,
    /// Whether it tells the bodies of the answers.
    pub(crate) with_body: bool,
    /// How far apart it begins to ask; none for one question after the other.
    pub(crate) every: Option<Duration>,
    /// Until when the run lasts; none for one look.
    pub(crate) ends: Option<Instant>,
    /// How long it may take until a node takes its pod, where the run lasts: an autoscaler may be making one.
    pub(crate) scheduling: Duration,
    pub(crate) stderr: Stream,
    /// Labels of the pods in whose place it asks; empty where it asks as itself.
    pub(crate) labels: BTreeMap<String, String>,
}

/// A Job that was asked for.
pub(crate) struct Job {
    namespace: String,
    name: String,
    nonce: String,
    questions: Vec<Question>,
    since: Instant,
    creation: Creation,
    pod: Option<String>,
    /// Whether it has had a pod, which makes no other one.
    had_pod: bool,
}

/// Why no answer came of it.
pub(crate) enum Trouble {
    /// As the round says it.
    Fault(Fault),
    /// Its pod was taken away.
    Lost(String),
}

impl Trouble {
    /// In words.
    pub(super) fn into_words(self) -> String {
        match self {
            Self::Fault(Fault::Impossible(why) | Fault::Never(why) | Fault::Pending(why) | Fault::Failing(why) | Fault::OfPods(why, _)) => {
                why
            }
            Self::Lost(why) => format!("the prober's pod was deleted: {why}"),
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

enum Creation {
    /// Owned by the prober, so that a run that ends meanwhile can wait for it.
    UnderWay(JoinHandle<Result<Value, ApiError>>),
    Done(String),
    Refused(String),
    /// The API server gave no answer: it may be there or not.
    Untold(String),
    Removed,
}

impl Job {
    /// Has one made; what comes of that is seen when it is asked.
    pub(crate) fn begin(means: &Means, namespace: &str, questions: &[Question]) -> Self {
        let name = format!("podlife-probe-{:010x}", random() & 0xff_ffff_ffff);
        let nonce = format!("{:016x}", random());
        let left = means.ends.map_or(ONE_LOOK, |ends| ends.saturating_duration_since(Instant::now()));
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let job = prober::job(&Order {
            name: &name,
            nonce: &nonce,
            image: &means.image,
            deadline_seconds: seconds,
            with_body: means.with_body,
            every: means.every,
            questions,
            labels: &means.labels,
        });
        means.stderr.line(&sanitise(&format!(
            "checking from inside the cluster: job/{name} in namespace {namespace}, image {}; it is removed at the end, and ends by itself after {seconds} s",
            means.image
        )));
        let (connection, of) = (means.connection.clone(), namespace.to_owned());
        let creation = tokio::spawn(async move { connection.create(&kind::JOB, Some(&of), &job, &WriteOptions::default()).await });
        Self {
            namespace: namespace.to_owned(),
            name,
            nonce,
            questions: questions.to_vec(),
            since: Instant::now(),
            creation: Creation::UnderWay(creation),
            pod: None,
            had_pod: false,
        }
    }

    /// Whether it is just this that it asks.
    pub(super) fn asks(&self, questions: &[Question]) -> bool {
        self.questions == questions && !matches!(self.creation, Creation::Removed)
    }

    /// Whether nobody knows if it exists, so that another one is to be made after a pause.
    pub(crate) fn is_untold(&self) -> bool {
        matches!(self.creation, Creation::Untold(_)) && self.since.elapsed() >= MAKE_AGAIN
    }

    /// Its log from the beginning, as it grows.
    pub(super) fn log(&self, means: &Means, pod: &str) -> Follow {
        let of = PodContainer {
            namespace: &self.namespace,
            pod,
            container: prober::CONTAINER,
        };
        let query = FollowQuery {
            follow: true,
            ..FollowQuery::default()
        };
        means.connection.follow_log(of, query)
    }

    /// The answer in a line of its log, if there is one.
    pub(super) fn sampled(&self, line: &str) -> Option<Sampled> {
        prober::sampled(line, &self.nonce)
    }

    /// Asks every question once, each on a new connection that was begun after this was called.
    pub(crate) async fn ask(&mut self, means: &Means) -> Result<Vec<Answer>, Trouble> {
        self.created().await?;
        let pod = self.running(means).await?;
        self.answers(means, &pod).await
    }

    pub(super) async fn created(&mut self) -> Result<(), Fault> {
        if let Creation::UnderWay(handle) = &mut self.creation {
            self.creation = match handle.await {
                Ok(Ok(job)) => Creation::Done(job["metadata"]["uid"].as_str().unwrap_or_default().to_owned()),
                Ok(Err(error)) if gives_no_answer(&error) => Creation::Untold(shorten(&error.message, 240)),
                Ok(Err(error)) => Creation::Refused(format!("the prober's Job is refused: {}", shorten(&error.message, 240))),
                Err(error) => Creation::Refused(format!("the prober could not be created: {error}")),
            };
        }
        match &self.creation {
            Creation::Refused(why) => Err(Fault::Impossible(why.clone())),
            Creation::Untold(why) => {
                let why = format!("the prober could not be created: {why}");
                tokio::time::sleep(BETWEEN_LOOKS).await;
                Err(Fault::Pending(why))
            }
            _ => Ok(()),
        }
    }

    /// The prober's pod, once it runs.
    pub(super) async fn running(&mut self, means: &Means) -> Result<String, Trouble> {
        if let Some(pod) = &self.pod {
            return Ok(pod.clone());
        }
        let query = ListQuery {
            label_selector: format!("job-name={}", self.name),
            ..ListQuery::default()
        };
        let pods = match means.connection.list(&kind::POD, Some(&self.namespace), &query).await {
            Ok(list) => list.items,
            Err(error) => {
                let why = format!("the prober's pod could not be read: {}", shorten(&error.message, 160));
                return Err(Fault::Pending(why).into());
            }
        };
        let pod = pods.into_iter().find_map(|pod| serde_json::from_value::<Pod>(pod).ok());
        let standing = match &pod {
            Some(pod) => prober::prober_state(pod),
            None if self.had_pod => ProberState::Lost("it was removed".to_owned()),
            None => match self.refusal(means).await {
                Some(why) => ProberState::Stuck(format!("its pod is refused: {}", shorten(&why, 240))),
                None => ProberState::Starting("its pod does not exist yet".to_owned()),
            },
        };
        self.had_pod |= pod.is_some();
        match (standing, pod.and_then(|pod| pod.metadata.name)) {
            (ProberState::Lost(why), _) => Err(Trouble::Lost(why)),
            (ProberState::Running, Some(name)) => {
                self.pod = Some(name.clone());
                Ok(name)
            }
            (ProberState::Stuck(why), _) => Err(Fault::Impossible(format!("the prober cannot check: {why}")).into()),
            (ProberState::Unscheduled(why), _) if means.ends.is_none() || self.since.elapsed() >= means.scheduling => {
                Err(Fault::Impossible(format!("the prober cannot check: {why}")).into())
            }
            (ProberState::Starting(why) | ProberState::Unscheduled(why), _) => {
                if means.ends.is_none() && self.since.elapsed() >= ONE_LOOK {
                    return Err(Fault::Impossible(format!("the prober has not started: {why}")).into());
                }
                tokio::time::sleep(BETWEEN_LOOKS).await;
                Err(Fault::Pending(format!("the prober job/{} starts: {why}", self.name)).into())
            }
            (ProberState::Running, None) => Err(Fault::Pending("the prober starts".to_owned()).into()),
        }
    }

    /// Why no pod of a Job could be made: quota, Pod Security, a policy, a webhook.
    async fn refusal(&self, means: &Means) -> Option<String> {
        let query = ListQuery {
            field_selector: format!("involvedObject.name={},reason=FailedCreate", self.name),
            ..ListQuery::default()
        };
        let events = means.connection.list(&kind::EVENT, Some(&self.namespace), &query).await.ok()?;
        events.items.last()?["message"].as_str().map(str::to_owned)
    }

    /// Waits for a round that was begun after now.
    async fn answers(&mut self, means: &Means, pod: &str) -> Result<Vec<Answer>, Trouble> {
        let asked = self.questions.len();
        let query = LogQuery {
            tail_lines: Some(3 * (asked as u64 + 2)),
            ..LogQuery::default()
        };
        let patience: Duration = self.questions.iter().map(|question| (question.limit + SLACK) * 2).sum();
        let begun = Instant::now();
        let mut before = None;
        loop {
            let text = match means.connection.log(&self.namespace, pod, prober::CONTAINER, &query).await {
                Ok(text) => text,
                Err(error) if error.kind == ApiErrorKind::NotFound => {
                    return Err(Trouble::Lost("it was removed".to_owned()));
                }
                Err(error) => {
                    // The log of a pod goes with its node, before the pod does.
                    self.still_runs(means).await?;
                    let why = format!("the prober's log could not be read: {}", shorten(&error.message, 160));
                    return Err(Fault::Failing(why).into());
                }
            };
            let log = prober::read(&text, &self.nonce, asked);
            let since = *before.get_or_insert(log.begun);
            if let Some((_, round)) = log.last.filter(|(number, _)| *number > since) {
                let answers = round.into_iter().map(|(outcome, body)| answer(means, outcome, &body));
                return Ok(answers.collect::<Result<_, Fault>>()?);
            }
            if begun.elapsed() > patience {
                self.pod = None;
                return Err(Fault::Failing("the prober prints nothing".to_owned()).into());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            if begun.elapsed() > Duration::from_secs(5) {
                self.still_runs(means).await?;
            }
        }
    }

    /// A prober that has ended writes nothing any more, and its log can be read all the same.
    pub(super) async fn still_runs(&mut self, means: &Means) -> Result<(), Trouble> {
        let known = self.pod.take();
        match self.running(means).await {
            Ok(_) => {
                self.pod = known;
                Ok(())
            }
            Err(Trouble::Fault(Fault::Pending(why))) => Err(Fault::Impossible(why).into()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Removes it. It is safe to call again after an interruption.
    pub(crate) async fn remove(&mut self, means: &Means) {
        if let Creation::UnderWay(handle) = &mut self.creation {
            // Whether it came about may not be known then: its name is nobody else's.
            self.creation = match timeout(LAST.0, handle).await {
                Ok(Ok(Ok(job))) => Creation::Done(job["metadata"]["uid"].as_str().unwrap_or_default().to_owned()),
                _ => Creation::Untold(String::new()),
            };
        }
        let uid = match &self.creation {
            Creation::Refused(_) | Creation::Removed => return,
            Creation::Done(uid) => Some(uid.clone()),
            Creation::UnderWay(_) | Creation::Untold(_) => None,
        };
        let deletion = Deletion {
            propagation: Some("Background"),
            ..Deletion::of_uid(uid.as_deref().filter(|uid| !uid.is_empty()))
        };
        let job = kind::JOB;
        let asked = means.connection.delete(&job, Some(&self.namespace), &self.name, &deletion);
        let outcome = timeout(LAST.1, asked).await;
        self.creation = Creation::Removed;
        let why = match outcome {
            Ok(Ok(_)) => return,
            Ok(Err(error)) if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Conflict) => return,
            Ok(Err(error)) => error.message.clone(),
            Err(_) => "no answer".to_owned(),
        };
        means.stderr.line(&sanitise(&format!(
            "job/{} could not be removed ({}): it ends by itself; {}",
            self.name,
            shorten(&why, 160),
            command("kubectl delete job {} -n {}", &[&self.name, &self.namespace])
        )));
    }
}

fn answer(means: &Means, outcome: Outcome, body: &str) -> Result<Answer, Fault> {
    let told = told(means, outcome)?;
    let body = STANDARD.decode(body).unwrap_or_default();
    Ok(Answer { told, body })
}

/// What came of a question, as a client from here would say it.
pub(super) fn told(means: &Means, outcome: Outcome) -> Result<Told, Fault> {
    Ok(match outcome {
        Outcome::Status(status) => Told::Status(status),
        Outcome::Accepted | Outcome::Closed => Told::Accepted,
        Outcome::Refused => Told::Refused,
        Outcome::TimedOut => Told::TimedOut,
        Outcome::Unresolved => Told::Unresolved,
        Outcome::NoTls => Told::NoTls("no TLS connection".to_owned()),
        Outcome::NoTool => {
            return Err(Fault::Impossible(format!(
                "the image {} has no HTTP client: it needs curl, or wget and nc",
                shorten(&means.image, 120)
            )));
        }
    })
}

/// Whether the API server did not come to a decision, so that another try may do better.
fn gives_no_answer(error: &ApiError) -> bool {
    use ApiErrorKind::{Server, Timeout, TooManyRequests, Unreachable};
    matches!(error.kind, Server | Timeout | TooManyRequests | Unreachable)
}

fn random() -> u64 {
    // The keys of a new hasher are random.
    RandomState::new().build_hasher().finish()
}
