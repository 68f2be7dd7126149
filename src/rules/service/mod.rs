//! Services: their selectors, ports, endpoints and outside addresses.

pub(crate) mod alias;
pub(crate) mod endpoints;
pub(crate) mod load_balancer;
pub(crate) mod selector;
mod slices;
pub(crate) mod targets;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Service;

use crate::model::finding::Subject;
use crate::view::{Out, View, service_reference};

/// Services that reach nobody, or not whom they should.
pub fn check(view: &View<'_>, out: &mut Out) {
    for service in &view.snapshot.objects.services {
        let reference = service_reference(service);
        let is_left_out = view.snapshot.is_left_out(&reference.namespace, &reference.name);
        if service.metadata.deletion_timestamp.is_some() || is_api_server(service) || is_left_out {
            continue;
        }
        if crate::view::ports::is_external_name(service) {
            out.findings.extend(alias::check(view, &mut out.needs, service));
            continue;
        }
        out.findings.extend(selector::check(view, &mut out.needs, service));
        out.findings.extend(targets::check(view, &mut out.needs, service));
        out.findings.extend(endpoints::check(view, &mut out.needs, service));
        out.findings.extend(slices::check(view, service));
        out.findings.extend(load_balancer::check(view, service));
    }
}

/// The API server's own Service has neither selector nor pods: the API server writes its endpoints.
fn is_api_server(service: &Service) -> bool {
    service.metadata.namespace.as_deref() == Some("default") && service.metadata.name.as_deref() == Some("kubernetes")
}

/// A finding about the Service as a whole.
fn subject(service: &Service) -> Subject {
    Subject::of(service_reference(service))
}
