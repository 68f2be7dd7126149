//! Whether a workload has survived.

use std::time::Duration;

use crate::model::drill::{DrillVerdict, Measurement, Restored, RestoredHow};
use crate::model::duration;

/// What may happen at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// None: as long as an outage is expected, as much as it takes.
    pub(crate) downtime: Option<Duration>,
    pub(crate) error_percent: Option<f64>,
    pub(crate) recovery: Duration,
    pub(crate) restarts: u32,
}

/// What came of it.
pub(crate) struct Outcome<'a> {
    /// Why the fault was not made, or not proven.
    pub(crate) not_injected: Option<String>,
    /// Seconds; none where it has not recovered, with the reason.
    pub(crate) recovery: Result<f64, String>,
    pub(crate) interrupted: bool,
    pub(crate) restarts: u32,
    pub(crate) measured: Option<&'a Measurement>,
    pub(crate) restored: &'a [Restored],
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
    if let Some(measured) = outcome.measured {
        if let Some(most) = limits.downtime.filter(|most| measured.downtime_seconds > most.as_secs_f64()) {
            reasons.push(format!("downtime {} s, over {}", measured.downtime_seconds, duration::short(most)));
        }
        if let Some(most) = limits.error_percent.filter(|most| measured.error_percent > *most) {
            reasons.push(format!("{} % of requests failed, over {most} %", measured.error_percent));
        }
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
    };

    fn outcome<'a>(restored: &'a [Restored], recovery: Result<f64, String>) -> Outcome<'a> {
        Outcome {
            not_injected: None,
            recovery,
            interrupted: false,
            restarts: 0,
            measured: None,
            restored,
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
