//! Drills that are killed, cut off, or locked out in the middle.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::harness::kubectl;
use super::super::wait_ready::relay::Relay;
use super::super::wait_ready::survival::{config, plugin, token};
use super::*;

/// What a drill says when it goes on, each after it has been written to the journal or done.
const LINES: [&str; 5] = ["journal", "injected", "proven", "undone", "recovered"];

/// Killed at each line of each fault that has something to undo, and restored by a machine that knows the namespace alone.
fn killed_at_each_line(scenario: &Scenario, target: &str) {
    let map = |scenario: &Scenario| -> Vec<Value> {
        let maps = scenario.list(&kind::CONFIG_MAP);
        maps.iter()
            .filter(|map| map["metadata"]["name"] == "settings")
            .map(|map| map["data"].clone())
            .collect()
    };
    let before = (specs(scenario), map(scenario));
    let faults: [&[&str]; 9] = [
        &["scale-zero"],
        &["scale", "--to", "2"],
        &["not-ready"],
        &["bad-image"],
        &["stuck-pending"],
        &["stuck-creating"],
        &["crash-loop"],
        &["config-corrupt", "--configmap", "settings", "--key", "mode", "--restart"],
        &["isolate", "--probe-image", "busybox:1.36"],
    ];
    for fault in faults {
        for line in LINES {
            let home = Folder::new();
            let common = ["--duration", "0", "--allow", "degraded"];
            let (mut child, mut lines) = begun(scenario, &home, &[&["run"], fault, &[target], &common[..]].concat());
            until_said(&mut lines, line);
            child.kill().unwrap();
            child.wait().unwrap();
            let (mut restore, lines) = begun(scenario, &Folder::new(), &["restore"]);
            assert_eq!(
                restore.wait().unwrap().code(),
                Some(0),
                "{fault:?} at {line}: {:?}",
                lines.collect::<Vec<_>>()
            );
            assert_eq!((specs(scenario), map(scenario)), before, "{fault:?} at {line}");
            assert!(is_closed(scenario), "{fault:?} at {line}");
            assert!(scenario.list(&kind::NETWORK_POLICY).is_empty(), "{fault:?} at {line}");
            // A pod has to be there for the next fault to be about.
            scenario.wait("a pod is ready", |scenario| {
                scenario
                    .state()
                    .pods
                    .iter()
                    .any(|pod| pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["containerStatuses"][0]["ready"] == true)
            });
        }
    }
}

fn configured(name: &str, kind: &str) -> Scenario {
    let mut object = web(1, json!({}), probe());
    object["kind"] = kind.into();
    if kind == "StatefulSet" {
        object["spec"]["podManagementPolicy"] = "Parallel".into();
    }
    object["spec"]["template"]["spec"]["volumes"] = json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    object["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "settings", "mountPath": "/etc/settings"}]);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"mode": "good"}});
    Scenario::new(name)
        .apply(&manifest(&[map, object, service("ClusterIP")]))
        .until("it is ready", pods_ready(1))
}

#[test]
fn a_deployment_is_restored_wherever_the_drill_was_killed() {
    killed_at_each_line(&configured("drill-kill", "Deployment"), "deployment/web");
}

#[test]
fn a_stateful_set_is_restored_wherever_the_drill_was_killed() {
    killed_at_each_line(&configured("drill-kill-set", "StatefulSet"), "statefulset/web");
}

#[test]
fn an_api_server_that_is_away_for_half_a_minute_is_waited_for() {
    let scenario = two("drill-away");
    let before = specs(&scenario);
    let relay = Relay::start();
    let flags = relay.flags();
    let mut all = vec!["--kubeconfig".to_owned(), kubeconfig()];
    all.extend(flags);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let run = ["run", "scale-zero", "deployment/web", "--duration", "1h"];
    let (mut child, mut lines) = begun_by(&scenario, &Folder::new(), &all, &run);
    until_said(&mut lines, "proven");
    relay.cut();
    send(&child, "-INT");
    // Its first try has failed; from then on the server is away for so long.
    let cut = Instant::now();
    until_said(&mut lines, "deployment/web: spec.replicas");
    std::thread::sleep(Duration::from_secs(30).saturating_sub(cut.elapsed()));
    assert_eq!(scenario.list(&kind::DEPLOYMENT)[0]["spec"]["replicas"], 0);
    relay.restore();
    until_said(&mut lines, "recovered");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

#[test]
fn a_token_that_expires_in_the_middle_is_read_again() {
    outlives_its_token("drill-token", |_, file| json!({"tokenFile": file}));
}

#[test]
fn a_credential_plugin_is_run_again_in_the_middle_of_a_drill() {
    outlives_its_token("drill-plugin", plugin);
}

/// A token is withdrawn while a fault is held, and another one is there a little later.
fn outlives_its_token(name: &str, user: impl Fn(&Path, &Path) -> Value) {
    let scenario = two(name);
    let before = specs(&scenario);
    let account = format!("serviceaccount:{}:waiter", scenario.namespace);
    let role = scenario.podlife(&["rbac", "drill", "--bind", &account]);
    scenario.kubectl(&["create", "serviceaccount", "waiter"]);
    let scenario = scenario.apply(&role.stdout);
    let (first, second) = (token(&scenario, "first"), token(&scenario, "second"));
    let (folder, path) = (Folder::new(), "token");
    std::fs::write(folder.0.join(path), &first).unwrap();
    let relay = Relay::start();
    let config = config(&folder.0, &relay, &user(&folder.0, &folder.0.join(path)));
    let run = ["run", "scale-zero", "deployment/web", "--duration", "1h"];
    let (mut child, mut lines) = begun_by(&scenario, &Folder::new(), &["--kubeconfig", &config], &run);
    until_said(&mut lines, "proven");
    scenario.kubectl(&["delete", "secret", "first"]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": first}}).to_string();
    scenario.wait("the first token is refused", |_| {
        let answer: Value = serde_json::from_str(&kubectl(&["create", "-o", "json", "-f", "-"], Some(&review))).unwrap();
        answer["status"]["authenticated"] != json!(true)
    });
    send(&child, "-INT");
    until_said(&mut lines, "deployment/web: spec.replicas");
    assert_eq!(scenario.list(&kind::DEPLOYMENT)[0]["spec"]["replicas"], 0);
    std::fs::write(folder.0.join("new"), &second).unwrap();
    std::fs::rename(folder.0.join("new"), folder.0.join(path)).unwrap();
    until_said(&mut lines, "recovered");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

#[test]
fn pods_that_a_quota_keeps_away_are_not_restored() {
    let scenario = two("drill-quota");
    let before = specs(&scenario);
    scenario.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    scenario.wait("the quota is computed", |scenario| {
        scenario.list(&kind::RESOURCE_QUOTA)[0]["status"]["hard"]["pods"] == "0"
    });
    let answer = drill(&scenario, &["scale-zero", "deployment/web", "--timeout", "15s"]);
    let told = format!("{}{}", answer.stdout, answer.stderr);
    assert_eq!((&answer.json["verdict"], answer.exit), (&json!("notRestored"), 8), "{told}");
    let reason = answer.json["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("exceeded quota: none") && reason.contains("resourcequota none"),
        "{reason}"
    );
    assert_eq!(specs(&scenario), before, "the spec is as before: {told}");
}
