//! Volumes that do not attach or mount, and claims that are not usable.

mod claim;
mod mount;

pub use mount::newest_mount_events;

use super::Context;
use crate::model::finding::Finding;

/// Mounts that fail and claims that are missing, pending or lost.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = mount::check(context);
    findings.extend(claim::check(context));
    findings
}
