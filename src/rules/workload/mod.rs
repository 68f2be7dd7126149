//! Controllers: roll-outs, ordered starts, jobs and schedules.

mod job;
mod ordered;
mod rollout;
mod schedule;
mod zero;

use super::Context;
use crate::model::finding::Finding;

/// Workloads that do not reach their goal.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = rollout::check(context);
    found.extend(zero::check(context));
    found.extend(ordered::check(context));
    found.extend(job::check(context));
    found.extend(schedule::check(context));
    found
}

#[cfg(test)]
mod tests;
