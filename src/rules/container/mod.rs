//! Containers that do not stay up, cannot be created, or run and report errors.

mod application;
mod crash;
mod create;

pub mod ending;
pub mod explain;
mod hook;
mod memory;
mod sandbox;

pub use crash::tail_of;

use super::Context;
use crate::model::finding::Finding;

/// Crashes, ends, kills, refusals of the runtime, failing hooks and sandboxes, and errors in the log of what runs.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let rules: [super::Rule; 6] = [
        crash::check,
        memory::check,
        create::check,
        hook::check,
        sandbox::check,
        application::check,
    ];
    rules.iter().flat_map(|rule| rule(context)).collect()
}

#[cfg(test)]
mod tests;
