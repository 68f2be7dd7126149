//! Why a wait ended badly, and whose word counts: causes that end in the last line, and objects whose own word is not enough.

use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, clean_up, kubectl, podlife, pods_ready, running};
use super::{manifest, probe, service, web};
use crate::fake_api::Folder;

fn wait(scenario: &Scenario, target: &str, arguments: &[&str]) -> Answer {
    let mut all = vec!["wait-ready", target, "-o", "json"];
    all.extend(arguments);
    scenario.podlife(&all)
}

fn reason(answer: &Answer) -> &str {
    answer.json["reason"].as_str().unwrap_or_default()
}

/// A Deployment that lacks a Secret, with this deadline.
fn without_its_secret(deadline: u32) -> Value {
    let mut broken = web(1, json!({}), json!({"envFrom": [{"secretRef": {"name": "token"}}]}));
    broken["spec"]["progressDeadlineSeconds"] = deadline.into();
    broken
}

#[test]
fn a_deadline_of_the_roll_out_still_names_the_cause() {
    let scenario = Scenario::new("wr-deadline").apply(&manifest(&[without_its_secret(8)]));
    let folder = Folder::new();
    let junit = folder.0.join("ready.xml");
    let arguments = ["--grace", "permanent=10m", "--junit", junit.to_str().unwrap()];
    let answer = wait(&scenario, "deployment/web", &arguments);
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    let said = reason(&answer);
    assert!(
        said.contains("no progress within 8 s") && said.contains("; SecretMissing: "),
        "{said}"
    );
    assert_eq!(answer.json["rootCauses"][0]["code"], "SecretMissing");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains(" message=\"SecretMissing") && junit.contains(" deployment/web: "),
        "{junit}"
    );
}

#[test]
fn a_time_that_is_up_still_names_the_cause() {
    let scenario = Scenario::new("wr-late-cause").apply(&manifest(&[without_its_secret(600)])).until(
        "it waits for its Secret",
        super::super::harness::waiting("app", "CreateContainerConfigError"),
    );
    let folder = Folder::new();
    let junit = folder.0.join("ready.xml");
    // The time of a cause is not up by then.
    let arguments = [
        "wait-ready",
        "deployment/web",
        "--timeout",
        "9s",
        "--junit",
        junit.to_str().unwrap(),
    ];
    let text = scenario.podlife(&arguments);
    let line = text.stdout.lines().next_back().unwrap_or_default();
    assert_eq!(text.exit, 124, "{}{}", text.stdout, text.stderr);
    assert!(
        line.starts_with("TIMED OUT  deployment/web -n ") && line.contains("; SecretMissing: "),
        "{line}"
    );
    assert!(
        line.contains("(it was still progressing)") || line.contains("(it was stuck)"),
        "{line}"
    );
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains(" message=\"SecretMissing") && junit.contains(" deployment/web: "),
        "{junit}"
    );
    // Where the time went, as far as it came.
    assert!(
        text.stdout.contains("time  pod/web-") && text.stdout.contains(": scheduled "),
        "{}",
        text.stdout
    );
    assert!(!text.stdout.contains("first answer"), "{}", text.stdout);
}

#[test]
fn each_hop_to_the_first_answer_is_reported() {
    let scenario = Scenario::new("wr-hops").apply(&manifest(&[web(2, json!({"READY_AFTER": "4s"}), probe()), service("LoadBalancer")]));
    let answer = wait(&scenario, "deployment/web", &["--successes", "1", "--stable-for", "0"]);
    assert_eq!(answer.exit, 0, "{}{}", answer.stdout, answer.stderr);
    let hops = answer.json["hops"]["hops"].as_array().unwrap();
    let names: Vec<&str> = hops.iter().filter_map(|hop| hop["hop"].as_str()).collect();
    // The address may have been there before the run looked for the first time.
    let expected = ["scheduled", "pulled", "started", "ready", "endpoint", "answered"];
    assert!(expected.iter().all(|hop| names.contains(hop)), "{}", answer.stdout);
    let took = |name: &str| hops.iter().find(|hop| hop["hop"] == name).unwrap()["tookSeconds"].as_f64().unwrap();
    assert!(took("ready") >= 3.0, "{hops:?}");
    let whole: f64 = hops.iter().map(|hop| hop["tookSeconds"].as_f64().unwrap()).sum();
    // Kubernetes cuts its times to whole seconds.
    assert!(whole <= answer.json["elapsedSeconds"].as_f64().unwrap() + 3.0, "{hops:?}");
}

#[test]
fn a_listener_that_nothing_tells_of_is_found_by_dialling() {
    let hidden = "a=127.0.0; exec httpd -f -p $a.1:8080";
    let mut silent = web(1, json!({}), json!({"command": ["sh", "-c", hidden]}));
    silent["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:1.36".into();
    let scenario = Scenario::new("wr-dialled")
        .apply(&manifest(&[silent, service("ClusterIP")]))
        .until("it says Ready", pods_ready(1));
    let arguments = ["--grace", "probe=1s,other=1s"];
    let answer = wait(&scenario, "deployment/web", &arguments);
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    let cause = &answer.json["rootCauses"][0];
    assert_eq!(
        (&cause["code"], &cause["confidence"]),
        (&json!("ListenerOnLoopback"), &json!("proven")),
        "{}",
        answer.stdout
    );
    assert!(reason(&answer).starts_with("ListenerOnLoopback: "), "{}", answer.stdout);
    // Who may not dial is not told what only that shows.
    let quiet = wait(
        &scenario,
        "deployment/web",
        &["--no-dial", "--timeout", "8s", "--grace", "probe=1s,other=1s"],
    );
    let causes = quiet.json["rootCauses"].to_string();
    assert!(
        !causes.contains("proven") || !causes.contains("ListenerOnLoopback"),
        "{}",
        quiet.stdout
    );
}

#[test]
fn a_service_whose_workload_is_scaled_to_zero_will_not_answer() {
    let scenario = Scenario::new("wr-no-replicas").apply(&manifest(&[web(0, json!({}), probe()), service("ClusterIP")]));
    let answer = wait(&scenario, "service/web", &["--timeout", "60s"]);
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    assert!(reason(&answer).contains("scaled to zero"), "{}", answer.stdout);
}

#[test]
fn files_may_name_several_namespaces() {
    let (one, other) = (Scenario::new("wr-one"), Scenario::new("wr-other"));
    let mut objects = Vec::new();
    for scenario in [&one, &other] {
        let mut deployment = web(1, json!({}), probe());
        deployment["metadata"]["namespace"] = scenario.namespace.clone().into();
        objects.push(deployment);
    }
    let folder = Folder::new();
    let file = folder.0.join("all.yaml");
    std::fs::write(&file, manifest(&objects)).unwrap();
    let file = file.to_str().unwrap();
    kubectl(&["apply", "-f", file], None);
    let answer = podlife(&["wait-ready", "-f", file, "-o", "json"]);
    assert_eq!(answer.exit, 0, "{}{}", answer.stdout, answer.stderr);
    let namespaces: Vec<&Value> = answer.json["objects"].as_array().unwrap().iter().map(|o| &o["namespace"]).collect();
    assert_eq!(namespaces, [&json!(one.namespace), &json!(other.namespace)]);
    assert!(
        answer.stderr.contains(&format!("deployment/{}/web", other.namespace)),
        "which of them: {}",
        answer.stderr
    );
    let only = podlife(&["wait-ready", "-f", file, "-n", &one.namespace]);
    assert_eq!(only.exit, 2, "{}", only.stderr);
}

/// Removes a node that does not exist.
struct PretendNode(String);

impl Drop for PretendNode {
    fn drop(&mut self) {
        clean_up(&["delete", "node", &self.0, "--wait=false", "--ignore-not-found"], None);
    }
}

#[test]
fn a_pod_on_a_lost_node_does_not_count_whatever_it_says() {
    let scenario = Scenario::new("wr-lost");
    let node = PretendNode(format!("lost-{}", scenario.namespace));
    let name = &node.0;
    // Nobody else's pods come here: DaemonSets tolerate nodes that are not ready, but not this.
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"taints": [{"key": "podlife.test/lost", "effect": "NoSchedule"}]}});
    kubectl(&["apply", "-f", "-"], Some(&object.to_string()));
    let status = |ready: &str| {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = json!({"type": "Ready", "status": ready, "reason": "Test", "message": "as the test says",
            "lastHeartbeatTime": now, "lastTransitionTime": now});
        let patch = json!({"status": {"conditions": [condition]}}).to_string();
        kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &patch], None);
    };
    status("Unknown");
    let lost = podlife(&["wait-ready", &format!("node/{name}"), "--once", "-o", "json"]);
    assert_eq!((lost.exit, &lost.json["state"]), (3, &json!("failed")), "{}", lost.stdout);
    assert_eq!(lost.json["rootCauses"][0]["code"], "NodeNotReady", "{}", lost.stdout);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "far"},
        "spec": {"nodeName": name, "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "app", "image": "podlife.test/app:1"}]}});
    let scenario = scenario.apply(&pod.to_string());
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |type_: &str| json!({"type": type_, "status": "True", "lastTransitionTime": now});
    let says = json!({"status": {"phase": "Running", "conditions": [condition("PodScheduled"), condition("ContainersReady"), condition("Ready")],
        "containerStatuses": [{"name": "app", "image": "podlife.test/app:1", "imageID": "x", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": now}}}]}});
    scenario.kubectl(&[
        "patch",
        "pod",
        "far",
        "--subresource=status",
        "--type=merge",
        "-p",
        &says.to_string(),
    ]);
    let scenario = scenario
        .until("it says that it is ready", pods_ready(1))
        .until("it says that it runs", running("app"));
    let answer = wait(&scenario, "pod/far", &["--timeout", "5s"]);
    assert_eq!(answer.exit, 124, "{}{}", answer.stdout, answer.stderr);
    assert!(
        reason(&answer).contains(&format!("its node {name} is not ready")),
        "{}",
        answer.stdout
    );
    // The node is back: so is the pod, without anything else having changed.
    let mut child = super::started(&scenario, &["wait-ready", "pod/far", "--timeout", "60s"]);
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    while !line.contains("is not ready") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(read > 0, "it ended without a word about the node");
    }
    status("True");
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    let found = podlife(&["wait-ready", &format!("node/{name}"), "--once"]);
    assert!(found.exit == 0 && found.stdout.contains("READY  node/"), "{}", found.stdout);
    scenario.kubectl(&["delete", "pod", "far", "--force", "--grace-period=0"]);
}
