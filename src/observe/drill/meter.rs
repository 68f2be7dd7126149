//! A client that makes a request on a new connection at every interval, whatever becomes of the ones before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::cluster::{Connection, Direct, Health, Question, Told, Trust};
use crate::drill::meter::Sample;

/// Requests that may be under way at once: at an interval of 100 ms, those of two seconds.
const MOST: usize = 100;

/// What is asked, and how.
#[derive(Clone)]
pub(crate) struct Target {
    /// As the user named it.
    pub(crate) name: String,
    pub(crate) to: Direct,
    pub(crate) question: Question,
    pub(crate) trust: Trust,
    pub(crate) interval: Duration,
    /// How long an answer may take.
    pub(crate) limit: Duration,
}

/// Requests so far, from the moment of the start.
pub(crate) struct Meter {
    pub(crate) target: Target,
    pub(crate) begun: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: tokio::task::JoinHandle<()>,
}

/// Why an answer is none; none for a good one.
fn failure(told: &Told, question: &Question) -> Option<String> {
    match told {
        Told::Status(200..=399) | Told::Health(Health::Serving) => None,
        Told::Accepted if matches!(question, Question::Connect) => None,
        Told::Status(status) => Some(format!("status {status}")),
        Told::Health(health) => Some(format!("health {health:?}")),
        Told::Accepted => Some("closed".to_owned()),
        Told::Silent | Told::TimedOut => Some("timeout".to_owned()),
        Told::Refused => Some("refused".to_owned()),
        Told::Unresolved => Some("unresolved".to_owned()),
        Told::Untrusted(_) | Told::NoTls(_) => Some("tls".to_owned()),
        Told::Untried => Some("untried".to_owned()),
    }
}

impl Meter {
    pub(crate) fn start(connection: &Connection, target: Target) -> Self {
        let begun = Instant::now();
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let task = tokio::spawn(requests(connection.clone(), target.clone(), begun, samples.clone()));
        Self {
            target,
            begun,
            samples,
            task,
        }
    }

    /// All requests that have ended, in the order in which they ended.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests in a row were answered well, up to the one that was started last.
    pub(crate) fn good_in_a_row(&self) -> usize {
        let mut samples = self.samples();
        samples.sort_by_key(|sample| sample.started);
        samples.iter().rev().take_while(|sample| sample.failure.is_none()).count()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn requests(connection: Connection, target: Target, begun: Instant, samples: Arc<Mutex<Vec<Sample>>>) {
    let mut clock = tokio::time::interval(target.interval);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = clock.tick(), if under_way.len() < MOST => {
                let (connection, target, samples) = (connection.clone(), target.clone(), samples.clone());
                under_way.spawn(async move {
                    let started = Instant::now();
                    let answer = connection.ask_directly(&target.to, &target.question, &target.trust, target.limit).await;
                    let sample = Sample {
                        started: started - begun,
                        took: started.elapsed(),
                        failure: failure(&answer.told, &target.question),
                    };
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                });
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}
