//! One pass over the sessions of a namespace: cleans up who is idle or too old, heals, and removes what has no record.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::cluster::{ApiError, ApiErrorKind, WriteOptions};
use crate::exit::{Exit, Failure};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::session::create::UNUSED;
use crate::observe::session::objects::{InCluster, Objects};
use crate::observe::session::settle::{Haste, Settled, of_uid};
use crate::observe::session::{Sessions, all_selector, is_kept_claim, is_present, pod_of, records_selector, unless};
use crate::session::decide::{Due, Healing};
use crate::session::record::{Phase, Record};
use crate::session::template::policy;
use crate::session::{ID, MANAGED_BY, SESSION, TEMPLATE, decide, slots, warm};

/// What a pass did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A session is cleaned up that nobody uses.
    Reaped,
    /// A session is cleaned up that is too old.
    Expired,
    /// A session was created.
    Created,
    /// A session got what its creation had not made yet.
    Completed,
    /// A session got another pod.
    Healed,
    /// A session gets no pod, or not yet.
    Waiting,
    /// A session was given up.
    GaveUp,
    /// Something without a record is removed.
    Removed,
}

impl What {
    /// The word as it is printed.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Reaped | Self::Expired => "reaped",
            Self::Created => "created",
            Self::Completed => "completed",
            Self::Healed => "healed",
            Self::Waiting => "waiting",
            Self::GaveUp => "gave up",
            Self::Removed => "removed",
        }
    }

    /// The reason of the event about it; none for what waits, which does so in each pass, and for what its creator may be about to do.
    pub(crate) const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Reaped | Self::Expired => Some("SessionReaped"),
            Self::Created => Some("SessionCreated"),
            Self::Healed => Some("SessionHealed"),
            Self::GaveUp => Some("SessionFailed"),
            Self::Removed => Some("OrphanRemoved"),
            Self::Completed | Self::Waiting => None,
        }
    }
}

/// One act of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) what: What,
    /// The id of the session, where it is known.
    pub(crate) id: Option<String>,
    /// The object: `session/NAME`, `pod/NAME`.
    pub(crate) object: String,
    pub(crate) why: String,
}

/// How a pass is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pass {
    /// Only say what would be done.
    pub(crate) dry_run: bool,
    /// Also look for objects without a record.
    pub(crate) orphans: bool,
}

/// When passes begin: this often, however long each one takes, and at once behind one that took longer.
pub(crate) fn beginnings(every: Duration) -> Interval {
    let mut beginnings = interval(every);
    beginnings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beginnings
}

/// After so many sessions in a row for which the API server gave no usable answer, a pass ends.
const MOST_UNANSWERED: usize = 3;

/// The records of a namespace by name.
type Records = BTreeMap<String, Record>;

/// Leases that are no records that this version understands, by name, and what is wrong with them.
type Unreadable = BTreeMap<String, String>;

impl<O: Objects> Sessions<O> {
    /// Makes one pass and hands out each act as it is done. Returns how many sessions there were.
    pub(crate) async fn pass(&self, pass: Pass, mut act: impl AsyncFnMut(Act)) -> Result<usize, Failure> {
        let (records, unreadable) = self.records().await?;
        for (name, why) in &unreadable {
            let (what, id, object, why) = (What::Waiting, None, format!("lease/{name}"), why.clone());
            act(Act { what, id, object, why }).await;
        }
        // What a pod was to be takes the most memory, and decides nothing here.
        let without_spec = |mut pod: Value| {
            pod["spec"].take();
            pod_of(pod)
        };
        let listed = self.objects.list_with(&kind::POD, &all_selector(), without_spec).await?;
        let mut pods: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
        for pod in listed {
            let session = pod.metadata.labels.as_ref().and_then(|labels| labels.get(SESSION)).cloned();
            pods.entry(session.unwrap_or_default()).or_default().push(pod);
        }
        let warm = pods.remove("").unwrap_or_default();
        let mut left = records.clone();
        let (now, mut all) = (self.now(), records.values().filter(|record| !record.is_going).collect::<Vec<_>>());
        // Nobody who is due waits until others are healed.
        all.sort_by_key(|record| decide::due(record, now).is_none());
        let mut unanswered = 0;
        for record in all {
            let of_it = pods.get(&record.name).map_or(&[][..], Vec::as_slice);
            let looked = self.look_after(record, of_it, pass).await;
            let is_unanswered = looked.as_ref().is_err_and(|failure| failure.exit == Exit::NoAnswer);
            unanswered = if is_unanswered { unanswered + 1 } else { 0 };
            let done = match looked {
                // What is wrong with one session must not keep the others from being cleaned up.
                Err(failure) if unanswered < MOST_UNANSWERED => Some(Act {
                    what: What::Waiting,
                    id: Some(record.id.clone()),
                    object: format!("session/{}", record.name),
                    why: failure.message,
                }),
                done => done?,
            };
            if let Some(done) = done {
                if matches!(done.what, What::Reaped | What::Expired | What::Removed) {
                    left.remove(&record.name);
                }
                act(done).await;
            }
        }
        if pass.orphans {
            for (name, pods) in pods
                .iter()
                .filter(|(name, _)| !records.contains_key(*name) && !unreadable.contains_key(*name))
            {
                for pod in pods {
                    let object = json!({"metadata": pod.metadata});
                    if let Some(done) = self.remove_orphan(&kind::POD, name, &object, pass).await? {
                        act(done).await;
                    }
                }
            }
            self.remove_orphans(&records, pass, &mut act).await?;
            let keeps_warm = self.keeps_warm(&warm, pass, &mut act).await?;
            if unreadable.is_empty() {
                self.remove_unused(&left, keeps_warm, pass, &mut act).await?;
            }
        }
        Ok(records.len())
    }

    /// Cleans one session up, or heals it.
    async fn look_after(&self, record: &Record, pods: &[Pod], pass: Pass) -> Result<Option<Act>, Failure> {
        let now = self.now();
        let act = |what: What, why: String| {
            let (id, object) = (Some(record.id.clone()), format!("session/{}", record.name));
            Ok(Some(Act { what, id, object, why }))
        };
        if let Some((due, why)) = decide::due(record, now) {
            // Who touches it now changes the record, and it stays.
            let is_reaped = pass.dry_run || self.discard(record).await?;
            let what = if due == Due::Age { What::Expired } else { What::Reaped };
            return if is_reaped { act(what, why) } else { Ok(None) };
        }
        let present = pods.iter().find(|pod| is_present(record, pod));
        let has_others = pods
            .iter()
            .any(|pod| !is_present(record, pod) && pod.metadata.deletion_timestamp.is_none());
        let why = match decide::heal(record, present, now) {
            Healing::Now { why, .. } | Healing::Never { why } => why,
            Healing::No if record.phase == Phase::Pending => "its pod was never created".to_owned(),
            Healing::No if has_others || (record.phase == Phase::Paused && present.is_some()) => {
                "a pod of an earlier generation is left".to_owned()
            }
            Healing::Later(until) => {
                let why = format!("pod {} failed; the next one starts at {until:.0}", record.pod());
                return act(What::Waiting, why);
            }
            Healing::No | Healing::Leaves => return Ok(None),
        };
        if pass.dry_run {
            return act(What::Healed, why);
        }
        match self.settle(record.clone(), Haste::Patient).await? {
            Settled::Gone => Ok(None),
            Settled::Done(settled) if settled.phase == Phase::Failed && record.phase != Phase::Failed => {
                act(What::GaveUp, settled.reason.unwrap_or(why))
            }
            Settled::Done(settled) if settled.generation != record.generation => {
                act(What::Healed, format!("{why}; now pod {}", settled.pod()))
            }
            Settled::Done(_) if record.phase == Phase::Pending => act(What::Completed, why),
            Settled::Done(_) => act(What::Healed, why),
            Settled::Waits { why, .. } => act(What::Waiting, why),
            Settled::CutShort => act(What::Removed, "its creation was interrupted".to_owned()),
            Settled::Full { maximum } => act(
                What::Removed,
                format!("its creation was interrupted, and there are {maximum} sessions, the maximum"),
            ),
            Settled::Refused { error, .. } => act(What::Waiting, format!("{why}; the API server rejects the pod: {error}")),
        }
    }

    /// Removes Services, claims and slots without a record.
    async fn remove_orphans(&self, records: &Records, pass: Pass, act: &mut impl AsyncFnMut(Act)) -> Result<(), Failure> {
        for (kind, selector) in [
            (&kind::SERVICE, all_selector()),
            (&kind::CLAIM, all_selector()),
            (&kind::LEASE, slots::selector()),
        ] {
            let listed = self.objects.list(kind, &selector, true).await;
            for object in unless(listed, &[ApiErrorKind::Forbidden])?.unwrap_or_default() {
                let name = object["metadata"]["labels"][SESSION].as_str().unwrap_or_default();
                let owner = records.get(name).filter(|record| record.owns(&object));
                let number = slots::number(&object);
                let is_second = |record: &&Record| number.is_some() && record.slot.is_some() && record.slot != number;
                let done = match owner {
                    Some(record) if is_second(&record) => {
                        let why = (Some(record.id.clone()), "the session holds another slot");
                        self.remove_object(kind, &object, None, why, pass).await?
                    }
                    Some(_) => None,
                    None if is_kept_claim(kind, &object) => None,
                    None => self.remove_orphan(kind, name, &object, pass).await?,
                };
                if let Some(done) = done {
                    act(done).await;
                }
            }
        }
        Ok(())
    }

    /// Removes warm pods when no gateway keeps them any more. Whether there are any that one keeps.
    async fn keeps_warm(&self, pods: &[Pod], pass: Pass, act: &mut impl AsyncFnMut(Act)) -> Result<bool, Failure> {
        if pods.is_empty() {
            return Ok(false);
        }
        let keeper = self.objects.get(&kind::LEASE, warm::KEEPER).await?;
        if warm::is_kept(keeper.as_ref(), self.now()) {
            return Ok(true);
        }
        for pod in pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            // As it was read: a session may have taken it in the meantime.
            let version = pod.metadata.resource_version.as_deref();
            let object = json!({"metadata": pod.metadata});
            let why = (None, "no gateway maintains it");
            if let Some(done) = self.remove_object(&kind::POD, &object, version, why, pass).await? {
                act(done).await;
            }
        }
        Ok(false)
    }

    /// Removes an object that belongs to no record, as it is now.
    async fn remove_orphan(&self, kind: &Kind, session: &str, object: &Value, pass: Pass) -> Result<Option<Act>, Failure> {
        // The records may have been read before this one was written.
        let now = self.objects.get(&kind::LEASE, session).await?;
        let owners = object["metadata"]["ownerReferences"].as_array();
        let is_owned = |lease: Value| owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == lease["metadata"]["uid"]));
        if now.is_some_and(is_owned) {
            return Ok(None);
        }
        let id = object["metadata"]["annotations"][ID].as_str().map(str::to_owned);
        self.remove_object(kind, object, None, (id, "it has no record"), pass).await
    }

    /// Removes an object. None: it is gone, or has another version than `version`.
    async fn remove_object(
        &self,
        kind: &Kind,
        object: &Value,
        version: Option<&str>,
        (id, why): (Option<String>, &str),
        pass: Pass,
    ) -> Result<Option<Act>, Failure> {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        if !pass.dry_run {
            let mut deletion = of_uid(metadata["uid"].as_str().unwrap_or_default());
            deletion.preconditions.resource_version = version.map(str::to_owned);
            if !self.delete_object(kind, name, &deletion).await? {
                return Ok(None);
            }
        }
        Ok(Some(Act {
            what: What::Removed,
            id,
            object: format!("{}/{name}", kind.singular()),
            why: why.to_owned(),
        }))
    }

    /// The records of the namespace, and those that another version of podlife may understand.
    pub(crate) async fn records(&self) -> Result<(Records, Unreadable), Failure> {
        let named = |lease: Value| Some((lease["metadata"]["name"].as_str()?.to_owned(), Record::read(&lease)));
        let leases = self.objects.list_with(&kind::LEASE, &records_selector(), named).await?;
        let (mut records, mut unreadable) = (Records::new(), Unreadable::new());
        for (name, record) in leases {
            match record {
                Ok(record) => drop(records.insert(name, record)),
                Err(why) => drop(unreadable.insert(name, why)),
            }
        }
        Ok((records, unreadable))
    }

    /// Removes templates and the policy when no record uses them.
    async fn remove_unused(&self, records: &Records, keeps_warm: bool, pass: Pass, act: &mut impl AsyncFnMut(Act)) -> Result<(), Failure> {
        let mut marked = Vec::new();
        for (kind, selector) in [
            (kind::CONFIG_MAP, format!("{TEMPLATE},{}={}", MANAGED_BY.0, MANAGED_BY.1)),
            (kind::NETWORK_POLICY, format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)),
        ] {
            let listed = self.objects.list(&kind, &selector, false).await;
            for object in unless(listed, &[ApiErrorKind::Forbidden])?.unwrap_or_default() {
                if !is_used(&object, records, keeps_warm)
                    && let Some(object) = self.mark(&kind, object, pass).await?
                {
                    marked.push((kind.clone(), object));
                }
            }
        }
        if marked.is_empty() {
            return Ok(());
        }
        // A record that was written before this list is in it; who wrote one afterwards takes the mark away, or makes the object anew.
        let (records, unreadable) = self.records().await?;
        let marked = if unreadable.is_empty() { marked } else { Vec::new() };
        for (kind, object) in marked.into_iter().filter(|(_, object)| !is_used(object, &records, keeps_warm)) {
            let version = object["metadata"]["resourceVersion"].as_str();
            if let Some(done) = self
                .remove_object(&kind, &object, version, (None, "no session uses it"), pass)
                .await?
            {
                act(done).await;
            }
        }
        Ok(())
    }

    /// Marks an object as unused. None: somebody changed it in the meantime.
    async fn mark(&self, kind: &Kind, mut object: Value, pass: Pass) -> Result<Option<Value>, Failure> {
        if pass.dry_run || object["metadata"]["annotations"][UNUSED].is_string() {
            return Ok(Some(object));
        }
        object["metadata"]["annotations"][UNUSED] = json!("true");
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let written = self.objects.replace(kind, &name, &object).await;
        Ok(unless(written, &[ApiErrorKind::Conflict, ApiErrorKind::NotFound])?)
    }
}

/// Whether a template has a record that names it; the policy is used as long as there are records or warm pods. Another policy is not known.
fn is_used(object: &Value, records: &Records, keeps_warm: bool) -> bool {
    match object["metadata"]["labels"][TEMPLATE].as_str() {
        Some(hash) => records.values().any(|record| record.template == hash),
        None => keeps_warm || !records.is_empty() || object["metadata"]["name"] != policy::NAME,
    }
}

impl Sessions<InCluster> {
    /// Records an act as an event; `number` tells those of one moment apart.
    pub(crate) async fn tell(&self, act: &Act, number: usize) -> Result<(), ApiError> {
        let Some(event) = event(&self.namespace, act, self.now(), number) else {
            return Ok(());
        };
        let (connection, options) = (&self.objects.connection, WriteOptions::default());
        connection
            .create(&kind::EVENT, Some(&self.namespace), &event, &options)
            .await
            .map(drop)
    }
}

/// An event about an act.
fn event(namespace: &str, act: &Act, now: jiff::Timestamp, number: usize) -> Option<Value> {
    let reason = act.what.reason()?;
    let (singular, object) = act.object.split_once('/')?;
    // A session is its record.
    let kind = kind::named(singular).cloned().unwrap_or(kind::LEASE);
    let time = now.to_string();
    Some(json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{object}.{:x}{number:x}", now.as_nanosecond()), "namespace": namespace},
        "involvedObject": {"apiVersion": kind.api_version(), "kind": kind.kind, "namespace": namespace, "name": object},
        "reason": reason,
        "message": act.why,
        "type": if act.what == What::GaveUp { "Warning" } else { "Normal" },
        "source": {"component": "podlife"},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }))
}
