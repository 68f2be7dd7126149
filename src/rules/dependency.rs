//! What containers depend on: Services that logs, environment, commands and probes name.

use super::Context;
use crate::model::finding::Finding;

/// Dependencies that do not answer.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
