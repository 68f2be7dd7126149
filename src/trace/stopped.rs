//! Called pods that do not run: nothing can answer, whatever policies say. The rules on workloads report why.

use std::collections::BTreeSet;

use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::model::cause;
use crate::model::code::Code::{ScaledToZero, ServiceHasNoReadyEndpoints};
use crate::model::finding::{Confidence, Finding, ObjectRef, Severity, Subject};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::text::command;
use crate::trace::ends::Place;
use crate::trace::route::Endpoint;
use crate::view::{Needs, Role, View, containers};

/// What tells why a pod does not run.
const TELLING: [Kind; 9] = [
    kind::EVENT,
    kind::DEPLOYMENT,
    kind::REPLICA_SET,
    kind::STATEFUL_SET,
    kind::DAEMON_SET,
    kind::JOB,
    kind::CLAIM,
    kind::CONFIG_MAP,
    kind::AUTOSCALER,
];

/// Why nobody can answer at a place; none where somebody may.
pub fn reason(view: &View<'_>, needs: &mut Needs, place: &Place<'_>) -> Option<String> {
    let Some(pod) = place.pod else {
        let object = place.side.object()?;
        let workload = view.workload(&object)?.object?;
        // Manifests say nothing about what runs.
        let is_known = !view.snapshot.local && needs.list(view, &kind::POD, &object.namespace);
        let to_zero = workload.wanted() == Some(0);
        return (place.spec.is_some() && (is_known || to_zero)).then(|| {
            if to_zero {
                "it is scaled to zero: no pod of it runs".to_owned()
            } else {
                "no pod of it runs".to_owned()
            }
        });
    };
    let status = pod.status.as_ref()?;
    let apps: Vec<_> = containers(pod).into_iter().filter(|c| c.role == Role::App).collect();
    let has_status = status.container_statuses.as_ref().is_some_and(|all| !all.is_empty());
    match status.phase.as_deref()? {
        "Pending" => Some("its pod is Pending: none of its containers runs yet".to_owned()),
        "Running" if has_status && !apps.iter().any(|c| c.is_running()) => Some("none of its containers runs".to_owned()),
        _ => None,
    }
}

/// Leaves those that may answer, where there are any.
pub fn without<'a>(view: &View<'a>, needs: &mut Needs, targets: Vec<Endpoint<'a>>) -> Vec<Endpoint<'a>> {
    let runs: Vec<bool> = targets.iter().map(|t| reason(view, needs, &t.place).is_none()).collect();
    if !runs.contains(&true) {
        return targets;
    }
    targets
        .into_iter()
        .zip(runs)
        .filter_map(|(target, runs)| runs.then_some(target))
        .collect()
}

/// What keeps the pods that are called from running, by the same rules as for each workload.
pub fn causes(view: &View<'_>, needs: &mut Needs, targets: &[Endpoint<'_>]) -> Vec<Finding> {
    let called: BTreeSet<ObjectRef> = targets
        .iter()
        .filter_map(|t| match t.place.pod {
            Some(pod) => Some(view.workload_of(pod)),
            None => t.place.side.object(),
        })
        .collect();
    for object in &called {
        for kind in &TELLING {
            needs.list(view, kind, &object.namespace);
        }
    }
    let question = Question {
        targets: Some(called.iter().cloned().collect()),
        options: view.options.clone(),
        ..Question::default()
    };
    let run = assess::run(view.snapshot, &question);
    for need in &run.needs {
        needs.need(need.clone());
    }
    let diagnosis = assess::diagnose(view.snapshot, &question, run);
    let named: BTreeSet<&String> = diagnosis
        .workloads
        .iter()
        .filter(|judged| called.contains(&judged.object))
        .flat_map(|judged| &judged.causes)
        .collect();
    let of_them = diagnosis
        .root_causes
        .iter()
        .filter(|f| f.code != ServiceHasNoReadyEndpoints && (named.contains(&f.id) || called.contains(&f.subject.object)));
    let to_zero = diagnosis
        .advice
        .iter()
        .filter(|f| f.code == ScaledToZero && called.contains(&f.subject.object))
        .map(|f| f.clone().severity(Severity::Error));
    of_them.cloned().chain(to_zero).collect()
}

/// The message where no rule knows the reason.
pub fn unexplained(target: &Endpoint<'_>, reason: &str) -> Option<Finding> {
    let object = target.place.side.object()?;
    let (namespace, name) = (object.namespace.clone(), object.short());
    Some(
        Finding::error(
            cause::DependencyUnreachable::Stopped,
            Subject::of(object),
            format!("{name} has no pod that could answer: {reason}"),
        )
        .confidence(Confidence::Likely)
        .evidence(target.place.shown(), reason)
        .fix_command(
            "see why it does not run",
            command("kubectl podlife diagnose {} -n {}", &[&name, &namespace]),
        ),
    )
}
