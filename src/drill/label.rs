//! Takes single pods out of the Services that select them, by a label.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::json;

use crate::drill::change::Change;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::{View, WorkloadObject, ports};

/// The labels of which each of the Services loses a pod, and whether the controller of the pod loses it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    keys: BTreeSet<String>,
    pub(crate) orphans: bool,
}

/// Labels that the Services select and the controller does not, as far as there are any.
pub(crate) fn labels(object: WorkloadObject<'_>, services: &[&Service]) -> Labels {
    let selector = object.selector();
    let of_controller: BTreeSet<&String> = selector
        .match_labels
        .iter()
        .flat_map(|labels| labels.keys())
        .chain(selector.match_expressions.iter().flatten().map(|e| &e.key))
        .collect();
    let mut labels = Labels {
        keys: BTreeSet::new(),
        orphans: false,
    };
    for service in services {
        let selected: Vec<&String> = service
            .spec
            .iter()
            .flat_map(|s| s.selector.iter().flat_map(|labels| labels.keys()))
            .collect();
        if selected.iter().any(|key| labels.keys.contains(*key)) {
            continue;
        }
        let free = selected.iter().find(|key| !of_controller.contains(**key));
        labels.orphans |= free.is_none();
        labels.keys.extend(free.or(selected.first()).map(|key| (*key).clone()));
    }
    labels
}

impl Labels {
    /// The changes of one pod.
    pub(crate) fn changes(&self, pod: &Pod, value: &str) -> Vec<Change> {
        let object = json!(pod);
        let change = |key: &String| Change::of(&kind::POD, &object, &["metadata", "labels", key], value.into());
        self.keys.iter().map(change).collect()
    }
}

/// The ready endpoint that a pod still is of a Service, if it is one.
pub(crate) fn still_behind<'a>(view: &View<'_>, target: &ObjectRef, services: &'a [String], pod: &str) -> Option<&'a String> {
    services.iter().find(|name| {
        let service = view.service(&target.namespace, name);
        let slices = service.map(|service| ports::slices(view, service)).unwrap_or_default();
        slices.iter().flat_map(|slice| &slice.endpoints).any(|endpoint| {
            let is_ready = endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
            is_ready && endpoint.target_ref.as_ref().and_then(|of| of.name.as_deref()) == Some(pod)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::Value;

    #[test]
    fn a_label_that_the_controller_does_not_select_comes_first() {
        let deployment: Deployment = serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {
            "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web", "tier": "front"}}}}}))
        .unwrap();
        let service = |selector: Value| -> Service { serde_json::from_value(json!({"spec": {"selector": selector}})).unwrap() };
        let object = WorkloadObject::Deployment(&deployment);
        let (both, one) = (service(json!({"app": "web", "tier": "front"})), service(json!({"app": "web"})));
        let found = labels(object, &[&both]);
        assert_eq!((found.keys, found.orphans), (BTreeSet::from(["tier".to_owned()]), false));
        let found = labels(object, &[&both, &one]);
        assert_eq!(
            (found.keys, found.orphans),
            (BTreeSet::from(["app".to_owned(), "tier".to_owned()]), true)
        );
    }
}
