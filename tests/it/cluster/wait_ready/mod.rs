//! `wait-ready` on a real cluster.

mod application;
mod pipeline;
mod reasons;
mod relay;
mod survival;
mod traps;
mod verdicts;

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::harness::{Scenario, kubeconfig};

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
