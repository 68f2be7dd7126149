//! What the application is asked, and along which way.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

use super::judge::{self, Plan};
use super::{pod, revision, service};
use crate::model::dial::Speech;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::readiness::{ObjectReadiness, State};
use crate::rules::context::{Context, condition, has_ended};
use crate::rules::scope::ingress_services;
use crate::rules::{listen, ports};

/// What has been rolled out within this time has yet to show that it stays.
const YOUNG: Duration = Duration::from_secs(60);

/// The way that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// The best that there is.
    #[default]
    Auto,
    /// The address of a Service of type LoadBalancer.
    LoadBalancer,
    /// The address of an Ingress, with the host of its rule.
    Ingress,
    /// The API server's proxy to the Service.
    ServiceProxy,
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
    /// The way.
    pub via: Via,
    /// The Host header, instead of that of the rule or the address.
    pub host: Option<String>,
}

/// A way to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// An address and port that is connected to from here.
    LoadBalancer(String, u16),
    /// An Ingress.
    Ingress {
        /// Its address.
        address: String,
        /// The host of its rule; empty where it has none.
        host: String,
        /// The path of its rule.
        path: String,
    },
    /// By the API server.
    ServiceProxy,
    /// Another URL.
    Url(String),
}

impl Route {
    /// What an answer along it proves.
    pub const fn proves(&self) -> &'static str {
        match self {
            Self::LoadBalancer(..) => "load-balancer",
            Self::Ingress { .. } => "ingress",
            Self::ServiceProxy => "service-proxy",
            Self::Url(_) => "url",
        }
    }

    /// `load balancer 192.0.2.1:80`
    pub fn in_words(&self) -> String {
        match self {
            Self::LoadBalancer(address, port) => format!("load balancer {address}:{port}"),
            Self::Ingress { address, host, .. } => format!("ingress {host} at {address}"),
            Self::ServiceProxy => "the API server's proxy".to_owned(),
            Self::Url(url) => url.clone(),
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
    /// What is spoken.
    pub speech: Speech,
    /// The path that is asked for.
    pub path: String,
    /// Whether the status decides; otherwise any answer shows that somebody listens.
    pub strict: bool,
    /// The way.
    pub route: Route,
    /// The ready pods behind it, each with the port that it is asked on.
    pub pods: Vec<(String, u16)>,
}

impl Check {
    /// `service/web:80`
    pub fn name(&self) -> String {
        match &self.service {
            Some(service) => format!("{}:{}", service.short(), self.port),
            None => self.route.in_words(),
        }
    }
}

/// What to ask: each TCP port of the Services that lead to the targets. None: nothing can be asked and nothing was asked for.
/// The error says why what was asked for cannot be tried.
pub fn derive(context: &Context<'_>, judged: &[ObjectReadiness], plan: &Plan, wish: &Wish) -> Result<Vec<Check>, String> {
    let mut checks = Vec::new();
    for service in judge::services(context, judged) {
        if ports::is_external_name(service) {
            continue;
        }
        for port in ports::of_service(service) {
            if ports::protocol(port.protocol.as_ref()) != "TCP" || !plan.uses(port) {
                continue;
            }
            let Ok(number) = u16::try_from(port.port) else { continue };
            let mut pods = Vec::new();
            let mut spoken = None;
            for pod in ports::pods_behind(context, service) {
                let target = pod
                    .spec
                    .as_ref()
                    .and_then(|s| ports::resolve(s, port))
                    .and_then(|p| u16::try_from(p).ok());
                let Some(target) = target.filter(|_| counts(context, pod)) else {
                    continue;
                };
                spoken.get_or_insert_with(|| listen::spoken(context, pod, target));
                pods.push((pod.name_any(), target));
            }
            let (speech, path, by_probe) = spoken.unwrap_or((Speech::Http, "/".to_owned(), false));
            let (path, strict) = match &wish.http {
                Some(path) => (path.clone(), true),
                None => (path, by_probe && !wish.tcp),
            };
            checks.push(Check {
                service: Some(ObjectRef::new(
                    &kind::SERVICE,
                    &service.namespace().unwrap_or_default(),
                    &service.name_any(),
                )),
                port: number,
                speech: if wish.http.is_some() && speech == Speech::Plain {
                    Speech::Http
                } else {
                    speech
                },
                path: if path.is_empty() { "/".to_owned() } else { path },
                strict,
                route: route(context, service, number, wish)?,
                pods,
            });
        }
    }
    if let (true, Via::Url(url)) = (checks.is_empty(), &wish.via) {
        checks.push(Check {
            service: None,
            port: 0,
            speech: Speech::Http,
            path: wish.http.clone().unwrap_or_default(),
            strict: true,
            route: Route::Url(url.clone()),
            pods: Vec::new(),
        });
    }
    if checks.is_empty() && plan.check {
        return Err(match &plan.port {
            Some(port) => format!("no Service leads to it on port {port}, so nothing can be asked"),
            None => "no Service leads to it, so nothing can be asked".to_owned(),
        });
    }
    Ok(checks)
}

/// Whether a pod is one that must answer.
fn counts(context: &Context<'_>, pod: &Pod) -> bool {
    matches!(pod::judge(context, pod).state, State::Ready | State::Unknown) && !revision::is_old(context, pod)
}

fn route(context: &Context<'_>, of: &Service, port: u16, wish: &Wish) -> Result<Route, String> {
    let name = of.name_any();
    let status = of.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    let is_balanced = of.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some("LoadBalancer");
    let balancer = || {
        let address = service::load_balancer(status).ok()?.into_iter().next()?;
        is_balanced.then_some(Route::LoadBalancer(address, port))
    };
    match &wish.via {
        Via::Url(url) => Ok(Route::Url(url.clone())),
        Via::ServiceProxy => Ok(Route::ServiceProxy),
        Via::LoadBalancer => balancer().ok_or_else(|| format!("service/{name} has no load balancer to be asked through")),
        Via::Ingress => ingress(context, of, wish).ok_or_else(|| format!("no Ingress with an address leads to service/{name}")),
        Via::Auto => Ok(balancer().or_else(|| ingress(context, of, wish)).unwrap_or(Route::ServiceProxy)),
    }
}

fn ingress(context: &Context<'_>, of: &Service, wish: &Wish) -> Option<Route> {
    let name = of.name_any();
    let mut leading = context
        .snapshot
        .objects
        .ingresses
        .iter()
        .filter(|i| i.namespace() == of.namespace() && ingress_services(i).contains(&name));
    leading.find_map(|ingress| {
        let entries = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
        let address = service::addresses(entries.iter().map(|e| e.ip.as_deref().or(e.hostname.as_deref()))).ok()?;
        let rules = ingress.spec.as_ref().and_then(|s| s.rules.as_ref());
        let rule = rules.into_iter().flatten().find_map(|rule| {
            let paths = &rule.http.as_ref()?.paths;
            let path = paths.iter().find(|p| p.backend.service.as_ref().is_some_and(|s| s.name == name))?;
            Some((
                rule.host.clone().unwrap_or_default(),
                path.path.clone().unwrap_or_else(|| "/".to_owned()),
            ))
        });
        let (host, path) = rule.unwrap_or_else(|| (String::new(), "/".to_owned()));
        // `*.example.org` takes any name below it.
        let host = wish.host.clone().unwrap_or_else(|| host.replacen("*.", "podlife.", 1));
        Some(Route::Ingress {
            address: address.into_iter().next()?,
            host,
            path,
        })
    })
}

/// How long answers must last where nothing was said: what has just been rolled out must stay for a while.
pub fn span(context: &Context<'_>, judged: &[ObjectReadiness], young: Duration) -> Duration {
    let workloads = context.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
    let is_young = workloads.flat_map(|w| w.pods.iter()).filter(|pod| !has_ended(pod)).any(|pod| {
        let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let since = conditions
            .filter(|c| c.type_ == "Ready")
            .filter_map(|c| c.last_transition_time.as_ref());
        condition(pod, "Ready").is_some() && since.map(|t| context.age(t.0)).any(|age| age < YOUNG)
    });
    if is_young { young } else { Duration::ZERO }
}
