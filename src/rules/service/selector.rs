//! Services whose selector takes no pod, and those whose selector takes pods of another application as well.
//!
//! Judged by labels, not by endpoints: a selected pod without an address leaves none.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::{effect, subject};
use crate::model::code::Code::{ServiceSelectsForeignPods, ServiceSelectsNothing};
use crate::model::finding::{Confidence, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::near;
use crate::rules::context::{Context, Need, Workload, WorkloadObject, is_ready, service_selects};
use crate::rules::ports;

/// Within this time the workload of a new Service may still be on its way.
const SETTLING: Duration = Duration::from_secs(30);

type Labels = BTreeMap<String, String>;

/// What is wrong with the selector of a Service.
pub fn check(context: &Context<'_>, service: &Service) -> Option<Finding> {
    if ports::has_selector(service) && !ports::workloads_behind(context, service).is_empty() {
        return foreign_pods(context, service);
    }
    nobody(context, service, Moment::Lasting)
}

/// What is wrong with the selector of a Service that nobody stands behind at this moment, whatever may be on its way.
pub fn check_now(context: &Context<'_>, service: &Service) -> Option<Finding> {
    let is_empty = !ports::has_selector(service) || ports::workloads_behind(context, service).is_empty();
    is_empty.then(|| nobody(context, service, Moment::Now)).flatten()
}

/// Whether a fault must last to be told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// What may be on its way is waited for.
    Lasting,
    /// This moment alone counts.
    Now,
}

fn nobody(context: &Context<'_>, service: &Service, moment: Moment) -> Option<Finding> {
    let is_patient = moment == Moment::Lasting && is_settling(context, service);
    if ports::has_selector(service) {
        selects_nothing(context, service, moment, is_patient)
    } else {
        no_selector(context, service, is_patient)
    }
}

fn no_selector(context: &Context<'_>, service: &Service, is_patient: bool) -> Option<Finding> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    // Someone may write the endpoints by hand or by program. Even an empty object says that someone sees to it.
    let kept_by_hand = !ports::slices(context, service).is_empty()
        || context
            .snapshot
            .objects
            .endpoints
            .iter()
            .any(|e| e.name_any() == name && e.namespace() == service.namespace());
    let unused = kept_by_hand || ports::of_service(service).is_empty() || is_patient;
    if unused || !context.needs_list(&kind::ENDPOINT_SLICE, &namespace) {
        return None;
    }
    let namesake = context
        .workloads()
        .find(|w| w.reference.namespace == namespace && w.reference.name == name);
    let fix = match namesake.and_then(|w| w.object).map(WorkloadObject::pod_labels) {
        Some(labels) if !labels.is_empty() => format!("give the Service the labels of its pods as spec.selector: {}", shown(&labels)),
        _ => "give the Service a spec.selector with the labels of its pods, or write an EndpointSlice for it".to_owned(),
    };
    Some(
        Finding::error(
            ServiceSelectsNothing,
            "no-selector",
            subject(service),
            format!("Service {name} has neither a selector nor endpoints, so it leads to nobody"),
        )
        .evidence(
            format!("service/{name}"),
            "spec.selector is empty and no EndpointSlice belongs to it",
        )
        .fix_command(fix, format!("kubectl edit service {name} -n {namespace}"))
        .breaking(effect(service)),
    )
}

fn selects_nothing(context: &Context<'_>, service: &Service, moment: Moment, is_patient: bool) -> Option<Finding> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let selector: Labels = service.spec.as_ref()?.selector.clone()?;
    let kinds = [
        &kind::POD,
        &kind::DEPLOYMENT,
        &kind::STATEFUL_SET,
        &kind::DAEMON_SET,
        &kind::REPLICA_SET,
    ];
    // Each of them is asked for, whether or not an earlier one was read.
    let all_read = kinds.map(|kind| context.needs_list(kind, &namespace)) == [true; 5];
    let finding = |cause: &str, summary: String| {
        Finding::error(ServiceSelectsNothing, cause, subject(service), summary)
            .evidence(format!("service/{name}"), format!("spec.selector is {}", shown(&selector)))
            .breaking(effect(service))
    };
    if let Some((miss, workload)) = nearest(context, service) {
        let of = workload.reference.short();
        let finding = finding(
            "label-differs",
            format!(
                "Service {name} selects no pod: it asks for {}, but {of} has {}",
                miss.wanted, miss.found
            ),
        )
        .evidence(&of, format!("its pods are labelled {}", shown(&miss.labels)))
        .related("nearest", workload.reference.clone())
        .fix_command(
            format!("make the selector of Service {name} match the pods of {of}: {}", miss.remedy),
            format!("kubectl edit service {name} -n {namespace}"),
        );
        return Some(if miss.dynamic && moment == Moment::Lasting {
            finding.severity(Severity::Advice).confidence(Confidence::Possible)
        } else if all_read {
            finding
        } else {
            finding.confidence(Confidence::Likely)
        });
    }
    // What is not known to be complete may hold the workload, but no pod of it is there now.
    if is_patient || (!all_read && moment == Moment::Lasting) {
        return None;
    }
    let sure = if all_read { Confidence::Proven } else { Confidence::Likely };
    if let Some(other) = elsewhere(context, &namespace, &selector) {
        let other = &other.reference;
        return Some(
            finding(
                "wrong-namespace",
                format!(
                    "Service {name} selects no pod in namespace {namespace}: what it asks for is {} in namespace {}",
                    other.short(),
                    other.namespace
                ),
            )
            .confidence(Confidence::Likely)
            .related("nearest", other.clone())
            .fix_command(
                format!(
                    "a Service reaches pods of its own namespace only: create it in {}, and let clients call {name}.{}",
                    other.namespace, other.namespace
                ),
                format!("kubectl get service {name} -n {namespace} -o yaml"),
            ),
        );
    }
    Some(
        finding(
            "no-workload",
            format!(
                "Service {name} selects no pod: nothing in namespace {namespace} is labelled {}",
                shown(&selector)
            ),
        )
        .evidence(
            format!("namespace/{namespace}"),
            "no pod and no workload template carries these labels",
        )
        .confidence(sure)
        .fix_command(
            format!("deploy the workload that Service {name} is for, or delete the Service"),
            format!("kubectl get deployments,statefulsets,daemonsets,pods --show-labels -n {namespace}"),
        ),
    )
}

/// The workload of its namespace whose labels are nearest to what a Service asks for.
fn nearest<'c, 'a>(context: &'c Context<'a>, service: &Service) -> Option<(Miss, &'c Workload<'a>)> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    context
        .workloads()
        .filter(|w| w.reference.namespace == namespace)
        .filter_map(|workload| Some((Miss::of(selector, &name, workload)?, workload)))
        .min_by_key(|(miss, _)| miss.rank())
}

/// The workload that a Service is meant for that selects nothing: it bears its name, or its labels are a slip of the pen away. Labels that are
/// merely alike are not enough, as a Service may wait for the other colour of a pair.
pub fn meant_for(context: &Context<'_>, service: &Service) -> Option<ObjectRef> {
    if !ports::has_selector(service) || !ports::workloads_behind(context, service).is_empty() {
        return None;
    }
    let (miss, workload) = nearest(context, service)?;
    ((miss.is_slip || miss.by_name) && !miss.dynamic).then(|| workload.reference.clone())
}

fn is_settling(context: &Context<'_>, service: &Service) -> bool {
    context
        .age_of(service.metadata.creation_timestamp.as_ref())
        .is_some_and(|age| age < SETTLING)
}

/// How far a workload's labels are from what a Service asks for.
struct Miss {
    /// `app=apii`
    wanted: String,
    /// `app=api`, or `no label app`
    found: String,
    /// What the selector should say.
    remedy: String,
    labels: Labels,
    matching: usize,
    differing: usize,
    by_name: bool,
    /// Each label that differs does so by a few letters.
    is_slip: bool,
    letters: usize,
    /// The label is put on pods while they run, by whoever leads among them: the template lacks it and pods carry it.
    dynamic: bool,
}

impl Miss {
    /// None where the workload is nowhere near.
    fn of(selector: &Labels, service: &str, workload: &Workload<'_>) -> Option<Self> {
        let template = workload.object.map(WorkloadObject::pod_labels).unwrap_or_default();
        let of_pod = workload.pods.first().map(|pod| pod.labels().clone()).unwrap_or_default();
        let labels = if template.is_empty() { of_pod } else { template.clone() };
        let differing: Vec<(&String, &String)> = selector.iter().filter(|(key, value)| labels.get(*key) != Some(value)).collect();
        let matching = selector.len() - differing.len();
        let mut letters = 0;
        let mut is_slip = true;
        let (mut wanted, mut found, mut remedy) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in &differing {
            wanted.push(format!("{key}={value}"));
            // The key itself may be mistyped, or another one may carry the value: `name=api` for `app=api`.
            let other = || {
                labels
                    .iter()
                    .find(|(k, v)| v == value && !selector.contains_key(*k) || near::is_near(key, k))
            };
            if let Some(actual) = labels.get(*key) {
                found.push(format!("{key}={actual}"));
                remedy.push(format!("{key}: {actual}"));
                letters += near::distance(value, actual);
                is_slip &= near::nearest(value, [actual.as_str()]).is_some();
            } else if let Some((other, actual)) = other() {
                found.push(format!("{other}={actual}"));
                remedy.push(format!("{other}: {actual} instead of {key}"));
                letters += near::distance(key, other) + near::distance(value, actual);
            } else {
                found.push(format!("no label {key}"));
                remedy.push(format!("without {key}"));
                letters += key.len() + value.len();
                is_slip = false;
            }
        }
        let by_name = workload.reference.name == service;
        let dynamic = differing
            .iter()
            .all(|(key, _)| !template.contains_key(*key) && workload.pods.iter().any(|pod| pod.labels().contains_key(*key)));
        // Labels such as `part-of` are shared by many: one match among several misses is not near.
        let is_near = is_slip || by_name || (matching > 0 && matching >= differing.len());
        (is_near && !differing.is_empty()).then(|| Self {
            wanted: wanted.join(", "),
            found: found.join(", "),
            remedy: remedy.join(", "),
            labels,
            matching,
            differing: differing.len(),
            by_name,
            is_slip,
            letters,
            dynamic,
        })
    }

    fn rank(&self) -> (bool, usize, std::cmp::Reverse<usize>, usize) {
        (!self.by_name, self.differing, std::cmp::Reverse(self.matching), self.letters)
    }
}

/// A workload of another namespace that has all the labels; asked for only when this namespace has nothing near.
fn elsewhere<'c, 'a>(context: &'c Context<'a>, namespace: &str, selector: &Labels) -> Option<&'c Workload<'a>> {
    if context.snapshot.coverage(&kind::DEPLOYMENT, "").is_none() {
        context.need(Need::List(kind::DEPLOYMENT, None));
    }
    let takes = |labels: &Labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let mut others = context
        .workloads()
        .filter(|w| w.reference.namespace != namespace)
        .filter(|w| w.pods.iter().any(|pod| takes(pod.labels())) || w.object.is_some_and(|o| takes(&o.pod_labels())));
    let first = others.next()?;
    // The same labels in several namespaces say nothing about which one was meant.
    others.all(|w| w.reference.namespace == first.reference.namespace).then_some(first)
}

/// Labels that name an application, most telling first.
const APPLICATION: [&str; 4] = ["app.kubernetes.io/name", "app", "k8s-app", "name"];

fn application(labels: &Labels) -> Option<(&'static str, &str)> {
    APPLICATION
        .into_iter()
        .find_map(|key| labels.get(key).map(|value| (key, value.as_str())))
}

/// A Service that is named for one application and sends part of the requests to another one, which is ready and does not expect them.
/// Blue and green, canaries and headless groups share a Service on purpose.
fn foreign_pods(context: &Context<'_>, service: &Service) -> Option<Finding> {
    if ports::is_headless(service) {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let behind = ports::workloads_behind(context, service);
    let labels_of = |w: &Workload<'_>| w.object.map(WorkloadObject::pod_labels).unwrap_or_default();
    let own = behind
        .iter()
        .find(|w| w.reference.name == name || application(&labels_of(w)).is_some_and(|(_, value)| value == name))?;
    let own_labels = labels_of(own);
    let (key, own_value) = application(&own_labels)?;
    let is_foreign = |w: &Workload<'_>| {
        let labels = labels_of(w);
        let differs = labels.get(key).is_some_and(|other| {
            other != own_value && !other.starts_with(&format!("{own_value}-")) && !own_value.starts_with(&format!("{other}-"))
        });
        let ready = w.pods.iter().any(|pod| is_ready(pod) && service_selects(service, pod.labels()));
        differs && ready && (misses_target(service, w) || has_service_of_its_own(context, service, w))
    };
    let foreign = behind.iter().find(|w| is_foreign(w))?;
    let (of, foreign_labels) = (foreign.reference.short(), labels_of(foreign));
    let selected = foreign
        .pods
        .iter()
        .filter(|pod| is_ready(pod) && service_selects(service, pod.labels()))
        .count();
    let all = ports::pods_behind(context, service).iter().filter(|pod| is_ready(pod)).count();
    Some(
        Finding::error(
            ServiceSelectsForeignPods,
            "",
            subject(service),
            format!("Service {name} also selects the pods of {of}: {selected} of its {all} ready pods do not belong to it"),
        )
        .confidence(Confidence::Likely)
        .evidence(
            format!("service/{name}"),
            format!("spec.selector is {}", shown(service.spec.as_ref()?.selector.as_ref()?)),
        )
        .evidence(&of, format!("its pods are labelled {}", shown(&foreign_labels)))
        .related("foreign", foreign.reference.clone())
        .related("own", own.reference.clone())
        .fix_command(
            format!("add {key}: {own_value} to spec.selector of Service {name}"),
            format!("kubectl edit service {name} -n {namespace}"),
        ),
    )
}

/// Whether the workload declares ports, and none of them is one that the Service leads to by number.
fn misses_target(service: &Service, workload: &Workload<'_>) -> bool {
    let Some(spec) = workload.object.and_then(WorkloadObject::pod_spec) else {
        return false;
    };
    let declared = ports::declared(spec);
    let numbers: Vec<i32> = ports::of_service(service)
        .iter()
        .filter_map(|port| match ports::target(port) {
            IntOrString::Int(number) => Some(number),
            IntOrString::String(_) => None,
        })
        .collect();
    !declared.is_empty() && !numbers.is_empty() && numbers.iter().all(|n| declared.iter().all(|d| d.number != *n))
}

fn has_service_of_its_own(context: &Context<'_>, service: &Service, workload: &Workload<'_>) -> bool {
    let labels = workload.object.map(WorkloadObject::pod_labels).unwrap_or_default();
    let named = |other: &Service| {
        other.name_any() == workload.reference.name || application(&labels).is_some_and(|(_, value)| value == other.name_any())
    };
    context
        .services_selecting(&workload.reference.namespace, &labels)
        .into_iter()
        .any(|other| other.name_any() != service.name_any() && named(other))
}

/// `app=api,tier=back`
fn shown(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
