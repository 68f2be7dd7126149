//! Pods that are refused when they are created.

use podlife::model::kind;
use serde_json::Value;

use super::probes::deployment;
use crate::cluster::harness::{Scenario, clean_up, event, kubectl, pods_ready};
use crate::cluster::objects::Workload;

const IDLE: &str = "command: [sleep, '3600']";

fn refused(name: &'static str, manifest: &str, text: &'static str) -> Scenario {
    Scenario::new(name)
        .apply(manifest)
        .apply(&deployment("api", IDLE))
        .until("pods are refused", event("FailedCreate", text))
}

/// An object outside of namespaces, removed at the end even if the test fails.
pub struct ClusterWide(Vec<(&'static str, String)>);

impl ClusterWide {
    pub fn apply(objects: &[(&'static str, &str)], manifest: &str) -> Self {
        let guard = Self(objects.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect());
        kubectl(&["apply", "-f", "-"], Some(manifest));
        guard
    }
}

impl Drop for ClusterWide {
    fn drop(&mut self) {
        for (kind, name) in &self.0 {
            clean_up(&["delete", kind, name, "--ignore-not-found", "--wait=false"], None);
        }
    }
}

#[test]
fn a_quota_that_is_used_up() {
    let manifest = "---\n{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {pods: '0'}}}";
    let answer = refused("quota", manifest, "exceeded quota").first_root_cause("QuotaExceeded", "exhausted", "deployment/api");
    assert_eq!(answer.root_cause()["related"][0]["name"], "small");
    let summary = answer.root_cause()["summary"].as_str().unwrap();
    assert!(summary.contains("0 of 0 used"), "{summary}");
}

#[test]
fn a_quota_that_demands_a_limit() {
    let manifest = "---\n{apiVersion: v1, kind: ResourceQuota, metadata: {name: compute}, spec: {hard: {limits.memory: 1Gi}}}";
    let answer = refused("must-specify", manifest, "must specify").first_root_cause("QuotaExceeded", "must-specify", "deployment/api");
    assert_eq!(answer.root_cause()["subject"]["container"], "app");
}

#[test]
fn a_limit_range_that_is_narrower() {
    let manifest =
        "---\n{apiVersion: v1, kind: LimitRange, metadata: {name: narrow}, spec: {limits: [{type: Container, max: {memory: 64Mi}}]}}";
    let scenario = Scenario::new("limits")
        .apply(manifest)
        .apply(&deployment("api", &format!("{IDLE}, resources: {{limits: {{memory: 1Gi}}}}")))
        .until("pods are refused", event("FailedCreate", "maximum memory usage"));
    scenario.first_root_cause("LimitRangeViolated", "", "deployment/api");
}

#[test]
fn a_default_limit_that_makes_the_pod_invalid() {
    let manifest =
        "---\n{apiVersion: v1, kind: LimitRange, metadata: {name: defaults}, spec: {limits: [{type: Container, default: {cpu: 100m}}]}}";
    Scenario::new("invalid")
        .with_first_look()
        .apply(manifest)
        .apply(&deployment("api", &format!("{IDLE}, resources: {{requests: {{cpu: 200m}}}}")))
        .until("pods are refused", event("FailedCreate", "is invalid"))
        .first_root_cause("InvalidPodSpec", "", "deployment/api");
}

#[test]
fn a_namespace_that_is_restricted() {
    let scenario = Scenario::new("restricted").with_first_look();
    scenario.kubectl(&[
        "label",
        "namespace",
        &scenario.namespace,
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    scenario
        .apply(&deployment("api", IDLE))
        .until("pods are refused", event("FailedCreate", "violates PodSecurity"))
        .first_root_cause("PodSecurityViolated", "", "deployment/api");
}

fn with_spec(name: &str, field: &str) -> Workload {
    deployment(name, IDLE).pod(field)
}

#[test]
fn a_service_account_that_is_missing() {
    Scenario::new("account")
        .with_first_look()
        .apply(&with_spec("api", "serviceAccountName: robot"))
        .until("pods are refused", event("FailedCreate", "robot"))
        .first_root_cause("ServiceAccountMissing", "", "deployment/api");
}

#[test]
fn a_priority_class_that_is_missing() {
    Scenario::new("priority")
        .with_first_look()
        .apply(&with_spec("api", "priorityClassName: very-high"))
        .until("pods are refused", event("FailedCreate", "very-high"))
        .first_root_cause("PriorityClassMissing", "", "deployment/api");
}

#[test]
fn a_runtime_class_that_is_missing() {
    Scenario::new("runtime")
        .with_first_look()
        .apply(&with_spec("api", "runtimeClassName: sandboxed"))
        .until("pods are refused", event("FailedCreate", "sandboxed"))
        .first_root_cause("RuntimeClassMissing", "", "deployment/api");
}

#[test]
fn a_stateful_set_whose_claim_is_refused() {
    let manifest = "
---
{apiVersion: v1, kind: ResourceQuota, metadata: {name: disks}, spec: {hard: {persistentvolumeclaims: '0'}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600'], volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}]
";
    Scenario::new("claim-quota")
        .with_first_look()
        .apply(manifest)
        .until("the claim is refused", event("FailedCreate", "exceeded quota"))
        .first_root_cause("QuotaExceeded", "exhausted", "statefulset/db");
}

/// What is asked about each object takes effect some moments after it was written: tries again until a pod is refused with this text.
fn until_refused(scenario: &Scenario, text: &str) {
    scenario.wait("pods are refused", |scenario| {
        let refused = scenario
            .list(&kind::EVENT)
            .iter()
            .any(|e| e["reason"] == "FailedCreate" && e["message"].as_str().is_some_and(|m| m.contains(text)));
        if !refused {
            scenario.kubectl(&[
                "delete",
                "deployment",
                "api",
                "--ignore-not-found",
                "--cascade=foreground",
                "--grace-period=0",
            ]);
            scenario.kubectl_in(&["apply", "-f", "-"], Some(&deployment("api", IDLE).to_string()));
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        refused
    });
}

#[test]
fn a_policy_that_says_no() {
    let scenario = Scenario::new("policy");
    let name = format!("{}.podlife.test", scenario.namespace);
    let namespace = &scenario.namespace;
    let manifest = format!(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]}}
  validations: [{{expression: 'has(object.metadata.labels.team)', message: pods need a team label}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}
"
    );
    let _policy = ClusterWide::apply(
        &[("validatingadmissionpolicybinding", &name), ("validatingadmissionpolicy", &name)],
        &manifest,
    );
    until_refused(&scenario, "pods need a team label");
    let answer = scenario.first_root_cause("AdmissionDenied", "", "deployment/api");
    assert!(answer.root_cause()["summary"].as_str().unwrap().contains("pods need a team label"));
}

#[test]
fn a_webhook_without_endpoints() {
    let scenario = Scenario::new("webhook");
    let name = format!("{}.podlife.test", scenario.namespace);
    let namespace = &scenario.namespace;
    let manifest = format!(
        "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {name}}}
webhooks:
- name: check.podlife.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
  clientConfig: {{service: {{namespace: {namespace}, name: guard, path: /}}}}
  rules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
"
    );
    let _webhook = ClusterWide::apply(&[("validatingwebhookconfiguration", &name)], &manifest);
    until_refused(&scenario, "failed calling webhook");
    scenario.first_root_cause("WebhookUnavailable", "", "deployment/api");
}

#[test]
fn a_namespace_that_cannot_go() {
    let held = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [podlife.test/hold]}}";
    let scenario = Scenario::new("going")
        .apply(held)
        .apply(&deployment("api", IDLE))
        .until("it runs", pods_ready(1));
    scenario.kubectl(&["delete", "namespace", &scenario.namespace, "--wait=false"]);
    scenario.wait("the namespace waits for what holds it", |scenario| {
        let conditions = |namespace: &Value| namespace["status"]["conditions"].to_string().contains("podlife.test/hold");
        let namespaces = scenario.list(&kind::NAMESPACE);
        namespaces
            .iter()
            .any(|n| n["metadata"]["name"] == *scenario.namespace && conditions(n) && scenario.list(&kind::POD).is_empty())
    });
    let answer = scenario.diagnose();
    scenario.kubectl(&[
        "patch",
        "configmap",
        "held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    let codes: Vec<&str> = answer.json["rootCauses"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["code"].as_str())
        .collect();
    assert_eq!(codes, ["NamespaceTerminating"], "{}", answer.stdout);
}

#[test]
fn a_refusal_that_is_over() {
    let scenario = refused(
        "refusal-over",
        "---\n{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {pods: '0'}}}",
        "exceeded quota",
    );
    scenario.kubectl(&["delete", "resourcequota", "small"]);
    scenario.kubectl(&["rollout", "restart", "deployment/api"]);
    scenario.until("it runs", pods_ready(1)).healthy();
}

/// Among what the API server refuses and no code is made for: a ServiceAccount that lists the Secrets its pods may mount.
#[test]
fn a_refusal_that_has_no_code_of_its_own() {
    let scenario = Scenario::new("other-refusal").with_first_look();
    scenario.kubectl(&[
        "annotate",
        "serviceaccount",
        "default",
        "kubernetes.io/enforce-mountable-secrets=true",
    ]);
    let mounts = with_spec("api", "volumes: [{name: v, secret: {secretName: db}}]");
    let answer = scenario
        .apply("---\n{apiVersion: v1, kind: Secret, metadata: {name: db}}")
        .apply(&mounts)
        .until("it is refused", event("FailedCreate", "is not allowed because service account"))
        .first_root_cause("ObjectCreationFailing", "", "deployment/api");
    let summary = answer.root_cause()["summary"].as_str().unwrap();
    assert!(summary.contains("secretName=\"db\""), "{summary}");
}
