//! The reports of `session`. The fields are a public contract.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::report::Diagnosis;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub enum SessionState {
    /// Its pod has not been made, or is not on a node yet.
    Pending,
    /// Its pod starts.
    Starting,
    /// Its pod is ready.
    Ready,
    /// Its pod runs and is not ready.
    NotReady,
    /// Its pod failed or is gone, and gets a successor.
    Healing,
    /// It has no pod until it is resumed.
    Paused,
    /// It is being deleted.
    Reaping,
    /// Its command was to run once, and has ended.
    Ended,
    /// Its pods failed too often.
    Failed,
}

impl SessionState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Starting,
        Self::Ready,
        Self::NotReady,
        Self::Healing,
        Self::Paused,
        Self::Reaping,
        Self::Ended,
        Self::Failed,
    ];

    /// The word as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
            Self::Healing => "Healing",
            Self::Paused => "Paused",
            Self::Ended => "Ended",
            Self::Reaping => "Reaping",
            Self::Failed => "Failed",
        }
    }
}

/// How long each step to a ready pod took, as far as it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Phases {
    /// Until the API server had the record and the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_seconds: Option<f64>,
    /// From there until the pod was on a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_seconds: Option<f64>,
    /// How long images were pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulled_seconds: Option<f64>,
    /// From the node until all containers ran, without pulling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_seconds: Option<f64>,
    /// From there until the pod was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_seconds: Option<f64>,
}

/// A session. From its record (a Lease) and its pod.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Version of the format.
    pub api_version: &'static str,
    /// `Session`
    pub kind: &'static str,
    /// The id, as it was given.
    pub id: String,
    /// Name of the record, the Service and the volume claim.
    pub name: String,
    /// Where they are.
    pub namespace: String,
    /// Where the session stands.
    pub state: SessionState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Name of its pod, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Address of the pod.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// Ready containers of the pod and all of them: `1/1`.
    pub ready: String,
    /// How often a pod was made for it.
    pub generation: u32,
    /// When it was created, by the API server's clock.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When it was last used.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_activity_at: Timestamp,
    /// The client that said so.
    pub last_activity_by: String,
    /// How long it has been idle.
    pub idle_seconds: u64,
    /// When it will be cleaned up if nobody uses it; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<Timestamp>,
    /// Whether it is cleaned up then even if it is used: its maximum lifetime ends.
    pub expires_by_age: bool,
    /// Of a session whose pods fail: when it gets the next one at the earliest, from `session gc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_pod_at: Option<Timestamp>,
    /// Whom it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Hash of its template.
    pub template: String,
    /// How long each step to a ready pod took.
    pub phases: Phases,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
}

/// The sessions of a namespace, or of all.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionList {
    /// Version of the format.
    pub api_version: &'static str,
    /// `SessionList`
    pub kind: &'static str,
    /// Sorted by id, unless another order was asked for.
    pub items: Vec<Session>,
}
