//! What the application is asked, and along which way.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

use super::judge::{self, Plan};
use super::route::{self, Route};
use super::untried::{self, Untried};
use super::{external, pod, related, revision};
use crate::model::dial::Speech;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::{ObjectReadiness, State};
use crate::model::text::sanitise;
use crate::rules::context::Context;
use crate::rules::{listen, ports};

/// The way that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// The best that there is.
    #[default]
    Auto,
    /// The address of a Service of type LoadBalancer.
    LoadBalancer,
    /// The address of an Ingress or a Gateway, with the host of its rule.
    Ingress,
    /// The port of a Service on a node.
    NodePort,
    /// A Job in the cluster.
    InCluster,
    /// The API server's proxy to the Service.
    ServiceProxy,
    /// From inside of each pod.
    PortForward,
    /// A URL.
    Url(String),
}

/// What counts as an answer.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The path that is asked for; none means what the probes ask, else a connection.
    pub http: Option<String>,
    /// A connection is enough, whatever the probes ask.
    pub tcp: bool,
    /// The service whose health is asked for over gRPC; empty for the server as a whole.
    pub grpc: Option<String>,
    /// The way.
    pub via: Via,
    /// The Host header, instead of that of the rule or the address.
    pub host: Option<String>,
    /// Whether there is an image for a Job in the cluster.
    pub prober: bool,
    /// Whether the header `Authorization` is sent along, which the API server's proxy keeps to itself.
    pub authorization: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A path, over HTTP.
    Http(String),
    /// Nothing: a connection is made and nothing is sent.
    Connect,
    /// The health of a service, over gRPC; empty for the server as a whole.
    Health(String),
    /// Only whether the name has an address.
    Resolve,
}

impl Ask {
    /// The word as it is printed.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Connect => "tcp",
            Self::Health(_) => "grpc",
            Self::Resolve => "dns",
        }
    }

    /// The path, or the service of gRPC.
    pub fn path(&self) -> &str {
        match self {
            Self::Http(path) => path,
            Self::Health(service) => service,
            Self::Connect | Self::Resolve => "",
        }
    }
}

/// One port of one Service that must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The Service; none where only a URL is asked.
    pub service: Option<ObjectRef>,
    /// Its port.
    pub port: u16,
    /// What is asked along the way.
    pub ask: Ask,
    /// What each pod is asked by itself.
    pub ask_pods: Ask,
    /// Whether TLS is spoken behind the Service.
    pub tls: bool,
    /// Whether the answer decides; otherwise any answer shows that somebody listens.
    pub strict: bool,
    /// The way.
    pub route: Route,
    /// The ready pods behind it, each with the port that it is asked on.
    pub pods: Vec<(String, u16)>,
    /// The pods' port, where nothing turns the Service's into it: whoever calls a headless Service by its own port is refused.
    pub untranslated: Option<i32>,
}

impl Check {
    /// `service/web:80`
    pub fn name(&self) -> String {
        match &self.service {
            Some(service) if self.port == 0 => service.short(),
            Some(service) => {
                let name = format!("{}:{}", service.short(), self.port);
                match self.untranslated {
                    Some(right) => format!("{name} (headless: at its pods' port {right}, not {})", self.port),
                    None => name,
                }
            }
            None => self.route.in_words(),
        }
    }
}

/// The Services that lead to the targets. Who names Services asks for these: others that lead to the same pods are none of their business.
pub(super) fn led_by<'a>(context: &Context<'a>, judged: &[ObjectReadiness], plan: &Plan) -> Vec<(&'a Service, ObjectRef)> {
    let only_named = !plan.targets.is_empty() && plan.targets.iter().all(|t| t.is(&kind::SERVICE));
    judge::services(context, judged)
        .into_iter()
        .map(|service| (service, related::service(service)))
        .filter(|(_, reference)| !only_named || plan.targets.contains(reference))
        .collect()
}

/// What to ask: each TCP port of the Services that lead to the targets. None: nothing can be asked and nothing was asked for.
/// The error says why what was asked for cannot be tried. A port that the way which was asked for does not lead to is left out where it leads to
/// others.
pub fn derive(context: &Context<'_>, judged: &[ObjectReadiness], plan: &Plan, wish: &Wish) -> Result<Vec<Check>, Untried> {
    let mut checks = Vec::new();
    let mut no_way = None;
    if !matches!(wish.via, Via::Url(_))
        && let Some(unread) = unread_services(context, judged)
    {
        return Err(Untried::for_now(format!(
            "services may not be listed in namespace {unread}: whether any leads to it cannot be told"
        )));
    }
    if let Some(never) = untried::never(context, judged, plan, wish) {
        return Err(never);
    }
    for (service, reference) in led_by(context, judged, plan) {
        if ports::is_external_name(service) {
            checks.extend(external::checks(service, &reference, plan, wish).map_err(Untried::for_good)?);
            continue;
        }
        for port in ports::of_service(service) {
            if ports::protocol(port.protocol.as_ref()) != "TCP" || !plan.uses(port) {
                continue;
            }
            let Ok(number) = u16::try_from(port.port) else { continue };
            let mut pods = Vec::new();
            let mut asked = None;
            for pod in ports::pods_behind(context, service) {
                let target = pod
                    .spec
                    .as_ref()
                    .and_then(|s| ports::resolve(s, port))
                    .and_then(|p| u16::try_from(p).ok());
                let Some(target) = target.filter(|_| counts(context, pod)) else {
                    continue;
                };
                asked.get_or_insert_with(|| Asked::of_pod(context, pod, target));
                pods.push((pod.name_any(), target));
            }
            let asked = asked.unwrap_or_else(|| Asked::of_port(port)).wished_for(wish);
            let inner = pods.first().map(|(_, target)| *target);
            let route = match route::choose(context, service, number, inner, &asked.ask, wish) {
                Ok(route) => route,
                Err(why) => {
                    no_way.get_or_insert(why);
                    continue;
                }
            };
            // Over HTTP a Service says more through the API server than a connection inside of its pods would.
            let only_connects = wish.tcp && route != Route::ServiceProxy;
            checks.push(Check {
                service: Some(reference.clone()),
                port: number,
                ask: if only_connects { Ask::Connect } else { asked.ask.clone() },
                ask_pods: asked.ask,
                tls: asked.tls,
                strict: asked.strict,
                route,
                pods,
                untranslated: ports::untranslated(context, service, number),
            });
        }
    }
    if let (true, Via::Url(url)) = (checks.is_empty(), &wish.via) {
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
        });
    }
    if checks.is_empty() && plan.check {
        return Err(Untried::for_now(match (no_way, &plan.port) {
            (Some(why), _) => why,
            (None, Some(port)) => format!("no Service leads to it on TCP port {}, so nothing can be asked", sanitise(port)),
            (None, None) => "no Service leads to it, so nothing can be asked".to_owned(),
        }));
    }
    Ok(checks)
}

/// What a port is to be asked.
struct Asked {
    ask: Ask,
    tls: bool,
    strict: bool,
}

impl Asked {
    /// What the probes of a pod, its Services and names say about one of its ports.
    fn of_pod(context: &Context<'_>, pod: &Pod, port: u16) -> Self {
        let (speech, path, by_probe) = listen::spoken(context, pod, port);
        if let Some((service, strict)) = listen::health_asked(context, pod, port) {
            return Self {
                ask: Ask::Health(service),
                tls: false,
                strict,
            };
        }
        Self {
            ask: match speech {
                Speech::Plain => Ask::Connect,
                Speech::Http | Speech::Https => Ask::Http(if path.is_empty() { "/".to_owned() } else { path }),
            },
            tls: speech == Speech::Https,
            strict: by_probe,
        }
    }

    /// What a port of a Service without pods says of itself.
    fn of_port(port: &k8s_openapi::api::core::v1::ServicePort) -> Self {
        let (speech, health) = listen::spoken_by_port(port);
        Self {
            ask: match speech {
                _ if health => Ask::Health(String::new()),
                Speech::Plain => Ask::Connect,
                Speech::Http | Speech::Https => Ask::Http("/".to_owned()),
            },
            tls: speech == Speech::Https,
            strict: false,
        }
    }

    /// What was asked for decides.
    fn wished_for(self, wish: &Wish) -> Self {
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
                ask: match self.ask {
                    Ask::Health(_) => Ask::Connect,
                    ask => ask,
                },
                strict: false,
                ..self
            },
            _ => self,
        }
    }
}

/// Whether a pod is one that must answer.
fn counts(context: &Context<'_>, pod: &Pod) -> bool {
    matches!(pod::judge(context, pod).state, State::Ready | State::Unknown) && !revision::is_old(context, pod)
}

/// The namespace of a judged workload in which Services could not be listed, so that nobody knows who is to be asked about it.
fn unread_services(context: &Context<'_>, judged: &[ObjectReadiness]) -> Option<String> {
    let serving = judged.iter().map(|j| &j.object).filter(|object| related::may_serve(object));
    let mut namespaces = serving.map(|object| object.namespace.as_str());
    namespaces
        .find(|namespace| !context.snapshot.is_complete(&kind::SERVICE, namespace))
        .map(str::to_owned)
}
