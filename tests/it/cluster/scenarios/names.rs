//! Names that do not resolve, words that are no names, and pods that are ready and say that they cannot work.

use serde_json::Value;

use crate::cluster::harness::{Answer, Scenario, both, pods_ready, restarts, running};
use crate::cluster::objects::{Workload, service, shell};
use crate::cluster::scenarios::probes::running_for;

/// A Deployment that runs this in a shell, in a container of its name.
fn runs(name: &str, script: &str) -> Workload {
    shell(name, script).called(name).at_once()
}

fn serves(name: &str) -> Workload {
    runs(name, "exec httpd -f -p 8080")
        .container("readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}")
        .ports("{port: 80, targetPort: 8080}")
}

fn summary(answer: &Answer) -> String {
    answer.root_cause()["summary"].as_str().unwrap_or_default().to_owned()
}

fn first_fix(answer: &Answer) -> String {
    answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default().to_owned()
}

const LOOKUP: &str = "sleep 2; (nc -w 2 vault 80 </dev/null; exit $?) 2>/dev/null || \
    { echo 'fatal: lookup of vault failed: [Errno -3] Temporary failure in name resolution'; exit 1; }";

#[test]
fn a_pod_on_the_nodes_network_that_asks_the_nodes_name_servers() {
    let agent = runs("agent", LOOKUP).pod("hostNetwork: true");
    let answer = Scenario::new("names-host")
        .apply(&(serves("vault") + &agent.to_string()))
        .until("it has failed twice", restarts("agent", 2))
        .first_root_cause("DependencyUnreachable", "", "deployment/agent");
    assert!(
        first_fix(&answer).contains("dnsPolicy: ClusterFirstWithHostNet"),
        "{}",
        first_fix(&answer)
    );
    assert!(summary(&answer).contains("Service vault"), "{}", summary(&answer));
}

#[test]
fn a_pod_with_resolver_settings_of_its_own() {
    let settings = "dnsPolicy: None, dnsConfig: {nameservers: [10.96.0.10], searches: [corp.example]}";
    let answer = Scenario::new("names-search")
        .apply(&(serves("vault") + &runs("agent", LOOKUP).pod(settings).to_string()))
        .until("it has failed twice", restarts("agent", 2))
        .first_root_cause("DependencyUnreachable", "", "deployment/agent");
    assert!(first_fix(&answer).contains("dnsConfig.searches"), "{}", first_fix(&answer));
}

#[test]
fn words_of_a_message_are_no_services() {
    let odd = runs("odd", "sleep 1; echo 'fatal: lookup of settings failed: no such host'; exit 1");
    let curl = runs("curl", "sleep 1; echo 'curl: (6) Could not resolve host: ledger'; exit 6");
    let answer = Scenario::new("names-words")
        .apply(&(odd + &curl.to_string()))
        .until("both have failed twice", both(restarts("odd", 2), restarts("curl", 2)))
        .diagnose();
    let missing: Vec<&str> = answer.json["rootCauses"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| f["code"] == "ServiceMissing")
        .filter_map(|f| f["related"][0]["name"].as_str())
        .collect();
    assert_eq!(missing, ["ledger"], "{:#}", answer.json["rootCauses"]);
}

#[test]
fn an_alias_that_leads_to_an_address() {
    let legacy = service("legacy", "{type: ExternalName, externalName: 10.1.2.3}");
    let answer = Scenario::new("names-alias")
        .apply(&(runs("web", "sleep 1; nc -w 2 legacy 80 </dev/null || exit 1") + &legacy))
        .until("it has failed twice", restarts("web", 2))
        .first_root_cause("DependencyUnreachable", "", "service/legacy");
    assert!(summary(&answer).contains("10.1.2.3 is an address"), "{}", summary(&answer));
}

#[test]
fn peers_that_look_each_other_up_before_they_are_ready() {
    let waits = "until ping -c 1 -W 1 peers; do sleep 1; done; exec httpd -f -p 8080";
    let peers = |name: &str, publishes: bool| {
        let script = serde_json::to_string(&waits.replace("peers", name)).unwrap();
        let container = format!(
            "{{name: {name}, image: 'busybox:1.36', command: [sh, -c, {script}], readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}}}"
        );
        let set = format!(
            "\n---\n{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: {name}}}, spec: {{serviceName: {name}, replicas: 2, podManagementPolicy: Parallel, \
             selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{terminationGracePeriodSeconds: 0, containers: [{container}]}}}}}}}}\n"
        );
        let publishes = if publishes { "publishNotReadyAddresses: true, " } else { "" };
        set + &service(
            name,
            &format!("{{clusterIP: None, {publishes}selector: {{app: {name}}}, ports: [{{port: 8080}}]}}"),
        )
    };
    let answer = Scenario::new("names-peers")
        .apply(&(peers("peers", false) + &peers("others", true)))
        .until("they wait for longer than a start takes", running_for("peers", 62))
        .first_root_cause("DependencyUnreachable", "", "service/peers");
    assert!(
        first_fix(&answer).contains("publishNotReadyAddresses: true"),
        "{}",
        first_fix(&answer)
    );
}

/// A Service that only a ConfigMap names, and one that only its cluster IP in the log names, have their own causes.
#[test]
fn a_service_that_a_config_map_or_an_address_names_is_followed() {
    let backend = serves("backend")
        .to_string()
        .replace("selector: {app: backend}, ports", "selector: {app: backnd}, ports");
    let settings = "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {backend: 'backend:80'}}\n";
    let by_map = runs("by-map", "sleep 2; echo 'cannot connect: connection refused'; exit 1")
        .variable("name: BACKEND, valueFrom: {configMapKeyRef: {name: settings, key: backend}}");
    let scenario = Scenario::new("names-followed").apply(&(backend + settings));
    let address = scenario.kubectl(&["get", "service", "backend", "-o", "jsonpath={.spec.clusterIP}"]);
    let by_address = runs(
        "by-ip",
        &format!("sleep 2; echo 'dial tcp {address}:80: connect: connection refused'; exit 1"),
    );
    let scenario = scenario
        .apply(&(by_map + &by_address.to_string()))
        .until("both have failed twice", both(restarts("by-map", 2), restarts("by-ip", 2)));
    let answer = scenario.first_root_cause("ServiceSelectsNothing", "label-differs", "service/backend");
    let explained = |a: &Answer| -> Vec<String> {
        let symptoms = a.json["symptoms"].as_array().unwrap();
        let calls = symptoms.iter().filter(|f| f["code"] == "DependencyUnreachable");
        calls
            .map(|f| f["subject"]["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(explained(&answer), ["by-ip", "by-map"], "{:#}", answer.json["symptoms"]);
}

#[test]
fn a_ready_pod_that_says_that_it_cannot_work() {
    let backend = serves("backend")
        .to_string()
        .replace("selector: {app: backend}, ports", "selector: {app: backnd}, ports");
    let calls = "while true; do nc -w 1 backend 80 </dev/null || echo 'Connection to backend-service failed: backend:80 connection refused'; sleep 2; done";
    // Its calls came through at last.
    let healed = "for i in 1 2 3; do echo 'dial tcp backend:80: connection refused'; sleep 1; done; echo connected to backend; sleep 3600";
    let stray = "echo 'dial tcp backend:80: connection refused'; sleep 3600";
    let manifest = backend + &runs("front", calls).to_string() + &runs("healed", healed).to_string() + &runs("stray", stray).to_string();
    let scenario = Scenario::new("names-ready")
        .apply(&manifest)
        .until("all run for a while", both(pods_ready(4), running_for("front", 25)));
    let of = |arguments: &[&str]| {
        let mut all = vec!["diagnose"];
        all.extend(arguments);
        all.extend(["-o", "json"]);
        scenario.podlife(&all)
    };
    let callers = |answer: &Answer| -> Vec<String> {
        let symptoms = answer.json["symptoms"].as_array().unwrap();
        let calls = symptoms.iter().filter(|f| f["code"] == "DependencyUnreachable");
        calls
            .map(|f| f["subject"]["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let named = of(&["deployment/front"]);
    assert_eq!(
        (named.root_cause()["code"].as_str(), named.exit),
        (Some("ServiceSelectsNothing"), 3),
        "{}",
        named.stdout
    );
    assert_eq!(callers(&named), ["front"], "{}", named.stdout);
    let verdict = |answer: &Answer, name: &str| -> Value {
        let judged = answer.json["workloads"].as_array().unwrap();
        judged
            .iter()
            .find(|j| j["name"] == name)
            .map(|j| j["verdict"].clone())
            .unwrap_or_default()
    };
    assert_eq!(verdict(&named, "front"), "degraded", "{}", named.stdout);
    let with_logs = of(&["--logs"]);
    assert_eq!(callers(&with_logs), ["front"], "{}", with_logs.stdout);
    // Without --logs a namespace costs no logs of what is well.
    assert!(callers(&of(&[])).is_empty());
    for well in ["deployment/healed", "deployment/stray"] {
        let answer = of(&[well]);
        assert_eq!(
            (answer.exit, answer.json["verdict"].as_str()),
            (0, Some("healthy")),
            "{well}: {}",
            answer.stdout
        );
    }
}

#[test]
fn a_ready_pod_that_the_api_server_refuses() {
    let line = r#"pods is forbidden: User "system:serviceaccount:shop:default" cannot list resource "pods" in API group "" in the namespace "shop""#;
    let scenario = Scenario::new("names-rbac")
        .apply(&runs("bot", &format!("while true; do echo '{line}'; sleep 1; done")))
        .until("it runs", both(running("bot"), running_for("bot", 6)));
    scenario.first_root_cause_of("deployment/bot", "ApiAccessForbidden", "", "deployment/bot");
}
