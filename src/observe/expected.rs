//! Whether an answer is one that counts.

use std::time::Duration;

use regex::Regex;

use crate::cluster::{Answer, Health, Told};
use crate::model::duration;

/// What an answer must be.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The least and the highest status.
    pub(crate) status: (u16, u16),
    /// What the body must contain.
    pub(crate) body: Option<Regex>,
}

/// Whether an answer to a check counts; the error says why not. Where the check is not strict, any answer shows that somebody is there.
pub(crate) fn judge(answer: &Answer, strict: bool, limit: Duration, expected: &Expected) -> Result<(), String> {
    match &answer.told {
        Told::Status(status) if !strict || (expected.status.0..=expected.status.1).contains(status) => {}
        Told::Status(status) => return Err(format!("it answers with status {status}")),
        Told::Health(health) => return of_health(*health, strict),
        Told::Accepted if !strict => return Ok(()),
        Told::Accepted => return Err("it accepts the connection, but does not answer in the expected protocol".to_owned()),
        Told::Silent => return Err("it accepts the connection and does not answer".to_owned()),
        Told::Refused => return Err("connection refused".to_owned()),
        // An unreachable network is said at once, a lost packet after the limit: neither is an answer.
        Told::TimedOut => return Err(format!("no connection, or no answer within {}", duration::short(limit))),
        Told::Unresolved => return Err("its name does not resolve".to_owned()),
        Told::Untrusted(why) | Told::NoTls(why) => return Err(why.clone()),
        Told::Untried => return Err("it could not be tried".to_owned()),
    }
    match &expected.body {
        Some(pattern) if !pattern.is_match(&String::from_utf8_lossy(&answer.body)) => Err(format!("its answer does not match {pattern}")),
        _ => Ok(()),
    }
}

fn of_health(health: Health, strict: bool) -> Result<(), String> {
    let says = match health {
        Health::Serving => return Ok(()),
        Health::NotServing => "it says NOT_SERVING".to_owned(),
        // Nobody has said that it has a health service: it answers in gRPC all the same.
        _ if !strict => return Ok(()),
        Health::Unknown => "it says UNKNOWN".to_owned(),
        Health::NoSuchService => "it does not know the requested service".to_owned(),
        Health::NotOffered => "it has no health service (UNIMPLEMENTED)".to_owned(),
        Health::Code(code) => format!("it answers with the gRPC code {code}"),
    };
    Err(format!("its health check fails: {says}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_that_was_asked_for_counts() {
        let answer = |told: Told, body: &str| Answer { told, body: body.into() };
        let expected = Expected {
            status: (200, 399),
            body: None,
        };
        let v2 = Expected {
            body: Some(Regex::new("v2").unwrap()),
            ..expected.clone()
        };
        for (told, body, strict, wish, counts) in [
            (Told::Status(200), "", true, &expected, true),
            (Told::Status(399), "", true, &expected, true),
            (Told::Status(404), "", true, &expected, false),
            (Told::Status(503), "", false, &expected, true),
            (Told::Accepted, "", false, &expected, true),
            (Told::Accepted, "", true, &expected, false),
            (Told::Refused, "", false, &expected, false),
            (Told::TimedOut, "", false, &expected, false),
            (Told::Silent, "", false, &expected, false),
            (Told::Untrusted("x".into()), "", false, &expected, false),
            (Told::NoTls("x".into()), "", false, &expected, false),
            (Told::Unresolved, "", false, &expected, false),
            (Told::Untried, "", false, &expected, false),
            (Told::Health(Health::Serving), "", true, &expected, true),
            (Told::Health(Health::NotServing), "", false, &expected, false),
            (Told::Health(Health::NotOffered), "", false, &expected, true),
            (Told::Health(Health::NotOffered), "", true, &expected, false),
            (Told::Health(Health::NoSuchService), "", true, &expected, false),
            (Told::Health(Health::Unknown), "", true, &expected, false),
            (Told::Status(200), "app v1", true, &v2, false),
            (Told::Status(200), "app v2", true, &v2, true),
        ] {
            assert_eq!(
                judge(&answer(told.clone(), body), strict, Duration::from_secs(3), wish).is_ok(),
                counts,
                "{told:?} {body} {strict}"
            );
        }
    }
}
