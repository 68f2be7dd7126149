//! Which of the gateways of a namespace cleans up: the one that holds a Lease and renews it, as controllers of Kubernetes do.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{ApiError, ApiErrorKind};
use crate::model::kind;
use crate::observe::session::objects::Objects;
use crate::session::MANAGED_BY;
use crate::session::record::micros;
use crate::session::warm::KEEPER;

/// How long a Lease lasts that is not renewed; by the clock of who looks at it, so that clocks may differ.
const LASTS: Duration = Duration::from_secs(15);
/// A leader whose last renewal is older leads no more: well before another one takes the Lease.
const TRUSTED: Duration = Duration::from_secs(10);
/// How often the Lease is looked at, or renewed.
pub(super) const EVERY: Duration = Duration::from_secs(4);

/// What is to be done about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    /// Renew it, or take it from one who does not renew it.
    Write,
    /// Another one leads.
    Wait,
}

/// A candidate.
pub(super) struct Candidate {
    identity: String,
    /// The version of the Lease, and since when it is the present one.
    seen: Option<(String, Instant)>,
    renewed: Option<Instant>,
    /// The Lease itself.
    uid: Option<String>,
}

impl Candidate {
    pub(super) const fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            renewed: None,
            uid: None,
        }
    }

    /// Whether this one leads now.
    pub(super) fn leads(&self) -> bool {
        self.renewed.is_some_and(|renewed| renewed.elapsed() < TRUSTED)
    }

    /// The uid of the Lease that it has written last.
    pub(super) fn uid(&self) -> Option<&String> {
        self.uid.as_ref()
    }

    /// Looks at the Lease, and renews it or takes it.
    pub(super) async fn run(&mut self, objects: &impl Objects) -> Result<(), ApiError> {
        let begun = Instant::now();
        let lease = objects.get(&kind::LEASE, KEEPER).await?;
        let written = match self.act(lease.as_ref(), begun) {
            Act::Wait => {
                self.renewed = None;
                return Ok(());
            }
            Act::Create => objects.create(&kind::LEASE, &self.lease(None, objects.now())).await,
            Act::Write => {
                objects
                    .replace(&kind::LEASE, KEEPER, &self.lease(lease.as_ref(), objects.now()))
                    .await
            }
        };
        match written {
            Ok(lease) => {
                self.renewed = Some(begun);
                self.uid = lease["metadata"]["uid"].as_str().map(str::to_owned);
            }
            // Another one was first.
            Err(error) if matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::NotFound) => self.renewed = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn act(&mut self, lease: Option<&Value>, now: Instant) -> Act {
        let Some(lease) = lease else { return Act::Create };
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if seen == version => *since,
            _ => {
                self.seen = Some((version.to_owned(), now));
                now
            }
        };
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        match holder.is_empty() || holds(lease, &self.identity) || now.duration_since(since) >= LASTS {
            true => Act::Write,
            false => Act::Wait,
        }
    }

    fn lease(&self, before: Option<&Value>, now: Timestamp) -> Value {
        let time = micros(now);
        let mut lease = before.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": KEEPER, "labels": {MANAGED_BY.0: MANAGED_BY.1}},
                "spec": {"leaseTransitions": 0},
            })
        });
        if !holds(&lease, &self.identity) {
            let changes = lease["spec"]["leaseTransitions"].as_u64().unwrap_or_default();
            lease["spec"]["leaseTransitions"] = (changes + u64::from(before.is_some())).into();
            lease["spec"]["acquireTime"] = time.as_str().into();
            lease["spec"]["holderIdentity"] = self.identity.as_str().into();
        }
        lease["spec"]["leaseDurationSeconds"] = LASTS.as_secs().into();
        lease["spec"]["renewTime"] = time.into();
        lease
    }
}

/// A word that no other gateway has.
pub(super) fn identity(agent: &str) -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{agent} {random:016x}")
}

/// Gives the Lease back, so that another one need not wait.
pub(super) async fn resign(objects: &impl Objects, identity: &str) -> Result<(), ApiError> {
    let Some(mut lease) = objects.get(&kind::LEASE, KEEPER).await?.filter(|lease| holds(lease, identity)) else {
        return Ok(());
    };
    lease["spec"]["holderIdentity"] = "".into();
    objects.replace(&kind::LEASE, KEEPER, &lease).await.map(drop)
}

fn holds(lease: &Value, identity: &str) -> bool {
    lease["spec"]["holderIdentity"] == identity
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Value {
        json!({"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": holder}})
    }

    #[test]
    fn a_lease_is_taken_when_nobody_renews_it() {
        let mut candidate = Candidate::new("me".to_owned());
        let begun = Instant::now();
        let mut at = |seconds: u64, lease: Option<Value>| candidate.act(lease.as_ref(), begun + Duration::from_secs(seconds));
        assert_eq!(at(0, None), Act::Create);
        assert_eq!(at(0, Some(lease("other", "1"))), Act::Wait);
        assert_eq!(at(10, Some(lease("other", "2"))), Act::Wait);
        assert_eq!(at(24, Some(lease("other", "2"))), Act::Wait);
        assert_eq!(at(25, Some(lease("other", "2"))), Act::Write);
        assert_eq!(at(26, Some(lease("me", "3"))), Act::Write);
        assert_eq!(at(27, Some(lease("", "4"))), Act::Write);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_renew_leads_no_more_before_another_one_may() {
        let mut candidate = Candidate::new("me".to_owned());
        candidate.renewed = Some(Instant::now());
        assert!(candidate.leads());
        tokio::time::advance(TRUSTED).await;
        assert!(!candidate.leads() && TRUSTED < LASTS);
    }

    #[test]
    fn a_lease_that_is_taken_counts_the_change() {
        let candidate = Candidate::new("me".to_owned());
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(candidate.lease(None, now)["spec"]["leaseTransitions"], 0);
        let mut taken = candidate.lease(Some(&lease("other", "1")), now);
        assert_eq!(
            (&taken["spec"]["leaseTransitions"], &taken["spec"]["holderIdentity"]),
            (&json!(1), &json!("me"))
        );
        taken["spec"]["acquireTime"] = "before".into();
        let renewed = candidate.lease(Some(&taken), now);
        assert_eq!(
            (&renewed["spec"]["leaseTransitions"], &renewed["spec"]["acquireTime"]),
            (&json!(1), &json!("before"))
        );
        assert_eq!(renewed["metadata"]["resourceVersion"], "1");
    }
}
