//! Services: their address, and the endpoints behind each of their ports.

use k8s_openapi::api::core::v1::{LoadBalancerStatus, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::Endpoint;
use kube::ResourceExt;

use super::judge::Plan;
use super::judgement::Judgement;
use super::{pod, revision};
use crate::model::kind;
use crate::model::readiness::{BlockingPod, Phase, State};
use crate::model::text::shorten;
use crate::rules::context::{Context, is_terminating};
use crate::rules::ports;

/// Whether a Service has the address that its type promises.
pub(super) fn address(service: &Service) -> Judgement {
    let spec = service.spec.as_ref();
    match spec.and_then(|s| s.type_.as_deref()) {
        Some("ExternalName") => {
            let name = spec.and_then(|s| s.external_name.as_deref()).unwrap_or_default();
            Judgement::ready(Phase::Infrastructure, format!("another name for {}", shorten(name, 100)))
        }
        Some("LoadBalancer") => {
            let status = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
            match load_balancer(status) {
                Ok(addresses) => Judgement::ready(Phase::Infrastructure, format!("load balancer {}", addresses.join(", "))),
                Err(reason) => Judgement::progressing(Phase::Infrastructure, reason),
            }
        }
        _ if ports::is_headless(service) => Judgement::ready(Phase::Infrastructure, "headless"),
        _ => match spec.and_then(|s| s.cluster_ip.as_deref()).filter(|ip| !ip.is_empty()) {
            Some(ip) => Judgement::ready(Phase::Infrastructure, format!("cluster address {ip}")),
            None => Judgement::progressing(Phase::Infrastructure, "has no cluster address yet"),
        },
    }
}

/// The addresses of a load balancer, or why there are none that count: an entry without an address is none, and neither is one whose ports
/// have an error.
pub(super) fn load_balancer(status: Option<&LoadBalancerStatus>) -> Result<Vec<String>, String> {
    let entries = status.and_then(|s| s.ingress.as_deref()).unwrap_or_default();
    let failed = entries
        .iter()
        .flat_map(|e| e.ports.iter().flatten())
        .find_map(|p| p.error.as_ref().filter(|e| !e.is_empty()).map(|e| (p.port, e)));
    if let Some((port, error)) = failed {
        return Err(format!(
            "its load balancer reports an error for port {port}: {}",
            shorten(error, 120)
        ));
    }
    addresses(entries.iter().map(|e| e.ip.as_deref().or(e.hostname.as_deref())))
}

/// The addresses that are there.
pub(super) fn addresses<'s>(entries: impl Iterator<Item = Option<&'s str>>) -> Result<Vec<String>, String> {
    let found: Vec<String> = entries.flatten().filter(|a| !a.is_empty()).map(|a| shorten(a, 100)).collect();
    if found.is_empty() {
        Err("has no load balancer address yet".to_owned())
    } else {
        Ok(found)
    }
}

/// Whether each port of a Service leads to ready pods of the current revision, and to no others. Ports count as the plan says.
pub(super) fn endpoints(context: &Context<'_>, service: &Service, plan: &Plan) -> Option<Judgement> {
    if ports::is_external_name(service) {
        return None;
    }
    let namespace = service.namespace().unwrap_or_default();
    let slices = ports::slices(context, service);
    if slices.is_empty() && !context.snapshot.is_complete(&kind::ENDPOINT_SLICE, &namespace) {
        return Some(Judgement::unknown(Phase::Pods, "its endpoints could not be read"));
    }
    let all: Vec<&ServicePort> = ports::of_service(service).iter().collect();
    let wanted: Vec<&ServicePort> = all.iter().copied().filter(|p| plan.uses(p)).collect();
    let wanted = if wanted.is_empty() { all } else { wanted };
    let endpoints = || slices.iter().flat_map(|s| s.endpoints.iter().map(move |e| (*s, e)));
    let mut least: Option<usize> = None;
    for port in &wanted {
        let name = port.name.as_deref().unwrap_or_default();
        let has_port = |slice: &k8s_openapi::api::discovery::v1::EndpointSlice| {
            slice
                .ports
                .iter()
                .flatten()
                .any(|p| p.name.as_deref().unwrap_or_default() == name && p.port.is_some())
        };
        let serving = endpoints().filter(|(_, e)| serves(context, &namespace, e)).collect::<Vec<_>>();
        let on_port = serving.iter().filter(|(slice, _)| has_port(slice)).count();
        if on_port == 0 {
            let reason = if serving.is_empty() {
                "has no ready endpoint".to_owned()
            } else {
                format!("has no endpoint for port {}", ports::shown(port))
            };
            return Some(Judgement::progressing(Phase::Pods, reason));
        }
        least = Some(least.map_or(on_port, |l: usize| l.min(on_port)));
    }
    let ready = least.unwrap_or_else(|| endpoints().filter(|(_, e)| serves(context, &namespace, e)).count());
    if ready == 0 {
        return Some(Judgement::progressing(Phase::Pods, "has no ready endpoint"));
    }
    let out_of_place: Vec<BlockingPod> = endpoints()
        .filter(|(_, e)| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))
        .filter_map(|(_, e)| named_pod(context, &namespace, e))
        .filter_map(|(name, found)| {
            let reason = match found {
                None => "does not exist any more",
                Some(pod) if revision::is_old(context, pod) => "is of an older revision",
                Some(pod) if is_terminating(pod) => "is being deleted",
                // As a Service publishes them that has publishNotReadyAddresses.
                Some(pod) if !matches!(pod::judge(context, pod).state, State::Ready | State::Unknown) => "is not ready",
                Some(_) => return None,
            };
            Some(BlockingPod {
                pod: name,
                reason: format!("{reason}, and still an endpoint"),
            })
        })
        .collect();
    if let Some(first) = out_of_place.first() {
        let reason = format!("pod {} {}", first.pod, first.reason);
        return Some(Judgement::progressing(Phase::Pods, reason).blocking(out_of_place));
    }
    // Beside the pods that are asked by themselves these would be asked now and then, by chance.
    let foreign = endpoints().find(|(_, e)| ports::has_selector(service) && e.target_ref.is_none());
    if let Some(address) = foreign.and_then(|(_, e)| e.addresses.first()) {
        let reason = format!("whether its endpoint {} answers cannot be told: it is no pod", shorten(address, 60));
        return Some(Judgement::unknown(Phase::Pods, reason));
    }
    let mut pods = endpoints().filter_map(|(_, e)| named_pod(context, &namespace, e)?.1);
    if let Some((pod, owner)) = pods.find_map(|pod| Some((pod, revision::unread_owner(context, pod)?))) {
        let reason = format!(
            "whether pod {} is of the current revision cannot be told: {owner} could not be read",
            pod.name_any()
        );
        return Some(Judgement::unknown(Phase::Pods, reason));
    }
    let word = if ready == 1 { "endpoint" } else { "endpoints" };
    Some(Judgement::ready(Phase::Pods, format!("{ready} ready {word}")))
}

/// Whether an endpoint takes traffic because its pod is ready. `ready` alone is also set for unready pods of a Service that publishes them
/// (EndpointSlice controller, `podToEndpoint`).
fn serves(context: &Context<'_>, namespace: &str, endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    let pod_is_ready = || match named_pod(context, namespace, endpoint) {
        Some((_, Some(pod))) => matches!(pod::judge(context, pod).state, State::Ready | State::Unknown),
        Some((_, None)) => false,
        None => true,
    };
    ready && serving && !terminating && pod_is_ready()
}

/// The pod that an endpoint stands for, and the pod itself where it is there; none where no pod is named or pods could not be read.
fn named_pod<'a>(context: &Context<'a>, namespace: &str, endpoint: &Endpoint) -> Option<(String, Option<&'a Pod>)> {
    let target = endpoint.target_ref.as_ref().filter(|r| r.kind.as_deref() == Some("Pod"))?;
    let name = target.name.clone()?;
    let found = context
        .snapshot
        .objects
        .pods
        .iter()
        .find(|p| p.name_any() == name && p.namespace().as_deref() == Some(namespace));
    (found.is_some() || context.snapshot.is_complete(&kind::POD, namespace)).then_some((name, found))
}
