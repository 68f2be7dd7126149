//! Services whose selector takes no pod, and those whose selector takes pods of another application as well.
//!
//! Judged by labels, not by endpoints: a selected pod without an address leaves none.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::facts::listening::fault;
use crate::facts::listening::fault::{Fault, PortAnswer};
use crate::facts::listening::uses;
use crate::model::cause;
use crate::model::code::Code::ServiceSelectsForeignPods;
use crate::model::finding::{Confidence, Effect, Finding, Settles, Severity};
use crate::model::kind;
use crate::rules::service::subject;
use crate::text::command;
use crate::view::near_miss::nearest;
use crate::view::{Need, Needs, View, Workload, WorkloadObject, is_ready, ports, service_effect, service_selects};

/// Within this time the workload of a new Service may still be on its way.
const SETTLING: Duration = Duration::from_secs(30);

type Labels = BTreeMap<String, String>;

/// What is wrong with the selector of a Service.
pub fn check(view: &View<'_>, needs: &mut Needs, service: &Service) -> Option<Finding> {
    if ports::has_selector(service) && !ports::workloads_behind(view, service).is_empty() {
        return foreign_pods(view, service).or_else(|| refusing_pods(view, needs, service));
    }
    nobody(view, needs, service, Moment::Lasting)
}

/// What is wrong with the selector of a Service that nobody stands behind at this moment, whatever may be on its way.
pub fn check_now(view: &View<'_>, needs: &mut Needs, service: &Service) -> Option<Finding> {
    let is_empty = !ports::has_selector(service) || ports::workloads_behind(view, service).is_empty();
    is_empty.then(|| nobody(view, needs, service, Moment::Now)).flatten()
}

/// Whether a fault is only reported once it has lasted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// What may be on its way is waited for.
    Lasting,
    /// This moment alone counts.
    Now,
}

fn nobody(view: &View<'_>, needs: &mut Needs, service: &Service, moment: Moment) -> Option<Finding> {
    let settles = match moment {
        Moment::Lasting => view.settles_from(service.metadata.creation_timestamp.as_ref(), SETTLING),
        Moment::Now => Settles::Never,
    };
    if ports::has_selector(service) {
        selects_nothing(view, needs, service, moment, settles)
    } else {
        no_selector(view, needs, service, settles)
    }
}

fn no_selector(view: &View<'_>, needs: &mut Needs, service: &Service, settles: Settles) -> Option<Finding> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    // Someone may write the endpoints by hand or by program. Even an empty object says that someone sees to it.
    let kept_by_hand = !ports::slices(view, service).is_empty()
        || view
            .snapshot
            .objects
            .endpoints
            .iter()
            .any(|e| e.name_any() == name && e.namespace() == service.namespace());
    let unused = kept_by_hand || ports::of_service(service).is_empty();
    if unused || !needs.list(view, &kind::ENDPOINT_SLICE, &namespace) {
        return None;
    }
    let namesake = view
        .workloads()
        .find(|w| w.reference.namespace == namespace && w.reference.name == name);
    // A slice belongs to a Service by its label alone.
    let unlabelled = view.snapshot.objects.endpoint_slices.iter().find(|slice| {
        let of = slice.name_any();
        let is_namesake = of == name || of.strip_prefix(&name).is_some_and(|rest| rest.starts_with('-'));
        is_namesake && slice.namespace() == service.namespace() && !slice.labels().contains_key("kubernetes.io/service-name")
    });
    let finding = Finding::error(
        cause::ServiceSelectsNothing::NoSelector,
        subject(service),
        format!("Service {name} has neither a selector nor endpoints, so it reaches no pod"),
    )
    .settling(settles)
    .evidence(
        format!("service/{name}"),
        "spec.selector is empty and no EndpointSlice belongs to it",
    )
    .breaking(service_effect(service));
    if let Some(slice) = unlabelled.map(ResourceExt::name_any) {
        return Some(
            finding
                .evidence(format!("endpointslice/{slice}"), "has no label kubernetes.io/service-name")
                .fix_command(
                    format!("label EndpointSlice {slice} with kubernetes.io/service-name={name}: without it, it belongs to no Service"),
                    command(
                        "kubectl label endpointslice {} -n {} kubernetes.io/service-name={}",
                        &[&slice, &namespace, &name],
                    ),
                ),
        );
    }
    let fix = match namesake.and_then(|w| w.object).map(WorkloadObject::pod_labels) {
        Some(labels) if !labels.is_empty() => format!("give the Service the labels of its pods as spec.selector: {}", shown(&labels)),
        _ => "give the Service a spec.selector with the labels of its pods, or write an EndpointSlice for it".to_owned(),
    };
    Some(finding.fix_command(fix, command("kubectl edit service {} -n {}", &[&name, &namespace])))
}

fn selects_nothing(view: &View<'_>, needs: &mut Needs, service: &Service, moment: Moment, settles: Settles) -> Option<Finding> {
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
    let all_read = kinds.map(|kind| needs.list(view, kind, &namespace)) == [true; 5];
    let finding = |cause: cause::ServiceSelectsNothing, summary: String| {
        Finding::error(cause, subject(service), summary)
            .evidence(format!("service/{name}"), format!("spec.selector is {}", shown(&selector)))
            .breaking(service_effect(service))
    };
    if let Some((miss, workload)) = nearest(view, service) {
        let of = workload.reference.short();
        // A workload that has its Service is hardly the one that is meant: the other one may be on its way.
        let is_taken = !view.services_selecting(&namespace, &miss.labels).is_empty();
        let wanted: Option<Vec<String>> = selector
            .keys()
            .map(|key| Some(format!("{key}={}", miss.labels.get(key)?)))
            .collect();
        let finding = finding(
            cause::ServiceSelectsNothing::LabelDiffers,
            format!(
                "Service {name} selects no pod: its selector is {}, but the pods of {of} have {}",
                miss.wanted, miss.found
            ),
        )
        .settling(if is_taken { settles } else { Settles::Never })
        .evidence(&of, format!("its pods are labelled {}", shown(&miss.labels)))
        .related("nearest", workload.reference.clone())
        .fix_command(
            format!("make the selector of Service {name} match the pods of {of}: {}", miss.remedy),
            match wanted.filter(|_| !is_taken && !miss.dynamic) {
                Some(wanted) => command("kubectl set selector service {} {} -n {}", &[&name, &wanted.join(","), &namespace]),
                None => command("kubectl edit service {} -n {}", &[&name, &namespace]),
            },
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
    if !all_read && moment == Moment::Lasting {
        return None;
    }
    let sure = if all_read { Confidence::Proven } else { Confidence::Likely };
    let other = if settles.is_pending() {
        None
    } else {
        elsewhere(view, needs, &namespace, &selector)
    };
    if let Some(other) = other {
        let other = &other.reference;
        return Some(
            finding(
                cause::ServiceSelectsNothing::WrongNamespace,
                format!(
                    "Service {name} selects no pod in namespace {namespace}: its selector matches {} in namespace {}",
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
                command("kubectl get service {} -n {} -o yaml", &[&name, &namespace]),
            ),
        );
    }
    Some(
        finding(
            cause::ServiceSelectsNothing::NoWorkload,
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
        .settling(settles)
        .fix_command(
            format!("deploy the workload that Service {name} is for, or delete the Service"),
            command(
                "kubectl get deployments,statefulsets,daemonsets,pods --show-labels -n {}",
                &[&namespace],
            ),
        ),
    )
}

/// A workload of another namespace that has all the labels; asked for only when this namespace has nothing near.
fn elsewhere<'c, 'a>(view: &'c View<'a>, needs: &mut Needs, namespace: &str, selector: &Labels) -> Option<&'c Workload<'a>> {
    if view.snapshot.coverage(&kind::DEPLOYMENT, "").is_none() {
        needs.need(Need::List(kind::DEPLOYMENT, None));
    }
    let takes = |labels: &Labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let mut others = view
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
fn foreign_pods(view: &View<'_>, service: &Service) -> Option<Finding> {
    if ports::is_headless(service) {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let behind = ports::workloads_behind(view, service);
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
        differs && ready && (misses_target(service, w) || has_service_of_its_own(view, service, w))
    };
    let foreign = behind.iter().find(|w| is_foreign(w))?;
    let (of, foreign_labels) = (foreign.reference.short(), labels_of(foreign));
    let selected = foreign
        .pods
        .iter()
        .filter(|pod| is_ready(pod) && service_selects(service, pod.labels()))
        .count();
    let all = ports::pods_behind(view, service).iter().filter(|pod| is_ready(pod)).count();
    Some(
        Finding::error(
            ServiceSelectsForeignPods,
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
            command("kubectl edit service {} -n {}", &[&name, &namespace]),
        ),
    )
}

/// A Service whose pods answer and refuse by turns, because its selector also takes the pods of a workload that listens elsewhere.
fn refusing_pods(view: &View<'_>, needs: &mut Needs, service: &Service) -> Option<Finding> {
    let behind = ports::workloads_behind(view, service);
    if ports::is_headless(service) || behind.len() < 2 {
        return None;
    }
    let first = ports::of_service(service)
        .iter()
        .find(|port| ports::protocol(port.protocol.as_ref()) == "TCP")?;
    let (mut answering, mut refusing) = (Vec::new(), Vec::new());
    // A pod that starts is asked as well: where another one answers already, it is told at once that it may not belong to the Service.
    for workload in behind {
        let mut ready = workload
            .pods
            .iter()
            .filter(|pod| is_ready(pod) && service_selects(service, pod.labels()));
        let Some(pod) = ready.next() else { continue };
        let number = ports::resolve(pod.spec.as_ref()?, first).and_then(|number| u16::try_from(number).ok())?;
        if matches!(fault::answer(view, needs, pod, number, "TCP"), PortAnswer::Listens(_)) {
            answering.push(workload);
            continue;
        }
        let used = uses::of_pod(view, pod)
            .into_iter()
            .find(|used| used.port == number && used.protocol == "TCP")?;
        match fault::of_start(view, needs, pod, used) {
            Some((faulty, settles)) if matches!(faulty.fault, Fault::Nothing(..) | Fault::OtherPort(..)) => {
                refusing.push((workload, number, settles));
            }
            _ => {}
        }
    }
    let (own, (foreign, number, settles)) = (answering.first()?, refusing.first()?);
    let labels_of = |w: &Workload<'_>| w.object.map(WorkloadObject::pod_labels).unwrap_or_default();
    let (own_labels, foreign_labels) = (labels_of(own), labels_of(foreign));
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    // Labels that name an application part two of them best.
    let parts = |key: &&String| !selector.contains_key(*key) && foreign_labels.get(*key) != own_labels.get(*key);
    let rank = |key: &&String| APPLICATION.iter().position(|known| known == key).unwrap_or(APPLICATION.len());
    let parting = own_labels.keys().filter(parts).min_by_key(rank).map(|key| (key, &own_labels[key]));
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let (of, others) = (foreign.reference.short(), own.reference.short());
    let fix = match parting {
        Some((key, value)) => format!("add {key}: {value} to spec.selector of Service {name}: {of} does not have it"),
        None => format!("give the pods of {others} a label that those of {of} do not have, and add it to spec.selector of Service {name}"),
    };
    Some(
        Finding::error(
            ServiceSelectsForeignPods,
            subject(service),
            format!("Service {name} also selects the pods of {of}, which refuse connections on port {number}; those of {others} answer"),
        )
        .confidence(Confidence::Likely)
        .settling(*settles)
        .evidence(format!("service/{name}"), format!("spec.selector is {}", shown(selector)))
        .evidence(&of, format!("its pods are labelled {}", shown(&foreign_labels)))
        .related("foreign", foreign.reference.clone())
        .related("own", own.reference.clone())
        .breaking(Effect::Object(foreign.reference.clone()))
        .fix_command(fix, command("kubectl edit service {} -n {}", &[&name, &namespace])),
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

fn has_service_of_its_own(view: &View<'_>, service: &Service, workload: &Workload<'_>) -> bool {
    let labels = workload.object.map(WorkloadObject::pod_labels).unwrap_or_default();
    let named = |other: &Service| {
        other.name_any() == workload.reference.name || application(&labels).is_some_and(|(_, value)| value == other.name_any())
    };
    view.services_selecting(&workload.reference.namespace, &labels)
        .into_iter()
        .any(|other| other.name_any() != service.name_any() && named(other))
}

/// `app=api,tier=back`
fn shown(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}
