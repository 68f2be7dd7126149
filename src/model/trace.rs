//! The report of `trace`: whether a connection may pass, hop by hop.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::finding::{Finding, ObjectRef};
use crate::model::snapshot::Unchecked;

/// [`Trace::basis`] if the port was not dialled.
pub const EVALUATED: &str =
    "evaluated from what the API server says, not dialled; a network plug-in without NetworkPolicy does not enforce them";
/// [`Trace::basis`] if it is known whether the port answers.
pub const LOOKED_AT: &str = "policies are evaluated from what the API server says, and a network plug-in without NetworkPolicy does not enforce them; \
     that the port answers was seen past them, not from the source";

/// What is known about a connection as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Passage {
    /// Nothing that was evaluated stops it.
    Allowed,
    /// It is stopped.
    Blocked,
    /// It passes between some of the pods only.
    Partly,
    /// Something that matters could not be read.
    Unknown,
}

/// The stages of a connection, in the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The source resolves the name of the destination.
    Dns,
    /// The Service leads to ports of pods.
    Service,
    /// The policies of the source.
    Egress,
    /// The policies of the destination.
    Ingress,
    /// The port of the destination itself.
    Listener,
}

impl Stage {
    /// The word as it is printed in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Service => "service",
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::Listener => "listener",
        }
    }
}

/// What is known about the port that a connection leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Listening {
    /// A process listens there.
    Answers,
    /// It accepts connections from inside the pod; it was not dialled from outside.
    Inside,
    /// The container is still starting, and no process listens yet.
    Starting,
    /// Not known: it was not dialled.
    #[default]
    Undialled,
    /// It accepts connections, and its application does not work.
    Failing,
    /// Connections to it are refused.
    Refuses,
    /// None of the destination pods runs.
    Stopped,
}

/// What was found about a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HopAnswer {
    /// Nothing restricts it.
    Open,
    /// A rule of a policy allows it.
    Allowed,
    /// It is stopped here.
    Blocked,
    /// Something that matters could not be read.
    Unknown,
}

/// The rule of a policy that allows a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedBy {
    /// The policy.
    pub policy: ObjectRef,
    /// Its index among the rules of the policy for this direction.
    pub rule: usize,
    /// The rule, as YAML in one line.
    pub text: String,
}

/// One hop, with the number of pairs of pods that have the same result.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// The stage of the connection.
    pub stage: Stage,
    /// What was found.
    pub answer: HopAnswer,
    /// The first pod that it starts from.
    pub from: String,
    /// The first pod, address or Service that it leads to.
    pub to: String,
    /// The port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Number of pairs of pods with this result.
    pub pairs: usize,
    /// The policies that were evaluated: those that select the pod for this direction.
    pub policies: Vec<ObjectRef>,
    /// The rule that allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<AllowedBy>,
    /// Why, in words.
    pub reason: String,
}

/// The answer of `trace`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// `podlife/v1`
    pub api_version: String,
    /// `Trace`
    pub kind: String,
    /// The pod or workload that opens the connection.
    pub from: ObjectRef,
    /// The destination: `service/shop/db`, an address or a host name.
    pub to: String,
    /// The number of the destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Whether the connection may pass.
    pub passage: Passage,
    /// Whether the port answers; the worst answer of all destination pods.
    pub listening: Listening,
    /// What was evaluated, in the order in which a connection passes it.
    pub hops: Vec<Hop>,
    /// How the answer is known.
    pub basis: String,
    /// What must change, in the order in which to change it.
    pub root_causes: Vec<Finding>,
    /// Consequences of the root causes.
    pub symptoms: Vec<Finding>,
    /// What could not be read.
    pub unchecked: Vec<Unchecked>,
    /// When the objects were read, RFC 3339, UTC.
    pub taken_at: String,
    /// Requests that were made to the API server.
    pub requests: usize,
    /// Wall time of the run.
    pub elapsed_seconds: f64,
}
