//! Controllers: roll-outs, jobs, ordered starts.

use super::Context;
use crate::model::finding::Finding;

/// Workloads that do not reach their goal.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
