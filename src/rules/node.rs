//! Nodes, and pods that lost theirs.

use super::Context;
use crate::model::finding::Finding;

/// Nodes that do not work, and evicted, preempted or stuck pods.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
