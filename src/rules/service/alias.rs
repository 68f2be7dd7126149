//! A Service that is only another name for one that is not there, or for itself.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::model::code::Code::{DependencyUnreachable, ServiceMissing};
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::rules::service::subject;
use crate::text::command;
use crate::view::{Need, Needs, View, ports, service_effect, service_reference};

/// Resolvers follow no longer chain of names.
const LONGEST_CHAIN: usize = 8;

/// Where another name leads.
#[derive(Debug)]
pub enum Step {
    /// To a Service that exists.
    Leads,
    /// Nowhere.
    Ends(Box<Finding>),
    /// That could not be read.
    Unknown,
}

/// One step from a Service, to which `chain` has led, to the one that it names.
pub fn step(view: &View<'_>, service: &Service, chain: &[ObjectRef], next: &ObjectRef) -> Step {
    if chain.contains(next) || chain.len() >= LONGEST_CHAIN {
        return Step::Ends(Box::new(circle(service, chain, next)));
    }
    match view.snapshot.presence(&kind::SERVICE, &next.namespace, &next.name) {
        Presence::Present => Step::Leads,
        Presence::Absent => Step::Ends(Box::new(missing(service, next))),
        Presence::Unknown => Step::Unknown,
    }
}

/// What ends the way of another name. It is told of the Service at whose step the way ends, and of a circle once; the others suffer from that.
pub fn check(view: &View<'_>, needs: &mut Needs, first: &Service) -> Option<Finding> {
    let own = service_reference(first);
    let mut chain = vec![own.clone()];
    let mut service = first;
    while ports::is_external_name(service) {
        let next = of_cluster(&external_name(service))?;
        match step(view, service, &chain, &next) {
            Step::Leads => {}
            Step::Unknown => {
                needs.need(Need::Object(next));
                return None;
            }
            Step::Ends(finding) => {
                let circle_at = chain.iter().position(|o| *o == next);
                let at_fault = match circle_at {
                    Some(at) => chain[at..].iter().min().cloned().unwrap_or_else(|| own.clone()),
                    None => service_reference(service),
                };
                return Some(match circle_at {
                    _ if at_fault != own => suffers(first, &at_fault),
                    Some(_) => circle(first, &chain, &next),
                    None => *finding,
                });
            }
        }
        chain.push(next.clone());
        service = view.service(&next.namespace, &next.name)?;
    }
    None
}

fn suffers(service: &Service, at_fault: &ObjectRef) -> Finding {
    let name = service.name_any();
    Finding::symptom(
        DependencyUnreachable,
        subject(service),
        format!("Service {name} is an alias for {}, which does not exist", external_name(service)),
    )
    .evidence(format!("service/{name}"), format!("externalName is {}", external_name(service)))
    .suffering(Effect::Service(at_fault.namespace.clone(), at_fault.name.clone()))
}

/// The name that it stands for, in lower case and without a dot at its end.
pub fn external_name(service: &Service) -> String {
    let name = service.spec.as_ref().and_then(|s| s.external_name.as_deref());
    name.unwrap_or_default().trim_end_matches('.').to_lowercase()
}

/// The Service of the cluster that a full name means: `db.data.svc`, `db.data.svc.cluster.local`.
pub fn of_cluster(host: &str) -> Option<ObjectRef> {
    match host.split('.').collect::<Vec<_>>().as_slice() {
        [name, namespace, "svc", ..] => Some(ObjectRef::new(&kind::SERVICE, namespace, name)),
        _ => None,
    }
}

fn missing(service: &Service, named: &ObjectRef) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    Finding::error(
        ServiceMissing,
        Subject::of(service_reference(service)),
        format!(
            "Service {name} is an alias for Service {} in namespace {}, which does not exist",
            named.name, named.namespace
        ),
    )
    .evidence(format!("service/{name}"), format!("externalName is {}", external_name(service)))
    .related("missing", named.clone())
    .breaking(service_effect(service))
    .fix_command(
        format!(
            "create Service {} in namespace {}, or name another one",
            named.name, named.namespace
        ),
        command("kubectl edit service {} -n {}", &[&name, &namespace]),
    )
}

fn circle(service: &Service, chain: &[ObjectRef], next: &ObjectRef) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let names: Vec<&str> = chain.iter().chain([next]).map(|o| o.name.as_str()).collect();
    let words = if chain.contains(next) {
        "in a circle, so the name has no address"
    } else {
        "without an end that resolvers would follow"
    };
    Finding::error(
        DependencyUnreachable,
        Subject::of(service_reference(service)),
        format!("Services are aliases for each other {words}: {}", names.join(" → ")),
    )
    .evidence(format!("service/{name}"), format!("externalName is {}", external_name(service)))
    .breaking(service_effect(service))
    .fix_command(
        "name a Service that has pods in one of them",
        command("kubectl edit service {} -n {}", &[&name, &namespace]),
    )
}
