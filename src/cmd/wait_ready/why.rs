//! Asks the rules why something is not ready. They need more than is watched: some lists, logs, nodes. All of it is read anew each time, aside
//! from the run, so that nothing waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::Connection;
use crate::cmd::collect::{self, Rights};
use crate::cmd::reach::Reach;
use crate::gate::doom::{self, Suspect};
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::readiness::ObjectReadiness;
use crate::model::snapshot::{Presence, Snapshot};
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
const FURTHER_ROUNDS: usize = 3;
/// How long a connection to a port may take.
const DIAL_LIMIT: Duration = Duration::from_secs(2);
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
        reach: Reach::new(DIAL_LIMIT, false, None),
        ..Rights::default()
    };
    let lists: BTreeSet<Need> = LISTED
        .iter()
        .filter(|kind| snapshot.coverage(kind, &namespace).is_none())
        .map(|kind| Need::List(kind.clone(), Some(namespace.clone())))
        .collect();
    collect::further_round(&connection, &mut snapshot, lists, &rights).await;
    let mut asked: BTreeSet<Need> = BTreeSet::new();
    for _ in 0..FURTHER_ROUNDS {
        let mut needs = assess::needs(&snapshot, &question);
        needs.retain(|need| !is_answered(&snapshot, need) && asked.insert(need.clone()));
        if needs.is_empty() {
            break;
        }
        collect::further_round(&connection, &mut snapshot, needs, &rights).await;
    }
    let suspects = doom::suspects(&snapshot, &question, &mut judged, all);
    Answer { suspects, snapshot }
}

fn is_answered(snapshot: &Snapshot, need: &Need) -> bool {
    match need {
        Need::Log(key) => snapshot.log(key).is_some(),
        Need::Dial(key) => snapshot.dial(key).is_some(),
        Need::Sockets(namespace, pod) => snapshot.sockets(namespace, pod).is_some(),
        Need::Object(object) => kind::of_object(&object.api_version, &object.kind)
            .is_none_or(|k| *k != kind::CONFIG_MAP && snapshot.presence(k, &object.namespace, &object.name) != Presence::Unknown),
        Need::List(kind, namespace) => snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()).is_some(),
    }
}
