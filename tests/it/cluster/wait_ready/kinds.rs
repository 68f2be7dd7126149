//! Each kind, ready and not ready.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::{Value, json};

use super::super::harness::{Scenario, clean_up, established, gateway_types, running};
use super::{manifest, named, probe, reason, started, state, wait, web};
use crate::fake_api::Folder;

/// One look at each target: exit code, state, and words of the reason.
fn looks(scenario: &Scenario, expected: &[(&str, u8, &str, &str)]) {
    let mut wrong = Vec::new();
    for (target, exit, is, why) in expected {
        let answer = wait(scenario, target, &["--once", "--stable-for", "0"]);
        if state(&answer) != (*exit, is) || !reason(&answer).contains(why) {
            wrong.push(format!("{target}: not {exit} {is} {why:?}\n{}{}", answer.stdout, answer.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn put_status(scenario: &Scenario, target: &str, status: &Value) {
    let status = json!({"status": status}).to_string();
    scenario.kubectl(&["patch", target, "--subresource=status", "--type=merge", "-p", &status]);
}

fn condition(type_: &str, status: &str) -> Value {
    json!({"type": type_, "status": status, "reason": "Told", "message": format!("{type_} told"), "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[test]
fn workloads_and_claims() {
    let replica_set = |name: &str, environment: Value| {
        let mut set = named(web(1, environment, probe()), name);
        set["kind"] = "ReplicaSet".into();
        set
    };
    let cron_job = |name: &str, suspend: bool| {
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "work", "image": "busybox:1.36"}]}}}}},
        })
    };
    let claim = |name: &str, class: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
            "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        })
    };
    let scenario = Scenario::new("wr-workloads")
        .apply(&manifest(&[
            replica_set("quick", json!({})),
            replica_set("slow", json!({"READY_AFTER": "1h"})),
            cron_job("yearly", false),
            cron_job("paused", true),
            claim("bound", "standard"),
            claim("unbound", ""),
        ]))
        .until("both run", running("app"));
    for target in ["replicaset/quick", "pvc/bound"] {
        let answer = wait(&scenario, target, &["--stable-for", "0"]);
        assert_eq!(state(&answer), (0, "ready"), "{target} {}{}", answer.stdout, answer.stderr);
    }
    scenario.wait("the slow one runs", |s| {
        let pods = s.kubectl(&["get", "pods", "-l", "app=slow", "-o", "jsonpath={.items[*].status.phase}"]);
        pods == "Running"
    });
    looks(
        &scenario,
        &[
            ("replicaset/slow", 124, "progressing", "0 of 1 pod ready"),
            ("cronjob/yearly", 0, "ready", "it has run nothing yet"),
            ("cronjob/paused", 3, "failed", "is suspended"),
            ("pvc/unbound", 124, "progressing", "is not bound yet"),
        ],
    );
}

/// Each CronJob runs once a year. A last run of long ago makes the controller catch up at once.
#[test]
fn a_cron_job_is_as_ready_as_its_last_run() {
    let cron_job = |name: &str, script: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "work", "image": "busybox:1.36", "command": ["sh", "-c", script]}]}}}}},
        })
    };
    let [good, bad, long] = [("good", "exit 0"), ("bad", "exit 1"), ("long", "sleep 600")].map(|(name, script)| cron_job(name, script));
    let scenario = Scenario::new("wr-cron").apply(&manifest(&[good.clone(), bad, long]));
    for name in ["good", "bad", "long"] {
        put_status(
            &scenario,
            &format!("cronjob/{name}"),
            &json!({"lastScheduleTime": "2021-01-01T00:00:00Z"}),
        );
    }
    let finished = |name: &str| {
        let events = format!("involvedObject.kind=CronJob,involvedObject.name={name},reason=SawCompletedJob");
        !scenario
            .kubectl(&["get", "events", "--field-selector", &events, "-o", "name"])
            .is_empty()
    };
    scenario.wait("two runs have ended and one is under way", |s| {
        let active = s.kubectl(&["get", "cronjob", "long", "-o", "jsonpath={.status.active[*].name}"]);
        finished("good") && finished("bad") && !active.is_empty()
    });
    looks(
        &scenario,
        &[
            ("cronjob/good", 0, "ready", ""),
            ("cronjob/bad", 124, "progressing", "its last run, scheduled for "),
            ("cronjob/long", 0, "ready", ""),
        ],
    );
    for (target, exit) in [("cronjob/good", 0), ("cronjob/bad", 3), ("cronjob/long", 0)] {
        let answer = scenario.podlife(&["diagnose", target, "-o", "json"]);
        assert_eq!(answer.exit, exit, "{target} {}{}", answer.stdout, answer.stderr);
    }
    // Its Job may be gone; what its status says stays.
    scenario.kubectl(&["delete", "jobs", "--all", "--cascade=foreground"]);
    let answer = scenario.podlife(&["diagnose", "cronjob/bad", "-o", "json"]);
    assert_eq!(answer.json["verdict"], "broken", "{}", answer.stdout);
    // It is fixed, and run as wait-ready says.
    let scenario = scenario.apply(&manifest(&[named(good, "bad")]));
    let answer = wait(&scenario, "cronjob/bad", &["--once"]);
    let (_, again) = reason(&answer).split_once("run it again: kubectl ").unwrap();
    scenario.kubectl(&again.split(' ').collect::<Vec<_>>());
    let answer = wait(&scenario, "cronjob/bad", &[]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
}

/// A type of this test's own, which goes with it.
struct Types(String);

impl Drop for Types {
    fn drop(&mut self) {
        clean_up(&["delete", "--wait=false", "--ignore-not-found", "-f", "-"], Some(&self.0));
    }
}

/// A type whose objects have a status.
fn definition(group: &str, plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

#[test]
fn a_type_that_the_files_define_need_not_be_served_yet() {
    let scenario = Scenario::new("wr-newtype");
    let group = format!("{}.podlife.test", scenario.namespace);
    let widget = json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": "new"}, "spec": {"size": 1}});
    let types = Types(manifest(&[definition(&group, "widgets", "Widget")]));
    let folder = Folder::new();
    let files = folder.0.to_str().unwrap();
    std::fs::write(folder.0.join("widget.yaml"), manifest(std::slice::from_ref(&widget))).unwrap();
    let alone = scenario.podlife(&["wait-ready", "-f", files, "-o", "json"]);
    assert_eq!(
        alone.exit, 5,
        "nothing says that this type will come: {}{}",
        alone.stdout, alone.stderr
    );
    std::fs::write(folder.0.join("type.yaml"), &types.0).unwrap();
    let look = scenario.podlife(&["wait-ready", "-f", files, "-o", "json", "--once"]);
    assert_eq!(state(&look), (5, "notFound"), "{}{}", look.stdout, look.stderr);
    let mut child = started(&scenario, &["wait-ready", "-f", files, "--timeout", "2m"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("does not exist") {
        assert_ne!(stderr.read_line(&mut told).unwrap(), 0, "it ended: {told}");
    }
    let scenario = scenario.apply(&types.0);
    established(&format!("widgets.{group}"));
    let scenario = scenario.apply(&manifest(&[widget]));
    put_status(
        &scenario,
        &format!("widgets.{group}/new"),
        &json!({"conditions": [condition("Ready", "True")]}),
    );
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{told}");
}

#[test]
fn types_and_their_objects() {
    let scenario = Scenario::new("wr-types");
    let group = format!("{}.podlife.test", scenario.namespace);
    let definition = |plural: &str, kind: &str| definition(&group, plural, kind);
    let widgets = definition("widgets", "Widget");
    let types = Types(manifest(&[widgets.clone(), definition("others", "Widget")]));
    let scenario = scenario.apply(&manifest(&[widgets]));
    let established = wait(&scenario, &format!("crd/widgets.{group}"), &[]);
    assert_eq!(state(&established), (0, "ready"), "{}{}", established.stdout, established.stderr);
    // The name of its kind is taken.
    let scenario = scenario.apply(&types.0);
    let refused = wait(&scenario, &format!("crd/others.{group}"), &["--timeout", "2m"]);
    assert_eq!(state(&refused), (3, "failed"), "{}{}", refused.stdout, refused.stderr);
    assert!(reason(&refused).contains("is not accepted"), "{}", refused.stdout);
    let objects: Vec<Value> = ["good", "bad", "stalled", "changed", "mute"]
        .iter()
        .map(|name| json!({"apiVersion": format!("{group}/v1"), "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1}}))
        .collect();
    let scenario = scenario.apply(&manifest(&objects));
    let widget = |name: &str| format!("widgets.{group}/{name}");
    put_status(&scenario, &widget("good"), &json!({"conditions": [condition("Ready", "True")]}));
    put_status(&scenario, &widget("bad"), &json!({"conditions": [condition("Ready", "False")]}));
    let stalled = [condition("Ready", "False"), condition("Stalled", "True")];
    put_status(&scenario, &widget("stalled"), &json!({"conditions": stalled}));
    put_status(&scenario, &widget("changed"), &json!({"conditions": [condition("Ready", "True")]}));
    scenario.kubectl(&["patch", &widget("changed"), "--type=merge", "-p", r#"{"spec":{"size":2}}"#]);
    looks(
        &scenario,
        &[
            (&widget("good"), 0, "ready", ""),
            (&widget("bad"), 124, "progressing", "is not ready: Told Ready told"),
            (&widget("stalled"), 3, "failed", "stalled: Told Stalled told"),
            (&widget("changed"), 124, "progressing", "older spec"),
            (&widget("mute"), 4, "unknown", "no condition"),
        ],
    );
    drop(types);
}

#[test]
fn gateways_and_routes() {
    gateway_types();
    let version = "gateway.networking.k8s.io/v1";
    let gateway = |name: &str| {
        json!({
            "apiVersion": version, "kind": "Gateway", "metadata": {"name": name},
            "spec": {"gatewayClassName": "test", "listeners": [{"name": "plain", "protocol": "HTTP", "port": 80}]},
        })
    };
    let route = |kind: &str, name: &str| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name},
            "spec": {"parentRefs": [{"name": "up"}], "hostnames": ["web.example.org"]}})
    };
    let scenario = Scenario::new("wr-routes").apply(&manifest(&[
        gateway("up"),
        gateway("down"),
        gateway("bare"),
        route("HTTPRoute", "taken"),
        route("HTTPRoute", "refused"),
        route("HTTPRoute", "new"),
        route("GRPCRoute", "taken"),
        route("GRPCRoute", "new"),
    ]));
    let gateway = |name: &str| format!("gateways.gateway.networking.k8s.io/{name}");
    let address = json!([{"type": "IPAddress", "value": "192.0.2.1"}]);
    let programmed = json!([condition("Accepted", "True"), condition("Programmed", "True")]);
    let refused = json!([condition("Accepted", "True"), condition("Programmed", "False")]);
    put_status(&scenario, &gateway("up"), &json!({"addresses": address, "conditions": programmed}));
    put_status(&scenario, &gateway("down"), &json!({"conditions": refused}));
    put_status(&scenario, &gateway("bare"), &json!({"conditions": programmed}));
    let parents = |accepted: &str| {
        json!({"parents": [{
            "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "up"}, "controllerName": "podlife.test/gateway",
            "conditions": [condition("Accepted", accepted), condition("ResolvedRefs", "True")]}]})
    };
    put_status(&scenario, "httproute/taken", &parents("True"));
    put_status(&scenario, "httproute/refused", &parents("False"));
    put_status(&scenario, "grpcroute/taken", &parents("True"));
    looks(
        &scenario,
        &[
            (&gateway("up"), 0, "ready", ""),
            (&gateway("down"), 3, "failed", "GatewayNotProgrammed"),
            (&gateway("bare"), 124, "progressing", "has no address yet"),
            ("httproute/taken", 0, "ready", ""),
            ("httproute/refused", 3, "failed", "RouteNotAccepted"),
            ("httproute/new", 124, "progressing", "is not accepted by Gateway up yet"),
            ("grpcroute/taken", 4, "unknown", "a GRPCRoute is not checked"),
            ("grpcroute/new", 124, "progressing", "is not accepted by Gateway up yet"),
        ],
    );
}
