//! Which workload a Service whose selector takes no pod is nearest to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::model::near;
use crate::view::{View, Workload, WorkloadObject};

type Labels = BTreeMap<String, String>;

/// The workload of its namespace whose labels are nearest to what a Service asks for.
pub fn nearest<'c, 'a>(view: &'c View<'a>, service: &Service) -> Option<(Miss, &'c Workload<'a>)> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    view.workloads()
        .filter(|w| w.reference.namespace == namespace)
        .filter_map(|workload| Some((Miss::of(selector, &name, workload)?, workload)))
        .min_by_key(|(miss, _)| miss.rank())
}

/// The workload that a Service that selects nothing is meant for: it has the Service's name, or its labels differ by a typo. Labels that are
/// merely alike are not enough, as a Service may wait for the other colour of a pair.
pub fn meant_for(view: &View<'_>, service: &Service) -> Option<ObjectRef> {
    let (miss, workload) = nearest(view, service)?;
    ((miss.is_typo || miss.by_name) && !miss.dynamic).then(|| workload.reference.clone())
}

/// How far a workload's labels are from what a Service asks for.
pub struct Miss {
    /// What the selector asks for: `app=apii`.
    pub wanted: String,
    /// What the pods have: `app=api`, or `no label app`.
    pub found: String,
    /// What the selector should say.
    pub remedy: String,
    /// The labels of its pods.
    pub labels: Labels,
    matching: usize,
    differing: usize,
    by_name: bool,
    /// Each label that differs does so by a few letters.
    is_typo: bool,
    letters: usize,
    /// The label is put on pods while they run, by whoever leads among them: the template lacks it and pods carry it.
    pub dynamic: bool,
}

impl Miss {
    /// None where the workload is nowhere near.
    fn of(selector: &Labels, service: &str, workload: &Workload<'_>) -> Option<Self> {
        let template = workload.object.map(WorkloadObject::pod_labels).unwrap_or_default();
        let of_pod = workload.pods.first().map(|pod| pod.labels().clone()).unwrap_or_default();
        let labels = if template.is_empty() { of_pod } else { template.clone() };
        let differing: Vec<(&String, &String)> = selector.iter().filter(|(key, value)| labels.get(*key) != Some(value)).collect();
        let matching = selector.len() - differing.len();
        let mut letters = 0;
        let mut is_typo = true;
        let (mut wanted, mut found, mut remedy) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in &differing {
            wanted.push(format!("{key}={value}"));
            // The key itself may be mistyped, or another one may carry the value: `name=api` for `app=api`.
            let other = || {
                labels
                    .iter()
                    .find(|(k, v)| v == value && !selector.contains_key(*k) || near::is_near(key, k))
            };
            if let Some(actual) = labels.get(*key) {
                found.push(format!("{key}={actual}"));
                remedy.push(format!("{key}: {actual}"));
                letters += near::distance(value, actual);
                is_typo &= near::nearest(value, [actual.as_str()]).is_some();
            } else if let Some((other, actual)) = other() {
                found.push(format!("{other}={actual}"));
                remedy.push(format!("{other}: {actual} instead of {key}"));
                letters += near::distance(key, other) + near::distance(value, actual);
            } else {
                found.push(format!("no label {key}"));
                remedy.push(format!("without {key}"));
                letters += key.len() + value.len();
                is_typo = false;
            }
        }
        let by_name = workload.reference.name == service;
        let dynamic = differing
            .iter()
            .all(|(key, _)| !template.contains_key(*key) && workload.pods.iter().any(|pod| pod.labels().contains_key(*key)));
        // Labels such as `part-of` are shared by many: one match among several misses is not near.
        let is_near = is_typo || by_name || (matching > 0 && matching >= differing.len());
        (is_near && !differing.is_empty()).then(|| Self {
            wanted: wanted.join(", "),
            found: found.join(", "),
            remedy: remedy.join(", "),
            labels,
            matching,
            differing: differing.len(),
            by_name,
            is_typo,
            letters,
            dynamic,
        })
    }

    fn rank(&self) -> (bool, usize, std::cmp::Reverse<usize>, usize) {
        (!self.by_name, self.differing, std::cmp::Reverse(self.matching), self.letters)
    }
}
