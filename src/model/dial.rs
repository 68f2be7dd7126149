//! What came of connections to a port of a pod: from inside the pod (port-forward) and to the pod's own address (the API server's pod proxy).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a port is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speech {
    /// HTTP; also gRPC, which answers something else, but answers.
    Http,
    /// HTTP over TLS.
    Https,
    /// Anything else: connected to and sent nothing.
    Plain,
}

/// One dial of one port of one pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DialKey {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The port.
    pub port: u16,
    /// What is spoken.
    pub speech: Speech,
    /// The path that is asked for with GET; empty where nothing is sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The second sample of a container that may not have finished starting: taken at least two seconds after the first.
    #[serde(default)]
    pub again: bool,
}

impl DialKey {
    /// The first sample of the same port.
    pub fn first(&self) -> Self {
        Self {
            again: false,
            ..self.clone()
        }
    }
}

/// What came of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// HTTP with this status.
    Status(u16),
    /// It was accepted; what came back, if anything, is not HTTP, or over TLS where none was expected.
    Accepted,
    /// It was accepted, and no answer came in time.
    Silent,
    /// Nobody listens.
    Refused,
    /// No connection in time, or no route.
    TimedOut,
    /// It could not be tried.
    Untried,
}

impl Reply {
    /// Whether something listens there.
    pub const fn listens(&self) -> bool {
        matches!(self, Self::Status(_) | Self::Accepted | Self::Silent)
    }
}

/// Both ways to a port, as far as they were taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dial {
    /// What was dialled.
    #[serde(flatten)]
    pub key: DialKey,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// To the pod's address, by the API server's pod proxy: past NetworkPolicies.
    pub address: Reply,
    /// From inside the pod, by port-forward: to its loopback address.
    pub inside: Reply,
}

impl Dial {
    /// Whether the pod's address refuses, or the inside of the pod where that alone was tried.
    pub fn is_refused(&self) -> bool {
        self.address == Reply::Refused || (self.address == Reply::Untried && self.inside == Reply::Refused)
    }
}
