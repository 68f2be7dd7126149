//! Containers that end, or never start.

use super::Context;
use crate::model::finding::Finding;

/// Containers that crash, are killed, or cannot be created.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
