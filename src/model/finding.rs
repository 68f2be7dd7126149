//! A finding: one thing that is wrong, with its evidence and what to do. The fields are a public contract.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::model::cause::Cause;
use crate::model::code::Code;
use crate::model::kind::Kind;
use crate::text::{Command, redact, sanitise, short_ids};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Breaks the workload now.
    Error,
    /// Explained by another finding.
    Symptom,
    /// Worth changing; nothing is broken by it.
    Advice,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A component says so about the present state, or complete lists were compared.
    Proven,
    /// A known pattern in arguments, environment or log.
    Likely,
    /// A near miss, or timing.
    Possible,
}

/// Names an object; `namespace` is empty for cluster-wide kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Empty for cluster-wide kinds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl ObjectRef {
    /// Names an object of a known kind.
    pub fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            api_version: kind.api_version(),
            kind: kind.kind.to_string(),
            namespace: if kind.namespaced { namespace.to_owned() } else { String::new() },
            name: name.to_owned(),
        }
    }

    /// Whether the object is of this kind, whatever the version.
    pub fn is(&self, kind: &Kind) -> bool {
        self.kind == kind.kind && kind.is_group_of(&self.api_version)
    }

    /// `deployment/api`
    pub fn short(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), self.name)
    }

    /// `deployment.apps/api`, as `kubectl -o name` prints it.
    pub fn with_group(&self) -> String {
        let group = self.api_version.split_once('/').map(|(group, _)| format!(".{group}"));
        format!("{}{}/{}", self.kind.to_lowercase(), group.unwrap_or_default(), self.name)
    }
}

impl std::fmt::Display for ObjectRef {
    /// `deployment/shop/api`, or `node/a` for cluster-wide kinds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind.to_lowercase();
        if self.namespace.is_empty() {
            write!(f, "{kind}/{}", self.name)
        } else {
            write!(f, "{kind}/{}/{}", self.namespace, self.name)
        }
    }
}

/// The object whose spec must change, or that is at fault as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// The container (also init containers and sidecars).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The port, by number or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The volume of the pod template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// How many pods show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_count: Option<usize>,
    /// Up to three of these pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
}

impl Subject {
    /// The object as a whole.
    pub fn of(object: ObjectRef) -> Self {
        Self { object, ..Self::default() }
    }

    /// A container of the object.
    #[must_use]
    pub fn container(mut self, name: &str) -> Self {
        self.container = Some(name.to_owned());
        self
    }

    /// A port of the object or container.
    #[must_use]
    pub fn port(mut self, port: impl ToString) -> Self {
        self.port = Some(port.to_string());
        self
    }

    /// A volume of the object.
    #[must_use]
    pub fn volume(mut self, name: &str) -> Self {
        self.volume = Some(name.to_owned());
        self
    }

    /// One pod that shows it; findings of several pods are merged later.
    #[must_use]
    pub fn pod(mut self, name: &str) -> Self {
        self.pods = vec![name.to_owned()];
        self.pod_count = Some(1);
        self
    }
}

/// Another object that matters: what is missing, or in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Related {
    /// `missing`, `quota`, `source`, `destination`, `names`, …
    pub role: String,
    /// The object.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// A key within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What shows that a finding is true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Where it was seen: `pod/api-7c9f8 event`, `log api`, `status`.
    pub source: String,
    /// What was seen.
    pub detail: String,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fix {
    /// In words.
    pub text: String,
    /// A command that does it, or shows more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Whether a fault may still pass by itself. While it may, the finding is pending: it is shown, and changes neither verdict nor exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Settles {
    /// It does not: somebody has to change something, or it has lasted too long.
    #[default]
    Never,
    /// It may, within this time.
    Within(Duration),
    /// It may; nothing says by when.
    Sometime,
}

impl Settles {
    /// Whether only the future will tell whether it is a fault.
    pub fn is_pending(self) -> bool {
        self != Self::Never
    }

    /// The time within which it may pass, where it is known.
    pub const fn within(self) -> Option<Duration> {
        match self {
            Self::Within(left) => Some(left),
            Self::Never | Self::Sometime => None,
        }
    }

    fn has_no_end(&self) -> bool {
        self.within().is_none()
    }

    fn seconds<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.within().unwrap_or_default().as_secs())
    }
}

/// What a finding brings about, or suffers from: two findings are linked where one breaks what the other suffers from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Pods of this workload are missing or not ready.
    NotReady(ObjectRef),
    /// This container of the workload does not run as it should.
    Container(ObjectRef, String),
    /// This container of the workload runs and has not come as far as to listen.
    Silence(ObjectRef, String),
    /// Nobody gets an answer from this Service (namespace, name).
    Service(String, String),
    /// This claim is not usable (namespace, name).
    Claim(String, String),
    /// This node does not work.
    Node(String),
    /// This object is missing, unusable or in the way.
    Object(ObjectRef),
    /// Cluster DNS does not answer.
    Dns,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable over runs: code, cause and subject without pods.
    pub id: String,
    /// What kind of fault.
    pub code: Code,
    /// Which variant of it; empty where a code has none.
    #[schemars(with = "String")]
    pub cause: Cause,
    /// How much it weighs here.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// What must change.
    pub subject: Subject,
    /// What else matters.
    pub related: Vec<Related>,
    /// One sentence.
    pub summary: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// Findings that explain this one.
    pub caused_by: Vec<String>,
    /// Findings that this one explains.
    pub breaks: Vec<String>,
    /// What to do about it.
    pub fixes: Vec<Fix>,
    /// Of a pending finding: the time within which it may pass by itself, where it is known.
    #[serde(
        rename = "settlesWithinSeconds",
        skip_serializing_if = "Settles::has_no_end",
        serialize_with = "Settles::seconds"
    )]
    #[schemars(with = "Option<u64>")]
    pub settles: Settles,
    /// What it brings about; for linking only.
    #[serde(skip)]
    #[schemars(skip)]
    pub effects: BTreeSet<Effect>,
    /// What would explain it; for linking only.
    #[serde(skip)]
    #[schemars(skip)]
    pub suffers: BTreeSet<Effect>,
}

/// Text as it may be shown. Rules mask what they quote before they cut it; what they build from several parts is masked here.
fn shown(text: &str) -> String {
    short_ids(&sanitise(&redact(text)))
}

impl Fix {
    /// Advice with the command for it.
    pub fn command(text: impl AsRef<str>, command: impl Into<Command>) -> Self {
        Self {
            text: sanitise(text.as_ref()),
            command: Some(command.into().into()),
        }
    }
}

impl Finding {
    /// A finding without evidence yet; every text is made safe to show.
    pub fn new(cause: impl Into<Cause>, severity: Severity, confidence: Confidence, subject: Subject, summary: impl AsRef<str>) -> Self {
        let cause = cause.into();
        let mut finding = Self {
            id: String::new(),
            code: cause.code(),
            cause,
            severity,
            confidence,
            subject,
            related: Vec::new(),
            summary: shown(summary.as_ref()),
            evidence: Vec::new(),
            caused_by: Vec::new(),
            breaks: Vec::new(),
            fixes: Vec::new(),
            settles: Settles::Never,
            effects: BTreeSet::new(),
            suffers: BTreeSet::new(),
        };
        finding.id = finding.identity();
        finding
    }

    /// An error that a component or a complete comparison proves.
    pub fn error(cause: impl Into<Cause>, subject: Subject, summary: impl AsRef<str>) -> Self {
        Self::new(cause, Severity::Error, Confidence::Proven, subject, summary)
    }

    /// A symptom: it is wrong, but something else made it so.
    pub fn symptom(cause: impl Into<Cause>, subject: Subject, summary: impl AsRef<str>) -> Self {
        Self::new(cause, Severity::Symptom, Confidence::Proven, subject, summary)
    }

    /// Advice.
    pub fn advice(cause: impl Into<Cause>, subject: Subject, summary: impl AsRef<str>) -> Self {
        Self::new(cause, Severity::Advice, Confidence::Proven, subject, summary)
    }

    fn identity(&self) -> String {
        let object = &self.subject.object;
        let mut hash = Sha256::new();
        for part in [
            self.code.as_str(),
            self.cause.as_str(),
            &object.kind,
            &object.namespace,
            &object.name,
            self.subject.container.as_deref().unwrap_or_default(),
            self.subject.port.as_deref().unwrap_or_default(),
            self.subject.volume.as_deref().unwrap_or_default(),
        ] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("f-{hex}")
    }

    /// Adds what was seen, and where.
    #[must_use]
    pub fn evidence(mut self, source: impl AsRef<str>, detail: impl AsRef<str>) -> Self {
        let evidence = Evidence {
            source: sanitise(source.as_ref()),
            detail: shown(detail.as_ref()).trim().to_owned(),
        };
        if !evidence.detail.is_empty() && !self.evidence.contains(&evidence) {
            self.evidence.push(evidence);
        }
        self
    }

    /// Adds an object that matters.
    #[must_use]
    pub fn related(mut self, role: &str, object: ObjectRef) -> Self {
        self.related.push(Related {
            role: role.to_owned(),
            object,
            key: None,
        });
        self
    }

    /// Adds a key of an object that matters.
    #[must_use]
    pub fn related_key(mut self, role: &str, object: ObjectRef, key: &str) -> Self {
        self.related.push(Related {
            role: role.to_owned(),
            object,
            key: Some(sanitise(key)),
        });
        self
    }

    /// Adds the reason behind it to the summary.
    #[must_use]
    pub fn explained(mut self, why: &str) -> Self {
        self.summary = shown(&format!("{}; {why}", self.summary));
        self
    }

    /// Adds advice in words.
    #[must_use]
    pub fn fix(mut self, text: impl AsRef<str>) -> Self {
        self.fixes.push(Fix {
            text: sanitise(text.as_ref()),
            command: None,
        });
        self
    }

    /// Adds advice with the command for it.
    #[must_use]
    pub fn fix_command(mut self, text: impl AsRef<str>, command: impl Into<Command>) -> Self {
        self.fixes.push(Fix::command(text, command));
        self
    }

    /// Says how sure it is.
    #[must_use]
    pub fn confidence(mut self, confidence: Confidence) -> Self {
        self.confidence = confidence;
        self
    }

    /// Says how much it weighs here.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Says whether it may still pass by itself.
    #[must_use]
    pub fn settling(mut self, settles: Settles) -> Self {
        self.settles = settles;
        self
    }

    /// What it brings about.
    #[must_use]
    pub fn breaking(mut self, effect: Effect) -> Self {
        self.effects.insert(effect);
        self
    }

    /// What would explain it.
    #[must_use]
    pub fn suffering(mut self, effect: Effect) -> Self {
        self.suffers.insert(effect);
        self
    }

    /// Takes in the same finding of another pod: pods are counted, the first three are named, the first evidence is kept.
    pub fn merge(&mut self, other: Self) {
        for pod in other.subject.pods {
            if let Err(at) = self.subject.pods.binary_search(&pod) {
                self.subject.pods.insert(at, pod);
            }
        }
        self.severity = self.severity.min(other.severity);
        self.confidence = self.confidence.min(other.confidence);
        self.settles = self.settles.min(other.settles);
        self.effects.extend(other.effects);
        self.suffers.extend(other.suffers);
        for related in other.related {
            if !self.related.contains(&related) {
                self.related.push(related);
            }
        }
    }
}
