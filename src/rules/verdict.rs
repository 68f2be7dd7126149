//! The verdict on each workload, Service and Ingress, and the words for its state.

mod service;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::about::About;
use super::context::{
    Context, Workload, WorkloadObject, condition, containers, has_ended, is_ready, is_replaced, is_terminating, reference_of,
};
use super::ports;
use super::scope::Scope;
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::report::{Judged, NEVER_APPLIED, Verdict};
use crate::model::snapshot::Coverage;
use crate::model::text::counted;

/// A controller without a deadline of its own gets the one that Deployments have by default.
const DEADLINE: Duration = Duration::from_secs(600);
/// Where something that could tell may not be read, "still under way" is believed only for so long.
const BLIND_DEADLINE: Duration = Duration::from_secs(60);

/// Judges every workload, Service and Ingress of the scope and on the way from a cause to it, and whatever else an error is about; in no order.
/// `findings` are linked already. `blind`: something could not be read that might have told a cause.
pub fn judge(context: &Context<'_>, scope: &Scope, findings: &[Finding], blind: bool) -> Vec<Judged> {
    let objects = &context.snapshot.objects;
    let about = About::of(findings);
    // What is told to be at fault, or to suffer from it, is judged wherever it stands.
    let faults = findings.iter().filter(|f| f.severity != Severity::Advice);
    let told: HashSet<&ObjectRef> = faults.map(|f| &f.subject.object).collect();
    let is_judged = |object: &ObjectRef| scope.has(object) || told.contains(object);
    let mut judged: Vec<Judged> = context
        .workloads()
        .filter(|w| is_judged(&w.reference))
        .filter(|w| !is_over(context, w))
        .map(|w| workload(context, w, &about, blind))
        .collect();
    let of_workloads: HashMap<ObjectRef, Verdict> = judged.iter().map(|j| (j.object.clone(), j.verdict)).collect();
    for service in &objects.services {
        let reference = reference_of(&kind::SERVICE, &service.metadata);
        if is_judged(&reference) {
            let silenced = Effect::Service(reference.namespace.clone(), reference.name.clone());
            let gone = about.touching(&reference).any(|f| {
                f.severity != Severity::Advice
                    && (f.effects.contains(&silenced)
                        || (f.subject.object == reference && f.code != Code::TargetPortMismatch && f.severity == Severity::Error))
            });
            // Whether anybody answers cannot be known where pods may not be seen.
            let unseen = context.snapshot.coverage(&kind::POD, &reference.namespace) == Some(&Coverage::Unreadable)
                && service.spec.as_ref().is_some_and(|s| s.selector.is_some());
            let (verdict, state) = match (gone, unseen) {
                (true, _) => (Verdict::Broken, String::new()),
                (false, true) => (Verdict::Inconclusive, String::new()),
                (false, false) => service::standing(context, service, &of_workloads),
            };
            // Another name for something outside is all that such a Service is.
            let is_told = service.status.is_some() || ports::is_external_name(service);
            let standing = Judged {
                state,
                ..plain(reference, verdict, &about)
            };
            judged.push(of_plan(context, &service.metadata, is_told, standing));
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
            judged.push(of_plan(context, &ingress.metadata, is_told, plain(reference, verdict, &about)));
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

/// Whatever is at fault is as bad as the worst that follows from it: a server on loopback has ready pods, and its Service reaches nobody.
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
fn is_over(context: &Context<'_>, workload: &Workload<'_>) -> bool {
    matches!(workload.object, Some(WorkloadObject::Pod(pod)) if super::context::phase(pod) == "Succeeded" || is_replaced(context, pod))
}

/// Whether an object comes from a manifest that no API server has taken: it says what is wanted, and nothing of what is.
fn is_plan(context: &Context<'_>, metadata: &ObjectMeta, has_status: bool) -> bool {
    context.snapshot.local && !has_status && metadata.uid.is_none() && metadata.creation_timestamp.is_none()
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
    }
}

/// Of what was never applied nobody knows whether it would work; what its spec does wrong is known all the same.
fn of_plan(context: &Context<'_>, metadata: &ObjectMeta, has_status: bool, judged: Judged) -> Judged {
    if judged.verdict <= Verdict::Degraded || !is_plan(context, metadata, has_status) {
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

fn workload(context: &Context<'_>, workload: &Workload<'_>, about: &About<'_>, blind: bool) -> Judged {
    let reference = workload.reference.clone();
    let live: Vec<&Pod> = workload
        .pods
        .iter()
        .copied()
        .filter(|p| !has_ended(p) && !is_terminating(p))
        .collect();
    let ready = live.iter().filter(|p| is_ready(p)).count();
    let wanted = workload
        .object
        .and_then(WorkloadObject::wanted)
        .map_or(live.len(), |w| usize::try_from(w).unwrap_or_default());
    let finite = workload.object.is_some_and(WorkloadObject::is_finite);

    let told = |severity: Severity| about.touching(&reference).any(|f| f.severity == severity);
    let explained = told(Severity::Error)
        || about
            .touching(&reference)
            .any(|f| f.severity == Severity::Symptom && !f.caused_by.is_empty());
    let symptom = told(Severity::Symptom);
    // What has no status comes from a manifest: only its spec can be judged.
    let unseen = workload.pods.is_empty() && !context.snapshot.is_complete(&kind::POD, &reference.namespace);
    let serves_nobody = if finite {
        job_failed(workload)
    } else {
        wanted > 0 && ready == 0 && !unseen
    };

    let mut starting = None;
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
    } else if finite {
        if job_failed(workload) {
            Verdict::Broken
        } else if live.iter().all(|p| is_ready(p)) {
            // None left to run, or all at work.
            Verdict::Healthy
        } else {
            Verdict::Progressing
        }
    } else if unseen || (ready >= wanted && is_rolled_out(workload)) {
        // Ready, but nobody listens yet where its Services send to.
        starting = super::listen::starting(context, workload);
        starting.map_or(Verdict::Healthy, |_| Verdict::Progressing)
    } else if since_change(context, workload).is_none_or(|age| age < if blind { BLIND_DEADLINE } else { DEADLINE }) {
        Verdict::Progressing
    } else if blind {
        Verdict::Inconclusive
    } else if ready == 0 {
        Verdict::Broken
    } else {
        Verdict::Degraded
    };
    let mut state = state(context, workload, ready, wanted, finite);
    if let Some(port) = starting {
        state.push_str(&format!("; nothing listens on port {port} yet, which may still be starting"));
    }
    if verdict == Verdict::Degraded
        && let Some(half_way) = super::revision::half_way(context, workload)
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
    };
    match workload.object {
        Some(object) => of_plan(context, object.metadata(), object.has_status(), judged),
        None => judged,
    }
}

fn job_failed(workload: &Workload<'_>) -> bool {
    let failed = |conditions: Option<&Vec<k8s_openapi::api::batch::v1::JobCondition>>| {
        conditions.into_iter().flatten().any(|c| c.type_ == "Failed" && c.status == "True")
    };
    match workload.object {
        Some(WorkloadObject::Job(job)) => failed(job.status.as_ref().and_then(|s| s.conditions.as_ref())),
        Some(WorkloadObject::Pod(pod)) => super::context::phase(pod) == "Failed",
        _ => false,
    }
}

/// Whether every pod is of the newest template and the controller has seen the newest spec.
fn is_rolled_out(workload: &Workload<'_>) -> bool {
    match workload.object {
        Some(WorkloadObject::Deployment(o)) => {
            let (Some(spec), Some(status)) = (&o.spec, &o.status) else {
                return true;
            };
            let wanted = spec.replicas.unwrap_or(1);
            status.observed_generation >= o.metadata.generation
                && status.updated_replicas.unwrap_or_default() >= wanted
                && status.replicas.unwrap_or_default() <= wanted.max(status.updated_replicas.unwrap_or_default())
        }
        Some(WorkloadObject::StatefulSet(o)) => o.status.as_ref().is_none_or(|s| {
            s.observed_generation >= o.metadata.generation
                && s.ready_replicas.unwrap_or_default() >= o.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
        }),
        Some(WorkloadObject::DaemonSet(o)) => o
            .status
            .as_ref()
            .is_none_or(|s| s.observed_generation >= o.metadata.generation && s.number_ready >= s.desired_number_scheduled),
        _ => true,
    }
}

/// How long ago something last moved: a pod was made, a container started, a condition changed.
fn since_change(context: &Context<'_>, workload: &Workload<'_>) -> Option<Duration> {
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
    pods.chain(made).chain(progress).max().map(|newest| context.age(newest))
}

/// `0/2 ready for 6m`, `complete`, `scaled to zero`.
fn state(context: &Context<'_>, workload: &Workload<'_>, ready: usize, wanted: usize, finite: bool) -> String {
    if finite {
        return match workload.object {
            Some(WorkloadObject::Job(job)) => {
                let status = job.status.as_ref();
                let is = |type_: &str| {
                    status
                        .and_then(|s| s.conditions.as_ref())
                        .into_iter()
                        .flatten()
                        .any(|c| c.type_ == type_ && c.status == "True")
                };
                if is("Complete") {
                    "complete".to_owned()
                } else if is("Failed") {
                    match status.and_then(|s| s.failed).unwrap_or_default() {
                        1 => "failed, 1 pod failed".to_owned(),
                        count => format!("failed, {count} pods failed"),
                    }
                } else if is("Suspended") {
                    "suspended".to_owned()
                } else {
                    format!(
                        "{} active, {} failed",
                        status.and_then(|s| s.active).unwrap_or_default(),
                        status.and_then(|s| s.failed).unwrap_or_default()
                    )
                }
            }
            Some(WorkloadObject::Pod(pod)) => super::context::phase(pod).to_lowercase(),
            _ => String::new(),
        };
    }
    if wanted == 0 {
        return "scaled to zero".to_owned();
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
            state.push_str(&format!(", for {}", age::short(context.age(since))));
        }
    }
    let restarts: i32 = workload.pods.iter().flat_map(|pod| containers(pod)).map(|c| c.restarts()).sum();
    let crashing = workload
        .pods
        .iter()
        .any(|pod| condition(pod, "Ready").is_some_and(|(status, ..)| status != "True"));
    if restarts > 0 && crashing {
        state.push_str(&format!(", {}", counted(restarts, "restart")));
    }
    state
}

/// How many pods the scope and the workloads that were judged have.
pub fn pod_count(context: &Context<'_>, scope: &Scope, judged: &[Judged]) -> usize {
    let judged: HashSet<&ObjectRef> = judged.iter().map(|j| &j.object).collect();
    let has = |object: &ObjectRef| scope.has(object) || judged.contains(object);
    let pods = context.snapshot.objects.pods.iter();
    pods.filter(|pod| has(&context.workload_of(pod)) || has(&reference_of(&kind::POD, &pod.metadata)))
        .count()
}
