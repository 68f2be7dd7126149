//! Labels that a pod asks of nodes and that none of them has, joined with the labels that the nodes do have.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use crate::model::cause::Unschedulable;
use crate::model::{kind, near};
use crate::text::few;
use crate::view::{Needs, View};

/// Values that are written out of those that nodes have.
const SHOWN: usize = 3;

/// A label that no node has as the pod wants it.
pub(crate) struct Missing {
    /// `no node has the label disk`, to stand behind `no node takes the pod`.
    pub what: String,
    /// What the nodes have instead.
    pub instead: Option<String>,
    /// The change of the template.
    pub fix: String,
    /// The label to give to a node.
    pub label: String,
}

/// The one label that keeps every node from taking a pod; none where it is more than one, or where nodes may not be read.
pub(crate) fn missing(view: &View<'_>, needs: &mut Needs, pod: &Pod, cause: Unschedulable, reason: &str) -> Option<Missing> {
    let spec = pod.spec.as_ref()?;
    let wanted: Vec<(&str, Option<&str>, &str)> = match cause {
        Unschedulable::NodeSelector => {
            let selector = spec.node_selector.iter().flatten();
            selector
                .map(|(key, value)| (key.as_str(), Some(value.as_str()), "nodeSelector"))
                .collect()
        }
        Unschedulable::TopologySpread if reason.contains("missing required label") => {
            let constraints = spec.topology_spread_constraints.iter().flatten();
            let required = constraints.filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
            required
                .map(|c| (c.topology_key.as_str(), None, "topologySpreadConstraints"))
                .collect()
        }
        _ => return None,
    };
    if !needs.list(view, &kind::NODE, "") {
        return None;
    }
    let nodes = &view.snapshot.objects.nodes;
    let has = |node: &Node, key: &str, value: Option<&str>| node.labels().get(key).is_some_and(|v| value.is_none_or(|value| v == value));
    let mut absent = wanted
        .into_iter()
        .filter(|(key, value, _)| !nodes.iter().any(|node| has(node, key, *value)));
    let (key, value, field) = absent.next()?;
    if nodes.is_empty() || absent.next().is_some() {
        return None;
    }
    let label = value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}"));
    let values: BTreeSet<&str> = nodes.iter().filter_map(|node| node.labels().get(key).map(String::as_str)).collect();
    let values: Vec<&str> = values.into_iter().collect();
    let keys: BTreeSet<&str> = nodes.iter().flat_map(|node| node.labels().keys()).map(String::as_str).collect();
    let near_value = value.and_then(|value| near::nearest(value, values.iter().copied()));
    let near_key = near::nearest(key, keys.iter().copied().filter(|other| *other != key));
    let instead = if values.is_empty() {
        near_key.map(|near| format!("the nodes have the label {near}"))
    } else {
        let all: Vec<String> = values.iter().map(|value| format!("{key}={value}")).collect();
        Some(format!("the nodes have {}", few(&all, SHOWN)))
    };
    let fix = match (near_value, near_key) {
        (Some(near), _) => format!("correct {field} in the pod template: {key}: {near} was probably meant"),
        (None, Some(near)) if values.is_empty() => format!("correct {field} in the pod template: {near} was probably meant"),
        _ => format!("correct {field} in the pod template"),
    };
    Some(Missing {
        what: format!("no node has the label {label} that its {field} asks for"),
        instead,
        fix,
        label: value.map_or_else(|| format!("{key}=VALUE"), |_| label),
    })
}
