//! The reports of `drill`. The fields are a public contract.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::finding::ObjectRef;

/// How a drill ended.
///
/// The worst of several is the last of this list: what did not hold is known, what was not injected is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DrillVerdict {
    /// The fault was proven, everything came back, and every limit was kept.
    Held,
    /// The fault was proven, and something that was asked for could not be measured.
    Inconclusive,
    /// The fault could not be made, or could not be proven.
    NotInjected,
    /// The fault was proven, and a limit was exceeded or the workload did not recover.
    DidNotHold,
    /// Something that the drill changed is not as it was.
    NotRestored,
}

impl DrillVerdict {
    /// The word as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::DidNotHold => "DID_NOT_HOLD",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::NotInjected => "NOT_INJECTED",
            Self::NotRestored => "NOT_RESTORED",
        }
    }
}

/// What a drill would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillPlan {
    /// Version of the format.
    pub api_version: &'static str,
    /// `DrillPlan`
    pub kind: &'static str,
    /// Name of the fault, as on the command line.
    pub fault: String,
    /// Where it would happen.
    pub namespace: String,
    /// Workloads it is about.
    pub targets: Vec<ObjectRef>,
    /// Requests that would be made, in order.
    pub requests: Vec<String>,
    /// How it is undone.
    pub undo: String,
    /// What has to be seen before the fault counts as made.
    pub proof: String,
    /// Pods that would be lost or made unavailable by it, and all pods of the targets.
    pub pods: PodCount,
    /// What the specs of the targets let expect.
    pub expected: Vec<String>,
    /// How long the fault is held; absent for faults that heal by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_seconds: Option<f64>,
    /// How long it takes at most.
    pub worst_case_seconds: f64,
    /// Why it would be refused, with the flag that overrides each reason.
    pub refusals: Vec<Refusal>,
}

/// Pods of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodCount {
    /// Those that the fault is about.
    pub hit: usize,
    /// All of them.
    pub all: usize,
}

/// Why a drill is not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The reason.
    pub why: String,
    /// The flag that overrides it; absent where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
}

impl Refusal {
    /// One that nothing overrides.
    pub(crate) const fn never(why: String) -> Self {
        Self { why, flag: None }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.flag {
            Some(flag) => write!(f, "{} ({flag} goes on in spite of that)", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// What came of a drill.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// Version of the format.
    pub api_version: Cow<'static, str>,
    /// `DrillReport`
    pub kind: Cow<'static, str>,
    /// How it ended.
    pub verdict: DrillVerdict,
    /// Why it is not `held`, one reason each.
    pub reasons: Vec<String>,
    /// Name of the fault, as on the command line.
    pub fault: String,
    /// Where it happened.
    pub namespace: String,
    /// Workloads it was about.
    pub targets: Vec<ObjectRef>,
    /// When it began, by the clock of this machine.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// What happened, in order.
    pub events: Vec<DrillEvent>,
    /// What was checked. After a check that ends the drill there are no others.
    #[serde(default)]
    pub checks: Vec<DrillCheck>,
    /// From the first change until the fault was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected_seconds: Option<f64>,
    /// From the first change until the targets were at their goal and answered again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_seconds: Option<f64>,
    /// The same from the moment in which the fault was undone; absent for faults that heal by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_from_undo_seconds: Option<f64>,
    /// Restarts of containers in pods of the targets that were there before, without the one that the fault itself makes in each pod that it hits.
    pub restarts: u32,
    /// The same of workloads behind the Services of `--watch`, which are not judged.
    #[serde(default)]
    pub dependant_restarts: Vec<DependantRestarts>,
    /// Pods that were made during the drill.
    pub replacements: Vec<Replacement>,
    /// Every pod of the targets that was seen.
    #[serde(default)]
    pub pods: Vec<PodLife>,
    /// What clients saw: of each target one with new connections and, over HTTP, one that keeps them. Empty without `--target`.
    pub measured: Vec<Measurement>,
    /// Times in which a Service of the targets had no ready endpoint, in seconds since the first change.
    pub endpoint_gaps: Vec<EndpointGap>,
    /// Whether the data was the same after the recovery; absent without `--verify-data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataCheck>,
    /// What PodDisruptionBudgets promise, and what was left of the pods; empty for faults that do not evict.
    #[serde(default)]
    pub budgets: Vec<KeptBudget>,
    /// Where what was seen is not what the specs let expect.
    pub surprises: Vec<String>,
    /// What containers of the targets logged while nobody was served, or until the end where a drill without a measured outage did not hold;
    /// without what looks like a credential. The last lines of each.
    #[serde(default)]
    pub logs: Vec<DrillLog>,
    /// What the drill changed, and how it was put back.
    pub restored: Vec<Restored>,
}

fn in_line(targets: &[ObjectRef]) -> String {
    let targets: Vec<String> = targets.iter().map(ObjectRef::short).collect();
    targets.join(" ")
}

impl DrillPlan {
    /// What it is called: `scale-zero deployment/api statefulset/db`.
    pub fn name(&self) -> String {
        format!("{} {}", self.fault, in_line(&self.targets))
    }
}

impl DrillReport {
    /// A drill that was refused, or that ended before its first change.
    pub(crate) fn not_begun(plan: &DrillPlan, started_at: Timestamp, why: String) -> Self {
        Self {
            api_version: "podlife/v1".into(),
            kind: "DrillReport".into(),
            verdict: DrillVerdict::NotInjected,
            reasons: vec![why.clone()],
            fault: plan.fault.clone(),
            namespace: plan.namespace.clone(),
            targets: plan.targets.clone(),
            started_at,
            events: Vec::new(),
            checks: vec![DrillCheck {
                name: "injected".to_owned(),
                passed: false,
                detail: why,
            }],
            injected_seconds: None,
            recovery_seconds: None,
            recovery_from_undo_seconds: None,
            restarts: 0,
            dependant_restarts: Vec::new(),
            replacements: Vec::new(),
            pods: Vec::new(),
            measured: Vec::new(),
            budgets: Vec::new(),
            endpoint_gaps: Vec::new(),
            data: None,
            surprises: Vec::new(),
            logs: Vec::new(),
            restored: Vec::new(),
        }
    }

    /// The workloads in a line: `deployment/api statefulset/db`.
    pub fn workloads(&self) -> String {
        in_line(&self.targets)
    }

    /// The worst that clients of the targets saw: downtime in seconds, and failed requests in percent.
    pub fn worst(&self) -> Option<(f64, f64)> {
        let judged = self.measured.iter().filter(|seen| seen.role == MeasuredRole::Target);
        let seen = judged.map(|seen| (seen.downtime_seconds, seen.error_percent));
        seen.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
    }

    /// What a drill without a name of its own is called: `scale-zero deployment/api statefulset/db`.
    pub fn name(&self) -> String {
        format!("{} {}", self.fault, self.workloads())
    }
}

/// Something that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillCheck {
    /// `restored`, `injected`, `recovery`, `restarts`, `downtime`, `errors`, `expected`, `data`, `completed`, `measured`; with the client behind it where there are several.
    pub name: String,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was seen, with the limit.
    pub detail: String,
}

/// One request of the meter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillSample {
    /// When it started: seconds since the first change, negative before it.
    pub started_seconds: f64,
    /// How long it took.
    pub took_milliseconds: f64,
    /// The kind of failure, where it failed: `refused`, `status 503`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What a pod went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodLife {
    /// Its name.
    pub pod: String,
    /// The workload that it belongs to.
    pub workload: ObjectRef,
    /// Its states, each from when it was seen until the next one.
    pub states: Vec<PodStateAt>,
}

/// A state of a pod, and when it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodStateAt {
    /// Seconds since the first change, negative before it.
    pub at_seconds: f64,
    /// The state.
    pub state: PodState,
}

/// How a pod is, as clients and controllers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PodState {
    /// No container runs.
    Pending,
    /// It runs, and is not ready.
    Running,
    /// Ready.
    Ready,
    /// It is being deleted.
    Terminating,
    /// It ended, or does not exist any more.
    Gone,
}

impl PodState {
    /// The word as it is printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running, not ready",
            Self::Ready => "ready",
            Self::Terminating => "terminating",
            Self::Gone => "gone",
        }
    }
}

/// Something that happened during a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillEvent {
    /// Seconds since the first change; negative before it.
    pub at_seconds: f64,
    /// `journal`, `injected`, `proven`, `undone`, `recovered`.
    pub what: String,
    /// In words.
    pub detail: String,
}

/// A pod that was made during a drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    /// Its name.
    pub pod: String,
    /// The workload that it belongs to.
    pub workload: ObjectRef,
    /// Seconds from its creation until it was ready, as seen by a watch; absent while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_seconds: Option<f64>,
    /// Restarts of its containers.
    pub restarts: u32,
}

/// Restarts in a workload that is only watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependantRestarts {
    /// The workload.
    pub workload: ObjectRef,
    /// Restarts of containers in its pods that were there before.
    pub restarts: u32,
}

/// What a container logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillLog {
    /// The workload that the pod belongs to.
    pub workload: ObjectRef,
    /// The pod; it may be gone.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its last lines, oldest first.
    pub lines: Vec<DrillLogLine>,
    /// Older lines that are left out.
    pub omitted: usize,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillLogLine {
    /// Seconds since the first change, by the clock of the node.
    pub at_seconds: f64,
    /// What it says.
    pub text: String,
}

/// A PodDisruptionBudget, and the pods that were ready during an eviction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptBudget {
    /// Its name.
    pub name: String,
    /// `minAvailable 2`
    pub says: String,
    /// Pods that have to be ready, as its controller has computed it.
    pub promised: usize,
    /// The least of ready pods from the first change to the end, as seen by a watch.
    pub least: usize,
}

/// What a target of requests has to do with the drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MeasuredRole {
    /// It is served by the workloads that are broken, and judged (`--target`).
    Target,
    /// It depends on them, and is only watched (`--watch`).
    Dependant,
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Connections {
    /// Each request on a new connection.
    New,
    /// On a connection of an earlier request, where one is left.
    Kept,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MeasuredFrom {
    /// Where podlife runs.
    #[default]
    Here,
    /// In a pod of a Job in the namespace (`--probe-image`): on new connections only, with times to a hundredth of a second.
    Cluster,
}

/// The answers to the same question about data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataCheck {
    /// Whether both are the same, in full.
    pub is_same: bool,
    /// The beginning of the answer before the fault.
    pub before: String,
    /// The beginning of the last answer after the recovery, or why there was none.
    pub after: String,
}

/// A time in which a Service had no ready endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointGap {
    /// Name of the Service.
    pub service: String,
    /// Seconds since the first change.
    pub from_seconds: f64,
    /// Seconds since the first change; absent where there was none until the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_seconds: Option<f64>,
}

/// What a client saw that starts a request at every interval, whatever the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// Where the requests went.
    pub target: String,
    /// What that has to do with the drill.
    pub role: MeasuredRole,
    /// How the client connects.
    pub connections: Connections,
    /// Where the client is.
    #[serde(default)]
    pub from: MeasuredFrom,
    /// Requests from the first change until the end.
    pub requests: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// Failed requests in percent.
    pub error_percent: f64,
    /// Failed requests by kind: `refused`, `timeout`, `closed`, `status 503`.
    pub errors: std::collections::BTreeMap<String, usize>,
    /// Sum of all outages. An outage begins with the start of the first request that failed, and ends with the first good answer after it.
    pub downtime_seconds: f64,
    /// The longest outage.
    pub longest_outage_seconds: f64,
    /// Requests that failed alone, between two that were answered, as when a pod ends without draining its connections.
    pub stray_errors: usize,
    /// How far each of the two may be off: the interval, or from inside the cluster the longest time between the starts of two requests.
    pub interval_seconds: f64,
    /// Each outage: seconds since the first change.
    pub outages: Vec<Outage>,
    /// Whether the last request failed, so that the last outage has no end.
    pub is_down: bool,
    /// How long good answers took before the first change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_before: Option<Latency>,
    /// The same from the first change until the fault was undone or, if that came later, the last outage was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_during: Option<Latency>,
    /// The same from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_after: Option<Latency>,
    /// Every request; only with `--samples`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<DrillSample>,
}

impl Measurement {
    /// Whose requests they are: `http://web/, on kept connections` or `svc/web, from inside the cluster`.
    pub fn client(&self) -> String {
        let role = match self.role {
            MeasuredRole::Target => "",
            MeasuredRole::Dependant => " (dependant)",
        };
        let connections = match self.connections {
            Connections::New => "",
            Connections::Kept => ", on kept connections",
        };
        let from = match self.from {
            MeasuredFrom::Here => "",
            MeasuredFrom::Cluster => ", from inside the cluster",
        };
        format!("{}{role}{connections}{from}", self.target)
    }
}

/// A time in which no request succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// Seconds since the first change.
    pub from_seconds: f64,
    /// Seconds since the first change.
    pub to_seconds: f64,
    /// Requests that failed in it.
    pub failed: usize,
}

/// How long good answers took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_milliseconds: f64,
    /// 95 % took no longer.
    pub p95_milliseconds: f64,
    /// 99 % took no longer.
    pub p99_milliseconds: f64,
}

/// A field that a drill changed, and how it was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// `deployment/api: spec.replicas`
    pub what: String,
    /// How.
    pub how: RestoredHow,
    /// In words, where it is not as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a change of a drill was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RestoredHow {
    /// The value from before the drill is back.
    Restored,
    /// It was as before already.
    AsBefore,
    /// Somebody else changed it during the drill, and it was left alone.
    ChangedByOthers,
    /// The object is gone, or another one has its name.
    Gone,
    /// It could not be put back.
    Failed,
}

impl RestoredHow {
    /// Whether nothing of the drill is left in it.
    pub const fn is_clean(self) -> bool {
        !matches!(self, Self::Failed)
    }
}
