//! ConfigMaps and Secrets that pods refer to.

use super::Context;
use crate::model::finding::Finding;

/// References that do not resolve.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
