//! Where the clients of a drill make requests.

use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt;

use crate::cluster::{Connection, Direct, Headers, Question, Told, Trust};
use crate::cmd::drill::run_args::{ClientArgs, RunArgs};
use crate::drill::meter::Client;
use crate::exit::{Exit, Failure};
use crate::facts::listening::uses::spoken_by_port;
use crate::model::dial::Speech;
use crate::model::drill::{Connections, MeasuredFrom, MeasuredRole};
use crate::model::snapshot::Snapshot;
use crate::observe::drill::meter::{Ask, Target};
use crate::observe::headers::Sent;
use crate::readiness;
use crate::readiness::check::{CheckOptions, ProbePath};
use crate::readiness::choose::choose;
use crate::readiness::prober;
use crate::readiness::route::Route;
use crate::readiness::service::load_balancer;
use crate::view::{Options, View, ports};

/// How long a connection may take to tell whether an address can be reached from here.
const REACHED_WITHIN: Duration = Duration::from_secs(2);

/// The flags about clients, checked.
pub(super) struct Clients<'a> {
    args: &'a ClientArgs,
    /// Whether there is an image for a Job in the cluster.
    has_image: bool,
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
    pub(super) fn new(args: &'a RunArgs) -> Result<Self, Failure> {
        let (args, image) = (&args.clients, args.fault.probe_image.as_deref());
        if args.interval.is_zero() || args.answer_timeout.is_zero() {
            return Err(Failure::usage("--interval and --answer-timeout must be longer than 0"));
        }
        for url in args.target.iter().chain(&args.watch).filter(|text| of_service(text).is_none()) {
            Direct::of_url(url).map_err(Failure::usage)?;
        }
        let method = Method::from_bytes(args.http_method.as_bytes());
        Ok(Self {
            args,
            has_image: image.is_some(),
            method: method.map_err(|_| Failure::usage(format!("{:?} is not an HTTP method", args.http_method)))?,
            headers: Sent::read(&args.header).map_err(Failure::usage)?.headers().clone(),
            trust: Trust::of_anybody().map_err(|why| Failure::new(Exit::Fault, why))?,
        })
    }

    /// Whether all that is asked is a URL, and what is behind it does not matter, so that no object has to be known.
    pub(super) fn are_known(&self) -> bool {
        self.args.watch.is_empty() && self.args.target.iter().all(|text| of_service(text).is_none())
    }

    /// What each client asks, and where; Services are looked up.
    pub(super) async fn targets(&self, connection: &Connection, snapshot: &Snapshot) -> Result<Vec<Target>, Failure> {
        let view = View::new(snapshot, Options::default());
        let of_role = |role, texts: &'a [String]| texts.iter().map(move |text| (role, text));
        let all = of_role(MeasuredRole::Target, &self.args.target).chain(of_role(MeasuredRole::Dependant, &self.args.watch));
        let mut targets = Vec::new();
        for (role, text) in all {
            let wanted = of_service(text);
            let ask = match &wanted {
                Some(wanted) => self.of_service(wanted, connection, &view).await?,
                None => {
                    let (to, question) = Direct::of_url(text).map_err(Failure::usage)?;
                    self.directly(to, question)
                }
            };
            let service = match (&wanted, &ask) {
                (Some(wanted), _) => Some(wanted.name.to_owned()),
                (None, Ask::Directly { to, .. }) => balanced(snapshot, &to.address),
                (None, Ask::Inside(_)) => None,
            };
            // Only HTTP is asked again on a connection that is there, and only from here.
            let is_http = matches!(
                &ask,
                Ask::Directly {
                    question: Question::Http { .. },
                    ..
                }
            );
            let kinds = [Some(Connections::New), is_http.then_some(Connections::Kept)];
            targets.extend(kinds.into_iter().flatten().map(|connections| Target {
                client: Client {
                    name: text.clone(),
                    role,
                    connections,
                    from: match ask {
                        Ask::Directly { .. } => MeasuredFrom::Here,
                        Ask::Inside(_) => MeasuredFrom::Cluster,
                    },
                    interval: self.args.interval,
                },
                service: service.clone(),
                ask: ask.clone(),
                limit: self.args.answer_timeout,
            }));
        }
        Ok(targets)
    }

    fn directly(&self, to: Direct, question: Question) -> Ask {
        let question = match question {
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
        };
        let trust = self.trust.clone();
        Ask::Directly { to, question, trust }
    }

    /// The way to a Service: its load balancer, an Ingress or a Gateway, or a Job inside the cluster where none of them is there or can be
    /// connected to from here.
    async fn of_service(&self, wanted: &OfService<'_>, connection: &Connection, view: &View<'_>) -> Result<Ask, Failure> {
        let namespace = connection.default_namespace();
        let (service, port) = found(wanted, view, namespace)?;
        let number = u16::try_from(port.port).unwrap_or_default();
        let inner = ports::pods_behind(view, service).into_iter().find_map(|pod| {
            let port = ports::resolve(pod.spec.as_ref()?, port)?;
            u16::try_from(port).ok()
        });
        let tls = number == 443 || spoken_by_port(port).0 == Speech::Https;
        let way = |via: ProbePath| {
            let wish = CheckOptions {
                via,
                prober: self.has_image,
                ..CheckOptions::default()
            };
            choose(
                view,
                service,
                number,
                inner,
                &readiness::check::Ask::Http(wanted.path.to_owned()),
                &wish,
            )
        };
        let to = match way(ProbePath::Auto).map_err(Failure::usage)? {
            Route::LoadBalancer(address, port) => Some((address, port, String::new(), tls)),
            Route::Fronted(front) => Some((front.address, front.port, front.host, front.tls)),
            _ => None,
        };
        if let Some((address, port, host, tls)) = to {
            let to = Direct { address, port, host, tls };
            let question = Question::get(wanted.path.to_owned(), Headers::new());
            if !self.has_image || self.can_be_reached(connection, &to).await {
                return Ok(self.directly(to, question));
            }
        }
        match way(ProbePath::InCluster) {
            Ok(Route::InCluster { host, port }) if self.has_image => self.inside(host, port, tls, wanted.path),
            _ => Err(Failure::new(
                Exit::NotInjected,
                format!(
                    "service {} has no load balancer, Ingress or Gateway with an address, so no client can reach it from here",
                    wanted.name
                ),
            )
            .hint("use --probe-image busybox to make the requests inside the cluster, or set --target to a URL")),
        }
    }

    async fn can_be_reached(&self, connection: &Connection, to: &Direct) -> bool {
        let answer = connection.ask_directly(to, &Question::Connect, &self.trust, REACHED_WITHIN).await;
        matches!(answer.told, Told::Accepted | Told::Refused)
    }

    fn inside(&self, host: String, port: u16, tls: bool, path: &str) -> Result<Ask, Failure> {
        if self.method != Method::GET || !self.args.header.is_empty() || !self.args.body.is_empty() {
            return Err(Failure::usage(
                "inside the cluster, requests use GET without --header and --body: others could read these in the Job",
            ));
        }
        Ok(Ask::Inside(prober::Question {
            kind: if tls { prober::Kind::Https } else { prober::Kind::Http },
            host,
            port,
            path: path.to_owned(),
            name: String::new(),
            limit: self.args.answer_timeout,
        }))
    }
}

/// The Service whose load balancer has an address.
fn balanced(snapshot: &Snapshot, address: &str) -> Option<String> {
    let has_it = |service: &&Service| {
        let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        load_balancer(status).is_ok_and(|addresses| addresses.iter().any(|one| one == address))
    };
    snapshot.objects.services.iter().find(has_it).map(ResourceExt::name_any)
}

/// A Service of the namespace, and the port of it that is wanted.
fn found<'a>(wanted: &OfService<'_>, view: &View<'a>, namespace: &str) -> Result<(&'a Service, &'a ServicePort), Failure> {
    let service = view.service(namespace, wanted.name).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            format!("service {} not found in namespace {namespace}", wanted.name),
        )
        .hint(crate::text::command("kubectl get services -n {}", &[&namespace]).to_string())
    })?;
    let is_wanted = |port: &&ServicePort| {
        let asked = |wanted: &str| port.port.to_string() == wanted || port.name.as_deref() == Some(wanted);
        wanted.port.is_none_or(asked)
    };
    let port = ports::of_service(service).iter().find(is_wanted);
    let port = port.ok_or_else(|| Failure::usage(format!("service {} has no port {}", wanted.name, wanted.port.unwrap_or_default())))?;
    Ok((service, port))
}
