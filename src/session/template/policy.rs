//! The NetworkPolicy of the sessions in a namespace: only a gateway reaches them, and they do not reach each other.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Value, json};

use super::{GATEWAY, options};
use crate::model::selector;
use crate::session::{MANAGED_BY, SESSION};

/// The name of the policy. There is one in a namespace.
pub(crate) const NAME: &str = "podlife-sessions";

/// Pods that may connect to sessions: `--allow-from`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AllowFrom {
    /// Their namespace: none is the one of the sessions, `*` is any.
    namespace: Option<String>,
    /// Their labels.
    pods: LabelSelector,
}

/// Reads `SELECTOR`, for pods of the same namespace, or `NAMESPACE:SELECTOR`; the namespace `*` is any, and an empty selector takes all its pods.
pub(crate) fn allow_from(text: &str) -> Result<AllowFrom, String> {
    let (namespace, pods) = match text.split_once(':') {
        Some((namespace, pods)) => (Some(namespace), pods),
        None => (None, text),
    };
    if let Some(name) = namespace.filter(|name| *name != "*") {
        options::object_name(name)?;
    }
    if namespace.is_none() && pods.trim().is_empty() {
        return Err("an empty selector selects all pods, including other sessions".to_owned());
    }
    Ok(AllowFrom {
        namespace: namespace.map(str::to_owned),
        pods: match pods.trim() {
            "" => LabelSelector::default(),
            pods => selector::parse(pods)?,
        },
    })
}

/// The policy: connections to sessions come from pods with the label of a gateway in their own namespace, or from `allowed`. A gateway in any
/// other namespace is not let in by its label, since whoever may create a pod anywhere could then reach every session.
pub(crate) fn policy(allowed: &[AllowFrom]) -> Value {
    let gateway = json!({"podSelector": {"matchLabels": {GATEWAY: "true"}}});
    let others = allowed.iter().map(|from| {
        let mut peer = json!({"podSelector": from.pods});
        match from.namespace.as_deref() {
            Some("*") => peer["namespaceSelector"] = json!({}),
            Some(name) => peer["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": name}}),
            None => {}
        }
        peer
    });
    let from: Vec<Value> = std::iter::once(gateway).chain(others).collect();
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "labels": {MANAGED_BY.0: MANAGED_BY.1}},
        "spec": {
            "podSelector": {
                "matchLabels": {MANAGED_BY.0: MANAGED_BY.1},
                "matchExpressions": [{"key": SESSION, "operator": "Exists"}],
            },
            "policyTypes": ["Ingress"],
            "ingress": [{"from": from}],
        },
    })
}
