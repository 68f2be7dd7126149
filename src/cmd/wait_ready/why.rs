//! Asks the rules of `diagnose` why something is not ready: a question of its own, aside from the run, so that waiting goes on meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::cluster::Connection;
use crate::cmd::collect::{self, Rights};
use crate::cmd::reach::Reach;
use crate::gate::doom::{self, Suspect};
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
    kind::DISRUPTION_BUDGET,
];

/// What each workload is told to run.
pub(super) type Orders = Vec<(ObjectRef, Option<String>, Option<i64>)>;

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

/// Reads what the rules need beyond the snapshot, which connects to ports by `reach`, and asks them. `at` is when the snapshot was taken.
pub(super) async fn ask(asked: Asked, reach: Reach, at: Duration, orders: Orders) -> Answer {
    let Asked {
        connection,
        mut snapshot,
        namespaces,
        targets,
        mut judged,
        all,
        dial,
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
