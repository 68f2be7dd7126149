//! Asks the application once along every way that counts, and each ready pod behind it by itself.

use std::time::Duration;

use futures::future::join_all;
use regex::Regex;

use crate::cluster::{Answer, ApiError, ApiErrorKind, Connection, Direct, Proxied, ask_directly};
use crate::gate::check::{Check, Route};
use crate::model::dial::{Reply, Speech};
use crate::model::text::shorten;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(3);
/// Pods that are asked by themselves in one round at most.
const MOST_PODS: usize = 16;
/// A name that no rule has: what answers to it answers to any.
const NOBODY: &str = "podlife-nobody.invalid";

/// What an answer must be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The least and the highest status.
    pub(super) status: (u16, u16),
    /// What the body must contain.
    pub(super) body: Option<Regex>,
}

/// Why a round proves nothing.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Something does not answer as it should.
    Failing(String),
    /// It cannot be tried.
    Impossible(String),
}

/// One round: every check along its way, and every ready pod.
pub(super) async fn round(connection: Connection, checks: Vec<Check>, expected: Expected) -> Result<(), Fault> {
    let asked = join_all(checks.iter().map(|check| of_check(&connection, check, &expected))).await;
    asked.into_iter().collect()
}

async fn of_check(connection: &Connection, check: &Check, expected: &Expected) -> Result<(), Fault> {
    let by_route = along(connection, check, expected);
    let by_pod = join_all(
        check
            .pods
            .iter()
            .take(MOST_PODS)
            .map(|(pod, port)| of_pod(connection, check, pod, *port, expected)),
    );
    let (route, pods) = futures::future::join(by_route, by_pod).await;
    let silent: Vec<&(String, String)> = pods.iter().filter_map(|p| p.as_ref().err()).collect();
    if let Some((pod, why)) = silent.first() {
        let (answer, all) = (pods.len() - silent.len(), pods.len());
        return Err(Fault::Failing(format!(
            "{}: {answer} of {all} endpoints answer, pod {pod}: {why}",
            check.name()
        )));
    }
    match route {
        Err(Fault::Failing(why)) if !pods.is_empty() => Err(Fault::Failing(format!(
            "{}: its pods answer, {} does not: {why}",
            check.name(),
            check.route.in_words()
        ))),
        Err(Fault::Failing(why)) => Err(Fault::Failing(format!("{} by {}: {why}", check.name(), check.route.in_words()))),
        Err(Fault::Impossible(why)) => Err(Fault::Impossible(format!("{}: {why}", check.name()))),
        Ok(()) => Ok(()),
    }
}

async fn along(connection: &Connection, check: &Check, expected: &Expected) -> Result<(), Fault> {
    // Whoever has asked for a status wants HTTP spoken; else a connection says as much about a port that is not known to speak it.
    let path = (check.strict || check.speech == Speech::Http).then(|| check.path.clone());
    let direct = match &check.route {
        Route::ServiceProxy => return by_proxy(connection, check, expected).await,
        Route::LoadBalancer(address, port) => Direct {
            address: address.clone(),
            port: *port,
            host: String::new(),
            tls: check.speech == Speech::Https,
            path: path.filter(|_| check.speech != Speech::Https),
        },
        Route::Ingress {
            address,
            host,
            path: of_rule,
        } => Direct {
            address: address.clone(),
            port: 80,
            host: host.clone(),
            tls: false,
            path: Some(if check.strict { check.path.clone() } else { of_rule.clone() }),
        },
        Route::Url(url) => Direct::of_url(url).map_err(Fault::Impossible)?,
    };
    let answer = ask_directly(&direct, LIMIT).await;
    let strict = check.strict || !matches!(check.route, Route::LoadBalancer(..));
    judge(&answer, strict, expected).map_err(Fault::Failing)?;
    if matches!(check.route, Route::Ingress { .. }) && !direct.host.is_empty() {
        let stranger = Direct {
            host: NOBODY.to_owned(),
            ..direct
        };
        if ask_directly(&stranger, LIMIT).await == answer {
            return Err(Fault::Failing(
                "any other host gets the same answer, so that it proves nothing".to_owned(),
            ));
        }
    }
    Ok(())
}

async fn by_proxy(connection: &Connection, check: &Check, expected: &Expected) -> Result<(), Fault> {
    let Some(service) = &check.service else {
        return Err(Fault::Impossible("there is no Service".to_owned()));
    };
    let to = Proxied {
        plural: "services",
        namespace: &service.namespace,
        name: &service.name,
        port: check.port,
        tls: check.speech == Speech::Https,
        path: &check.path,
    };
    match connection.ask_proxied(to, LIMIT).await {
        Ok(answer) => judge(&answer, check.strict, expected).map_err(Fault::Failing),
        Err(error) if error.kind == ApiErrorKind::Forbidden => Err(Fault::Impossible(
            "it may not be asked: get on services/proxy is forbidden".to_owned(),
        )),
        Err(error) => Err(Fault::Failing(in_short(&error))),
    }
}

/// One pod by its own address. Where that is forbidden it stays untold: the Service was asked as well.
async fn of_pod(connection: &Connection, check: &Check, pod: &str, port: u16, expected: &Expected) -> Result<(), (String, String)> {
    let namespace = check.service.as_ref().map(|s| s.namespace.as_str()).unwrap_or_default();
    let to = Proxied {
        plural: "pods",
        namespace,
        name: pod,
        port,
        tls: check.speech == Speech::Https,
        path: &check.path,
    };
    match connection.ask_proxied(to, LIMIT).await {
        Ok(answer) => judge(&answer, check.strict, expected).map_err(|why| (pod.to_owned(), why)),
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(()),
        Err(error) => Err((pod.to_owned(), in_short(&error))),
    }
}

fn in_short(error: &ApiError) -> String {
    shorten(&error.message, 160)
}

/// Whether an answer counts; the error says why not.
fn judge(answer: &Answer, strict: bool, expected: &Expected) -> Result<(), String> {
    match answer.reply {
        Reply::Status(status) if !strict || (expected.status.0..=expected.status.1).contains(&status) => {}
        Reply::Status(status) => return Err(format!("it answers with status {status}")),
        Reply::Accepted if !strict => return Ok(()),
        Reply::Accepted => return Err("it takes the connection, but does not answer in HTTP".to_owned()),
        Reply::Silent => return Err("it takes the connection and says nothing".to_owned()),
        Reply::Refused => return Err("connection refused".to_owned()),
        // An unreachable network is said at once, a lost packet after the limit: neither is an answer.
        Reply::TimedOut => return Err(format!("no connection, or no answer within {} s", LIMIT.as_secs())),
        Reply::Untried => return Err("it could not be tried".to_owned()),
    }
    match &expected.body {
        Some(pattern) if !pattern.is_match(&String::from_utf8_lossy(&answer.body)) => {
            Err(format!("its answer has nothing that matches {pattern}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_that_was_asked_for_counts() {
        let answer = |reply: Reply, body: &str| Answer { reply, body: body.into() };
        let expected = Expected {
            status: (200, 399),
            body: None,
        };
        let v2 = Expected {
            body: Some(Regex::new("v2").unwrap()),
            ..expected.clone()
        };
        for (reply, body, strict, wish, counts) in [
            (Reply::Status(200), "", true, &expected, true),
            (Reply::Status(399), "", true, &expected, true),
            (Reply::Status(404), "", true, &expected, false),
            (Reply::Status(503), "", false, &expected, true),
            (Reply::Accepted, "", false, &expected, true),
            (Reply::Accepted, "", true, &expected, false),
            (Reply::Refused, "", false, &expected, false),
            (Reply::TimedOut, "", false, &expected, false),
            (Reply::Silent, "", false, &expected, false),
            (Reply::Status(200), "app v1", true, &v2, false),
            (Reply::Status(200), "app v2", true, &v2, true),
        ] {
            assert_eq!(
                judge(&answer(reply.clone(), body), strict, wish).is_ok(),
                counts,
                "{reply:?} {body} {strict}"
            );
        }
    }
}
