//! Objects that a drill creates. They carry its id, so that nobody else's are taken for them, and are owned by a Job that Kubernetes ends and
//! removes by itself: what a drill that was killed has created does not outlive the deadline.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::security::{NOBODY, restricted};

/// The label with the id of the drill.
pub(crate) const LABEL: &str = "podlife.dev/drill";

/// An object that a drill creates, as its journal knows it: its uid is not known before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

impl Created {
    /// What a manifest creates.
    pub(crate) fn of(manifest: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = kind::of_object(&text(&manifest["apiVersion"]), &text(&manifest["kind"]))?;
        Some(Self {
            kind: kind.clone(),
            name: text(&manifest["metadata"]["name"]),
        })
    }

    /// `networkpolicy/podlife-drill-1`
    pub(crate) fn what(&self) -> String {
        format!("{}/{}", self.kind.singular(), self.name)
    }

    /// `CREATE networkpolicies/podlife-drill-1`
    pub(crate) fn request(&self) -> String {
        format!("CREATE {}/{}", self.kind.plural, self.name)
    }
}

/// Whether an object was created by this drill.
pub(crate) fn is_of(object: &Value, id: &str) -> bool {
    object["metadata"]["labels"][LABEL] == id
}

/// The name and the labels of what a drill creates.
pub(crate) fn metadata(id: &str, suffix: &str) -> Value {
    json!({
        "name": format!("podlife-drill-{id}{suffix}"),
        "labels": {LABEL: id, "app.kubernetes.io/managed-by": "podlife"},
    })
}

/// A Job that makes no pod, and that Kubernetes removes, with all that it owns, after so many seconds.
pub(crate) fn dead_man(id: &str, image: &str, seconds: u64) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(id, ""),
        "spec": {
            "parallelism": 0, "activeDeadlineSeconds": seconds, "ttlSecondsAfterFinished": 0, "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false,
                "containers": [{"name": "none", "image": image, "command": ["true"], "securityContext": restricted(NOBODY)}],
            }},
        },
    })
}

/// Gives an object to the dead man's Job, as it was created.
pub(crate) fn owned_by(manifest: &mut Value, job: &Value) {
    manifest["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"],
    }]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_is_known_by_its_name_and_label() {
        let job = dead_man("d1", "busybox:1.36", 90);
        let created = Created::of(&job).unwrap();
        assert_eq!(
            (created.what(), created.request()),
            ("job/podlife-drill-d1".to_owned(), "CREATE jobs/podlife-drill-d1".to_owned())
        );
        assert!(is_of(&job, "d1") && !is_of(&job, "d2") && !is_of(&json!({}), "d1"));
        assert_eq!(Created::of(&json!({"apiVersion": "v1", "kind": "Nothing"})), None);
    }
}
