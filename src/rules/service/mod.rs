//! Services: their selectors, ports, endpoints and outside addresses.

pub mod alias;
pub mod endpoints;
pub mod load_balancer;
pub mod selector;
pub mod targets;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Service;

use super::Context;
use super::context::reference_of;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;

/// Services that reach nobody, or not whom they should.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for service in &context.snapshot.objects.services {
        if service.metadata.deletion_timestamp.is_some() || is_api_server(service) {
            continue;
        }
        if super::ports::is_external_name(service) {
            found.extend(alias::check(context, service));
            continue;
        }
        found.extend(selector::check(context, service));
        found.extend(targets::check(context, service));
        found.extend(endpoints::check(context, service));
        found.extend(load_balancer::check(context, service));
    }
    found
}

/// The API server's own Service has neither selector nor pods: the API server writes its endpoints.
fn is_api_server(service: &Service) -> bool {
    service.metadata.namespace.as_deref() == Some("default") && service.metadata.name.as_deref() == Some("kubernetes")
}

/// The reference of a Service.
pub fn reference(service: &Service) -> ObjectRef {
    reference_of(&kind::SERVICE, &service.metadata)
}

/// A finding about the Service as a whole.
fn subject(service: &Service) -> Subject {
    Subject::of(reference(service))
}

/// Nobody gets an answer from this Service.
pub fn effect(service: &Service) -> Effect {
    let reference = reference(service);
    Effect::Service(reference.namespace, reference.name)
}
