//! Autoscalers and disruption budgets.

use super::Context;
use crate::model::finding::Finding;

/// Autoscalers that cannot scale and budgets that block.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
