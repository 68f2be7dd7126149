//! What a gateway does without being asked: it notes which sessions are used, and cleans up if it leads.

use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::{self, FuturesUnordered, StreamExt as _};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::exit::{Exit, Failure};
use crate::gateway::activity::Cause;
use crate::gateway::control::{Control, TICK, WATCH_AGAIN};
use crate::gateway::flush;
use crate::gateway::leader::{self, Candidate};
use crate::gateway::pool;
use crate::observe::session::gc::{Act, Pass, What};
use crate::text::sanitise;

/// How long the last notes may take.
const LAST_NOTES: Duration = Duration::from_secs(5);
/// How long the API server has answered before sessions are cleaned up: other gateways write first what was used meanwhile.
const SETTLED: Duration = Duration::from_secs(20);
/// How many sessions are noted at once.
const AT_ONCE: usize = 8;

impl Control<'_> {
    /// For how long the API server has answered.
    pub(super) fn calm(&self) -> Option<Duration> {
        let [records, pods] = self.calm.get();
        Some(records?.max(pods?).elapsed())
    }

    /// Stands for the one that cleans up, for as long as the gateway runs.
    pub(super) async fn lead(&self, identity: &str) {
        let mut candidate = Candidate::new(identity.to_owned());
        let mut rounds = interval(leader::EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            // What fails here shows in the watches, too.
            let _ = timeout(leader::EVERY, candidate.run(&self.sessions.objects)).await;
            self.leads.set(candidate.leads());
            self.keeper.replace(candidate.uid().cloned());
            self.gate.metrics.leads(candidate.leads());
        }
    }

    /// Hands warm pods out, and keeps as many as are wanted as long as this gateway leads.
    pub(super) async fn keep_warm(&self) {
        loop {
            sleep(TICK).await;
            self.pool.borrow_mut().offer();
            self.gate.metrics.warm(self.pool.borrow().counts());
            if self.calm().is_some() && self.leads.get() {
                self.refill().await;
            }
        }
    }

    /// Makes one warm pod where there are too few, and removes those that are of no use.
    async fn refill(&self) {
        loop {
            let act = self.pool.borrow().act();
            let done = match &act {
                pool::Act::Nothing => return,
                pool::Act::Make => self.warm_one().await,
                pool::Act::Remove(pod) => self.remove_warm(pod).await,
            };
            if let Err(failure) = &done {
                self.say(&failure.message);
                self.pool.borrow_mut().failed();
            }
            if done.is_err() || act == pool::Act::Make {
                return;
            }
        }
    }

    async fn warm_one(&self) -> Result<(), Failure> {
        let (template, policy) = {
            let wanted = self.wanted.borrow();
            (wanted.template.clone(), wanted.policy.clone())
        };
        let Some(keeper) = self.keeper.borrow().clone() else {
            return Ok(());
        };
        let pod = self.sessions.make_warm(&template, &policy, &keeper).await?;
        self.pool.borrow_mut().made(pod);
        Ok(())
    }

    async fn remove_warm(&self, pod: &pool::Removal) -> Result<(), Failure> {
        self.sessions.remove_warm(&pod.name, &pod.uid, &pod.version).await?;
        self.pool.borrow_mut().removed(pod);
        tracing::info!(action = "removed", object = format!("pod/{}", pod.name), "{}", pod.why);
        Ok(())
    }

    /// Cleans up and heals as long as this gateway leads.
    pub(super) async fn clean(&self) {
        loop {
            let is_quiet = self.calm().is_none_or(|calm| calm < SETTLED);
            if is_quiet || !self.leads.get() {
                sleep(TICK).await;
                continue;
            }
            self.pass().await;
            sleep(self.cleanup_interval).await;
        }
    }

    /// One pass over all sessions. Those that are used here are noted first.
    async fn pass(&self) {
        self.note_all().await;
        let made = self.sessions.pass(Pass::default(), async |act| self.tell(&act).await);
        if let Err(failure) = made.await {
            self.say(&failure.message);
        }
    }

    /// Says what was done for a session: in the metrics, in the log, and as an event.
    pub(super) async fn tell(&self, act: &Act) {
        self.count(act);
        self.acts.set(self.acts.get() + 1);
        tracing::info!(action = act.what.as_str(), object = act.object.as_str(), "{}", sanitise(&act.why));
        if let Err(error) = self.sessions.tell(act, self.acts.get()).await {
            self.say(&error.to_string());
        }
    }

    fn count(&self, act: &Act) {
        let metrics = &self.gate.metrics;
        match act.what {
            What::Reaped => metrics.deleted("idle"),
            What::Expired => metrics.deleted("lifetime"),
            What::Healed => metrics.healed(),
            What::GaveUp => metrics.failed("given-up"),
            What::Created | What::Completed | What::Waiting | What::Removed => {}
        }
    }

    /// Notes all use that records do not know yet.
    async fn note_all(&self) {
        let now = self.sessions.now();
        let used = self.table.all().into_iter().filter(|entry| flush::is_news(entry, now));
        let notes = stream::iter(used).for_each_concurrent(AT_ONCE, |entry| self.note(entry.id.clone()));
        if timeout(LAST_NOTES, notes).await.is_err() {
            self.say("the last use of some sessions could not be recorded");
        }
    }

    pub(super) fn tick<'a>(&'a self, jobs: &FuturesUnordered<LocalBoxFuture<'a, ()>>) {
        let (is_away, now) = (self.calm().is_none(), std::time::Instant::now());
        for entry in self.table.all() {
            if let Some(backend) = &entry.backend {
                backend.tidy();
            }
            if entry.end.is_some_and(|end| end <= now) {
                entry.activity.cut(Cause::Lifetime);
            }
            let is_due = flush::is_due(&entry, self.sessions.now());
            if is_due && !is_away && self.noting.borrow_mut().insert(entry.id.clone()) {
                jobs.push(Box::pin(self.note(entry.id.clone())));
            }
        }
    }

    /// Notes in the record that a session is used.
    async fn note(&self, id: Arc<str>) {
        let noted = self.sessions.touch(&id, Duration::ZERO).await;
        self.gate.metrics.flushed(noted.is_ok());
        if let Err(failure) = noted
            && failure.exit != Exit::NotFound
        {
            self.say(&failure.message);
            // Not again at once: the API server may be away.
            sleep(WATCH_AGAIN).await;
        }
        self.noting.borrow_mut().remove(&id);
    }

    /// Notes what was used last, lets another gateway lead, and ends.
    pub(super) async fn end(&self, exit: Exit, identity: &str) -> Exit {
        self.note_all().await;
        // Else another one waits until the Lease has run out.
        let _ = timeout(LAST_NOTES, leader::resign(&self.sessions.objects, identity)).await;
        exit
    }
}
