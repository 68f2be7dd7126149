//! Nodes, and pods that lost theirs.

use podlife::model::kind;

use super::probes::{deployment, root_causes};
use crate::cluster::harness::{Scenario, State, clean_up, event, kubectl, pods_ready};

const IDLE: &str = "command: [sleep, '3600']";

fn pod(metadata: &str, spec: &str, container: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}, spec: {{{spec}, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, {container}}}]}}}}\n"
    )
}

/// The pod's deletion was due so long ago (negative: is due in so long), and none of its containers runs if `ended`.
fn due(seconds: i64, ended: bool) -> impl Fn(&State) -> bool {
    move |state| {
        state.pods.iter().any(|pod| {
            let due = pod["metadata"]["deletionTimestamp"]
                .as_str()
                .and_then(|t| t.parse::<jiff::Timestamp>().ok());
            let running = !pod["status"]["containerStatuses"][0]["state"]["running"].is_null();
            due.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > seconds) && running != ended
        })
    }
}

#[test]
fn a_pod_that_used_more_disk_than_it_may() {
    let fills = "command: [sh, -c, 'dd if=/dev/zero of=/big bs=1M count=30; sleep 3600'], resources: {limits: {ephemeral-storage: 10Mi}}";
    Scenario::new("evicted")
        .apply(&pod("name: greedy", "terminationGracePeriodSeconds: 0", fills))
        .until("it is evicted", |state| {
            state.pods.iter().any(|pod| pod["status"]["reason"] == "Evicted")
        })
        .first_root_cause("PodEvicted", "disk", "pod/greedy");
}

#[test]
fn a_finalizer_without_controller() {
    let scenario = Scenario::new("finalizer")
        .apply(&pod(
            "name: held, finalizers: [podlife.test/hold]",
            "terminationGracePeriodSeconds: 0",
            IDLE,
        ))
        .until("it runs", pods_ready(1));
    scenario.kubectl(&["delete", "pod", "held", "--wait=false"]);
    let scenario = scenario.until("it ended longer ago than a controller needs", due(32, true));
    let answer = scenario.diagnose();
    scenario.kubectl(&["patch", "pod", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    assert_eq!(
        root_causes(&answer),
        ["PodStuckTerminating (finalizer) pod/held"],
        "{}",
        answer.stdout
    );
}

#[test]
fn an_application_that_ignores_sigterm() {
    let deaf = "command: [sh, -c, \"trap '' TERM; while true; do sleep 1; done\"]";
    let scenario = Scenario::new("deaf")
        .apply(&pod("name: deaf", "terminationGracePeriodSeconds: 600", deaf))
        .until("it runs", pods_ready(1));
    scenario.kubectl(&["delete", "pod", "deaf", "--wait=false"]);
    let scenario = scenario.until("it was told long ago", due(-600 + 32, false));
    let answer = scenario.diagnose();
    scenario.kubectl(&["delete", "pod", "deaf", "--grace-period=0", "--force", "--wait=false"]);
    assert_eq!(
        root_causes(&answer),
        ["PodStuckTerminating (grace-period) pod/deaf"],
        "{}",
        answer.stdout
    );
}

/// A node that exists in the API alone: no kubelet reports for it, and nothing else is put on it.
pub struct PretendNode(String);

impl PretendNode {
    fn new(name: &str) -> Self {
        Self::with(name, "", "NoSchedule")
    }

    /// With more labels (`, KEY: VALUE`) and the effect of its taint.
    pub fn with(name: &str, labels: &str, effect: &str) -> Self {
        let guard = Self(name.to_owned());
        let manifest = format!(
            "---\n{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{podlife.test/pretend: {name}{labels}}}}}, spec: {{taints: [{{key: podlife.test/pretend, effect: {effect}}}]}}}}"
        );
        kubectl(&["apply", "-f", "-"], Some(&manifest));
        guard
    }

    /// Writes what its kubelet would report.
    pub fn reports(&self, status: &str) {
        let status = format!(r#"{{"status":{status}}}"#);
        kubectl(
            &["patch", "node", &self.0, "--subresource=status", "--type=merge", "-p", &status],
            None,
        );
    }
}

impl Drop for PretendNode {
    fn drop(&mut self) {
        clean_up(&["delete", "node", &self.0, "--ignore-not-found", "--wait=false"], None);
    }
}

#[test]
fn a_node_that_does_not_report() {
    let scenario = Scenario::new("node-lost");
    let name = scenario.namespace.clone();
    let _node = PretendNode::new(&name);
    let scenario = scenario.apply(&pod(
        "name: stranded",
        &format!("nodeName: {name}, terminationGracePeriodSeconds: 0, tolerations: [{{operator: Exists}}]"),
        IDLE,
    ));
    // The node controller gives a kubelet 40 s.
    scenario.wait("the node is not ready", |scenario| {
        scenario.list(&kind::NODE).iter().any(|node| {
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            node["metadata"]["name"] == *name && conditions.iter().any(|c| c["type"] == "Ready" && c["status"] != "True")
        })
    });
    let answer = scenario.diagnose();
    scenario.kubectl(&["delete", "pod", "stranded", "--grace-period=0", "--force", "--wait=false"]);
    assert_eq!(root_causes(&answer), [format!("NodeNotReady () node/{name}")], "{}", answer.stdout);
}

/// The test writes what the kubelet of a node writes that runs out of memory: filling the real one would hit every other test.
#[test]
fn a_node_that_evicts_for_want_of_memory() {
    let scenario = Scenario::new("pressure");
    let name = scenario.namespace.clone();
    let node = PretendNode::new(&name);
    node.reports(
        r#"{"conditions":[{"type":"MemoryPressure","status":"True","reason":"KubeletHasInsufficientMemory","message":"kubelet has insufficient memory available"}]}"#,
    );
    let scenario = scenario.apply(&pod(
        "name: victim",
        &format!("nodeName: {name}, tolerations: [{{operator: Exists}}]"),
        IDLE,
    ));
    let evicted = r#"{"status":{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory. Threshold quantity: 100Mi, available: 42116Ki. Container app was using 8123456Ki, request is 0, has larger consumption of memory. ",
        "conditions":[{"type":"DisruptionTarget","status":"True","reason":"TerminationByKubelet","message":"The node was low on resource: memory."}]}}"#;
    scenario.kubectl(&["patch", "pod", "victim", "--subresource=status", "--type=merge", "-p", evicted]);
    let answer = scenario.first_root_cause("NodePressure", "", &format!("node/{name}"));
    assert_eq!(answer.json["symptoms"][0]["code"], "PodEvicted", "{}", answer.stdout);
    node.reports(r#"{"conditions":[{"type":"MemoryPressure","status":"False","reason":"KubeletHasSufficientMemory"}]}"#);
    scenario.first_root_cause("PodEvicted", "memory", "pod/victim");
}

#[test]
fn a_pod_that_is_deleted_on_a_node_that_is_gone() {
    let scenario = Scenario::new("gone-node");
    let name = scenario.namespace.clone();
    let _node = PretendNode::new(&name);
    let scenario = scenario.apply(&pod(
        "name: stuck",
        &format!("nodeName: {name}, tolerations: [{{operator: Exists}}]"),
        IDLE,
    ));
    scenario.kubectl(&["delete", "pod", "stuck", "--grace-period=1", "--wait=false"]);
    let scenario = scenario.until("it should be gone long since", due(32, true));
    scenario.wait("the node is not ready", |scenario| {
        scenario.list(&kind::NODE).iter().any(|node| {
            let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
            node["metadata"]["name"] == *name && conditions.iter().any(|c| c["type"] == "Ready" && c["status"] != "True")
        })
    });
    let answer = scenario.diagnose();
    scenario.kubectl(&["delete", "pod", "stuck", "--grace-period=0", "--force", "--wait=false"]);
    assert_eq!(root_causes(&answer), [format!("NodeNotReady () node/{name}")], "{}", answer.stdout);
    let symptoms = answer.json["symptoms"].as_array().cloned().unwrap_or_default();
    let stuck = symptoms
        .iter()
        .any(|s| s["code"] == "PodStuckTerminating" && s["cause"] == "node-lost");
    assert!(stuck, "{}", answer.stdout);
}

#[test]
fn a_taint_that_the_pod_does_not_tolerate() {
    let scenario = Scenario::new("tainted");
    let name = scenario.namespace.clone();
    let _node = PretendNode::new(&name);
    scenario
        .apply(&pod(
            "name: wants",
            &format!("nodeSelector: {{podlife.test/pretend: {name}}}, terminationGracePeriodSeconds: 0"),
            IDLE,
        ))
        .until("the scheduler has looked", event("FailedScheduling", "untolerated taint"))
        .until("a moment has passed", |state| {
            state.pods.iter().all(|pod| {
                let created = pod["metadata"]["creationTimestamp"]
                    .as_str()
                    .and_then(|t| t.parse::<jiff::Timestamp>().ok());
                created.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 12)
            })
        })
        .first_root_cause("Unschedulable", "taint", "pod/wants");
}

#[test]
fn a_pod_of_higher_priority_takes_the_place() {
    let half = |name: &str, priority: &str, share: &str| {
        deployment(name, &format!("{IDLE}, resources: {{requests: {{memory: {share}}}}}"))
            .at_once()
            .pod(priority)
    };
    let scenario = Scenario::new("preempted");
    let free = scenario.kubectl(&[
        "get",
        "nodes",
        "-l",
        "!podlife.test/pretend,type!=kwok",
        "-o",
        "jsonpath={.items[0].status.allocatable.memory}",
    ]);
    let kibibytes: u64 = free.trim_end_matches("Ki").parse().unwrap();
    let share = format!("{}Ki", kibibytes * 55 / 100);
    let scenario = scenario
        .apply(&half("low", "", &share))
        .until("the first is up", pods_ready(1))
        .apply(&half("high", "priorityClassName: system-cluster-critical", &share))
        .until("it was preempted", event("Preempted", "Preempted by"))
        .until("the other is up and its replacement waits", |state| {
            let ready = |pod: &serde_json::Value, app: &str, wanted: &str| {
                let conditions = pod["status"]["conditions"].to_string();
                pod["metadata"]["labels"]["app"] == app && conditions.contains(wanted)
            };
            let aged = |pod: &serde_json::Value| {
                let created = pod["metadata"]["creationTimestamp"]
                    .as_str()
                    .and_then(|t| t.parse::<jiff::Timestamp>().ok());
                created.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 12)
            };
            state.pods.len() == 2
                && state
                    .pods
                    .iter()
                    .any(|pod| ready(pod, "high", "ContainersReady") && pod["status"]["phase"] == "Running")
                && state.pods.iter().any(|pod| ready(pod, "low", "Insufficient memory") && aged(pod))
        });
    scenario.first_root_cause("PodPreempted", "preempted", "deployment/low");
}

#[test]
fn an_ordinary_end_is_no_fault() {
    let slow = "command: [sh, -c, \"trap 'sleep 8; exit 0' TERM; while true; do sleep 1; done\"]";
    let scenario = Scenario::new("ordinary-end")
        .apply(&pod("name: slow", "terminationGracePeriodSeconds: 30", slow))
        .apply(&deployment("stays", IDLE))
        .until("both run", pods_ready(2));
    scenario.kubectl(&["delete", "pod", "slow", "--wait=false"]);
    let answer = scenario.diagnose();
    assert!(root_causes(&answer).is_empty(), "{}", answer.stdout);
}
