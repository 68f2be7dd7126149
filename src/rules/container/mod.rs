//! Containers that do not stay up, cannot be created, or run and report errors.

mod application;
mod crash;
mod create;

mod hook;
mod memory;
mod sandbox;

use crate::view::{Out, View};

/// Crashes, ends, kills, refusals of the runtime, failing hooks and sandboxes, and errors in the log of what runs.
pub fn check(view: &View<'_>, out: &mut Out) {
    out.findings.extend(crash::check(view, &mut out.needs));
    out.findings.extend(memory::check(view));
    out.findings.extend(create::check(view, &mut out.needs));
    out.findings.extend(hook::check(view));
    out.findings.extend(sandbox::check(view));
    out.findings.extend(application::check(view, &mut out.needs));
}

#[cfg(test)]
mod tests;
