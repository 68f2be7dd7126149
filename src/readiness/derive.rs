//! Which checks follow from the Services that lead to the targets.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::dial::Speech;
use crate::model::kind;
use crate::model::readiness::ObjectReadiness;
use crate::readiness::check::{ANSWER_LIMIT, Ask, Check, CheckOptions, ProbePath};
use crate::readiness::goal::Goal;
use crate::readiness::route::Route;
use crate::readiness::untried::{Untried, led_by};
use crate::readiness::{choose, external, related, untried};
use crate::text::sanitise;
use crate::view::{View, ports, revision, rollout};

/// What to ask: each TCP port of the Services that lead to the targets. None: nothing can be asked and nothing was asked for.
/// The error says why what was asked for cannot be tried. A port that the way which was asked for does not lead to is left out where it leads to
/// others.
pub fn derive(view: &View<'_>, judged: &[ObjectReadiness], goal: &Goal, wish: &CheckOptions) -> Result<Vec<Check>, Untried> {
    let mut checks = Vec::new();
    let mut no_way = None;
    if !matches!(wish.via, ProbePath::Url(_))
        && let Some(unread) = unread_services(view, judged)
    {
        return Err(Untried::for_now(format!(
            "services may not be listed in namespace {unread}: cannot tell whether any selects it"
        )));
    }
    if let Some(never) = untried::never(view, judged, goal, wish) {
        return Err(never);
    }
    for (service, reference) in led_by(view, judged, goal) {
        if ports::is_external_name(service) {
            checks.extend(external::checks(service, &reference, goal, wish).map_err(Untried::for_good)?);
            continue;
        }
        for port in ports::of_service(service) {
            if ports::protocol(port.protocol.as_ref()) != "TCP" || !goal.uses(port) {
                continue;
            }
            let Ok(number) = u16::try_from(port.port) else { continue };
            let mut pods = Vec::new();
            let mut asked = None;
            for pod in ports::pods_behind(view, service) {
                let target = pod
                    .spec
                    .as_ref()
                    .and_then(|s| ports::resolve(s, port))
                    .and_then(|p| u16::try_from(p).ok());
                let Some(target) = target.filter(|_| counts(view, pod)) else {
                    continue;
                };
                asked.get_or_insert_with(|| Asked::of_pod(view, pod, target));
                pods.push((pod.name_any(), target));
            }
            let asked = asked.unwrap_or_else(|| Asked::of_port(port)).wished_for(wish);
            let inner = pods.first().map(|(_, target)| *target);
            let route = match choose::choose(view, service, number, inner, &asked.ask, wish) {
                Ok(route) => route,
                Err(why) => {
                    no_way.get_or_insert(why);
                    continue;
                }
            };
            checks.push(Check {
                service: Some(reference.clone()),
                port: number,
                ask: asked.ask.clone(),
                ask_pods: asked.ask,
                tls: asked.tls,
                strict: asked.strict,
                route,
                pods,
                untranslated: ports::untranslated(view, service, number),
                limit: asked.limit,
                admitted: service
                    .spec
                    .iter()
                    .flat_map(|s| s.load_balancer_source_ranges.iter().flatten())
                    .cloned()
                    .collect(),
            });
        }
    }
    if let (true, ProbePath::Url(url)) = (checks.is_empty(), &wish.via) {
        let ask = Ask::Http(wish.http.clone().unwrap_or_default());
        checks.push(Check {
            service: None,
            port: 0,
            ask: ask.clone(),
            ask_pods: ask,
            tls: false,
            strict: true,
            route: Route::Url(url.clone()),
            pods: Vec::new(),
            untranslated: None,
            limit: wish.answer_timeout.unwrap_or(ANSWER_LIMIT),
            admitted: Vec::new(),
        });
    }
    if checks.is_empty() && goal.check {
        return Err(Untried::for_now(match (no_way, &goal.port) {
            (Some(why), _) => why,
            (None, Some(port)) => format!(
                "no Service selects it on TCP port {}, so the application cannot be checked",
                sanitise(port)
            ),
            (None, None) => "no Service selects it, so the application cannot be checked".to_owned(),
        }));
    }
    Ok(checks)
}

/// What a port is to be asked.
struct Asked {
    ask: Ask,
    tls: bool,
    strict: bool,
    limit: Duration,
}

impl Asked {
    /// What the probes of a pod, its Services and names say about one of its ports.
    fn of_pod(view: &View<'_>, pod: &Pod, port: u16) -> Self {
        let (speech, path, by_probe) = crate::facts::listening::uses::spoken(view, pod, port);
        let limit = crate::facts::listening::uses::probe_timeout(view, pod, port).max(ANSWER_LIMIT);
        if let Some((service, strict)) = crate::facts::listening::uses::health_asked(view, pod, port) {
            return Self {
                ask: Ask::Health(service),
                tls: false,
                strict,
                limit,
            };
        }
        Self {
            ask: match speech {
                Speech::Plain => Ask::Connect,
                Speech::Http | Speech::Https => Ask::Http(if path.is_empty() { "/".to_owned() } else { path }),
            },
            tls: speech == Speech::Https,
            strict: by_probe,
            limit,
        }
    }

    /// What a port of a Service without pods says of itself.
    fn of_port(port: &k8s_openapi::api::core::v1::ServicePort) -> Self {
        let (speech, health) = crate::facts::listening::uses::spoken_by_port(port);
        Self {
            ask: match speech {
                _ if health => Ask::Health(String::new()),
                Speech::Plain => Ask::Connect,
                Speech::Http | Speech::Https => Ask::Http("/".to_owned()),
            },
            tls: speech == Speech::Https,
            strict: false,
            limit: ANSWER_LIMIT,
        }
    }

    /// What was asked for decides.
    fn wished_for(mut self, wish: &CheckOptions) -> Self {
        self.limit = wish.answer_timeout.unwrap_or(self.limit);
        match (&wish.http, &wish.grpc) {
            (Some(path), _) => Self {
                ask: Ask::Http(if path.is_empty() { "/".to_owned() } else { path.clone() }),
                strict: true,
                ..self
            },
            (None, Some(service)) => Self {
                ask: Ask::Health(service.clone()),
                strict: true,
                ..self
            },
            _ if wish.tcp => Self {
                // The API server's proxy carries HTTP only: any answer shows that there is a connection.
                ask: match self.ask {
                    Ask::Http(path) if wish.via == ProbePath::ServiceProxy => Ask::Http(path),
                    _ => Ask::Connect,
                },
                strict: false,
                ..self
            },
            _ => self,
        }
    }
}

/// Whether a pod is one that must answer.
fn counts(view: &View<'_>, pod: &Pod) -> bool {
    rollout::pod::state(view, pod).is_ready() && !revision::is_old(view, pod)
}

/// The namespace of a judged workload in which Services could not be listed, so that nobody knows who is to be asked about it.
fn unread_services(view: &View<'_>, judged: &[ObjectReadiness]) -> Option<String> {
    let serving = judged.iter().map(|j| &j.object).filter(|object| related::may_serve(object));
    let mut namespaces = serving.map(|object| object.namespace.as_str());
    namespaces
        .find(|namespace| !view.snapshot.is_complete(&kind::SERVICE, namespace))
        .map(str::to_owned)
}
