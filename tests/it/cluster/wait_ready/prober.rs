//! The prober in the cluster: it asks as clients do, and nothing of it stays.

use std::io::{BufRead as _, BufReader, Read as _};

use podlife::model::kind;
use serde_json::{Value, json};

use super::super::harness::{Scenario, clean_up, kubectl, podlife, pods_ready, send};
use super::super::policies::is_enforced;
use super::survival::until;
use super::{endpoints, manifest, probe, reason, service, started, state, wait, web};
use crate::fake_api::Folder;

pub const IMAGE: &str = "busybox:1.36";
pub const INSIDE: [&str; 4] = ["--via", "in-cluster", "--probe-image", IMAGE];

fn probers(scenario: &Scenario) -> Vec<String> {
    let ours = |o: &Value| o["metadata"]["labels"]["app.kubernetes.io/name"] == "podlife-prober";
    let jobs = scenario.list(&kind::JOB).into_iter().chain(scenario.list(&kind::POD));
    jobs.filter(ours).map(|o| o["metadata"]["name"].to_string()).collect()
}

/// Nothing of a prober is left, as soon as the cluster has taken its pod away.
pub fn nothing_stays(scenario: &Scenario) {
    scenario.wait("nothing of the prober is left", |s| probers(s).is_empty());
}

/// A namespace that takes only pods that are as restricted as can be.
fn restricted(scenario: &Scenario) {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    scenario.kubectl(&["label", "namespace", &scenario.namespace, label]);
}

fn with_security(mut workload: Value) -> Value {
    let pod = workload.pointer_mut("/spec/template/spec").unwrap();
    pod["securityContext"] = json!({"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["containers"][0]["securityContext"] = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    workload
}

#[test]
fn it_asks_as_a_client_does_and_goes() {
    let scenario = Scenario::new("wr-inside");
    restricted(&scenario);
    let mut odd = service("ClusterIP");
    odd["spec"]["ports"] = json!([{"port": 80, "targetPort": 8080, "name": "http"}, {"port": 6379, "targetPort": 6379, "name": "redis"}]);
    let listens = json!({"LISTEN": "0.0.0.0:8080,tcp:0.0.0.0:6379", "TCP_STRICT": "1", "VERSION": "v7"});
    let scenario = scenario.apply(&manifest(&[with_security(web(2, listens, probe())), odd]));
    let answer = wait(&scenario, "deployment/web", &["--probe-image", IMAGE]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["provenBy"], "in-cluster", "{}", answer.stdout);
    assert!(
        answer.stderr.contains("checking from inside the cluster: job/podlife-probe-"),
        "{}",
        answer.stderr
    );
    assert!(!answer.stderr.contains("Warning"), "{}", answer.stderr);
    nothing_stays(&scenario);
    let ask = |arguments: &[&str]| {
        wait(
            &scenario,
            "deployment/web",
            &[&INSIDE[..], &["--once", "--port", "http"], arguments].concat(),
        )
    };
    let body = ask(&["--http", "/any", "--body", "^app v7 on web-"]);
    assert_eq!(state(&body), (0, "ready"), "{}{}", body.stdout, body.stderr);
    let other = ask(&["--http", "/any", "--body", "v8"]);
    assert_eq!(other.exit, 124, "{}{}", other.stdout, other.stderr);
    let status = ask(&["--http", "/status/503"]);
    assert_eq!(status.exit, 124, "{}", status.stdout);
    assert!(reason(&status).contains("status 503"), "{}", status.stdout);
    let injected = ask(&["--http", "/echo?$(id)';id;$HOME", "--body", r"^GET /echo\?\$\(id\)';id;\$HOME HTTP"]);
    assert_eq!(injected.exit, 0, "{}{}", injected.stdout, injected.stderr);
    let host = ask(&["--http", "/echo", "--host", "shop.example", "--body", "(?m)^Host: shop.example$"]);
    assert_eq!(host.exit, 0, "{}{}", host.stdout, host.stderr);
    nothing_stays(&scenario);
    let restarts = scenario.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"]);
    assert_eq!(restarts, "0 0", "the port that is no HTTP was sent something");
}

#[test]
fn a_policy_that_keeps_clients_out_is_seen_only_from_inside() {
    let scenario = Scenario::new("wr-policy");
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": []},
    });
    let scenario = scenario
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP"), policy]))
        .until("it is ready", pods_ready(1));
    scenario.wait("the policy is in force", |s| s.list(&kind::NETWORK_POLICY).iter().all(is_enforced));
    scenario.wait("the pod is a ready endpoint", |scenario| {
        endpoints(scenario).iter().any(|endpoint| endpoint["conditions"]["ready"] == true)
    });
    let proxied = wait(&scenario, "service/web", &["--once"]);
    assert_eq!(state(&proxied), (4, "unknown"), "{}", proxied.stdout);
    assert!(reason(&proxied).contains("bypasses NetworkPolicies"), "{}", proxied.stdout);
    let inside = wait(&scenario, "service/web", &[&INSIDE[..], &["--once"]].concat());
    assert_eq!(inside.exit, 124, "{}{}", inside.stdout, inside.stderr);
    let said = reason(&inside);
    assert!(
        said.contains("its pods answer, and its Service by the API server") && said.contains("NetworkPolicy"),
        "{said}"
    );
    nothing_stays(&scenario);
}

#[test]
fn one_asks_in_each_namespace() {
    let scenarios = [Scenario::new("wr-inone"), Scenario::new("wr-inother")];
    let mut objects = Vec::new();
    for scenario in &scenarios {
        // Nobody gets in from another namespace.
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "own"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]},
        });
        for mut object in [web(1, json!({}), probe()), service("ClusterIP"), policy] {
            object["metadata"]["namespace"] = scenario.namespace.clone().into();
            objects.push(object);
        }
    }
    let folder = Folder::new();
    let file = folder.0.join("all.yaml");
    std::fs::write(&file, manifest(&objects)).unwrap();
    let file = file.to_str().unwrap();
    kubectl(&["apply", "-f", file], None);
    for scenario in &scenarios {
        scenario.wait("it is ready behind a policy in force", |s| {
            pods_ready(1)(&s.state()) && s.list(&kind::NETWORK_POLICY).iter().all(is_enforced)
        });
    }
    let answer = podlife(&[&["wait-ready", "-f", file, "-o", "json"][..], &INSIDE].concat());
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    let asked = answer.json["application"]["asked"].as_array().unwrap();
    assert_eq!(asked.iter().filter(|a| a["via"] == "in-cluster").count(), 2, "{}", answer.stdout);
    for scenario in &scenarios {
        let own = format!("in namespace {}", scenario.namespace);
        assert_eq!(answer.stderr.matches(&own).count(), 1, "{}", answer.stderr);
        nothing_stays(scenario);
    }
    // Where it cannot run in one of them, nothing was proven.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}});
    scenarios[1].kubectl_in(&["apply", "-f", "-"], Some(&quota.to_string()));
    scenarios[1].wait("the quota counts", |s| {
        s.list(&kind::RESOURCE_QUOTA).iter().any(|q| q["status"]["used"]["pods"] == "1")
    });
    let half = podlife(&[&["wait-ready", "-f", file, "-o", "json"][..], &INSIDE].concat());
    assert_eq!(state(&half), (4, "unknown"), "{}{}", half.stdout, half.stderr);
    assert!(reason(&half).contains("exceeded quota"), "{}", half.stdout);
    scenarios.iter().for_each(nothing_stays);
}

#[test]
fn it_needs_exactly_the_rights_that_are_printed() {
    let scenario = Scenario::new("wr-inrole").apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]));
    let account = format!("serviceaccount:{}:waiter", scenario.namespace);
    let role = |with: &[&str]| {
        scenario
            .podlife(&[&["rbac", "wait-ready", "--bind", &account], with].concat())
            .stdout
    };
    let (without, with) = (role(&[]), role(&["--with", "in-cluster"]));
    let who = format!("system:{account}");
    let scenario = scenario.apply(&without);
    let arguments = [&INSIDE[..], &["--as", &who]].concat();
    let denied = wait(&scenario, "deployment/web", &arguments);
    assert_eq!(state(&denied), (4, "unknown"), "{}{}", denied.stdout, denied.stderr);
    let printed = format!(
        "create on jobs, delete on jobs (kubectl podlife rbac wait-ready -n {} --with in-cluster)",
        scenario.namespace
    );
    assert!(reason(&denied).contains(&printed), "{}", denied.stdout);
    let scenario = scenario.apply(&with);
    let granted = wait(&scenario, "deployment/web", &arguments);
    assert_eq!(state(&granted), (0, "ready"), "{}{}", granted.stdout, granted.stderr);
    nothing_stays(&scenario);
}

/// Waits until the prober of a run asks.
fn asks(scenario: &Scenario) {
    scenario.wait("the prober runs", |s| {
        let ours = |p: &Value| p["metadata"]["labels"]["app.kubernetes.io/name"] == "podlife-prober";
        s.list(&kind::POD).iter().any(|p| ours(p) && p["status"]["phase"] == "Running")
    });
}

#[test]
fn nothing_of_it_stays_however_a_run_ends() {
    // It answers with a status that nobody wants: the run goes on until it is told to end.
    let scenario = Scenario::new("wr-ends")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let never = [&["wait-ready", "service/web", "-o", "json", "--http", "/status/503"][..], &INSIDE].concat();
    for (signal, code) in [("-HUP", 129), ("-INT", 130), ("-TERM", 143)] {
        let mut child = started(&scenario, &never);
        asks(&scenario);
        send(&child, signal);
        let mut document = String::new();
        child.stdout.take().unwrap().read_to_string(&mut document).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{document}");
        nothing_stays(&scenario);
    }
    // Before the pod is there, while the Job is only just made.
    let mut child = started(&scenario, &never);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("checking from inside") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended without a prober");
    }
    send(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    nothing_stays(&scenario);
    let late = scenario.podlife(&[&never[..], &["--timeout", "12s"]].concat());
    assert_eq!(late.exit, 124, "{}{}", late.stdout, late.stderr);
    nothing_stays(&scenario);
    // Ready, and nobody can reach it: the prober is there when the reason is found.
    let scenario = scenario.apply(&manifest(&[web(1, json!({"LISTEN": "127.0.0.1:8080"}), json!({}))]));
    let arguments = ["wait-ready", "deployment/web", "-o", "json", "--grace", "probe=1s,other=1s"];
    let failed = scenario.podlife(&[&arguments[..], &INSIDE].concat());
    assert_eq!(failed.exit, 3, "{}{}", failed.stdout, failed.stderr);
    assert!(failed.stderr.contains("checking from inside"), "{}", failed.stderr);
    nothing_stays(&scenario);
}

#[test]
fn a_run_that_is_killed_leaves_a_job_that_the_cluster_ends() {
    let scenario = Scenario::new("wr-killed")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let never = ["wait-ready", "service/web", "--http", "/status/503", "--timeout", "20s"];
    let mut child = started(&scenario, &[&never[..], &INSIDE].concat());
    asks(&scenario);
    child.kill().unwrap();
    child.wait().unwrap();
    let job = scenario.list(&kind::JOB).remove(0);
    let seconds = job["spec"]["activeDeadlineSeconds"].as_u64().unwrap();
    assert!((1..=20).contains(&seconds), "no longer than the run would have lasted: {seconds}");
    nothing_stays(&scenario);
}

/// The prober's pod that runs now; none that goes.
fn asking(scenario: &Scenario) -> Option<String> {
    let ours = |p: &&Value| p["metadata"]["labels"]["app.kubernetes.io/name"] == "podlife-prober";
    let stays = |p: &&Value| p["status"]["phase"] == "Running" && p["metadata"]["deletionTimestamp"].is_null();
    let pods = scenario.list(&kind::POD);
    Some(pods.iter().filter(ours).find(stays)?["metadata"]["name"].as_str()?.to_owned())
}

#[test]
fn a_prober_that_is_evicted_or_deleted_has_another_one_follow_it_three_times() {
    let scenario = Scenario::new("wr-evicted")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let evict = |pod: &str| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": scenario.namespace}});
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", scenario.namespace);
        kubectl(&["create", "--raw", &path, "-f", "-"], Some(&eviction.to_string()));
    };
    let delete = |pod: &str| drop(scenario.kubectl(&["delete", "pod", pod, "--wait=false"]));
    let lose = |take_away: &dyn Fn(&str)| {
        until("a prober runs", || asking(&scenario).is_some());
        let pod = asking(&scenario).unwrap();
        take_away(&pod);
        until("it goes", || asking(&scenario).is_none_or(|other| other != pod));
    };
    let waits = [&["wait-ready", "service/web", "-o", "json", "--stable-for", "10s"][..], &INSIDE].concat();
    // Each time within the row of answers that would have been enough.
    let child = started(&scenario, &waits);
    lose(&evict);
    lose(&delete);
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr.matches("checking from inside").count(), 3, "{stderr}");
    assert_eq!(stderr.matches("a new one follows").count(), 2, "{stderr}");
    nothing_stays(&scenario);
    let child = started(&scenario, &waits);
    (0..4).for_each(|_| lose(&delete));
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{stderr}");
    assert_eq!(stderr.matches("checking from inside").count(), 4, "{stderr}");
    let verdict: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(
        verdict["reason"]
            .as_str()
            .unwrap()
            .starts_with("the prober's pod was deleted 4 times"),
        "{verdict}"
    );
    nothing_stays(&scenario);
}

#[test]
fn a_prober_is_not_an_application() {
    let scenario = Scenario::new("wr-siblings")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let mut other = started(
        &scenario,
        &[&["wait-ready", "service/web", "--http", "/status/503"][..], &INSIDE].concat(),
    );
    asks(&scenario);
    let pods = wait(&scenario, "pods", &["--once"]);
    let jobs = wait(&scenario, "jobs", &["--once"]);
    send(&other, "-INT");
    other.wait().unwrap();
    assert!(!pods.stdout.contains("podlife-probe-"), "{}", pods.stdout);
    assert_eq!(pods.exit, 0, "{}{}", pods.stdout, pods.stderr);
    assert!(!jobs.stdout.contains("podlife-probe-"), "{}", jobs.stdout);
    nothing_stays(&scenario);
}

/// Something that a node has to have so that it takes pods of one namespace; no node has it at first.
struct Scarce {
    resource: String,
    node: String,
}

impl Scarce {
    /// From now on each new container of the namespace asks for it.
    fn of(scenario: &Scenario) -> Self {
        let scarce = Self {
            resource: format!("podlife.test/{}", scenario.namespace),
            node: scenario.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}"]),
        };
        let one = json!({&scarce.resource: "1"});
        let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "scarce"},
            "spec": {"limits": [{"type": "Container", "default": one, "defaultRequest": one}]}});
        scenario.kubectl_in(&["apply", "-f", "-"], Some(&range.to_string()));
        scarce
    }

    /// So many as an autoscaler would bring with a new node; none takes it away.
    fn patch(&self, count: Option<&str>) -> String {
        json!({"status": {"capacity": {&self.resource: count}, "allocatable": {&self.resource: count}}}).to_string()
    }

    fn arguments<'a>(&'a self, patch: &'a str) -> [&'a str; 7] {
        ["patch", "node", &self.node, "--subresource=status", "--type=merge", "-p", patch]
    }

    fn give(&self, count: &str) {
        kubectl(&self.arguments(&self.patch(Some(count))), None);
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        clean_up(&self.arguments(&self.patch(None)), None);
    }
}

#[test]
fn a_prober_waits_for_a_node_as_pods_do() {
    let scenario = Scenario::new("wr-nodeless")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let scarce = Scarce::of(&scenario);
    let arguments = |grace| [&["--grace", grace][..], &INSIDE].concat();
    let never = wait(&scenario, "service/web", &arguments("scheduling=1s"));
    assert_eq!(state(&never), (4, "unknown"), "{}{}", never.stdout, never.stderr);
    let said = reason(&never);
    assert!(said.contains("the prober cannot check: it is not scheduled: "), "{said}");
    nothing_stays(&scenario);
    let waits = [&["wait-ready", "service/web", "--timeout", "4m"][..], &arguments("scheduling=4m")].concat();
    let child = started(&scenario, &waits);
    scenario.wait("no node takes the prober", |s| {
        let is_unscheduled = |p: &Value| {
            let conditions = p["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|c| c["reason"] == "Unschedulable")
        };
        s.list(&kind::POD).iter().any(is_unscheduled)
    });
    scarce.give("1");
    let ended = child.wait_with_output().unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    assert_eq!(ended.status.code(), Some(0), "{told}");
    nothing_stays(&scenario);
}
