//! What a prober has to be allowed: what could not be removed again is not made.

use std::borrow::Cow;

use futures::future::join_all;
use serde_json::json;

use crate::cluster::{Connection, WriteOptions};
use crate::model::kind::Kind;

/// Asks who may do what.
const REVIEW: Kind = Kind {
    group: Cow::Borrowed("authorization.k8s.io"),
    version: Cow::Borrowed("v1"),
    kind: Cow::Borrowed("SelfSubjectAccessReview"),
    plural: Cow::Borrowed("selfsubjectaccessreviews"),
    namespaced: false,
};

/// What a prober does, and so needs the right to.
pub(crate) const RIGHTS: [(&str, &str, &str, &str); 5] = [
    ("create", "batch", "jobs", ""),
    ("delete", "batch", "jobs", ""),
    ("list", "", "pods", ""),
    ("list", "", "events", ""),
    ("get", "", "pods", "log"),
];

/// The rights that are missing in a namespace.
pub(crate) async fn missing(connection: &Connection, namespace: &str) -> Vec<String> {
    let asked = RIGHTS.map(|right| denied(connection, namespace, right));
    join_all(asked).await.into_iter().flatten().collect()
}

/// `delete on pods`, where this user may not: verb, group, resource and subresource.
pub(crate) async fn denied(connection: &Connection, namespace: &str, right: (&str, &str, &str, &str)) -> Option<String> {
    let (verb, group, resource, subresource) = right;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {
        "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource}}});
    let answer = connection.create(&REVIEW, None, &review, &WriteOptions::default()).await;
    // Who cannot be asked says no when it comes to it.
    let denied = answer.is_ok_and(|answer| answer["status"]["allowed"] == false);
    let what = if subresource.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}/{subresource}")
    };
    denied.then(|| format!("{verb} on {what}"))
}
