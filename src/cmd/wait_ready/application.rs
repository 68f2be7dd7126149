//! Asks the application once along every way that counts, and each ready pod behind it by itself.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use futures::future::{join, join_all, join3};
use http::header::HeaderValue;
use tokio::time::Instant;

use super::headers::Sent;
use super::judgement::{Expected, LIMIT, judge};
use super::prober::Prober;
use crate::cluster::{Answer, ApiError, ApiErrorKind, Connection, Direct, Headers, PodPort, Proxied, Question, Told, Trust};
use crate::gate::check::{Ask, Check};
use crate::gate::prober;
use crate::gate::route::{Front, Route};
use crate::model::finding::ObjectRef;
use crate::model::text::shorten;

/// Pods that are asked by themselves in one round at most; the next round goes on with the next ones.
const MOST_PODS: usize = 16;

/// Why a round proves nothing.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Something does not answer as it should.
    Failing(String),
    /// It cannot be tried.
    Impossible(String),
    /// It can never be tried in the way that was asked for, however long one waits.
    Never(String),
    /// What asks is not ready to do so yet.
    Pending(String),
}

/// What asks, and what counts as an answer.
pub(super) struct Asker {
    pub(super) connection: Connection,
    pub(super) expected: Expected,
    /// Headers that are sent along every way.
    pub(super) sent: Sent,
    /// The name that is asked for instead of the address.
    pub(super) host: Option<String>,
    /// Whose certificates count where a host is known.
    pub(super) trust: Trust,
    /// Any certificate: for addresses whose host nobody has named.
    pub(super) anybody: Trust,
    /// Who asks from inside of the cluster, where an image for that was given.
    pub(super) prober: Option<Prober>,
    /// Whether the way was left open, so that it has to prove as much as it can.
    pub(super) chooses: bool,
}

/// One round: every check along its way, and every ready pod. What a fault says holds no value of a header.
pub(super) async fn round(asker: Arc<Asker>, checks: Vec<Check>, number: u32) -> Result<(), Fault> {
    let begun = Instant::now();
    let fault = match asker.of_checks(&checks, number).await {
        Ok(()) => return Ok(()),
        // What was answered at once was answered: only silence may be the API server's, through which the pods are asked.
        Err(Fault::Failing(why)) if begun.elapsed() >= LIMIT => match asker.connection.answers().await {
            Ok(()) => Fault::Failing(why),
            Err(silence) => Fault::Failing(format!("nobody can be asked: {}", in_short(&silence))),
        },
        Err(fault) => fault,
    };
    Err(match fault {
        Fault::Failing(why) => Fault::Failing(asker.sent.mask(&why)),
        Fault::Impossible(why) => Fault::Impossible(asker.sent.mask(&why)),
        Fault::Never(why) => Fault::Never(asker.sent.mask(&why)),
        Fault::Pending(why) => Fault::Pending(asker.sent.mask(&why)),
    })
}

/// What a check has asked from inside of the cluster; none where it takes another way. The error says why that cannot be.
fn from_inside(check: &Check, host: Option<&str>) -> Result<Option<prober::Question>, Fault> {
    let Route::InCluster { host: service, port } = &check.route else {
        return Ok(None);
    };
    let (kind, path) = match &check.ask {
        Ask::Http(path) if check.tls => (prober::Kind::Https, path.as_str()),
        Ask::Http(path) => (prober::Kind::Http, path.as_str()),
        Ask::Connect | Ask::Resolve => (prober::Kind::Connect, ""),
        Ask::Health(_) => {
            let why = "the prober cannot ask for the health of a gRPC server; --via port-forward or --tcp can be tried";
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
    }))
}

/// What came of a pod that was asked by itself.
enum Heard {
    Answers,
    /// It may not be asked.
    Untold(String),
    /// It answers, though not as asked.
    Otherwise(String),
    Fails(String),
}

impl Asker {
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
                    "--probe-image names no image to ask from inside of the cluster with".to_owned(),
                ));
            }
        }
        .into_iter();
        // In the order of the checks, each answer to the one that asked for it.
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
        let (route, heard) = join(self.along(check, from_inside), by_pod).await;
        let mut answer = 0;
        let mut silent = None;
        let mut untold = None;
        for (heard, (pod, _)) in heard.into_iter().zip(&turn) {
            match heard {
                Heard::Answers => answer += 1,
                Heard::Untold(why) => untold = Some(why),
                Heard::Otherwise(why) => {
                    silent.get_or_insert((pod, " as asked", why));
                }
                Heard::Fails(why) => {
                    silent.get_or_insert((pod, "", why));
                }
            }
        }
        if let Some((pod, as_asked, why)) = silent {
            let all = turn.len();
            return Err(Fault::Failing(format!(
                "{}: {answer} of {all} endpoints answer{as_asked}, pod {pod}: {why}",
                check.name()
            )));
        }
        let name = check.name();
        match route {
            // Nothing else was asked than the pods.
            Ok(()) if check.route == Route::PortForward => match untold {
                _ if turn.is_empty() => Err(Fault::Impossible(format!(
                    "{name}: no pod is known behind it that could be asked by port-forward"
                ))),
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

    /// The hops before the one that fails, as far as they answer: that is where to look.
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

    async fn along(&self, check: &Check, from_inside: Option<&Answer>) -> Result<(), Fault> {
        let strict = check.strict;
        match &check.route {
            // From inside of a pod even what listens on the loopback alone answers.
            Route::PortForward if self.chooses && self.sent.has_authorization() && matches!(check.ask, Ask::Http(_)) => {
                self.is_reached(check).await
            }
            Route::PortForward => Ok(()),
            Route::ServiceProxy => self.by_proxy(check, &check.ask).await,
            Route::InCluster { .. } => match from_inside {
                None => Err(Fault::Impossible("there is no prober".to_owned())),
                Some(answer) => judge(answer, strict, &self.expected).map_err(|why| {
                    // A refused packet is never a policy's doing, a lost one may be.
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
                let answer = self.connection.ask_directly(&to, &self.question(&check.ask), trust, LIMIT).await;
                judge(&answer, strict, &self.expected).map_err(Fault::Failing)
            }
            Route::Name(name, port) => {
                if !self.connection.resolves(name, LIMIT).await {
                    return Err(Fault::Failing("its name does not resolve from here".to_owned()));
                }
                if check.ask == Ask::Resolve {
                    return Ok(());
                }
                let to = self.direct(name, *port, check.tls);
                let answer = self
                    .connection
                    .ask_directly(&to, &self.question(&check.ask), &self.trust, LIMIT)
                    .await;
                judge(&answer, strict, &self.expected).map_err(Fault::Failing)
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
                    (Question::Get { path, .. }, _) => self.question(&Ask::Http(path)),
                    (Question::Connect, _) => Question::Connect,
                };
                let answer = self.connection.ask_directly(&to, &question, &self.trust, LIMIT).await;
                judge(&answer, !matches!(question, Question::Connect), &self.expected).map_err(Fault::Failing)
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
            Ask::Http(path) => Question::Get {
                path: path.clone(),
                headers,
            },
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
            let answer = self.connection.ask_directly(&to, &question, &self.trust, LIMIT).await;
            return judge(&answer, strict, &self.expected).map_err(Fault::Failing);
        }
        let stranger = Direct {
            host: nobody(),
            ..to.clone()
        };
        let (answer, again, other) = join3(
            self.connection.ask_directly(&to, &question, &self.trust, LIMIT),
            self.connection.ask_directly(&to, &question, &self.trust, LIMIT),
            self.connection.ask_directly(&stranger, &question, &self.anybody, LIMIT),
        )
        .await;
        judge(&answer, strict, &self.expected).map_err(Fault::Failing)?;
        // Where the same question is answered in different words each time, only the status can be compared.
        let same = if answer == again {
            answer == other
        } else {
            answer.told == other.told
        };
        if same {
            return Err(Fault::Failing(
                "any other host gets the same answer, so that it proves nothing".to_owned(),
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
                "the API server's proxy carries HTTP only, and this port may speak something else: --via port-forward asks its pods, \
                 --probe-image the Service"
                    .to_owned(),
            ));
        };
        if self.sent.has_authorization() {
            return Err(Fault::Never(
                "the API server's proxy keeps the header Authorization to itself".to_owned(),
            ));
        }
        match self.proxied(through(service, check, path, self.sent.headers())).await {
            Ok(answer) => judge(&answer, check.strict, &self.expected).map_err(Fault::Failing),
            Err(error) if error.kind == ApiErrorKind::Forbidden => Err(Fault::Impossible(
                "it may not be asked: get on services/proxy is forbidden".to_owned(),
            )),
            // It looks at Endpoints objects, and there at pods alone.
            Err(error) if check.pods.is_empty() && leads_to_no_pod(&error) => Err(Fault::Impossible(
                "the API server's proxy leads to pods only, and none is known behind it: --probe-image asks from inside of the cluster"
                    .to_owned(),
            )),
            Err(error) => Err(Fault::Failing(in_short(&error))),
        }
    }

    /// Whether a Service that wants to know who asks is reached at all: without the header that the API server's proxy keeps to itself, any answer
    /// says so.
    async fn is_reached(&self, check: &Check) -> Result<(), Fault> {
        let Some(service) = &check.service else { return Ok(()) };
        let mut headers = self.sent.headers().clone();
        headers.retain(|(name, _)| name != http::header::AUTHORIZATION);
        let any = Expected {
            body: None,
            ..self.expected
        };
        let heard = match self.proxied(through(service, check, check.ask.path(), &headers)).await {
            Ok(answer) => judge(&answer, false, &any),
            Err(error) if error.kind == ApiErrorKind::Forbidden => {
                return Err(Fault::Impossible(
                    "whether its Service is reached cannot be told: the API server's proxy keeps the header Authorization to itself, and get on \
                     services/proxy is forbidden"
                        .to_owned(),
                ));
            }
            Err(error) => Err(in_short(&error)),
        };
        heard.map_err(|why| {
            Fault::Failing(format!(
                "its Service does not answer through the API server, asked without the header Authorization: {why}"
            ))
        })
    }

    async fn proxied(&self, to: Proxied<'_>) -> Result<Answer, ApiError> {
        // The proxy hands it on as it is (apimachinery's upgrade-aware handler).
        let host = self.host.as_deref().and_then(|host| HeaderValue::try_from(host).ok());
        let mut headers = to.headers.clone();
        headers.extend(host.map(|host| (http::header::HOST, host)));
        self.connection.ask_proxied(Proxied { headers: &headers, ..to }, LIMIT).await
    }

    /// One pod by itself: by its own address through the API server, which speaks HTTP only, else from its inside. Where that is forbidden it stays
    /// untold: the Service was asked as well.
    async fn of_pod(&self, check: &Check, pod: &str, port: u16) -> Heard {
        let Some(service) = &check.service else {
            return Heard::Answers;
        };
        let (asked, right) = match &check.ask_pods {
            Ask::Http(path) if !self.sent.has_authorization() && check.route != Route::PortForward => {
                let to = Proxied {
                    plural: "pods",
                    name: pod,
                    port,
                    ..through(service, check, path, self.sent.headers())
                };
                (self.proxied(to).await, "get on pods/proxy")
            }
            ask => {
                let to = PodPort {
                    namespace: &service.namespace,
                    pod,
                    port,
                };
                let host = self.host.as_deref().unwrap_or_default();
                let asked = self.connection.ask_inside(to, host, check.tls, &self.question(ask), LIMIT).await;
                (asked, "create on pods/portforward")
            }
        };
        match asked {
            Ok(answer) => match judge(&answer, check.strict, &self.expected) {
                Ok(()) => Heard::Answers,
                Err(why) if matches!(answer.told, Told::Status(_) | Told::Health(_)) => Heard::Otherwise(why),
                Err(why) => Heard::Fails(why),
            },
            Err(error) if error.kind == ApiErrorKind::Forbidden => Heard::Untold(format!("it may not be asked: {right} is forbidden")),
            Err(error) => Heard::Fails(in_short(&error)),
        }
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

/// A name that no rule has: what answers to it answers to any.
fn nobody() -> String {
    // The keys of a new hasher are random.
    format!("podlife-{:016x}.invalid", RandomState::new().build_hasher().finish())
}

fn in_short(error: &ApiError) -> String {
    shorten(&error.message, 160)
}
