use super::*;
use crate::testing::{check, snapshot};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: a, uid: u1}
spec:
  nodeName: node-1
  containers:
  - {name: c, image: i, env: [{name: A, valueFrom: {configMapKeyRef: {name: conf, key: databse}}}], envFrom: [{secretRef: {name: gone, optional: true}}]}
status:
  phase: Pending
  containerStatuses: [{name: c, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: CreateContainerConfigError, message: "MESSAGE"}}}]
"#;

const CONF: &str = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: conf, managedFields: [{manager: kubectl-edit, operation: Update, time: \"2026-01-01T11:55:00Z\"}]}, data: {database: x}}\n";

#[test]
fn texts_of_the_kubelet_are_understood() {
    let of = |message| {
        missing_in(message)
            .into_iter()
            .map(|s| (s.kind.singular(), s.name, s.key))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("configmap \"nocm\" not found"), [("configmap", Some("nocm"), None)]);
    assert_eq!(of("secret \"nosec\" not found"), [("secret", Some("nosec"), None)]);
    assert_eq!(
        of("couldn't find key databse in ConfigMap r1-a/conf"),
        [("configmap", Some("conf"), Some("databse"))]
    );
    assert_eq!(
        of("couldn't find key pasword in Secret r1-a/sec"),
        [("secret", Some("sec"), Some("pasword"))]
    );
    assert_eq!(
        of("MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key: nokey"),
        [("configmap", None, Some("nokey"))]
    );
    assert_eq!(
        of("MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: nokey"),
        [("secret", None, Some("nokey"))]
    );
    assert_eq!(
        of("MountVolume.SetUp failed for volume \"v\" : [configmap \"conf\" not found, secret \"nosec\" not found]").len(),
        2
    );
    assert!(
        of("MountVolume.SetUp failed for volume \"v\" : failed to sync configmap cache: timed out waiting for the condition").is_empty()
    );
}

#[test]
fn a_missing_key_offers_the_one_that_was_meant() {
    let yaml = POD.replace("MESSAGE", "couldn't find key databse in ConfigMap shop/conf") + CONF;
    let mut s = snapshot(&yaml);
    s.note_full(ObjectRef::new(&kind::CONFIG_MAP, "shop", "conf"));
    let found = crate::testing::check_snapshot(crate::rules::config::check, &s);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].code, Code::ConfigMapKeyMissing);
    assert_eq!(found[0].related[0].key.as_deref(), Some("databse"));
    assert!(found[0].summary.contains("has the key database"), "{}", found[0].summary);
    assert!(
        found[0].evidence.iter().any(|e| e.detail == "changed 5m ago by kubectl-edit"),
        "{:?}",
        found[0].evidence
    );
}

#[test]
fn a_missing_object_is_named_once_and_an_optional_one_never() {
    let found = check(
        crate::rules::config::check,
        &POD.replace("MESSAGE", r#"configmap \"conf\" not found"#),
    );
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (found[0].code, found[0].subject.container.as_deref()),
        (Code::ConfigMapMissing, Some("c"))
    );
}

/// Whoever pastes it without a thought would make an object of junk, and the fault would be hidden by it.
#[test]
fn a_command_with_a_placeholder_is_not_runnable() {
    let found = check(
        crate::rules::config::check,
        &POD.replace("MESSAGE", r#"configmap \"conf\" not found"#),
    );
    let command = found[0].fixes[0].command.as_deref().unwrap();
    assert_eq!(command, "kubectl create configmap conf -n shop --from-literal=databse=VALUE");
    let whole = POD.replace("valueFrom: {configMapKeyRef: {name: conf, key: databse}}", "value: x");
    let whole = whole.replace("secretRef: {name: gone, optional: true}", "secretRef: {name: gone}");
    let found = check(
        crate::rules::config::check,
        &whole.replace("MESSAGE", r#"secret \"gone\" not found"#),
    );
    let command = found[0].fixes[0].command.as_deref().unwrap();
    assert_eq!(command, "kubectl create secret generic gone -n shop --from-literal=KEY=VALUE");
}

#[test]
fn a_text_about_a_missing_object_that_exists_now_is_outdated() {
    let found = check(
        crate::rules::config::check,
        &(POD.replace("MESSAGE", r#"configmap \"conf\" not found"#) + CONF),
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_unreadable_list_proves_nothing() {
    let mut s = snapshot(&POD.replace("MESSAGE", ""));
    s.cover(&kind::CONFIG_MAP, None, crate::model::snapshot::Coverage::Unreadable);
    assert!(crate::testing::check_snapshot(crate::rules::config::check, &s).is_empty());
}

const MOUNT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: a, uid: u1, creationTimestamp: "2026-01-01T11:50:00Z"}
spec:
  nodeName: node-1
  containers: [{name: c, image: i}]
  volumes: [{name: v, projected: {sources: [{configMap: {name: conf}}, {secret: {name: tls, items: [{key: crt, path: x}]}}]}}]
status:
  phase: Pending
  containerStatuses: [{name: c, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]
---
apiVersion: v1
kind: Event
metadata: {name: old}
involvedObject: {kind: Pod, name: a, uid: u1}
reason: FailedMount
message: "MountVolume.SetUp failed for volume \"v\" : configmap \"conf\" not found"
lastTimestamp: "2026-01-01T11:51:00Z"
---
apiVersion: v1
kind: Event
metadata: {name: new}
involvedObject: {kind: Pod, name: a, uid: u1}
reason: FailedMount
message: "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: crt"
lastTimestamp: "2026-01-01T11:59:00Z"
"#;

#[test]
fn only_the_newest_mount_event_counts() {
    let secret = "---\n{apiVersion: v1, kind: Secret, metadata: {name: tls}, data: {key: eA==}}\n";
    let found = check(crate::rules::config::check, &format!("{MOUNT}{CONF}{secret}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (found[0].code, found[0].subject.volume.as_deref()),
        (Code::SecretKeyMissing, Some("v"))
    );
}

#[test]
fn a_template_without_pods_is_compared_with_a_complete_set() {
    let yaml = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: confg}}]}]}
"#;
    let found = check(crate::rules::config::check, &format!("{yaml}{CONF}"));
    assert_eq!(found.len(), 1);
    assert!(found[0].summary.contains("there is one named conf"), "{}", found[0].summary);
}
