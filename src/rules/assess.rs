//! From a snapshot to a diagnosis: runs every rule, links and ranks what they find, and judges each object of the scope.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use super::about::About;
use super::context::{Context, Need, Options};
use super::scope::Scope;
use super::{RULES, causes, custom, listen, ports, revision, verdict};
use crate::model::code::Code;
use crate::model::dial::DialKey;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::report::{API_VERSION, Diagnosis, Judged, LeftOut, Verdict};
use crate::model::snapshot::{DIALS, Presence, SOCKETS, Snapshot};

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

/// What the rules would like to see that is not in the snapshot yet.
pub fn needs(snapshot: &Snapshot, question: &Question) -> BTreeSet<Need> {
    let context = context(snapshot, question);
    let found: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&context)).collect();
    let mut needs = context.take_needs();
    if question.targets.is_some() {
        let scope = scope(&context, question);
        let reached = reached(&context, &scope, &found);
        needs.retain(|need| match need {
            Need::Dial(DialKey { namespace, pod, .. }) | Need::Sockets(namespace, pod) => {
                reached.contains(&(namespace.clone(), pod.clone()))
            }
            Need::Certificate(key) => scope.has(&ObjectRef::new(&kind::INGRESS, &key.namespace, &key.ingress)),
            _ => true,
        });
    }
    needs
}

/// The pods that may be connected to for the sake of these targets: their own, and those behind a Service that something waits for.
fn reached(context: &Context<'_>, scope: &Scope, found: &[Finding]) -> BTreeSet<(String, String)> {
    let awaited = |service: &Service| {
        let effect = Effect::Service(service.namespace().unwrap_or_default(), service.name_any());
        found.iter().any(|finding| finding.suffers.contains(&effect))
    };
    let objects = &context.snapshot.objects;
    let behind = objects
        .services
        .iter()
        .filter(|service| awaited(service))
        .flat_map(|service| context.pods_selected(service));
    let own = objects.pods.iter().filter(|pod| scope.has(&context.workload_of(pod)));
    own.chain(behind)
        .map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any()))
        .collect()
}

/// The snapshot with its relations, as a question needs it.
pub fn context<'a>(snapshot: &'a Snapshot, question: &Question) -> Context<'a> {
    Context::new(snapshot, question.options.clone()).focused_on(question.targets.as_deref().unwrap_or_default())
}

/// What a question is about.
pub fn scope(context: &Context<'_>, question: &Question) -> Scope {
    let mut scope = match &question.targets {
        None => Scope::whole(context.snapshot.namespaces.iter().cloned()),
        Some(targets) => Scope::around(context, targets),
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
fn behind(context: &Context<'_>, object: &ObjectRef) -> Vec<ObjectRef> {
    let service = Some(object).filter(|object| object.is(&kind::SERVICE));
    let service = service.and_then(|object| context.service(&object.namespace, &object.name));
    let workloads = service.into_iter().flat_map(|service| ports::workloads_behind(context, service));
    workloads.map(|workload| workload.reference.clone()).collect()
}

/// What was asked about, is there, and has no fault: a node, a claim and the like are no workloads, and have their answer all the same.
fn named(context: &Context<'_>, question: &Question, judged: &[Judged]) -> Vec<Judged> {
    let targets = question.targets.iter().flatten();
    let is_there = |object: &&ObjectRef| {
        let known = kind::of_object(&object.api_version, &object.kind);
        known.is_some_and(|of| context.snapshot.presence(of, &object.namespace, &object.name) == Presence::Present)
    };
    let is_judged = |object: &ObjectRef| judged.iter().any(|j| j.object == *object);
    targets
        .filter(|object| !is_judged(object) && !is_judged(&context.climb(object)))
        .filter(is_there)
        .map(|object| Judged {
            object: object.clone(),
            verdict: Verdict::Healthy,
            state: String::new(),
            ready_pods: None,
            wanted_pods: None,
            causes: Vec::new(),
        })
        .collect()
}

/// The diagnosis of a snapshot. Requests and time are filled in by whoever made them.
pub fn assess(snapshot: &Snapshot, question: &Question) -> Diagnosis {
    let context = context(snapshot, question);
    let (ignored, found): (Vec<Finding>, Vec<Finding>) = RULES
        .iter()
        .flat_map(|rule| rule(&context))
        .partition(|f| question.ignore.contains(&f.code));
    if let Some(odd) = found.iter().find(|f| !super::codes::has_cause(f.code, &f.cause)) {
        debug_assert!(false, "{} has no cause {:?}", odd.code, odd.cause);
    }
    let scope = scope(&context, question);
    let in_scope = scope.filter(causes::link(found));
    // Nodes and connections tell more where they may be had; without them the rest still stands.
    let blind = snapshot.unchecked.iter().any(|u| {
        !matches!(
            u.resource.as_str(),
            "nodes" | "pods/proxy" | "pods/portforward" | "pods/exec" | "pods/ephemeralcontainers"
        ) && !u.what.starts_with(SOCKETS)
            && !u.what.ends_with(DIALS)
    });
    // A verdict is about the whole object, whichever containers the user wants to hear about.
    let mut workloads = verdict::judge(&context, &scope, &in_scope, blind);
    // What the user does not want to hear about is no fault to them.
    let (about, about_ignored) = (About::of(&in_scope), About::of(&ignored));
    let is_touched = |object: &ObjectRef| about_ignored.touching(object).next().is_some();
    let is_ignored = |object: &ObjectRef| is_touched(object) || behind(&context, object).iter().any(is_touched);
    let is_told = |object: &ObjectRef| about.touching(object).any(|f| f.severity != Severity::Advice);
    for judged in workloads
        .iter_mut()
        .filter(|j| j.causes.is_empty() && is_ignored(&j.object) && !is_told(&j.object))
    {
        judged.verdict = Verdict::Healthy;
    }
    let (mut findings, of_others) = scope.of_containers(in_scope);
    for finding in &mut findings {
        revision::offer_undo(&context, finding);
    }
    let mut left_out = left_out("--container", &of_others);
    left_out.extend(self::left_out("--ignore", ignored.iter().filter(|f| scope.has(&f.subject.object))));
    let known: BTreeSet<ObjectRef> = workloads.iter().map(|j| j.object.clone()).collect();
    workloads.extend(custom::judge(&context, &scope).into_iter().filter(|j| !known.contains(&j.object)));
    let named = named(&context, question, &workloads);
    workloads.extend(named);
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
    let pod_count = verdict::pod_count(&context, &scope, &workloads);
    Diagnosis {
        api_version: API_VERSION.to_owned(),
        kind: "Diagnosis".to_owned(),
        targets,
        verdict: worst,
        root_causes: of(Severity::Error),
        symptoms: of(Severity::Symptom),
        advice: of(Severity::Advice),
        left_out: left_out.into_iter().collect(),
        unchecked: snapshot.unchecked.iter().cloned().collect(),
        workloads,
        ports: context
            .workloads()
            .filter(|w| scope.has(&w.reference))
            .flat_map(|w| listen::table::rows(&context, w))
            .collect(),
        connection: None,
        pod_count,
        taken_at: snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    }
}
