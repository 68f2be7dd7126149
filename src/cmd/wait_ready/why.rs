//! Asks the rules why something is not ready. They need more than is watched: some lists, logs, nodes. All of it is read anew each time, aside
//! from the run, so that nothing waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::Connection;
use crate::cmd::collect::{self, Rights};
use crate::gate::doom::{self, Suspect};
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::readiness::ObjectReadiness;
use crate::model::snapshot::Snapshot;
use crate::rules::Need;
use crate::rules::assess::{self, Question};

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
/// Time between two questions, growing from the first to the second while nothing is found.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// What the rules answered.
pub(super) struct Answer {
    pub(super) suspects: Vec<Suspect>,
    /// What they looked at.
    pub(super) snapshot: Snapshot,
}

/// Reads what the rules need beyond the snapshot, and asks them. `all`: also about what looks ready, because nobody answers.
pub(super) async fn ask(
    connection: Connection,
    mut snapshot: Snapshot,
    targets: Vec<ObjectRef>,
    mut judged: Vec<ObjectReadiness>,
    all: bool,
) -> Answer {
    let namespace = connection.default_namespace().to_owned();
    let question = Question {
        targets: Some(targets),
        ..Question::default()
    };
    let rights = Rights {
        nodes: true,
        ..Rights::default()
    };
    let lists: BTreeSet<Need> = LISTED
        .iter()
        .filter(|kind| snapshot.coverage(kind, &namespace).is_none())
        .map(|kind| Need::List(kind.clone(), Some(namespace.clone())))
        .collect();
    collect::further_round(&connection, &mut snapshot, lists, &rights).await;
    let needs = |seen: &Snapshot| assess::needs(seen, &question);
    collect::further_rounds(&connection, &mut snapshot, &rights, collect::RULE_ROUNDS, needs).await;
    let suspects = doom::suspects(&snapshot, &question, &mut judged, all);
    Answer { suspects, snapshot }
}
