//! `wait-ready` on a real cluster.

mod application;
mod deceptions;
mod fronts;
mod headers;
mod kinds;
mod left;
mod patience;
mod pipeline;
mod prober;
mod promptness;
mod reasons;
mod refused;
pub mod relay;
pub mod restart;
mod silence;
pub mod survival;
mod traps;
mod verdicts;
mod ways;
mod wishes;

use std::process::{Child, Command, Stdio};

use podlife::model::kind;
use serde_json::{Value, json};

use super::harness::{Answer, Scenario, kubeconfig};

/// A Deployment of the test application that serves on 8080, with more fields of its container and variables.
pub fn web(replicas: u32, environment: Value, container: Value) -> Value {
    let variables: Vec<Value> = environment
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut app = json!({"name": "app", "image": "podlife.test/app:1", "imagePullPolicy": "IfNotPresent", "env": variables});
    for (field, value) in container.as_object().unwrap() {
        app[field] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [app]}},
        },
    })
}

/// A readiness probe of the test application.
pub fn probe() -> Value {
    json!({"readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}})
}

/// The Service of [`web`].
pub fn service(kind: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": kind, "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// Several objects as one manifest.
pub fn manifest(objects: &[Value]) -> String {
    objects.iter().map(|o| format!("{o}\n---\n")).collect()
}

/// A workload or a Service under another name, with labels of that name.
pub fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = name.into();
    for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        if let Some(labels) = object.pointer_mut(labels) {
            *labels = json!({"app": name});
        }
    }
    if object["kind"] == "Service" {
        object["spec"]["selector"] = json!({"app": name});
    }
    object
}

/// An account that may view the namespace, and no more.
pub fn viewer(scenario: &Scenario) -> String {
    let subject = format!("{}:default", scenario.namespace);
    let account = format!("--serviceaccount={subject}");
    scenario.kubectl(&["create", "rolebinding", "viewer", "--clusterrole=view", &account]);
    format!("system:serviceaccount:{subject}")
}

/// Exit code and state of an answer.
pub fn state(answer: &Answer) -> (u8, &str) {
    (answer.exit, answer.json["state"].as_str().unwrap_or_default())
}

/// The endpoints of all slices: they come a moment after their pods are ready.
pub fn endpoints(scenario: &Scenario) -> Vec<Value> {
    let slices = scenario.list(&kind::ENDPOINT_SLICE);
    slices
        .iter()
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .collect()
}

/// Why it is so.
pub fn reason(answer: &Answer) -> &str {
    answer.json["reason"].as_str().unwrap_or_default()
}

/// Waits for a target, and answers with a document.
pub fn wait(scenario: &Scenario, target: &str, arguments: &[&str]) -> Answer {
    let mut all = vec!["wait-ready", target, "-o", "json"];
    all.extend(arguments);
    scenario.podlife(&all)
}

/// podlife as a process of its own, for what only a process can be asked: signals.
pub fn started(scenario: &Scenario, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(["--kubeconfig", &kubeconfig(), "--namespace", &scenario.namespace])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
