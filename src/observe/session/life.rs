//! What is done with a session that exists: touched, paused, resumed, deleted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::ApiErrorKind;
use crate::exit::Failure;
use crate::model::kind;
use crate::observe::session::objects::Objects;
use crate::observe::session::settle::{Haste, Settled, of_uid};
use crate::observe::session::{AGAIN, Sessions, is_kept_claim, selector, unless};
use crate::session::name;
use crate::session::record::{Phase, Record};

impl<O: Objects> Sessions<O> {
    /// Notes that a session is used now, and that it stays for so long at least.
    pub(super) fn stamp(&self, record: &mut Record, by: Duration) {
        let now = self.now();
        let extra = record.idle_timeout.map_or(Duration::ZERO, |timeout| by.saturating_sub(timeout));
        let until = SignedDuration::try_from(extra).ok().and_then(|extra| now.checked_add(extra).ok());
        record.last_activity = record.last_activity.max(until.unwrap_or(Timestamp::MAX));
        record.stamped_by.clone_from(&self.agent);
    }

    /// Notes that a session is used now. Once this has returned, nobody cleans it up before it has been idle again.
    pub(crate) async fn touch(&self, id: &str, by: Duration) -> Result<Record, Failure> {
        loop {
            let mut record = self.admitted(id).await?;
            self.stamp(&mut record, by);
            if let Some(record) = self.write(&record).await? {
                return Ok(record);
            }
        }
    }

    /// The record of an id that counts against the maximum: until then its creation may still be taken back.
    async fn admitted(&self, id: &str) -> Result<Record, Failure> {
        loop {
            let record = self.existing(id).await?;
            if record.slot.is_some() || record.max_sessions.is_none() {
                return Ok(record);
            }
            self.drive(record, None).await?;
        }
    }

    /// Takes the pod away and keeps record, slot, Service and claim.
    pub(crate) async fn pause(&self, id: &str) -> Result<Record, Failure> {
        loop {
            let mut record = self.admitted(id).await?;
            if record.phase != Phase::Paused {
                record.phase = Phase::Paused;
                record.reason = None;
                match self.write(&record).await? {
                    Some(written) => record = written,
                    None => continue,
                }
            }
            if let Settled::Done(record) = self.settle(record, Haste::Patient).await? {
                return Ok(record);
            }
        }
    }

    /// Gives a paused or failed session a pod again.
    pub(crate) async fn resume(&self, id: &str) -> Result<Record, Failure> {
        loop {
            let record = self.existing(id).await?;
            if let Some(record) = self.reuse(record).await? {
                return Ok(record);
            }
        }
    }

    /// Deletes a session, and with it all that belongs to it. None: there is none.
    pub(crate) async fn delete(&self, id: &str, keeps_volume: bool) -> Result<Option<Record>, Failure> {
        let Some(record) = self.record(id).await? else {
            return Ok(None);
        };
        if keeps_volume {
            self.keep_claim(&record).await?;
        }
        self.delete_record(&record).await?;
        Ok(Some(record))
    }

    /// Deletes a record whatever has become of it, and not another one of the same id.
    pub(crate) async fn delete_record(&self, record: &Record) -> Result<(), Failure> {
        let deleted = self.objects.delete(&kind::LEASE, &record.name, &of_uid(&record.uid)).await;
        unless(deleted, &[ApiErrorKind::NotFound, ApiErrorKind::Conflict])?;
        Ok(())
    }

    /// Takes the claim out of the session, so that it stays for the next one of the same id.
    async fn keep_claim(&self, record: &Record) -> Result<(), Failure> {
        loop {
            let Some(mut claim) = self.objects.get(&kind::CLAIM, &record.name).await? else {
                return Ok(());
            };
            if !record.owns(&claim) {
                return Ok(());
            }
            claim["metadata"]["ownerReferences"] = json!([]);
            let written = self.objects.replace(&kind::CLAIM, &record.name, &claim).await;
            if unless(written, &[ApiErrorKind::Conflict])?.is_some() {
                return Ok(());
            }
        }
    }

    /// Waits until nothing is left of a session, but for a claim that is kept. `deleted` is its record, where there was one; another session of
    /// the same id may have begun since.
    pub(crate) async fn until_gone(&self, id: &str, deleted: Option<&Record>) -> Result<(), Failure> {
        let name = name::of(id).map_err(Failure::usage)?;
        for kind in [&kind::POD, &kind::LEASE, &kind::SERVICE, &kind::CLAIM] {
            loop {
                // Who may not list a kind cannot wait for it.
                let listed = self.objects.list(kind, &selector(&name), true).await;
                let Some(left) = unless(listed, &[ApiErrorKind::Forbidden])?.filter(|left| !left.is_empty()) else {
                    break;
                };
                let next = self.record(id).await?;
                let next = next.filter(|next| deleted.is_some_and(|deleted| deleted.uid != next.uid));
                let is_left = |object: &Value| {
                    let is_next = next
                        .as_ref()
                        .is_some_and(|next| next.owns(object) || object["metadata"]["uid"] == next.uid.as_str());
                    !is_next && !is_kept_claim(kind, object)
                };
                if !left.iter().any(is_left) {
                    break;
                }
                self.objects.wait(AGAIN).await;
            }
        }
        Ok(())
    }
}
