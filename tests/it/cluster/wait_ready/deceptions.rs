//! What answers often enough to look ready, and what is gone because it has succeeded.

use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, is_ready, pods_ready, running};
use super::super::scenarios::probes::root_causes;
use super::{endpoints, manifest, named, probe, reason, service, started, state, web};

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
fn a_service_that_misses_the_pods_it_was_meant_for_belongs_to_them() {
    let mut typo = service("ClusterIP");
    typo["spec"]["selector"] = json!({"app": "webb"});
    // It waits for its own colour.
    let mut green = named(service("ClusterIP"), "green");
    green["spec"]["selector"] = json!({"app": "web", "colour": "green"});
    let mut blue = web(1, json!({}), probe());
    blue["spec"]["template"]["metadata"]["labels"]["colour"] = json!("blue");
    let scenario = Scenario::new("wr-missed")
        .apply(&manifest(&[blue, typo, green]))
        .until("it is ready", pods_ready(1));
    let answer = wait(&scenario, &["deployment/web", "--grace", "permanent=1s"]);
    assert_eq!(state(&answer), (3, "failed"), "{}{}", answer.stdout, answer.stderr);
    assert!(
        reason(&answer).contains("ServiceSelectsNothing: Service web selects no pod: its selector is app=webb"),
        "{}",
        answer.stdout
    );
    let diagnosis = scenario.podlife(&["diagnose", "deployment/web", "-o", "json"]);
    assert_eq!(root_causes(&diagnosis), ["ServiceSelectsNothing (label-differs) service/web"]);
    scenario.kubectl(&["patch", "service", "web", "-p", r#"{"spec":{"selector":{"app":"web"}}}"#]);
    let mended = wait(&scenario, &["deployment/web", "--stable-for", "0"]);
    assert_eq!(
        state(&mended),
        (0, "ready"),
        "the other colour's Service is nobody's fault: {}",
        mended.stdout
    );
    assert!(!mended.stdout.contains("service/green"), "{}", mended.stdout);
}

#[test]
fn another_service_of_the_same_pods_is_nothing_to_one_that_was_named() {
    let mut other = named(service("ClusterIP"), "other");
    other["spec"]["selector"] = json!({"app": "web"});
    other["spec"]["ports"] = json!([{"port": 81, "targetPort": "nonesuch"}]);
    let scenario = Scenario::new("wr-sibling")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP"), other]))
        .until("it is ready", pods_ready(1));
    let named = wait(&scenario, &["service/web", "--stable-for", "0"]);
    assert_eq!(state(&named), (0, "ready"), "{}{}", named.stdout, named.stderr);
    // What it answers is its own matter, too.
    let answer = wait(&scenario, &["service/web", "--http", "/status/404", "--timeout", "8s"]);
    assert_eq!(answer.exit, 124, "{}{}", answer.stdout, answer.stderr);
    assert_eq!(root_causes(&answer), Vec::<String>::new(), "{}", answer.stdout);
    let all = wait(&scenario, &["deployment/web", "--grace", "other=1s,permanent=1s"]);
    assert_eq!(state(&all), (3, "failed"), "{}{}", all.stdout, all.stderr);
    assert!(reason(&all).contains("TargetPortNameUnresolved"), "{}", all.stdout);
}

#[test]
fn an_authenticated_check_does_not_accept_an_answer_inside_the_pod() {
    let header = ["--http", "/", "--header", "Authorization=Bearer x", "--stable-for", "0"];
    let scenario = Scenario::new("wr-bearer")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let well = wait(&scenario, &[&["deployment/web"][..], &header].concat());
    assert_eq!(state(&well), (0, "ready"), "{}{}", well.stdout, well.stderr);
    let scenario = scenario
        .apply(&manifest(&[web(
            1,
            json!({"LISTEN": "127.0.0.1:8080"}),
            json!({"readinessProbe": null}),
        )]))
        .until("the new one runs", |state| state.pods.len() == 1 && pods_ready(1)(state));
    let within = wait(&scenario, &[&["deployment/web", "--timeout", "15s"][..], &header].concat());
    assert_ne!(within.exit, 0, "{}{}", within.stdout, within.stderr);
    assert!(
        within.stdout.contains("its Service does not answer through the API server"),
        "{}",
        within.stdout
    );
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
        .until("both run, and one is ready", |state| {
            state.pods.len() == 2 && running("app")(state) && state.pods.iter().filter(|pod| is_ready(pod)).count() == 1
        });
    scenario.wait("both are endpoints", |scenario| endpoints(scenario).len() == 2);
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
