//! The report of `wait-ready`: the state of each object in each of the three phases, and of the whole. The fields are a public contract.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::finding::{Finding, ObjectRef};
use crate::model::snapshot::Unchecked;

/// How ready something is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It will not become ready by itself.
    Failed,
    /// It does not exist yet.
    NotFound,
    /// Not ready yet.
    Progressing,
    /// Nothing shows whether it is ready.
    Unknown,
    /// Ready.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Volume claims, addresses of load balancers, Ingresses and Gateways, resource types, and objects that only have to exist.
    Infrastructure,
    /// Pods of the current revision and their endpoints.
    Pods,
    /// Requests to the application.
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockingPod {
    /// Its name.
    pub pod: String,
    /// Why it is not ready.
    pub reason: String,
}

/// One object in one phase.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReadiness {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// In which phase this counts.
    pub phase: Phase,
    /// How ready it is.
    pub state: State,
    /// Why; for `ready`, what shows it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Whether it was included because it belongs to a target.
    #[serde(default)]
    pub related: bool,
    /// Whether it waits to be resumed: a suspended Job, a paused rollout, or a workload at zero replicas that must answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Whether it has only missed a deadline: such a rollout continues when its cause is fixed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// Pods of the current revision that are ready, where the object has pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_pods: Option<usize>,
    /// Pods that are wanted, where the object has pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_pods: Option<usize>,
    /// The first pods that are not ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocking: Vec<BlockingPod>,
    /// Root causes that keep it from being ready, by their id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

/// One phase as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseReadiness {
    /// The phase.
    pub phase: Phase,
    /// The worst of its objects.
    pub state: State,
    /// Why it is not ready, or what shows that it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it became ready, counted from the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_after_seconds: Option<f64>,
}

/// Whether something was still changing at the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trend {
    /// Something improved shortly before.
    Progressing,
    /// Nothing changed for a long time.
    Stuck,
}

/// One port that had to answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedPort {
    /// `service/web:80`, or the URL.
    pub name: String,
    /// The network path, in the words of `provenBy`.
    pub via: String,
    /// The check: `http`, `tcp` (a connection), `grpc` (its health) or `dns` (whether the name resolves).
    #[serde(default)]
    pub ask: String,
    /// The requested path, or the gRPC service.
    pub path: String,
    /// Pods that were also checked one by one.
    pub pods: usize,
}

/// What the application answered.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// What was checked.
    pub asked: Vec<AskedPort>,
    /// Successful rounds in a row, up to the end.
    pub successes: u32,
    /// Time from the first of these to the last.
    pub span_seconds: f64,
    /// Rounds in all.
    pub attempts: u32,
    /// Failed rounds.
    pub failures: u32,
}

/// A step of a pod on its way to the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
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
    /// It is ready again, after it was ready and then not.
    ReadyAgain,
    /// It is a ready endpoint.
    Endpoint,
    /// The object that routes traffic to it has an address.
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

/// When a step was done, and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// The step.
    pub hop: HopName,
    /// When it was done, RFC 3339, UTC. Times from Kubernetes are in whole seconds.
    pub at: String,
    /// Time since the latest of the steps before it; zero if it was done before those.
    pub took_seconds: f64,
}

/// Where the time of the slowest pod went.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hops {
    /// The pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// When it was created, RFC 3339, UTC; the steps are counted from here.
    pub created: String,
    /// Its steps in order, without unknown ones.
    pub hops: Vec<Hop>,
}

/// A line of `-o ndjson`: a change.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadinessEvent {
    /// `podlife/v1`
    pub api_version: String,
    /// `ReadinessEvent`
    pub kind: String,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// Seconds since the start of the run.
    pub elapsed_seconds: f64,
    /// The phase.
    pub phase: Phase,
    /// The object; none for a phase as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// How ready it is now.
    pub state: State,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The answer of `wait-ready`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
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
    /// At the timeout: whether something was still changing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Trend>,
    /// The weakest of the network paths on which it has answered: `load-balancer`, `ingress`, `gateway`, `node-port`, `in-cluster`, `url`,
    /// `service-proxy`, which bypasses kube-proxy and NetworkPolicies, or `port-forward`, which is only a connection inside each
    /// pod. None if the application was not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_by: Option<String>,
    /// What the application answered; none if it was not checked.
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
