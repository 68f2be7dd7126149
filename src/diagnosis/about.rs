//! Which findings touch an object: looked up for each object of a scope, and a scope may have thousands of both.

use std::collections::{BTreeSet, HashMap};

use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::kind;

/// Findings by the objects that they are about, or whose pods or traffic they keep down.
pub struct About<'a> {
    findings: &'a [Finding],
    by_object: HashMap<ObjectRef, Vec<usize>>,
    by_id: HashMap<&'a str, usize>,
}

impl<'a> About<'a> {
    /// The findings in their order.
    pub fn of(findings: &'a [Finding]) -> Self {
        let mut about = Self {
            findings,
            by_object: HashMap::new(),
            by_id: HashMap::new(),
        };
        for (at, finding) in findings.iter().enumerate() {
            about.by_id.insert(&finding.id, at);
            let effects = finding.effects.iter().filter_map(|effect| match effect {
                Effect::NotReady(workload) => Some(workload.clone()),
                Effect::Service(namespace, name) => Some(ObjectRef::new(&kind::SERVICE, namespace, name)),
                _ => None,
            });
            for object in effects.chain([finding.subject.object.clone()]) {
                let list = about.by_object.entry(object).or_default();
                if list.last() != Some(&at) {
                    list.push(at);
                }
            }
        }
        about
    }

    /// The findings that are about an object, or keep its pods or its traffic down.
    pub fn touching(&self, object: &ObjectRef) -> impl Iterator<Item = &'a Finding> {
        let findings = self.findings;
        self.by_object.get(object).into_iter().flatten().map(move |at| &findings[*at])
    }

    /// The root causes that an object suffers from: errors about it, and what explains its symptoms.
    pub fn root_causes_of(&self, object: &ObjectRef) -> Vec<String> {
        let mut open: Vec<usize> = self.by_object.get(object).cloned().unwrap_or_default();
        open.retain(|at| self.findings[*at].severity != Severity::Advice);
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                let causes = &self.findings[next].caused_by;
                open.extend(causes.iter().filter_map(|id| self.by_id.get(id.as_str())));
            }
        }
        let errors = seen
            .into_iter()
            .map(|at| &self.findings[at])
            .filter(|f| f.severity == Severity::Error);
        errors.map(|f| f.id.clone()).collect()
    }
}
