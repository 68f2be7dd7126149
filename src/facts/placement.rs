//! Whether a node takes a pod, apart from the room that it has.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration};
use kube::ResourceExt;

/// Why a node does not take a pod; none if it does.
pub fn refusal(node: &Node, pod: &PodSpec) -> Option<String> {
    let spec = node.spec.clone().unwrap_or_default();
    if spec.unschedulable == Some(true) {
        return Some("cordoned".to_owned());
    }
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if !conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True") {
        return Some("not ready".to_owned());
    }
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let mut taints = spec.taints.iter().flatten().filter(|taint| taint.effect != "PreferNoSchedule");
    if let Some(taint) = taints.find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint))) {
        return Some(format!("taint {} is not tolerated", taint.key));
    }
    let selector = pod.node_selector.iter().flatten();
    if let Some((key, value)) = selector.into_iter().find(|(key, value)| node.labels().get(*key) != Some(*value)) {
        return Some(format!("no label {key}={value}"));
    }
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    match required {
        Some(required) if !required.node_selector_terms.iter().any(|term| matches(term, node)) => Some("node affinity".to_owned()),
        _ => None,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is = |own: Option<&str>, other: &str| own.is_none_or(|own| own.is_empty() || own == other);
    is(toleration.effect.as_deref(), &taint.effect)
        && is(toleration.key.as_deref(), &taint.key)
        && match toleration.operator.as_deref() {
            Some("Exists") => true,
            _ => toleration.key.is_some() && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
        }
}

/// Whether a node meets a term; one without requirements matches nothing.
fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let labels = term.match_expressions.iter().flatten();
    let fields = term.match_fields.iter().flatten();
    let name = node.name_any();
    let mut all = labels
        .map(|requirement| meets(requirement, node.labels().get(&requirement.key).map(String::as_str)))
        .chain(fields.map(|requirement| meets(requirement, Some(&name))))
        .peekable();
    all.peek().is_some() && all.all(|met| met)
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_among = value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let compared = || Some(number(value)?.cmp(&number(values.first().map(String::as_str))?));
    match requirement.operator.as_str() {
        "In" => is_among,
        "NotIn" => !is_among,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(node: Value, pod: Value) -> Option<String> {
        let mut whole = json!({
            "metadata": {"name": "n-1", "labels": {"disk": "ssd", "gen": "7"}},
            "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (field, value) in node.as_object().unwrap() {
            whole[field] = value.clone();
        }
        let mut spec = json!({"containers": []});
        for (field, value) in pod.as_object().unwrap() {
            spec[field] = value.clone();
        }
        refusal(&serde_json::from_value(whole).unwrap(), &serde_json::from_value(spec).unwrap())
    }

    fn affinity(expression: Value) -> Value {
        let terms = json!([{"matchExpressions": [expression]}]);
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    }

    #[test]
    fn a_node_takes_what_it_matches_and_says_why_it_takes_no_other() {
        let no = |why: &str| Some(why.to_owned());
        assert_eq!(refused(json!({}), json!({})), None);
        assert_eq!(refused(json!({"spec": {"unschedulable": true}}), json!({})), no("cordoned"));
        assert_eq!(refused(json!({"status": {}}), json!({})), no("not ready"));
        assert_eq!(refused(json!({}), json!({"nodeSelector": {"disk": "ssd"}})), None);
        assert_eq!(
            refused(json!({}), json!({"nodeSelector": {"disk": "hdd"}})),
            no("no label disk=hdd")
        );
        for (operator, values, takes) in [
            ("In", json!(["ssd"]), true),
            ("In", json!(["hdd"]), false),
            ("NotIn", json!(["ssd"]), false),
            ("Exists", json!([]), true),
            ("DoesNotExist", json!([]), false),
        ] {
            let why = refused(json!({}), affinity(json!({"key": "disk", "operator": operator, "values": values})));
            assert_eq!(why.is_none(), takes, "{operator}: {why:?}");
        }
        assert_eq!(
            refused(json!({}), affinity(json!({"key": "gen", "operator": "Gt", "values": ["6"]}))),
            None
        );
        assert!(refused(json!({}), affinity(json!({"key": "gen", "operator": "Lt", "values": ["7"]}))).is_some());
    }

    #[test]
    fn a_taint_keeps_pods_away_that_do_not_tolerate_it() {
        let tainted = json!({"spec": {"taints": [{"key": "gpu", "value": "a", "effect": "NoSchedule"}]}});
        for (toleration, takes) in [
            (json!({"key": "gpu", "operator": "Exists"}), true),
            (json!({"key": "gpu", "value": "a", "effect": "NoSchedule"}), true),
            (json!({"operator": "Exists"}), true),
            (json!({"key": "gpu", "value": "b"}), false),
            (json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
        ] {
            let why = refused(tainted.clone(), json!({"tolerations": [toleration]}));
            assert_eq!(why.is_none(), takes, "{toleration}");
        }
        let mild = json!({"spec": {"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}});
        assert_eq!(refused(mild, json!({})), None);
    }
}
