//! Pods that no node takes.

use super::node::PretendNode;
use super::probes::{causes_at_first_look, root_causes};
use crate::cluster::harness::{Scenario, State, event, kubectl, pods_ready};

fn pod(name: &str, spec: &str) -> String {
    let container = if spec.contains("containers:") {
        String::new()
    } else {
        ", containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]".to_owned()
    };
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{terminationGracePeriodSeconds: 0, {spec}{container}}}}}\n"
    )
}

fn asks(resources: &str) -> String {
    format!("containers: [{{name: app, image: 'busybox:1.36', resources: {{{resources}}}}}]")
}

fn is_unschedulable(pod: &serde_json::Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "PodScheduled" && c["reason"] == "Unschedulable"))
}

/// The scheduler has given its word on so many pods, longer ago than a claim or a node takes to settle.
fn refused(count: usize) -> impl Fn(&State) -> bool {
    move |state| {
        let said = |pod: &&serde_json::Value| {
            let old = pod["metadata"]["creationTimestamp"]
                .as_str()
                .and_then(|t| t.parse::<jiff::Timestamp>().ok())
                .is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 12);
            old && is_unschedulable(pod)
        };
        state.pods.iter().filter(said).count() == count
    }
}

#[test]
fn every_reason_of_the_scheduler_has_its_cause() {
    let pods = [
        ("cpu", asks("requests: {cpu: '64'}"), "cpu"),
        ("memory", asks("requests: {memory: 640Gi}"), "memory"),
        ("disk", asks("requests: {ephemeral-storage: 9000Gi}"), "ephemeral-storage"),
        ("gpu", asks("limits: {example.com/gpu: '1'}"), "extended-resource"),
        ("selector", "nodeSelector: {disktype: ssd}".to_owned(), "node-selector"),
        (
            "affinity",
            "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]}}}".to_owned(),
            "node-affinity",
        ),
        (
            "near",
            "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: nobody}}}]}}".to_owned(),
            "pod-affinity",
        ),
        (
            "spread",
            "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: spread}}}]".to_owned(),
            "topology-spread",
        ),
    ];
    let manifest: String = pods.iter().map(|(name, spec, _)| pod(name, spec)).collect();
    let mut expected: Vec<String> = pods
        .iter()
        .map(|(name, _, cause)| format!("Unschedulable ({cause}) pod/{name}"))
        .collect();
    expected.sort();
    let scenario = Scenario::new("unschedulable")
        .apply(&manifest)
        .until("the scheduler has refused all", |state| {
            state.pods.len() == 8 && state.pods.iter().all(is_unschedulable)
        });
    assert_eq!(causes_at_first_look(&scenario.diagnose()), expected);
    let scenario = scenario.until("they have waited for long", refused(pods.len()));
    assert_eq!(root_causes(&scenario.diagnose()), expected);
}

/// A pod for one pretend node, whose kubelet reports nothing.
fn pod_for(node: &str) -> String {
    let tolerated: Vec<String> = [
        "podlife.test/pretend",
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    .iter()
    .map(|key| format!("{{key: {key}, operator: Exists}}"))
    .collect();
    let tolerations = tolerated.join(", ");
    pod(
        "wants",
        &format!("nodeSelector: {{podlife.test/pretend: {node}}}, tolerations: [{tolerations}]"),
    )
}

#[test]
fn a_node_that_is_under_maintenance() {
    let scenario = Scenario::new("cordoned").with_first_look();
    let name = scenario.namespace.clone();
    let _node = PretendNode::with(&name, "", "NoSchedule");
    kubectl(&["cordon", &name], None);
    scenario
        .apply(&pod_for(&name))
        .until("the scheduler has looked", refused(1))
        .first_root_cause("Unschedulable", "cordoned", "pod/wants");
}

#[test]
fn a_node_that_runs_as_many_pods_as_it_may() {
    let scenario = Scenario::new("full-node").with_first_look();
    let name = scenario.namespace.clone();
    let node = PretendNode::with(&name, "", "NoSchedule");
    node.reports(r#"{"capacity":{"cpu":"8","memory":"8Gi","pods":"0"},"allocatable":{"cpu":"8","memory":"8Gi","pods":"0"}}"#);
    scenario
        .apply(&pod_for(&name))
        .until("the scheduler has looked", refused(1))
        .first_root_cause("Unschedulable", "pods-per-node", "pod/wants");
}

#[test]
fn a_device_class_without_devices() {
    let claim = "---\n{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: gpu}, spec: {devices: {requests: [{name: one, exactly: {deviceClassName: podlife.test.none}}]}}}\n";
    let uses = "resourceClaims: [{name: gpu, resourceClaimName: gpu}], containers: [{name: app, image: 'busybox:1.36', resources: {claims: [{name: gpu}]}}]";
    let answer = Scenario::new("device")
        .with_first_look()
        .apply(&(claim.to_owned() + &pod("wants", uses)))
        .until("the scheduler has looked", refused(1))
        .first_root_cause("Unschedulable", "resource-claim", "pod/wants");
    assert!(answer.stdout.contains("podlife.test.none"), "{}", answer.stdout);
}

#[test]
fn the_numbers_of_a_pod_that_is_too_large() {
    let answer = Scenario::new("too-large")
        .with_first_look()
        .apply(&pod("large", &asks("requests: {cpu: '64'}")))
        .until("the scheduler has looked", refused(1))
        .first_root_cause("Unschedulable", "cpu", "pod/large");
    let summary = answer.root_cause()["summary"].as_str().unwrap();
    assert!(summary.contains("requests 64 cpu") && summary.contains("largest node"), "{summary}");
}

#[test]
fn a_second_replica_that_may_not_be_near_the_first() {
    let manifest = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: apart}
spec:
  replicas: 2
  selector: {matchLabels: {app: apart}}
  template:
    metadata: {labels: {app: apart}}
    spec:
      terminationGracePeriodSeconds: 0
      affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: apart}}}]}}
      containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]
";
    Scenario::new("apart")
        .with_first_look()
        .apply(manifest)
        .until("the second has no node", refused(1))
        .first_root_cause("Unschedulable", "pod-anti-affinity", "deployment/apart");
}

#[test]
fn a_host_port_that_another_pod_holds() {
    let port = |command: &str| {
        format!(
            "containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: {command}, ports: [{{containerPort: 80, hostPort: 28471}}]}}]"
        )
    };
    let answer = Scenario::new("host-port")
        .apply(&pod("holder", &port("[sleep, '3600']")))
        .until("the holder is up", pods_ready(1))
        .apply(&pod("late", &port("[sleep, '3600']")))
        .until("the other has no node", refused(1))
        .first_root_cause("HostPortConflict", "", "pod/late");
    assert_eq!(answer.root_cause()["related"][0]["name"], "holder");
}

#[test]
fn a_scheduler_that_does_not_exist() {
    Scenario::new("scheduler")
        .apply(&pod("waits", "schedulerName: mine"))
        .until("it has waited longer than a scheduler takes", |state| {
            state.pods.iter().any(|pod| {
                pod["metadata"]["creationTimestamp"]
                    .as_str()
                    .and_then(|t| t.parse::<jiff::Timestamp>().ok())
                    .is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 32)
            })
        })
        .first_root_cause("Unschedulable", "scheduler-missing", "pod/waits");
}

#[test]
fn a_pod_that_its_node_refused() {
    let scenario = Scenario::new("refused").with_first_look();
    let node = scenario.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    scenario
        .apply(&pod("misplaced", &format!("nodeName: {node}, nodeSelector: {{disktype: ssd}}")))
        .until("it has failed", |state| {
            state.pods.iter().any(|pod| pod["status"]["reason"] == "NodeAffinity")
        })
        .first_root_cause("Unschedulable", "node-selector", "pod/misplaced");
}

#[test]
fn a_gate_that_has_just_been_set_is_no_fault() {
    let scenario = Scenario::new("gated")
        .apply(&pod("gated", "schedulingGates: [{name: example.com/wait}]"))
        .until("it is gated", |state| {
            state
                .pods
                .iter()
                .any(|pod| pod["status"]["conditions"][0]["reason"] == "SchedulingGated")
        });
    let answer = scenario.diagnose();
    assert!(root_causes(&answer).is_empty(), "{}", answer.stdout);
}

#[test]
fn a_claim_that_was_bound_late_leaves_only_a_stale_event() {
    let manifest = "
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: late}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
";
    let volume = "volumes: [{name: d, persistentVolumeClaim: {claimName: late}}]";
    Scenario::new("late-claim")
        .apply(&pod("early", volume))
        .until("the scheduler misses the claim", event("FailedScheduling", "not found"))
        .apply(manifest)
        .until("it runs", pods_ready(1))
        .healthy();
}

#[test]
fn the_label_that_no_node_has_is_named_with_what_the_nodes_have() {
    let spread = |key: &str| {
        format!(
            "topologySpreadConstraints: [{{maxSkew: 1, topologyKey: {key}, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: x}}}}}}]"
        )
    };
    let manifest = pod("typo", "nodeSelector: {kubernetes.io/os: linx}")
        + &pod("rack", &spread("topology.example/rack"))
        + &pod(
            "well",
            &format!("nodeSelector: {{kubernetes.io/os: linux}}, {}", spread("kubernetes.io/hostname")),
        );
    let answer = Scenario::new("missing-label")
        .apply(&manifest)
        .until("the scheduler has looked at all", refused(2))
        .diagnose();
    let all = answer.json["rootCauses"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|f| f["subject"]["name"] == name);
    let says = |name: &str, text: &str| {
        let finding = of(name).unwrap_or_else(|| panic!("{all:#?}")).to_string();
        assert!(finding.contains(text), "{finding}");
    };
    says("typo", "no node has the label kubernetes.io/os=linx that its nodeSelector asks for");
    says("typo", "kubernetes.io/os: linux was probably meant");
    says("rack", "no node has the label topology.example/rack");
    says("rack", "kubectl label node NODE topology.example/rack=VALUE");
    assert!(of("well").is_none(), "{all:#?}");
}
