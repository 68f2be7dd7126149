//! Which pod answers for which id. The watches write it; a request reads it, and asks nobody else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::gateway::activity::{Activity, Cause};
use crate::gateway::backend::Backend;

/// How far clocks are apart that count whole seconds.
const CLOCKS: Duration = Duration::from_secs(2);

/// How far the pod of a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none.
    Absent,
    /// It has no node.
    Unscheduled,
    /// Its containers do not run yet.
    Starting,
    /// Its containers run.
    Running,
    /// It goes.
    Ending,
}

impl Step {
    /// What is waited for.
    pub(super) const fn waits_for(self) -> &'static str {
        match self {
            Self::Absent => "Creating the pod",
            Self::Unscheduled => "Waiting for a node",
            Self::Starting => "Starting the containers",
            Self::Running => "Waiting until the application answers",
            Self::Ending => "Waiting for the previous pod to terminate",
        }
    }
}

/// A session as requests need it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Arc<str>,
    /// The record: another one of the same id is another session.
    pub(super) record_uid: String,
    pub(super) owner: Option<String>,
    pub(super) step: Step,
    /// None: nobody can answer now.
    pub(super) backend: Option<Arc<Backend>>,
    /// Why it gets no pod any more.
    pub(super) given_up: Option<String>,
    /// What the record says of its last use, and when it may be cleaned up.
    pub(super) recorded: Timestamp,
    pub(super) idle_timeout: Option<Duration>,
    /// Until when it is kept although nobody uses it.
    pub(super) kept: Option<Instant>,
    /// When it is cleaned up, used or not; none: never.
    pub(super) end: Option<Instant>,
    pub(super) activity: Arc<Activity>,
}

impl Entry {
    /// How long the session has left if nobody uses it from now on.
    pub(super) fn left(&self) -> Option<Duration> {
        let now = Instant::now();
        let until = |then: Instant| then.saturating_duration_since(now);
        let idle = self
            .idle_timeout
            .map(|timeout| timeout.max(self.kept.map(until).unwrap_or_default()));
        [idle, self.end.map(until)].into_iter().flatten().min()
    }
}

/// All sessions, by id.
pub(super) struct Table {
    entries: RwLock<HashMap<Arc<str>, Arc<Entry>>>,
    changes: watch::Sender<()>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            entries: RwLock::default(),
            changes: watch::Sender::new(()),
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(super) fn put(&self, entry: Entry) {
        let activity = entry.activity.clone();
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let before = entries.insert(entry.id.clone(), Arc::new(entry));
        drop(entries);
        // Another session of the same id.
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(&before.activity, &activity)) {
            before.activity.end();
        }
        self.changes.send_replace(());
    }

    pub(super) fn remove(&self, id: &str) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let removed = entries.remove(id);
        drop(entries);
        if let Some(removed) = removed {
            // Who cleans up has another clock.
            match removed.end.is_some_and(|end| end <= Instant::now() + CLOCKS) {
                true => removed.activity.cut(Cause::Lifetime),
                false => removed.activity.end(),
            }
            self.changes.send_replace(());
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }

    /// Tells of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}
