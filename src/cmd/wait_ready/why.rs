//! Asks the rules of `diagnose` why something is not ready: a question of its own, aside from the run, so that waiting goes on meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::live::Orders;
use crate::cluster::Connection;
use crate::cmd::collect::{self, Rights};
use crate::cmd::reach::Reach;
use crate::gate::doom::{self, Suspect};
use crate::model::dial::Dial;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::readiness::ObjectReadiness;
use crate::model::snapshot::Snapshot;
use crate::rules::assess::{self, Question};
use crate::rules::{Need, Options};

/// Kinds that rules look at and that are not watched.
const LISTED: &[Kind] = &[
    kind::JOB,
    kind::CRON_JOB,
    kind::REPLICATION_CONTROLLER,
    kind::NETWORK_POLICY,
    kind::CONFIG_MAP,
    kind::AUTOSCALER,
    kind::DISRUPTION_BUDGET,
];
/// Time between two questions, growing from the first to the second while nothing moves.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// How long what came of a dial counts; each time that nothing has changed by then, twice as long, up to the second.
const DIALS_COUNT: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));
/// How long one connection may take, as with `diagnose`.
pub(super) const DIAL_LIMIT: Duration = Duration::from_secs(2);

/// What is asked.
pub(super) struct Asked {
    pub(super) connection: Connection,
    /// The objects as they are now.
    pub(super) snapshot: Snapshot,
    pub(super) namespaces: Vec<String>,
    pub(super) targets: Vec<ObjectRef>,
    pub(super) judged: Vec<ObjectReadiness>,
    /// Also about what looks ready, because nobody answers: then ports are dialled too.
    pub(super) all: bool,
    /// Whether that is allowed.
    pub(super) dial: bool,
    /// How ports are dialled.
    pub(super) reach: Reach,
}

/// What the rules answered.
pub(super) struct Answer {
    /// When the objects were read that they rest on, counted from the start of the run.
    pub(super) at: Duration,
    /// The same by the clock.
    pub(super) now: Timestamp,
    /// What the workloads were told to run then.
    pub(super) orders: Orders,
    pub(super) suspects: Vec<Suspect>,
    /// What they looked at.
    pub(super) snapshot: Snapshot,
}

/// Reads what the rules need beyond the snapshot, and asks them.
pub(super) async fn ask(asked: Asked, at: Duration, orders: Orders) -> Answer {
    let Asked {
        connection,
        mut snapshot,
        namespaces,
        targets,
        mut judged,
        all,
        dial,
        reach,
    } = asked;
    let now = snapshot.taken_at;
    let question = Question {
        targets: Some(targets),
        options: Options {
            dial: dial && all,
            ..Options::default()
        },
        ..Question::default()
    };
    let rights = Rights {
        nodes: true,
        reach,
        ..Rights::default()
    };
    let lists = namespaces.iter().flat_map(|namespace| {
        let unread = LISTED.iter().filter(|kind| snapshot.coverage(kind, namespace).is_none());
        unread.map(|kind| Need::List(kind.clone(), Some(namespace.clone())))
    });
    let lists: BTreeSet<Need> = lists.collect();
    collect::further_round(&connection, &mut snapshot, lists, &rights).await;
    let needs = |seen: &Snapshot| assess::needs(seen, &question);
    collect::further_rounds(&connection, &mut snapshot, &rights, collect::RULE_ROUNDS, needs).await;
    // In a large namespace this takes a while, in which an answer of the application may come.
    let judging = tokio::task::spawn_blocking(move || {
        let suspects = doom::suspects(&snapshot, &question, &mut judged, all);
        (suspects, snapshot)
    });
    match judging.await {
        Ok((suspects, snapshot)) => Answer {
            at,
            now,
            orders,
            suspects,
            snapshot,
        },
        // It only ends without an answer where the process ends.
        Err(_) => std::future::pending().await,
    }
}

/// What came of dials, for as long as that counts: dialling anew with each question would be a burden to the pods.
#[derive(Default)]
pub(super) struct Dials {
    made: Vec<Dial>,
    until: Duration,
    counts_for: Duration,
}

impl Dials {
    /// Puts into a snapshot what still counts.
    pub(super) fn lend(&self, snapshot: &mut Snapshot, at: Duration) {
        if at < self.until {
            self.made.iter().for_each(|dial| snapshot.put_dial(dial.clone()));
        }
    }

    /// Keeps what was dialled for a question.
    pub(super) fn keep(&mut self, snapshot: &Snapshot, at: Duration) {
        let made: Vec<Dial> = snapshot.dials().cloned().collect();
        if at < self.until || made.is_empty() {
            return;
        }
        self.counts_for = (self.counts_for * 2).clamp(DIALS_COUNT.0, DIALS_COUNT.1);
        self.until = at + self.counts_for;
        self.made = made;
    }

    /// Forgets everything: it was about other pods, or the pods answer now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
