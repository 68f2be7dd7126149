//! Sessions: a record for each id, the pod that belongs to it, and what has to be done about both.
//!
//! The record is a Lease: creating it is the lock, its `renewTime` is the last activity. Nothing here does I/O.

pub(crate) mod capacity;
pub(crate) mod decide;
pub(crate) mod name;
pub(crate) mod record;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod template;
#[cfg(test)]
mod tests;
pub(crate) mod warm;

/// Label of everything that belongs to a session: its name. Empty for a pod that waits for its session.
pub(crate) const SESSION: &str = "podlife.dev/session";
/// Label of a slot, one of the numbered Leases that hold the number of sessions at its maximum.
pub(crate) const SLOT: &str = "podlife.dev/slot";
/// Label of everything that podlife makes, and its value.
pub(crate) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "podlife");
/// Label of a pod and a ConfigMap, annotation of a record: the hash of the template.
pub(crate) const TEMPLATE: &str = "podlife.dev/template";
/// Annotation of a record and label of a pod: how often a pod was made for the session.
pub(crate) const GENERATION: &str = "podlife.dev/generation";
/// Annotation of a record whose pod was warm: its name.
pub(crate) const POD: &str = "podlife.dev/pod";
/// Annotation of a pod whose command is run once: when it ends, it has not failed.
pub(crate) const ONCE: &str = "podlife.dev/once";
/// Annotation of everything that belongs to a session: its full id.
pub(crate) const ID: &str = "podlife.dev/id";
