//! Claims and ports that another pod holds: which pod it is, and what lets only one of them run.

use super::container::deployment;
use super::explained::said;
use crate::cluster::harness::{Answer, Scenario, State, is_ready, pods_ready, restarts, statuses};
use crate::cluster::objects::{Workload, app};

/// A Deployment that uses the claim `one`.
fn store(name: &str, replicas: u32) -> String {
    let pod = "{containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600'], \
               volumeMounts: [{name: data, mountPath: /data}]}], volumes: [{name: data, persistentVolumeClaim: {claimName: one}}]}";
    deployment(name, pod).replace("spec: {selector:", &format!("spec: {{replicas: {replicas}, selector:"))
}

fn claim(mode: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: one}}, spec: {{accessModes: [{mode}], \
         resources: {{requests: {{storage: 1Mi}}}}}}}}\n"
    )
}

fn is_told(answer: &Answer, name: &str, parts: &[&str]) {
    let text = said(answer, name);
    for part in parts {
        assert!(text.contains(part), "{name}: no {part:?} in {text}");
    }
}

#[test]
fn a_claim_of_one_pod_names_the_pod_that_has_it() {
    let scenario = Scenario::new("held-claim")
        .apply(&(claim("ReadWriteOncePod") + &store("first", 1)))
        .until("the first pod runs", |state| state.pods.iter().any(is_ready))
        .apply(&(store("first", 2) + &store("other", 1)))
        .until("the scheduler has refused both", |state: &State| {
            let refused = |owner: &str| {
                let is_it = |e: &&serde_json::Value| {
                    let pod = e["involvedObject"]["name"].as_str().unwrap_or_default();
                    e["reason"] == "FailedScheduling" && pod.starts_with(owner)
                };
                state.events.iter().any(|e| is_it(&e))
            };
            refused("first-") && refused("other-")
        });
    // For a moment the claim may still be given up by itself.
    scenario.wait("podlife takes both for refused", |scenario| {
        let answer = scenario.diagnose();
        ["first", "other"].iter().all(|name| said(&answer, name).contains("Unschedulable"))
    });
    let answer = scenario.diagnose();
    is_told(
        &answer,
        "first",
        &[
            "Unschedulable",
            "of deployment/first runs and uses the same claim one",
            "run one replica",
        ],
    );
    is_told(
        &answer,
        "other",
        &[
            "Unschedulable",
            "of deployment/first runs and uses the same claim one",
            "a claim of its own",
        ],
    );
    assert!(!said(&answer, "other").contains("run one replica"), "{}", answer.stdout);
}

/// On one node two pods may share what only one node may use.
#[test]
fn a_claim_of_one_node_that_two_pods_share_is_no_fault() {
    Scenario::new("held-shared")
        .apply(&(claim("ReadWriteOnce") + &store("first", 2) + &store("other", 1)))
        .until("all run", pods_ready(3))
        .healthy();
}

/// The test application on the node's own network.
fn on_node(name: &str, port: u16) -> Workload {
    app(name)
        .env("LISTEN", &format!("127.0.0.1:{port}"))
        .pod("hostNetwork: true")
        .at_once()
}

#[test]
fn a_port_of_the_node_names_the_pod_that_has_it() {
    let (held, free) = (39_481, 39_482);
    let scenario = Scenario::new("held-port")
        .apply(&on_node("first", held))
        .until("the first pod runs", |state| state.pods.iter().any(is_ready))
        .apply(&(on_node("first", held).spec("replicas: 2") + on_node("second", held)))
        // In a pod of its own the port is another one.
        .apply(&(on_node("free", free) + app("inside").env("LISTEN", &format!("0.0.0.0:{held}")).at_once()))
        .until("both have failed", |state| {
            let failed = statuses(state, "app").filter(|s| s["restartCount"].as_i64() >= Some(2)).count();
            failed >= 2 && restarts("app", 2)(state)
        });
    let answer = scenario.diagnose();
    is_told(
        &answer,
        "first",
        &[
            "AddressInUse",
            "cannot listen on port 39481",
            "of deployment/first runs on the same node",
            "declare port 39481 in ports",
            r#""hostPort":39481"#,
        ],
    );
    is_told(
        &answer,
        "second",
        &[
            "AddressInUse",
            "of deployment/first runs on the same node",
            "give one of them another port",
        ],
    );
    for healthy in ["free", "inside"] {
        assert_eq!(said(&answer, healthy), "", "{}", answer.stdout);
    }
}

/// Nobody of this namespace has the port: it is another program of the node.
#[test]
fn a_port_of_the_node_that_no_pod_here_has() {
    let port = 39_483;
    let elsewhere = Scenario::new("held-elsewhere")
        .apply(&on_node("first", port))
        .until("it runs", |state| state.pods.iter().any(is_ready));
    let scenario = Scenario::new("held-here")
        .apply(&on_node("second", port))
        .until("it has failed", restarts("app", 2));
    let answer = scenario.first_root_cause("AddressInUse", "host-port", "deployment/second");
    is_told(&answer, "second", &["another program of the node uses it"]);
    drop(elsewhere);
}
