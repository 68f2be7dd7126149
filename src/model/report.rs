//! What a run answers: versioned data that every output format is made from.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::code::Code;
use crate::model::finding::{Finding, ObjectRef};
use crate::model::snapshot::Unchecked;

/// The API version of every document podlife prints.
pub const API_VERSION: &str = "podlife/v1";

/// The answer about an object or a whole scope, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No ready pods, a Service port that reaches no pod, a claim without a volume; or the cause of one of these.
    Broken,
    /// There is an error, but the object and its dependants still serve.
    Degraded,
    /// A symptom without a known cause, and something that could explain it could not be read.
    Inconclusive,
    /// Not at its goal yet, without an error and within its deadline.
    Progressing,
    /// At its goal.
    Healthy,
}

impl Verdict {
    /// The word as it is printed in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Degraded => "degraded",
            Self::Inconclusive => "inconclusive",
            Self::Progressing => "progressing",
            Self::Healthy => "healthy",
        }
    }
}

/// [`Judged::state`] of an object from a manifest that no API server has taken.
pub const NEVER_APPLIED: &str = "a manifest without status: only what it says could be judged";

/// One workload, Service or other object that was judged.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// Its verdict.
    pub verdict: Verdict,
    /// One line such as `0/2 ready for 6m`; empty where there is nothing to say.
    pub state: String,
    /// Pods that are ready, where the object has pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_pods: Option<usize>,
    /// Pods that are wanted, where the object has pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_pods: Option<usize>,
    /// The root causes that it suffers from, most important first.
    pub causes: Vec<String>,
    /// The pending findings that hold it now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
}

/// A finding that is not shown because the command line does not ask for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// `--container` or `--ignore`
    pub by: String,
    /// Its id; among the `causes` of `workloads` where it is one.
    pub id: String,
    /// What kind of fault.
    pub code: Code,
    /// The object that it is about.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// The container that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// A socket that listens on a port, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// `0.0.0.0`, `127.0.0.1`, `::`
    pub address: String,
    /// Whose process it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// `socket` (seen in the pod), `log`, `command`, `environment`, `config`.
    pub known_by: String,
}

/// One port of one pod: who declares it, who uses it, and who listens there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortRow {
    /// The workload of the pod.
    pub workload: ObjectRef,
    /// The pod that was looked at: one of each revision.
    pub pod: String,
    /// The container that declares the port or should listen there; empty where nothing tells.
    pub container: String,
    /// The number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Whether a container declares it.
    pub declared: bool,
    /// `startup`, `liveness`, `readiness`
    pub probed_by: Vec<String>,
    /// `service/api:80`
    pub targeted_by: Vec<String>,
    /// Ingresses that lead to these Services.
    pub ingresses: Vec<String>,
    /// Who listens.
    pub listens: Vec<Listener>,
    /// What came of a connection; empty where none was tried.
    pub answer: String,
}

/// The answer of `diagnose`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// `podlife/v1`
    pub api_version: String,
    /// `Diagnosis`
    pub kind: String,
    /// What was asked for: objects, or namespaces as `namespace/NAME`.
    pub targets: Vec<String>,
    /// The worst of the judged objects.
    pub verdict: Verdict,
    /// What must change, most important first.
    pub root_causes: Vec<Finding>,
    /// What holds objects that may still get there by themselves, most important first; it changes neither verdict nor exit code.
    pub pending: Vec<Finding>,
    /// What the root causes bring about.
    pub symptoms: Vec<Finding>,
    /// What would be better; breaks nothing.
    pub advice: Vec<Finding>,
    /// Errors and symptoms of the scope that the command line leaves out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What could not be read.
    pub unchecked: Vec<Unchecked>,
    /// Every workload, Service and Ingress of the scope with its root causes; the worst first.
    pub workloads: Vec<Judged>,
    /// The ports of one pod of each revision in the scope.
    pub ports: Vec<PortRow>,
    /// How many pods are in the scope.
    pub pod_count: usize,
    /// When the objects were read, RFC 3339, UTC.
    pub taken_at: String,
    /// Requests that were made to the API server.
    pub requests: usize,
    /// Wall time of the run.
    pub elapsed_seconds: f64,
}
