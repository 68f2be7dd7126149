//! What misleads a look at a cluster, made to happen. Each of these fails where the trap works.
//!
//! Other traps have their tests beside the rule they belong to: a Deployment that says nothing about the quota behind it
//! (`scenarios::admission`), ready addresses without ports (`scenarios::service`), a crash loop caught while up
//! (`scenarios::container`), chains over two Services (`scenarios::dependency`, `scenarios::reference`).

use serde_json::{Value, json};

use super::harness::{Scenario, State, both, event, pods_ready, restarts, running, statuses};

/// A Deployment of one container that runs a shell script, with more fields of the container and of the pod.
fn deployment(name: &str, script: &str, container: Value, pod: Value) -> String {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "app", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}],
    });
    for (field, value) in container.as_object().unwrap() {
        spec["containers"][0][field] = value.clone();
    }
    for (field, value) in pod.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
    })
    .to_string()
}

/// Every pod was made at least so many seconds ago.
fn older_than(seconds: i64) -> impl Fn(&State) -> bool {
    move |state| {
        let made = state
            .pods
            .iter()
            .filter_map(|pod| pod["metadata"]["creationTimestamp"].as_str()?.parse::<jiff::Timestamp>().ok());
        made.clone().count() > 0
            && made
                .into_iter()
                .all(|made| jiff::Timestamp::now().duration_since(made).as_secs() > seconds)
    }
}

#[test]
fn an_old_mount_event_does_not_hide_the_crash() {
    let manifest = deployment(
        "api",
        "echo the real fault >&2; exit 4",
        json!({"volumeMounts": [{"name": "settings", "mountPath": "/settings"}]}),
        json!({"volumes": [{"name": "settings", "configMap": {"name": "late"}}]}),
    );
    let scenario = Scenario::new("stale-mount")
        .apply(&manifest)
        .until("the mount fails", event("FailedMount", "late"));
    scenario.kubectl(&["create", "configmap", "late", "--from-literal=a=b"]);
    scenario
        .until("it crashes", restarts("app", 2))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/api");
}

#[test]
fn an_old_scheduling_event_does_not_hide_the_crash() {
    let manifest = deployment(
        "api",
        "echo the real fault >&2; exit 4",
        json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}),
        json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "late"}}]}),
    );
    let scenario = Scenario::new("stale-unbound")
        .apply(&manifest)
        .until("no node takes it", event("FailedScheduling", "late"));
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "late"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "resources": {"requests": {"storage": "1Mi"}}}});
    scenario
        .apply(&claim.to_string())
        .until("it crashes", restarts("app", 2))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/api");
}

#[test]
fn a_failing_probe_is_reported_although_its_event_is_old() {
    let manifest = deployment(
        "api",
        "exec httpd -f -p 8080",
        json!({"readinessProbe": {"httpGet": {"path": "/absent", "port": 8080}, "periodSeconds": 1}}),
        json!({}),
    );
    let scenario = Scenario::new("frozen-event")
        .apply(&manifest)
        .until("the probe has failed", event("Unhealthy", "404"));
    // Beyond the time that a normal start may take, the container's status alone decides.
    let long_unready = |state: &State| {
        let started = statuses(state, "app")
            .filter_map(|s| s["state"]["running"]["startedAt"].as_str())
            .next();
        started.is_some_and(|s| jiff::Timestamp::now().duration_since(s.parse().unwrap()).as_secs() > 65)
    };
    let scenario = scenario.until("it has been unready for long", long_unready);
    let answer = scenario.podlife(&["diagnose", "--since", "1ms", "-o", "json"]);
    assert_eq!(answer.root_cause()["code"], "ReadinessProbeFailing", "{}", answer.stdout);
    assert_eq!(answer.exit, 3);
}

#[test]
fn an_oom_kill_is_reported_while_the_next_instance_is_ready() {
    let manifest = deployment(
        "report",
        "sleep 8; exec dd if=/dev/zero of=/dev/null bs=256M",
        json!({"resources": {"limits": {"memory": "40Mi"}}}),
        json!({}),
    );
    Scenario::new("oom-between")
        .apply(&manifest)
        .until(
            "it was killed and runs again",
            both(restarts("app", 1), both(running("app"), pods_ready(1))),
        )
        .first_root_cause("OutOfMemory", "limit", "deployment/report");
}

#[test]
fn pods_without_an_address_are_selected_all_the_same() {
    let manifest = deployment("web", "sleep 3600", json!({}), json!({"nodeSelector": {"disk": "none-has-this"}}));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    let answer = Scenario::new("no-address")
        .apply(&manifest)
        .apply(&service.to_string())
        .until("no node takes it", event("FailedScheduling", ""))
        .until("it is no longer a moment's matter", older_than(15))
        .first_root_cause("Unschedulable", "node-selector", "deployment/web");
    let symptoms = answer.json["symptoms"].as_array().unwrap();
    assert!(symptoms.iter().any(|s| s["code"] == "ServiceHasNoReadyEndpoints"), "{symptoms:?}");
}

#[test]
fn refusals_folded_into_one_event_still_name_the_quota() {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}});
    let mut manifest: Value = serde_json::from_str(&deployment("many", "sleep 3600", json!({}), json!({}))).unwrap();
    manifest["spec"]["replicas"] = json!(30);
    Scenario::new("folded")
        .apply(&quota.to_string())
        .apply(&manifest.to_string())
        .until(
            "refusals were folded into one event",
            event("FailedCreate", "combined from similar events"),
        )
        .first_root_cause("QuotaExceeded", "exhausted", "deployment/many");
}

#[test]
fn warnings_that_healthy_pods_carry_are_no_fault() {
    let manifest = deployment("web", "sleep 3600", json!({}), json!({}));
    let budget = |name: &str| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}})
        .to_string()
    };
    let scenario = Scenario::new("healthy-warnings").apply(&manifest).until("it runs", pods_ready(1));
    let pod = scenario.list(&podlife::model::kind::POD).remove(0);
    let warning = json!({"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedMount",
        "metadata": {"name": "old.1"}, "message": "MountVolume.SetUp failed for volume \"v\" : failed to sync configmap cache: timed out waiting for the condition",
        "lastTimestamp": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": scenario.namespace, "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}});
    scenario
        .apply(&warning.to_string())
        .apply(&budget("one"))
        .apply(&budget("two"))
        .until("the warning is there", event("FailedMount", "failed to sync"))
        .healthy();
}

#[test]
fn an_event_about_an_older_pod_of_the_same_name_does_not_count() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "again"}, "spec": {"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "app", "image": "podlife.test/never-built:1"}]}});
    let scenario = Scenario::new("same-name")
        .apply(&pod.to_string())
        .until("its image is refused", event("Failed", "not found"));
    scenario.kubectl(&["delete", "pod", "again", "--wait=true"]);
    let mut whole = pod;
    whole["spec"]["containers"][0]["image"] = json!("busybox:1.36");
    whole["spec"]["containers"][0]["command"] = json!(["sleep", "3600"]);
    scenario.apply(&whole.to_string()).until("it runs", pods_ready(1)).healthy();
}
