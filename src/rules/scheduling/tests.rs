use crate::model::code::Code;
use crate::model::finding::{Effect, Severity};
use crate::model::snapshot::Coverage;
use crate::model::{kind, snapshot::Snapshot};
use crate::testing::{check, check_snapshot, noon, run, snapshot};

const TAIL: &str = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
const NODE: &str = "
---
apiVersion: v1
kind: Node
metadata: {name: node-1}
status: {allocatable: {cpu: '2', memory: 24581684Ki, pods: '250'}}
";

fn pending(spec: &str, message: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: a, uid: a, creationTimestamp: 2026-01-01T11:55:00Z}}
spec: {{{spec}}}
status:
  phase: Pending
  conditions: [{{type: PodScheduled, status: 'False', reason: Unschedulable, message: '{message} {TAIL}'}}]
"
    )
}

fn kinds(yaml: &str) -> Vec<(Code, String, Severity)> {
    check(crate::rules::scheduling::check, yaml)
        .into_iter()
        .map(|f| (f.code, f.cause.to_string(), f.severity))
        .collect()
}

#[test]
fn the_numbers_are_said() {
    let big = "containers: [{name: c, image: i, resources: {requests: {cpu: '64'}}}]";
    let found = check(
        crate::rules::scheduling::check,
        &(pending(big, "0/1 nodes are available: 1 Insufficient cpu.") + NODE),
    );
    assert_eq!((found[0].code, found[0].cause.as_str()), (Code::Unschedulable, "cpu"));
    assert!(
        found[0].summary.contains("64") && found[0].summary.contains("largest node (node-1) has 2"),
        "{}",
        found[0].summary
    );
}

#[test]
fn unread_nodes_are_asked_for_and_missed_without_harm() {
    let big = "containers: [{name: c, image: i, resources: {requests: {cpu: '64'}}}]";
    let mut unread = Snapshot::new(noon(), false);
    for pod in &snapshot(&pending(big, "0/1 nodes are available: 1 Insufficient cpu.")).objects.pods {
        let mut value = serde_json::to_value(pod).unwrap();
        value["apiVersion"] = "v1".into();
        value["kind"] = "Pod".into();
        unread.insert(value).unwrap();
    }
    let view = crate::view::View::new(&unread, crate::view::Options::default());
    let out = run(crate::rules::scheduling::check, &view);
    let summary = &out.findings[0].summary;
    assert!(summary.contains("requests 64 cpu"), "{summary}");
    assert!(out.needs.into_set().contains(&crate::view::Need::List(kind::NODE, None)));
    unread.cover(&kind::NODE, None, Coverage::Unreadable);
    assert_eq!(check_snapshot(crate::rules::scheduling::check, &unread).len(), 1);
}

#[test]
fn a_claim_explains_a_pod_without_a_node() {
    let spec = "volumes: [{name: d, persistentVolumeClaim: {claimName: data}}], containers: [{name: c, image: i}]";
    let message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
    let found = check(crate::rules::scheduling::check, &pending(spec, message));
    assert_eq!(found[0].cause.as_str(), "volume");
    assert!(found[0].suffers.contains(&Effect::Claim("shop".into(), "data".into())));
}

#[test]
fn a_stale_event_of_a_pod_that_runs_is_silent() {
    let yaml = "
apiVersion: v1
kind: Pod
metadata: {name: a, uid: a, creationTimestamp: 2026-01-01T11:55:00Z}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
status: {phase: Running, conditions: [{type: PodScheduled, status: 'True'}]}
---
apiVersion: v1
kind: Event
metadata: {name: e}
type: Warning
reason: FailedScheduling
message: '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found'
eventTime: 2026-01-01T11:55:01.000000Z
involvedObject: {kind: Pod, name: a, namespace: shop, uid: a}
";
    assert!(kinds(yaml).is_empty());
}

#[test]
fn a_gate_is_pending_until_it_is_overdue() {
    let gated = |created: &str| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: a, creationTimestamp: {created}}}
spec: {{schedulingGates: [{{name: example.com/wait}}], containers: [{{name: c, image: i}}]}}
status: {{phase: Pending, conditions: [{{type: PodScheduled, status: 'False', reason: SchedulingGated, message: Scheduling is blocked due to non-empty scheduling gates}}]}}
"
        )
    };
    let young = gated("2026-01-01T11:58:00Z");
    assert!(kinds(&young).is_empty());
    let held = crate::testing::pending(crate::rules::scheduling::check, &young);
    assert_eq!((held[0].code, held[0].cause.as_str()), (Code::Unschedulable, "gated"));
    assert!(held[0].summary.contains("example.com/wait"), "{}", held[0].summary);
    assert_eq!(
        kinds(&gated("2026-01-01T11:00:00Z")),
        [(Code::Unschedulable, "gated".to_owned(), Severity::Error)]
    );
}

#[test]
fn a_scheduler_that_does_not_exist_is_named() {
    let yaml = "
apiVersion: v1
kind: Pod
metadata: {name: a, creationTimestamp: 2026-01-01T11:55:00Z}
spec: {schedulerName: my-scheduler, containers: [{name: c, image: i}]}
status: {phase: Pending}
";
    let found = check(crate::rules::scheduling::check, yaml);
    assert_eq!((found[0].code, found[0].cause.as_str()), (Code::Unschedulable, "scheduler-missing"));
    assert!(found[0].summary.contains("my-scheduler"));
    let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {schedulerName: x, containers: [{name: c, image: i}]}}";
    assert!(kinds(manifest).is_empty(), "a manifest has no status yet");
    assert!(
        kinds(&yaml.replace("11:55:00", "11:59:55")).is_empty(),
        "a scheduler needs a moment"
    );
}

#[test]
fn the_holder_of_a_host_port_is_named() {
    let port = "containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 18080}]}]";
    let holder = "
---
apiVersion: v1
kind: Pod
metadata: {name: holder, uid: h}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 18080}]}]}
status: {phase: Running}
";
    let message = "0/1 nodes are available: 1 node(s) didn''t have free ports for the requested pod ports.";
    let found = check(crate::rules::scheduling::check, &(pending(port, message) + holder));
    assert_eq!(
        found.iter().map(|f| (f.code, f.severity)).collect::<Vec<_>>(),
        [(Code::HostPortConflict, Severity::Error), (Code::Unschedulable, Severity::Symptom)]
    );
    assert!(found[0].summary.contains("holder") && found[0].summary.contains("18080"));
    assert_eq!(found[0].related[0].object.name, "holder");
}

#[test]
fn a_pod_rejected_by_its_node_is_reported() {
    let yaml = "
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {nodeName: node-1, nodeSelector: {disktype: ssd}, containers: [{name: c, image: i}]}
status: {phase: Failed, reason: NodeAffinity, message: 'Pod was rejected: Predicate NodeAffinity failed: node(s) didn''t match Pod''s node affinity/selector'}
";
    assert_eq!(kinds(yaml), [(Code::Unschedulable, "node-selector".to_owned(), Severity::Error)]);
}

#[test]
fn a_node_that_is_ordered_is_waited_for() {
    let big = "containers: [{name: c, image: i, resources: {requests: {cpu: '64'}}}]";
    let event = "
---
apiVersion: v1
kind: Event
metadata: {name: e}
reason: TriggeredScaleUp
message: 'pod triggered scale-up: [{pool 1->2 (max: 5)}]'
lastTimestamp: 2026-01-01T11:59:00Z
involvedObject: {kind: Pod, name: a, namespace: shop, uid: a}
";
    let full = pending(big, "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(kinds(&full).len(), 1);
    for reason in ["TriggeredScaleUp", "Nominated"] {
        assert!(
            kinds(&(full.clone() + &event.replace("TriggeredScaleUp", reason))).is_empty(),
            "{reason}"
        );
    }
    assert!(kinds(&full.replace("phase: Pending", "phase: Pending\n  nominatedNodeName: node-1")).is_empty());
}

#[test]
fn a_volume_that_is_tied_to_a_node_names_claim_volume_and_node() {
    let yaml = |node: &str| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: a, creationTimestamp: '2026-01-01T11:50:00Z'}}
spec: {{containers: [{{name: c, image: i}}], volumes: [{{name: v, persistentVolumeClaim: {{claimName: data}}}}]}}
status: {{phase: Pending, conditions: [{{type: PodScheduled, status: 'False', reason: Unschedulable,
  message: '0/1 nodes are available: 1 node(s) had volume node affinity conflict. preemption: x'}}]}}
---
{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: data}}, spec: {{volumeName: pv-1}}, status: {{phase: Bound}}}}
---
{{apiVersion: v1, kind: Node, metadata: {{name: {node}, labels: {{kubernetes.io/hostname: {node}}}}}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: pv-1}}
spec: {{nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [node-1]}}]}}]}}}}}}
"
        )
    };
    for (node, there, fix) in [
        ("node-2", "no such node is there", "bring such a node back"),
        (
            "node-1",
            "node node-1 is, and does not take the pod",
            "let node node-1 take the pod",
        ),
    ] {
        let found = crate::testing::check(crate::rules::scheduling::check, &yaml(node));
        let summary = &found[0].summary;
        assert!(
            summary.contains("volume pv-1 of claim data is on nodes with kubernetes.io/hostname node-1 only") && summary.contains(there),
            "{summary}"
        );
        assert!(found[0].fixes[0].text.contains(fix), "{:?}", found[0].fixes);
    }
}

/// A Deployment whose new pod waits for a claim that only one pod may use, and whose old pod runs with it.
fn held_claim(strategy: &str) -> String {
    let claim = "volumes: [{name: d, persistentVolumeClaim: {claimName: data}}], containers: [{name: c, image: i}]";
    let message =
        "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.";
    let of = |hash: &str| {
        format!(
            "labels: {{pod-template-hash: {hash}}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-{hash}, uid: {hash}, controller: true}}]"
        )
    };
    let set = |hash: &str| {
        format!(
            "---\n{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: api-{hash}, uid: {hash}, ownerReferences: \
             [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: d, controller: true}}]}}}}\n"
        )
    };
    let deployment = format!(
        "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: api, uid: d}}, spec: {{selector: {{}}, strategy: {{type: {strategy}}}, template: {{}}}}}}\n"
    );
    let old = format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: old, uid: o, {}}}, spec: {{nodeName: node-1, {claim}}}, status: {{phase: Running, \
         containerStatuses: [{{name: c, image: i, imageID: '', ready: true, restartCount: 0, state: {{running: {{startedAt: 2026-01-01T11:00:00Z}}}}}}]}}}}\n",
        of("h0")
    );
    let new = pending(claim, message).replace("uid: a,", &format!("uid: a, {},", of("h1")));
    new + &deployment + &set("h0") + &set("h1") + &old
}

#[test]
fn a_claim_of_one_pod_alone_is_explained_by_the_pod_that_has_it() {
    let found = check(crate::rules::scheduling::check, &held_claim("RollingUpdate"));
    let said = format!("{} {}", found[0].summary, found[0].fixes[0].text);
    assert!(said.contains("pod old of another revision of deployment/api still runs"), "{said}");
    assert!(said.contains("set strategy Recreate"), "{said}");
    let found = check(crate::rules::scheduling::check, &held_claim("Recreate"));
    assert!(!found[0].fixes[0].text.contains("Recreate"), "{:?}", found[0].fixes);
}

#[test]
fn a_pod_that_is_given_to_a_node_that_does_not_exist_is_told() {
    let pod = |conditions: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, uid: a, creationTimestamp: 2026-01-01T11:59:55Z}}\n\
             spec: {{nodeName: node-7, containers: [{{name: c, image: i}}]}}\nstatus: {{phase: Pending{conditions}}}\n"
        )
    };
    let told = [(Code::Unschedulable, "node-missing".to_owned(), Severity::Error)];
    assert_eq!(kinds(&(pod("") + NODE)), told);
    assert!(kinds(&(pod("") + &NODE.replace("node-1", "node-7"))).is_empty());
    let by_scheduler = pod(", conditions: [{type: PodScheduled, status: 'True'}]");
    assert!(kinds(&(by_scheduler + NODE)).is_empty(), "its node was there");
}
