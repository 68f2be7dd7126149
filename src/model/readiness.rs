//! What `wait-ready` says: the state of each object in each of the three phases, and of the whole. The fields are a public contract.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, ObjectRef};
use super::snapshot::Unchecked;

/// How ready something is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It will not become ready by itself.
    Failed,
    /// It does not exist yet.
    NotFound,
    /// On its way.
    Progressing,
    /// Nothing shows whether it is ready.
    Unknown,
    /// At its goal.
    Ready,
}

impl State {
    /// The word as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotFound => "not found",
            Self::Progressing => "progressing",
            Self::Unknown => "unknown",
            Self::Ready => "ready",
        }
    }
}

/// The three steps to an application that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Claims, addresses of load balancers, Ingresses and Gateways, types and whatever only has to exist.
    Infrastructure,
    /// Pods of the current revision, and the endpoints that they become.
    Pods,
    /// Requests that are answered.
    Application,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 3] = [Self::Infrastructure, Self::Pods, Self::Application];

    /// The word as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infrastructure => "infrastructure",
            Self::Pods => "pods",
            Self::Application => "application",
        }
    }
}

/// A pod that keeps its workload from being ready.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockingPod {
    /// Its name.
    pub pod: String,
    /// Why it is not ready.
    pub reason: String,
}

/// One object in one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReadiness {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// In which phase this counts.
    pub phase: Phase,
    /// How ready it is.
    pub state: State,
    /// Why; also what is behind `ready`, where there is more to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether it was found by itself because it belongs to a target.
    #[serde(default)]
    pub related: bool,
    /// Whether it rests until somebody lets it go on: a suspended Job, a paused roll-out, a workload at zero that is to answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Whether it has failed by the clock alone: a roll-out that has missed its deadline goes on once what kept it is mended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// Pods of the current revision that are ready, where the object has pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_pods: Option<usize>,
    /// Pods that are wanted, where the object has pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_pods: Option<usize>,
    /// Pods that are in the way, the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocking: Vec<BlockingPod>,
    /// Root causes that keep it from being ready, by their id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

/// One phase as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseReadiness {
    /// Which.
    pub phase: Phase,
    /// The worst of its objects.
    pub state: State,
    /// What holds it up, or what it rests on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it became ready, counted from the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_after_seconds: Option<f64>,
}

/// Whether something still moved when the time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    /// Something has changed for the better shortly before.
    Progressing,
    /// Nothing has changed for long.
    Stuck,
}

/// One port that had to answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedPort {
    /// `service/web:80`, or the URL.
    pub name: String,
    /// The way, in the words of `provenBy`.
    pub via: String,
    /// What was asked: `http`, `tcp` (a connection), `grpc` (its health) or `dns` (whether the name resolves).
    #[serde(default)]
    pub ask: String,
    /// The path that was asked for, or the service of gRPC.
    pub path: String,
    /// Pods that were asked by themselves as well.
    pub pods: usize,
}

/// What the application answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// What was asked.
    pub asked: Vec<AskedPort>,
    /// Rounds in which all of them answered, in a row and up to the end.
    pub successes: u32,
    /// From the first of them to the last.
    pub span_seconds: f64,
    /// Rounds in all.
    pub attempts: u32,
    /// Rounds in which something did not answer.
    pub failures: u32,
}

/// A step of a pod on its way to the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HopName {
    /// It has a node.
    Scheduled,
    /// Its images are there.
    Pulled,
    /// Its containers run.
    Started,
    /// It is ready.
    Ready,
    /// It is ready again, after it had been and was not any more.
    ReadyAgain,
    /// It is a ready endpoint.
    Endpoint,
    /// What leads to it has its address.
    Address,
    /// The application has answered.
    Answered,
}

impl HopName {
    /// The words as they are printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pulled => "pulled",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::ReadyAgain => "ready again",
            Self::Endpoint => "endpoint",
            Self::Address => "address",
            Self::Answered => "first answer",
        }
    }
}

/// When a step was done, and how long it kept the next ones waiting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Which.
    pub hop: HopName,
    /// When it was done, RFC 3339, UTC. Kubernetes itself tells whole seconds.
    pub at: String,
    /// Since the latest of the steps before it; zero where it was done sooner than those.
    pub took_seconds: f64,
}

/// Where the time of the slowest pod went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hops {
    /// The pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// When it was created, RFC 3339, UTC: from there the steps are counted.
    pub created: String,
    /// Its steps in order; those that nothing tells of are left out.
    pub hops: Vec<Hop>,
}

/// A line of `-o ndjson`: something that is not as it was before.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessEvent {
    /// `podlife/v1`
    pub api_version: String,
    /// `ReadinessEvent`
    pub kind: String,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The same, counted from the start of the run.
    pub elapsed_seconds: f64,
    /// In which phase.
    pub phase: Phase,
    /// Which object; none for a phase as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// How ready it is now.
    pub state: State,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The answer of `wait-ready`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// `podlife/v1`
    pub api_version: String,
    /// `Readiness`
    pub kind: String,
    /// What was waited for.
    pub targets: Vec<String>,
    /// The verdict.
    pub state: State,
    /// One line: the first root cause, what is missing, or what shows that it is ready.
    pub reason: String,
    /// The exit code of the run.
    pub exit_code: u8,
    /// How the run ended before its goal: whether something still moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Trend>,
    /// The weakest of the ways along which it has answered: `load-balancer`, `ingress`, `gateway`, `node-port`, `in-cluster`, `url`,
    /// `service-proxy`, which goes past kube-proxy and NetworkPolicies, or `port-forward`, which is no more than a connection inside of each
    /// pod. None where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_by: Option<String>,
    /// What the application answered; none where there was nobody to ask, or it had not come to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
    /// Where the time of the slowest pod went; none without pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<Hops>,
    /// The phases in order.
    pub phases: Vec<PhaseReadiness>,
    /// Every object that counts: those asked for and those that belong to them.
    pub objects: Vec<ObjectReadiness>,
    /// What keeps it from being ready, most important first.
    pub root_causes: Vec<Finding>,
    /// What could not be read.
    pub unchecked: Vec<Unchecked>,
    /// When the objects were read, RFC 3339, UTC.
    pub taken_at: String,
    /// Requests that were made to the API server.
    pub requests: usize,
    /// Wall time of the run.
    pub elapsed_seconds: f64,
}
