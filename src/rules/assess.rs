//! From a snapshot to a diagnosis: runs every rule, links and ranks what they find, and judges each object of the scope.

use std::collections::BTreeSet;

use super::context::{Context, Need, Options};
use super::scope::Scope;
use super::{RULES, causes, verdict};
use crate::model::code::Code;
use crate::model::finding::{Finding, ObjectRef, Severity};
use crate::model::report::{API_VERSION, Diagnosis, Verdict};
use crate::model::snapshot::Snapshot;

/// What a run asks for.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Objects to explain; none means the namespaces of the snapshot as a whole.
    pub targets: Vec<ObjectRef>,
    /// Only findings about these containers, where any are named.
    pub containers: BTreeSet<String>,
    /// Codes that are not wanted.
    pub ignore: BTreeSet<Code>,
    /// How far back events and logs count.
    pub options: Options,
}

/// What the rules would like to see that is not in the snapshot yet.
pub fn needs(snapshot: &Snapshot, question: &Question) -> BTreeSet<Need> {
    let context = Context::new(snapshot, question.options.clone()).focused_on(&question.targets);
    for rule in RULES {
        rule(&context);
    }
    context.take_needs()
}

/// The diagnosis of a snapshot. Requests and time are filled in by whoever made them.
pub fn assess(snapshot: &Snapshot, question: &Question) -> Diagnosis {
    let context = Context::new(snapshot, question.options.clone()).focused_on(&question.targets);
    let (ignored, found): (Vec<Finding>, Vec<Finding>) = RULES
        .iter()
        .flat_map(|rule| rule(&context))
        .partition(|f| question.ignore.contains(&f.code));
    if let Some(odd) = found.iter().find(|f| !super::codes::has_cause(f.code, &f.cause)) {
        debug_assert!(false, "{} has no cause {:?}", odd.code, odd.cause);
    }
    let mut scope = if question.targets.is_empty() {
        Scope::whole(snapshot.namespaces.iter().cloned())
    } else {
        Scope::around(&context, &question.targets)
    };
    scope.containers.clone_from(&question.containers);
    let mut findings = scope.filter(causes::link(found));
    let blind = snapshot.unchecked.iter().any(|u| u.resource != "nodes");
    let mut workloads = verdict::judge(&context, &scope, &findings, blind);
    // What the user does not want to hear about is no fault to them.
    let is_ignored = |object: &ObjectRef| ignored.iter().any(|f| verdict::touches(f, object));
    for judged in workloads.iter_mut().filter(|j| j.causes.is_empty() && is_ignored(&j.object)) {
        judged.verdict = Verdict::Healthy;
    }
    workloads.sort_by_cached_key(|j| (j.verdict, j.object.clone()));
    // What breaks the most comes first: a cause is as bad as the worst that follows from it.
    let gravity = |f: &Finding| workloads.iter().filter(|j| j.causes.contains(&f.id)).map(|j| j.verdict).min();
    findings.sort_by_key(|f| (f.severity, gravity(f).unwrap_or(Verdict::Healthy)));
    let worst = workloads.iter().map(|j| j.verdict).min().unwrap_or(Verdict::Healthy);
    let of = |severity: Severity| findings.iter().filter(|f| f.severity == severity).cloned().collect::<Vec<_>>();
    let targets = if question.targets.is_empty() {
        let whole = snapshot.namespaces.iter().map(|n| format!("namespace/{n}"));
        whole.collect()
    } else {
        question.targets.iter().map(ToString::to_string).collect()
    };
    Diagnosis {
        api_version: API_VERSION.to_owned(),
        kind: "Diagnosis".to_owned(),
        targets,
        verdict: worst,
        root_causes: of(Severity::Error),
        symptoms: of(Severity::Symptom),
        advice: of(Severity::Advice),
        unchecked: snapshot.unchecked.iter().cloned().collect(),
        workloads,
        pod_count: verdict::pod_count(&context, &scope),
        taken_at: snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    }
}
