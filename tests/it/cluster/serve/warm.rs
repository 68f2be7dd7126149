//! Pods that wait for sessions.

use std::collections::BTreeSet;
use std::thread;

use podlife::model::kind;
use serde_json::{Value, json};

use super::{Gateway, Reply};
use crate::cluster::harness::{Scenario, is_ready, pods_ready};
use crate::cluster::policies::is_enforced;
use crate::cluster::session::life::{made, records, session};
use crate::cluster::session::template::{caller, dial};

const SESSION: &str = "podlife.dev/session";

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The pods that wait for sessions.
fn warm(scenario: &Scenario) -> Vec<Value> {
    let mut pods = made(scenario, &kind::POD);
    pods.retain(|pod| pod["metadata"]["labels"][SESSION] == "" && pod["metadata"]["deletionTimestamp"].is_null());
    pods
}

fn has_ready(scenario: &Scenario, count: usize) -> bool {
    let pods = warm(scenario);
    pods.len() == count && pods.iter().all(is_ready)
}

/// A gateway that keeps warm pods.
fn keeper(scenario: &Scenario, flags: &[&str]) -> Gateway {
    Gateway::local(scenario, &[flags, &["--metrics-listen", "127.0.0.1:0"]].concat())
}

/// Waits until a gateway has so many pods to give away.
fn until_warm(scenario: &Scenario, gateway: &Gateway, count: usize) {
    let line = format!("session_warm_pods{{state=\"ready\"}} {count}");
    scenario.wait(&format!("the gateway has warm pods: {count}"), |_| gateway.counts(&line));
}

/// The pods of a session.
fn pods_of(scenario: &Scenario, id: &str) -> Vec<Value> {
    let mut pods = made(scenario, &kind::POD);
    pods.retain(|pod| text(pod, "/metadata/annotations/podlife.dev~1id") == id);
    pods
}

fn patch(scenario: &Scenario, lease: &str, patch: &Value) {
    scenario.kubectl(&["patch", "lease", lease, "--type=merge", "-p", &patch.to_string()]);
}

#[test]
fn forty_new_sessions_at_two_gateways_never_share_a_warm_pod() {
    let scenario = Scenario::new("serve-warm");
    let flags = ["--warm", "10", "--warm-request", "/claim", "--ready-timeout", "200s"];
    let gateways = [(); 2].map(|()| keeper(&scenario, &flags));
    for gateway in &gateways {
        until_warm(&scenario, gateway, 10);
    }
    let first = warm(&scenario);
    let ids: Vec<String> = (0..40).map(|number| format!("user-{number}")).collect();
    let replies: Vec<Reply> = thread::scope(|scope| {
        let ask = |(number, id): (usize, &String)| {
            let (gateway, path) = (&gateways[number % 2], format!("/api/v1/session/{id}/where"));
            scope.spawn(move || gateway.get(&path).is(200))
        };
        let requests: Vec<_> = ids.iter().enumerate().map(ask).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let mut uids = BTreeSet::new();
    for (id, reply) in ids.iter().zip(&replies) {
        let pods = pods_of(&scenario, id);
        assert_eq!(pods.len(), 1, "{id}: {pods:?}");
        assert_eq!(reply.body, format!("app  on {}\n", text(&pods[0], "/metadata/name")), "{id}");
        assert_eq!(reply.header("x-session-generation"), Some("1"), "{reply:?}");
        uids.insert(text(&pods[0], "/metadata/uid").to_owned());
    }
    assert_eq!(uids.len(), 40);
    let unclaimed = first.iter().filter(|pod| !uids.contains(text(pod, "/metadata/uid")));
    assert_eq!(unclaimed.count(), 0, "each pod that was ready has got a session");
    // The commands know a pod that was warm as any other, and so does the application its session.
    let is_claimed = |reply: &&Reply| reply.body.contains(" on podlife-warm-");
    let claimed = replies.iter().position(|reply| is_claimed(&reply)).unwrap();
    let own = replies.iter().position(|reply| !is_claimed(&reply)).unwrap();
    for id in [&ids[claimed], &ids[own]] {
        let read = || session(&scenario, &["exec", id, "--", "/app", "read", "/etc/podlife/session-id"]);
        scenario.wait("the kubelet has written the file", |_| read().stdout == *id);
        assert_eq!(session(&scenario, &["status", id]).exit, 0, "{id}");
    }
    let listed = session(&scenario, &["list", "-o", "json"]);
    let sessions = listed.json["items"].as_array().unwrap();
    assert!(
        sessions.len() == 40 && sessions.iter().all(|session| session["state"] == "Ready"),
        "{sessions:?}"
    );
    scenario.wait("there are ten warm pods again", |scenario| has_ready(scenario, 10));
    // Deleted, it goes, and the session that follows it is another one.
    let (id, before) = (
        &ids[claimed],
        text(&pods_of(&scenario, &ids[claimed])[0], "/metadata/name").to_owned(),
    );
    assert_eq!(session(&scenario, &["delete", id]).exit, 0);
    assert_eq!(pods_of(&scenario, id), Vec::<Value>::new());
    let again = gateways[0].get(&format!("/api/v1/session/{id}/where")).is(200);
    assert!(!again.body.contains(&before), "{again:?}");
    scenario.wait("there are ten warm pods once more", |scenario| has_ready(scenario, 10));
    // Nothing keeps warm pods when their gateways are gone.
    for gateway in gateways {
        assert_eq!(gateway.end(), Some(143));
    }
    patch(
        &scenario,
        "podlife-gateway",
        &json!({"spec": {"renewTime": "2026-01-01T12:00:00.000000Z"}}),
    );
    let pass = session(&scenario, &["gc", "--once", "--orphans"]);
    let removed = pass
        .stdout
        .lines()
        .filter(|line| line.starts_with("removed pod/podlife-warm-") && line.ends_with(": no gateway maintains it"));
    assert_eq!((removed.count(), warm(&scenario).len()), (10, 0), "{}", pass.stdout);
    assert_eq!(records(&scenario).len(), 40);
}

#[test]
fn a_session_with_a_warm_pod_is_completed_healed_and_reaped_as_any_other() {
    let scenario = Scenario::new("serve-warm-life");
    let gateway = keeper(&scenario, &["--warm", "2", "--cleanup-interval", "1h"]);
    until_warm(&scenario, &gateway, 2);
    // They are isolated as sessions are, and nobody takes them or the policy for unused.
    let pass = session(&scenario, &["gc", "--once", "--orphans"]);
    assert_eq!((pass.exit, pass.stdout.as_str()), (0, ""), "{}", pass.stderr);
    let policies = made(&scenario, &kind::NETWORK_POLICY);
    let selector = json!([{"key": SESSION, "operator": "Exists"}]);
    assert_eq!(policies[0]["spec"]["podSelector"]["matchExpressions"], selector);
    gateway.get("/api/v1/session/a/").is(200);
    // A container that starts again finds the id as in any pod, as soon as the kubelet has seen that the pod has a session.
    let knows_its_session = |scenario: &Scenario| {
        let environment = session(scenario, &["exec", "a", "--", "/app", "read", "/proc/1/environ"]).stdout;
        if environment.contains("SESSION_ID=\0") {
            gateway.get("/api/v1/session/a/exit/1");
        }
        environment.contains("SESSION_ID=a\0")
    };
    scenario.wait("a container that has started again knows its session", knows_its_session);
    scenario.wait("there are as many again", |scenario| has_ready(scenario, 2));
    // What a gateway leaves that dies when it has recorded a session, and before it claims the pod for it.
    let mut lease = records(&scenario).pop().unwrap();
    let named = text(&warm(&scenario)[0], "/metadata/name").to_owned();
    let name = session(&scenario, &["name", "b"]).stdout.trim().to_owned();
    (lease["apiVersion"], lease["kind"]) = ("coordination.k8s.io/v1".into(), "Lease".into());
    lease["metadata"] = json!({"name": name, "labels": lease["metadata"]["labels"], "annotations": lease["metadata"]["annotations"]});
    lease["metadata"]["labels"][SESSION] = name.as_str().into();
    let annotations = lease["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove("podlife.dev/slot-number");
    for (key, value) in [("id", "b"), ("phase", "Pending"), ("pod", &named)] {
        annotations.insert(format!("podlife.dev/{key}"), value.into());
    }
    scenario.kubectl_in(&["create", "-f", "-"], Some(&lease.to_string()));
    let pass = session(&scenario, &["gc", "--once"]);
    assert!(pass.stdout.starts_with("completed session b"), "{}{}", pass.stdout, pass.stderr);
    assert_eq!(text(&pods_of(&scenario, "b")[0], "/metadata/name"), named);
    assert_eq!(gateway.get("/api/v1/session/b/where").is(200).body, format!("app  on {named}\n"));
    // Its pod is gone: the next one is its own.
    scenario.kubectl(&["delete", "pod", &named, "--now"]);
    let reply = gateway.get("/api/v1/session/b/where").is(200);
    assert_eq!(reply.header("x-session-generation"), Some("2"));
    assert_eq!(reply.body, format!("app  on {name}-g2\n"));
    // Session a still has the one that was warm.
    let of_a = records(&scenario)
        .into_iter()
        .find(|lease| text(lease, "/metadata/name") != name)
        .unwrap();
    patch(
        &scenario,
        text(&of_a, "/metadata/name"),
        &json!({"spec": {"leaseDurationSeconds": 1, "renewTime": "2026-01-01T12:00:00.000000Z"}}),
    );
    let reaped = |scenario: &Scenario| {
        session(scenario, &["gc", "--once"]);
        pods_of(scenario, "a").is_empty() && records(scenario).len() == 1
    };
    scenario.wait("the idle session is gone with its pod", reaped);
    // Killed at any moment of a creation, a gateway leaves what another one completes; without --warm, that one removes the rest.
    let waits = gateway.begin("/api/v1/session/c/");
    scenario.wait("there is a record", |scenario| records(scenario).len() == 2);
    drop((gateway, waits));
    let gateway = Gateway::local(&scenario, &[]);
    gateway.get("/api/v1/session/c/").is(200);
    scenario.wait("no warm pods are left", |scenario| warm(scenario).is_empty());
    assert_eq!((pods_of(&scenario, "b").len(), pods_of(&scenario, "c").len()), (1, 1));
}

#[test]
fn an_application_that_refuses_its_session_is_replaced() {
    let scenario = Scenario::new("serve-warm-refused");
    let gateway = keeper(&scenario, &["--warm", "1"]);
    until_warm(&scenario, &gateway, 1);
    let before = gateway.get("/api/v1/session/old/where").is(200).body;
    assert!(before.contains(" on podlife-warm-"), "{before}");
    assert_eq!(gateway.end(), Some(143));
    let record = text(&records(&scenario)[0], "/metadata/name").to_owned();
    patch(&scenario, &record, &json!({"spec": {"acquireTime": "2026-01-01T12:00:00.000000Z"}}));
    let gateway = keeper(&scenario, &["--warm", "1", "--warm-request", "/refuse"]);
    // Requests may have reached it before: it is not replaced.
    let refused = gateway.get("/api/v1/session/old/where").is(502).json();
    assert_eq!(refused["type"], "urn:podlife:session-not-taken", "{refused}");
    assert!(before.contains(text(&pods_of(&scenario, "old")[0], "/metadata/name")), "{before}");
    until_warm(&scenario, &gateway, 1);
    let reply = gateway.get("/api/v1/session/a/where").is(200);
    let name = session(&scenario, &["name", "a"]).stdout.trim().to_owned();
    assert_eq!(reply.body, format!("app  on {name}-g2\n"));
}

#[test]
fn a_warm_pod_is_isolated_and_all_commands_take_it_as_any_other() {
    let scenario = Scenario::new("serve-warm-commands");
    let gateway = keeper(&scenario, &["--warm", "1"]);
    until_warm(&scenario, &gateway, 1);
    let callers = caller("gateway", "podlife.dev/gateway: 'true'") + &caller("stranger", "app: stranger");
    let scenario = scenario.apply(&callers).until("all are ready", pods_ready(3));
    scenario.wait("the policy is in force", |s| s.list(&kind::NETWORK_POLICY).iter().all(is_enforced));
    let pod = warm(&scenario).remove(0);
    let (name, address) = (text(&pod, "/metadata/name"), text(&pod, "/status/podIP").to_owned() + ":8080");
    let is_isolated = || {
        scenario.wait("a gateway reaches it", |s| dial(s, "gateway", &address).0);
        let (connected, said) = dial(&scenario, "stranger", &address);
        assert!(!connected && said.contains("timeout"), "{said}");
    };
    is_isolated();
    let at = format!("app  on {name}\n");
    assert_eq!(gateway.get("/api/v1/session/a/where").is(200).body, at);
    is_isolated();
    let logs = session(&scenario, &["logs", "a"]);
    assert!(
        logs.exit == 0 && logs.stdout.contains("listening on"),
        "{}{}",
        logs.stdout,
        logs.stderr
    );
    let forwarded = Gateway::forwarded(&scenario, "a", ":8080");
    assert_eq!(forwarded.get("/where").is(200).body, at);
    drop(forwarded);
    assert_eq!(session(&scenario, &["pause", "a"]).exit, 0);
    scenario.wait("its pod is gone", |scenario| pods_of(scenario, "a").is_empty());
    assert_eq!(session(&scenario, &["resume", "a"]).exit, 0);
    let next = session(&scenario, &["name", "a"]).stdout.trim().to_owned() + "-g2";
    assert_eq!(gateway.get("/api/v1/session/a/where").is(200).body, format!("app  on {next}\n"));
}
