//! Whether the drills of one report went worse than those of an earlier one.

use crate::model::drill::DrillReport;
use crate::model::drill_suite::{DrillComparison, DrillDifference};
use crate::model::duration::rounded;

/// How far a recovery may be off: it is looked at a few times each second, on objects that a kubelet reports each second.
const RECOVERY_SECONDS: f64 = 0.5;

/// A drill of a report by its name, and what came of it; none where it was left out.
pub(crate) type Named<'a> = (String, Option<&'a DrillReport>);

/// A number of a drill: the greater, the worse.
struct Value {
    name: String,
    number: f64,
    /// How far it may be off.
    chance: f64,
}

fn values(report: &DrillReport) -> Vec<Value> {
    let mut values = Vec::new();
    let mut add = |name: String, number, chance| values.push(Value { name, number, chance });
    for seen in &report.measured {
        // An outage is known to an interval, in which one request more or less has failed.
        let (outages, requests) = (seen.outages.len().max(1) as f64, seen.requests.max(1) as f64);
        add(
            format!("downtimeSeconds {}", seen.client()),
            seen.downtime_seconds,
            seen.interval_seconds * outages,
        );
        add(
            format!("errorPercent {}", seen.client()),
            seen.error_percent,
            100.0 * outages / requests,
        );
    }
    if let Some(seconds) = report.recovery_seconds {
        add("recoverySeconds".to_owned(), seconds, RECOVERY_SECONDS);
    }
    add("restarts".to_owned(), report.restarts.into(), 0.0);
    values
}

/// Compares drill by drill. A value has regressed where it is more than the tolerance and more than chance above what it was, and where it cannot be
/// told any more.
pub(crate) fn compare(before: &[Named<'_>], after: &[Named<'_>], tolerance_percent: f64) -> DrillComparison {
    let mut differences = Vec::new();
    let verdict = |report: Option<&DrillReport>| report.map(|report| report.verdict.as_str().to_owned());
    for (drill, then) in before {
        let now = after.iter().find(|(name, _)| name == drill).and_then(|(_, report)| *report);
        let mut add = |value: String, before: Option<String>, after: Option<String>, is_regression| {
            differences.push(DrillDifference {
                drill: drill.clone(),
                value,
                before,
                after,
                is_regression,
            });
        };
        let is_worse = then.is_some_and(|then| now.is_none_or(|now| now.verdict > then.verdict));
        add("verdict".to_owned(), verdict(*then), verdict(now), is_worse);
        let (Some(then), Some(now)) = (then, now) else { continue };
        let now = values(now);
        for value in values(then) {
            let new = now.iter().find(|new| new.name == value.name);
            let is_worse = new.is_none_or(|new| {
                new.number > value.number * (1.0 + tolerance_percent / 100.0) && new.number - value.number > value.chance + new.chance
            });
            let text = |number: f64| rounded(number).to_string();
            add(value.name, Some(text(value.number)), new.map(|new| text(new.number)), is_worse);
        }
    }
    let is_new = |(name, _): &&Named<'_>| !before.iter().any(|(known, _)| known == name);
    for (drill, now) in after.iter().filter(is_new) {
        differences.push(DrillDifference {
            drill: drill.clone(),
            value: "verdict".to_owned(),
            before: None,
            after: verdict(*now),
            is_regression: false,
        });
    }
    DrillComparison {
        api_version: "podlife/v1",
        kind: "DrillComparison",
        tolerance_percent,
        has_regressed: differences.iter().any(|one| one.is_regression),
        differences,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::meter::{Client, Moments, Sample, measure};
    use crate::model::drill::{Connections, DrillVerdict, MeasuredFrom, MeasuredRole};
    use std::time::Duration;

    /// A drill with an outage, in requests every 100 ms for ten seconds.
    fn drill(down: u64, recovery: Option<f64>, restarts: u32) -> DrillReport {
        let ms = Duration::from_millis;
        let sample = |i: u64| Sample {
            started: ms(i * 100),
            took: ms(2),
            failure: (i >= 10 && i < 10 + down).then(|| "refused".to_owned()),
        };
        let samples: Vec<Sample> = (0..100).map(sample).collect();
        let at = Moments {
            fault: ms(1000),
            undone: ms(9000),
        };
        let client = Client {
            name: "http://web/".to_owned(),
            role: MeasuredRole::Target,
            connections: Connections::New,
            from: MeasuredFrom::Here,
            interval: ms(100),
        };
        let text = r#"{"apiVersion": "podlife/v1", "kind": "DrillReport", "verdict": "held", "reasons": [], "fault": "evict", "namespace": "shop",
            "targets": [], "startedAt": "2026-01-01T12:00:00Z", "events": [], "restarts": 0, "replacements": [], "measured": [], "endpointGaps": [],
            "surprises": [], "restored": []}"#;
        let mut report: DrillReport = serde_json::from_str(text).unwrap();
        report.measured = vec![measure(&client, &samples, at)];
        report.recovery_seconds = recovery;
        report.restarts = restarts;
        report
    }

    fn worse(before: &DrillReport, after: &DrillReport) -> Vec<String> {
        let named = |report| [("a".to_owned(), Some(report))];
        let told = compare(&named(before), &named(after), 20.0);
        assert_eq!(told.has_regressed, told.differences.iter().any(|one| one.is_regression));
        let worse = told.differences.into_iter().filter(|one| one.is_regression);
        worse.map(|one| one.value).collect()
    }

    #[test]
    fn what_is_within_tolerance_or_chance_is_no_regression() {
        let before = drill(20, Some(5.0), 0);
        assert_eq!(worse(&before, &before), [""; 0]);
        assert_eq!(worse(&before, &drill(23, Some(5.9), 0)), [""; 0]);
        assert_eq!(
            worse(&drill(0, Some(0.4), 0), &drill(1, Some(1.3), 0)),
            [""; 0],
            "an interval, and less than a second"
        );
        assert_eq!(
            worse(&before, &drill(30, Some(7.0), 1)),
            [
                "downtimeSeconds http://web/",
                "errorPercent http://web/",
                "recoverySeconds",
                "restarts"
            ]
        );
        assert_eq!(worse(&drill(30, Some(7.0), 1), &before), [""; 0], "better is not worse");
    }

    #[test]
    fn what_is_not_there_any_more_is_a_regression() {
        let before = drill(5, Some(5.0), 0);
        let mut after = drill(5, None, 0);
        after.verdict = DrillVerdict::DidNotHold;
        after.measured.clear();
        assert_eq!(
            worse(&before, &after),
            [
                "verdict",
                "downtimeSeconds http://web/",
                "errorPercent http://web/",
                "recoverySeconds"
            ]
        );
        let told = compare(&[("gone".to_owned(), Some(&before))], &[("new".to_owned(), Some(&before))], 20.0);
        let regressions: Vec<(&str, bool)> = told.differences.iter().map(|one| (one.drill.as_str(), one.is_regression)).collect();
        assert_eq!(regressions, [("gone", true), ("new", false)]);
    }
}
