//! A verdict of `wait-ready` as JUnit XML: one case per object and phase.

use std::fmt::Write as _;

use crate::model::finding::Finding;
use crate::model::readiness::{Phase, PhaseReadiness, Readiness, State};
use crate::render::readiness::in_one_line;
use crate::render::xml::escape;

/// The report as a JUnit document.
pub fn junit(report: &Readiness) -> String {
    let is_failure = |state: State| state == State::Failed;
    let is_error = |state: State| matches!(state, State::NotFound | State::Progressing | State::Unknown);
    // The first two phases are reported with their objects.
    let application: Vec<&PhaseReadiness> = report.phases.iter().filter(|p| p.phase == Phase::Application).collect();
    // Nobody was asked whether it answers: that is no success.
    let unasked = report.state == State::Ready && report.proven_by.is_none() && !report.reason.is_empty();
    let application: Vec<&PhaseReadiness> = application.into_iter().filter(|_| !unasked).collect();
    let states: Vec<State> = report
        .objects
        .iter()
        .map(|o| o.state)
        .chain(application.iter().map(|p| p.state))
        .collect();
    let count = |is: &dyn Fn(State) -> bool| states.iter().filter(|s| is(**s)).count();
    let cases = states.len() + usize::from(unasked);
    let (failures, errors) = (count(&is_failure), count(&is_error));
    let skipped = if unasked { "skipped=\"1\" " } else { "" };
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let suite = format!(
        "tests=\"{cases}\" failures=\"{failures}\" errors=\"{errors}\" {skipped}time=\"{:.3}\"",
        report.elapsed_seconds
    );
    let _ = writeln!(text, "<testsuites name=\"wait-ready\" {suite}>");
    let _ = writeln!(text, "  <testsuite name=\"{}\" {suite}>", escape(&report.targets.join(", ")));
    for object in &report.objects {
        let causes = report.root_causes.iter().filter(|f| object.causes.contains(&f.id));
        let blocking = object.blocking.iter().map(|b| format!("pod/{}: {}", b.pod, b.reason)).collect();
        let name = object.object.to_string();
        case(
            &mut text,
            object.phase.as_str(),
            &name,
            object.state,
            &told(&object.reason, causes, blocking),
        );
    }
    for phase in application {
        let told = told(&phase.reason, report.root_causes.iter(), Vec::new());
        case(&mut text, phase.phase.as_str(), &report.targets.join(", "), phase.state, &told);
    }
    if unasked {
        let _ = writeln!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\">\n      <skipped message=\"{}\"/>\n    </testcase>",
            Phase::Application.as_str(),
            escape(&report.targets.join(", ")),
            escape(&report.reason)
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// A run that has no verdict, as a JUnit document: an error that says why.
pub fn junit_without_verdict(targets: &str, why: &str, hint: Option<&str>) -> String {
    let suite = "tests=\"1\" failures=\"0\" errors=\"1\" time=\"0.000\"";
    let targets = escape(targets);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"wait-ready\" {suite}>\n  <testsuite name=\"{targets}\" {suite}>\n    \
         <testcase classname=\"run\" name=\"{targets}\">\n      <error type=\"noVerdict\" message=\"{}\">{}</error>\n    </testcase>\n  \
         </testsuite>\n</testsuites>\n",
        escape(why),
        escape(hint.unwrap_or_default())
    )
}

/// What a case says: the first root cause, else how it stands, and everything else that is known below it.
struct Told {
    message: String,
    details: Vec<String>,
}

fn told<'f>(reason: &str, causes: impl Iterator<Item = &'f Finding>, blocking: Vec<String>) -> Told {
    let mut details: Vec<String> = causes.map(in_one_line).collect();
    let message = details.first().cloned().unwrap_or_else(|| reason.to_owned());
    if message != reason && !reason.is_empty() {
        details.insert(0, reason.to_owned());
    }
    details.extend(blocking);
    Told { message, details }
}

fn case(text: &mut String, class: &str, name: &str, state: State, told: &Told) {
    let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{}\"", escape(name));
    let element = match state {
        State::Ready => {
            text.push_str("/>\n");
            return;
        }
        State::Failed => "failure",
        _ => "error",
    };
    let details: Vec<String> = told.details.iter().flat_map(|d| d.lines()).map(escape).collect();
    let _ = writeln!(
        text,
        ">\n      <{element} type=\"{}\" message=\"{}\">{}</{element}>\n    </testcase>",
        state.as_str(),
        escape(&told.message),
        details.join("\n")
    );
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
        let said = told("0 of 1 pod ready", [cause].iter(), vec!["pod/web-a: waits".to_owned()]);
        let named = "ImagePullFailing (not-found) deployment/web: container app has no image";
        assert_eq!(
            (said.message.as_str(), said.details.as_slice()),
            (named, &["0 of 1 pod ready", named, "pod/web-a: waits"].map(str::to_owned)[..])
        );
        assert_eq!(told("does not exist", [].iter(), Vec::new()).message, "does not exist");
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut text = String::new();
        let told = told("\"/><x>", [].iter(), vec!["]]>\n<y>".to_owned()]);
        case(&mut text, "pods", "pod/shop/a", State::Failed, &told);
        assert!(!text.contains("<x>") && !text.contains("<y>"), "{text}");
    }
}
