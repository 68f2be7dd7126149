//! Services: their address, and the endpoints behind each of their ports.

use k8s_openapi::api::core::v1::{LoadBalancerStatus, Service};

use crate::model::readiness::{BlockingPod, Phase};
use crate::readiness::goal::Goal;
use crate::readiness::judgement::Judgement;
use crate::text::shorten;
use crate::view::endpoints::{self, Endpoints, OutOfPlace};
use crate::view::{View, ports};

/// Whether a Service has the address that its type promises.
pub(crate) fn address(service: &Service) -> Judgement {
    let spec = service.spec.as_ref();
    match spec.and_then(|s| s.type_.as_deref()) {
        Some("ExternalName") => {
            let name = spec.and_then(|s| s.external_name.as_deref()).unwrap_or_default();
            Judgement::ready(Phase::Infrastructure, format!("alias for {}", shorten(name, 100)))
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
pub(crate) fn load_balancer(status: Option<&LoadBalancerStatus>) -> Result<Vec<String>, String> {
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
pub(crate) fn addresses<'s>(entries: impl Iterator<Item = Option<&'s str>>) -> Result<Vec<String>, String> {
    let found: Vec<String> = entries.flatten().filter(|a| !a.is_empty()).map(|a| shorten(a, 100)).collect();
    if found.is_empty() {
        Err("has no load balancer address yet".to_owned())
    } else {
        Ok(found)
    }
}

/// Whether each port of a Service leads to ready pods of the current revision, and to no others. Ports count as the goal says.
pub(crate) fn endpoints(view: &View<'_>, service: &Service, goal: &Goal) -> Option<Judgement> {
    let phase = Phase::Pods;
    let of_pod = |pod: &str, why: OutOfPlace| format!("pod {pod} {}, and still an endpoint", why.in_words());
    Some(match endpoints::of(view, service, |port| goal.uses(port)) {
        Endpoints::External => return None,
        Endpoints::Unread if view.snapshot.local => Judgement::unknown(
            phase,
            "its endpoints are not in the files: add those that kubectl get endpointslices -o yaml prints",
        ),
        Endpoints::Unread => Judgement::unknown(phase, "its endpoints could not be read"),
        Endpoints::NoPods | Endpoints::NoneReady => Judgement::progressing(phase, "has no ready endpoint"),
        Endpoints::NoneOnPort(port) => Judgement::progressing(phase, format!("has no endpoint for port {}", ports::shown(port))),
        Endpoints::OutOfPlace(all) => {
            let blocking = all.iter().map(|(pod, why)| BlockingPod {
                pod: pod.clone(),
                reason: format!("{}, and still an endpoint", why.in_words()),
            });
            let first = all.first().map(|(pod, why)| of_pod(pod, *why)).unwrap_or_default();
            Judgement::progressing(phase, first).blocking(blocking.collect())
        }
        Endpoints::Foreign(address) => Judgement::unknown(
            phase,
            format!("cannot tell whether its endpoint {} answers: it is not a pod", shorten(address, 60)),
        ),
        Endpoints::UnreadOwner(pod, owner) => Judgement::unknown(
            phase,
            format!("cannot tell whether pod {pod} is of the current revision: {owner} could not be read"),
        ),
        Endpoints::Ready(ready) => Judgement::ready(
            phase,
            format!("{ready} ready {}", if ready == 1 { "endpoint" } else { "endpoints" }),
        ),
    })
}
