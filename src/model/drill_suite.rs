//! The reports of several drills. The fields are a public contract.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::drill::{DrillPlan, DrillReport, DrillVerdict};

/// How much a drill matters: `P0` the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// The system must survive this.
    P0,
    /// It should.
    P1,
    /// It had better.
    P2,
    /// Nice to know.
    P3,
}

impl Priority {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::P0, Self::P1, Self::P2, Self::P3];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        }
    }
}

/// What the drills of a suite would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillSuitePlan {
    /// Version of the format.
    pub api_version: &'static str,
    /// `DrillSuitePlan`
    pub kind: &'static str,
    /// Name of the suite.
    pub name: String,
    /// Where it would happen.
    pub namespace: String,
    /// The drills, in the order of the file.
    pub drills: Vec<PlannedDrill>,
}

/// What a drill of a suite would do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDrill {
    /// Its name.
    pub name: String,
    /// How much it matters.
    pub priority: Priority,
    /// The plan.
    pub plan: DrillPlan,
}

/// What came of the drills of a suite.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillSuiteReport {
    /// Version of the format.
    pub api_version: Cow<'static, str>,
    /// `DrillSuiteReport`
    pub kind: Cow<'static, str>,
    /// Name of the suite.
    pub name: String,
    /// Where it happened.
    pub namespace: String,
    /// The worst verdict of its drills.
    pub verdict: DrillVerdict,
    /// When it began, by the clock of this machine.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// How long all of it took.
    pub elapsed_seconds: f64,
    /// The drills, in the order in which they were made.
    pub drills: Vec<SuiteDrill>,
}

/// What came of a drill of a suite.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuiteDrill {
    /// Its name.
    pub name: String,
    /// How much it matters.
    pub priority: Priority,
    /// The how manieth time it was made, from 1 on.
    pub repetition: u32,
    /// Why it was left out; absent where there is a report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What came of it; absent where it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<DrillReport>,
}

impl SuiteDrill {
    /// Its name, unlike that of every other drill of the report.
    pub fn full_name(&self) -> String {
        match self.repetition {
            1 => self.name.clone(),
            more => format!("{} #{more}", self.name),
        }
    }
}

/// A value of a drill in two reports.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillDifference {
    /// The drill.
    pub drill: String,
    /// `verdict`, `downtimeSeconds`, `errorPercent`, `recoverySeconds`, `restarts`; for values that are measured, with the address behind it.
    pub value: String,
    /// In the first report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// In the second one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Whether it is worse than the tolerance allows.
    pub is_regression: bool,
}

/// Two reports compared.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillComparison {
    /// Version of the format.
    pub api_version: &'static str,
    /// `DrillComparison`
    pub kind: &'static str,
    /// How much worse a value may be, in percent.
    pub tolerance_percent: f64,
    /// Whether anything is worse than that.
    pub has_regressed: bool,
    /// Every value of every drill, in the order of the second report.
    pub differences: Vec<DrillDifference>,
}
