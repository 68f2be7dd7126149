//! The prober: checks Services from inside the cluster by one Job in each namespace of the Services. Jobs are created when they are needed and
//! always removed.

mod job;
mod rights;
mod sampler;

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::cluster::Answer;
pub(crate) use crate::observe::prober::job::Means;
use crate::observe::prober::job::{Job, Trouble};
pub(crate) use crate::observe::prober::rights::{RIGHTS, denied, missing};
pub(crate) use crate::observe::prober::sampler::Sampler;
use crate::readiness::fault::Fault;
use crate::readiness::prober;
use crate::readiness::prober::Question;
use crate::text::command;

/// How often a prober whose pod was removed, by a drained node for example, is replaced in a namespace.
const FOLLOWERS: u32 = 3;

/// The prober.
pub(crate) struct Prober {
    means: Means,
    /// Locked during a round, so that they are removed only after it.
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    /// By namespace.
    of: BTreeMap<String, Job>,
    /// How many have been lost in each.
    lost: BTreeMap<String, u32>,
}

impl Prober {
    pub(crate) fn new(means: Means) -> Self {
        Self {
            means,
            jobs: Mutex::default(),
        }
    }

    /// Asks every question once, each from its namespace and on a new connection that was begun after this was called; answers in the same order.
    pub(crate) async fn ask(&self, questions: &[(String, Question)]) -> Result<Vec<Answer>, Fault> {
        let mut wanted: BTreeMap<&str, Vec<Question>> = BTreeMap::new();
        for (namespace, question) in questions {
            wanted.entry(namespace).or_default().push(question.clone());
        }
        let mut guard = self.jobs.lock().await;
        let Jobs { of: jobs, lost } = &mut *guard;
        let is_of_use = |namespace: &str, job: &Job| wanted.get(namespace).is_some_and(|now| job.asks(now)) && !job.is_untold();
        let old = jobs.iter().filter(|(namespace, job)| !is_of_use(namespace, job));
        let old: Vec<String> = old.map(|(namespace, _)| namespace.clone()).collect();
        self.remove(jobs, old).await;
        for (namespace, questions) in &wanted {
            if jobs.contains_key(*namespace) {
                continue;
            }
            let missing = missing(&self.means.connection, namespace).await;
            if !missing.is_empty() {
                return Err(Fault::Impossible(format!(
                    "the prober needs rights in namespace {namespace} that are missing: {} ({})",
                    missing.join(", "),
                    command("kubectl podlife rbac wait-ready -n {} --with in-cluster", &[namespace])
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
                        let why = format!("the prober's pod was deleted {lost} times: {why}");
                        faults.push(Fault::Impossible(why));
                        continue;
                    }
                    gone.push(namespace);
                    faults.push(Fault::Pending(format!("the prober's pod was deleted ({why}): a new one follows")));
                }
            }
        }
        // A Job that allows no failure makes no other pod: the next round has a new one made.
        self.remove(jobs, gone).await;
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

    /// Removes the Jobs of these namespaces. A Job stays listed until it is removed, so that the end of the run removes what an interruption leaves here.
    async fn remove(&self, jobs: &mut BTreeMap<String, Job>, namespaces: Vec<String>) {
        for namespace in namespaces {
            if let Some(job) = jobs.get_mut(&namespace) {
                job.remove(&self.means).await;
            }
            jobs.remove(&namespace);
        }
    }

    /// Removes all Jobs; each run calls it at its end.
    pub(crate) async fn end(&self) {
        let mut jobs = self.jobs.lock().await;
        join_all(jobs.of.values_mut().map(|job| job.remove(&self.means))).await;
        jobs.of.clear();
    }
}

/// Whether an object is a prober's Job or pod: no run waits for one.
pub(crate) fn is_prober(object: &Value) -> bool {
    let (name, value) = prober::LABEL;
    object["metadata"]["labels"][name] == value
}
