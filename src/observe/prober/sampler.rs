//! Questions that are asked from inside the cluster at an interval, whatever becomes of those before: the answers are read from the log of one
//! pod as it grows.

use std::time::Duration;

use tokio::sync::Mutex;

use crate::cluster::{LogPart, Told};
use crate::observe::prober::job::{Job, Means, Trouble, told};
use crate::readiness::fault::Fault;
use crate::readiness::prober::{Question, Sampled};

/// Between two looks at what has not begun, or has broken off.
const AGAIN: Duration = Duration::from_millis(200);

/// A Job that asks.
pub(crate) struct Sampler {
    means: Means,
    job: Mutex<Job>,
}

impl Sampler {
    /// Has the Job made; `means` say the interval.
    pub(crate) fn begin(means: Means, namespace: &str, questions: &[Question]) -> Self {
        let job = Job::begin(&means, namespace, questions);
        Self { means, job: job.into() }
    }

    /// Hands out every answer as it comes, and what it waits for before the first one. Ends with the reason why no more will come.
    pub(crate) async fn follow(&self, waits: impl Fn(String), heard: impl FnMut(Sampled, &Told)) -> String {
        let mut job = self.job.lock().await;
        match self.read(&mut job, waits, heard).await {
            Err(trouble) => trouble.into_words(),
            Ok(()) => String::new(),
        }
    }

    async fn read(&self, job: &mut Job, waits: impl Fn(String), mut heard: impl FnMut(Sampled, &Told)) -> Result<(), Trouble> {
        let pod = loop {
            let pod = match job.created().await {
                Ok(()) => job.running(&self.means).await,
                Err(fault) => Err(fault.into()),
            };
            match pod {
                Ok(pod) => break pod,
                Err(Trouble::Fault(Fault::Pending(why))) => {
                    waits(why);
                    tokio::time::sleep(AGAIN).await;
                }
                Err(trouble) => return Err(trouble),
            }
        };
        let mut log = job.log(&self.means, &pod);
        loop {
            match log.next().await {
                Ok(LogPart::Lines(lines)) => {
                    for sampled in String::from_utf8_lossy(&lines).lines().filter_map(|line| job.sampled(line)) {
                        heard(sampled, &told(&self.means, sampled.outcome)?);
                    }
                }
                Ok(LogPart::Interrupted(_) | LogPart::Resumed) => {}
                Ok(LogPart::Ended) | Err(_) => {
                    job.still_runs(&self.means).await?;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Removes the Job. What follows it has to have ended.
    pub(crate) async fn end(&self) {
        self.job.lock().await.remove(&self.means).await;
    }
}
