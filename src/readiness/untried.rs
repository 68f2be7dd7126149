//! What was asked for and cannot be tried: a port that no Service has, a way that leads nowhere.

use k8s_openapi::api::core::v1::Service;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::{ObjectReadiness, State};
use crate::readiness::check::{CheckOptions, ProbePath};
use crate::readiness::goal::Goal;
use crate::readiness::{judge, related};
use crate::text::{few, sanitise};
use crate::view::{View, ports};

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
    pub(crate) fn for_now(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_final: false,
        }
    }

    pub(crate) fn for_good(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_final: true,
        }
    }
}

/// The Services that lead to the targets. Where only Services were named, others that lead to the same pods are ignored.
pub(crate) fn led_by<'a>(view: &View<'a>, judged: &[ObjectReadiness], goal: &Goal) -> Vec<(&'a Service, ObjectRef)> {
    let only_named = !goal.targets.is_empty() && goal.targets.iter().all(|t| t.is(&kind::SERVICE));
    judge::services(view, judged)
        .into_iter()
        .map(|service| (service, related::service(service)))
        .filter(|(_, reference)| !only_named || goal.targets.contains(reference))
        .collect()
}

/// Why what was asked for can never be tried, known before anything is ready: the Services that lead there are as they are, and have no such
/// port, or no such way.
pub fn never(view: &View<'_>, judged: &[ObjectReadiness], goal: &Goal, wish: &CheckOptions) -> Option<Untried> {
    // What does not exist yet may still bring the port along, or the Service.
    if matches!(wish.via, ProbePath::Url(_)) || judged.iter().any(|j| j.state == State::NotFound) {
        return None;
    }
    let services: Vec<(&Service, ObjectRef)> = led_by(view, judged, goal);
    let usual = || services.iter().filter(|(service, _)| !ports::is_external_name(service));
    if usual().count() < services.len() || services.is_empty() {
        return None;
    }
    let used = || {
        usual()
            .flat_map(|(service, _)| ports::of_service(service))
            .filter(|port| goal.uses(port))
    };
    if let (Some(port), None) = (&goal.port, used().next()) {
        let has = |(service, reference): &(&Service, ObjectRef)| {
            let ports: Vec<String> = ports::of_service(service).iter().map(ports::shown).collect();
            format!("{} has {}", reference.short(), few(&ports, SHOWN))
        };
        let has: Vec<String> = usual().map(has).collect();
        return Some(Untried::for_good(format!(
            "no Service selects it on port {}: {}",
            sanitise(port),
            few(&has, SHOWN)
        )));
    }
    let names: Vec<String> = usual().map(|(_, reference)| reference.short()).collect();
    let names = few(&names, SHOWN);
    let type_of = |service: &Service| service.spec.as_ref().and_then(|s| s.type_.clone()).unwrap_or_default();
    match wish.via {
        ProbePath::LoadBalancer if usual().all(|(service, _)| type_of(service) != "LoadBalancer") => {
            Some(Untried::for_good(format!("{names}: no Service of type LoadBalancer selects it")))
        }
        ProbePath::NodePort if usual().all(|(service, _)| !matches!(type_of(service).as_str(), "LoadBalancer" | "NodePort")) => {
            Some(Untried::for_good(format!("{names}: no Service with a node port selects it")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Snapshot;
    use crate::readiness::derive::derive;
    use crate::testing;
    use crate::view::Options;

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

    fn untried(snapshot: &Snapshot, kind: &kind::Kind, port: Option<&str>, via: ProbePath) -> Option<Untried> {
        let view = View::new(snapshot, Options::default());
        let goal = Goal {
            targets: vec![ObjectRef::new(kind, "shop", "web")],
            check: true,
            port: port.map(str::to_owned),
            ..Goal::default()
        };
        let judged = judge::judge(&view, &goal);
        let wish = CheckOptions {
            via,
            ..CheckOptions::default()
        };
        let early = never(&view, &judged, &goal, &wish);
        let late = derive(&view, &judged, &goal, &wish).err();
        assert_eq!(early, late.filter(|untried| untried.is_final), "what is known early stays so");
        early
    }

    #[test]
    fn an_unknown_service_port_is_reported_before_anything_is_ready() {
        let cluster = testing::snapshot(&WEB.replace("TYPE", "ClusterIP"));
        for (port, via, why) in [
            (Some("80"), ProbePath::Auto, None),
            (Some("metrics"), ProbePath::ServiceProxy, None),
            (
                Some("9999"),
                ProbePath::Auto,
                Some("no Service selects it on port 9999: service/web has 80 (http), 9090 (metrics)"),
            ),
            (Some("9999"), ProbePath::Url("http://x/".into()), None),
            (
                None,
                ProbePath::LoadBalancer,
                Some("service/web: no Service of type LoadBalancer selects it"),
            ),
            (
                None,
                ProbePath::NodePort,
                Some("service/web: no Service with a node port selects it"),
            ),
            // An Ingress is an object of its own, which may still come.
            (None, ProbePath::Ingress, None),
        ] {
            let untried = untried(&cluster, &kind::DEPLOYMENT, port, via.clone());
            assert_eq!(untried.map(|u| u.why).as_deref(), why, "{port:?} {via:?}");
        }
        let balanced = testing::snapshot(&WEB.replace("TYPE", "LoadBalancer"));
        assert_eq!(untried(&balanced, &kind::DEPLOYMENT, None, ProbePath::LoadBalancer), None);
        assert_eq!(untried(&balanced, &kind::DEPLOYMENT, None, ProbePath::NodePort), None);
    }

    #[test]
    fn future_pods_may_still_have_the_port() {
        let cluster = testing::snapshot(&WEB.replace("TYPE", "ClusterIP"));
        assert_eq!(untried(&cluster, &kind::STATEFUL_SET, Some("9999"), ProbePath::Auto), None);
        let alone = testing::snapshot(WEB.split("---").next().unwrap());
        assert_eq!(
            untried(&alone, &kind::DEPLOYMENT, Some("9999"), ProbePath::Auto),
            None,
            "a Service may come"
        );
    }
}
