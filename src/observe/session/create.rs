//! Creates a session, or takes the one that is there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::{ApiError, ApiErrorKind};
use crate::exit::{Exit, Failure};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::session::objects::Objects;
use crate::observe::session::settle::{Haste, New, Settled, owner_of};
use crate::observe::session::{AGAIN, Sessions, not_ours, record_of, records_selector, unless};
use crate::session::record::{OWNER, Phase, Record};
use crate::session::template::Template;
use crate::session::warm::ReadyPods;
use crate::session::{MANAGED_BY, name};

/// Annotation of what sessions share and none used when it was last looked: it may be removed.
pub(crate) const UNUSED: &str = "podlife.dev/unused";

/// What to do where the session exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfExists {
    Reuse,
    /// Use it if it has the same owner.
    ReuseOwn,
    Fail,
    Replace,
}

/// A session that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: String,
    pub(crate) template: Template,
    /// The NetworkPolicy of the namespace.
    pub(crate) policy: Value,
    /// Labels of the record.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) owner: Option<String>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_sessions: Option<u32>,
    /// How many sessions the owner may have; none: any number.
    pub(crate) max_sessions_of_owner: Option<u32>,
    pub(crate) if_exists: IfExists,
    /// Pods that a new session may take, in place of one of its own.
    pub(crate) warm: ReadyPods,
}

/// A session that exists.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) record: Record,
    /// Whether this run made it.
    pub(crate) is_new: bool,
    /// Whether its pod had failed, or was gone, and has been replaced.
    pub(crate) is_healed: bool,
}

/// What a run has made, also where it is cut short.
#[derive(Debug, Default)]
pub(crate) struct Making {
    /// The API server was asked to create a record, and has not answered.
    is_asked: Cell<bool>,
    record: RefCell<Option<Record>>,
}

impl Making {
    /// The record that the API server has created for the run.
    pub(crate) fn record(&self) -> Option<Record> {
        self.record.borrow().clone()
    }

    /// Lets a run that is cut short go on until it is known whether it has made a record.
    pub(crate) async fn until_known(&self, run: Pin<&mut impl Future>) {
        go_on_until(|| !self.is_asked.get(), run).await;
    }
}

/// Lets a run go on until it has come far enough, or to its end.
pub(crate) async fn go_on_until(is_enough: impl Fn() -> bool, mut run: Pin<&mut impl Future>) {
    poll_fn(|context| {
        let is_over = is_enough() || run.as_mut().poll(context).is_ready() || is_enough();
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Why a session was not made.
#[derive(Debug)]
pub(crate) enum Unmade {
    /// There are as many as are allowed.
    Full(Failure),
    /// Its owner has as many as are allowed.
    OwnerFull(Failure),
    /// It exists, and belongs to another owner.
    NotOwn(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ApiError> for Unmade {
    fn from(error: ApiError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Unmade> for Failure {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Full(failure) | Unmade::OwnerFull(failure) | Unmade::NotOwn(failure) | Unmade::Failed(failure) => failure,
        }
    }
}

impl<O: Objects> Sessions<O> {
    /// Makes sure that a session exists and has a pod. Waits as long as pods of an earlier one are going.
    pub(crate) async fn create(&self, wanted: &Wanted) -> Result<Created, Failure> {
        self.make(wanted, &Making::default()).await
    }

    /// The same for a run that has to know which record it has made.
    pub(crate) async fn make(&self, wanted: &Wanted, making: &Making) -> Result<Created, Failure> {
        Ok(self.attempt(wanted, making).await?)
    }

    /// The same for a client that tells a full namespace from other causes.
    pub(crate) async fn attempt(&self, wanted: &Wanted, making: &Making) -> Result<Created, Unmade> {
        let mut if_exists = wanted.if_exists;
        loop {
            match self.record(&wanted.id).await? {
                Some(record) if record.is_going => self.objects.wait(AGAIN).await,
                Some(record) => match if_exists {
                    IfExists::Fail => {
                        let message = format!("session {:?} exists in namespace {}", wanted.id, self.namespace);
                        let failure = Failure::new(Exit::Bad, message);
                        return Err(failure.hint("--if-exists=reuse uses it, --if-exists=replace recreates it").into());
                    }
                    IfExists::Replace => {
                        if self.discard(&record).await? {
                            if_exists = IfExists::Reuse;
                        }
                    }
                    IfExists::ReuseOwn if record.owner != wanted.owner => {
                        let message = format!("session {:?} belongs to another owner", wanted.id);
                        return Err(Unmade::NotOwn(Failure::new(Exit::Bad, message)));
                    }
                    IfExists::Reuse | IfExists::ReuseOwn => {
                        self.share(&kind::NETWORK_POLICY, &wanted.policy).await?;
                        if record.phase != Phase::Active && record.template == wanted.template.hash() {
                            self.share(&kind::CONFIG_MAP, &wanted.template.config_map()).await?;
                        }
                        let before = record.generation;
                        if let Some(record) = self.reuse(record).await? {
                            // One that was paused has no failures.
                            let is_healed = record.generation != before && record.failures > 0;
                            let is_new = false;
                            return Ok(Created { record, is_new, is_healed });
                        }
                    }
                },
                None => {
                    if let Some(record) = self.create_new(wanted, making).await? {
                        let (is_new, is_healed) = (true, false);
                        return Ok(Created { record, is_new, is_healed });
                    }
                }
            }
        }
    }

    /// Creates the record and all that belongs to it. None: another client was first.
    async fn create_new(&self, wanted: &Wanted, making: &Making) -> Result<Option<Record>, Unmade> {
        self.share_all(wanted).await?;
        let mut record = self.new_record(wanted)?;
        record.warm = wanted.warm.take();
        making.is_asked.set(true);
        let created = self.objects.create(&kind::LEASE, &record.lease()).await;
        making.is_asked.set(false);
        let Some(lease) = unless(created, &[ApiErrorKind::Conflict]).map_err(not_taken)? else {
            return Ok(None);
        };
        let record = record_of(&lease)?;
        making.record.replace(Some(record.clone()));
        if let (Some(owner), Some(most)) = (&record.owner, wanted.max_sessions_of_owner)
            && self.is_one_too_many(&record, owner, most).await?
        {
            self.delete_record(&record).await?;
            record.warm.iter().for_each(|name| wanted.warm.put(name));
            return Err(Unmade::OwnerFull(owner_full(owner, most)));
        }
        // Only now nobody takes for unused what sessions share.
        self.share_all(wanted).await?;
        let new = New {
            template: &wanted.template,
            warm: &wanted.warm,
        };
        self.drive(record, Some(new)).await
    }

    /// Whether an owner had more sessions than allowed when this one was created. That moment has one place in the order of all creations, so of
    /// those that are created at once by any number of clients the first ones stay.
    async fn is_one_too_many(&self, record: &Record, owner: &str, most: u32) -> Result<bool, Failure> {
        let there = self
            .objects
            .list_at(&kind::LEASE, &records_selector(), &record.resource_version)
            .await?;
        let is_of_owner = |lease: &&Value| {
            let metadata = &lease["metadata"];
            metadata["annotations"][OWNER] == owner && metadata["deletionTimestamp"].is_null()
        };
        Ok(there.iter().filter(is_of_owner).count() > most as usize)
    }

    /// Makes sure that the policy and the template exist. One after the other: another connection would take longer than a second request.
    async fn share_all(&self, wanted: &Wanted) -> Result<(), Failure> {
        self.share(&kind::NETWORK_POLICY, &wanted.policy).await?;
        self.share(&kind::CONFIG_MAP, &wanted.template.config_map()).await
    }

    /// Everything that would be created, in order.
    pub(crate) fn objects_of(&self, wanted: &Wanted) -> Result<Vec<(Kind, Value)>, Failure> {
        let record = self.new_record(wanted)?;
        let mut objects = vec![
            (kind::NETWORK_POLICY, wanted.policy.clone()),
            (kind::CONFIG_MAP, wanted.template.config_map()),
            (kind::LEASE, record.lease()),
        ];
        objects.extend(wanted.template.objects(&owner_of(&record)));
        Ok(objects)
    }

    /// A record that does not exist yet.
    fn new_record(&self, wanted: &Wanted) -> Result<Record, Failure> {
        let now = self.now();
        Ok(Record {
            namespace: self.namespace.clone(),
            name: name::of(&wanted.id).map_err(Failure::usage)?,
            uid: String::new(),
            resource_version: String::new(),
            is_going: false,
            id: wanted.id.clone(),
            labels: wanted.labels.clone(),
            owner: wanted.owner.clone(),
            phase: Phase::Pending,
            reason: None,
            template: wanted.template.hash(),
            generation: 1,
            warm: None,
            since: now,
            failures: 0,
            slot: None,
            created: now,
            last_activity: now,
            keep_until: None,
            stamped_by: self.agent.clone(),
            idle_timeout: wanted.idle_timeout,
            max_lifetime: wanted.max_lifetime,
            max_sessions: wanted.max_sessions,
            is_on_trial: wanted.owner.is_some() && wanted.max_sessions_of_owner.is_some(),
        })
    }

    /// Takes a session that exists: it is used, and has a pod. None: it is gone.
    pub(super) async fn reuse(&self, mut record: Record) -> Result<Option<Record>, Unmade> {
        if matches!(record.phase, Phase::Paused | Phase::Failed) {
            record.failures = 0;
            self.renew(&mut record);
        }
        self.stamp(&mut record, Duration::ZERO);
        match self.write(&record).await? {
            Some(record) => self.drive(record, None).await,
            None => Ok(None),
        }
    }

    /// Settles a session that somebody waits for. Who has just made its record passes on what it is made of. None: the record is gone.
    pub(crate) async fn drive(&self, record: Record, new: Option<New<'_>>) -> Result<Option<Record>, Unmade> {
        let mut record = record;
        loop {
            match self.settle(record, Haste::Now(new)).await? {
                Settled::Done(record) => return Ok(Some(record)),
                Settled::Gone | Settled::CutShort => return Ok(None),
                Settled::Waits { record: waiting, why } => {
                    self.objects.notice(&why);
                    self.objects.wait(AGAIN).await;
                    match self.record(&waiting.id).await?.filter(|now| now.uid == waiting.uid) {
                        Some(now) => record = now,
                        None => return Ok(None),
                    }
                }
                Settled::Full { maximum } => return Err(Unmade::Full(self.full(maximum).await)),
                Settled::Refused { record, error } => {
                    // What was never made whole leaves nothing.
                    let is_left = new.is_none() || !self.discard(&record).await?;
                    let kept = if is_left { "" } else { "; no session was created" };
                    let failure = Failure {
                        exit: Exit::Bad,
                        message: format!("session {:?} gets no pod: {error}{kept}", record.id),
                        hint: error.hint.clone(),
                    };
                    return Err(failure.into());
                }
            }
        }
    }

    /// Why there is no place for another session, and who has been idle longest.
    async fn full(&self, maximum: u32) -> Failure {
        let message = format!(
            "namespace {} holds {}, the maximum (--max-sessions)",
            self.namespace,
            crate::text::counted(maximum, "session")
        );
        let (records, _) = self.records().await.unwrap_or_default();
        let failure = Failure::new(Exit::Bad, message);
        match records.values().min_by_key(|record| record.last_activity) {
            Some(record) => {
                let idle = crate::model::age::short(record.idle(self.now()));
                let message = format!("{}; idle longest: {:?}, for {idle}", failure.message, record.id);
                let hint = crate::text::command("kubectl podlife session delete -n {} -- {}", &[&self.namespace, &record.id]);
                Failure { message, ..failure }.hint(hint)
            }
            None => failure,
        }
    }

    /// Makes sure that an object exists that sessions share, and that nobody takes it for unused.
    pub(super) async fn share(&self, kind: &Kind, object: &Value) -> Result<(), Failure> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        loop {
            match self.objects.get(kind, name).await? {
                Some(mut there) => {
                    if there["metadata"]["labels"][MANAGED_BY.0] != MANAGED_BY.1 {
                        return Err(not_ours(kind, name, &self.namespace));
                    }
                    if there["data"] != object["data"] {
                        let message = format!("{}/{name} in namespace {} was changed", kind.singular(), self.namespace);
                        return Err(Failure::new(Exit::Bad, message).hint("delete it, and it will be recreated"));
                    }
                    if is_closed(&there, object) {
                        let message = format!("{}/{name} in namespace {} admits nobody", kind.singular(), self.namespace);
                        return Err(Failure::new(Exit::Bad, message).hint("leave out --allow-from, or delete it, and it will be recreated"));
                    }
                    let annotations = there.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
                    let is_marked = annotations.is_some_and(|all| all.remove(UNUSED).is_some());
                    if !allow(&mut there, object) && !is_marked {
                        return Ok(());
                    }
                    let written = self.objects.replace(kind, name, &there).await;
                    unless(written, &[ApiErrorKind::Conflict, ApiErrorKind::NotFound])?;
                }
                None => {
                    let created = self.objects.create(kind, object).await;
                    if unless(created, &[ApiErrorKind::Conflict]).map_err(not_taken)?.is_some() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Why an owner gets no other session.
pub(crate) fn owner_full(owner: &str, most: u32) -> Failure {
    let message = format!("{owner} has {most} sessions, the maximum (--max-sessions-per-owner)");
    Failure::new(Exit::Bad, message)
}

/// Why an object of a session was not created: where the API server does not take it, there is no pod.
fn not_taken(error: ApiError) -> Failure {
    match error.is_about_the_object() {
        true => Failure {
            exit: Exit::Bad,
            message: error.to_string(),
            hint: error.hint.clone(),
        },
        false => error.into(),
    }
}

/// Whether somebody has taken all rules from a policy to which `wanted` would add more than gateways.
fn is_closed(policy: &Value, wanted: &Value) -> bool {
    let is_asked = wanted["spec"]["ingress"][0]["from"].as_array().is_some_and(|from| from.len() > 1);
    is_asked && policy["spec"]["ingress"].as_array().is_none_or(Vec::is_empty)
}

/// Lets whom a policy admits be admitted by another one too. True: it did not do so already.
fn allow(policy: &mut Value, wanted: &Value) -> bool {
    let Some(from) = policy.pointer_mut("/spec/ingress/0/from").and_then(Value::as_array_mut) else {
        return false;
    };
    let wanted = wanted["spec"]["ingress"][0]["from"].as_array().into_iter().flatten();
    let missing: Vec<Value> = wanted.filter(|peer| !from.contains(peer)).cloned().collect();
    let is_new = !missing.is_empty();
    from.extend(missing);
    is_new
}
