//! Drives a session forward: slot, claim, Service and pod, or the next generation where its pod failed.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::cluster::{ApiError, ApiErrorKind, Deletion};
use crate::exit::{Exit, Failure};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::session::objects::Objects;
use crate::observe::session::{Sessions, is_kept_claim, is_present, unless};
use crate::session::decide::Healing;
use crate::session::record::{Phase, Record, owner_reference};
use crate::session::slots::Slots;
use crate::session::template::{Owner, Template, policy};
use crate::session::warm::ReadyPods;
use crate::session::{ID, MANAGED_BY, decide, slots};
use crate::text::command;

/// Annotation of a claim that an earlier session of the same id made.
pub(super) const ADOPTED: &str = "podlife.dev/adopted";

/// Nobody changes a record that often in a row.
const MOST_ROUNDS: usize = 50;

/// Behind its record, a client creates the rest within this time.
const CREATION: SignedDuration = SignedDuration::from_secs(15);

/// Where a session stands after everything that can be done now.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// It has what it should have.
    Done(Record),
    /// An earlier pod is still going, or the next one has to wait.
    Waits { record: Record, why: String },
    /// The namespace holds as many sessions as are allowed. The record is gone.
    Full { maximum: u32 },
    /// The API server does not take the pod.
    Refused { record: Record, error: ApiError },
    /// Its creation was cut short, and cannot be completed. The record is gone.
    CutShort,
    /// The record is gone.
    Gone,
}

/// Whether an object of a session is there.
enum Owned {
    Yes,
    /// A claim that an earlier session of the same id left on purpose.
    Kept,
    /// Its name is taken by one of an earlier session that goes, or the API server could not take it yet.
    NotYet,
    /// The API server does not take it, or its name is taken by what is not the session's.
    Refused(ApiError),
}

/// What a new session is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New<'a> {
    pub(crate) template: &'a Template,
    pub(crate) warm: &'a ReadyPods,
}

/// How a session is driven.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Haste<'a> {
    /// A pod that failed is replaced when its pause is over.
    Patient,
    /// Somebody waits for it: it is replaced at once. Whose record is new knows what it is made of.
    Now(Option<New<'a>>),
}

impl<O: Objects> Sessions<O> {
    /// Does what has to be done for a session. Several clients may do so at once.
    pub(crate) async fn settle(&self, record: Record, haste: Haste<'_>) -> Result<Settled, Failure> {
        let mut record = record;
        let mut taken = None;
        for _ in 0..MOST_ROUNDS {
            let (id, uid) = (record.id.clone(), record.uid.clone());
            let settled = self.step(record, haste, &mut taken).await?;
            let kept = match &settled {
                Some(Settled::Done(record) | Settled::Waits { record, .. } | Settled::Refused { record, .. }) => record.slot.or(taken),
                Some(Settled::Full { .. } | Settled::CutShort | Settled::Gone) => None,
                // Somebody changed the record: it decides.
                None => match self.record(&id).await?.filter(|now| now.uid == uid && !now.is_going) {
                    Some(now) => {
                        record = now;
                        continue;
                    }
                    None => None,
                },
            };
            if let Some(number) = taken.filter(|taken| kept != Some(*taken)) {
                self.release(number, &uid).await?;
            }
            return Ok(settled.unwrap_or(Settled::Gone));
        }
        Err(Failure::new(Exit::NoAnswer, "the record of the session keeps changing").hint("try again"))
    }

    /// One step; none if somebody changed the record in the meantime.
    async fn step(&self, record: Record, haste: Haste<'_>, taken: &mut Option<u32>) -> Result<Option<Settled>, Failure> {
        let pods = self.pods(&record.name).await?;
        let (mut present, others): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(|pod| is_present(&record, pod));
        if !others.is_empty() {
            // They are not of this record as it was read. Unless it is still the same, they may be of a later one.
            let now = self.record(&record.id).await?;
            if now.is_none_or(|now| (now.uid, now.resource_version) != (record.uid.clone(), record.resource_version.clone())) {
                return Ok(None);
            }
        }
        for pod in &others {
            self.remove(pod).await?;
        }
        let present = present.pop();
        match record.phase {
            Phase::Failed => Ok(Some(Settled::Done(record))),
            Phase::Paused => {
                if let Some(pod) = &present {
                    self.remove(pod).await?;
                }
                Ok(Some(Settled::Done(record)))
            }
            Phase::Active => self.heal(record, present.as_ref(), haste).await,
            Phase::Pending => {
                if let Some(pod) = others.iter().find(|pod| decide::is_live(pod) && !decide::is_lost(pod, self.now())) {
                    let why = format!("pod {} is still terminating", pod.metadata.name.as_deref().unwrap_or_default());
                    return Ok(Some(Settled::Waits { record, why }));
                }
                self.start(record, haste, present.is_some(), taken).await
            }
        }
    }

    /// Makes the slot, the claim, the Service and the pod.
    async fn start(
        &self,
        mut record: Record,
        haste: Haste<'_>,
        has_pod: bool,
        taken: &mut Option<u32>,
    ) -> Result<Option<Settled>, Failure> {
        match haste {
            // Who has created it has found it to be within the limit.
            Haste::Now(Some(_)) => record.is_on_trial = false,
            _ if !record.is_on_trial => {}
            _ => return self.unfinished(record, "its owner may have too many sessions".to_owned()).await,
        }
        if let (None, Some(maximum)) = (record.slot, record.max_sessions) {
            record.slot = self.slot(&record, maximum, taken).await?;
            if record.slot.is_none() {
                return Ok(self.discard(&record).await?.then_some(Settled::Full { maximum }));
            }
        }
        let mut has_kept_claim = has_pod;
        if !has_pod {
            let stored;
            let template = match haste {
                Haste::Now(Some(new)) => new.template,
                _ => {
                    let name = Template::name_of(&record.template);
                    let Some(map) = self.objects.get(&kind::CONFIG_MAP, &name).await? else {
                        return self.without_template(record, &name).await;
                    };
                    // Whoever took it away did not want open sessions.
                    self.share(&kind::NETWORK_POLICY, &policy::policy(&[])).await?;
                    stored = Template::from_config_map(&map).map_err(|error| {
                        let delete = command("kubectl delete configmap {} -n {}", &[&name, &self.namespace]);
                        Failure::new(Exit::Bad, error).hint(format!("{delete}; the next session recreates it"))
                    })?;
                    &stored
                }
            };
            let owner = owner_of(&record);
            let objects = [
                (&kind::CLAIM, template.claim(&owner)),
                (&kind::SERVICE, template.service(&owner)),
                (&kind::POD, record.warm.is_none().then(|| template.pod(&owner))),
            ];
            for (kind, object) in objects {
                let Some(object) = object else { continue };
                match self.own(kind, &record, &object).await? {
                    Owned::Yes => {}
                    Owned::Kept => has_kept_claim = true,
                    Owned::NotYet => {
                        let name = object["metadata"]["name"].as_str().unwrap_or_default();
                        let why = format!("{} {name} of an earlier session is still being deleted", kind.singular());
                        return Ok(Some(Settled::Waits { record, why }));
                    }
                    Owned::Refused(error) => return Ok(Some(Settled::Refused { record, error })),
                }
            }
            if let Some(name) = &record.warm
                && !self.claim(&record, name).await?
            {
                record.warm = match haste {
                    Haste::Now(Some(new)) => new.warm.take(),
                    _ => None,
                };
                self.write(&record).await?;
                return Ok(None);
            }
        }
        // Only now: a session that gets no pod is taken back, and what an earlier one left stays.
        if has_kept_claim && !self.adopt(&record).await? {
            return Ok(None);
        }
        record.phase = Phase::Active;
        Ok(self.write(&record).await?.map(Settled::Done))
    }

    /// What becomes of a session whose template is gone.
    async fn without_template(&self, mut record: Record, name: &str) -> Result<Option<Settled>, Failure> {
        let why = format!("ConfigMap {name}, the template of its pods, is gone");
        if record.generation > 1 {
            record.phase = Phase::Failed;
            record.reason = Some(why);
            return Ok(self.write(&record).await?.map(Settled::Done));
        }
        self.unfinished(record, why).await
    }

    /// What becomes of a session whose creation only the one can go on with who began it: it is waited for, unless it is dead.
    async fn unfinished(&self, record: Record, why: String) -> Result<Option<Settled>, Failure> {
        if self.now().duration_since(record.created) < CREATION {
            return Ok(Some(Settled::Waits { record, why }));
        }
        Ok(self.discard(&record).await?.then_some(Settled::CutShort))
    }

    /// Creates an object of a session.
    async fn own(&self, kind: &Kind, record: &Record, object: &Value) -> Result<Owned, Failure> {
        use ApiErrorKind::{Conflict, Forbidden, Invalid, NotFound};
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match self.objects.create(kind, object).await {
            Ok(_) => Ok(Owned::Yes),
            Err(mut error) if error.kind == Conflict => match self.objects.get(kind, name).await? {
                Some(there) if is_going(&there) => Ok(Owned::NotYet),
                Some(there) if record.owns(&there) => Ok(Owned::Yes),
                Some(there) if kind == &kind::CLAIM && is_kept(&there, record) => Ok(Owned::Kept),
                Some(there) if !is_of_earlier(&there, record) => {
                    error.hint = Some("rename or delete it: the session needs this name".to_owned());
                    Ok(Owned::Refused(error))
                }
                _ => Ok(Owned::NotYet),
            },
            Err(error) if matches!(error.kind, Forbidden | Invalid | NotFound) => Ok(Owned::Refused(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over the claim that an earlier session of the same id left on purpose, if there is one. False: somebody changed it in the meantime.
    async fn adopt(&self, record: &Record) -> Result<bool, Failure> {
        let claim = self.objects.get(&kind::CLAIM, &record.name).await?;
        let Some(mut claim) = claim.filter(|claim| is_kept(claim, record)) else {
            return Ok(true);
        };
        claim["metadata"]["ownerReferences"] = Value::Array(vec![owner_reference(&record.name, &record.uid)]);
        claim["metadata"]["annotations"][ADOPTED] = "true".into();
        let written = self.objects.replace(&kind::CLAIM, &record.name, &claim).await;
        Ok(unless(written, &[ApiErrorKind::Conflict, ApiErrorKind::NotFound])?.is_some())
    }

    /// A slot for a record: one that it holds, or a free one. None: there are none.
    async fn slot(&self, record: &Record, maximum: u32, taken: &mut Option<u32>) -> Result<Option<u32>, Failure> {
        let mut watched = self.slots.borrow().clone();
        // What was found to be taken may have become free on the way: only a second list that shows no free slot either is believed.
        let mut lists = 0;
        while lists < 2 {
            let mut known = if let Some(watched) = watched.take() {
                watched
            } else {
                lists += 1;
                Slots::read(&self.objects.list(&kind::LEASE, &slots::selector(), true).await?)
            };
            loop {
                if let Some(number) = known.of(record).min() {
                    return Ok(Some(number));
                }
                let Some(number) = known.next(record, maximum) else { break };
                let created = self.objects.create(&kind::LEASE, &slots::lease(number, record)).await;
                if unless(created, &[ApiErrorKind::Conflict])?.is_some() {
                    *taken = Some(number);
                    return Ok(Some(number));
                }
                if let Some(there) = self.objects.get(&kind::LEASE, &slots::name(number)).await? {
                    known.note(number, &there);
                }
            }
        }
        Ok(None)
    }

    /// Gives a slot back that was taken for a record.
    pub(crate) async fn release(&self, number: u32, uid: &str) -> Result<(), Failure> {
        let name = slots::name(number);
        let Some(slot) = self.objects.get(&kind::LEASE, &name).await? else {
            return Ok(());
        };
        if slot["metadata"]["ownerReferences"][0]["uid"] == uid {
            let own = slot["metadata"]["uid"].as_str().unwrap_or_default();
            self.delete_object(&kind::LEASE, &name, &of_uid(own)).await?;
        }
        Ok(())
    }

    /// Deletes a record as it is. False: somebody changed it in the meantime.
    pub(crate) async fn discard(&self, record: &Record) -> Result<bool, Failure> {
        let mut deletion = of_uid(&record.uid);
        deletion.preconditions.resource_version = Some(record.resource_version.clone());
        match self.objects.delete(&kind::LEASE, &record.name, &deletion).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(true),
            Err(error) if error.kind == ApiErrorKind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Does what has to be done about the pod of an active session.
    async fn heal(&self, mut record: Record, pod: Option<&Pod>, haste: Haste<'_>) -> Result<Option<Settled>, Failure> {
        let mut healing = decide::heal(&record, pod, self.now());
        if let (Healing::Later(_), Haste::Now(_)) = (&healing, haste) {
            let why = "a client waits for it".to_owned();
            let failures = record.failures.saturating_add(1);
            healing = Healing::Now { why, failures };
        }
        match healing {
            Healing::No => return Ok(Some(Settled::Done(record))),
            Healing::Leaves => {
                let why = format!("pod {} is still terminating", record.pod());
                return Ok(Some(Settled::Waits { record, why }));
            }
            Healing::Later(until) => {
                let why = format!(
                    "pod {} failed, {} in a row; the next one starts at {until:.0}",
                    record.pod(),
                    record.failures.saturating_add(1)
                );
                return Ok(Some(Settled::Waits { record, why }));
            }
            Healing::Never { why } => {
                record.phase = Phase::Failed;
                record.reason = Some(format!("{} pods failed in a row; the last one: {why}", decide::MOST_FAILURES));
                return Ok(self.write(&record).await?.map(Settled::Done));
            }
            Healing::Now { failures, .. } => {
                record.failures = failures;
                self.renew(&mut record);
            }
        }
        // The next round makes the pod, from the record as it was written.
        self.write(&record).await?;
        Ok(None)
    }

    /// Asks for the next generation.
    pub(crate) fn renew(&self, record: &mut Record) {
        record.generation += 1;
        record.warm = None;
        record.since = self.now();
        record.phase = Phase::Pending;
        record.reason = None;
    }

    /// Deletes a pod that must not be there: at once where its node does not answer.
    async fn remove(&self, pod: &Pod) -> Result<(), Failure> {
        let is_lost = decide::is_lost(pod, self.now());
        if pod.metadata.deletion_timestamp.is_some() && !is_lost {
            return Ok(());
        }
        let deletion = Deletion {
            grace_period_seconds: is_lost.then_some(0),
            ..Deletion::of_uid(pod.metadata.uid.as_deref())
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.delete_object(&kind::POD, name, &deletion).await?;
        Ok(())
    }
}

/// Deletes this object, and afterwards what belongs to it.
pub(crate) fn of_uid(uid: &str) -> Deletion {
    Deletion {
        propagation: Some("Background"),
        ..Deletion::of_uid(Some(uid))
    }
}

fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Whether an object was made for an earlier record of the same name: it goes, as its record did.
fn is_of_earlier(object: &Value, record: &Record) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| {
        owners
            .iter()
            .any(|owner| owner["kind"] == "Lease" && owner["name"] == record.name.as_str())
    })
}

/// Whether a claim was left by an earlier session of the same id.
pub(crate) fn is_kept(claim: &Value, record: &Record) -> bool {
    let metadata = &claim["metadata"];
    metadata["labels"][MANAGED_BY.0] == MANAGED_BY.1
        && metadata["annotations"][ID] == record.id.as_str()
        && is_kept_claim(&kind::CLAIM, claim)
}

pub(super) fn owner_of(record: &Record) -> Owner {
    Owner {
        id: record.id.clone(),
        name: record.name.clone(),
        namespace: record.namespace.clone(),
        uid: record.uid.clone(),
        generation: record.generation,
    }
}
