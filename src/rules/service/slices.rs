//! EndpointSlices that somebody else than Kubernetes writes, for Services without a selector: what in them does not fit the Service.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::model::cause::ServiceHasNoReadyEndpoints;
use crate::model::finding::Finding;
use crate::rules::service::subject;
use crate::text::command;
use crate::view::{View, ports, service_effect};

/// Endpoints that are not ready for so long are meant to be so, or forgotten.
const SETTLING: Duration = Duration::from_secs(60);

/// What differs, in a field of a slice.
struct Differs<'a> {
    cause: ServiceHasNoReadyEndpoints,
    slice: &'a EndpointSlice,
    what: String,
    has: String,
    fix: String,
}

/// Why kube-proxy sends nothing to the endpoints of a Service without a selector.
pub(crate) fn check(view: &View<'_>, service: &Service) -> Option<Finding> {
    if ports::has_selector(service) || ports::is_external_name(service) {
        return None;
    }
    let slices = ports::slices(view, service);
    // Whoever writes empty ones has not come to it yet.
    let first = slices.iter().copied().find(|slice| !slice.endpoints.is_empty())?;
    let differs = family(service, &slices)
        .or_else(|| ports::of_service(service).iter().find_map(|port| of_port(port, &slices)))
        .or_else(|| unready(view, &slices, first))?;
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let slice = differs.slice.name_any();
    Some(
        Finding::error(
            differs.cause,
            subject(service),
            format!("Service {name} has no selector, and {}", differs.what),
        )
        .evidence(format!("endpointslice/{slice}"), differs.has)
        .fix_command(differs.fix, command("kubectl edit endpointslice {} -n {}", &[&slice, &namespace]))
        .breaking(service_effect(service)),
    )
}

/// No slice has addresses of a family of the Service.
fn family<'a>(service: &Service, slices: &[&'a EndpointSlice]) -> Option<Differs<'a>> {
    let families = service.spec.as_ref()?.ip_families.as_ref().filter(|all| !all.is_empty())?;
    let slice = slices.first().copied()?;
    if slices.iter().any(|slice| families.contains(&slice.address_type)) {
        return None;
    }
    let wanted = families.join(" and ");
    Some(Differs {
        cause: ServiceHasNoReadyEndpoints::Family,
        slice,
        what: format!(
            "its EndpointSlice {} has {} addresses; the Service is {wanted}",
            slice.name_any(),
            slice.address_type
        ),
        has: format!("addressType is {}", slice.address_type),
        fix: format!(
            "write an EndpointSlice with addressType {} and such addresses: the type of one cannot be changed",
            families[0]
        ),
    })
}

/// No slice has a port of the name and protocol of the Service's.
fn of_port<'a>(port: &ServicePort, slices: &[&'a EndpointSlice]) -> Option<Differs<'a>> {
    let name = port.name.as_deref().unwrap_or_default();
    let of = ports::protocol(port.protocol.as_ref());
    let all = || {
        slices
            .iter()
            .flat_map(|slice| slice.ports.iter().flatten().map(move |p| (*slice, p)))
    };
    let has_name = |p: &k8s_openapi::api::discovery::v1::EndpointPort| p.name.as_deref().unwrap_or_default() == name;
    if all().any(|(_, p)| has_name(p) && p.port.is_some() && ports::protocol(p.protocol.as_ref()) == of) {
        return None;
    }
    let quoted = |name: &str| {
        if name.is_empty() {
            "no name".to_owned()
        } else {
            format!("the name {name}")
        }
    };
    if let Some((slice, other)) = all().find(|(_, p)| has_name(p) && p.port.is_some()) {
        let has = ports::protocol(other.protocol.as_ref());
        return Some(Differs {
            cause: ServiceHasNoReadyEndpoints::PortName,
            slice,
            what: format!(
                "port {} is {of}, but in its EndpointSlice {} it is {has}",
                ports::shown(port),
                slice.name_any()
            ),
            has: format!("protocol {has}"),
            fix: format!("set protocol: {of} on that port of the EndpointSlice"),
        });
    }
    let slice = slices.first().copied()?;
    let names: BTreeSet<&str> = all().map(|(_, p)| p.name.as_deref().unwrap_or_default()).collect();
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    let has = if names.is_empty() {
        "no ports".to_owned()
    } else {
        format!("ports with {}", names.join(", "))
    };
    Some(Differs {
        cause: ServiceHasNoReadyEndpoints::PortName,
        slice,
        what: format!(
            "its port {} has {}, which no port of its EndpointSlice {} has: names must be the same",
            port.port,
            quoted(name),
            slice.name_any()
        ),
        has,
        fix: if name.is_empty() {
            "remove the name of the port from the EndpointSlice, or give the port of the Service that name".to_owned()
        } else {
            format!("set ports[].name: {name} in the EndpointSlice")
        },
    })
}

/// Every endpoint says that it is not ready.
fn unready<'a>(view: &View<'_>, slices: &[&'a EndpointSlice], first: &'a EndpointSlice) -> Option<Differs<'a>> {
    let mut endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    if endpoints.any(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)) {
        return None;
    }
    // Whoever writes them may know better in a moment.
    view.age_of(first.metadata.creation_timestamp.as_ref())
        .filter(|age| *age > SETTLING)?;
    Some(Differs {
        cause: ServiceHasNoReadyEndpoints::Unready,
        slice: first,
        what: format!("no endpoint of its EndpointSlice {} is ready", first.name_any()),
        has: "conditions.ready is false".to_owned(),
        fix: "set conditions.ready: true on the endpoints that answer".to_owned(),
    })
}
