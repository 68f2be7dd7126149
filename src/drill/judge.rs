//! Whether a workload has survived.

use std::time::Duration;

use crate::model::drill::{Connections, DataCheck, DrillVerdict, MeasuredRole, Measurement, Restored, RestoredHow};
use crate::model::duration;

/// No request fails.
pub(crate) const HELD: &str = "held";

/// What may happen at most.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// None: as long as an outage is expected, as much as it takes.
    pub(crate) downtime: Option<Duration>,
    pub(crate) error_percent: Option<f64>,
    pub(crate) recovery: Duration,
    pub(crate) restarts: u32,
    /// What clients are expected to see: `held`, or kinds of failure.
    pub(crate) expect: Vec<String>,
}

/// What came of it.
pub(crate) struct Outcome<'a> {
    /// Why the fault was not made, or not proven.
    pub(crate) not_injected: Option<String>,
    /// Seconds; none where it has not recovered, with the reason.
    pub(crate) recovery: Result<f64, String>,
    pub(crate) interrupted: bool,
    pub(crate) restarts: u32,
    pub(crate) measured: &'a [Measurement],
    pub(crate) restored: &'a [Restored],
    pub(crate) data: Option<&'a DataCheck>,
}

/// What keeps the errors of a client from being the expected ones.
fn unexpected(measured: &Measurement, expect: &[String]) -> Option<String> {
    let is_expected = |kind: &&String| expect.contains(kind);
    let other: Vec<&str> = measured
        .errors
        .keys()
        .filter(|kind| !is_expected(kind))
        .map(String::as_str)
        .collect();
    if !expect.is_empty() && !other.is_empty() {
        return Some(format!("{} was not expected{}", other.join(", "), of(measured)));
    }
    // A client that keeps its connections may not notice.
    let must_fail = expect.iter().any(|kind| kind != HELD) && measured.connections == Connections::New;
    (must_fail && measured.failed == 0).then(|| format!("no request failed, and {} was expected", expect.join(", ")))
}

/// Whose requests they are, where there are others.
fn of(measured: &Measurement) -> &'static str {
    match measured.connections {
        Connections::New => "",
        Connections::Kept => ", on kept connections",
    }
}

/// The verdict, and a reason for each thing that keeps it from being `HELD`.
pub(crate) fn judge(outcome: &Outcome<'_>, limits: &Limits) -> (DrillVerdict, Vec<String>) {
    let failed = outcome.restored.iter().filter(|restored| restored.how == RestoredHow::Failed);
    let unrestored: Vec<String> = failed
        .map(|one| {
            format!(
                "{} is not as before: {}",
                one.what,
                one.why.as_deref().unwrap_or("the write failed")
            )
        })
        .collect();
    if !unrestored.is_empty() {
        return (DrillVerdict::NotRestored, unrestored);
    }
    let has_written = outcome.restored.iter().any(|restored| restored.how == RestoredHow::Restored);
    if let Some(why) = outcome.recovery.as_ref().err().filter(|_| has_written) {
        // What was put back and does not come back to life is not as before.
        return (DrillVerdict::NotRestored, vec![why.clone()]);
    }
    if let Some(why) = &outcome.not_injected {
        return (DrillVerdict::NotInjected, vec![why.clone()]);
    }
    let mut reasons = Vec::new();
    match &outcome.recovery {
        Err(why) => reasons.push(why.clone()),
        Ok(seconds) if *seconds > limits.recovery.as_secs_f64() => {
            reasons.push(format!("recovery took {seconds} s, over {}", duration::short(limits.recovery)));
        }
        Ok(_) => {}
    }
    if outcome.restarts > limits.restarts {
        reasons.push(format!("{} restarts of containers, over {}", outcome.restarts, limits.restarts));
    }
    for measured in outcome.measured.iter().filter(|measured| measured.role == MeasuredRole::Target) {
        if let Some(most) = limits.downtime.filter(|most| measured.downtime_seconds > most.as_secs_f64()) {
            reasons.push(format!(
                "downtime {} s, over {}{}",
                measured.downtime_seconds,
                duration::short(most),
                of(measured)
            ));
        }
        if let Some(most) = limits.error_percent.filter(|most| measured.error_percent > *most) {
            reasons.push(format!(
                "{} % of requests failed, over {most} %{}",
                measured.error_percent,
                of(measured)
            ));
        }
        reasons.extend(unexpected(measured, &limits.expect));
    }
    if let Some(data) = outcome.data.filter(|data| !data.is_same) {
        reasons.push(format!("the data is not as before: {:?} then, {:?} now", data.before, data.after));
    }
    if !reasons.is_empty() {
        return (DrillVerdict::DidNotHold, reasons);
    }
    if outcome.interrupted {
        return (DrillVerdict::Inconclusive, vec!["it was interrupted".to_owned()]);
    }
    (DrillVerdict::Held, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        downtime: Some(Duration::from_secs(1)),
        error_percent: None,
        recovery: Duration::from_secs(60),
        restarts: 0,
        expect: Vec::new(),
    };

    fn outcome<'a>(restored: &'a [Restored], recovery: Result<f64, String>) -> Outcome<'a> {
        Outcome {
            not_injected: None,
            recovery,
            interrupted: false,
            restarts: 0,
            measured: &[],
            restored,
            data: None,
        }
    }

    fn restored(how: RestoredHow) -> Vec<Restored> {
        vec![Restored {
            what: "deployment/web: spec.replicas".to_owned(),
            how,
            why: None,
        }]
    }

    #[test]
    fn what_is_not_restored_is_worse_than_all_else() {
        let left = restored(RestoredHow::Failed);
        let mut broken = outcome(&left, Ok(2.0));
        broken.not_injected = Some("nothing happened".to_owned());
        assert_eq!(judge(&broken, &LIMITS).0, DrillVerdict::NotRestored);
        let back = restored(RestoredHow::Restored);
        assert_eq!(
            judge(&outcome(&back, Err("1 of 2 pods ready".to_owned())), &LIMITS).0,
            DrillVerdict::NotRestored
        );
        assert_eq!(judge(&outcome(&back, Ok(2.0)), &LIMITS), (DrillVerdict::Held, Vec::new()));
        let others = restored(RestoredHow::ChangedByOthers);
        assert_eq!(judge(&outcome(&others, Ok(2.0)), &LIMITS).0, DrillVerdict::Held);
    }

    #[test]
    fn each_limit_gives_a_reason() {
        let slow = outcome(&[], Ok(61.0));
        assert_eq!(
            judge(&slow, &LIMITS),
            (DrillVerdict::DidNotHold, vec!["recovery took 61 s, over 1m".to_owned()])
        );
        let mut restarting = outcome(&[], Ok(2.0));
        restarting.restarts = 1;
        assert_eq!(judge(&restarting, &LIMITS).0, DrillVerdict::DidNotHold);
        let gone = outcome(&[], Err("deployment/web: 1 of 2 pods ready".to_owned()));
        assert_eq!(judge(&gone, &LIMITS).0, DrillVerdict::DidNotHold);
        let mut interrupted = outcome(&[], Ok(2.0));
        interrupted.interrupted = true;
        assert_eq!(judge(&interrupted, &LIMITS).0, DrillVerdict::Inconclusive);
    }
}
