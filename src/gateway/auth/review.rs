//! Tokens that the API server knows: those of service accounts and users.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::caller::{Caller, Ids};
use crate::gateway::problem::Problem;

/// How long the API server's word about a token holds.
const HOLDS: Duration = Duration::from_secs(60);
/// How long it holds while the API server does not answer, so that sessions are served that it has nothing to do with.
const HOLDS_ALONE: Duration = Duration::from_secs(600);
/// How long an answer is waited for where there is an earlier one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many tokens are remembered.
const MOST: usize = 10_000;

/// Asks the API server for the holders of tokens, and remembers them for a while.
pub(in crate::gateway) struct Reviews {
    inquiries: UnboundedSender<Inquiry>,
    /// A token counts that is for one of these; none: for the API server.
    audiences: Vec<String>,
    /// By the hash of the token.
    known: Mutex<HashMap<[u8; 32], Reviewed>>,
}

/// Whose token it is; none: nobody's.
#[derive(Clone)]
struct Reviewed {
    caller: Option<Caller>,
    /// When the API server said so.
    said: Instant,
    /// When it was last asked.
    asked: Instant,
}

/// A token whose holder is asked for.
pub(in crate::gateway) struct Inquiry {
    /// The question.
    pub(in crate::gateway) review: Value,
    /// The API server's answer.
    pub(in crate::gateway) answer: oneshot::Sender<Result<Value, Problem>>,
}

impl Reviews {
    pub(in crate::gateway) fn new(inquiries: UnboundedSender<Inquiry>, audiences: Vec<String>) -> Self {
        let known = Mutex::default();
        Self {
            inquiries,
            audiences,
            known,
        }
    }

    pub(super) async fn caller(&self, token: &str) -> Result<Caller, Problem> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let reviewed = match known {
            Some(known) if known.asked.elapsed() < HOLDS => known,
            Some(known) if known.caller.is_some() && known.said.elapsed() < HOLDS_ALONE => {
                let asked = timeout(PATIENCE, self.ask(token)).await;
                let said = asked.ok().and_then(Result::ok);
                let again = said.unwrap_or_else(|| Reviewed {
                    asked: Instant::now(),
                    ..known
                });
                self.remember(hash, again)
            }
            _ => self.remember(hash, self.ask(token).await?),
        };
        let caller = reviewed.caller;
        caller.ok_or_else(|| super::unknown("the API server does not accept the token"))
    }

    fn remember(&self, hash: [u8; 32], reviewed: Reviewed) -> Reviewed {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, reviewed| reviewed.asked.elapsed() < HOLDS);
        }
        if known.len() < MOST {
            known.insert(hash, reviewed.clone());
        }
        reviewed
    }

    async fn ask(&self, token: &str) -> Result<Reviewed, Problem> {
        let (answer, answered) = oneshot::channel();
        let review = review(token, &self.audiences);
        self.inquiries.send(Inquiry { review, answer }).map_err(|_| Problem::ending())?;
        let holder = holder(&answered.await.map_err(|_| Problem::ending())??, &self.audiences);
        let (caller, now) = (holder.map(|holder| Caller::new(&holder, Ids::Any)), Instant::now());
        Ok(Reviewed {
            caller,
            said: now,
            asked: now,
        })
    }
}

/// The question about a token.
fn review(token: &str, audiences: &[String]) -> Value {
    let mut review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    if !audiences.is_empty() {
        review["spec"]["audiences"] = audiences.into();
    }
    review
}

/// Whose token it is, by the answer; none: nobody's, or one for others.
fn holder(answer: &Value, audiences: &[String]) -> Option<String> {
    let status = &answer["status"];
    let named = status["audiences"].as_array().into_iter().flatten();
    // An API server that does not know audiences answers without any.
    let is_for_us = audiences.is_empty()
        || named
            .filter_map(Value::as_str)
            .any(|name| audiences.iter().any(|known| known == name));
    (status["authenticated"] == true && is_for_us)
        .then(|| status["user"]["username"].as_str().map(str::to_owned))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_that_is_for_this_audience() {
        let answer =
            json!({"status": {"authenticated": true, "audiences": ["podlife"], "user": {"username": "system:serviceaccount:a:b"}}});
        let audiences = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            holder(&answer, &audiences(&["podlife"])).as_deref(),
            Some("system:serviceaccount:a:b")
        );
        assert_eq!(holder(&answer, &audiences(&["other"])), None);
        assert!(holder(&answer, &[]).is_some());
        let refused = json!({"status": {"authenticated": false, "user": {"username": "a"}}});
        assert_eq!(
            (holder(&refused, &[]), holder(&json!({"status": {"error": "x"}}), &[])),
            (None, None)
        );
        assert_eq!(
            review("t", &audiences(&["podlife"]))["spec"],
            json!({"token": "t", "audiences": ["podlife"]})
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_api_server_said_holds_for_a_while_without_it() {
        let (inquiries, mut inquired) = tokio::sync::mpsc::unbounded_channel::<Inquiry>();
        let reviews = Reviews::new(inquiries, Vec::new());
        let (server, answer) = tokio::sync::watch::channel(None);
        tokio::spawn(async move {
            while let Some(inquiry) = inquired.recv().await {
                let away = || Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, "api-server-away", "no answer");
                let _ = inquiry.answer.send(answer.borrow().clone().ok_or_else(away));
            }
        });
        let ann = json!({"status": {"authenticated": true, "user": {"username": "ann"}}});
        let nobody = json!({"status": {"authenticated": false}});
        for (seconds, answer, status) in [
            (0, None, 503),
            (0, Some(&ann), 200),
            (59, None, 200),
            // It is asked again, and is away.
            (61, None, 200),
            (470, None, 200),
            (61, None, 503),
            (0, Some(&ann), 200),
            (59, Some(&nobody), 200),
            (2, Some(&nobody), 401),
            (61, None, 503),
        ] {
            server.send_replace(answer.cloned());
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let told = reviews.caller("t").await;
            assert_eq!(
                told.map_or_else(|problem| problem.status.as_u16(), |_| 200),
                status,
                "{seconds} {answer:?}"
            );
        }
    }
}
