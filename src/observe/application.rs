//! One round of checks: asks the application along each network path that counts, and each ready pod behind it.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all, join3};
use http::header::HeaderValue;
use tokio::time::Instant;

use crate::cluster::{Answer, ApiError, ApiErrorKind, Connection, Direct, Headers, PodPort, Proxied, Question, Told, Trust};
use crate::model::finding::ObjectRef;
use crate::observe::expected::{Expected, judge};
use crate::observe::headers::Sent;
use crate::observe::prober::Prober;
use crate::readiness::check::{Ask, Check};
use crate::readiness::fault::Fault;
use crate::readiness::prober;
use crate::readiness::route::{Front, Route};
use crate::text::{few, shorten};
use crate::view::FailingPod;

/// Pods that are asked by themselves in one round at most; the next round goes on with the next ones.
const MOST_PODS: usize = 16;
/// Addresses of clients that are written out.
const ADMITTED_SHOWN: usize = 3;

/// Checks the application; holds what counts as an answer.
pub(crate) struct AppProber {
    pub(crate) connection: Connection,
    pub(crate) expected: Expected,
    /// Headers that are sent with each request.
    pub(crate) sent: Sent,
    /// The host that is requested instead of the address.
    pub(crate) host: Option<String>,
    /// Whose certificates count where a host is known.
    pub(crate) trust: Trust,
    /// Any certificate: for addresses whose host nobody has named.
    pub(crate) anybody: Trust,
    /// The prober inside the cluster, where an image for it was given.
    pub(crate) prober: Option<Prober>,
    /// Whether the network path is chosen automatically, so that it has to prove as much as it can.
    pub(crate) chooses: bool,
}

/// One round: each check along its network path, and each ready pod. The text of a fault holds no value of a header.
pub(crate) async fn round(prober: Arc<AppProber>, checks: Vec<Check>, number: u32) -> Result<(), Fault> {
    let begun = Instant::now();
    let shortest = checks.iter().map(|check| check.limit).min().unwrap_or_default();
    let fault = match prober.of_checks(&checks, number).await {
        Ok(()) => return Ok(()),
        // Only silence may come from the API server, through which the pods are asked.
        Err(fault @ (Fault::Failing(_) | Fault::OfPods(..))) if begun.elapsed() >= shortest => match prober.connection.answers().await {
            Ok(()) => fault,
            Err(silence) => Fault::Pending(format!("nothing can be checked: {}", in_short(&silence))),
        },
        Err(fault) => fault,
    };
    Err(fault.map(|why| prober.sent.mask(why)))
}

/// The question of a check that runs inside the cluster; none for another path. The error says why it cannot be asked.
fn from_inside(check: &Check, host: Option<&str>) -> Result<Option<prober::Question>, Fault> {
    let Route::InCluster { host: service, port } = &check.route else {
        return Ok(None);
    };
    let (kind, path) = match &check.ask {
        Ask::Http(path) if check.tls => (prober::Kind::Https, path.as_str()),
        Ask::Http(path) => (prober::Kind::Http, path.as_str()),
        Ask::Connect | Ask::Resolve => (prober::Kind::Connect, ""),
        Ask::Health(_) => {
            let why = "the prober cannot check the health of a gRPC server; try --via port-forward or --tcp";
            return Err(Fault::Never(format!("{}: {why}", check.name())));
        }
    };
    let path = if path.starts_with('/') || path.is_empty() {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Ok(Some(prober::Question {
        kind,
        host: service.clone(),
        port: *port,
        path,
        name: host.unwrap_or_default().to_owned(),
        limit: check.limit,
    }))
}

/// What came of a check of one pod.
enum PodOutcome {
    Answers,
    /// It may not be asked.
    NotAllowed(String),
    /// It answers, though not as asked; with this status, where it has one.
    Unexpected(String, Option<u16>),
    Fails(String),
    /// The question has not reached it.
    Unasked(Fault),
}

impl AppProber {
    async fn of_checks(&self, checks: &[Check], number: u32) -> Result<(), Fault> {
        let questions: Vec<Option<prober::Question>> = checks
            .iter()
            .map(|check| from_inside(check, self.host.as_deref()))
            .collect::<Result<_, Fault>>()?;
        // From where the Service is: there its clients are most likely to be.
        let namespace = |check: &Check| check.service.as_ref().map(|s| s.namespace.clone()).unwrap_or_default();
        let asked = checks.iter().zip(&questions);
        let from_inside: Vec<(String, prober::Question)> = asked
            .filter_map(|(check, question)| Some((namespace(check), question.clone()?)))
            .collect();
        let mut answers = match &self.prober {
            _ if from_inside.is_empty() => Vec::new(),
            Some(prober) => prober.ask(&from_inside).await?,
            None => {
                return Err(Fault::Impossible(
                    "--probe-image is needed to check from inside the cluster".to_owned(),
                ));
            }
        }
        .into_iter();
        // Each answer beside its check.
        let answers: Vec<Option<Answer>> = questions.iter().map(|q| q.as_ref().and_then(|_| answers.next())).collect();
        let asked = checks
            .iter()
            .zip(answers)
            .map(|(check, answer)| async move { self.of_check(check, answer.as_ref(), number).await });
        join_all(asked).await.into_iter().collect()
    }

    async fn of_check(&self, check: &Check, from_inside: Option<&Answer>, number: u32) -> Result<(), Fault> {
        let skipped = (number as usize * MOST_PODS) % check.pods.len().max(1);
        let turn = check
            .pods
            .iter()
            .cycle()
            .skip(if check.pods.len() > MOST_PODS { skipped } else { 0 });
        let turn: Vec<&(String, u16)> = turn.take(check.pods.len().min(MOST_PODS)).collect();
        let by_pod = join_all(turn.iter().map(|(pod, port)| self.of_pod(check, pod, *port)));
        let (route, heard) = join(self.by_route(check, from_inside), by_pod).await;
        let mut answer = 0;
        let mut silent = None;
        let mut forbidden = None;
        let mut failing = BTreeSet::new();
        let of_pod = |pod: &str, port: u16, status: Option<u16>| FailingPod {
            namespace: check.service.as_ref().map(|s| s.namespace.clone()).unwrap_or_default(),
            name: pod.to_owned(),
            port,
            asked: check.ask_pods.path().to_owned(),
            status,
            was_well: false,
        };
        for (heard, (pod, port)) in heard.into_iter().zip(&turn) {
            match heard {
                PodOutcome::Answers => answer += 1,
                PodOutcome::NotAllowed(why) => forbidden = Some(why),
                PodOutcome::Unasked(fault) => return Err(fault),
                PodOutcome::Unexpected(why, status) => {
                    failing.insert(of_pod(pod, *port, status));
                    silent.get_or_insert((pod, " as asked", why));
                }
                PodOutcome::Fails(why) => {
                    failing.insert(of_pod(pod, *port, None));
                    silent.get_or_insert((pod, "", why));
                }
            }
        }
        if let Some((pod, as_asked, why)) = silent {
            let all = turn.len();
            let why = format!("{}: {answer} of {all} endpoints answer{as_asked}, pod {pod}: {why}", check.name());
            return Err(Fault::OfPods(why, failing));
        }
        let name = check.name();
        match route {
            // Nothing else was asked than the pods.
            Ok(()) if check.route == Route::PortForward => match forbidden {
                _ if turn.is_empty() => Err(Fault::Impossible(format!("{name}: it has no known pod to check by port-forward"))),
                Some(why) => Err(Fault::Impossible(format!("{name}: {why}"))),
                None => Ok(()),
            },
            Ok(()) => Ok(()),
            Err(Fault::Failing(why)) if check.route == Route::PortForward => Err(Fault::Failing(format!("{name}: {why}"))),
            Err(Fault::Failing(why)) => {
                let hops = self.hops_that_answer(check, answer).await;
                let way = check.route.in_words();
                Err(Fault::Failing(match hops {
                    Some(hops) => format!("{name}: {hops}, {way} does not: {why}"),
                    None => format!("{name} by {way}: {why}"),
                }))
            }
            Err(Fault::Impossible(why)) => Err(Fault::Impossible(format!("{name}: {why}"))),
            Err(Fault::Never(why)) => Err(Fault::Never(format!("{name}: {why}"))),
            Err(pending) => Err(pending),
        }
    }

    /// The hops before the one that fails, as far as they answer.
    async fn hops_that_answer(&self, check: &Check, pods: usize) -> Option<String> {
        if pods == 0 {
            return None;
        }
        let is_beyond = !matches!(check.route, Route::ServiceProxy | Route::PortForward);
        let by_server = if is_beyond && matches!(check.ask_pods, Ask::Http(_)) && !self.sent.has_authorization() {
            self.by_proxy(check, &check.ask_pods).await.is_ok()
        } else {
            false
        };
        Some(if by_server {
            "its pods answer, and its Service by the API server".to_owned()
        } else {
            "its pods answer".to_owned()
        })
    }

    async fn by_route(&self, check: &Check, from_inside: Option<&Answer>) -> Result<(), Fault> {
        let strict = check.strict;
        match &check.route {
            // A listener on loopback answers inside its pod too.
            Route::PortForward if self.chooses && self.sent.has_authorization() && matches!(check.ask, Ask::Http(_)) => {
                self.is_reached(check).await
            }
            Route::PortForward => Ok(()),
            Route::ServiceProxy => self.by_proxy(check, &check.ask).await,
            Route::InCluster { .. } => match from_inside {
                None => Err(Fault::Impossible("there is no prober".to_owned())),
                Some(answer) => judge(answer, strict, check.limit, &self.expected).map_err(|why| {
                    // A policy drops packets and refuses none.
                    let policy = if answer.told == Told::TimedOut {
                        "; a NetworkPolicy may drop what the prober sends"
                    } else {
                        ""
                    };
                    Fault::Failing(why + policy)
                }),
            },
            Route::LoadBalancer(address, port) | Route::NodePort(address, port) => {
                let to = self.direct(address, *port, check.tls);
                let trust = if self.host.is_some() { &self.trust } else { &self.anybody };
                let answer = self
                    .connection
                    .ask_directly(&to, &self.question(&check.ask), trust, check.limit)
                    .await;
                judge(&answer, strict, check.limit, &self.expected).map_err(|why| {
                    let admits = match &check.admitted[..] {
                        admitted @ [_, ..] if answer.told == Told::TimedOut && matches!(check.route, Route::LoadBalancer(..)) => {
                            format!("; loadBalancerSourceRanges admits only {}", few(admitted, ADMITTED_SHOWN))
                        }
                        _ => String::new(),
                    };
                    Fault::Failing(why + &admits)
                })
            }
            Route::Name(name, port) => {
                if !self.connection.resolves(name, check.limit).await {
                    return Err(Fault::Failing("its name does not resolve from here".to_owned()));
                }
                if check.ask == Ask::Resolve {
                    return Ok(());
                }
                let to = self.direct(name, *port, check.tls);
                let answer = self
                    .connection
                    .ask_directly(&to, &self.question(&check.ask), &self.trust, check.limit)
                    .await;
                judge(&answer, strict, check.limit, &self.expected).map_err(Fault::Failing)
            }
            Route::Url(url) => {
                let (mut to, question) = Direct::of_url(url).map_err(Fault::Impossible)?;
                if let Some(host) = &self.host {
                    to.host.clone_from(host);
                }
                let question = match (question, &check.ask) {
                    (Question::Health { service, .. }, Ask::Health(wished)) if service.is_empty() => {
                        self.question(&Ask::Health(wished.clone()))
                    }
                    (Question::Health { service, .. }, _) => self.question(&Ask::Health(service)),
                    (Question::Http { path, .. }, _) => self.question(&Ask::Http(path)),
                    (Question::Connect, _) => Question::Connect,
                };
                let answer = self.connection.ask_directly(&to, &question, &self.trust, check.limit).await;
                judge(&answer, !matches!(question, Question::Connect), check.limit, &self.expected).map_err(Fault::Failing)
            }
            Route::Fronted(front) => self.by_front(check, front).await,
        }
    }

    fn direct(&self, address: &str, port: u16, tls: bool) -> Direct {
        Direct {
            address: address.to_owned(),
            port,
            host: self.host.clone().unwrap_or_default(),
            tls,
        }
    }

    fn question(&self, ask: &Ask) -> Question {
        let headers = self.sent.headers().clone();
        match ask {
            Ask::Http(path) => Question::get(path.clone(), headers),
            Ask::Health(service) => Question::Health {
                service: service.clone(),
                headers,
            },
            Ask::Connect | Ask::Resolve => Question::Connect,
        }
    }

    /// An Ingress or a Gateway: its answer counts only where another host does not get the same.
    async fn by_front(&self, check: &Check, front: &Front) -> Result<(), Fault> {
        let ask = match &check.ask {
            Ask::Http(_) if !check.strict => Ask::Http(front.path.clone()),
            ask => ask.clone(),
        };
        let question = self.question(&ask);
        let to = Direct {
            address: front.address.clone(),
            port: front.port,
            host: front.host.clone(),
            tls: front.tls,
        };
        let strict = check.strict || matches!(ask, Ask::Http(_));
        if front.host.is_empty() || question_is_mute(&question) {
            let answer = self.connection.ask_directly(&to, &question, &self.trust, check.limit).await;
            return judge(&answer, strict, check.limit, &self.expected).map_err(Fault::Failing);
        }
        let stranger = Direct {
            host: nobody(),
            ..to.clone()
        };
        let (answer, again, other) = join3(
            self.connection.ask_directly(&to, &question, &self.trust, check.limit),
            self.connection.ask_directly(&to, &question, &self.trust, check.limit),
            self.connection.ask_directly(&stranger, &question, &self.anybody, check.limit),
        )
        .await;
        judge(&answer, strict, check.limit, &self.expected).map_err(Fault::Failing)?;
        // Where the same question is answered in different words each time, only the status can be compared.
        let same = if answer == again {
            answer == other
        } else {
            answer.told == other.told
        };
        if same {
            return Err(Fault::Failing(
                "any other host gets the same answer, so it proves nothing".to_owned(),
            ));
        }
        Ok(())
    }

    async fn by_proxy(&self, check: &Check, ask: &Ask) -> Result<(), Fault> {
        let Some(service) = &check.service else {
            return Err(Fault::Impossible("there is no Service".to_owned()));
        };
        let Ask::Http(path) = ask else {
            return Err(Fault::Never(
                "the API server's proxy carries HTTP only, and this port may speak another protocol: --via port-forward checks its pods, \
                 --probe-image the Service"
                    .to_owned(),
            ));
        };
        if self.sent.has_authorization() {
            return Err(Fault::Never(
                "the API server's proxy does not forward the header Authorization".to_owned(),
            ));
        }
        match self.proxied(through(service, check, path, self.sent.headers()), check.limit).await {
            Ok(answer) => judge(&answer, check.strict, check.limit, &self.expected).map_err(Fault::Failing),
            Err(error) if error.kind == ApiErrorKind::Forbidden => Err(Fault::Impossible(
                "the check is not allowed: get on services/proxy is forbidden".to_owned(),
            )),
            // It looks at Endpoints objects, and there at pods alone.
            Err(error) if check.pods.is_empty() && leads_to_no_pod(&error) => Err(Fault::Impossible(
                "the API server's proxy reaches pods only, and no pod is known behind it: --probe-image checks from inside the cluster"
                    .to_owned(),
            )),
            Err(error) => Err(fault_of(&error)),
        }
    }

    /// Whether a Service that needs the header `Authorization` is reached at all. The API server's proxy does not forward that header; any answer
    /// without it shows that the Service is reached.
    async fn is_reached(&self, check: &Check) -> Result<(), Fault> {
        let Some(service) = &check.service else { return Ok(()) };
        let mut headers = self.sent.headers().clone();
        headers.retain(|(name, _)| name != http::header::AUTHORIZATION);
        let any = Expected {
            body: None,
            ..self.expected
        };
        let heard = match self.proxied(through(service, check, check.ask.path(), &headers), check.limit).await {
            Ok(answer) => judge(&answer, false, check.limit, &any),
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                return Err(Fault::Impossible(
                    "cannot tell whether its Service is reached: the API server's proxy does not forward the header Authorization, and get on \
                     services/proxy is forbidden"
                        .to_owned(),
                ));
            }
            Err(error) if is_cut(&error) => return Err(fault_of(&error)),
            Err(error) => Err(in_short(&error)),
        };
        heard.map_err(|why| {
            Fault::Failing(format!(
                "its Service does not answer through the API server, checked without the header Authorization: {why}"
            ))
        })
    }

    async fn proxied(&self, to: Proxied<'_>, limit: Duration) -> Result<Answer, ApiError> {
        // The proxy hands it on as it is (apimachinery's upgrade-aware handler).
        let host = self.host.as_deref().and_then(|host| HeaderValue::try_from(host).ok());
        let mut headers = to.headers.clone();
        headers.extend(host.map(|host| (http::header::HOST, host)));
        self.connection.ask_proxied(Proxied { headers: &headers, ..to }, limit).await
    }

    /// Checks one pod: HTTP at its address through the API server, anything else inside the pod. Where that is forbidden, the check of the Service
    /// decides.
    async fn of_pod(&self, check: &Check, pod: &str, port: u16) -> PodOutcome {
        let Some(service) = &check.service else {
            return PodOutcome::Answers;
        };
        let (asked, right) = match &check.ask_pods {
            Ask::Http(path) if !self.sent.has_authorization() && check.route != Route::PortForward => {
                let to = Proxied {
                    plural: "pods",
                    name: pod,
                    port,
                    ..through(service, check, path, self.sent.headers())
                };
                (self.proxied(to, check.limit).await, "get on pods/proxy")
            }
            ask => {
                let to = PodPort {
                    namespace: &service.namespace,
                    pod,
                    port,
                };
                let host = self.host.as_deref().unwrap_or_default();
                let asked = self
                    .connection
                    .ask_inside(to, host, check.tls, &self.question(ask), check.limit)
                    .await;
                (asked, "create on pods/portforward")
            }
        };
        match asked {
            Ok(answer) => match judge(&answer, check.strict, check.limit, &self.expected) {
                Ok(()) => PodOutcome::Answers,
                Err(why) => match answer.told {
                    Told::Status(status) => PodOutcome::Unexpected(why, Some(status)),
                    Told::Health(_) => PodOutcome::Unexpected(why, None),
                    _ => PodOutcome::Fails(why),
                },
            },
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                PodOutcome::NotAllowed(format!("the check is not allowed: {right} is forbidden"))
            }
            Err(error) if is_cut(&error) => PodOutcome::Unasked(fault_of(&error)),
            Err(error) => PodOutcome::Fails(in_short(&error)),
        }
    }
}

/// Whether the connection to the API server failed: then nothing was asked, and nobody has failed to answer.
fn is_cut(error: &ApiError) -> bool {
    matches!(error.kind, ApiErrorKind::Unreachable | ApiErrorKind::Tls | ApiErrorKind::Timeout)
}

fn fault_of(error: &ApiError) -> Fault {
    let why = in_short(error);
    match is_cut(error) {
        true => Fault::Pending(format!("the connection to the API server failed, nothing was asked: {why}")),
        false => Fault::Failing(why),
    }
}

/// The port of a Service that a check asks.
fn through<'a>(service: &'a ObjectRef, check: &Check, path: &'a str, headers: &'a Headers) -> Proxied<'a> {
    Proxied {
        plural: "services",
        namespace: &service.namespace,
        name: &service.name,
        port: check.port,
        tls: check.tls,
        path,
        headers,
    }
}

/// Whether the API server has nowhere to send a request for a Service to (registry/core/service/storage, `ResourceLocation`).
fn leads_to_no_pod(error: &ApiError) -> bool {
    error.kind == ApiErrorKind::NotFound || error.message.contains("no endpoints available")
}

fn question_is_mute(question: &Question) -> bool {
    matches!(question, Question::Connect)
}

/// A host that no rule has: who answers for it answers for any host.
fn nobody() -> String {
    // The keys of a new hasher are random.
    format!("podlife-{:016x}.invalid", RandomState::new().build_hasher().finish())
}

fn in_short(error: &ApiError) -> String {
    shorten(&error.message, 160)
}
