//! What the waiting loop sees when it looks at the objects.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::finding::ObjectRef;
use crate::model::readiness::{ObjectReadiness, State};
use crate::readiness::check::{Check, CheckOptions};
use crate::readiness::derive;
use crate::readiness::goal::Goal;
use crate::readiness::judge;
use crate::readiness::settle::{self, Restless};
use crate::readiness::streak::Identity;
use crate::readiness::untried::{self, Untried};
use crate::readiness::verdict::NoMatch;
use crate::readiness::wait::api_health::Trouble;
use crate::readiness::wait::rule_checks::Generations;
use crate::view::View;

/// The objects at one moment, and what follows from them.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The wall clock.
    pub clock: Timestamp,
    /// What is waited for.
    pub targets: Vec<ObjectRef>,
    /// Every object in its phases.
    pub judged: Vec<ObjectReadiness>,
    /// A selection that nothing matches.
    pub no_match: Option<NoMatch>,
    /// The checks of the application, where everything is ready; or why there cannot be any.
    pub checks: Result<Vec<Check>, Untried>,
    /// The pods that answer.
    pub pods: Identity,
    /// How long they have been ready.
    pub ready_for: Duration,
    /// A restarted container that may end again.
    pub restless: Option<Restless>,
    /// Which generation of each workload this is about.
    pub generations: Generations,
    /// Nodes that run the pods.
    pub nodes: BTreeSet<String>,
    /// Those of them that are not ready, or do not exist.
    pub lost_nodes: BTreeSet<String>,
    /// Objects that matter and are not watched.
    pub unread: BTreeSet<ObjectRef>,
    /// Objects that have to be watched too before anything can be decided.
    pub unwatched: BTreeSet<ObjectRef>,
    /// Why a watch is cut off.
    pub trouble: Option<Trouble>,
}

impl Observation {
    /// Looks at the objects of a view.
    pub fn new(view: &View<'_>, goal: &Goal, options: &CheckOptions, no_match: Option<NoMatch>) -> Self {
        let judged = judge::judge(view, goal);
        let is_ready = is_ready(&judged, no_match.as_ref());
        let nodes = judge::nodes(view, &judged);
        let lost_nodes = judge::lost_nodes(view, &nodes);
        let generations = judge::generations(view, &judged);
        Self {
            clock: view.snapshot.taken_at,
            targets: goal.targets.clone(),
            unread: judge::needs(view, &judged),
            checks: if is_ready {
                derive::derive(view, &judged, goal, options)
            } else {
                untried::never(view, &judged, goal, options).map_or(Ok(Vec::new()), Err)
            },
            pods: judge::identity(view, &judged),
            ready_for: judge::ready_for(view, &judged).unwrap_or_default(),
            restless: is_ready.then(|| settle::restless(view, &judged)).flatten(),
            generations,
            nodes,
            lost_nodes,
            judged,
            no_match,
            unwatched: BTreeSet::new(),
            trouble: None,
        }
    }

    /// Whether all objects are ready.
    pub fn is_ready(&self) -> bool {
        is_ready(&self.judged, self.no_match.as_ref())
    }
}

fn is_ready(judged: &[ObjectReadiness], no_match: Option<&NoMatch>) -> bool {
    judged.iter().all(|j| j.state == State::Ready) && !judged.is_empty() && no_match.is_none()
}
