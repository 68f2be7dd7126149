//! A pod that opens connections from inside the cluster all the while: open before a fault of the network, closed during it, open after it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::Told;
use crate::drill::network;
use crate::observe::prober::{Means, Prober};
use crate::readiness::fault::Fault;
use crate::readiness::prober::{Kind, Question};
use crate::text::few;

/// How long a connection may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Rounds in a row without a connection that prove that there is none: one may be lost on a busy node.
const ROUNDS: usize = 2;
/// Calls that are named.
const MOST_NAMED: usize = 3;

/// What came of each call, from the moment in which they were begun.
type Round = (Instant, Vec<bool>);

#[derive(Default)]
struct Seen {
    /// The last ones.
    rounds: Vec<Round>,
    /// Why there is no newer one; true where none will come.
    trouble: Option<(String, bool)>,
}

/// A canary at work.
pub(crate) struct Canary {
    plan: network::Canary,
    prober: Arc<Prober>,
    seen: Arc<Mutex<Seen>>,
    /// The calls that were possible before the fault.
    open: Vec<usize>,
    task: JoinHandle<()>,
}

impl Canary {
    pub(crate) fn start(plan: network::Canary, namespace: &str, means: Means) -> Self {
        let question = |(host, port): &(String, u16)| Question {
            kind: Kind::Connect,
            host: host.clone(),
            port: *port,
            path: String::new(),
            name: String::new(),
            limit: LIMIT,
        };
        let questions: Vec<_> = plan.calls.iter().map(|call| (namespace.to_owned(), question(call))).collect();
        let prober = Arc::new(Prober::new(means));
        let seen = Arc::<Mutex<Seen>>::default();
        let task = tokio::spawn(look(prober.clone(), questions, seen.clone()));
        Self {
            plan,
            prober,
            seen,
            open: Vec::new(),
            task,
        }
    }

    fn last(&self, since: Instant, rounds: usize) -> Result<Vec<Vec<bool>>, String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let later = seen.rounds.iter().rev().take(rounds).filter(|(begun, _)| *begun >= since);
        let later: Vec<Vec<bool>> = later.map(|(_, round)| round.clone()).collect();
        if later.len() == rounds {
            return Ok(later);
        }
        let trouble = seen.trouble.as_ref().map(|(why, _)| why.clone());
        Err(trouble.unwrap_or_else(|| format!("{}: not tried yet", self.plan.what)))
    }

    /// Why it will never tell.
    pub(crate) fn broken(&self) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.trouble.as_ref().filter(|(_, for_good)| *for_good).map(|(why, _)| why.clone())
    }

    /// What is possible now; the error says why that is nothing.
    pub(crate) fn open(&self, since: Instant) -> Result<Vec<usize>, String> {
        let round = self.last(since, 1)?.remove(0);
        let open: Vec<usize> = (0..round.len()).filter(|call| round[*call]).collect();
        match open.is_empty() {
            true => Err(format!("{}: none is possible", self.plan.what)),
            false => Ok(open),
        }
    }

    /// Notes what is possible before the fault.
    pub(crate) fn note_open(&mut self, since: Instant) -> Result<String, String> {
        self.open = self.open(since)?;
        Ok(format!("{}: {} open", self.plan.what, self.named(&self.open)))
    }

    /// Whether nothing of that has been possible since.
    pub(crate) fn closed(&self, since: Instant) -> Result<String, String> {
        closed(&self.plan, &self.open, &self.last(since, ROUNDS)?)
    }

    /// Whether anything is possible again, as far as it can tell.
    pub(crate) fn reopened(&self, since: Instant) -> Result<(), String> {
        if self.broken().is_some() {
            return Ok(());
        }
        let round = self.last(since, 1)?.remove(0);
        match self.open.iter().any(|call| round[*call]) {
            true => Ok(()),
            false => Err(format!("{}: {} still closed", self.plan.what, self.named(&self.open))),
        }
    }

    fn named(&self, calls: &[usize]) -> String {
        named(&self.plan, calls)
    }

    /// Ends it, and removes its Job.
    pub(crate) async fn end(&self) {
        self.task.abort();
        self.prober.end().await;
    }
}

/// Whether no call that was open before is so in these rounds.
fn closed(plan: &network::Canary, open: &[usize], rounds: &[Vec<bool>]) -> Result<String, String> {
    let is_open = |call: &&usize| rounds.iter().any(|round| round[**call]);
    let still: Vec<usize> = open.iter().filter(is_open).copied().collect();
    if still.is_empty() {
        return Ok(format!("{}: {} closed", plan.what, named(plan, open)));
    }
    Err(format!(
        "{}: {} still open: nothing enforces the policy, or another one allows it",
        plan.what,
        named(plan, &still)
    ))
}

fn named(plan: &network::Canary, calls: &[usize]) -> String {
    let call = |at: &usize| plan.calls.get(*at).map(|(host, port)| format!("{host}:{port}"));
    few(&calls.iter().filter_map(call).collect::<Vec<_>>(), MOST_NAMED)
}

async fn look(prober: Arc<Prober>, questions: Vec<(String, Question)>, seen: Arc<Mutex<Seen>>) {
    loop {
        let begun = Instant::now();
        let answers = prober.ask(&questions).await;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match answers {
            Ok(answers) => {
                let round = answers.iter().map(|answer| matches!(answer.told, Told::Accepted)).collect();
                seen.rounds.push((begun, round));
                let surplus = seen.rounds.len().saturating_sub(ROUNDS);
                seen.rounds.drain(..surplus);
                seen.trouble = None;
            }
            Err(Fault::Impossible(why) | Fault::Never(why)) => {
                seen.trouble = Some((why, true));
                return;
            }
            Err(Fault::Pending(why) | Fault::Failing(why) | Fault::OfPods(why, _)) => seen.trouble = Some((why, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_nobody_enforces_closes_nothing() {
        let plan = network::Canary {
            labels: std::collections::BTreeMap::new(),
            calls: vec![("10.0.0.1".to_owned(), 80), ("10.0.0.2".to_owned(), 80)],
            what: "connections to deployment/web from another pod".to_owned(),
        };
        let open = [0, 1];
        let why = closed(&plan, &open, &[vec![true, true], vec![true, true]]).unwrap_err();
        assert!(
            why.contains("10.0.0.1:80, 10.0.0.2:80 still open: nothing enforces the policy"),
            "{why}"
        );
        let why = closed(&plan, &open, &[vec![false, false], vec![false, true]]).unwrap_err();
        assert!(
            why.contains(": 10.0.0.2:80 still open"),
            "one pod of two, in one round of two: {why}"
        );
        assert!(closed(&plan, &open, &[vec![false, false], vec![false, false]]).is_ok());
        assert!(
            closed(&plan, &[1], &[vec![true, false], vec![true, false]]).is_ok(),
            "what was closed before"
        );
    }
}
