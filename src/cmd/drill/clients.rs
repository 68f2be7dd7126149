//! Where the clients of a drill make requests.

use http::Method;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::cluster::{Direct, Headers, Question, Trust};
use crate::cmd::drill::run_args::ClientArgs;
use crate::drill::meter::Client;
use crate::exit::{Exit, Failure};
use crate::model::drill::{Connections, MeasuredRole};
use crate::model::snapshot::Snapshot;
use crate::observe::drill::meter::Target;
use crate::observe::headers::Sent;

/// The flags about clients, checked.
pub(super) struct Clients<'a> {
    args: &'a ClientArgs,
    method: Method,
    headers: Headers,
    trust: Trust,
}

/// `svc/NAME:PORT/PATH`, without what is left out.
struct OfService<'a> {
    name: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

fn of_service(text: &str) -> Option<OfService<'_>> {
    let rest = ["svc/", "service/", "services/"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))?;
    let (at, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let (name, port) = match at.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (at, None),
    };
    Some(OfService { name, port, path })
}

impl<'a> Clients<'a> {
    /// Checks what can be checked without the cluster.
    pub(super) fn new(args: &'a ClientArgs) -> Result<Self, Failure> {
        if args.interval.is_zero() || args.answer_timeout.is_zero() {
            return Err(Failure::usage("--interval and --answer-timeout must be longer than 0"));
        }
        for url in args.target.iter().chain(&args.watch).filter(|text| of_service(text).is_none()) {
            Direct::of_url(url).map_err(Failure::usage)?;
        }
        let method = Method::from_bytes(args.http_method.as_bytes());
        Ok(Self {
            args,
            method: method.map_err(|_| Failure::usage(format!("{:?} is no HTTP method", args.http_method)))?,
            headers: Sent::read(&args.header).map_err(Failure::usage)?.headers().clone(),
            trust: Trust::of_anybody().map_err(|why| Failure::new(Exit::Fault, why))?,
        })
    }

    /// What each client asks, and where; Services are looked up.
    pub(super) fn targets(&self, snapshot: &Snapshot, namespace: &str) -> Result<Vec<Target>, Failure> {
        let of_role = |role, texts: &'a [String]| texts.iter().map(move |text| (role, text));
        let all = of_role(MeasuredRole::Target, &self.args.target).chain(of_role(MeasuredRole::Dependant, &self.args.watch));
        let mut targets = Vec::new();
        for (role, text) in all {
            let url = match of_service(text) {
                Some(wanted) => url(&wanted, snapshot, namespace)?,
                None => text.clone(),
            };
            let (to, question) = Direct::of_url(&url).map_err(Failure::usage)?;
            let question = self.question(question);
            // Only HTTP is asked again on a connection that is there.
            let kept = matches!(question, Question::Http { .. }).then_some(Connections::Kept);
            targets.extend([Some(Connections::New), kept].into_iter().flatten().map(|connections| Target {
                client: Client {
                    name: text.clone(),
                    role,
                    connections,
                    interval: self.args.interval,
                },
                to: to.clone(),
                question: question.clone(),
                trust: self.trust.clone(),
                limit: self.args.answer_timeout,
            }));
        }
        Ok(targets)
    }

    fn question(&self, question: Question) -> Question {
        match question {
            Question::Http { path, .. } => Question::Http {
                method: self.method.clone(),
                path,
                headers: self.headers.clone(),
                body: self.args.body.clone().into(),
            },
            Question::Health { service, .. } => Question::Health {
                service,
                headers: self.headers.clone(),
            },
            Question::Connect => Question::Connect,
        }
    }
}

/// The URL of the load balancer of a Service.
fn url(wanted: &OfService<'_>, snapshot: &Snapshot, namespace: &str) -> Result<String, Failure> {
    let named = |service: &&Service| service.namespace().as_deref() == Some(namespace) && service.name_any() == wanted.name;
    let service = snapshot.objects.services.iter().find(named).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!("service {} not found in namespace {namespace}", wanted.name),
        )
        .hint(crate::text::command("kubectl get services -n {}", &[&namespace]).to_string())
    })?;
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let asked = |port: &str, number: i32, name: Option<&str>| port == number.to_string() || Some(port) == name;
    let port = ports
        .clone()
        .find(|port| wanted.port.is_none_or(|wanted| asked(wanted, port.port, port.name.as_deref())))
        .ok_or_else(|| Failure::usage(format!("service {} has no port {}", wanted.name, wanted.port.unwrap_or_default())))?;
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()?.first());
    let address = ingress
        .and_then(|first| first.ip.as_ref().or(first.hostname.as_ref()))
        .ok_or_else(|| {
            Failure::new(
                Exit::NotInjected,
                format!(
                    "service {} has no load balancer with an address, so that no client can reach it from here",
                    wanted.name
                ),
            )
            .hint("name the URL of an Ingress or a node with --target")
        })?;
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.clone()
    };
    let is_tls = port.port == 443 || port.name.as_deref() == Some("https") || port.app_protocol.as_deref() == Some("https");
    let scheme = if is_tls { "https" } else { "http" };
    Ok(format!("{scheme}://{address}:{}{}", port.port, wanted.path))
}
