//! The verdict on each workload, Service and Ingress, and the words for its state.

mod service;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::diagnosis::about::About;
use crate::diagnosis::scope::Scope;
use crate::facts::listening::fault;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::report::{Judged, NEVER_APPLIED, Verdict};
use crate::model::snapshot::Coverage;
use crate::model::{age, kind};
use crate::text::counted;
use crate::view::rollout::Stage;
use crate::view::{
    Needs, View, Workload, WorkloadObject, condition, containers, has_ended, is_ready, is_terminating, ports, reference_of, rollout,
};

/// A controller without a deadline of its own gets the one that Deployments have by default.
const DEADLINE: Duration = Duration::from_secs(600);
/// Where something that could tell may not be read, "still in progress" is believed only for so long.
const BLIND_DEADLINE: Duration = Duration::from_secs(60);

/// Judges every workload, Service and Ingress of the scope and on the way from a cause to it, and whatever else an error is about; in no order.
/// `findings` are linked already. `blind`: something could not be read that might have told a cause.
pub fn judge(view: &View<'_>, scope: &Scope, findings: &[Finding], blind: bool) -> Vec<Judged> {
    let objects = &view.snapshot.objects;
    let about = About::of(findings);
    // Objects with a finding are judged in any scope.
    let faults = findings.iter().filter(|f| f.severity != Severity::Advice);
    let told: HashSet<&ObjectRef> = faults.map(|f| &f.subject.object).collect();
    let is_judged = |object: &ObjectRef| scope.has(object) || told.contains(object);
    let mut judged: Vec<Judged> = view
        .workloads()
        .filter(|w| is_judged(&w.reference))
        .filter(|w| !is_over(view, w))
        .map(|w| workload(view, w, &about, blind))
        .collect();
    let of_workloads: HashMap<ObjectRef, Verdict> = judged.iter().map(|j| (j.object.clone(), j.verdict)).collect();
    for service in &objects.services {
        let reference = reference_of(&kind::SERVICE, &service.metadata);
        if is_judged(&reference) {
            let silenced = Effect::Service(reference.namespace.clone(), reference.name.clone());
            let mut silencing: Vec<&Finding> = about.touching(&reference).collect();
            silencing.retain(|f| {
                f.severity != Severity::Advice
                    && (f.effects.contains(&silenced)
                        || (f.subject.object == reference && f.code != Code::TargetPortMismatch && f.severity == Severity::Error))
            });
            let gone = !silencing.is_empty();
            // Whether anybody answers cannot be known where pods may not be seen.
            let unseen = view.snapshot.coverage(&kind::POD, &reference.namespace) == Some(&Coverage::Unreadable)
                && service.spec.as_ref().is_some_and(|s| s.selector.is_some());
            let (verdict, state) = match (gone, unseen) {
                (true, _) => match service::dead_ports(view, service, silencing.into_iter()) {
                    Some(dead) => (Verdict::Degraded, format!("{dead} reaches no pod")),
                    None => (Verdict::Broken, String::new()),
                },
                (false, true) => (Verdict::Inconclusive, String::new()),
                (false, false) => service::standing(view, service, &of_workloads),
            };
            // Another name for something outside is all that such a Service is.
            let is_told = service.status.is_some() || ports::is_external_name(service);
            let standing = Judged {
                state,
                ..plain(reference, verdict, &about)
            };
            judged.push(of_plan(view, &service.metadata, is_told, standing));
        }
    }
    for ingress in &objects.ingresses {
        let reference = reference_of(&kind::INGRESS, &ingress.metadata);
        if is_judged(&reference) {
            let wrong = about
                .touching(&reference)
                .any(|f| f.subject.object == reference && f.severity != Severity::Advice);
            let verdict = if wrong { Verdict::Broken } else { Verdict::Healthy };
            let is_told = ingress.status.is_some();
            judged.push(of_plan(view, &ingress.metadata, is_told, plain(reference, verdict, &about)));
        }
    }
    judged.retain(|j| j.verdict != Verdict::Healthy || scope.has(&j.object));
    let known: BTreeSet<ObjectRef> = judged.iter().map(|j| j.object.clone()).collect();
    let others: BTreeSet<&ObjectRef> = findings
        .iter()
        .filter(|f| f.severity == Severity::Error && !known.contains(&f.subject.object))
        .map(|f| &f.subject.object)
        .collect();
    judged.extend(others.into_iter().map(|object| {
        // A claim without a volume, a node that is away and a Gateway that is not set up serve nobody.
        let serves_nobody = [kind::CLAIM, kind::GATEWAY, kind::HTTP_ROUTE].iter().any(|kind| object.is(kind))
            || about
                .touching(object)
                .any(|f| f.subject.object == *object && f.code == Code::NodeNotReady && f.severity == Severity::Error);
        plain(
            object.clone(),
            if serves_nobody { Verdict::Broken } else { Verdict::Degraded },
            &about,
        )
    }));
    as_bad_as_what_follows(&mut judged, findings);
    judged
}

/// Whatever is at fault is as bad as the worst that follows from it: a server on loopback has ready pods, and its Service reaches no pod.
fn as_bad_as_what_follows(judged: &mut [Judged], findings: &[Finding]) {
    let mut worst: HashMap<String, Verdict> = HashMap::new();
    for (cause, verdict) in judged.iter().flat_map(|of| of.causes.iter().map(|cause| (cause, of.verdict))) {
        let known = worst.entry(cause.clone()).or_insert(verdict);
        *known = (*known).min(verdict);
    }
    let mut of_object: HashMap<&ObjectRef, Verdict> = HashMap::new();
    for finding in findings {
        if let Some(verdict) = worst.get(finding.id.as_str()) {
            let known = of_object.entry(&finding.subject.object).or_insert(*verdict);
            *known = (*known).min(*verdict);
        }
    }
    for of in judged {
        if let Some(verdict) = of_object.get(&of.object) {
            of.verdict = of.verdict.min(*verdict);
        }
    }
}

/// Bare pods that ended well, or that another one has taken the place of, are history, not workloads.
fn is_over(view: &View<'_>, workload: &Workload<'_>) -> bool {
    matches!(workload.object, Some(WorkloadObject::Pod(pod)) if crate::view::phase(pod) == "Succeeded" || view.is_replaced(pod))
}

/// Whether an object comes from a manifest that no API server has taken: it says what is wanted, and nothing of what is.
fn is_plan(view: &View<'_>, metadata: &ObjectMeta, has_status: bool) -> bool {
    view.snapshot.local && !has_status && metadata.uid.is_none() && metadata.creation_timestamp.is_none()
}

fn plain(object: ObjectRef, verdict: Verdict, about: &About<'_>) -> Judged {
    let causes = about.root_causes_of(&object);
    Judged {
        object,
        verdict,
        state: String::new(),
        ready_pods: None,
        wanted_pods: None,
        causes,
        pending: Vec::new(),
    }
}

/// Of what was never applied nobody knows whether it would work; what its spec does wrong is known all the same.
fn of_plan(view: &View<'_>, metadata: &ObjectMeta, has_status: bool, judged: Judged) -> Judged {
    if judged.verdict <= Verdict::Degraded || !is_plan(view, metadata, has_status) {
        return judged;
    }
    Judged {
        verdict: Verdict::Inconclusive,
        state: NEVER_APPLIED.to_owned(),
        ready_pods: None,
        wanted_pods: None,
        ..judged
    }
}

fn workload(view: &View<'_>, workload: &Workload<'_>, about: &About<'_>, blind: bool) -> Judged {
    let reference = workload.reference.clone();
    let live: Vec<&Pod> = workload
        .pods
        .iter()
        .copied()
        .filter(|p| !has_ended(p) && !is_terminating(p))
        .collect();
    let ready = live.iter().filter(|p| rollout::pod::state(view, p).is_ready()).count();
    let wanted = workload
        .object
        .and_then(WorkloadObject::wanted)
        .map_or(live.len(), |w| usize::try_from(w).unwrap_or_default());
    let finite = workload.object.is_some_and(WorkloadObject::is_finite);
    let stage = workload.object.map(|object| rollout::of(view, object).stage);
    // What nobody controls that could be read is at its goal when its pods are ready.
    let is_done = match &stage {
        Some(stage) => stage.is_goal() || stage.is_rest() || *stage == Stage::Unproven,
        None => ready >= wanted,
    };
    let has_failed = matches!(stage, Some(Stage::Failed(_) | Stage::RunFailed(_)));

    let told = |severity: Severity| about.touching(&reference).any(|f| f.severity == severity);
    let explained = told(Severity::Error)
        || about
            .touching(&reference)
            .any(|f| f.severity == Severity::Symptom && !f.caused_by.is_empty());
    let symptom = told(Severity::Symptom);
    let unseen = workload.pods.is_empty() && !view.snapshot.is_complete(&kind::POD, &reference.namespace);
    let serves_nobody = if finite { has_failed } else { wanted > 0 && ready == 0 && !unseen };

    let (mut starting, mut silent) = (None, None);
    let verdict = if explained || symptom {
        if serves_nobody {
            if explained || !blind {
                Verdict::Broken
            } else {
                Verdict::Inconclusive
            }
        } else {
            Verdict::Degraded
        }
    } else if has_failed {
        Verdict::Broken
    } else if is_done {
        // Ready, but nobody listens yet where its Services send to.
        starting = fault::starting(view, &mut Needs::default(), workload).filter(|_| !finite);
        silent = fault::silent(view, &mut Needs::default(), workload).filter(|_| !finite);
        match (starting, silent) {
            (Some(_), _) => Verdict::Progressing,
            (None, Some(_)) => Verdict::Inconclusive,
            (None, None) => Verdict::Healthy,
        }
    } else if finite || matches!(stage, Some(Stage::Growing { .. })) {
        // A Job has limits of its own, and so has an autoscaler.
        Verdict::Progressing
    } else if !view.snapshot.has_clock {
        // Whether it was about to become ready, nobody can tell.
        Verdict::Inconclusive
    } else if since_change(view, workload).is_none_or(|age| age < if blind { BLIND_DEADLINE } else { DEADLINE }) {
        Verdict::Progressing
    } else if blind || unseen {
        Verdict::Inconclusive
    } else if ready == 0 {
        Verdict::Broken
    } else {
        Verdict::Degraded
    };
    let mut state = state(view, workload, ready, wanted, stage.as_ref());
    if let Some(port) = starting {
        state.push_str(&format!("; nothing listens on port {port} yet (it may still be starting)"));
    }
    if let (None, Some(port)) = (starting, silent) {
        state.push_str(&format!("; port {port} accepts connections, and gave no answer in time"));
    }
    if verdict == Verdict::Degraded
        && let Some(half_way) = crate::view::revision::half_way(view, workload)
    {
        state.push_str(&format!("; {}", half_way.words()));
    }
    let causes = about.root_causes_of(&reference);
    let judged = Judged {
        object: reference,
        verdict,
        state,
        ready_pods: (!finite).then_some(ready),
        wanted_pods: (!finite).then_some(wanted),
        causes,
        pending: Vec::new(),
    };
    match workload.object {
        Some(object) => of_plan(view, object.metadata(), object.has_status(), judged),
        None => judged,
    }
}

/// How long ago something last moved: a pod was made, a container started, a condition changed.
fn since_change(view: &View<'_>, workload: &Workload<'_>) -> Option<Duration> {
    let pods = workload.pods.iter().flat_map(|pod| {
        let made = pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
        let started = containers(pod).into_iter().filter_map(|c| c.running_since());
        made.into_iter().chain(started).collect::<Vec<_>>()
    });
    let made = workload.object.and_then(|o| o.metadata().creation_timestamp.as_ref()).map(|t| t.0);
    let progress = match workload.object {
        Some(WorkloadObject::Deployment(o)) => o.status.as_ref().and_then(|s| {
            let progressing = s.conditions.iter().flatten().find(|c| c.type_ == "Progressing")?;
            progressing.last_update_time.as_ref().map(|t| t.0)
        }),
        _ => None,
    };
    pods.chain(made).chain(progress).max().map(|newest| view.age(newest))
}

/// `0/2 ready for 6m`, `complete`, `scaled to zero`.
fn state(view: &View<'_>, workload: &Workload<'_>, ready: usize, wanted: usize, stage: Option<&Stage>) -> String {
    match (workload.object, stage) {
        (Some(WorkloadObject::Pod(pod)), _) if workload.object.is_some_and(WorkloadObject::is_finite) => {
            return crate::view::phase(pod).to_lowercase();
        }
        (Some(WorkloadObject::CronJob(_)), Some(failed @ Stage::RunFailed(_))) => return failed.in_words(),
        (Some(WorkloadObject::CronJob(_)), _) => return String::new(),
        (Some(WorkloadObject::Job(job)), Some(Stage::Failed(_))) => {
            let failed = job.status.as_ref().and_then(|s| s.failed).unwrap_or_default();
            return format!("failed, {} failed", counted(failed, "pod"));
        }
        (Some(WorkloadObject::Job(_)), Some(Stage::Running { active, failed, .. })) => {
            return format!("{active} active, {failed} failed");
        }
        (Some(WorkloadObject::Job(_)), Some(stage)) => return stage.in_words(),
        (_, Some(Stage::Zero(0))) => return "scaled to zero".to_owned(),
        (_, Some(stage @ (Stage::Zero(_) | Stage::NoNode))) => return stage.in_words(),
        _ => {}
    }
    let mut state = format!("{ready}/{wanted} ready");
    if ready < wanted {
        // The longest unready pod tells how long this has been going on.
        let unready = workload.pods.iter().filter(|p| !is_ready(p) && !has_ended(p) && !is_terminating(p));
        let since = unready
            .filter_map(|pod| {
                let conditions = pod.status.as_ref()?.conditions.as_ref()?;
                let changed = conditions.iter().find(|c| c.type_ == "Ready")?.last_transition_time.as_ref()?;
                Some(changed.0)
            })
            .min();
        let unavailable = match workload.object {
            Some(WorkloadObject::Deployment(o)) => o.status.as_ref().and_then(|s| {
                let available = s
                    .conditions
                    .iter()
                    .flatten()
                    .find(|c| c.type_ == "Available" && c.status == "False")?;
                available.last_transition_time.as_ref().map(|t| t.0)
            }),
            _ => None,
        };
        if let Some(since) = [unavailable, since].into_iter().flatten().min() {
            state.push_str(&format!(", for {}", age::short(view.age(since))));
        }
    }
    let restarts: i32 = workload.pods.iter().flat_map(|pod| containers(pod)).map(|c| c.restarts()).sum();
    let crashing = workload
        .pods
        .iter()
        .any(|pod| condition(pod, "Ready").is_some_and(|(status, ..)| status != "True"));
    if ready >= wanted
        && let Some(stage) = stage.filter(|stage| !stage.is_goal() && !matches!(stage, Stage::Unseen | Stage::Unproven))
    {
        state.push_str(&format!("; {}", stage.in_words()));
    }
    if restarts > 0 && crashing {
        state.push_str(&format!(", {}", counted(restarts, "restart")));
    }
    state
}

/// How many pods the scope and the workloads that were judged have.
pub fn pod_count(view: &View<'_>, scope: &Scope, judged: &[Judged]) -> usize {
    let judged: HashSet<&ObjectRef> = judged.iter().map(|j| &j.object).collect();
    let has = |object: &ObjectRef| scope.has(object) || judged.contains(object);
    let pods = view.snapshot.objects.pods.iter();
    pods.filter(|pod| has(&view.workload_of(pod)) || has(&reference_of(&kind::POD, &pod.metadata)))
        .count()
}
