//! Drives the waiting loop of [`crate::readiness::wait`]: watches objects, performs actions, and passes the results back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, select_all};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::{ApiError, Connection};
use crate::model::kind;
use crate::model::readiness::ObjectReadiness;
use crate::model::snapshot::Snapshot;
use crate::observe::application::{self, AppProber};
use crate::observe::dials::Reach;
use crate::observe::rereads::{self, Read};
use crate::observe::store::Store;
use crate::observe::why;
use crate::readiness::check::Check;
use crate::readiness::fault::Fault;
use crate::readiness::progress::Progress;
use crate::readiness::wait::api_health::Trouble;
use crate::readiness::wait::observation::Observation;
use crate::readiness::wait::rereads::Reread;
use crate::readiness::wait::rule_checks::{Explanation, RuleCheck};
use crate::readiness::wait::{Action, End, Event, Pending, Wait};
use crate::view::{Options, View};

/// How long one connection may take, as in `diagnose`.
const DIAL_LIMIT: Duration = Duration::from_secs(2);

/// What a verb adds to the loop.
pub(crate) trait Waiting {
    /// Looks at the objects as they are now.
    fn look(&mut self, view: &View<'_>) -> Observation;
    /// Notes what a look has shown, once everything that matters is watched.
    fn note(&mut self, view: &View<'_>, judged: &[ObjectReadiness]);
    /// Reports how it stands.
    fn report(&mut self, progress: Progress, wait: &Wait, snapshot: &Snapshot, now: Duration);
    /// Whether nobody reads the reports any more.
    fn is_output_closed(&self) -> bool;
}

/// What the actions need.
pub(crate) struct Means {
    pub(crate) connection: Connection,
    pub(crate) namespaces: Vec<String>,
    pub(crate) prober: Arc<AppProber>,
    /// Whether the rules may dial ports of pods.
    pub(crate) may_dial: bool,
    /// The wall clock.
    pub(crate) clock: fn() -> Timestamp,
}

/// A run of the loop.
pub(crate) struct Driver {
    pub(crate) wait: Wait,
    pub(crate) store: Store,
    pub(crate) means: Means,
    start: Instant,
    /// How the rules reach into pods; it remembers what is forbidden.
    reach: Reach,
    /// What is under way; of outcomes that come together, the first is taken first.
    under_way: Vec<(Pending, BoxFuture<'static, Outcome>)>,
}

/// What came of something that was under way.
enum Outcome {
    Answer(u32, Result<(), Fault>),
    Reread(u32, Result<Read, Trouble>),
    Explanation(u32, Box<(Explanation, Snapshot)>),
}

impl Driver {
    pub(crate) fn new(wait: Wait, store: Store, means: Means) -> Self {
        Self {
            wait,
            store,
            means,
            start: Instant::now(),
            reach: Reach::new(DIAL_LIMIT, false, None),
            under_way: Vec::new(),
        }
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs until it is over, or `interrupted` is done. Fails with the error of a required watch.
    pub(crate) async fn run(&mut self, waiting: &mut impl Waiting, interrupted: impl Future<Output = ()>) -> Result<End, ApiError> {
        tokio::pin!(interrupted);
        loop {
            let event = self.look(waiting);
            let now = self.now();
            let mut wake = None;
            for action in self.wait.step(event, now) {
                match action {
                    Action::Finish(end) => return Ok(end),
                    Action::SleepUntil(time) => wake = Some(time),
                    Action::Report(progress) => waiting.report(*progress, &self.wait, &self.store.snapshot, now),
                    Action::Watch(gateways) => gateways
                        .iter()
                        .for_each(|object| self.store.watch(kind::GATEWAY, Some(&object.namespace), Some(&object.name))),
                    Action::Ask(id, ended, checks) => self.ask(id, ended, checks),
                    Action::Explain(id, check) => self.explain(id, check),
                    Action::Reread(id, wanted) => self.reread(id, wanted),
                }
            }
            let event = if waiting.is_output_closed() {
                Some(Event::OutputClosed)
            } else {
                tokio::select! {
                    biased;
                    () = &mut interrupted => Some(Event::Interrupted),
                    event = self.next(wake) => event?,
                }
            };
            let actions = event.map(|event| self.wait.step(event, self.now()));
            if let Some(Action::Finish(end)) = actions.into_iter().flatten().next() {
                return Ok(end);
            }
        }
    }

    /// Ends what is under way, and removes what was made in the cluster.
    pub(crate) async fn close(&mut self) {
        self.under_way.clear();
        if let Some(prober) = &self.means.prober.prober {
            prober.end().await;
        }
    }

    fn look(&mut self, waiting: &mut impl Waiting) -> Event {
        if !self.store.is_complete() {
            return Event::Listing;
        }
        self.store.snapshot.taken_at = (self.means.clock)();
        self.store.snapshot.sort();
        let view = View::new(&self.store.snapshot, Options::default());
        let mut seen = waiting.look(&view);
        // Many Gateways are in a namespace of their own.
        seen.unwatched = self.store.not_watched(&kind::GATEWAY, seen.judged.iter().map(|j| &j.object));
        seen.trouble = self.store.trouble().cloned();
        if seen.unwatched.is_empty() {
            waiting.note(&view, &seen.judged);
        }
        Event::Looked(Box::new(seen))
    }

    fn ask(&mut self, id: u32, ended: u32, checks: Vec<Check>) {
        let round = application::round(self.means.prober.clone(), checks, ended);
        let outcome = round.map(move |outcome| Outcome::Answer(id, outcome));
        self.under_way.push((Pending::Answer(id), outcome.boxed()));
    }

    fn explain(&mut self, id: u32, check: RuleCheck) {
        let (connection, namespaces) = (self.means.connection.clone(), self.means.namespaces.clone());
        let (snapshot, reach) = (self.store.snapshot.clone(), self.reach.clone());
        let explained = why::explain(connection, snapshot, namespaces, reach, self.means.may_dial, check);
        let outcome = explained.map(move |explained| Outcome::Explanation(id, Box::new(explained)));
        self.under_way.push((Pending::Explanation(id), outcome.boxed()));
    }

    fn reread(&mut self, id: u32, wanted: Reread) {
        let read = rereads::read(self.means.connection.clone(), self.means.namespaces.clone(), wanted);
        let outcome = read.map(move |read| Outcome::Reread(id, read));
        self.under_way.push((Pending::Reread(id), outcome.boxed()));
    }

    /// The next event; none where the objects have changed, or it is time to look at them.
    async fn next(&mut self, wake: Option<Duration>) -> Result<Option<Event>, ApiError> {
        let Self {
            wait,
            store,
            under_way,
            start,
            ..
        } = self;
        under_way.retain(|(pending, _)| wait.awaits(*pending));
        under_way.sort_by_key(|(pending, _)| *pending);
        let ended = async {
            if under_way.is_empty() {
                return std::future::pending().await;
            }
            let (outcome, index, _) = select_all(under_way.iter_mut().map(|(_, future)| future)).await;
            (index, outcome)
        };
        let (index, outcome) = tokio::select! {
            biased;
            ended = ended => ended,
            changed = store.changed(), if wake.is_some() => return changed.map(|()| None),
            () = tokio::time::sleep_until(*start + wake.unwrap_or_default()), if wake.is_some() => return Ok(None),
        };
        drop(under_way.remove(index));
        Ok(Some(self.take(outcome)))
    }

    /// Puts what was read into the snapshot, and tells the rest.
    fn take(&mut self, outcome: Outcome) -> Event {
        match outcome {
            Outcome::Answer(id, outcome) => Event::Answered(id, outcome),
            Outcome::Reread(id, read) => {
                let read = read.map(|read| read.into_snapshot(&mut self.store.snapshot));
                Event::Reread(id, read)
            }
            Outcome::Explanation(id, explained) => {
                let (explanation, snapshot) = *explained;
                self.store.snapshot.unchecked.extend(snapshot.unchecked);
                Event::Explained(id, explanation)
            }
        }
    }
}
