//! Drills as JUnit XML: a suite for each set of workloads, and a case for each check of each drill.

use crate::model::drill::{DrillCheck, DrillReport, DrillVerdict};
use crate::model::drill_suite::DrillSuiteReport;
use crate::render::junit::{Case, End, Suite, Told, document};

/// The checks of a drill.
fn cases(name: &str, report: &DrillReport) -> Vec<Case> {
    let is_error = matches!(report.verdict, DrillVerdict::NotInjected | DrillVerdict::Inconclusive);
    let told = |check: &DrillCheck| Told {
        kind: report.verdict.as_str(),
        message: check.detail.clone(),
        details: Vec::new(),
    };
    let case = |check: &DrillCheck| Case {
        class: report.fault.clone(),
        name: format!("{name}: {}", check.name),
        // The time of the drill stands with its recovery, so that the sum is right.
        seconds: report.recovery_seconds.filter(|_| check.name == "recovery"),
        end: match check.passed {
            true => End::Passed,
            false if is_error => End::Error(told(check)),
            false => End::Failure(told(check)),
        },
    };
    report.checks.iter().map(case).collect()
}

fn suite_of(name: String, cases: Vec<Case>) -> Suite {
    let seconds = cases.iter().filter_map(|case| case.seconds).sum();
    Suite { name, cases, seconds }
}

/// A drill as a JUnit document.
pub fn report(report: &DrillReport) -> String {
    document("drill", &[suite_of(report.workloads(), cases(&report.name(), report))])
}

/// A suite of drills as a JUnit document.
pub fn suite(suite: &DrillSuiteReport) -> String {
    let mut suites: Vec<(String, Vec<Case>)> = Vec::new();
    for drill in &suite.drills {
        let (of, cases) = match &drill.report {
            Some(report) => (report.workloads(), cases(&drill.full_name(), report)),
            None => {
                let case = Case {
                    class: "drill".to_owned(),
                    name: drill.full_name(),
                    seconds: None,
                    end: End::Skipped(drill.skipped.clone().unwrap_or_default()),
                };
                ("left out".to_owned(), vec![case])
            }
        };
        match suites.iter_mut().find(|(known, _)| *known == of) {
            Some((_, all)) => all.extend(cases),
            None => suites.push((of, cases)),
        }
    }
    let suites: Vec<Suite> = suites.into_iter().map(|(name, cases)| suite_of(name, cases)).collect();
    document(&suite.name, &suites)
}

/// A run that has no verdict, as a JUnit document: an error that says why.
pub fn without_verdict(name: &str, why: &str) -> String {
    document(name, &[Suite::without_verdict("drill", name, why, None)])
}
