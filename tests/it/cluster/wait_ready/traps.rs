//! Traps: what looks ready, or failed, and is not.

use std::io::{BufRead as _, BufReader};

use podlife::model::kind::{self, Kind};
use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, both, event, kubectl, pods_ready, restarts, running};
use super::{endpoints, manifest, probe, service, started, web};

fn once(scenario: &Scenario, target: &str, arguments: &[&str]) -> Answer {
    scenario.podlife(&[&["wait-ready", target, "--once", "-o", "json"], arguments].concat())
}

fn waited(scenario: &Scenario, target: &str, arguments: &[&str]) -> Answer {
    scenario.podlife(&[&["wait-ready", target, "-o", "json"], arguments].concat())
}

/// The exit code, and that the reason has these words.
fn expect(answer: &Answer, exit: u8, words: &str) {
    let reason = answer.json["reason"].as_str().unwrap_or_default();
    assert!(
        answer.exit == exit && reason.contains(words),
        "expected {exit}, {words:?}\n{}{}",
        answer.stdout,
        answer.stderr
    );
}

/// Whether a condition of the one object of that kind has this status.
fn has(kind: Kind, type_: &'static str, status: &'static str) -> impl Fn(&Scenario) -> bool {
    move |scenario| {
        let objects = scenario.list(&kind);
        let mut conditions = objects.iter().flat_map(|o| o["status"]["conditions"].as_array()).flatten();
        conditions.any(|c| c["type"] == type_ && c["status"] == status)
    }
}

/// The test application in a pod of its own, with more fields of its spec and container.
fn bare(spec: Value, container: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 60, "containers": [{"name": "app", "image": "podlife.test/app:1", "imagePullPolicy": "IfNotPresent"}]},
    });
    for (fields, at) in [(spec, "/spec"), (container, "/spec/containers/0")] {
        for (field, value) in fields.as_object().unwrap() {
            pod.pointer_mut(at).unwrap()[field] = value.clone();
        }
    }
    pod
}

fn stateful(strategy: Value, version: &str) -> Value {
    let mut set = web(2, json!({"VERSION": version}), probe());
    set["kind"] = "StatefulSet".into();
    set["spec"]["serviceName"] = "web".into();
    set["spec"]["podManagementPolicy"] = "Parallel".into();
    set["spec"]["updateStrategy"] = strategy;
    set
}

#[test]
fn a_deadline_that_an_undone_revision_missed_decides_nothing() {
    let mut first = web(1, json!({}), probe());
    first["spec"]["progressDeadlineSeconds"] = 5.into();
    let mut second = first.clone();
    second["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "READY_STATUS", "value": "503"}]);
    let scenario = Scenario::new("wr-undone")
        .apply(&manifest(&[first, service("ClusterIP")]))
        .until("the first revision serves", pods_ready(1))
        .apply(&manifest(&[second]));
    scenario.wait("the second misses its deadline", has(kind::DEPLOYMENT, "Progressing", "False"));
    let missed = waited(&scenario, "deployment/web", &["--grace", "probe=1s,other=1s"]);
    expect(&missed, 3, "");
    scenario.kubectl(&["rollout", "undo", "deployment/web"]);
    let undone = waited(&scenario, "deployment/web", &["--stable-for", "0"]);
    expect(&undone, 0, "");
}

#[test]
fn a_deadline_that_was_missed_before_it_was_mended_decides_nothing() {
    let from = json!([{"name": "SECRET_PLACE", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "place"}}}]);
    let mut late = web(1, json!({}), json!({"env": from, "readinessProbe": probe()["readinessProbe"]}));
    late["spec"]["progressDeadlineSeconds"] = 5.into();
    let scenario = Scenario::new("wr-overdue").apply(&manifest(&[late, service("ClusterIP")]));
    scenario.wait("it misses its deadline", has(kind::DEPLOYMENT, "Progressing", "False"));
    let look = once(&scenario, "deployment/web", &[]);
    assert_eq!(look.exit, 3, "one look has no time: {}{}", look.stdout, look.stderr);
    let scenario =
        scenario.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"place": "here"}}));
    expect(&waited(&scenario, "deployment/web", &["--stable-for", "0"]), 0, "");
}

#[test]
fn a_refusal_whose_reason_is_gone_decides_nothing() {
    let mut robot = web(1, json!({}), probe());
    robot["spec"]["template"]["spec"]["serviceAccountName"] = "robot".into();
    let scenario = Scenario::new("wr-robot").apply(&manifest(&[robot, service("ClusterIP")]));
    scenario.wait("its pod is refused", has(kind::REPLICA_SET, "ReplicaFailure", "True"));
    let refused = waited(&scenario, "deployment/web", &["--grace", "permanent=1s"]);
    expect(&refused, 3, "ServiceAccountMissing");
    scenario.kubectl(&["create", "serviceaccount", "robot"]);
    // Its ReplicaSet tries again after a pause.
    let arguments = ["--stable-for", "0", "--grace", "permanent=1s"];
    expect(&waited(&scenario, "deployment/web", &arguments), 0, "");
}

#[test]
fn a_refusal_of_an_old_replica_set_is_not_blamed_on_the_new_one() {
    let quota =
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "1"}}});
    let revision = |version: &str, cpu: &str| web(1, json!({"VERSION": version}), json!({"resources": {"requests": {"cpu": cpu}}}));
    let scenario = Scenario::new("wr-refused")
        .apply(&manifest(&[quota, service("ClusterIP"), revision("one", "100m")]))
        .until("the first revision runs", pods_ready(1))
        .apply(&manifest(&[revision("two", "8")]));
    scenario.wait("the second is refused", has(kind::DEPLOYMENT, "ReplicaFailure", "True"));
    // Others may give way in the quota, so that this is no fault for good.
    let refused = waited(&scenario, "deployment/web", &["--grace", "scheduling=1s"]);
    expect(&refused, 3, "");
    assert_eq!(refused.json["rootCauses"][0]["code"], "QuotaExceeded", "{}", refused.stdout);
    let scenario = scenario.apply(&manifest(&[revision("three", "100m")]));
    expect(
        &waited(&scenario, "deployment/web", &["--stable-for", "0", "--grace", "permanent=1s"]),
        0,
        "",
    );
}

#[test]
fn a_partition_is_a_goal_and_on_delete_is_not_reached_by_waiting() {
    let partition = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    let scenario = Scenario::new("wr-ordinals")
        .apply(&manifest(&[stateful(partition.clone(), "one"), service("ClusterIP")]))
        .until("both are ready", pods_ready(2))
        .apply(&manifest(&[stateful(partition, "two")]));
    let partly = waited(&scenario, "statefulset/web", &["--stable-for", "0"]);
    expect(&partly, 0, "");
    assert!(partly.stdout.contains("below partition 1 not updated"), "{}", partly.stdout);
    let on_delete = json!({"type": "OnDelete", "rollingUpdate": null});
    let scenario = scenario.apply(&manifest(&[stateful(on_delete, "three")]));
    scenario.wait("its controller has seen the change", |scenario| {
        let sets = scenario.list(&kind::STATEFUL_SET);
        sets[0]["status"]["observedGeneration"] == sets[0]["metadata"]["generation"]
    });
    expect(&once(&scenario, "statefulset/web", &[]), 3, "UpdateOnDelete");
    let left = waited(&scenario, "statefulset/web", &["--timeout", "40s"]);
    expect(&left, 3, "UpdateOnDelete");
    assert!(
        left.json["elapsedSeconds"].as_f64().is_some_and(|seconds| seconds < 15.0),
        "{}",
        left.stdout
    );
    let fixes = left.json["rootCauses"][0]["fixes"].to_string();
    assert!(fixes.contains("kubectl delete pod web-"), "{}", left.stdout);
    let patient = waited(&scenario, "statefulset/web", &["--grace", "suspended=1h", "--timeout", "6s"]);
    expect(&patient, 124, "updateStrategy OnDelete");
    // Waiting, kubectl may mistake the next pod of the name for this one.
    scenario.kubectl(&["delete", "pods", "-l", "app=web", "--wait=false"]);
    expect(&waited(&scenario, "statefulset/web", &["--stable-for", "0"]), 0, "");
}

#[test]
fn a_pod_that_is_being_deleted_is_not_ready_though_it_says_so() {
    let leaving = bare(json!({}), json!({"env": [{"name": "SHUTDOWN_DELAY", "value": "50s"}]}));
    let scenario = Scenario::new("wr-leaving")
        .apply(&manifest(&[leaving]))
        .until("it is ready", pods_ready(1));
    expect(&once(&scenario, "pod/web", &[]), 0, "");
    scenario.kubectl(&["delete", "pod", "web", "--wait=false"]);
    let pod = scenario.list(&kind::POD).remove(0);
    assert!(pod["metadata"]["deletionTimestamp"].is_string(), "{pod:#}");
    expect(&once(&scenario, "pod/web", &[]), 124, "deleted");
    scenario.kubectl(&["delete", "pod", "web", "--grace-period=1"]);
}

#[test]
fn a_native_sidecar_that_crashes_is_not_ready() {
    let sidecar = json!({"initContainers": [{
        "name": "mesh", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always", "command": ["sh", "-c", "sleep 1; exit 3"],
    }]});
    let scenario = Scenario::new("wr-sidecar")
        .apply(&manifest(&[bare(sidecar, json!({}))]))
        .until("the sidecar was started again", restarts("mesh", 3));
    let answer = waited(&scenario, "pod/web", &[]);
    expect(&answer, 3, "mesh");
    assert_eq!(answer.json["rootCauses"][0]["code"], "ContainerCrashing", "{}", answer.stdout);
}

#[test]
fn published_addresses_of_unready_pods_do_not_count() {
    let mut published = service("ClusterIP");
    published["spec"]["publishNotReadyAddresses"] = true.into();
    let scenario = Scenario::new("wr-published").apply(&manifest(&[web(1, json!({"READY_STATUS": "503"}), probe()), published]));
    scenario.wait("its address is published", |scenario| {
        let published = |e: &Value| e["conditions"]["ready"] == true && e["conditions"]["serving"] == false;
        endpoints(scenario).iter().any(published)
    });
    expect(&once(&scenario, "service/web", &[]), 124, "ready");
}

/// Waits for a Deployment that is deleted and made again meanwhile, with what may be read.
fn made_again(name: &str, verbs: Value) {
    let scenario = Scenario::new(name)
        .apply(&manifest(&[web(1, json!({"READY_STATUS": "503"}), probe()), service("ClusterIP")]))
        .until("it runs", running("app"));
    let before = scenario.list(&kind::DEPLOYMENT)[0]["metadata"]["uid"].clone();
    let groups = json!(["", "apps", "discovery.k8s.io", "networking.k8s.io", "autoscaling"]);
    let account = account(
        &scenario,
        "reader",
        json!([{"apiGroups": groups, "resources": ["*"], "verbs": verbs}]),
    );
    let mut child = started(
        &scenario,
        &[
            "wait-ready",
            "deployment/web",
            "-o",
            "ndjson",
            "--stable-for",
            "0",
            "--grace",
            "probe=5m,other=5m",
            &account,
        ],
    );
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    scenario.kubectl(&["delete", "deployment", "web"]);
    let scenario = scenario.apply(&manifest(&[web(1, json!({}), probe())]));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:#?}");
    assert_ne!(scenario.list(&kind::DEPLOYMENT)[0]["metadata"]["uid"], before);
    assert!(rest.last().unwrap().contains("\"state\":\"ready\""), "{rest:#?}");
}

#[test]
fn an_object_that_is_made_again_is_judged_anew() {
    made_again("wr-again", json!(["get", "list", "watch"]));
}

#[test]
fn list_rights_without_watch_are_enough() {
    made_again("wr-lists", json!(["get", "list"]));
}

#[test]
fn an_autoscaler_that_asks_for_more_is_waited_for() {
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 3, "maxReplicas": 4},
    });
    let scenario = Scenario::new("wr-scaled").apply(&manifest(&[scaler, web(1, json!({}), probe()), service("ClusterIP")]));
    let answer = waited(&scenario, "deployment/web", &["--stable-for", "0"]);
    expect(&answer, 0, "");
    assert_eq!(answer.json["application"]["asked"][0]["pods"], 3, "{}", answer.stdout);
}

#[test]
fn a_readiness_gate_that_is_not_open_is_named() {
    let gated = json!({"readinessGates": [{"conditionType": "example.org/lb"}]});
    let scenario = Scenario::new("wr-gate")
        .apply(&manifest(&[bare(gated, json!({}))]))
        .until("its container runs", running("app"));
    expect(&once(&scenario, "pod/web", &[]), 124, "readiness gate example.org/lb is not True");
    let open = |reason: &str| {
        let patch = json!({"status": {"conditions": [{"type": "example.org/lb", "status": "True", "reason": reason}]}}).to_string();
        scenario.kubectl(&["patch", "pod", "web", "--subresource=status", "-p", &patch]);
        scenario.wait("it is ready", |scenario| pods_ready(1)(&scenario.state()));
    };
    // As GKE's controller opens it where it has no health check.
    open("LoadBalancerNegWithoutHealthCheck");
    expect(&once(&scenario, "pod/web", &[]), 4, "without a health check");
    open("Healthy");
    expect(&once(&scenario, "pod/web", &[]), 0, "");
}

#[test]
fn jobs_that_failed_or_are_suspended_will_not_complete() {
    let job = |name: &str, suspend: bool, code: u8| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"suspend": suspend, "backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{
                "name": "work", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", format!("exit {code}")],
            }]}}},
        })
    };
    let scenario = Scenario::new("wr-jobs").apply(&manifest(&[job("good", false, 0), job("bad", false, 7), job("later", true, 0)]));
    expect(&waited(&scenario, "job/good", &[]), 0, "");
    expect(&waited(&scenario, "job/bad", &["--grace", "permanent=1s"]), 3, "");
    expect(&waited(&scenario, "job/later", &[]), 3, "suspended");
}

#[test]
fn a_claim_that_waits_for_a_pod_says_so() {
    let class = format!("later-{:x}", std::process::id());
    let late = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
        "provisioner": "podlife.test/hostpath", "volumeBindingMode": "WaitForFirstConsumer",
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    let scenario = Scenario::new("wr-claim").apply(&manifest(&[late, claim]));
    scenario.wait("it says what it waits for", |scenario| {
        event("WaitForFirstConsumer", "waiting for first consumer")(&scenario.state())
    });
    expect(
        &once(&scenario, "pvc/data", &[]),
        124,
        "waits for the first pod that uses it, and there is none",
    );
    kubectl(&["delete", "storageclass", &class], None);
}

#[test]
fn a_daemon_set_without_nodes_has_nothing_to_be_ready() {
    let mut set = web(1, json!({}), probe());
    set["kind"] = "DaemonSet".into();
    set["spec"].as_object_mut().unwrap().remove("replicas");
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"example.org/none": "here"});
    let scenario = Scenario::new("wr-nodes").apply(&manifest(&[set]));
    scenario.wait("its controller has seen it", |scenario| {
        scenario.list(&kind::DAEMON_SET)[0]["status"]["observedGeneration"] == 1
    });
    expect(&once(&scenario, "daemonset/web", &[]), 4, "no node matches it");
}

#[test]
fn paused_or_scaled_to_zero_is_never_ready() {
    let mut paused = web(1, json!({"VERSION": "two"}), probe());
    paused["spec"]["paused"] = true.into();
    let scenario = Scenario::new("wr-zero")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1))
        .apply(&manifest(&[paused]));
    expect(&waited(&scenario, "deployment/web", &[]), 3, "paused");
    scenario.kubectl(&["rollout", "resume", "deployment/web"]);
    scenario.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    let scenario = scenario.until("nothing is left", |state| state.pods.is_empty());
    expect(&waited(&scenario, "deployment/web", &["--http", "/"]), 3, "zero");
}

#[test]
fn an_endpoint_on_another_port_is_not_the_one_that_is_used() {
    let named = json!({"ports": [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}]});
    let mut two = service("ClusterIP");
    two["spec"]["ports"] =
        json!([{"name": "http", "port": 80, "targetPort": "http"}, {"name": "admin", "port": 81, "targetPort": "admin"}]);
    let scenario = Scenario::new("wr-port2")
        .apply(&manifest(&[web(1, json!({}), named), two]))
        .until("it says Ready", pods_ready(1));
    expect(&once(&scenario, "deployment/web", &["--port", "http"]), 0, "");
    expect(&once(&scenario, "deployment/web", &["--port", "admin"]), 124, "refused");
}

#[test]
fn a_crash_loop_that_runs_for_a_moment_is_not_ready() {
    let crashing = bare(
        json!({}),
        json!({"env": [{"name": "EXIT_AFTER", "value": "2s"}, {"name": "EXIT_CODE", "value": "7"}]}),
    );
    let scenario = Scenario::new("wr-moment").apply(&manifest(&[crashing]));
    let answer = waited(&scenario, "pod/web", &[]);
    expect(&answer, 3, "ContainerCrashing");
    let scenario = scenario.until("it runs again", both(restarts("app", 2), running("app")));
    let again = once(&scenario, "pod/web", &[]);
    assert!([3, 124].contains(&again.exit), "{}", again.stdout);
}

/// A service account that may do this and no more.
fn account(scenario: &Scenario, name: &str, rules: Value) -> String {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules});
    let bound = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": scenario.namespace}],
    });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    scenario.kubectl_in(&["apply", "-f", "-"], Some(&manifest(&[account, role, bound])));
    format!("--as=system:serviceaccount:{}:{name}", scenario.namespace)
}

#[test]
fn nothing_is_ready_where_services_or_owners_may_not_be_read() {
    let reads = |groups: Value, resources: Value| json!({"apiGroups": groups, "resources": resources, "verbs": ["get", "list", "watch"]});
    let scenario = Scenario::new("wr-small")
        .apply(&manifest(&[
            web(1, json!({"LISTEN": "127.0.0.1:8080"}), json!({})),
            service("ClusterIP"),
        ]))
        .until("it says Ready", pods_ready(1));
    let pods = account(
        &scenario,
        "pods",
        json!([reads(json!(["", "apps"]), json!(["pods", "deployments", "replicasets"]))]),
    );
    expect(&once(&scenario, "deployment/web", &[&pods]), 4, "services may not be listed");
    let services = account(
        &scenario,
        "services",
        json!([
            reads(json!(["", "discovery.k8s.io"]), json!(["pods", "services", "endpointslices"])),
            {"apiGroups": [""], "resources": ["services/proxy", "pods/proxy"], "verbs": ["get"]},
        ]),
    );
    let answer = once(&scenario, "service/web", &[&services]);
    expect(&answer, 4, "is of the current revision");
}
