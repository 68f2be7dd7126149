//! What a request is answered with.

use std::collections::BTreeSet;
use std::thread;

use podlife::model::kind;
use serde_json::{Value, json};

use super::{Gateway, Reply};
use crate::cluster::harness::Scenario;
use crate::cluster::session::life::{made, records, session};
use crate::offline::docs::must_fit;

/// Many requests at once.
fn at_once(gateway: &Gateway, count: usize, path: &str) -> Vec<Reply> {
    thread::scope(|scope| {
        let requests: Vec<_> = (0..count).map(|_| scope.spawn(|| gateway.get(path))).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    })
}

fn uids(scenario: &Scenario) -> Vec<Value> {
    made(scenario, &kind::POD)
        .iter()
        .map(|pod| pod["metadata"]["uid"].clone())
        .collect()
}

/// The first requests make one pod, whoever serves; the session is the one that the commands know.
fn one_pod_for_all(scenario: &Scenario, gateway: &Gateway) {
    let replies = at_once(gateway, 20, "/api/v1/session/Shared%201/where?");
    let bodies: BTreeSet<&str> = replies.iter().map(|reply| reply.body.as_str()).collect();
    let pod = made(scenario, &kind::POD).pop().unwrap();
    let expected = format!("app  on {}\n", pod["metadata"]["name"].as_str().unwrap());
    assert_eq!(bodies, BTreeSet::from([expected.as_str()]));
    for reply in &replies {
        assert_eq!((reply.status, reply.header("x-session-generation")), (200, Some("1")), "{reply:?}");
    }
    assert_eq!((records(scenario).len(), made(scenario, &kind::POD).len()), (1, 1));
    let listed = session(scenario, &["list", "-o", "json"]);
    assert_eq!(
        (&listed.json["items"][0]["id"], &listed.json["items"][0]["state"]),
        (&json!("Shared 1"), &json!("Ready"))
    );
}

#[test]
fn the_first_requests_of_an_id_make_one_pod() {
    let scenario = Scenario::new("serve-first");
    let gateway = Gateway::local(&scenario, &[]);
    one_pod_for_all(&scenario, &gateway);
    let echo = gateway.get("/api/v1/session/Shared%201/echo?a=b").is(200).body;
    assert!(echo.starts_with("GET /echo?a=b HTTP/1.1\nHost: gateway\n"), "{echo}");
    assert!(echo.contains("X-Forwarded-Prefix: /api/v1/session/Shared%201\n"), "{echo}");
    // A session that a command deletes is made anew.
    let before = uids(&scenario);
    assert_eq!(session(&scenario, &["delete", "Shared 1"]).exit, 0);
    gateway.get("/api/v1/session/Shared%201/").is(200);
    assert_ne!(uids(&scenario), before);
    // And one that a command creates is served.
    let created = session(&scenario, &[&["create", "other"], &super::gateway::TEMPLATE[..]].concat());
    assert_eq!(created.exit, 0, "{}", created.stderr);
    gateway.get("/api/v1/session/other/").is(200);
    assert_eq!(records(&scenario).len(), 2);
}

#[test]
fn a_gateway_in_the_cluster_serves_as_one_outside() {
    let scenario = Scenario::new("serve-inside");
    let Some(gateway) = Gateway::in_cluster(&scenario, "gateway", &[]) else {
        return;
    };
    one_pod_for_all(&scenario, &gateway);
    let pod = made(&scenario, &kind::POD).pop().unwrap();
    scenario.kubectl(&[
        "delete",
        "pod",
        pod["metadata"]["name"].as_str().unwrap(),
        "--wait=false",
        "--grace-period=1",
    ]);
    let reply = gateway.until("/api/v1/session/Shared%201/", |reply| {
        reply.header("x-session-generation") == Some("2")
    });
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_pod_that_cannot_start_ends_the_wait_with_its_cause() {
    let scenario = Scenario::new("serve-broken");
    let gateway = Gateway::local(&scenario, &["--image", "podlife.test/missing:1"]);
    let reply = gateway.get("/api/v1/session/a/").is(502);
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["type"], "urn:podlife:pod-does-not-start");
    assert_eq!(problem["diagnosis"]["rootCauses"][0]["code"], "ImagePullFailing", "{problem}");
    must_fit("diagnosis", &problem["diagnosis"]);
    let page = gateway.until_page("/api/v1/session/a/", |reply| reply.status == 502);
    assert!(
        page.body.contains("podlife.test/missing:1") && !page.body.contains("refresh"),
        "{page:?}"
    );
}

#[test]
fn a_maximum_and_a_full_quota_are_told() {
    let scenario = Scenario::new("serve-maximum");
    let gateway = Gateway::local(&scenario, &["--max-sessions", "1"]);
    gateway.get("/api/v1/session/a/").is(200);
    let reply = gateway.get("/api/v1/session/b/").is(429);
    assert_eq!(reply.json()["type"], "urn:podlife:too-many-sessions");
    assert!(
        reply.header("retry-after").is_some() && reply.body.contains("--max-sessions"),
        "{reply:?}"
    );
    assert_eq!(records(&scenario).len(), 1);
    let scenario = scenario.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: pods}, spec: {hard: {pods: '1'}}}");
    scenario.wait("the quota is known", |scenario| {
        scenario.kubectl(&["get", "quota", "pods", "-o", "jsonpath={.status.hard.pods}"]) == "1"
    });
    let reply = Gateway::local(&scenario, &[]).get("/api/v1/session/b/").is(409);
    assert_eq!(reply.json()["type"], "urn:podlife:no-pod");
    assert!(reply.body.contains("exceeded quota: pods"), "{reply:?}");
    scenario.wait("nothing is left of it", |scenario| records(scenario).len() == 1);
    gateway.get("/api/v1/session/a/").is(200);
}

#[test]
fn sessions_are_objects_too() {
    let scenario = Scenario::new("serve-objects");
    let gateway = Gateway::local(&scenario, &[]);
    let missing = gateway.get("/api/v1/session/a%2Fb/status").is(404);
    assert_eq!(missing.json()["type"], "urn:podlife:no-such-session");
    gateway.get("/api/v1/sessions/a%2Fb").is(404);
    assert_eq!(records(&scenario).len(), 0);
    let created = gateway.ask("PUT", "/api/v1/sessions/a%2Fb", "").is(201);
    assert_eq!(created.header("location"), Some("/api/v1/sessions/a%2Fb"));
    must_fit("session", &created.json());
    let again = gateway.ask("PUT", "/api/v1/sessions/a%2Fb", "").is(200).json();
    assert_eq!((&again["id"], &again["generation"]), (&json!("a/b"), &json!(1)));
    assert_eq!(gateway.get("/api/v1/session/a%2Fb/status").is(200).json()["id"], "a/b");
    let asked = gateway.ask("GET", "/api/v1/session/c/", "Prefer: respond-async\r\n").is(202);
    let location = asked.header("location").unwrap().to_owned();
    gateway.until(&location, |reply| reply.status == 200 && reply.json()["state"] == "Ready");
    let list = gateway.get("/api/v1/sessions").is(200).json();
    must_fit("session-list", &list);
    let ids: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|session| &session["id"]).collect();
    assert_eq!(ids, ["a/b", "c"]);
    for _ in 0..2 {
        gateway.ask("DELETE", "/api/v1/sessions/a%2Fb", "").is(204);
    }
    scenario.wait("the record is gone", |scenario| records(scenario).len() == 1);
}
