//! Volumes and claims.

use super::Context;
use crate::model::finding::Finding;

/// Volumes that cannot be mounted and claims that are not bound.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
