//! The report of `session plan`. The fields are a public contract.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::report::API_VERSION;
use crate::model::snapshot::Unchecked;

/// Whether a cluster can hold a number of sessions.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionPlan {
    /// `podlife/v1`
    pub api_version: &'static str,
    /// `SessionPlan`
    pub kind: &'static str,
    /// The namespace of the sessions.
    pub namespace: String,
    /// How many sessions are wanted, those that exist included.
    pub max: u64,
    /// How many exist.
    pub sessions: u64,
    /// How many the namespace can hold, those that exist included; none where nothing that could be read limits them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<u64>,
    /// What limits them, the narrowest first.
    pub limits: Vec<SessionLimit>,
    /// Where the images of the pod are.
    pub images: Vec<PlannedImage>,
    /// What could not be read and might limit them too.
    pub unchecked: Vec<Unchecked>,
}

/// Something that limits the number of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionLimit {
    /// `nodes`, `pod addresses`, `quota compute: requests.cpu`
    pub limit: String,
    /// How many sessions it lets exist.
    pub sessions: u64,
    /// The numbers behind it.
    pub detail: String,
}

/// An image, and how many of the nodes that take the pod have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedImage {
    /// As the pod names it.
    pub image: String,
    /// How many nodes say that they have it. A node lists its 50 largest images.
    pub nodes: u64,
    /// Of how many.
    pub of_nodes: u64,
    /// Its size, where a node has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
}

impl SessionPlan {
    /// A plan that knows no limit yet.
    pub fn new(namespace: &str, max: u64, sessions: u64) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "SessionPlan",
            namespace: namespace.to_owned(),
            max,
            sessions,
            fits: None,
            limits: Vec::new(),
            images: Vec::new(),
            unchecked: Vec::new(),
        }
    }
}
