//! What is done with a session that exists: touched, paused, resumed, deleted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube_quantity::ParsedQuantity;
use serde_json::{Value, json};

use crate::cluster::ApiErrorKind;
use crate::exit::Failure;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::session::objects::Objects;
use crate::observe::session::settle::{ADOPTED, Haste, Settled, of_uid, owner_of};
use crate::observe::session::{AGAIN, Sessions, is_kept_claim, selector, unless};
use crate::session::name;
use crate::session::record::{Phase, Record};
use crate::session::template::Template;

impl<O: Objects> Sessions<O> {
    /// Notes that a session is used now, and that it stays for so long at least.
    pub(super) fn stamp(&self, record: &mut Record, by: Duration) {
        let now = self.now();
        record.last_activity = record.last_activity.max(now);
        if record.idle_timeout.is_some_and(|timeout| by > timeout) {
            let until = SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok());
            record.keep_until = record.keep_until.max(Some(until.unwrap_or(Timestamp::MAX)));
        }
        record.keep_until = record.keep_until.filter(|until| *until > now);
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
            if !record.is_on_trial && (record.slot.is_some() || record.max_sessions.is_none()) {
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
        self.delete_object(&kind::LEASE, &record.name, &of_uid(&record.uid)).await?;
        Ok(())
    }

    /// Deletes a record that this run has made, and leaves the volume that was there before it.
    pub(crate) async fn take_back(&self, record: &Record) -> Result<(), Failure> {
        if self.adopted(record).await?.is_some() {
            self.keep_claim(record).await?;
        }
        self.delete_record(record).await
    }

    /// The claim of a session, where an earlier one of the same id has left it.
    async fn adopted(&self, record: &Record) -> Result<Option<Value>, Failure> {
        let claim = self.objects.get(&kind::CLAIM, &record.name).await;
        let claim = unless(claim, &[ApiErrorKind::Forbidden])?.flatten();
        Ok(claim.filter(|claim| claim["metadata"]["annotations"][ADOPTED].is_string()))
    }

    /// Size of the volume that an earlier session of the same id has left, where the template asks for another one.
    pub(crate) async fn kept_size(&self, record: &Record, template: &Template) -> Result<Option<String>, Failure> {
        let size = |claim: &Value| claim["spec"]["resources"]["requests"]["storage"].as_str().map(str::to_owned);
        let Some(wanted) = template.claim(&owner_of(record)).as_ref().and_then(size) else {
            return Ok(None);
        };
        let kept = self.adopted(record).await?;
        let amount = |size: &String| ParsedQuantity::try_from(size.as_str()).ok();
        Ok(kept.as_ref().and_then(size).filter(|size| amount(size) != amount(&wanted)))
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
                let Some(one) = left.iter().find(|object| is_left(object)) else {
                    break;
                };
                self.objects.notice(&still_there(kind, one));
                self.objects.wait(AGAIN).await;
            }
        }
        Ok(())
    }
}

/// `pod user-42-g1 still exists, held by finalizer example.com/x`
fn still_there(kind: &Kind, object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let finalizers = metadata["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let held: Vec<&str> = finalizers.collect();
    let by = if held.is_empty() {
        String::new()
    } else {
        format!(", held by finalizer {}", held.join(", "))
    };
    format!("{} {name} still exists{by}", kind.singular())
}
