//! Probers in the cluster that cannot run: nothing is proven then, and the reason is said.

use std::io::Write as _;
use std::process::{Command, Stdio};

use podlife::model::kind;
use serde_json::{Value, json};

use super::super::harness::{Scenario, clean_up, kubeconfig, kubectl, kubectl_program, pods_ready};
use super::prober::{IMAGE, INSIDE, nothing_stays};
use super::{manifest, probe, reason, service, state, wait, web};

#[test]
fn the_obstacle_to_a_check_is_reported() {
    let scenario = Scenario::new("wr-noprobe")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    for (image, why) in [
        ("podlife.test/missing:1", "its image cannot be pulled"),
        ("podlife.test/app:1", "has no shell"),
    ] {
        let answer = wait(&scenario, "service/web", &["--via", "in-cluster", "--probe-image", image]);
        assert_eq!(state(&answer), (4, "unknown"), "{image} {}{}", answer.stdout, answer.stderr);
        assert!(reason(&answer).contains(why), "{}", answer.stdout);
    }
    let image = wait(&scenario, "service/web", &["--via", "in-cluster"]);
    assert_eq!(image.exit, 2, "{}", image.stderr);
    let grpc = wait(&scenario, "service/web", &[&INSIDE[..], &["--once", "--grpc"]].concat());
    assert_eq!(state(&grpc), (4, "unknown"), "{}{}", grpc.stdout, grpc.stderr);
    // A quota that has no room for it.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}});
    let scenario = scenario.apply(&quota.to_string());
    scenario.wait("the quota counts", |s| {
        s.list(&kind::RESOURCE_QUOTA).iter().any(|q| q["status"]["used"]["pods"] == "1")
    });
    let full = wait(&scenario, "service/web", &INSIDE);
    assert_eq!(state(&full), (4, "unknown"), "{}{}", full.stdout, full.stderr);
    assert!(
        reason(&full).contains("its pod is refused") && reason(&full).contains("exceeded quota"),
        "{}",
        full.stdout
    );
    scenario.kubectl(&["delete", "quota", "full"]);
    nothing_stays(&scenario);
}

/// Refuses objects of these resources in the namespace that are a prober's.
fn refusing(scenario: &Scenario, group: &str, resource: &str) -> String {
    let name = format!("{}-{resource}", scenario.namespace);
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}]},
            "validations": [{
                "expression": "!has(object.metadata.labels) || !('app.kubernetes.io/name' in object.metadata.labels) \
                    || object.metadata.labels['app.kubernetes.io/name'] != 'podlife-prober'",
                "message": format!("no {resource} of strangers"),
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scenario.namespace}}},
        },
    });
    manifest(&[policy, binding])
}

/// What a policy says is taken away with it.
struct Refusing(String);

impl Refusing {
    /// Policies take a moment to be in force.
    fn begin(scenario: &Scenario, group: &str, resource: &str, strange: &Value) -> Self {
        let manifest = refusing(scenario, group, resource);
        kubectl(&["apply", "-f", "-"], Some(&manifest));
        let policy = Self(manifest);
        scenario.wait("the policy is in force", |s| !is_taken(s, strange));
        policy
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        clean_up(&["delete", "--wait=false", "--ignore-not-found", "-f", "-"], Some(&self.0));
    }
}

/// Whether an object could be made now.
fn is_taken(scenario: &Scenario, object: &Value) -> bool {
    let arguments = [
        "--kubeconfig",
        &kubeconfig(),
        "-n",
        &scenario.namespace,
        "create",
        "--dry-run=server",
        "-f",
        "-",
    ];
    let mut child = Command::new(kubectl_program())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn a_policy_that_refuses_it_is_said() {
    let scenario = Scenario::new("wr-norefuse")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let strange = json!({"name": "strange", "labels": {"app.kubernetes.io/name": "podlife-prober"}});
    let spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": IMAGE}]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": strange, "spec": spec});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": strange, "spec": {"template": {"spec": spec}}});
    for (group, resource, object, why) in [
        ("", "pods", &pod, "the prober cannot check: its pod is refused"),
        ("batch", "jobs", &job, "the prober's Job is refused"),
    ] {
        let policy = Refusing::begin(&scenario, group, resource, object);
        let answer = wait(&scenario, "service/web", &INSIDE);
        assert_eq!(state(&answer), (4, "unknown"), "{}{}", answer.stdout, answer.stderr);
        let said = reason(&answer);
        assert!(
            said.contains(why) && said.contains(&format!("no {resource} of strangers")),
            "{said}"
        );
        drop(policy);
        nothing_stays(&scenario);
    }
}
