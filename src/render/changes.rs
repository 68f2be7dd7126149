//! What has changed between two diagnoses, for people who watch.

use std::collections::BTreeMap;

use crate::model::finding::{Finding, ObjectRef};
use crate::model::report::{Diagnosis, Judged, Verdict};
use crate::render::finding::{Links, Names, root_causes, sign_of, tone_of};
use crate::render::text_writer::{TextWriter, Tone, width};

/// Whether a reader would see a difference: other findings, other verdicts or other numbers of pods. Ages are none.
pub fn has_changed(before: &Diagnosis, after: &Diagnosis) -> bool {
    let findings = |of: &Diagnosis| {
        let all = of.root_causes.iter().chain(&of.symptoms).chain(&of.advice);
        all.map(|f| (f.id.clone(), f.severity, f.confidence)).collect::<Vec<_>>()
    };
    let objects = |of: &Diagnosis| of.workloads.iter().map(|j| (j.object.clone(), standing(j))).collect::<Vec<_>>();
    findings(before) != findings(after) || objects(before) != objects(after) || before.unchecked != after.unchecked
}

/// Writes what is different in the second diagnosis: objects with another verdict or other pods, findings that are new and those that are gone.
pub fn changes(before: &Diagnosis, after: &Diagnosis, writer: &mut TextWriter) {
    let names = Names::of(after.workloads.iter().map(|j| &j.object));
    time(after, writer);
    let known: BTreeMap<&ObjectRef, &Judged> = before.workloads.iter().map(|j| (&j.object, j)).collect();
    for judged in &after.workloads {
        let earlier = known.get(&judged.object);
        if earlier.is_some_and(|earlier| standing(earlier) == standing(judged)) {
            continue;
        }
        let name = names.of_object(&judged.object);
        let lead = format!("{} {name}   ", writer.tone(tone_of(judged.verdict), sign_of(judged.verdict)));
        let from = match earlier {
            None => "new, ".to_owned(),
            Some(earlier) if earlier.verdict == judged.verdict => String::new(),
            Some(earlier) => format!("{} → ", earlier.verdict.as_str()),
        };
        let state = if judged.state.is_empty() {
            String::new()
        } else {
            format!(", {}", judged.state)
        };
        writer.line(&lead, width(&name) + 5, &format!("{from}{}{state}", judged.verdict.as_str()));
    }
    for gone in before
        .workloads
        .iter()
        .filter(|j| !after.workloads.iter().any(|other| other.object == j.object))
    {
        writer.line("- ", 2, &format!("{} is gone", names.of_object(&gone.object)));
    }
    let has = |all: &[Finding], finding: &Finding| all.iter().any(|other| other.id == finding.id);
    for gone in before.root_causes.iter().filter(|finding| !has(&after.root_causes, finding)) {
        let object = names.of_object(&gone.subject.object);
        writer.line("- ", 2, &format!("{} of {object} is gone", gone.code));
    }
    let new: Vec<Finding> = after
        .root_causes
        .iter()
        .filter(|finding| !has(&before.root_causes, finding))
        .cloned()
        .collect();
    let links = Links::of(&new, &after.symptoms, &after.workloads, &after.targets);
    root_causes(&new, Verdict::Degraded, &links, &names, false, writer);
    for entry in after.unchecked.iter().filter(|entry| !before.unchecked.contains(entry)) {
        writer.line("? ", 2, &format!("not checked: {}: {}", entry.what, entry.why));
    }
}

/// A line with the time of a diagnosis and its verdict.
pub fn time(diagnosis: &Diagnosis, writer: &mut TextWriter) {
    writer.gap();
    let lead = writer.tone(Tone::Faint, &diagnosis.taken_at);
    writer.line(
        &format!("{lead}  "),
        width(&diagnosis.taken_at) + 2,
        &diagnosis.verdict.as_str().to_uppercase(),
    );
}

fn standing(judged: &Judged) -> (Verdict, Option<usize>, Option<usize>, Vec<String>) {
    (judged.verdict, judged.ready_pods, judged.wanted_pods, judged.causes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::assess::{Question, assess};
    use crate::testing::snapshot;

    fn diagnosis(state: &str, ready: &str) -> Diagnosis {
        let pod = |name: &str, state: &str, ready: &str| {
            format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, creationTimestamp: '2026-01-01T09:00:00Z'}}\n\
                 spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}\nstatus: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}], \
                 containerStatuses: [{{name: c, image: i, imageID: '', ready: {}, restartCount: 0, state: {{{state}}}}}]}}\n",
                ready == "True"
            )
        };
        let runs = "running: {startedAt: '2026-01-01T09:00:00Z'}";
        let node = "---\n{apiVersion: v1, kind: Node, metadata: {name: node-1}}\n";
        assess(
            &snapshot(&(pod("a", state, ready) + &pod("b", runs, "True") + node)),
            &Question::default(),
        )
    }

    #[test]
    fn only_what_is_different_is_written() {
        let bad = diagnosis(
            "waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"i\": ErrImagePull: i: not found'}",
            "False",
        );
        let good = diagnosis("running: {startedAt: '2026-01-01T09:00:00Z'}", "True");
        assert!(has_changed(&good, &bad) && !has_changed(&bad, &bad.clone()));
        let text = |before: &Diagnosis, after: &Diagnosis| {
            let mut writer = TextWriter::new(false, None);
            changes(before, after, &mut writer);
            writer.into_text()
        };
        let broke = text(&good, &bad);
        assert!(
            broke.starts_with("2026-01-01T12:00:00Z  BROKEN\n✗ pod/a   healthy → broken, 0/1 ready"),
            "{broke}"
        );
        assert!(broke.contains("ImagePullFailing") && !broke.contains("pod/b"), "{broke}");
        let mended = text(&bad, &good);
        assert!(
            mended.contains("✓ pod/a   broken → healthy") && mended.contains("- ImagePullFailing of pod/a is gone"),
            "{mended}"
        );
        assert!(!mended.contains("pod/b"), "{mended}");
    }
}
