//! What was asked for and cannot be tried: a port that no Service has, a way that leads nowhere.

use k8s_openapi::api::core::v1::Service;

use super::check::{Via, Wish, led_by};
use super::judge::Plan;
use crate::model::finding::ObjectRef;
use crate::model::readiness::{ObjectReadiness, State};
use crate::model::text::{few, sanitise};
use crate::rules::context::Context;
use crate::rules::ports;

/// Services, or ports of one, that are written out.
const SHOWN: usize = 3;

/// Why what was asked for cannot be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untried {
    /// The reason, in words that are safe to show.
    pub why: String,
    /// Whether that stays so, however long one waits: somebody has to change an object, or ask for something else.
    pub is_final: bool,
}

impl Untried {
    pub(super) fn for_now(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_final: false,
        }
    }

    pub(super) fn for_good(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_final: true,
        }
    }
}

/// Why what was asked for can never be tried, known before anything is ready: the Services that lead there are as they are, and have no such
/// port, or no such way.
pub fn never(context: &Context<'_>, judged: &[ObjectReadiness], plan: &Plan, wish: &Wish) -> Option<Untried> {
    // What does not exist yet may still bring the port along, or the Service.
    if matches!(wish.via, Via::Url(_)) || judged.iter().any(|j| j.state == State::NotFound) {
        return None;
    }
    let services: Vec<(&Service, ObjectRef)> = led_by(context, judged, plan);
    let usual = || services.iter().filter(|(service, _)| !ports::is_external_name(service));
    if usual().count() < services.len() || services.is_empty() {
        return None;
    }
    let used = || {
        usual()
            .flat_map(|(service, _)| ports::of_service(service))
            .filter(|port| plan.uses(port))
    };
    if let (Some(port), None) = (&plan.port, used().next()) {
        let has = |(service, reference): &(&Service, ObjectRef)| {
            let ports: Vec<String> = ports::of_service(service).iter().map(ports::shown).collect();
            format!("{} has {}", reference.short(), few(&ports, SHOWN))
        };
        let has: Vec<String> = usual().map(has).collect();
        return Some(Untried::for_good(format!(
            "no Service leads to it on port {}: {}",
            sanitise(port),
            few(&has, SHOWN)
        )));
    }
    let names: Vec<String> = usual().map(|(_, reference)| reference.short()).collect();
    let names = few(&names, SHOWN);
    let type_of = |service: &Service| service.spec.as_ref().and_then(|s| s.type_.clone()).unwrap_or_default();
    match wish.via {
        Via::LoadBalancer if usual().all(|(service, _)| type_of(service) != "LoadBalancer") => {
            Some(Untried::for_good(format!("{names}: no Service of type LoadBalancer leads to it")))
        }
        Via::NodePort if usual().all(|(service, _)| !matches!(type_of(service).as_str(), "LoadBalancer" | "NodePort")) => {
            Some(Untried::for_good(format!("{names}: no Service with a node port leads to it")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::derive;
    use super::super::judge;
    use super::*;
    use crate::model::kind;
    use crate::model::snapshot::Snapshot;
    use crate::rules::Options;
    use crate::rules::testing;

    const WEB: &str = "
kind: Deployment
apiVersion: apps/v1
metadata: {name: web, namespace: shop}
spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app}]}}}
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec: {type: TYPE, selector: {app: web}, ports: [{name: http, port: 80}, {name: metrics, port: 9090}]}
";

    fn untried(snapshot: &Snapshot, kind: &kind::Kind, port: Option<&str>, via: Via) -> Option<Untried> {
        let context = Context::new(snapshot, Options::default());
        let plan = Plan {
            targets: vec![ObjectRef::new(kind, "shop", "web")],
            check: true,
            port: port.map(str::to_owned),
            ..Plan::default()
        };
        let judged = judge::judge(&context, &plan);
        let wish = Wish { via, ..Wish::default() };
        let early = never(&context, &judged, &plan, &wish);
        let late = derive(&context, &judged, &plan, &wish).err();
        assert_eq!(early, late.filter(|untried| untried.is_final), "what is known early stays so");
        early
    }

    #[test]
    fn what_no_service_has_is_known_before_anything_is_ready() {
        let cluster = testing::snapshot(&WEB.replace("TYPE", "ClusterIP"));
        for (port, via, why) in [
            (Some("80"), Via::Auto, None),
            (Some("metrics"), Via::ServiceProxy, None),
            (
                Some("9999"),
                Via::Auto,
                Some("no Service leads to it on port 9999: service/web has 80 (http), 9090 (metrics)"),
            ),
            (Some("9999"), Via::Url("http://x/".into()), None),
            (
                None,
                Via::LoadBalancer,
                Some("service/web: no Service of type LoadBalancer leads to it"),
            ),
            (None, Via::NodePort, Some("service/web: no Service with a node port leads to it")),
            // An Ingress is an object of its own, which may still come.
            (None, Via::Ingress, None),
        ] {
            let untried = untried(&cluster, &kind::DEPLOYMENT, port, via.clone());
            assert_eq!(untried.map(|u| u.why).as_deref(), why, "{port:?} {via:?}");
        }
        let balanced = testing::snapshot(&WEB.replace("TYPE", "LoadBalancer"));
        assert_eq!(untried(&balanced, &kind::DEPLOYMENT, None, Via::LoadBalancer), None);
        assert_eq!(untried(&balanced, &kind::DEPLOYMENT, None, Via::NodePort), None);
    }

    #[test]
    fn what_does_not_exist_yet_may_still_have_the_port() {
        let cluster = testing::snapshot(&WEB.replace("TYPE", "ClusterIP"));
        assert_eq!(untried(&cluster, &kind::STATEFUL_SET, Some("9999"), Via::Auto), None);
        let alone = testing::snapshot(WEB.split("---").next().unwrap());
        assert_eq!(
            untried(&alone, &kind::DEPLOYMENT, Some("9999"), Via::Auto),
            None,
            "a Service may come"
        );
    }
}
