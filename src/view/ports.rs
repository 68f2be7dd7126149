//! What a port of a Service means in the pods behind it, and who stands behind a Service: one reading for every rule.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::view::{View, Workload, WorkloadObject, has_ended, is_ready, is_terminating, service_selects};

/// A port that a container declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared<'a> {
    /// The container that declares it.
    pub container: &'a str,
    /// Its name; empty where it has none.
    pub name: &'a str,
    /// Its number.
    pub number: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// A protocol as it counts: TCP where none is written.
pub fn protocol(written: Option<&String>) -> &str {
    written.map_or("TCP", String::as_str)
}

/// Containers whose ports a Service may lead to: those of the application and sidecars, not init containers that end.
fn serving(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let sidecars = spec.init_containers.iter().flatten();
    spec.containers
        .iter()
        .chain(sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always")))
}

/// Every port that the containers of a pod declare.
pub fn declared(spec: &PodSpec) -> Vec<Declared<'_>> {
    serving(spec)
        .flat_map(|container| {
            container.ports.iter().flatten().map(|port| Declared {
                container: &container.name,
                name: port.name.as_deref().unwrap_or_default(),
                number: port.container_port,
                protocol: protocol(port.protocol.as_ref()),
            })
        })
        .collect()
}

/// The port of the pod that a Service's port leads to, as it is written: a number or a name.
pub fn target(port: &ServicePort) -> IntOrString {
    port.target_port
        .clone()
        .filter(|target| !matches!(target, IntOrString::Int(0)))
        .unwrap_or(IntOrString::Int(port.port))
}

/// The number that a Service's port leads to in this pod; none where the pod declares no port of that name and protocol
/// (the rule of the EndpointSlice controller, `podutil.FindPort`).
pub fn resolve(spec: &PodSpec, port: &ServicePort) -> Option<i32> {
    match target(port) {
        IntOrString::Int(number) => Some(number),
        IntOrString::String(name) => declared(spec)
            .into_iter()
            .find(|d| d.name == name && d.protocol == protocol(port.protocol.as_ref()))
            .map(|d| d.number),
    }
}

/// `80`, or `80 (web)` where the port has a name; a protocol other than TCP stands behind the number.
pub fn shown(port: &ServicePort) -> String {
    let number = match protocol(port.protocol.as_ref()) {
        "TCP" => port.port.to_string(),
        other => format!("{}/{other}", port.port),
    };
    match port.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{number} ({name})"),
        None => number,
    }
}

/// The ports of a Service.
pub fn of_service(service: &Service) -> &[ServicePort] {
    service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default()
}

/// The ports of a Service in words: `80, 443 (https)`.
pub fn list(service: &Service) -> String {
    let all: Vec<String> = of_service(service).iter().map(shown).collect();
    if all.is_empty() { "no port".to_owned() } else { all.join(", ") }
}

/// Whether the Service only gives another name to something outside the cluster.
pub fn is_external_name(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("ExternalName")
}

/// Whether names of the Service lead straight to its pods, whose ports then count, not the Service's.
pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// The port that answers in place of this one, where a client takes a headless Service's number for that of its pods: names of such a
/// Service lead to the pods themselves, and nothing on the way replaces one port by another. None where the pods may listen on both.
pub fn untranslated(view: &View<'_>, service: &Service, port: u16) -> Option<i32> {
    let number = i32::from(port);
    let offered = of_service(service).iter().find(|p| p.port == number);
    let offered = offered.filter(|_| is_headless(service) && has_selector(service))?;
    let of = protocol(offered.protocol.as_ref());
    let mut leads = None;
    for (_, spec) in specs_behind(view, service) {
        let to = resolve(spec, offered)?;
        if to == number || declared(spec).iter().any(|d| d.number == number && d.protocol == of) {
            return None;
        }
        leads.get_or_insert(to);
    }
    leads
}

/// What is wrong with a call of a headless Service on a port that its pods do not have, and what to do about it.
pub fn mismatch_of_headless(service: &Service, port: u16, right: i32) -> (String, String) {
    let name = service.name_any();
    (
        format!(
            "but that Service is headless: its name leads to the pods themselves, whose port is {right}, and nothing turns {port} into {right}"
        ),
        format!("call port {right}, or give Service {name} an address of its own (without clusterIP: None), which translates ports"),
    )
}

/// Whether a Service finds its pods by labels.
pub fn has_selector(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|s| s.selector.as_ref())
        .is_some_and(|s| !s.is_empty())
}

/// Whether a Service leads to its pods whether they are ready or not.
pub fn publishes_unready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false)
}

/// The workloads whose template or pods carry the labels that a Service selects, in order.
pub fn workloads_behind<'c, 'a>(view: &'c View<'a>, service: &Service) -> Vec<&'c Workload<'a>> {
    let mut behind = view.templates_selected(service);
    behind.extend(view.pods_selected(service).into_iter().map(|pod| view.workload_of(pod)));
    behind.iter().filter_map(|workload| view.workload(workload)).collect()
}

/// Workloads without a single pod that a Service leads to by the labels of their template: those that want pods, and where nobody is behind the
/// Service those that want none, for nobody will answer then.
pub fn absent_behind<'c, 'a>(view: &'c View<'a>, service: &Service) -> Vec<&'c Workload<'a>> {
    let mut behind = workloads_behind(view, service);
    behind.retain(|workload| workload.pods.is_empty());
    let wants = |w: &&Workload<'_>| w.object.and_then(WorkloadObject::wanted).is_none_or(|n| n > 0);
    let is_alone = pods_behind(view, service).is_empty();
    if !is_alone || behind.iter().any(wants) {
        behind.retain(wants);
    }
    behind
}

/// The pods behind a Service that live, whether ready or not.
pub fn pods_behind<'a>(view: &View<'a>, service: &Service) -> Vec<&'a Pod> {
    let mut pods = view.pods_selected(service);
    pods.retain(|pod| !has_ended(pod) && !is_terminating(pod));
    pods
}

/// The pod specs behind a Service, with the workload of each: of live pods, or of the template where there are none.
pub fn specs_behind<'c, 'a>(view: &'c View<'a>, service: &Service) -> Vec<(&'c Workload<'a>, &'a PodSpec)> {
    workloads_behind(view, service)
        .into_iter()
        .flat_map(|workload| {
            let pods = workload
                .pods
                .iter()
                .filter(|pod| !has_ended(pod) && !is_terminating(pod) && service_selects(service, pod.labels()));
            let mut specs: Vec<&PodSpec> = pods.filter_map(|pod| pod.spec.as_ref()).collect();
            if specs.is_empty() {
                specs.extend(workload.object.and_then(WorkloadObject::pod_spec));
            }
            specs.into_iter().map(move |spec| (workload, spec))
        })
        .collect()
}

/// The endpoint slices of a Service.
pub fn slices<'a>(view: &View<'a>, service: &Service) -> Vec<&'a EndpointSlice> {
    let name = service.name_any();
    view.snapshot
        .objects
        .endpoint_slices
        .iter()
        .filter(|slice| {
            slice.namespace() == service.namespace() && slice.labels().get("kubernetes.io/service-name").is_some_and(|of| *of == name)
        })
        .collect()
}

/// The nodes that run ready pods of a Service.
pub fn nodes_behind<'a>(view: &View<'a>, service: &Service) -> BTreeSet<&'a str> {
    pods_behind(view, service)
        .into_iter()
        .filter(|pod| is_ready(pod))
        .filter_map(|pod| pod.spec.as_ref()?.node_name.as_deref())
        .collect()
}

/// The names of the Services that an Ingress leads to.
pub fn ingress_services(ingress: &Ingress) -> BTreeSet<String> {
    let spec = ingress.spec.iter();
    let default = spec.clone().filter_map(|s| s.default_backend.as_ref());
    let paths = spec
        .flat_map(|s| s.rules.iter().flatten())
        .filter_map(|r| r.http.as_ref())
        .flat_map(|h| h.paths.iter().map(|p| &p.backend));
    default
        .chain(paths)
        .filter_map(|b| b.service.as_ref())
        .map(|s| s.name.clone())
        .collect()
}

/// Whether nobody answers at such a port of a Service: it has none of that number, or it is headless and does not translate the one it has.
/// Names of a headless Service lead to its pods, whatever ports it lists; an external name leads anywhere.
pub fn wrong_port(view: &View<'_>, service: &Service, port: Option<u16>) -> bool {
    let listed = of_service(service);
    port.is_some_and(|port| {
        if is_headless(service) {
            return untranslated(view, service, port).is_some();
        }
        !is_external_name(service) && !listed.is_empty() && listed.iter().all(|p| p.port != i32::from(port))
    })
}
