//! What podlife does with fewer rights than it would like.

use std::path::PathBuf;

use super::harness::{Scenario, kubectl, restarts, waiting};
use crate::process::{self, Answer};

const CRASHING: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo the fault; exit 3']}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
";

/// A kubeconfig of the service account `reader` of the namespace.
pub fn of_reader(scenario: &Scenario) -> PathBuf {
    let token = scenario.kubectl(&["create", "token", "reader"]);
    let server = kubectl(
        &["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"],
        None,
    );
    let ca = kubectl(
        &[
            "config",
            "view",
            "--minify",
            "--raw",
            "-o",
            "jsonpath={.clusters[0].cluster.certificate-authority-data}",
        ],
        None,
    );
    let file = std::env::temp_dir().join(format!("{}.kubeconfig", scenario.namespace));
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "reader",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": "u", "user": {"token": token.trim()}}],
        "contexts": [{"name": "reader", "context": {"cluster": "c", "user": "u", "namespace": scenario.namespace}}],
    });
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

/// Runs podlife as the service account `reader` of the namespace.
pub fn as_reader(scenario: &Scenario, arguments: &[&str]) -> Answer {
    let file = of_reader(scenario);
    let path = file.display().to_string();
    let mut all = vec!["--kubeconfig", path.as_str()];
    all.extend(arguments);
    let answer = process::podlife(&all);
    std::fs::remove_file(&file).unwrap();
    answer
}

#[test]
fn exactly_the_printed_role_is_enough() {
    let scenario = Scenario::new("least-role")
        .apply(CRASHING)
        .until("it crashes", restarts("app", 1))
        .until("it is held back", waiting("app", "CrashLoopBackOff"));
    let account = format!("serviceaccount:{}:reader", scenario.namespace);
    let role = scenario.podlife(&["rbac", "diagnose", "--bind", &account]).stdout;
    let scenario = scenario.apply(&role);
    let answer = as_reader(&scenario, &["diagnose", "-o", "json"]);
    assert_eq!(answer.exit, 3, "{}", answer.stderr);
    assert_eq!(answer.root_cause()["code"], "ContainerCrashing", "{}", answer.json);
    // What is left are reads that only `--with nodes` grants.
    let unchecked = answer.json["unchecked"].as_array().unwrap();
    assert!(unchecked.is_empty(), "{unchecked:?}");
}

#[test]
fn a_forbidden_kind_is_named_and_the_rest_is_reported() {
    let scenario = Scenario::new("no-logs")
        .apply(CRASHING)
        .until("it crashes", restarts("app", 1))
        .until("it is held back", waiting("app", "CrashLoopBackOff"));
    let role = scenario.kubectl(&[
        "create",
        "role",
        "half",
        "--verb=list",
        "--resource=pods,deployments.apps,replicasets.apps,events",
        "--dry-run=client",
        "-o",
        "yaml",
    ]);
    let binding = scenario.kubectl(&[
        "create",
        "rolebinding",
        "half",
        "--role=half",
        &format!("--serviceaccount={}:reader", scenario.namespace),
        "--dry-run=client",
        "-o",
        "yaml",
    ]);
    let scenario = scenario.apply(&format!("{role}---\n{binding}"));
    let answer = as_reader(&scenario, &["diagnose", "-o", "json"]);
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.root_cause()["code"], "ContainerCrashing");
    let unchecked = answer.json["unchecked"].as_array().unwrap();
    let named = |verb: &str, resource: &str| {
        unchecked.iter().any(|u| {
            u["verb"] == verb && u["resource"] == resource && u["namespace"] == scenario.namespace.as_str() && u["why"] == "forbidden"
        })
    };
    assert!(
        named("get", "pods/log") && named("list", "services") && named("list", "ingresses.networking.k8s.io"),
        "{unchecked:?}"
    );
    let text = as_reader(&scenario, &["diagnose"]).stdout;
    assert!(
        text.contains("not checked:") && text.contains("kubectl podlife rbac diagnose"),
        "{text}"
    );
}

#[test]
fn no_right_at_all_is_no_answer() {
    let scenario = Scenario::new("no-rights").apply(CRASHING);
    let answer = as_reader(&scenario, &["diagnose"]);
    assert_eq!(answer.exit, 6, "{}", answer.stdout);
    assert!(answer.stdout.is_empty());
    assert!(answer.stderr.contains("forbidden"), "{}", answer.stderr);
}

#[test]
fn secrets_are_not_requested_by_a_plain_run() {
    let scenario = Scenario::new("no-secrets").apply(
        r"
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  containers:
  - {name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600'], envFrom: [{secretRef: {name: absent}}]}
",
    );
    let scenario = scenario.until("it waits", waiting("app", "CreateContainerConfigError"));
    let plain = scenario.podlife(&["diagnose", "-v", "6"]);
    assert!(!plain.stderr.contains("/secrets"), "{}", plain.stderr);
    assert!(plain.stdout.contains("SecretMissing"), "{}", plain.stdout);
}

#[test]
fn the_role_view_of_one_namespace_is_enough_for_an_answer() {
    let scenario = Scenario::new("view")
        .apply(CRASHING)
        .until("it crashes", restarts("app", 1))
        .until("it is held back", waiting("app", "CrashLoopBackOff"));
    let account = format!("--serviceaccount={}:reader", scenario.namespace);
    scenario.kubectl(&["create", "rolebinding", "view", "--clusterrole=view", &account]);
    let answer = as_reader(&scenario, &["diagnose", "-o", "json"]);
    assert_eq!(answer.exit, 3, "{}", answer.stderr);
    assert_eq!(answer.root_cause()["code"], "ContainerCrashing");
    // Where the Gateway API is installed, the role does not cover it.
    let unchecked = answer.json["unchecked"].as_array().unwrap();
    assert!(
        unchecked
            .iter()
            .all(|u| u["resource"].as_str().unwrap().ends_with(".gateway.networking.k8s.io")),
        "{unchecked:?}"
    );
}

#[test]
fn a_pod_that_may_be_read_is_judged_although_no_list_is_allowed() {
    let scenario = Scenario::new("get-only")
        .apply(CRASHING)
        .until("it crashes", restarts("app", 1))
        .until("it is held back", waiting("app", "CrashLoopBackOff"));
    let account = format!("--serviceaccount={}:reader", scenario.namespace);
    scenario.kubectl(&["create", "role", "get-only", "--verb=get", "--resource=pods,pods/log"]);
    scenario.kubectl(&["create", "rolebinding", "get-only", "--role=get-only", &account]);
    let pod = scenario.kubectl(&["get", "pods", "-o", "name"]);
    let answer = as_reader(&scenario, &["diagnose", pod.trim(), "-o", "json"]);
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.root_cause()["code"], "ContainerCrashing");
    // Of all the rest, it is said that it could not be read.
    assert!(
        answer.json["unchecked"].as_array().unwrap().len() > 10,
        "{}",
        answer.json["unchecked"]
    );
}
