//! Slots: Leases `podlife-slot-N`, of which there are never more than sessions are allowed.
//!
//! To create a slot is atomic, so that any number of clients that share nothing agree who is within the maximum. A ResourceQuota on Leases
//! would count those of others too, and is out of reach for the role `edit`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::session::record::{Record, owner_reference};
use crate::session::{MANAGED_BY, SESSION, SLOT};

/// The slots of a namespace: number, session and owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slots(BTreeMap<u32, String>);

impl Slots {
    /// Reads Leases, or their metadata alone.
    pub(crate) fn read<'a>(leases: impl IntoIterator<Item = &'a Value>) -> Self {
        Self(
            leases
                .into_iter()
                .filter_map(|lease| Some((number(lease)?, owner(lease))))
                .collect(),
        )
    }

    /// The slots that a record holds; more than one where two clients took one each at the same moment.
    pub(crate) fn of<'a>(&'a self, record: &'a Record) -> impl Iterator<Item = u32> + 'a {
        self.0.iter().filter(|(_, owner)| **owner == record.uid).map(|(number, _)| *number)
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.len()
    }

    /// The slot to try next; none if all are taken. Every client tries them in the same order for one session, and in another one for another,
    /// so that those who work for the same session meet at the same slot.
    pub(crate) fn next(&self, record: &Record, maximum: u32) -> Option<u32> {
        if self.taken() >= maximum as usize {
            return None;
        }
        let hash = Sha256::digest(record.uid.as_bytes());
        let start = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % maximum;
        (start..maximum).chain(0..start).find(|number| !self.0.contains_key(number))
    }

    /// Notes that a slot is free.
    pub(crate) fn forget(&mut self, number: u32) {
        self.0.remove(&number);
    }

    /// Notes that a slot was found to be taken, also where it is a Lease of somebody else that only has its name.
    pub(crate) fn note(&mut self, number: u32, lease: &Value) {
        self.0.insert(number, owner(lease));
    }
}

fn owner(lease: &Value) -> String {
    let owner = lease["metadata"]["ownerReferences"][0]["uid"].as_str();
    owner.unwrap_or_default().to_owned()
}

/// The selector of all slots.
pub(crate) fn selector() -> String {
    format!("{SLOT},{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The name of a slot.
pub(crate) fn name(number: u32) -> String {
    format!("podlife-slot-{number:04}")
}

/// The number of a slot.
pub(crate) fn number(lease: &Value) -> Option<u32> {
    lease["metadata"]["labels"][SLOT].as_str()?.parse().ok()
}

/// The Lease of a slot.
pub(crate) fn lease(number: u32, record: &Record) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name(number),
            "namespace": record.namespace,
            "labels": {SLOT: number.to_string(), SESSION: record.name, MANAGED_BY.0: MANAGED_BY.1},
            "ownerReferences": [owner_reference(&record.name, &record.uid)],
        },
        "spec": {"holderIdentity": record.name},
    })
}
