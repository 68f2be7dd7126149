//! What is waited for.

use k8s_openapi::api::core::v1::ServicePort;

use crate::model::finding::ObjectRef;

/// What is waited for, with every default resolved.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// What was asked for.
    pub targets: Vec<ObjectRef>,
    /// Whether an answer of the application was asked for.
    pub check: bool,
    /// The port of the Services that is to answer; none means all.
    pub port: Option<String>,
    /// Whether pods of older revisions must be gone, not only out of the endpoints.
    pub old_gone: bool,
    /// The image that the template must have.
    pub expect_image: Option<String>,
    /// The revision that the workload must be at.
    pub expect_revision: Option<u64>,
}

impl Goal {
    /// Whether a port of a Service is one that is to answer.
    pub fn uses(&self, port: &ServicePort) -> bool {
        self.port
            .as_ref()
            .is_none_or(|wanted| port.name.as_ref() == Some(wanted) || port.port.to_string() == *wanted)
    }
}
