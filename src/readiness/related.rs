//! What belongs to a target and has to be ready too: the Services, Ingresses and routes that lead to it, and its claims.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::Value;

use crate::diagnosis::scope::Scope;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::ports::ingress_services;
use crate::view::{View, WorkloadObject, reference_of, service_selects};

/// Services, Ingresses, claims, routes and Gateways around the targets, and the workloads behind a Service that was named.
pub(crate) fn of(view: &View<'_>, targets: &[ObjectRef]) -> BTreeSet<ObjectRef> {
    // Other Services of the same pods are ignored where a Service was named.
    let (services, others): (Vec<ObjectRef>, Vec<ObjectRef>) = targets.iter().cloned().partition(|t| t.is(&kind::SERVICE));
    let leads_elsewhere =
        |object: &ObjectRef| object.is(&kind::SERVICE) || (object.is(&kind::INGRESS) && !leads_to(view, object, &services));
    let around = |targets: &[ObjectRef]| Scope::around(view, targets).objects.into_iter().flatten();
    let mut found: BTreeSet<ObjectRef> = around(&services)
        .filter(|o| !leads_elsewhere(o))
        .chain(around(&others))
        .filter(|o| [kind::SERVICE, kind::INGRESS, kind::CLAIM].iter().any(|k| o.is(k)) || is_workload(view, o))
        .collect();
    // A claim of the template that no pod mounts yet, because there is none.
    for target in targets {
        let template = view.workload(target).and_then(|w| w.object).and_then(WorkloadObject::pod_spec);
        let volumes = template.into_iter().flat_map(|s| s.volumes.iter().flatten());
        let claims = volumes.filter_map(|v| v.persistent_volume_claim.as_ref());
        found.extend(claims.map(|c| ObjectRef::new(&kind::CLAIM, &target.namespace, &c.claim_name)));
    }
    let services: BTreeSet<(String, String)> = found
        .iter()
        .chain(targets)
        .filter(|o| o.is(&kind::SERVICE))
        .map(|o| (o.namespace.clone(), o.name.clone()))
        .collect();
    for route in view.snapshot.objects.other.iter().filter(|o| o["kind"] == *kind::HTTP_ROUTE.kind) {
        let namespace = text(&route["metadata"]["namespace"]);
        let reference = ObjectRef::new(&kind::HTTP_ROUTE, &namespace, &text(&route["metadata"]["name"]));
        let leads = backends(route).any(|(of, name)| services.contains(&(of.unwrap_or_else(|| namespace.clone()), name)));
        if leads || targets.contains(&reference) {
            let parents = route["spec"]["parentRefs"].as_array().into_iter().flatten();
            found.extend(
                parents
                    .filter(|p| p["kind"].as_str().is_none_or(|k| k == kind::GATEWAY.kind))
                    .map(|p| ObjectRef::new(&kind::GATEWAY, p["namespace"].as_str().unwrap_or(&namespace), &text(&p["name"]))),
            );
            found.insert(reference);
        }
    }
    found.retain(|o| !targets.contains(o));
    found
}

/// Whether an Ingress leads to one of these Services.
fn leads_to(view: &View<'_>, ingress: &ObjectRef, services: &[ObjectRef]) -> bool {
    let mut ingresses = view.snapshot.objects.ingresses.iter();
    let found = ingresses.find(|i| reference_of(&kind::INGRESS, &i.metadata) == *ingress);
    let names = found.map(ingress_services).unwrap_or_default();
    services.iter().any(|s| s.namespace == ingress.namespace && names.contains(&s.name))
}

fn is_workload(view: &View<'_>, object: &ObjectRef) -> bool {
    // Pods that ended are behind no Service, and bare pods next to a workload are ignored.
    view.workload(object)
        .and_then(|w| w.object)
        .is_some_and(|o| !o.is_finite() && !matches!(o, WorkloadObject::Pod(_)))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The Services that a route leads to, with their namespace where it is another one.
fn backends(route: &Value) -> impl Iterator<Item = (Option<String>, String)> + '_ {
    route["spec"]["rules"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten())
        .filter(|b| b["kind"].as_str().is_none_or(|k| k == kind::SERVICE.kind))
        .map(|b| (b["namespace"].as_str().map(str::to_owned), text(&b["name"])))
}

/// Whether an object runs pods that may be asked for something: those of a Job are to end.
pub(crate) fn may_serve(object: &ObjectRef) -> bool {
    kind::RUN_PODS.iter().any(|k| object.is(k)) && !object.is(&kind::JOB) && !object.is(&kind::CRON_JOB)
}

/// Whether a Service selects the pods of a workload, so that somebody may ask them for something.
pub(crate) fn is_served(view: &View<'_>, workload: &ObjectRef) -> bool {
    let Some(object) = view.workload(workload).and_then(|w| w.object) else {
        return false;
    };
    let labels = object.pod_labels();
    view.snapshot
        .objects
        .services
        .iter()
        .any(|s| s.namespace().as_deref() == Some(workload.namespace.as_str()) && service_selects(s, &labels))
}

/// The reference of a Service.
pub(crate) fn service(service: &Service) -> ObjectRef {
    reference_of(&kind::SERVICE, &service.metadata)
}
