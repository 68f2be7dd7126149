//! Asks Services from inside of the cluster: by one Job in each namespace that has Services to be asked, made when it is needed and removed
//! whatever happens.

mod job;
mod rights;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::job::{Job, Trouble};
pub(crate) use self::rights::RIGHTS;
use super::application::Fault;
use crate::cluster::{Answer, Connection};
use crate::gate::prober::{self, Question};
use crate::io::Stream;

/// How often in a namespace a prober whose pod was taken away, by a drained node for example, has another one follow it.
const FOLLOWERS: u32 = 3;

/// Who asks from inside.
pub(super) struct Prober {
    means: Means,
    /// Whoever asks holds them, so that they end only after that.
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    /// By namespace.
    of: BTreeMap<String, Job>,
    /// How many have been lost in each.
    lost: BTreeMap<String, u32>,
}

/// What every Job is made with.
pub(super) struct Means {
    pub(super) connection: Connection,
    pub(super) image: String,
    /// Whether it tells the bodies of the answers.
    pub(super) with_body: bool,
    /// Until when the run lasts; none for one look.
    pub(super) ends: Option<Instant>,
    /// How long it may take until a node takes its pod, where the run lasts: an autoscaler may be making one.
    pub(super) scheduling: Duration,
    pub(super) stderr: Stream,
}

impl Prober {
    pub(super) fn new(means: Means) -> Self {
        Self {
            means,
            jobs: Mutex::default(),
        }
    }

    /// Asks every question once, each from its namespace and on a new connection that was begun after this was called; answers in the same order.
    pub(super) async fn ask(&self, questions: &[(String, Question)]) -> Result<Vec<Answer>, Fault> {
        let mut wanted: BTreeMap<&str, Vec<Question>> = BTreeMap::new();
        for (namespace, question) in questions {
            wanted.entry(namespace).or_default().push(question.clone());
        }
        let mut guard = self.jobs.lock().await;
        let Jobs { of: jobs, lost } = &mut *guard;
        let is_of_use = |namespace: &str, job: &Job| wanted.get(namespace).is_some_and(|now| job.asks(now)) && !job.is_untold();
        let old = jobs.iter().filter(|(namespace, job)| !is_of_use(namespace, job));
        let old: Vec<String> = old.map(|(namespace, _)| namespace.clone()).collect();
        // One stays known until it is removed: whoever stops waiting here leaves the rest to the end of the run.
        for namespace in old {
            if let Some(job) = jobs.get_mut(&namespace) {
                job.remove(&self.means).await;
            }
            jobs.remove(&namespace);
        }
        for (namespace, questions) in &wanted {
            if jobs.contains_key(*namespace) {
                continue;
            }
            let missing = rights::missing(&self.means.connection, namespace).await;
            if !missing.is_empty() {
                return Err(Fault::Impossible(format!(
                    "the prober needs rights in namespace {namespace} that are missing: {} (kubectl podlife rbac wait-ready -n {namespace} --with in-cluster)",
                    missing.join(", ")
                )));
            }
            jobs.insert((*namespace).to_owned(), Job::begin(&self.means, namespace, questions));
        }
        let asked = jobs
            .iter_mut()
            .map(|(namespace, job)| async { (namespace.clone(), job.ask(&self.means).await) });
        let mut heard = BTreeMap::new();
        let mut faults = Vec::new();
        let mut gone = Vec::new();
        for (namespace, answers) in join_all(asked).await {
            match answers {
                Ok(answers) => {
                    heard.insert(namespace, answers.into_iter());
                }
                Err(Trouble::Fault(fault)) => faults.push(fault),
                Err(Trouble::Lost(why)) => {
                    let lost = lost.entry(namespace.clone()).or_default();
                    // It is asked on until the run ends, and lost only once.
                    *lost = (*lost + 1).min(FOLLOWERS + 1);
                    if *lost > FOLLOWERS {
                        let why = format!("the prober's pod was taken away {lost} times: {why}");
                        faults.push(Fault::Impossible(why));
                        continue;
                    }
                    gone.push(namespace);
                    faults.push(Fault::Pending(format!(
                        "the prober's pod was taken away ({why}): another one follows"
                    )));
                }
            }
        }
        // A Job that allows no failure makes no other pod: the next round has a new one made.
        for namespace in gone {
            if let Some(job) = jobs.get_mut(&namespace) {
                job.remove(&self.means).await;
            }
            jobs.remove(&namespace);
        }
        // What cannot be is said first: no other one's start changes that.
        faults.sort_by_key(|fault| !matches!(fault, Fault::Impossible(_)));
        match faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(questions
                .iter()
                .filter_map(|(namespace, _)| heard.get_mut(namespace)?.next())
                .collect()),
        }
    }

    /// Removes what was made; a run calls it in the end, whatever that is.
    pub(super) async fn end(&self) {
        let mut jobs = self.jobs.lock().await;
        join_all(jobs.of.values_mut().map(|job| job.remove(&self.means))).await;
        jobs.of.clear();
    }
}

/// Whether an object is a prober or its pod: no run takes one for something that it waits for.
pub(super) fn is_prober(object: &Value) -> bool {
    let (name, value) = prober::LABEL;
    object["metadata"]["labels"][name] == value
}
