//! What mounted configuration says about where a container listens.

use super::hints::Hint;
use crate::rules::context::{ContainerView, Context};

/// Hints of the ConfigMaps that a container mounts.
pub(super) fn of_container(_context: &Context<'_>, _container: &ContainerView<'_>, _ask: bool) -> Vec<Hint> {
    Vec::new()
}
