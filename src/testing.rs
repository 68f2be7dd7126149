//! Builds snapshots for tests of rules from YAML as kubectl prints it.

use jiff::Timestamp;
use serde_json::Value;

use crate::model::finding::Finding;
use crate::model::kind;
use crate::model::snapshot::{Coverage, Snapshot};
use crate::view::{Options, Out, View};

/// The moment of every test snapshot: 2026-01-01T12:00:00Z.
pub fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// A snapshot of the documents of `yaml` (separated by `---`), taken at noon, of a namespace that was read completely.
pub fn snapshot(yaml: &str) -> Snapshot {
    let mut snapshot = Snapshot::new(noon(), false);
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    for document in documents {
        let documents = match document["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![document],
        };
        for mut document in documents {
            if let Some(of) = kind::of_object(document["apiVersion"].as_str().unwrap(), document["kind"].as_str().unwrap())
                && of.namespaced
                && document["metadata"]["namespace"].is_null()
            {
                document["metadata"]["namespace"] = "shop".into();
            }
            snapshot.insert(document).unwrap();
        }
    }
    for (of, _) in kind::KNOWN {
        snapshot.cover(of, None, Coverage::Complete);
    }
    snapshot.sort();
    snapshot
}

/// The faults that one rule finds in `yaml`.
pub fn check(rule: crate::rules::Rule, yaml: &str) -> Vec<Finding> {
    check_snapshot(rule, &snapshot(yaml))
}

/// The faults that one rule finds in a snapshot.
pub fn check_snapshot(rule: crate::rules::Rule, snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = run(rule, &View::new(snapshot, Options::default())).findings;
    findings.retain(|finding| !finding.settles.is_pending());
    findings
}

/// What one rule finds in `yaml` that may still pass by itself.
pub fn pending(rule: crate::rules::Rule, yaml: &str) -> Vec<Finding> {
    let snapshot = snapshot(yaml);
    let mut findings = run(rule, &View::new(&snapshot, Options::default())).findings;
    findings.retain(|finding| finding.settles.is_pending());
    findings
}

/// What one rule finds and lacks in a view.
pub fn run(rule: crate::rules::Rule, view: &View<'_>) -> Out {
    let mut out = Out::default();
    rule(view, &mut out);
    out
}
