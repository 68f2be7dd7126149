//! What podlife knows about its finding codes, as a document.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::code::Code;
use crate::model::finding::{Fix, Severity};

/// The answer of `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `podlife/v1`
    pub api_version: String,
    /// `Explanation`
    pub kind: String,
    /// The code that was asked for, or every code.
    pub codes: Vec<ExplainedCode>,
}

/// One code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCode {
    /// The code.
    pub code: Code,
    /// A few words.
    pub title: String,
    /// The area it belongs to.
    pub area: String,
    /// The highest severity that it can have.
    pub severity: Severity,
    /// How long it is waited for before it counts as final: `permanent`, `image`, `crash`, `scheduling`, `probe` or `other`.
    pub class: String,
    /// What kind of object must change.
    pub subject: String,
    /// Words of Kubernetes or of applications that it shows as.
    pub signs: Vec<String>,
    /// Its causes; empty where it has no variants.
    pub causes: Vec<ExplainedCause>,
    /// What it means, how podlife knows, what usually is the reason.
    pub explanation: String,
    /// What to do, in this order; words in capitals stand for names.
    pub steps: Vec<Fix>,
    /// What is looked up when a message names something; empty where nothing is.
    #[serde(default)]
    pub joins: Vec<ExplainedJoin>,
    /// Codes worth reading next.
    pub related: Vec<Code>,
}

/// A look-up from what a message names to what provides it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedJoin {
    /// What the message names.
    pub names: String,
    /// The objects and fields that are compared.
    pub with: String,
    /// What the finding says then.
    pub says: String,
}

/// A variant of a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCause {
    /// As it stands in a finding's `cause`.
    pub name: String,
    /// What it means.
    pub meaning: String,
}
