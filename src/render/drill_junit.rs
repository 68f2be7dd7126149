//! Drills as JUnit XML: a suite for each set of workloads, and a case for each check of each drill.

use std::fmt::Write as _;

use crate::model::drill::{DrillCheck, DrillReport, DrillVerdict};
use crate::model::drill_suite::DrillSuiteReport;
use crate::render::xml::escape;

/// How a case ended, and why.
enum End {
    Passed,
    Failure(&'static str, String),
    Error(&'static str, String),
    Skipped(String),
}

struct Case {
    class: String,
    name: String,
    seconds: f64,
    end: End,
}

/// The checks of a drill.
fn cases(name: &str, report: &DrillReport) -> Vec<Case> {
    let verdict = report.verdict.as_str();
    let is_error = matches!(report.verdict, DrillVerdict::NotInjected | DrillVerdict::Inconclusive);
    let case = |check: &DrillCheck| Case {
        class: report.fault.clone(),
        name: format!("{name}: {}", check.name),
        // The time of the drill stands with its recovery, so that the sum is right.
        seconds: report.recovery_seconds.filter(|_| check.name == "recovery").unwrap_or_default(),
        end: match check.passed {
            true => End::Passed,
            false if is_error => End::Error(verdict, check.detail.clone()),
            false => End::Failure(verdict, check.detail.clone()),
        },
    };
    report.checks.iter().map(case).collect()
}

/// A drill as a JUnit document.
pub fn report(report: &DrillReport) -> String {
    document("drill", &[(report.workloads(), cases(&report.name(), report))])
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
                    seconds: 0.0,
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
    document(&suite.name, &suites)
}

/// A run that has no verdict, as a JUnit document: an error that says why.
pub fn without_verdict(name: &str, why: &str) -> String {
    let case = Case {
        class: "drill".to_owned(),
        name: name.to_owned(),
        seconds: 0.0,
        end: End::Error("noVerdict", why.to_owned()),
    };
    document(name, &[(name.to_owned(), vec![case])])
}

fn document(name: &str, suites: &[(String, Vec<Case>)]) -> String {
    let counts = |cases: &[&Case]| {
        let count = |is: fn(&End) -> bool| cases.iter().filter(|case| is(&case.end)).count();
        format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
            cases.len(),
            count(|end| matches!(end, End::Failure(..))),
            count(|end| matches!(end, End::Error(..))),
            count(|end| matches!(end, End::Skipped(..))),
            cases.iter().map(|case| case.seconds).sum::<f64>()
        )
    };
    let all: Vec<&Case> = suites.iter().flat_map(|(_, cases)| cases).collect();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"{}\" {}>", escape(name), counts(&all));
    for (name, cases) in suites {
        let own: Vec<&Case> = cases.iter().collect();
        let _ = writeln!(text, "  <testsuite name=\"{}\" {}>", escape(name), counts(&own));
        for case in cases {
            let (class, name, seconds) = (escape(&case.class), escape(&case.name), case.seconds);
            let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\"");
            let _ = match &case.end {
                End::Passed => writeln!(text, "/>"),
                End::Failure(kind, why) => writeln!(
                    text,
                    ">\n      <failure type=\"{kind}\" message=\"{}\"/>\n    </testcase>",
                    escape(why)
                ),
                End::Error(kind, why) => writeln!(
                    text,
                    ">\n      <error type=\"{kind}\" message=\"{}\"/>\n    </testcase>",
                    escape(why)
                ),
                End::Skipped(why) => writeln!(text, ">\n      <skipped message=\"{}\"/>\n    </testcase>", escape(why)),
            };
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}
