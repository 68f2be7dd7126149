use crate::model::code::Code;
use crate::model::finding::{Effect, Severity};
use crate::model::snapshot::Coverage;
use crate::model::{kind, snapshot::Snapshot};
use crate::rules::testing::{check, check_snapshot, noon, snapshot};

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
    check(super::check, yaml)
        .into_iter()
        .map(|f| (f.code, f.cause, f.severity))
        .collect()
}

#[test]
fn the_numbers_are_said() {
    let big = "containers: [{name: c, image: i, resources: {requests: {cpu: '64'}}}]";
    let found = check(super::check, &(pending(big, "0/1 nodes are available: 1 Insufficient cpu.") + NODE));
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
    let context = crate::rules::Context::new(&unread, crate::rules::Options::default());
    let found = super::check(&context);
    assert!(found[0].summary.contains("asks for 64 cpu"), "{}", found[0].summary);
    assert!(context.take_needs().contains(&crate::rules::Need::List(kind::NODE, None)));
    unread.cover(&kind::NODE, None, Coverage::Unreadable);
    assert_eq!(check_snapshot(super::check, &unread).len(), 1);
}

#[test]
fn a_claim_explains_a_pod_without_a_node() {
    let spec = "volumes: [{name: d, persistentVolumeClaim: {claimName: data}}], containers: [{name: c, image: i}]";
    let message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
    let found = check(super::check, &pending(spec, message));
    assert_eq!(found[0].cause, "volume");
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
fn a_gate_is_advice_until_it_is_overdue() {
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
    assert_eq!(
        kinds(&gated("2026-01-01T11:58:00Z")),
        [(Code::Unschedulable, "gated".to_owned(), Severity::Advice)]
    );
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
    let found = check(super::check, yaml);
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
fn who_holds_a_host_port_is_named() {
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
    let found = check(super::check, &(pending(port, message) + holder));
    assert_eq!(
        found.iter().map(|f| (f.code, f.severity)).collect::<Vec<_>>(),
        [(Code::HostPortConflict, Severity::Error), (Code::Unschedulable, Severity::Symptom)]
    );
    assert!(found[0].summary.contains("holder") && found[0].summary.contains("18080"));
    assert_eq!(found[0].related[0].object.name, "holder");
}

#[test]
fn a_pod_that_its_node_refused_is_told() {
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
    assert!(kinds(&(pending(big, "0/1 nodes are available: 1 Insufficient cpu.") + event)).is_empty());
}
