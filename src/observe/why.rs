//! Runs the rules of `diagnose` to find out why something is not ready, while the waiting goes on.

use std::collections::BTreeSet;

use crate::cluster::Connection;
use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::Snapshot;
use crate::observe::dials::Reach;
use crate::observe::reads;
use crate::observe::reads::Rights;
use crate::readiness::failfast;
use crate::readiness::wait::rule_checks::{Explanation, RuleCheck};
use crate::view::{Need, Options};

/// Kinds that rules look at and that are not watched.
const LISTED: &[Kind] = &[
    kind::JOB,
    kind::CRON_JOB,
    kind::REPLICATION_CONTROLLER,
    kind::NETWORK_POLICY,
    kind::CONFIG_MAP,
    kind::DISRUPTION_BUDGET,
];

/// Runs the rules on a snapshot, after reading what they need beyond it. Returns what they looked at too.
pub(crate) async fn explain(
    connection: Connection,
    mut snapshot: Snapshot,
    namespaces: Vec<String>,
    reach: Reach,
    may_dial: bool,
    check: RuleCheck,
) -> (Explanation, Snapshot) {
    let RuleCheck {
        at,
        targets,
        mut judged,
        all,
        generations,
        dials,
        redial,
        requested,
        failing,
    } = check;
    dials.into_iter().for_each(|dial| snapshot.put_dial(dial));
    let clock = snapshot.taken_at;
    let question = Question {
        targets: Some(targets),
        options: Options {
            dial: may_dial,
            redial,
            requested,
            failing,
            ..Options::default()
        },
        ..Question::default()
    };
    let rights = Rights {
        reach,
        ..Rights::default()
    };
    let lists = namespaces.iter().flat_map(|namespace| {
        let unread = LISTED.iter().filter(|kind| snapshot.coverage(kind, namespace).is_none());
        unread.map(|kind| Need::List(kind.clone(), Some(namespace.clone())))
    });
    let lists: BTreeSet<Need> = lists.collect();
    reads::further_round(&connection, &mut snapshot, lists, &rights).await;
    let rules = |seen: &Snapshot| {
        let mut run = assess::run(seen, &question);
        let needs = std::mem::take(&mut run.needs);
        (run, needs)
    };
    let run = reads::further_rounds(&connection, &mut snapshot, &rights, reads::RULE_ROUNDS, rules).await;
    // In a large namespace this takes a while, in which an answer of the application may come.
    let judging = tokio::task::spawn_blocking(move || {
        let suspects = failfast::suspects(&snapshot, &question, run, &mut judged, all);
        (suspects, snapshot)
    });
    match judging.await {
        Ok((suspects, snapshot)) => {
            let explanation = Explanation {
                at,
                clock,
                generations,
                suspects,
                dials: snapshot.dials().cloned().collect(),
            };
            (explanation, snapshot)
        }
        // It only ends without an answer where the process ends.
        Err(_) => std::future::pending().await,
    }
}
