//! Volumes that do not attach or mount, and claims that are not usable.

mod claim;
mod mount;

use crate::view::{Out, View};

/// Mounts that fail and claims that are missing, pending or lost.
pub fn check(view: &View<'_>, out: &mut Out) {
    out.findings.extend(mount::check(view));
    out.findings.extend(claim::check(view, &mut out.needs));
}
