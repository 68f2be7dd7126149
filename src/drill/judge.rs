//! Whether a workload has survived.

use std::time::Duration;

use crate::model::drill::{Connections, DataCheck, DrillCheck, DrillVerdict, MeasuredRole, Measurement, Restored, RestoredHow};
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
    /// Why a client has not measured all of it.
    pub(crate) unmeasured: Option<String>,
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
    (must_fail && measured.failed == 0).then(|| format!("no request failed, but {} was expected", expect.join(", ")))
}

/// Whose requests they are, where there are others.
fn of(measured: &Measurement) -> &'static str {
    match measured.connections {
        Connections::New => "",
        Connections::Kept => ", on kept connections",
    }
}

fn check(name: &str, result: Result<String, String>) -> DrillCheck {
    DrillCheck {
        name: name.to_owned(),
        passed: result.is_ok(),
        detail: result.unwrap_or_else(|why| why),
    }
}

/// A value that may not exceed a limit: the words for it, behind them `over LIMIT` where it does.
fn within(exceeds: bool, words: String, limit: &str) -> Result<String, String> {
    if exceeds {
        Err(format!("{words}, over {limit}"))
    } else {
        Ok(words)
    }
}

/// The verdict, and what was checked for it.
pub(crate) fn judge(outcome: &Outcome<'_>, limits: &Limits) -> (DrillVerdict, Vec<DrillCheck>) {
    let failed = outcome.restored.iter().filter(|restored| restored.how == RestoredHow::Failed);
    let mut checks: Vec<DrillCheck> = failed
        .map(|one| {
            let why = one.why.as_deref().unwrap_or("the write failed");
            check("restored", Err(format!("{} is not restored: {why}", one.what)))
        })
        .collect();
    if !checks.is_empty() {
        return (DrillVerdict::NotRestored, checks);
    }
    let has_written = outcome.restored.iter().any(|restored| restored.how == RestoredHow::Restored);
    if let Some(why) = outcome.recovery.as_ref().err().filter(|_| has_written) {
        // What was put back and does not come back to life is not as before.
        return (DrillVerdict::NotRestored, vec![check("restored", Err(why.clone()))]);
    }
    checks.push(check("restored", Ok(format!("{} changes restored", outcome.restored.len()))));
    if let Some(why) = &outcome.not_injected {
        checks.push(check("injected", Err(why.clone())));
        return (DrillVerdict::NotInjected, checks);
    }
    checks.push(check("injected", Ok("the fault was seen".to_owned())));
    let recovery = outcome.recovery.clone().and_then(|seconds| {
        let exceeds = seconds > limits.recovery.as_secs_f64();
        within(exceeds, format!("recovery took {seconds} s"), &duration::short(limits.recovery))
    });
    checks.push(check("recovery", recovery));
    let restarts = format!("{} restarts of containers", outcome.restarts);
    let restarts = within(outcome.restarts > limits.restarts, restarts, &limits.restarts.to_string());
    checks.push(check("restarts", restarts));
    let judged: Vec<&Measurement> = outcome.measured.iter().filter(|seen| seen.role == MeasuredRole::Target).collect();
    let has_many = judged.iter().any(|seen| seen.target != judged[0].target);
    for measured in judged {
        let (down, percent, of) = (measured.downtime_seconds, measured.error_percent, of(measured));
        let name = |what: &str| match has_many {
            true => format!("{what} of {}{of}", measured.target),
            false => format!("{what}{of}"),
        };
        let downtime = match limits.downtime.filter(|most| down > most.as_secs_f64()) {
            Some(most) => Err(format!("downtime {down} s, over {}{of}", duration::short(most))),
            None => Ok(format!("downtime {down} s{of}")),
        };
        checks.push(check(&name("downtime"), downtime));
        let errors = match limits.error_percent.filter(|most| percent > *most) {
            Some(most) => Err(format!("{percent} % of requests failed, over {most} %{of}")),
            None => Ok(format!("{percent} % of requests failed{of}")),
        };
        checks.push(check(&name("errors"), errors));
        if !limits.expect.is_empty() {
            let expected = unexpected(measured, &limits.expect).map_or_else(|| Ok(limits.expect.join(", ")), Err);
            checks.push(check(&name("expected"), expected));
        }
    }
    if let Some(data) = outcome.data {
        let data = match data.is_same {
            true => Ok("the data is unchanged".to_owned()),
            false => Err(format!("the data has changed: {:?} before, {:?} after", data.before, data.after)),
        };
        checks.push(check("data", data));
    }
    let verdict = match checks.iter().all(|check| check.passed) {
        false => DrillVerdict::DidNotHold,
        true if outcome.interrupted => {
            checks.push(check("completed", Err("it was interrupted".to_owned())));
            DrillVerdict::Inconclusive
        }
        true if outcome.unmeasured.is_some() => {
            checks.push(check("measured", outcome.unmeasured.clone().map_or_else(|| Ok(String::new()), Err)));
            DrillVerdict::Inconclusive
        }
        true => DrillVerdict::Held,
    };
    (verdict, checks)
}

/// What keeps a drill from being `HELD`.
pub(crate) fn reasons(checks: &[DrillCheck]) -> Vec<String> {
    let failed = checks.iter().filter(|check| !check.passed);
    failed.map(|check| check.detail.clone()).collect()
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
            unmeasured: None,
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
        let (verdict, checks) = judge(&outcome(&back, Ok(2.0)), &LIMITS);
        assert_eq!((verdict, reasons(&checks)), (DrillVerdict::Held, Vec::new()));
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["restored", "injected", "recovery", "restarts"]);
        let others = restored(RestoredHow::ChangedByOthers);
        assert_eq!(judge(&outcome(&others, Ok(2.0)), &LIMITS).0, DrillVerdict::Held);
    }

    #[test]
    fn each_limit_gives_a_reason() {
        let slow = outcome(&[], Ok(61.0));
        let (verdict, checks) = judge(&slow, &LIMITS);
        assert_eq!(
            (verdict, reasons(&checks)),
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
        let mut blind = outcome(&[], Ok(2.0));
        blind.unmeasured = Some("the prober's pod was deleted".to_owned());
        let (verdict, checks) = judge(&blind, &LIMITS);
        assert_eq!(
            (verdict, reasons(&checks)),
            (DrillVerdict::Inconclusive, vec!["the prober's pod was deleted".to_owned()])
        );
    }
}
