//! Whether a connection may pass, hop by hop: the part of a diagnosis that `--from` and `--to` ask for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::ObjectRef;

/// How the answer is known where nobody dialled the port.
pub const EVALUATED: &str =
    "evaluated from what the API server says, not dialled; a network plug-in without NetworkPolicy does not enforce them";
/// How the answer is known where the port was seen to answer, or not to.
pub const LOOKED_AT: &str = "policies are evaluated from what the API server says, and a network plug-in without NetworkPolicy does not enforce them; \
     that the port answers was seen past them, not from the source";

/// What is known about a connection as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// The parts of a connection, in the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The source asks for the name of the Service.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Listening {
    /// Somebody listens there.
    Answers,
    /// It accepts connections from inside of the pod; from outside nobody has tried.
    Inside,
    /// The container is still starting, and nobody listens yet.
    Starting,
    /// Nobody knows: it was not dialled.
    #[default]
    Undialled,
    /// It accepts connections, and its application does not work.
    Failing,
    /// Connections to it are refused.
    Refuses,
    /// None of the pods that are called runs: nobody is there to listen.
    Stopped,
}

/// What was found about a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// The rule of a policy that lets a connection pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedBy {
    /// The policy.
    pub policy: ObjectRef,
    /// Its place among the rules of the policy for this direction, from 0.
    pub rule: usize,
    /// The rule, as YAML in one line.
    pub text: String,
}

/// One hop, evaluated for the pods that it is the same for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Which part of the connection.
    pub stage: Stage,
    /// What was found.
    pub answer: HopAnswer,
    /// The first pod, or address, that it begins at.
    pub from: String,
    /// The first pod, address or Service that it leads to.
    pub to: String,
    /// The port there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// For how many pairs of pods it is the same.
    pub pairs: usize,
    /// The policies that were evaluated: those that select the pod for this direction.
    pub policies: Vec<ObjectRef>,
    /// The rule that allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<AllowedBy>,
    /// Why, in words.
    pub reason: String,
}

/// A connection that was asked about.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Who calls.
    pub from: ObjectRef,
    /// Who is called: `service/shop/db`, or an address.
    pub to: String,
    /// The port that is called, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Whether it may pass.
    pub passage: Passage,
    /// Whether the port answers, of the pods where it answers worst.
    #[serde(default)]
    pub listening: Listening,
    /// What was evaluated, in the order in which a connection passes it.
    pub hops: Vec<Hop>,
    /// How the answer is known.
    pub basis: String,
}
