//! From a snapshot to a diagnosis: runs every rule, links and ranks what they find, and judges each object of the scope.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::diagnosis::about::About;
use crate::diagnosis::scope::Scope;
use crate::diagnosis::{causes, custom, pending, undo, verdict};
use crate::model::code::Code;
use crate::model::dial::DialKey;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::report::{API_VERSION, Diagnosis, Judged, LeftOut, Verdict};
use crate::model::snapshot::{Presence, Snapshot};
use crate::rules::{RULES, listen};
use crate::view::{Need, Options, Out, View, ports};

/// What a run asks for.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Objects to explain; none means the namespaces of the snapshot as a whole, an empty list that a selection took nothing.
    pub targets: Option<Vec<ObjectRef>>,
    /// Only findings about these containers and about their pods as a whole, where any are named.
    pub containers: BTreeSet<String>,
    /// Codes that are not wanted.
    pub ignore: BTreeSet<Code>,
    /// How far back events and logs count.
    pub options: Options,
}

/// What all rules say of a snapshot.
pub struct Run {
    findings: Vec<Finding>,
    /// What is not in the snapshot yet and could tell more.
    pub needs: BTreeSet<Need>,
}

/// Runs every rule once.
pub fn run(snapshot: &Snapshot, question: &Question) -> Run {
    let view = view(snapshot, question);
    let mut out = Out::default();
    for rule in RULES {
        rule(&view, &mut out);
    }
    let findings = out.findings;
    let mut needs = out.needs.into_set();
    if question.targets.is_some() {
        let scope = scope(&view, question);
        let reached = reached(&view, &scope, &findings);
        needs.retain(|need| match need {
            Need::Dial(DialKey { namespace, pod, .. }) | Need::Sockets(namespace, pod) => {
                reached.contains(&(namespace.clone(), pod.clone()))
            }
            Need::Certificate(key) => scope.has(&ObjectRef::new(&kind::INGRESS, &key.namespace, &key.ingress)),
            _ => true,
        });
    }
    Run { findings, needs }
}

/// The pods that may be connected to for the sake of these targets: their own, and those behind a Service that something waits for.
fn reached(view: &View<'_>, scope: &Scope, found: &[Finding]) -> BTreeSet<(String, String)> {
    let awaited = |service: &Service| {
        let effect = Effect::Service(service.namespace().unwrap_or_default(), service.name_any());
        found.iter().any(|finding| finding.suffers.contains(&effect))
    };
    let objects = &view.snapshot.objects;
    let behind = objects
        .services
        .iter()
        .filter(|service| awaited(service))
        .flat_map(|service| view.pods_selected(service));
    let own = objects.pods.iter().filter(|pod| scope.has(&view.workload_of(pod)));
    own.chain(behind)
        .map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any()))
        .collect()
}

/// The snapshot with its relations, as a question needs it.
pub fn view<'a>(snapshot: &'a Snapshot, question: &Question) -> View<'a> {
    View::new(snapshot, question.options.clone()).focused_on(question.targets.as_deref().unwrap_or_default())
}

/// What a question is about.
pub fn scope(view: &View<'_>, question: &Question) -> Scope {
    let mut scope = match &question.targets {
        None => Scope::whole(view.snapshot.namespaces.iter().cloned()),
        Some(targets) => Scope::around(view, targets),
    };
    scope.containers.clone_from(&question.containers);
    scope
}

/// What a flag hides of a fault must be said, or the rest looks better than it is.
fn left_out<'a>(by: &str, findings: impl IntoIterator<Item = &'a Finding>) -> BTreeSet<LeftOut> {
    let faults = findings.into_iter().filter(|f| f.severity != Severity::Advice);
    faults
        .map(|f| LeftOut {
            by: by.to_owned(),
            id: f.id.clone(),
            code: f.code,
            object: f.subject.object.clone(),
            container: f.subject.container.clone(),
        })
        .collect()
}

/// The workloads that a Service leads to: it is no further than they are.
fn behind(view: &View<'_>, object: &ObjectRef) -> Vec<ObjectRef> {
    let service = Some(object).filter(|object| object.is(&kind::SERVICE));
    let service = service.and_then(|object| view.service(&object.namespace, &object.name));
    let workloads = service.into_iter().flat_map(|service| ports::workloads_behind(view, service));
    workloads.map(|workload| workload.reference.clone()).collect()
}

/// What was asked about, is there, and has no fault: a node, a claim and the like are no workloads, and have their answer all the same.
fn named(view: &View<'_>, question: &Question, judged: &[Judged]) -> Vec<Judged> {
    let targets = question.targets.iter().flatten();
    let is_there = |object: &&ObjectRef| {
        let known = kind::of_object(&object.api_version, &object.kind);
        known.is_some_and(|of| view.snapshot.presence(of, &object.namespace, &object.name) == Presence::Present)
    };
    let is_judged = |object: &ObjectRef| judged.iter().any(|j| j.object == *object);
    targets
        .filter(|object| !is_judged(object) && !is_judged(&view.climb(object)))
        .filter(is_there)
        .map(|object| Judged {
            object: object.clone(),
            verdict: Verdict::Healthy,
            state: String::new(),
            ready_pods: None,
            wanted_pods: None,
            causes: Vec::new(),
            pending: Vec::new(),
        })
        .collect()
}

/// The diagnosis of a snapshot of which no more is to be read.
pub fn assess(snapshot: &Snapshot, question: &Question) -> Diagnosis {
    diagnose(snapshot, question, run(snapshot, question))
}

/// The diagnosis that follows from what the rules say of a snapshot. Requests and time are filled in by the caller.
pub fn diagnose(snapshot: &Snapshot, question: &Question, run: Run) -> Diagnosis {
    let view = view(snapshot, question);
    let (ignored, found): (Vec<Finding>, Vec<Finding>) = run.findings.into_iter().partition(|f| question.ignore.contains(&f.code));
    let scope = scope(&view, question);
    let (faults, held) = pending::part(&scope, found);
    let in_scope = scope.filter(causes::link(faults));
    let blind = snapshot.unchecked.iter().any(|unchecked| !unchecked.kind.is_extra());
    // A verdict is about the whole object, whichever containers the user wants to hear about.
    let mut workloads = verdict::judge(&view, &scope, &in_scope, blind);
    // What the user does not want to hear about is no fault to them.
    let (about, about_ignored) = (About::of(&in_scope), About::of(&ignored));
    let is_touched = |object: &ObjectRef| about_ignored.touching(object).next().is_some();
    let is_ignored = |object: &ObjectRef| is_touched(object) || behind(&view, object).iter().any(is_touched);
    let is_told = |object: &ObjectRef| about.touching(object).any(|f| f.severity != Severity::Advice);
    for judged in workloads
        .iter_mut()
        .filter(|j| j.causes.is_empty() && is_ignored(&j.object) && !is_told(&j.object))
    {
        judged.verdict = Verdict::Healthy;
    }
    let (mut findings, of_others) = scope.of_containers(in_scope);
    let (mut pending, _) = scope.of_containers(held.findings());
    undo::offer(&view, &mut findings);
    undo::offer(&view, &mut pending);
    let mut left_out = left_out("--container", &of_others);
    left_out.extend(crate::diagnosis::assess::left_out(
        "--ignore",
        ignored.iter().filter(|f| scope.has(&f.subject.object)),
    ));
    let known: BTreeSet<ObjectRef> = workloads.iter().map(|j| j.object.clone()).collect();
    workloads.extend(custom::judge(&view, &scope).into_iter().filter(|j| !known.contains(&j.object)));
    let named = named(&view, question, &workloads);
    workloads.extend(named);
    held.note(&view, &scope, &mut workloads);
    workloads.sort_by_cached_key(|j| (j.verdict, j.object.clone()));
    // What breaks the most comes first: a cause is as bad as the worst that follows from it.
    let mut gravity: HashMap<&str, Verdict> = HashMap::new();
    for judged in &workloads {
        for cause in &judged.causes {
            let worst = gravity.entry(cause).or_insert(judged.verdict);
            *worst = (*worst).min(judged.verdict);
        }
    }
    findings.sort_by_key(|f| (f.severity, gravity.get(f.id.as_str()).copied().unwrap_or(Verdict::Healthy)));
    let worst = workloads.iter().map(|j| j.verdict).min().unwrap_or(Verdict::Healthy);
    let of = |severity: Severity| findings.iter().filter(|f| f.severity == severity).cloned().collect::<Vec<_>>();
    let targets = match &question.targets {
        None => snapshot.namespaces.iter().map(|n| format!("namespace/{n}")).collect(),
        Some(targets) => targets.iter().map(ToString::to_string).collect(),
    };
    let pod_count = verdict::pod_count(&view, &scope, &workloads);
    Diagnosis {
        api_version: API_VERSION.to_owned(),
        kind: "Diagnosis".to_owned(),
        targets,
        verdict: worst,
        root_causes: of(Severity::Error),
        pending,
        symptoms: of(Severity::Symptom),
        advice: of(Severity::Advice),
        left_out: left_out.into_iter().collect(),
        unchecked: snapshot.unchecked.iter().cloned().collect(),
        workloads,
        ports: view
            .workloads()
            .filter(|w| scope.has(&w.reference))
            .flat_map(|w| listen::table::rows(&view, w))
            .collect(),
        pod_count,
        taken_at: snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    }
}
