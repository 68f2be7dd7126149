//! What a diagnosis costs the API server, counted in its audit log.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::harness::{Scenario, event, pods_ready};
use super::objects::app;

/// Audit events of podlife's requests for a namespace, from an offset in the log on.
pub fn requests(log: &str, namespace: &str) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|e| e["stage"] == "ResponseComplete" && e["userAgent"].as_str().unwrap_or_default().starts_with("kubectl-podlife/"))
        .filter(|e| {
            e["requestURI"]
                .as_str()
                .unwrap_or_default()
                .contains(&format!("/namespaces/{namespace}"))
        })
        .filter(|e| seen.insert(e["auditID"].to_string()))
        .map(|e| {
            let resource = e["objectRef"]["resource"].as_str().unwrap_or_default();
            let part = e["objectRef"]["subresource"].as_str().map(|s| format!("/{s}")).unwrap_or_default();
            (e["verb"].as_str().unwrap_or_default().to_owned(), format!("{resource}{part}"))
        })
        .collect()
}

#[test]
fn sixty_pods_cost_no_more_than_their_kinds() {
    let Ok(audit) = std::env::var("PODLIFE_TEST_AUDIT_LOG") else {
        // Another cluster's audit log is out of reach; podlife's own count is all there is to hold to the bound.
        let scenario = sixty_pods("sixty");
        let answer = scenario.diagnose();
        assert!(answer.json["requests"].as_u64() <= Some(bound(30)), "{}", answer.json["requests"]);
        return;
    };
    let scenario = sixty_pods("sixty");
    let before = fs::metadata(&audit).unwrap().len();
    let answer = scenario.diagnose();
    let log = fs::read(&audit).unwrap();
    let log = String::from_utf8_lossy(&log[usize::try_from(before).unwrap()..]);
    let seen = requests(&log, &scenario.namespace);

    let kinds: BTreeSet<&String> = seen
        .iter()
        .filter(|(verb, _)| verb == "list")
        .map(|(_, resource)| resource)
        .collect();
    let logs = seen.iter().filter(|(_, resource)| resource == "pods/log").count();
    let counted = answer.json["requests"].as_u64().unwrap();
    assert!(
        seen.len() as u64 <= counted,
        "the report says {counted}, the audit log has {}",
        seen.len()
    );
    // Three revisions are broken: one cannot be scheduled, two crash.
    assert!(
        counted <= bound(kinds.len() as u64 + CLUSTER_KINDS),
        "{counted} requests, {} kinds: {seen:?}",
        kinds.len()
    );
    assert!((1..=4).contains(&logs), "{logs} logs were read: {seen:?}");
    assert!(!seen.iter().any(|(_, resource)| resource == "secrets"), "{seen:?}");
    let one_map = seen
        .iter()
        .filter(|(verb, resource)| verb == "get" && resource == "configmaps")
        .count();
    assert_eq!(one_map, 0, "no finding needs the content of a ConfigMap: {seen:?}");
    assert_eq!(answer.json["podCount"], 60);
}

#[test]
fn only_a_broken_revision_costs_more_than_lists_and_dials() {
    let Ok(audit) = std::env::var("PODLIFE_TEST_AUDIT_LOG") else {
        return;
    };
    let serving = |name: &str, address: &str| {
        app(name)
            .env("LISTEN", address)
            .spec("replicas: 3")
            .ports("{port: 80, targetPort: 8080}")
    };
    let beside = |scenario: &Scenario, arguments: &[&str]| {
        let before = fs::metadata(&audit).unwrap().len();
        let answer = scenario.podlife(&[&["diagnose", "-o", "json"], arguments].concat());
        let log = fs::read(&audit).unwrap();
        let log = String::from_utf8_lossy(&log[usize::try_from(before).unwrap()..]).into_owned();
        let mut seen = requests(&log, &scenario.namespace);
        let is_dial = |resource: &str| matches!(resource, "pods/proxy" | "pods/portforward" | "namespaces");
        seen.retain(|(verb, resource)| verb != "list" && !is_dial(resource));
        (seen.len(), answer.json["rootCauses"].as_array().map(Vec::len))
    };
    let well = Scenario::new("joins-none")
        .apply(&serving("well", "0.0.0.0:8080"))
        .until("all run", pods_ready(3));
    let broken = Scenario::new("joins-some")
        .apply(&serving("inside", "127.0.0.1:8080"))
        .until("all run", pods_ready(3));
    for arguments in [&[][..], &["--no-dial"]] {
        assert_eq!(beside(&well, arguments), (0, Some(0)), "{arguments:?}");
        let (joins, faults) = beside(&broken, arguments);
        assert!((1..=2).contains(&joins) && faults == Some(1), "{arguments:?} {joins} {faults:?}");
    }
}

#[test]
fn one_target_in_a_crowded_namespace_costs_its_neighbourhood() {
    let scenario = sixty_pods("crowded");
    let diagnose = |more: &[&str]| {
        let answer = scenario.podlife(&[&["diagnose", "deployment/one", "-o", "json"], more].concat());
        let roots = answer.json["rootCauses"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = roots.iter().map(|root| root["id"].to_string()).collect();
        let verdicts = [&answer.json["verdict"], &answer.json["podCount"]].map(ToString::to_string);
        (answer.json["requests"].as_u64(), (ids, verdicts, answer.exit))
    };
    // A namespace is crowded where its pods do not fit on one page. The page is as large as that allows, so that the events fit on two.
    let (requests, narrow) = diagnose(&["--chunk-size", "59"]);
    let (_, whole) = diagnose(&[]);
    assert!(requests <= Some(12), "{requests:?} requests");
    assert_eq!(narrow, whole);
    assert_eq!(whole.0.len(), 1, "{whole:?}");
}

/// Kinds of the cluster as a whole are not in the namespace's part of the audit log.
const CLUSTER_KINDS: u64 = 1;

fn bound(kinds: u64) -> u64 {
    5 + kinds + 2 * 3
}

fn sixty_pods(name: &str) -> Scenario {
    let crash = |name: &str, line: &str| {
        format!(
            r"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo {line}; exit 3']}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: {name}}}
data: {{key: value}}
"
        )
    };
    let pending = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: nowhere}
spec:
  replicas: 56
  selector: {matchLabels: {app: nowhere}}
  template:
    metadata: {labels: {app: nowhere}}
    spec:
      nodeSelector: {disk: none-has-this}
      containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]
";
    Scenario::new(name)
        .apply(&[pending, &crash("one", "first fault"), &crash("two", "second fault")].join("---\n"))
        .until("sixty pods are there, and four of them crash", |state| {
            let crashing = state
                .pods
                .iter()
                .filter(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1))
                .count();
            state.pods.len() == 60 && crashing == 4
        })
        .until("the scheduler has looked at the rest", event("FailedScheduling", ""))
}
