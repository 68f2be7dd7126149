//! Drops the fields of an object that no rule reads, before it is stored: in a large namespace they take most of the memory.

use serde_json::Value;

use crate::model::kind;
use crate::model::kind::Kind;

/// Kinds whose last change is reported with its time and manager.
const CHANGE_REPORTED: &[Kind] = &[kind::CONFIG_MAP, kind::SECRET, kind::ENDPOINT_SLICE];

/// Drops what no rule reads of an object, and what must not be stored.
pub(super) fn prune(of: Option<&Kind>, object: &mut Value) {
    let keeps_managers = of.is_some_and(|of| CHANGE_REPORTED.contains(of));
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if !keeps_managers {
            metadata.remove("managedFields");
        }
        for entry in array(metadata.get_mut("managedFields")) {
            remove(entry, &["fieldsV1"]);
        }
        if let Some(annotations) = metadata.get_mut("annotations") {
            // The last applied manifest repeats the object, with values that were meant to be secret.
            remove(annotations, &["kubectl.kubernetes.io/last-applied-configuration"]);
        }
    }
    if of == Some(&kind::POD) {
        prune_pod(object);
    }
}

fn prune_pod(pod: &mut Value) {
    let is_ready =
        array(pod.pointer_mut("/status/conditions")).any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    if is_ready {
        drop_token(pod);
    }
    if let Some(status) = pod.get_mut("status") {
        for statuses in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
            for container in array(status.get_mut(statuses)) {
                remove(
                    container,
                    &[
                        "allocatedResources",
                        "allocatedResourcesStatus",
                        "resources",
                        "user",
                        "volumeMounts",
                    ],
                );
            }
        }
    }
}

/// Drops the volume that the API server adds to each pod for its token: in a pod that works nobody asks for it, and it takes a third of the memory.
fn drop_token(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    let is_token = |item: &Value| item["name"].as_str().is_some_and(|name| name.starts_with("kube-api-access-"));
    let drop_from = |list: Option<&mut Value>| {
        if let Some(list) = list.and_then(Value::as_array_mut) {
            list.retain(|item| !is_token(item));
        }
    };
    drop_from(spec.get_mut("volumes"));
    for containers in ["containers", "initContainers"] {
        for container in array(spec.get_mut(containers)) {
            drop_from(container.get_mut("volumeMounts"));
        }
    }
}

fn remove(object: &mut Value, fields: &[&str]) {
    if let Some(object) = object.as_object_mut() {
        for field in fields {
            object.remove(*field);
        }
    }
}

fn array(field: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    field.and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_no_rule_reads_are_dropped() {
        let managers = json!([{"manager": "kubectl", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:data": {}}}]);
        let mut pod = json!({
            "metadata": {"name": "a", "managedFields": managers, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "b": "c"}},
            "status": {"containerStatuses": [{"name": "app", "resources": {}, "ready": true}]},
        });
        prune(Some(&kind::POD), &mut pod);
        let expected = json!({
            "metadata": {"name": "a", "annotations": {"b": "c"}},
            "status": {"containerStatuses": [{"name": "app", "ready": true}]},
        });
        assert_eq!(pod, expected);
        for (ready, left) in [("True", json!(["data"])), ("False", json!(["data", "kube-api-access-x"]))] {
            let both = json!([{"name": "data"}, {"name": "kube-api-access-x"}]);
            let mut pod = json!({
                "metadata": {"name": "a"},
                "spec": {"volumes": both, "containers": [{"name": "app", "volumeMounts": both}]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            });
            prune(Some(&kind::POD), &mut pod);
            let names = |list: &Value| list.as_array().unwrap().iter().map(|item| item["name"].clone()).collect::<Value>();
            assert_eq!(names(&pod["spec"]["volumes"]), left);
            assert_eq!(names(&pod["spec"]["containers"][0]["volumeMounts"]), left);
        }
        let mut map = json!({"metadata": {"name": "a", "managedFields": managers}});
        prune(Some(&kind::CONFIG_MAP), &mut map);
        let expected = json!({"metadata": {"name": "a", "managedFields": [{"manager": "kubectl", "time": "2026-01-01T00:00:00Z"}]}});
        assert_eq!(map, expected);
    }
}
