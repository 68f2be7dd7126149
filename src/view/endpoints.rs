//! The endpoint state of a Service.
//!
//! [`of`] reads the EndpointSlices, as kube-proxy sees them: whether its ports lead to ready pods of the current revision, and to nothing
//! else. [`by_pods`] needs no slices: whether any pod behind it is ready.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::ResourceExt;

use crate::model::kind;
use crate::view::{View, is_ready, is_terminating, ports, revision, rollout};

/// How far the endpoints of a Service are.
#[derive(Debug)]
pub enum Endpoints<'a> {
    /// Another name for something outside: it has no endpoints.
    External,
    /// The lists that would tell were not read.
    Unread,
    /// Its selector takes no pod and no workload.
    NoPods,
    /// No endpoint is ready.
    NoneReady,
    /// Endpoints are ready, but none for this port.
    NoneOnPort(&'a ServicePort),
    /// Some endpoints lead to pods that should not get requests: by name.
    OutOfPlace(Vec<(String, OutOfPlace)>),
    /// A Service with a selector has this address, which is no pod.
    Foreign(&'a str),
    /// Nobody knows whether this pod is of the current revision, because this owner could not be read.
    UnreadOwner(String, String),
    /// So many endpoints are ready on each port.
    Ready(usize),
}

impl Endpoints<'_> {
    /// Whether nobody behind the Service takes requests.
    pub const fn is_nobody(&self) -> bool {
        matches!(self, Self::NoPods | Self::NoneReady)
    }

    /// Whether endpoints are ready and nothing is wrong with them.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// Why a pod should not be an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfPlace {
    /// It does not exist any more.
    Gone,
    /// It is of an older revision.
    Old,
    /// It is being deleted.
    Deleted,
    /// It is not ready: the Service publishes such pods, or has not noticed yet.
    Unready,
}

impl OutOfPlace {
    /// The reason in words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Gone => "does not exist any more",
            Self::Old => "is of an older revision",
            Self::Deleted => "is being deleted",
            Self::Unready => "is not ready",
        }
    }
}

/// An endpoint with the pod that it names; the inner value is none where that pod does not exist.
struct Found<'a> {
    slice: &'a EndpointSlice,
    endpoint: &'a Endpoint,
    pod: Option<(&'a str, Option<&'a Pod>)>,
}

/// The endpoint state of a Service, on the ports that are used, or on all of them where none is.
pub fn of<'a>(view: &View<'a>, service: &'a Service, uses: impl Fn(&ServicePort) -> bool) -> Endpoints<'a> {
    if ports::is_external_name(service) {
        return Endpoints::External;
    }
    let namespace = service.namespace().unwrap_or_default();
    let slices = ports::slices(view, service);
    if slices.is_empty() && !view.snapshot.is_complete(&kind::ENDPOINT_SLICE, &namespace) {
        return Endpoints::Unread;
    }
    let found = find(view, service, &namespace, &slices);
    let serving: Vec<&Found<'_>> = found.iter().filter(|found| found.serves(view)).collect();
    if serving.is_empty() {
        return Endpoints::NoneReady;
    }
    let all = || ports::of_service(service).iter();
    let is_wanted = |port: &&ServicePort| uses(port) || !all().any(&uses);
    let mut ready = serving.len();
    for port in all().filter(is_wanted) {
        let on_port = serving.iter().filter(|found| has_port(found.slice, port)).count();
        if on_port == 0 {
            return Endpoints::NoneOnPort(port);
        }
        ready = ready.min(on_port);
    }
    let out_of_place: Vec<_> = found.iter().filter_map(|found| found.out_of_place(view)).collect();
    if !out_of_place.is_empty() {
        return Endpoints::OutOfPlace(out_of_place);
    }
    // Requests would reach it now and then, by chance.
    let mut others = found.iter().filter(|found| found.endpoint.target_ref.is_none());
    if ports::has_selector(service)
        && let Some(address) = others.find_map(|found| found.endpoint.addresses.first())
    {
        return Endpoints::Foreign(address);
    }
    let mut pods = found.iter().filter_map(|found| found.pod?.1);
    match pods.find_map(|pod| Some((pod, revision::unread_owner(view, pod)?))) {
        Some((pod, owner)) => Endpoints::UnreadOwner(pod.name_any(), owner),
        None => Endpoints::Ready(ready),
    }
}

/// The endpoint state of a Service by its pods alone where it has a selector, else by its endpoints.
pub fn by_pods(view: &View<'_>, service: &Service) -> Endpoints<'static> {
    if ports::is_external_name(service) {
        return Endpoints::External;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let is_read = |of: &kind::Kind| view.snapshot.is_complete_behind(of, &namespace, &name);
    if !ports::has_selector(service) {
        return match ports::slices(view, service)
            .iter()
            .flat_map(|s| &s.endpoints)
            .filter(|e| says_ready(e))
            .count()
        {
            0 if is_read(&kind::ENDPOINT_SLICE) => Endpoints::NoneReady,
            0 => Endpoints::Unread,
            ready => Endpoints::Ready(ready),
        };
    }
    let pods = ports::pods_behind(view, service);
    match pods.iter().filter(|pod| is_ready(pod)).count() {
        0 if !pods.is_empty() => Endpoints::NoneReady,
        0 if !is_read(&kind::POD) => Endpoints::Unread,
        0 if ports::workloads_behind(view, service).is_empty() => Endpoints::NoPods,
        0 => Endpoints::NoneReady,
        ready => Endpoints::Ready(ready),
    }
}

/// An endpoint that says nothing counts as ready, as in kube-proxy.
fn says_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true)
}

/// The endpoints of these slices with their pods.
fn find<'a>(view: &View<'a>, service: &Service, namespace: &str, slices: &[&'a EndpointSlice]) -> Vec<Found<'a>> {
    let name_of = |pod: &&'a Pod| pod.metadata.name.as_deref();
    let selected: HashMap<&str, &Pod> = view
        .pods_selected(service)
        .into_iter()
        .filter_map(|pod| Some((name_of(&pod)?, pod)))
        .collect();
    let knows_pods = view.snapshot.is_complete(&kind::POD, namespace);
    let pod_of = |endpoint: &'a Endpoint| {
        let target = endpoint.target_ref.as_ref().filter(|r| r.kind.as_deref() == Some("Pod"))?;
        let name = target.name.as_deref()?;
        let is_it = |pod: &&Pod| pod.metadata.name.as_deref() == Some(name) && pod.metadata.namespace.as_deref() == Some(namespace);
        let pod = selected.get(name).copied();
        let pod = pod.or_else(|| view.snapshot.objects.pods.iter().find(is_it));
        (pod.is_some() || knows_pods).then_some((name, pod))
    };
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().map(move |e| (*slice, e)));
    endpoints
        .map(|(slice, endpoint)| Found {
            slice,
            endpoint,
            pod: pod_of(endpoint),
        })
        .collect()
}

fn has_port(slice: &EndpointSlice, port: &ServicePort) -> bool {
    let name = port.name.as_deref().unwrap_or_default();
    let mut ports = slice.ports.iter().flatten();
    ports.any(|p| p.name.as_deref().unwrap_or_default() == name && p.port.is_some())
}

impl Found<'_> {
    /// Whether it takes requests because its pod is ready. `ready` alone is also set for unready pods of a Service that publishes them
    /// (EndpointSlice controller, `podToEndpoint`).
    fn serves(&self, view: &View<'_>) -> bool {
        let conditions = self.endpoint.conditions.as_ref();
        let ready = says_ready(self.endpoint);
        let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
        let pod_is_ready = || match self.pod {
            Some((_, Some(pod))) => rollout::pod::state(view, pod).is_ready(),
            Some((_, None)) => false,
            None => true,
        };
        ready && serving && !terminating && pod_is_ready()
    }

    fn out_of_place(&self, view: &View<'_>) -> Option<(String, OutOfPlace)> {
        let (name, pod) = self.pod.filter(|_| says_ready(self.endpoint))?;
        let why = match pod {
            None => OutOfPlace::Gone,
            Some(pod) if revision::is_old(view, pod) => OutOfPlace::Old,
            Some(pod) if is_terminating(pod) => OutOfPlace::Deleted,
            Some(pod) if !rollout::pod::state(view, pod).is_ready() => OutOfPlace::Unready,
            Some(_) => return None,
        };
        Some((name.to_owned(), why))
    }
}
