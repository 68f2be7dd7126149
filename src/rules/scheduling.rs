//! Pods without a node.

use super::Context;
use crate::model::finding::Finding;

/// Pods that no node takes.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
