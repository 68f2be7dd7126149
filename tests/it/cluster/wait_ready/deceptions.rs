//! What answers often enough to look ready, and what is gone because it has succeeded.

use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, pods_ready, running};
use super::super::scenarios::probes::root_causes;
use super::{manifest, named, probe, reason, service, started, state, web};
use podlife::model::kind;

fn wait(scenario: &Scenario, arguments: &[&str]) -> Answer {
    scenario.podlife(&[&["wait-ready", "-o", "json"], arguments].concat())
}

/// A slice of the Service that no controller keeps.
fn slice(address: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-by-hand", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}], "ports": [{"port": 8080}],
    })
}

#[test]
fn a_service_that_a_roll_out_left_behind_belongs_to_it() {
    let mut web = web(1, json!({}), probe());
    web["spec"]["template"]["metadata"]["labels"]["version"] = json!("one");
    let mut service = service("ClusterIP");
    service["spec"]["selector"]["version"] = json!("one");
    let scenario = Scenario::new("wr-orphan")
        .apply(&manifest(&[web.clone(), service]))
        .until("it is ready", pods_ready(1));
    assert_eq!(wait(&scenario, &["deployment/web", "--stable-for", "0"]).exit, 0);
    web["spec"]["template"]["metadata"]["labels"]["version"] = json!("two");
    let scenario = scenario.apply(&manifest(&[web]));
    for arguments in [&["deployment/web", "--grace", "permanent=1s"][..], &["deployment/web", "--once"]] {
        let answer = wait(&scenario, arguments);
        assert_eq!(state(&answer), (3, "failed"), "{}{}", answer.stdout, answer.stderr);
        assert!(reason(&answer).contains("ServiceSelectsNothing"), "{}", answer.stdout);
    }
    let diagnosis = scenario.podlife(&["diagnose", "deployment/web", "-o", "json"]);
    assert_eq!(root_causes(&diagnosis), ["ServiceSelectsNothing (label-differs) service/web"]);
}

#[test]
fn each_address_that_a_service_publishes_counts() {
    let mut service = service("ClusterIP");
    service["spec"]["publishNotReadyAddresses"] = json!(true);
    service["spec"]["selector"] = json!({"tier": "front"});
    let mut good = web(1, json!({}), probe());
    let mut bad = named(web(1, json!({"READY_STATUS": "503"}), probe()), "bad");
    for deployment in [&mut good, &mut bad] {
        deployment["spec"]["template"]["metadata"]["labels"]["tier"] = json!("front");
    }
    let scenario = Scenario::new("wr-each-address")
        .apply(&manifest(&[service, good, bad]))
        .until("both run", |state| state.pods.len() == 2 && running("app")(state));
    scenario.wait("both are endpoints", |scenario| {
        let slices = scenario.list(&kind::ENDPOINT_SLICE);
        slices.iter().map(|s| s["endpoints"].as_array().map_or(0, Vec::len)).sum::<usize>() == 2
    });
    let answer = wait(&scenario, &["service/web", "--once"]);
    assert_eq!(state(&answer), (124, "progressing"), "{}", answer.stdout);
    assert!(answer.stdout.contains("is not ready, and still an endpoint"), "{}", answer.stdout);
}

#[test]
fn an_endpoint_that_is_no_pod_cannot_be_asked_by_itself_and_headless_ports_are_named() {
    let mut headless = service("ClusterIP");
    headless["metadata"]["name"] = json!("headless");
    headless["spec"]["clusterIP"] = json!("None");
    let scenario = Scenario::new("wr-foreign")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP"), headless]))
        .until("it is ready", pods_ready(1));
    let answer = wait(&scenario, &["service/headless", "--stable-for", "0"]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(
        answer.json["application"]["asked"][0]["name"],
        "service/headless:80 (headless: at its pods' port 8080, not 80)"
    );
    let scenario = scenario.apply(&manifest(&[slice("192.0.2.9")]));
    let answer = wait(&scenario, &["deployment/web", "--once"]);
    assert_eq!(state(&answer), (4, "unknown"), "{}", answer.stdout);
    assert!(reason(&answer).contains("192.0.2.9"), "{}", answer.stdout);
}

#[test]
fn a_job_that_was_cleaned_up_is_judged_by_how_it_ended() {
    let job = |name: &str, exit: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"ttlSecondsAfterFinished": 0, "backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [
                {"name": "app", "image": "busybox:1.36", "command": ["sh", "-c", format!("sleep 2; exit {exit}")]},
            ]}}},
        })
    };
    let scenario = Scenario::new("wr-ttl");
    for (name, exit, code, state) in [("good", "0", 0, "ready"), ("bad", "1", 3, "failed")] {
        // It is waited for before it is there: afterwards nothing is left of it.
        let target = format!("job/{name}");
        let child = started(&scenario, &["wait-ready", &target, "-o", "json", "--timeout", "4m"]);
        scenario.kubectl_in(&["apply", "-f", "-"], Some(&manifest(&[job(name, exit)])));
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
        let verdict: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!((ended.status.code(), &verdict["state"]), (Some(code), &json!(state)), "{said}");
    }
}
