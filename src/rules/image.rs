//! Images that cannot be pulled.

use super::Context;
use crate::model::finding::Finding;

/// Containers that wait for their image.
pub fn check(_context: &Context<'_>) -> Vec<Finding> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use crate::rules::testing::check;

    #[test]
    fn a_pod_that_runs_is_silent() {
        let yaml = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}";
        assert!(check(super::check, yaml).is_empty());
    }
}
