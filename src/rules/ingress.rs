//! Ingress, Gateway and HTTPRoute.

use super::Context;
use crate::model::finding::Finding;

/// Routes that lead nowhere.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}
