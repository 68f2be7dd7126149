//! What a pod's own status and labels say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

/// What tells pods of one template from those of another: the hash its controller wrote on them; empty for bare pods.
pub fn revision(pod: &Pod) -> &str {
    [
        "pod-template-hash",
        "controller-revision-hash",
        "batch.kubernetes.io/controller-uid",
        "controller-uid",
    ]
    .into_iter()
    .find_map(|label| pod.labels().get(label))
    .map_or("", String::as_str)
}

/// A pod condition: its status, reason and message.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let condition = pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == type_)?;
    Some((
        condition.status.as_str(),
        condition.reason.as_deref().unwrap_or_default(),
        condition.message.as_deref().unwrap_or_default(),
    ))
}

/// Since when a pod condition has its present status.
pub fn condition_since(pod: &Pod, type_: &str) -> Option<Timestamp> {
    let condition = pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == type_)?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// Whether the pod counts as ready: its condition says so and it is not being deleted.
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && condition(pod, "Ready").is_some_and(|(status, ..)| status == "True")
}

/// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

/// Whether the pod has ended for good.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether the pod is terminating.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether a Service's selector takes these labels; a Service without a selector takes none.
pub fn service_selects(service: &Service, labels: &BTreeMap<String, String>) -> bool {
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}
