use crate::model::code::Code;
use crate::model::finding::{Effect, ObjectRef, Severity};
use crate::model::kind;
use crate::testing::{check, run};

fn found(yaml: &str) -> Vec<(Code, String, Severity)> {
    check(crate::rules::node::check, yaml)
        .into_iter()
        .map(|f| (f.code, f.cause.to_string(), f.severity))
        .collect()
}

const LOST: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-1}
status: {conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: Kubelet stopped posting node status., lastTransitionTime: 2026-01-01T11:50:00Z}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
status:
  phase: Running
  conditions: [{type: Ready, status: 'False'}]
  containerStatuses: [{name: c, image: i, imageID: i, ready: true, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:00:00Z}}}]
";

#[test]
fn a_node_that_stopped_reporting_explains_its_pods() {
    let findings = check(crate::rules::node::check, LOST);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].code, Code::NodeNotReady);
    assert_eq!(findings[0].subject.object, ObjectRef::new(&kind::NODE, "", "node-1"));
    assert!(
        findings[0]
            .effects
            .contains(&Effect::NotReady(ObjectRef::new(&kind::POD, "shop", "a")))
    );
    assert!(findings[0].effects.contains(&Effect::Node("node-1".into())));
    assert!(found(&LOST.replace("status: Unknown", "status: 'True'")).is_empty());
}

#[test]
fn nodes_are_read_only_where_one_seems_lost() {
    let asks = |yaml: &str| {
        let mut unread = crate::model::snapshot::Snapshot::new(crate::testing::noon(), false);
        unread.insert(serde_saphyr::from_str(yaml).unwrap()).unwrap();
        let view = crate::view::View::new(&unread, crate::view::Options::default());
        !run(crate::rules::node::check, &view).needs.into_set().is_empty()
    };
    let untouched = "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, creationTimestamp: 2026-01-01T11:59:00Z}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
status: {phase: Pending}
";
    assert!(asks(untouched));
    assert!(!asks(&untouched.replace("11:59:00", "11:59:55")));
    assert!(!asks(&untouched.replace("Pending", "Succeeded")));
    assert!(asks(
        LOST.split("---")
            .nth(1)
            .unwrap()
            .replace("name: a}", "name: a, namespace: shop}")
            .as_str()
    ));
}

#[test]
fn pressure_hurts_where_pods_were_evicted() {
    let pressure = |reason: &str| {
        format!(
            "
apiVersion: v1
kind: Node
metadata: {{name: node-1}}
status: {{conditions: [{{type: MemoryPressure, status: 'True', message: kubelet has insufficient memory available}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: a, creationTimestamp: 2026-01-01T11:50:00Z}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}
status: {{{reason}}}
"
        )
    };
    let evicted = pressure(
        "phase: Failed, reason: Evicted, message: 'The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. '",
    );
    assert_eq!(
        found(&evicted),
        [
            (Code::NodePressure, String::new(), Severity::Error),
            (Code::PodEvicted, "memory".to_owned(), Severity::Error)
        ]
    );
    assert_eq!(
        found(&pressure("phase: Running")),
        [(Code::NodePressure, String::new(), Severity::Advice)]
    );
}

/// An evicted pod of a ReplicaSet, and one that took its place.
fn replaced(ready: &str, created: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: api, uid: r}}
spec: {{replicas: 1, selector: {{}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: api-old, creationTimestamp: {created}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api, uid: r, controller: true}}]}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}
status: {{phase: Failed, reason: Evicted, message: 'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. '}}
---
apiVersion: v1
kind: Pod
metadata: {{name: api-new, creationTimestamp: 2026-01-01T11:55:00Z, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api, uid: r, controller: true}}]}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}
"
    )
}

#[test]
fn an_eviction_is_advice_once_replaced_and_then_forgotten() {
    assert_eq!(
        found(&replaced("True", "2026-01-01T11:50:00Z")),
        [(Code::PodEvicted, "disk".to_owned(), Severity::Advice)]
    );
    assert!(found(&replaced("True", "2025-12-30T11:50:00Z")).is_empty());
}

#[test]
fn a_preemption_explains_a_replacement_without_a_node() {
    let yaml = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: low-h, uid: r}
spec: {replicas: 1, selector: {}}
---
apiVersion: v1
kind: Pod
metadata: {name: low-h-new, uid: n1, creationTimestamp: 2026-01-01T11:55:00Z, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: low-h, uid: r, controller: true}]}
spec: {containers: [{name: c, image: i}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available: 1 Insufficient cpu. preemption: x'}]}
---
apiVersion: v1
kind: Event
metadata: {name: e}
reason: Preempted
message: Preempted by pod 7c5c8d1f-1111-2222-3333-444455556666 on node node-1
eventTime: 2026-01-01T11:54:00.000000Z
involvedObject: {kind: Pod, name: low-h-abcde, namespace: shop, uid: gone}
";
    assert_eq!(found(yaml), [(Code::PodPreempted, "preempted".to_owned(), Severity::Error)]);
    let scheduling = check(crate::rules::scheduling::check, yaml);
    assert_eq!(scheduling[0].severity, Severity::Symptom);
    assert!(
        found(&yaml.replace(
            "phase: Pending, conditions: [{type: PodScheduled, status: 'False'",
            "phase: Running, conditions: [{type: Ready, status: 'True'"
        ))
        .iter()
        .all(|f| f.2 == Severity::Advice)
    );
}

fn deleting(metadata: &str, state: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Node
metadata: {{name: node-1}}
status: {{conditions: [{{type: Ready, status: 'True'}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: a, {metadata}}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}
status:
  phase: Running
  containerStatuses: [{{name: c, image: i, imageID: i, ready: false, restartCount: 0, state: {{{state}}}}}]
"
    )
}

#[test]
fn a_pod_that_does_not_go_says_why() {
    let (running, ended) = ("running: {startedAt: 2026-01-01T11:00:00Z}", "terminated: {exitCode: 137}");
    let held = "deletionTimestamp: 2026-01-01T11:58:00Z, deletionGracePeriodSeconds: 0, finalizers: [example.com/hold]";
    assert_eq!(
        found(&deleting(held, ended)),
        [(Code::PodStuckTerminating, "finalizer".to_owned(), Severity::Error)]
    );
    let patient = "deletionTimestamp: 2026-01-01T12:58:00Z, deletionGracePeriodSeconds: 3600";
    assert_eq!(
        found(&deleting(patient, running)),
        [(Code::PodStuckTerminating, "grace-period".to_owned(), Severity::Error)]
    );
    let overdue = "deletionTimestamp: 2026-01-01T11:58:00Z, deletionGracePeriodSeconds: 30";
    let lost = deleting(overdue, running).replace("status: 'True'", "status: Unknown");
    let lost: Vec<_> = found(&lost).into_iter().filter(|f| f.0 == Code::PodStuckTerminating).collect();
    assert_eq!(lost, [(Code::PodStuckTerminating, "node-lost".to_owned(), Severity::Error)]);
}

#[test]
fn pods_that_one_node_does_not_let_go_are_one_fault() {
    let overdue = "deletionTimestamp: 2026-01-01T11:58:00Z, deletionGracePeriodSeconds: 30";
    let running = "running: {startedAt: 2026-01-01T11:00:00Z}";
    let pods = ["a", "b", "c"].map(|name| deleting(overdue, running).replace("metadata: {name: a,", &format!("metadata: {{name: {name},")));
    let findings = check(crate::rules::node::check, &pods.join("---"));
    let said: Vec<_> = findings.iter().map(|f| (f.code, f.subject.object.short())).collect();
    assert_eq!(said, [(Code::PodStuckTerminating, "node/node-1".to_owned())]);
    assert!(findings[0].summary.contains("3 pods"), "{}", findings[0].summary);
}

#[test]
fn an_ordinary_end_is_silent() {
    let running = "running: {startedAt: 2026-01-01T11:00:00Z}";
    for metadata in [
        "deletionTimestamp: 2026-01-01T12:00:20Z, deletionGracePeriodSeconds: 30",
        "deletionTimestamp: 2026-01-01T11:59:50Z, deletionGracePeriodSeconds: 30",
        "deletionTimestamp: 2026-01-01T12:09:50Z, deletionGracePeriodSeconds: 600",
        "deletionTimestamp: 2026-01-01T11:59:55Z, deletionGracePeriodSeconds: 0, finalizers: [batch.kubernetes.io/job-tracking]",
    ] {
        assert!(found(&deleting(metadata, running)).is_empty(), "{metadata}");
    }
}

const PRESSED: &str = "
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {taints: [{key: node.kubernetes.io/disk-pressure, effect: NoSchedule}]}
status: {conditions: [{type: Ready, status: 'True'}, {type: DiskPressure, status: 'True', reason: KubeletHasDiskPressure, message: kubelet has disk pressure}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, creationTimestamp: '2026-01-01T11:00:00Z'}
spec: {containers: [{name: c, image: i}]}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: x'}]
";

#[test]
fn a_taint_that_kubernetes_set_is_the_nodes_fault_named_or_not() {
    for message in ["untolerated taint(s)", "untolerated taint {node.kubernetes.io/disk-pressure: }"] {
        let yaml = PRESSED.replace("untolerated taint(s)", message);
        let mut findings = check(crate::rules::node::check, &yaml);
        findings.extend(check(crate::rules::scheduling::check, &yaml));
        let linked = crate::diagnosis::causes::link(findings);
        let said: Vec<_> = linked.iter().map(|f| (f.code, f.severity)).collect();
        assert_eq!(
            said,
            [(Code::NodePressure, Severity::Error), (Code::Unschedulable, Severity::Symptom)],
            "{message}"
        );
    }
    // Another taint is no illness.
    let dedicated = PRESSED
        .replace("node.kubernetes.io/disk-pressure", "dedicated")
        .replace("{type: DiskPressure, status: 'True'", "{type: DiskPressure, status: 'False'");
    assert!(check(crate::rules::node::check, &dedicated).is_empty());
}
