//! A verdict of `wait-ready` as JUnit XML: one case per object and phase.

use std::fmt::Write as _;

use crate::model::finding::Finding;
use crate::model::readiness::{Phase, PhaseReadiness, Readiness, State};
use crate::model::text::sanitise;

/// The report as a JUnit document.
pub fn junit(report: &Readiness) -> String {
    let is_failure = |state: State| state == State::Failed;
    let is_error = |state: State| matches!(state, State::NotFound | State::Progressing | State::Unknown);
    // The first two phases are told by their objects.
    let application: Vec<&PhaseReadiness> = report.phases.iter().filter(|p| p.phase == Phase::Application).collect();
    let states: Vec<State> = report
        .objects
        .iter()
        .map(|o| o.state)
        .chain(application.iter().map(|p| p.state))
        .collect();
    let count = |is: &dyn Fn(State) -> bool| states.iter().filter(|s| is(**s)).count();
    let cases = states.len();
    let (failures, errors) = (count(&is_failure), count(&is_error));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let suite = format!(
        "tests=\"{cases}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\"",
        report.elapsed_seconds
    );
    let _ = writeln!(text, "<testsuites name=\"wait-ready\" {suite}>");
    let _ = writeln!(text, "  <testsuite name=\"{}\" {suite}>", escape(&report.targets.join(", ")));
    let in_words = |finding: &Finding| format!("{}: {}", finding.code, finding.summary);
    for object in &report.objects {
        let of_object = report.root_causes.iter().filter(|f| object.causes.contains(&f.id));
        let causes: Vec<String> = of_object.map(in_words).collect();
        let blocking = object.blocking.iter().map(|b| format!("pod/{}: {}", b.pod, b.reason));
        let details: Vec<String> = causes.into_iter().chain(blocking).collect();
        case(
            &mut text,
            object.phase.as_str(),
            &object.object.to_string(),
            object.state,
            &object.reason,
            &details.join("\n"),
        );
    }
    for phase in application {
        case(
            &mut text,
            phase.phase.as_str(),
            &report.targets.join(", "),
            phase.state,
            &phase.reason,
            &report.root_causes.iter().map(in_words).collect::<Vec<_>>().join("\n"),
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn case(text: &mut String, class: &str, name: &str, state: State, reason: &str, details: &str) {
    let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{}\"", escape(name));
    let element = match state {
        State::Ready => {
            text.push_str("/>\n");
            return;
        }
        State::Failed => "failure",
        _ => "error",
    };
    let _ = writeln!(
        text,
        ">\n      <{element} type=\"{}\" message=\"{}\">{}</{element}>\n    </testcase>",
        state.as_str(),
        escape(reason),
        details.lines().map(escape).collect::<Vec<_>>().join("\n")
    );
}

fn escape(text: &str) -> String {
    sanitise(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(escape("a<b>&\"c\"\u{1b}[31m\u{202e}"), "a&lt;b&gt;&amp;&quot;c&quot;");
        let mut text = String::new();
        case(&mut text, "pods", "pod/shop/a", State::Failed, "\"/><x>", "]]>\n<y>");
        assert!(!text.contains("<x>") && !text.contains("<y>"), "{text}");
    }
}
