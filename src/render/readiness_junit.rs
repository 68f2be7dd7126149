//! A verdict of `wait-ready` as JUnit XML: one case per object and phase.

use crate::model::finding::Finding;
use crate::model::readiness::{Phase, PhaseReadiness, Readiness, State};
use crate::render::junit::{Case, End, Suite, Told, document};
use crate::render::readiness::in_one_line;

/// The report as a JUnit document.
pub fn junit(report: &Readiness) -> String {
    let targets = report.targets.join(", ");
    // Nobody was asked whether it answers: that is no success.
    let unasked = report.state == State::Ready && report.proven_by.is_none() && !report.reason.is_empty();
    let of_objects = report.objects.iter().map(|object| {
        let causes = report.root_causes.iter().filter(|f| object.causes.contains(&f.id));
        let blocking = object.blocking.iter().map(|b| format!("pod/{}: {}", b.pod, b.reason)).collect();
        let told = told(object.state, &object.reason, causes, blocking);
        case(object.phase, object.object.to_string(), end(object.state, told))
    });
    let mut cases: Vec<Case> = of_objects.collect();
    // The first two phases are reported with their objects.
    let is_application = |phase: &&PhaseReadiness| phase.phase == Phase::Application && !unasked;
    cases.extend(report.phases.iter().filter(is_application).map(|phase| {
        let told = told(phase.state, &phase.reason, report.root_causes.iter(), Vec::new());
        case(phase.phase, targets.clone(), end(phase.state, told))
    }));
    cases.extend(unasked.then(|| case(Phase::Application, targets.clone(), End::Skipped(report.reason.clone()))));
    let suite = Suite {
        name: targets,
        cases,
        seconds: report.elapsed_seconds,
    };
    document("wait-ready", &[suite])
}

/// A run that has no verdict, as a JUnit document: an error that says why.
pub fn junit_without_verdict(targets: &str, why: &str, hint: Option<&str>) -> String {
    document("wait-ready", &[Suite::without_verdict("run", targets, why, hint)])
}

/// The first root cause, else how it stands, and everything else that is known below it.
fn told<'f>(state: State, reason: &str, causes: impl Iterator<Item = &'f Finding>, blocking: Vec<String>) -> Told {
    let mut details: Vec<String> = causes.map(in_one_line).collect();
    let message = details.first().cloned().unwrap_or_else(|| reason.to_owned());
    if message != reason && !reason.is_empty() {
        details.insert(0, reason.to_owned());
    }
    details.extend(blocking);
    Told {
        kind: state.as_str(),
        message,
        details,
    }
}

fn end(state: State, told: Told) -> End {
    match state {
        State::Ready => End::Passed,
        State::Failed => End::Failure(told),
        _ => End::Error(told),
    }
}

fn case(phase: Phase, name: String, end: End) -> Case {
    Case {
        class: phase.as_str().to_owned(),
        name,
        seconds: None,
        end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cause;
    use crate::model::finding::{ObjectRef, Subject};
    use crate::model::kind;

    #[test]
    fn a_failure_is_named_by_its_root_cause() {
        let subject = Subject::of(ObjectRef::new(&kind::DEPLOYMENT, "shop", "web"));
        let cause = Finding::error(cause::ImagePullFailing::NotFound, subject, "container app has no image");
        let said = told(
            State::Failed,
            "0 of 1 pod ready",
            [cause].iter(),
            vec!["pod/web-a: waits".to_owned()],
        );
        let named = "ImagePullFailing (not-found) deployment/web: container app has no image";
        assert_eq!(
            (said.message.as_str(), said.details.as_slice()),
            (named, &["0 of 1 pod ready", named, "pod/web-a: waits"].map(str::to_owned)[..])
        );
        assert_eq!(
            told(State::Unknown, "does not exist", [].iter(), Vec::new()).message,
            "does not exist"
        );
    }
}
