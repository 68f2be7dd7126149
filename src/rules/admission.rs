//! Pods that are refused when they are created.

use super::Context;
use crate::model::finding::Finding;

/// Quota, limits, policy and references that admission refuses.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
