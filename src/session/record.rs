//! The record of a session, and how it is written as a Lease.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::session::{GENERATION, ID, MANAGED_BY, POD, SESSION, TEMPLATE, name};

pub(crate) const OWNER: &str = "podlife.dev/owner";
const TRIAL: &str = "podlife.dev/on-trial";
const PHASE: &str = "podlife.dev/phase";
const FAILURES: &str = "podlife.dev/failures";
const HELD: &str = "podlife.dev/slot-number";
const SINCE: &str = "podlife.dev/generation-since";
const MAX_LIFETIME: &str = "podlife.dev/max-lifetime-seconds";
const MAX_SESSIONS: &str = "podlife.dev/max-sessions";
const KEEP_UNTIL: &str = "podlife.dev/keep-until";
const REASON: &str = "podlife.dev/reason";

/// What is wanted for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The pod of the present generation may not have been made yet.
    Pending,
    /// The pod of the present generation has been made.
    Active,
    /// No pod until the session is resumed.
    Paused,
    /// No pod: it failed too often.
    Failed,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Pending, Self::Active, Self::Paused, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Paused => "Paused",
            Self::Failed => "Failed",
        }
    }
}

/// A session as the cluster remembers it. Read from a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty before it is created.
    pub(crate) uid: String,
    /// Empty before it is created.
    pub(crate) resource_version: String,
    /// Whether it was deleted and waits for a finalizer.
    pub(crate) is_going: bool,
    pub(crate) id: String,
    /// Labels that who created it wanted on the record.
    pub(crate) labels: BTreeMap<String, String>,
    /// Whom the session belongs to, in the words of who created it.
    pub(crate) owner: Option<String>,
    pub(crate) phase: Phase,
    /// Why the phase is Failed.
    pub(crate) reason: Option<String>,
    /// Hash of the template.
    pub(crate) template: String,
    /// How often a pod was made.
    pub(crate) generation: u32,
    /// The warm pod that is, or is to be, the one of the present generation; none: it has one of its own.
    pub(crate) warm: Option<String>,
    /// Since when the generation is the present one.
    pub(crate) since: Timestamp,
    /// How many pods failed in a row.
    pub(crate) failures: u32,
    /// The slot that the session holds.
    pub(crate) slot: Option<u32>,
    pub(crate) created: Timestamp,
    pub(crate) last_activity: Timestamp,
    /// Until when it is kept although nobody uses it.
    pub(crate) keep_until: Option<Timestamp>,
    /// Which client stamped the last activity.
    pub(crate) stamped_by: String,
    /// None: never.
    pub(crate) idle_timeout: Option<Duration>,
    /// None: never.
    pub(crate) max_lifetime: Option<Duration>,
    /// How many sessions the namespace may hold; none: any number.
    pub(crate) max_sessions: Option<u32>,
    /// Its owner may have a limited number of sessions, and who created it has not found out yet whether it is one too many.
    pub(crate) is_on_trial: bool,
}

impl Record {
    /// Reads a Lease; an error says what is wrong with it.
    pub(crate) fn read(lease: &Value) -> Result<Self, String> {
        let metadata = &lease["metadata"];
        let lease_name = metadata["name"].as_str().unwrap_or_default();
        let wrong = |what: &str| format!("lease {lease_name} is not a valid session record: {what}");
        let annotation = |key: &str| metadata["annotations"][key].as_str();
        let text = |key: &str| annotation(key).ok_or_else(|| wrong(&format!("annotation {key} is missing")));
        let number = |key: &str| match annotation(key) {
            None => Ok(None),
            Some(value) => value
                .parse::<u32>()
                .map(Some)
                .map_err(|_| wrong(&format!("annotation {key} is not a number"))),
        };
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let created = time(&lease["spec"]["acquireTime"]).ok_or_else(|| wrong("acquireTime is missing"))?;
        let (id, phase, template) = (text(ID)?, text(PHASE)?, text(TEMPLATE)?);
        if name::of(id).as_deref() != Ok(lease_name) {
            return Err(wrong("its id does not match its name"));
        }
        // It becomes a part of a name.
        if template.is_empty() || !template.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(wrong("its template is not a hash"));
        }
        let generation = number(GENERATION)?.unwrap_or(1);
        if generation == u32::MAX {
            return Err(wrong("its generation is too large"));
        }
        let warm = annotation(POD);
        if !warm.is_none_or(name::is_warm) {
            return Err(wrong("its pod is not a warm pod"));
        }
        Ok(Self {
            namespace: metadata["namespace"].as_str().unwrap_or_default().to_owned(),
            name: lease_name.to_owned(),
            uid: metadata["uid"].as_str().unwrap_or_default().to_owned(),
            resource_version: metadata["resourceVersion"].as_str().unwrap_or_default().to_owned(),
            is_going: metadata["deletionTimestamp"].is_string(),
            id: id.to_owned(),
            labels: metadata["labels"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| ![SESSION, MANAGED_BY.0].contains(&key.as_str()))
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            owner: annotation(OWNER).map(str::to_owned),
            phase: Phase::ALL
                .into_iter()
                .find(|known| known.as_str() == phase)
                .ok_or_else(|| wrong("its phase is unknown"))?,
            reason: annotation(REASON).map(str::to_owned),
            template: template.to_owned(),
            generation,
            warm: warm.map(str::to_owned),
            since: annotation(SINCE).and_then(|text| text.parse().ok()).unwrap_or(created),
            failures: number(FAILURES)?.unwrap_or_default(),
            slot: number(HELD)?,
            created,
            last_activity: time(&lease["spec"]["renewTime"]).ok_or_else(|| wrong("renewTime is missing"))?,
            keep_until: annotation(KEEP_UNTIL).and_then(|text| text.parse().ok()),
            stamped_by: lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned(),
            idle_timeout: lease["spec"]["leaseDurationSeconds"].as_u64().map(Duration::from_secs),
            max_lifetime: number(MAX_LIFETIME)?.map(|seconds| Duration::from_secs(seconds.into())),
            max_sessions: number(MAX_SESSIONS)?,
            is_on_trial: annotation(TRIAL).is_some(),
        })
    }

    /// Reads Leases. Of those that are no records it says what is wrong with them.
    pub(crate) fn read_all(leases: &[Value]) -> (Vec<Self>, Vec<String>) {
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        for lease in leases {
            match Self::read(lease) {
                Ok(record) => records.push(record),
                Err(why) => unreadable.push(why),
            }
        }
        (records, unreadable)
    }

    /// The Lease; with a `resourceVersion` as soon as the record has one, so that to write it is a compare-and-set.
    pub(crate) fn lease(&self) -> Value {
        let optional = [
            (OWNER, self.owner.clone()),
            (REASON, self.reason.clone()),
            (POD, self.warm.clone()),
            (HELD, self.slot.map(|slot| slot.to_string())),
            (KEEP_UNTIL, self.keep_until.map(micros)),
            (MAX_LIFETIME, self.max_lifetime.map(|limit| limit.as_secs().to_string())),
            (MAX_SESSIONS, self.max_sessions.map(|limit| limit.to_string())),
            (TRIAL, self.is_on_trial.then(|| "true".to_owned())),
        ];
        let mut annotations = json!({
            ID: self.id,
            PHASE: self.phase.as_str(),
            TEMPLATE: self.template,
            GENERATION: self.generation.to_string(),
            SINCE: micros(self.since),
            FAILURES: self.failures.to_string(),
        });
        for (key, value) in optional.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            annotations[key] = value.into();
        }
        let mut lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {SESSION: self.name, MANAGED_BY.0: MANAGED_BY.1},
                "annotations": annotations,
            },
            "spec": {"holderIdentity": self.stamped_by, "acquireTime": micros(self.created), "renewTime": micros(self.last_activity)},
        });
        for (key, value) in &self.labels {
            lease["metadata"]["labels"][key] = value.as_str().into();
        }
        if let Some(timeout) = self.idle_timeout {
            lease["spec"]["leaseDurationSeconds"] = timeout.as_secs().into();
        }
        if !self.resource_version.is_empty() {
            lease["metadata"]["resourceVersion"] = self.resource_version.clone().into();
            lease["metadata"]["uid"] = self.uid.clone().into();
        }
        lease
    }

    /// The name of the pod of the present generation.
    pub(crate) fn pod(&self) -> String {
        self.warm.clone().unwrap_or_else(|| name::of_pod(&self.name, self.generation))
    }

    /// How long nobody has used it.
    pub(crate) fn idle(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.last_activity)).unwrap_or_default()
    }

    /// When it will be cleaned up if nobody uses it; none: never.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let idle = end(self.last_activity, self.idle_timeout).map(|idle| idle.max(self.keep_until.unwrap_or(idle)));
        idle.into_iter().chain(end(self.created, self.max_lifetime)).min()
    }

    /// Whether it is cleaned up at that time even if it is used: its maximum lifetime ends first.
    pub(crate) fn expires_by_age(&self) -> bool {
        let age = end(self.created, self.max_lifetime);
        age.is_some() && age == self.expires()
    }

    /// Whether an object belongs to this record, and not to an earlier one of the same name.
    pub(crate) fn owns(&self, object: &Value) -> bool {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == self.uid.as_str()))
    }
}

/// When a limit from a start is reached; none where there is no limit.
fn end(start: Timestamp, limit: Option<Duration>) -> Option<Timestamp> {
    let limit = SignedDuration::try_from(limit?).ok();
    Some(limit.and_then(|limit| start.checked_add(limit).ok()).unwrap_or(Timestamp::MAX))
}

/// What makes the cluster delete an object with the record of that name. As its controller: no other one adopts a pod, and `kubectl drain` may
/// evict it.
pub(crate) fn owner_reference(name: &str, uid: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": false})
}

/// A time as Leases hold it.
pub(crate) fn micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_somebody_has_edited_is_no_record() {
        let record = json!({
            "metadata": {
                "name": name::of("a").unwrap(),
                "annotations": {ID: "a", PHASE: "Active", TEMPLATE: "0123456789abcdef", GENERATION: "1", FAILURES: "4294967295"},
            },
            "spec": {"acquireTime": "2026-01-01T12:00:00.000000Z", "renewTime": "2026-01-01T12:00:00.000000Z"},
        });
        assert!(Record::read(&record).is_ok());
        for (key, value) in [
            (ID, "b"),
            (ID, ""),
            (TEMPLATE, ""),
            (TEMPLATE, "../x"),
            (PHASE, "active"),
            (GENERATION, "4294967295"),
            (GENERATION, "-1"),
            (FAILURES, "many"),
            (POD, "podlife-warm-../x"),
            (POD, "coredns-0123456789abcdef"),
        ] {
            let mut edited = record.clone();
            edited["metadata"]["annotations"][key] = value.into();
            assert!(Record::read(&edited).is_err(), "{key}: {value}");
        }
    }
}
