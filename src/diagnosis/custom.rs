//! Custom resources that were asked about: what they are for is not known here, their conditions and what they made are.

use std::time::Duration;

use serde_json::Value;

use crate::diagnosis::scope::Scope;
use crate::model::finding::ObjectRef;
use crate::model::report::{Judged, Verdict};
use crate::model::{age, kind};
use crate::text::{redact, sanitise, shorten};
use crate::view::{View, Workload, WorkloadObject, controller};

/// Conditions that mean well where they are True, in the order in which they are believed.
const GOOD: &[&str] = &[
    "Ready",
    "Available",
    "Healthy",
    "Succeeded",
    "Complete",
    "Established",
    "Programmed",
    "Accepted",
];
/// Conditions that mean ill where they are True (kstatus calls the first one its own).
const BAD: &[&str] = &["Stalled", "Failed", "Degraded", "ReconcileError"];
/// A condition that has said no for this long will not change by itself.
const PATIENCE: Duration = Duration::from_secs(600);

/// Judges the custom resources that the user named.
pub fn judge(view: &View<'_>, scope: &Scope) -> Vec<Judged> {
    if scope.objects.is_none() {
        return Vec::new();
    }
    let objects = view.snapshot.objects.other.iter();
    objects
        .map(|object| (reference(object), object))
        .filter(|(reference, _)| scope.has(reference) && kind::of_object(&reference.api_version, &reference.kind).is_none())
        .map(|(reference, object)| judged(view, reference, object))
        .collect()
}

fn judged(view: &View<'_>, reference: ObjectRef, object: &Value) -> Judged {
    let (verdict, state) = if object["metadata"]["deletionTimestamp"].is_string() {
        (Verdict::Progressing, "is being deleted".to_owned())
    } else if let Some(told) = by_conditions(view, object) {
        told
    } else if view.workloads().any(|w| made_by(w, &reference)) {
        // It is as well as what it made, and that is judged for itself.
        (Verdict::Healthy, "has no conditions; what it made is judged".to_owned())
    } else {
        let state = format!("podlife does not know the kind {}, and it has no conditions", reference.kind);
        (Verdict::Inconclusive, state)
    };
    Judged {
        object: reference,
        verdict,
        state: sanitise(&redact(&state)),
        ready_pods: None,
        wanted_pods: None,
        causes: Vec::new(),
        pending: Vec::new(),
    }
}

fn by_conditions(view: &View<'_>, object: &Value) -> Option<(Verdict, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let find = |names: &[&str], status: &str| {
        let of = |name: &str| conditions.iter().find(|c| c["type"] == name && c["status"] == status);
        names.iter().find_map(|name| of(name))
    };
    // What a controller said about an older generation says nothing about this one.
    let observed = object["status"]["observedGeneration"].as_i64();
    if observed.is_some() && observed < object["metadata"]["generation"].as_i64() {
        return Some((
            Verdict::Progressing,
            "its controller has not observed the last change yet".to_owned(),
        ));
    }
    if let Some(bad) = find(BAD, "True") {
        return Some((Verdict::Broken, words(view, bad)));
    }
    if let Some(not_yet) = find(GOOD, "False").or_else(|| find(GOOD, "Unknown")) {
        let since = not_yet["lastTransitionTime"]
            .as_str()
            .and_then(|t| t.parse().ok())
            .map(|t| view.age(t));
        let verdict = if since.is_some_and(|since| since > PATIENCE) {
            Verdict::Broken
        } else {
            Verdict::Progressing
        };
        return Some((verdict, words(view, not_yet)));
    }
    find(GOOD, "True").map(|good| (Verdict::Healthy, words(view, good)))
}

/// `Ready is False for 3m (NoDisk): no disk of that size`
fn words(view: &View<'_>, condition: &Value) -> String {
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    let since = text("lastTransitionTime")
        .parse()
        .ok()
        .map(|t| format!(" for {}", age::short(view.age(t))));
    let reason = Some(text("reason")).filter(|r| !r.is_empty()).map(|r| format!(" ({r})"));
    let message = Some(text("message"))
        .filter(|m| !m.is_empty())
        .map(|m| format!(": {}", shorten(&redact(m), 160)));
    let parts = [since, reason, message].into_iter().flatten().collect::<String>();
    format!("{} is {}{parts}", text("type"), text("status"))
}

/// Whether a workload was made for this object: by itself, or as a bare pod.
fn made_by(workload: &Workload<'_>, object: &ObjectRef) -> bool {
    let is_owner = |metadata| controller(metadata).is_some_and(|owner| owner.kind == object.kind && owner.name == object.name);
    workload.reference.namespace == object.namespace
        && (workload.reference == *object
            || workload.object.map(WorkloadObject::metadata).is_some_and(is_owner)
            || workload.pods.iter().any(|pod| is_owner(&pod.metadata)))
}

fn reference(object: &Value) -> ObjectRef {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ObjectRef {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        namespace: text(&object["metadata"]["namespace"]),
        name: text(&object["metadata"]["name"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::assess::{Question, assess};
    use crate::testing::snapshot;

    fn verdict(status: &str) -> (Verdict, String) {
        let yaml = format!(
            "{{apiVersion: example.org/v1, kind: Widget, metadata: {{name: w, namespace: shop, generation: 2}}, status: {{{status}}}}}"
        );
        let snapshot = snapshot(&yaml);
        let targets = snapshot.objects.references().into_iter().map(|(object, _)| object).collect();
        let question = Question {
            targets: Some(targets),
            ..Question::default()
        };
        let diagnosis = assess(&snapshot, &question);
        (diagnosis.verdict, diagnosis.workloads[0].state.clone())
    }

    #[test]
    fn a_custom_resource_is_as_its_conditions_say() {
        let condition = |type_: &str, status: &str, since: &str| {
            format!(
                "conditions: [{{type: {type_}, status: '{status}', reason: Why, message: token=hunter2, lastTransitionTime: '2026-01-01T{since}Z'}}]"
            )
        };
        for (status, expected) in [
            (condition("Ready", "True", "11:00:00"), Verdict::Healthy),
            (condition("Ready", "False", "11:59:00"), Verdict::Progressing),
            (condition("Ready", "False", "11:00:00"), Verdict::Broken),
            (condition("Stalled", "True", "11:59:00"), Verdict::Broken),
            (
                condition("Ready", "True", "11:00:00") + ", observedGeneration: 1",
                Verdict::Progressing,
            ),
            (String::new(), Verdict::Inconclusive),
            (condition("Odd", "True", "11:00:00"), Verdict::Inconclusive),
        ] {
            let (verdict, state) = verdict(&status);
            assert_eq!(verdict, expected, "{status}: {state}");
            assert!(!state.contains("hunter2"), "{state}");
        }
    }
}
