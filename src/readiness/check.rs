//! What the application is asked, and along which way: the types.

use std::time::Duration;

use crate::model::finding::ObjectRef;
use crate::readiness::route::Route;

/// How long an answer may take, where neither a probe nor a flag allows more.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// The way that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProbePath {
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
    /// From inside each pod.
    PortForward,
    /// A URL.
    Url(String),
}

/// What counts as an answer.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// The path that is asked for; none means what the probes ask, else a connection.
    pub http: Option<String>,
    /// A connection is enough, whatever the probes ask.
    pub tcp: bool,
    /// The service whose health is asked for over gRPC; empty for the server as a whole.
    pub grpc: Option<String>,
    /// The way.
    pub via: ProbePath,
    /// The Host header, instead of that of the rule or the address.
    pub host: Option<String>,
    /// How long an answer may take; none means as long as the probes allow.
    pub answer_timeout: Option<Duration>,
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
    /// The pods' port, where nothing turns the Service's into it: clients that call a headless Service on its own port are refused.
    pub untranslated: Option<i32>,
    /// How long an answer may take.
    pub limit: Duration,
    /// The addresses that a load balancer admits, where it does not admit all.
    pub admitted: Vec<String>,
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
