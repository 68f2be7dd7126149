//! Traps: objects that look ready and are not, or the reverse.

mod goals;

use std::time::Duration;

use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::readiness::{ObjectReadiness, Phase, State};
use crate::model::snapshot::Snapshot;
use crate::readiness::failfast::Grace;
use crate::readiness::{Goal, failfast, judge, settle};
use crate::testing::snapshot;
use crate::view::{Options, View};

fn target(kind: &Kind, name: &str) -> ObjectRef {
    ObjectRef::new(kind, "shop", name)
}

fn judged_with(snapshot: &Snapshot, goal: &Goal) -> Vec<ObjectReadiness> {
    judge(&View::new(snapshot, Options::default()), goal)
}

fn judged_of(snapshot: &Snapshot, targets: &[ObjectRef]) -> Vec<ObjectReadiness> {
    let goal = Goal {
        targets: targets.to_vec(),
        ..Goal::default()
    };
    judged_with(snapshot, &goal)
}

/// State and reason of the first entry of the target.
fn first(yaml: &str, kind: &Kind, name: &str) -> (State, String) {
    let judged = judged_of(&snapshot(yaml), &[target(kind, name)]);
    (judged[0].state, judged[0].reason.clone())
}

struct Deploy {
    generation: i64,
    observed: i64,
    replicas: i32,
    status: &'static str,
    spec: &'static str,
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            generation: 2,
            observed: 2,
            replicas: 1,
            status: "replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1",
            spec: "",
        }
    }
}

/// Deployment `web`, its current ReplicaSet `web-new` and the one before, `web-old`.
fn deployment(d: &Deploy) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, uid: d, generation: {}, annotations: {{deployment.kubernetes.io/revision: '2'}}}}\n\
         spec: {{replicas: {}, {} selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: 'web:2'}}]}}}}}}\n\
         status: {{observedGeneration: {}, {}}}\n---\n{}---\n{}",
        d.generation,
        d.replicas,
        d.spec,
        d.observed,
        d.status,
        replica_set("web-new", "web:2", "2", ""),
        replica_set("web-old", "web:1", "1", "")
    )
}

fn replica_set(name: &str, image: &str, revision: &str, status: &str) -> String {
    let hash = name.trim_start_matches("web-");
    format!(
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: {name}, uid: {name}, generation: 1, annotations: {{deployment.kubernetes.io/revision: '{revision}'}}, \
         ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}}]}}\n\
         spec: {{replicas: 1, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web, pod-template-hash: {hash}}}}}, spec: {{containers: [{{name: web, image: '{image}'}}]}}}}}}\n\
         status: {{observedGeneration: 1, replicas: 1, {status}}}\n"
    )
}

/// A pod of a controller, running and ready unless `status` says otherwise.
fn pod(name: &str, owner: &str, labels: &str, metadata: &str, spec: &str, status: &str) -> String {
    let (kind, owner) = owner.split_once('/').unwrap();
    let status = if status.is_empty() { READY } else { status };
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, uid: {name}, creationTimestamp: '2026-01-01T11:50:00Z', {metadata} labels: {{app: web, {labels}}}, \
         ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: {owner}, uid: {owner}, controller: true}}]}}\n\
         spec: {{{spec} containers: [{{name: web, image: 'web:2'}}]}}\nstatus: {status}\n"
    )
}

const READY: &str = "{phase: Running, podIP: 10.0.0.1, conditions: [{type: PodScheduled, status: 'True'}, {type: Ready, status: 'True'}], \
     containerStatuses: [{name: web, image: i, imageID: '', ready: true, started: true, restartCount: 0, state: {running: {startedAt: '2026-01-01T11:00:00Z'}}}]}";
const UNREADY: &str = "{phase: Running, podIP: 10.0.0.1, conditions: [{type: PodScheduled, status: 'True'}, {type: Ready, status: 'False'}], \
     containerStatuses: [{name: web, image: i, imageID: '', ready: false, started: true, restartCount: 0, state: {running: {startedAt: '2026-01-01T11:59:50Z'}}}]}";

fn new_pod(status: &str) -> String {
    pod("web-new-a", "ReplicaSet/web-new", "pod-template-hash: new", "", "", status)
}

fn of_deployment(d: &Deploy, pods: &str) -> (State, String) {
    first(&format!("{}{pods}", deployment(d)), &kind::DEPLOYMENT, "web")
}

#[test]
fn a_deployment_at_its_goal_is_ready() {
    assert_eq!(
        of_deployment(&Deploy::default(), &new_pod("")),
        (State::Ready, "1 of 1 pod ready".into())
    );
}

#[test]
fn a_status_of_an_older_generation_proves_nothing() {
    let behind = Deploy {
        generation: 3,
        ..Deploy::default()
    };
    let (state, reason) = of_deployment(&behind, &new_pod(""));
    assert_eq!(state, State::Progressing);
    assert!(reason.contains("has not observed"), "{reason}");
    // Scaled to zero and back: the ReplicaSet has yet to take its pods away, and to make new ones.
    let scaled = deployment(&Deploy::default()).replacen("uid: web-new, generation: 1", "uid: web-new, generation: 3", 1);
    let (state, reason) = first(&(scaled + &new_pod("")), &kind::DEPLOYMENT, "web");
    assert_eq!(state, State::Progressing, "{reason}");
}

#[test]
fn conditions_left_from_another_revision_never_decide() {
    let stale_failure = Deploy {
        status: "replicas: 1, updatedReplicas: 0, readyReplicas: 0, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, \
                 message: 'ReplicaSet \"web-old\" has timed out progressing.'}]",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&stale_failure, "").0, State::Progressing);
    let present_failure = Deploy {
        status: "replicas: 1, updatedReplicas: 1, readyReplicas: 0, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, \
                 message: 'ReplicaSet \"web-new\" has timed out progressing.'}]",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&present_failure, &new_pod(UNREADY)).0, State::Failed);
    let stale_success = Deploy {
        status: "replicas: 1, updatedReplicas: 0, readyReplicas: 1, availableReplicas: 1, conditions: [{type: Available, status: 'True'}, \
                 {type: Progressing, status: 'True', reason: NewReplicaSetAvailable, message: 'ReplicaSet \"web-old\" has successfully progressed.'}]",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&stale_success, "").0, State::Progressing);
}

#[test]
fn a_failure_of_an_old_replica_set_says_nothing_about_the_new_one() {
    let refused = "conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: exceeded quota}]";
    let with_condition = Deploy {
        status: "replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, \
                 conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: exceeded quota}]",
        ..Deploy::default()
    };
    let yaml = deployment(&with_condition).replace(
        &replica_set("web-old", "web:1", "1", ""),
        &replica_set("web-old", "web:1", "1", refused),
    );
    assert_eq!(first(&format!("{yaml}{}", new_pod("")), &kind::DEPLOYMENT, "web").0, State::Ready);

    let none = Deploy {
        status: "replicas: 0, updatedReplicas: 0, readyReplicas: 0",
        ..Deploy::default()
    };
    let yaml = deployment(&none).replace(
        &replica_set("web-new", "web:2", "2", ""),
        &replica_set("web-new", "web:2", "2", refused),
    );
    let (state, reason) = first(&yaml, &kind::DEPLOYMENT, "web");
    assert_eq!(state, State::Progressing);
    assert!(reason.contains("exceeded quota"), "{reason}");
}

#[test]
fn the_current_replica_set_is_found_after_a_rollback_by_its_template() {
    // The old one has the higher number until the controller has renumbered them.
    let rolled_back = deployment(&Deploy::default())
        .replace(
            "name: web-new, uid: web-new, generation: 1, annotations: {deployment.kubernetes.io/revision: '2'}",
            "name: web-new, uid: web-new, generation: 1, annotations: {deployment.kubernetes.io/revision: '1'}",
        )
        .replace(
            "name: web-old, uid: web-old, generation: 1, annotations: {deployment.kubernetes.io/revision: '1'}",
            "name: web-old, uid: web-old, generation: 1, annotations: {deployment.kubernetes.io/revision: '2'}",
        );
    let old = pod("web-old-a", "ReplicaSet/web-old", "pod-template-hash: old", "", "", "");
    let (state, reason) = first(&format!("{rolled_back}{old}"), &kind::DEPLOYMENT, "web");
    assert_eq!((state, reason.as_str()), (State::Progressing, "0 of 1 pod ready"));
}

#[test]
fn pods_that_only_say_ready_do_not_count() {
    let node = |status: &str| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-a}}\nstatus: {{conditions: [{{type: Ready, status: {status}, reason: NodeStatusUnknown}}]}}\n"
        )
    };
    let on_node = pod(
        "web-new-a",
        "ReplicaSet/web-new",
        "pod-template-hash: new",
        "",
        "nodeName: node-a,",
        "",
    );
    let gate = "readinessGates: [{conditionType: example.org/lb}],";
    let with_gate = |status: &str| {
        let status = READY.replace("{type: Ready,", &format!("{status}{{type: Ready,"));
        pod("web-new-a", "ReplicaSet/web-new", "pod-template-hash: new", "", gate, &status)
    };
    let sidecar = "initContainers: [{name: mesh, image: 'mesh:1', restartPolicy: Always}],";
    let crashing = READY.replace(
        "containerStatuses:",
        "initContainerStatuses: [{name: mesh, image: i, imageID: '', ready: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff, message: back-off 40s}}}], containerStatuses:",
    );
    let deleted = "deletionTimestamp: '2026-01-01T11:59:59Z',";
    for (what, pods, state, says) in [
        (
            "deleted",
            pod("web-new-a", "ReplicaSet/web-new", "pod-template-hash: new", deleted, "", ""),
            State::Progressing,
            "is being deleted",
        ),
        (
            "lost node",
            on_node.clone() + &node("Unknown"),
            State::Progressing,
            "its node node-a is not ready",
        ),
        ("node gone", on_node.clone(), State::Progressing, "does not exist any more"),
        ("node well", on_node + &node("'True'"), State::Ready, ""),
        (
            "sidecar",
            pod("web-new-a", "ReplicaSet/web-new", "pod-template-hash: new", "", sidecar, &crashing),
            State::Progressing,
            "init container mesh: CrashLoopBackOff",
        ),
        (
            "gate closed",
            with_gate(""),
            State::Progressing,
            "readiness gate example.org/lb is not True",
        ),
        ("gate open", with_gate("{type: example.org/lb, status: 'True'}, "), State::Ready, ""),
        (
            "gate without a health check",
            with_gate("{type: example.org/lb, status: 'True', reason: LoadBalancerNegTimeout}, "),
            State::Unknown,
            "LoadBalancerNegTimeout",
        ),
    ] {
        let judged = judged_of(
            &snapshot(&format!("{}{pods}", deployment(&Deploy::default()))),
            &[target(&kind::DEPLOYMENT, "web")],
        );
        assert_eq!(judged[0].state, state, "{what}: {judged:?}");
        let told = judged[0]
            .blocking
            .iter()
            .map(|b| b.reason.clone())
            .chain([judged[0].reason.clone()])
            .collect::<Vec<_>>()
            .join(" ");
        assert!(told.contains(says), "{what}: {told}");
    }
}

#[test]
fn a_failed_pod_is_failed_and_a_pod_that_ended_well_is_done() {
    let bare = |status: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: i}}]}}\nstatus: {status}\n")
    };
    let failed = "{phase: Failed, reason: Evicted, message: low on memory, conditions: [{type: Ready, status: 'True'}]}";
    assert_eq!(
        first(&bare(failed), &kind::POD, "p"),
        (State::Failed, "has failed (Evicted) low on memory".into())
    );
    assert_eq!(first(&bare("{phase: Succeeded}"), &kind::POD, "p").0, State::Ready);
    assert_eq!(first(&bare("{phase: Pending}"), &kind::POD, "p").0, State::Progressing);
    assert_eq!(first(&bare("{phase: Pending}"), &kind::POD, "q").0, State::NotFound);
}

#[test]
fn paused_and_scaled_to_zero() {
    let paused = Deploy {
        spec: "paused: true,",
        status: "replicas: 1, updatedReplicas: 0, readyReplicas: 1, availableReplicas: 1",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&paused, "").0, State::Failed);
    let rolled_out_before = Deploy {
        spec: "paused: true,",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&rolled_out_before, &new_pod("")).0, State::Ready);
    let zero = Deploy {
        replicas: 0,
        status: "replicas: 0",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&zero, "").0, State::Ready);
    assert_eq!(of_deployment(&zero, SERVICE).0, State::Failed, "nobody answers behind the Service");
}

const SERVICE: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, uid: s}\nspec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}\n";

#[test]
fn an_autoscaler_that_asks_for_more_pods_is_waited_for() {
    let scaled = Deploy {
        generation: 3,
        observed: 3,
        replicas: 3,
        status: "replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1",
        ..Deploy::default()
    };
    assert_eq!(
        of_deployment(&scaled, &new_pod("")),
        (State::Progressing, "1 of 3 pods of the current revision exist".into())
    );
}

#[test]
fn an_autoscaler_that_has_not_acted_yet_is_waited_for() {
    let ready = Deploy::default();
    let scaler = |spec: &str, status: &str| {
        format!(
            "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: scaler}}\n\
             spec: {{scaleTargetRef: {{kind: Deployment, name: web}}, maxReplicas: 9, {spec}}}\nstatus: {{{status}}}\n"
        )
    };
    for (what, spec, status, state) in [
        ("it has its minimum", "minReplicas: 1", "desiredReplicas: 1", State::Ready),
        ("it has not looked yet", "", "desiredReplicas: 0", State::Ready),
        ("below its minimum", "minReplicas: 3", "desiredReplicas: 0", State::Progressing),
        ("it asks for more", "minReplicas: 1", "desiredReplicas: 2", State::Progressing),
    ] {
        assert_eq!(of_deployment(&ready, &(new_pod("") + &scaler(spec, status))).0, state, "{what}");
    }
    let (_, reason) = of_deployment(&ready, &(new_pod("") + &scaler("minReplicas: 3", "")));
    assert_eq!(reason, "autoscaler scaler asks for 3 pods, it has 1");
}

#[test]
fn a_container_has_to_outlive_its_last_run() {
    let times = |runs_since: &str, ran_from: &str| {
        format!(
            "{{phase: Running, podIP: 10.0.0.1, conditions: [{{type: Ready, status: 'True'}}], containerStatuses: [{{name: web, image: i, imageID: '', \
             ready: true, restartCount: 2, state: {{running: {{startedAt: '{runs_since}'}}}}, \
             lastState: {{terminated: {{exitCode: 3, startedAt: '{ran_from}', finishedAt: '2026-01-01T11:50:00Z'}}}}}}]}}"
        )
    };
    let restless = |runs_since: &str, ran_from: &str| {
        let yaml = format!("{}{}", deployment(&Deploy::default()), new_pod(&times(runs_since, ran_from)));
        let snapshot = snapshot(&yaml);
        let view = View::new(&snapshot, Options::default());
        let goal = Goal {
            targets: vec![target(&kind::DEPLOYMENT, "web")],
            ..Goal::default()
        };
        let judged = judge(&view, &goal);
        settle::restless(&view, &judged)
    };
    let second = Duration::from_secs;
    for (runs_since, ran_from, left) in [
        ("11:59:58", "11:49:58", Some(6)), // it ended after two seconds: eight are asked for
        ("11:59:52", "11:49:58", None),
        ("11:59:30", "11:49:30", Some(20)), // it ended after half a minute, and may do so again
        ("11:59:10", "11:49:30", None),
        ("11:59:30", "11:00:00", Some(60)), // nobody waits for longer than a minute and a half
        ("12:05:00", "11:49:59", None),     // another clock
    ] {
        let day = |time: &str| format!("2026-01-01T{time}Z");
        let found = restless(&day(runs_since), &day(ran_from));
        assert_eq!(
            found.as_ref().map(|r| r.left),
            left.map(second),
            "{runs_since} {ran_from}: {found:?}"
        );
    }
    let found = restless("2026-01-01T11:59:58Z", "2026-01-01T11:49:59Z").unwrap();
    assert_eq!(
        found.reason,
        "container web of pod web-new-a has run for 2s since it ended with code 3 after 1s"
    );
}

#[test]
fn a_pod_that_is_ready_again_has_to_stay_so_for_longer() {
    let left = |complete: &str, runs_since: &str, ready_since: &str| {
        let conditions = format!(
            ", conditions: [{{type: Progressing, status: 'True', reason: NewReplicaSetAvailable, lastUpdateTime: '2026-01-01T{complete}Z'}}]"
        );
        let pod = new_pod(&format!(
            "{{phase: Running, podIP: 10.0.0.1, conditions: [{{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T{ready_since}Z'}}], \
             containerStatuses: [{{name: web, image: i, imageID: '', ready: true, restartCount: 0, \
             state: {{running: {{startedAt: '2026-01-01T{runs_since}Z'}}}}}}]}}"
        ));
        let yaml = deployment(&Deploy::default()).replacen("availableReplicas: 1", &format!("availableReplicas: 1{conditions}"), 1);
        let snapshot = snapshot(&format!("{yaml}{pod}"));
        let view = View::new(&snapshot, Options::default());
        let goal = Goal {
            targets: vec![target(&kind::DEPLOYMENT, "web")],
            ..Goal::default()
        };
        settle::restless(&view, &judge(&view, &goal)).map(|restless| restless.left.as_secs())
    };
    // It was complete after two seconds, and the pod that ran then is ready again since two seconds.
    assert_eq!(left("11:58:02", "11:58:00", "11:59:58"), Some(88));
    assert_eq!(
        left("11:59:42", "11:59:40", "11:59:52"),
        Some(12),
        "ready for ten seconds at most before"
    );
    assert_eq!(left("11:58:02", "11:58:00", "11:58:30"), None, "it has lasted");
    assert_eq!(
        left("11:59:52", "11:59:40", "11:59:51"),
        None,
        "it has been ready since the roll-out"
    );
    assert_eq!(left("11:59:55", "11:59:40", "11:59:57"), None, "two clocks may differ");
    assert_eq!(left("11:00:00", "11:59:50", "11:59:57"), None, "a pod that came later");
}

#[test]
fn available_is_more_than_ready_where_pods_must_stay_ready() {
    let young = Deploy {
        spec: "minReadySeconds: 30,",
        status: "replicas: 1, updatedReplicas: 1, readyReplicas: 1",
        ..Deploy::default()
    };
    assert_eq!(
        of_deployment(&young, &new_pod("")),
        (State::Progressing, "0 of 1 pod available, others must stay ready for 30 s".into())
    );
}

#[test]
fn pods_of_older_revisions_hold_it_up() {
    let surge = Deploy {
        status: "replicas: 2, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2",
        ..Deploy::default()
    };
    assert_eq!(of_deployment(&surge, &new_pod("")).1, "1 pod of older revisions are still there");
    let going = pod(
        "web-old-a",
        "ReplicaSet/web-old",
        "pod-template-hash: old",
        "deletionTimestamp: '2026-01-01T11:59:59Z',",
        "",
        "",
    );
    let yaml = format!("{}{}{going}", deployment(&Deploy::default()), new_pod(""));
    assert_eq!(first(&yaml, &kind::DEPLOYMENT, "web").0, State::Ready);
    let goal = Goal {
        targets: vec![target(&kind::DEPLOYMENT, "web")],
        old_gone: true,
        ..Goal::default()
    };
    assert_eq!(
        judged_with(&snapshot(&yaml), &goal)[0].state,
        State::Progressing,
        "--old-gone waits for the last of them"
    );
}

#[test]
fn the_expected_image_is_required() {
    let yaml = format!("{}{}", deployment(&Deploy::default()), new_pod(""));
    let with = |image: Option<&str>, revision| Goal {
        targets: vec![target(&kind::DEPLOYMENT, "web")],
        expect_image: image.map(str::to_owned),
        expect_revision: revision,
        ..Goal::default()
    };
    for (goal, state) in [
        (with(Some("web:2"), None), State::Ready),
        (with(Some("web:3"), None), State::Progressing),
        (with(None, Some(2)), State::Ready),
        (with(None, Some(3)), State::Progressing),
    ] {
        assert_eq!(judged_with(&snapshot(&yaml), &goal)[0].state, state, "{goal:?}");
    }
}

fn stateful_set(spec: &str, status: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db, uid: db, generation: 2}}\n\
         spec: {{serviceName: db, replicas: 2, {spec} selector: {{matchLabels: {{app: db}}}}, template: {{metadata: {{labels: {{app: db}}}}, spec: {{containers: [{{name: web, image: 'db:2'}}]}}}}}}\n\
         status: {{observedGeneration: 2, replicas: 2, currentRevision: db-1, updateRevision: db-2, {status}}}\n"
    )
}

fn db(ordinal: usize, revision: &str, status: &str) -> String {
    pod(
        &format!("db-{ordinal}"),
        "StatefulSet/db",
        &format!("controller-revision-hash: {revision}"),
        "",
        "",
        status,
    )
}

/// Failures of a readiness probe: of a pod that runs since 11:59:00 and is ready since 11:59:50.
#[test]
fn failures_of_a_readiness_probe_show_that_a_pod_was_ready_before() {
    let left_after = |probe: &str, startup: &[(&str, &str, u32)], readiness: &[(&str, &str, u32)]| {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: shop, uid: u}}, spec: {{containers: [{{name: app, {probe}}}]}}, \
             status: {{phase: Running, conditions: [{{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:59:50Z'}}], \
             containerStatuses: [{{name: app, image: i, imageID: '', ready: true, restartCount: 0, \
             state: {{running: {{startedAt: '2026-01-01T11:59:00Z'}}}}}}]}}}}\n"
        );
        let startup = startup.iter().map(|event| ("Startup", event));
        let events = startup.chain(readiness.iter().map(|event| ("Readiness", event)));
        let events = events.enumerate().map(|(number, (which, (first, last, count)))| {
            format!(
                "---\n{{apiVersion: v1, kind: Event, metadata: {{name: e{number}, namespace: shop}}, type: Warning, reason: Unhealthy, \
                 message: '{which} probe failed: HTTP probe failed with statuscode: 50{number}', count: {count}, \
                 firstTimestamp: '2026-01-01T{first}Z', lastTimestamp: '2026-01-01T{last}Z', \
                 involvedObject: {{kind: Pod, name: web, namespace: shop, uid: u, fieldPath: 'spec.containers{{app}}'}}}}\n"
            )
        });
        let snapshot = snapshot(&(pod + &events.collect::<String>()));
        let view = View::new(&snapshot, Options::default());
        let goal = Goal {
            targets: vec![target(&kind::POD, "web")],
            ..Goal::default()
        };
        settle::restless(&view, &judge(&view, &goal)).map(|restless| restless.left.as_secs())
    };
    let left = |probe: &str, events: &[(&str, &str, u32)]| left_after(probe, &[], events);
    let probe = "readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 2}";
    assert_eq!(left(probe, &[]), None);
    assert_eq!(
        left(probe, &[("11:59:02", "11:59:48", 24)]),
        None,
        "a slow start fails all the time"
    );
    assert_eq!(
        left(
            &probe.replace('2', "4"),
            &[("11:59:02", "11:59:18", 5), ("11:59:22", "11:59:46", 7)]
        ),
        None,
        "with two answers"
    );
    assert_eq!(
        left(probe, &[("11:59:20", "11:59:48", 15)]),
        Some(25),
        "it was ready for 20 s: 35 s are asked for"
    );
    assert_eq!(
        left(probe, &[("11:59:02", "11:59:48", 12)]),
        Some(31),
        "it passed for 24 s in between"
    );
    assert_eq!(
        left(probe, &[("11:59:54", "11:59:56", 1)]),
        None,
        "one failure is below the threshold"
    );
    let delayed = probe.replace("periodSeconds", "initialDelaySeconds: 18, periodSeconds");
    assert_eq!(left(&delayed, &[("11:59:20", "11:59:48", 15)]), None, "it was not probed before");
    let guarded = format!("{probe}, startupProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 2}}");
    let late = [("11:59:20", "11:59:48", 15)];
    assert_eq!(left(&guarded, &late), Some(23), "it started at once, and was ready for 19 s");
    assert_eq!(left_after(&guarded, &[("11:59:02", "11:59:04", 2)], &late), Some(14), "for 13 s");
    assert_eq!(left_after(&guarded, &[("11:59:02", "11:59:16", 8)], &late), None, "it started late");
    assert_eq!(
        left_after(&guarded, &[("11:59:00", "11:59:09", 20)], &late),
        None,
        "it may have started late"
    );
    assert_eq!(left(&guarded, &[("11:59:02", "11:59:48", 12)]), Some(31), "it has started");
    assert_eq!(
        left(probe, &[("11:58:20", "11:59:48", 15)]),
        None,
        "the first failure was in an earlier life"
    );
}

#[test]
fn stateful_sets_by_partition_and_strategy() {
    let done = "updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2";
    let half = "updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2";
    let on_delete = "updateStrategy: {type: OnDelete},";
    let partition = "updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}},";
    let all_new = db(0, "db-2", "") + &db(1, "db-2", "");
    let one_old = db(0, "db-1", "") + &db(1, "db-2", "");
    for (what, yaml, state, says) in [
        ("done", stateful_set("", done) + &all_new, State::Ready, "2 of 2 pods ready"),
        (
            "one is old",
            stateful_set("", half) + &one_old,
            State::Progressing,
            "1 of 2 pods are of the current revision",
        ),
        (
            "the status is ahead of the pods",
            stateful_set("", done) + &one_old,
            State::Progressing,
            "of the current revision",
        ),
        (
            "partition",
            stateful_set(partition, half) + &one_old,
            State::Ready,
            "1 pod below partition 1 not updated",
        ),
        (
            "partition, not ready",
            stateful_set(partition, half) + &db(0, "db-1", "") + &db(1, "db-2", UNREADY),
            State::Progressing,
            "1 of 2 pods ready",
        ),
        (
            "on delete",
            stateful_set(on_delete, half) + &one_old,
            State::Failed,
            "until somebody deletes them",
        ),
        (
            "on delete, one is being replaced",
            stateful_set(on_delete, half) + &db(0, "db-1", ""),
            State::Progressing,
            "until somebody deletes them",
        ),
        (
            "on delete, the new one is not ready yet",
            stateful_set(on_delete, half) + &db(0, "db-1", "") + &db(1, "db-2", UNREADY),
            State::Progressing,
            "until somebody deletes them",
        ),
        (
            "minReadySeconds",
            stateful_set("minReadySeconds: 60,", "updatedReplicas: 2, readyReplicas: 2, availableReplicas: 0") + &all_new,
            State::Progressing,
            "must stay ready for 60 s",
        ),
        (
            "behind",
            stateful_set("", done).replace("generation: 2}", "generation: 3}") + &all_new,
            State::Progressing,
            "has not observed",
        ),
    ] {
        let (is, reason) = first(&yaml, &kind::STATEFUL_SET, "db");
        assert_eq!(is, state, "{what}: {reason}");
        assert!(reason.contains(says), "{what}: {reason}");
    }
}

#[test]
fn daemon_sets_by_node() {
    let set = |status: &str| {
        format!(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: agent, uid: agent, generation: 1, annotations: {{deprecated.daemonset.template.generation: '2'}}}}\n\
             spec: {{selector: {{matchLabels: {{app: agent}}}}, template: {{metadata: {{labels: {{app: agent}}}}, spec: {{containers: [{{name: web, image: i}}]}}}}}}\n\
             status: {{observedGeneration: 1, currentNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0, {status}}}\n"
        )
    };
    let agent = |generation: &str| {
        pod(
            "agent-a",
            "DaemonSet/agent",
            &format!("pod-template-generation: '{generation}'"),
            "",
            "",
            "",
        )
    };
    let one = "desiredNumberScheduled: 1, updatedNumberScheduled: 1, numberAvailable: 1";
    assert_eq!(first(&(set(one) + &agent("2")), &kind::DAEMON_SET, "agent").0, State::Ready);
    assert_eq!(first(&(set(one) + &agent("1")), &kind::DAEMON_SET, "agent").0, State::Progressing);
    let (state, reason) = first(&set("desiredNumberScheduled: 0"), &kind::DAEMON_SET, "agent");
    assert_eq!((state, reason.as_str()), (State::Unknown, "no node matches it: it has no pods"));
    let served = SERVICE.replace("app: web", "app: agent");
    assert_eq!(
        first(&(set("desiredNumberScheduled: 0") + &served), &kind::DAEMON_SET, "agent").0,
        State::Failed
    );
}

#[test]
fn jobs_are_ready_when_they_are_complete() {
    let job = |spec: &str, status: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec: {{{spec} template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}\nstatus: {{{status}}}\n"
        )
    };
    let condition = |type_: &str| format!("conditions: [{{type: {type_}, status: 'True', reason: BackoffLimitExceeded}}]");
    for (yaml, state) in [
        (job("", &condition("Complete")), State::Ready),
        (job("", &condition("Failed")), State::Failed),
        (job("", &condition("FailureTarget")), State::Failed),
        (job("suspend: true,", &condition("Suspended")), State::Failed),
        (job("suspend: true,", &condition("Complete")), State::Ready),
        (job("", "active: 1"), State::Progressing),
    ] {
        assert_eq!(first(&yaml, &kind::JOB, "j").0, state, "{yaml}");
    }
    let cron = |suspend: bool| {
        format!(
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: c}}\nspec: {{schedule: '@hourly', suspend: {suspend}, jobTemplate: {{spec: {{template: {{spec: {{containers: []}}}}}}}}}}\n"
        )
    };
    assert_eq!(first(&cron(false), &kind::CRON_JOB, "c").0, State::Ready);
    assert_eq!(first(&cron(true), &kind::CRON_JOB, "c").0, State::Failed);
}

fn slice(ports: &str, endpoints: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: IPv4\nports: [{ports}]\nendpoints: [{endpoints}]\n"
    )
}

const ENDPOINT: &str =
    "{addresses: [10.0.0.1], conditions: {ready: true, serving: true, terminating: false}, targetRef: {kind: Pod, name: web-new-a}}";

/// State and reason of what the Service is in each phase.
fn of_service(yaml: &str) -> [(State, String); 2] {
    let judged = judged_of(&snapshot(yaml), &[target(&kind::SERVICE, "web")]);
    [Phase::Infrastructure, Phase::Pods].map(|phase| {
        let found = judged.iter().find(|j| j.phase == phase && j.object.is(&kind::SERVICE)).unwrap();
        (found.state, found.reason.clone())
    })
}

#[test]
fn endpoints_count_where_they_serve_the_port_that_is_used() {
    let rolled_out = format!("{}{}", deployment(&Deploy::default()), new_pod(""));
    let starting = format!("{}{}", deployment(&Deploy::default()), new_pod(UNREADY));
    let port = "{name: http, port: 8080, protocol: TCP}";
    let old = pod("web-old-a", "ReplicaSet/web-old", "pod-template-hash: old", "", "", "");
    let old_endpoint = ENDPOINT.replace("web-new-a", "web-old-a");
    let published = SERVICE.replace("spec: {", "spec: {publishNotReadyAddresses: true, ");
    let published_endpoint = ENDPOINT.replace("serving: true", "serving: false");
    for (what, yaml, state, says) in [
        (
            "ready",
            format!("{rolled_out}{SERVICE}{}", slice(port, ENDPOINT)),
            State::Ready,
            "1 ready endpoint",
        ),
        (
            "no slice",
            format!("{rolled_out}{SERVICE}"),
            State::Progressing,
            "has no ready endpoint",
        ),
        (
            "addresses without a port",
            format!("{rolled_out}{SERVICE}{}", slice("", ENDPOINT)),
            State::Progressing,
            "no endpoint for port 80 (http)",
        ),
        (
            "another port",
            format!(
                "{rolled_out}{SERVICE}{}",
                slice("{name: admin, port: 9090, protocol: TCP}", ENDPOINT)
            ),
            State::Progressing,
            "no endpoint for port 80 (http)",
        ),
        (
            "unready pods are published",
            format!("{starting}{published}{}", slice(port, &published_endpoint)),
            State::Progressing,
            "has no ready endpoint",
        ),
        (
            "an old pod is left",
            format!("{rolled_out}{SERVICE}{old}{}", slice(port, &format!("{ENDPOINT}, {old_endpoint}"))),
            State::Progressing,
            "pod web-old-a is of an older revision, and still an endpoint",
        ),
        (
            "a pod that is gone is left",
            format!("{rolled_out}{SERVICE}{}", slice(port, &format!("{ENDPOINT}, {old_endpoint}"))),
            State::Progressing,
            "pod web-old-a does not exist any more",
        ),
    ] {
        let [_, (is, reason)] = of_service(&yaml);
        assert_eq!(is, state, "{what}: {reason}");
        assert!(reason.contains(says), "{what}: {reason}");
    }
}

#[test]
fn a_load_balancer_needs_an_address_without_an_error() {
    let service = |status: &str| {
        SERVICE
            .trim_start_matches("---\n")
            .replace("spec: {", "spec: {type: LoadBalancer, ")
            + &format!("status: {{loadBalancer: {status}}}\n")
    };
    for (status, state) in [
        ("{}", State::Progressing),
        ("{ingress: []}", State::Progressing),
        ("{ingress: [{}]}", State::Progressing),
        ("{ingress: [{ip: 192.0.2.1}]}", State::Ready),
        ("{ingress: [{hostname: lb.example.org}]}", State::Ready),
        (
            "{ingress: [{ip: 192.0.2.1, ports: [{port: 80, protocol: TCP, error: PortInUse}]}]}",
            State::Progressing,
        ),
    ] {
        let [(is, reason), _] = of_service(&service(status));
        assert_eq!(is, state, "{status}: {reason}");
    }
}

#[test]
fn services_of_every_type_reach_their_goal() {
    let service = |spec: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{{spec}}}\n");
    let phases = |yaml: &str| {
        judged_of(&snapshot(yaml), &[target(&kind::SERVICE, "web")])
            .iter()
            .map(|j| (j.phase, j.state))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        phases(&service("type: ExternalName, externalName: db.example.org")),
        [(Phase::Infrastructure, State::Ready)]
    );
    let pending = [(Phase::Infrastructure, State::Ready), (Phase::Pods, State::Progressing)];
    for spec in [
        "clusterIP: None, selector: {app: web}",
        "clusterIP: 10.96.0.1, type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30000}]",
        "clusterIP: 10.96.0.1, ports: [{port: 80}]",
    ] {
        assert_eq!(phases(&service(spec)), pending, "{spec}");
    }
    // Without a selector somebody else writes the endpoints, which need not be pods.
    let external = service("clusterIP: 10.96.0.1, ports: [{port: 80}]") + &slice("{port: 80}", "{addresses: [192.0.2.7]}");
    assert_eq!(phases(&external)[1], (Phase::Pods, State::Ready));
    let headless = |selector: &str| service(&format!("clusterIP: None{selector}")) + &slice("", "{addresses: [192.0.2.7]}");
    assert_eq!(phases(&headless(""))[1], (Phase::Pods, State::Ready));
    // With one, nobody knows what such an endpoint is.
    assert_eq!(phases(&headless(", selector: {app: web}"))[1], (Phase::Pods, State::Unknown));
}

#[test]
fn claims_that_wait_for_a_pod_hold_up_no_infrastructure() {
    let claim = |phase: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec: {{storageClassName: late}}\nstatus: {{phase: {phase}}}\n"
        )
    };
    let class = "---\napiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: late}\nprovisioner: example.org/p\nvolumeBindingMode: WaitForFirstConsumer\n";
    let judged = |yaml: &str| {
        let judged = judged_of(&snapshot(yaml), &[target(&kind::CLAIM, "data")]);
        (judged[0].phase, judged[0].state)
    };
    assert_eq!(judged(&claim("Bound")), (Phase::Infrastructure, State::Ready));
    assert_eq!(judged(&claim("Lost")), (Phase::Infrastructure, State::Failed));
    assert_eq!(judged(&claim("Pending")), (Phase::Infrastructure, State::Progressing));
    assert_eq!(judged(&(claim("Pending") + class)), (Phase::Pods, State::Progressing));
}

#[test]
fn services_and_claims_of_a_workload_are_found() {
    let ingress = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: front}\nspec: {defaultBackend: {service: {name: web, port: {number: 80}}}}\n";
    let route = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: way, namespace: shop}\nspec: {parentRefs: [{name: gate}], rules: [{backendRefs: [{name: web, port: 80}]}]}\n";
    let other = SERVICE
        .replace("name: web, uid: s", "name: other, uid: o")
        .replace("app: web", "app: other");
    let web = deployment(&Deploy::default()).replacen(
        "spec: {containers:",
        "spec: {volumes: [{name: d, persistentVolumeClaim: {claimName: data}}], containers:",
        1,
    );
    let judged = judged_of(
        &snapshot(&format!("{web}{SERVICE}{other}{ingress}{route}")),
        &[target(&kind::DEPLOYMENT, "web")],
    );
    let related: std::collections::BTreeSet<String> = judged.iter().filter(|j| j.related).map(|j| j.object.short()).collect();
    assert_eq!(
        related.into_iter().collect::<Vec<_>>(),
        [
            "gateway/gate",
            "httproute/way",
            "ingress/front",
            "persistentvolumeclaim/data",
            "service/web"
        ]
    );
}

#[test]
fn an_ingress_needs_an_address() {
    let ingress = |status: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: front}}\nspec: {{}}\nstatus: {{loadBalancer: {status}}}\n"
        )
    };
    for (status, state) in [
        ("{}", State::Progressing),
        ("{ingress: []}", State::Progressing),
        ("{ingress: [{ip: 192.0.2.1}]}", State::Ready),
        (
            "{ingress: [{ip: 192.0.2.1, ports: [{port: 80, protocol: TCP, error: PortInUse}]}]}",
            State::Progressing,
        ),
    ] {
        assert_eq!(first(&ingress(status), &kind::INGRESS, "front").0, state, "{status}");
    }
}

#[test]
fn gateways_and_routes_by_conditions_of_the_present_spec() {
    let gateway = |status: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gate, namespace: shop, generation: 2}}\nspec: {{}}\nstatus: {status}\n"
        )
    };
    let address = "addresses: [{value: 192.0.2.1}]";
    for (status, state) in [
        (
            format!("{{{address}, conditions: [{{type: Programmed, status: 'True', observedGeneration: 2}}]}}"),
            State::Ready,
        ),
        (
            format!("{{{address}, conditions: [{{type: Programmed, status: 'True', observedGeneration: 1}}]}}"),
            State::Progressing,
        ),
        (
            "{conditions: [{type: Programmed, status: 'True', observedGeneration: 2}]}".to_owned(),
            State::Progressing,
        ),
        (
            "{conditions: [{type: Programmed, status: Unknown, reason: Pending}]}".to_owned(),
            State::Progressing,
        ),
    ] {
        assert_eq!(first(&gateway(&status), &kind::GATEWAY, "gate").0, state, "{status}");
    }
    let route = |parents: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: way, namespace: shop, generation: 1}}\nspec: {{parentRefs: [{{name: gate}}]}}\nstatus: {{parents: [{parents}]}}\n"
        )
    };
    let yes = "{type: Accepted, status: 'True', observedGeneration: 1}";
    for (parents, state) in [
        (
            format!("{{parentRef: {{name: gate}}, conditions: [{yes}, {{type: ResolvedRefs, status: 'True'}}]}}"),
            State::Ready,
        ),
        (
            format!("{{parentRef: {{name: gate}}, conditions: [{yes}, {{type: ResolvedRefs, status: 'False', reason: BackendNotFound}}]}}"),
            State::Progressing,
        ),
        (
            format!("{{parentRef: {{name: other}}, conditions: [{yes}, {{type: ResolvedRefs, status: 'True'}}]}}"),
            State::Progressing,
        ),
        (String::new(), State::Progressing),
    ] {
        assert_eq!(first(&route(&parents), &kind::HTTP_ROUTE, "way").0, state, "{parents}");
    }
}

#[test]
fn a_route_along_which_nothing_is_asked_is_never_ready() {
    for kind in ["GRPCRoute", "TLSRoute"] {
        let route = ObjectRef {
            api_version: "gateway.networking.k8s.io/v1".into(),
            kind: kind.into(),
            namespace: "shop".into(),
            name: "way".into(),
        };
        let judged = |conditions: &str| {
            let yaml = format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: way, namespace: shop, generation: 1}}\n\
                 spec: {{parentRefs: [{{name: gate}}]}}\nstatus: {{parents: [{{parentRef: {{name: gate}}, conditions: [{conditions}]}}]}}\n"
            );
            let judged = judged_of(&snapshot(&yaml), std::slice::from_ref(&route));
            (judged[0].state, judged[0].reason.clone())
        };
        assert_eq!(judged("{type: Accepted, status: 'False'}").0, State::Progressing, "{kind}");
        let (state, reason) = judged("{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}");
        assert_eq!(state, State::Unknown, "{kind}");
        assert!(reason.contains(&format!("a {kind} is not checked")), "{reason}");
    }
}

#[test]
fn custom_resources_by_their_conditions_and_never_ready_without() {
    let widget = ObjectRef {
        api_version: "example.org/v1".into(),
        kind: "Widget".into(),
        namespace: "shop".into(),
        name: "w".into(),
    };
    let judged = |status: &str| {
        let yaml =
            format!("apiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: w, namespace: shop, generation: 2}}\nstatus: {status}\n");
        judged_of(&snapshot(&yaml), std::slice::from_ref(&widget))[0].state
    };
    for (status, state) in [
        ("{conditions: [{type: Ready, status: 'True'}]}", State::Ready),
        (
            "{conditions: [{type: Ready, status: 'True', observedGeneration: 1}]}",
            State::Progressing,
        ),
        (
            "{observedGeneration: 1, conditions: [{type: Ready, status: 'True'}]}",
            State::Progressing,
        ),
        ("{conditions: [{type: Ready, status: 'False', reason: Waits}]}", State::Progressing),
        (
            "{conditions: [{type: Ready, status: 'True'}, {type: Reconciling, status: 'True'}]}",
            State::Progressing,
        ),
        (
            "{conditions: [{type: Ready, status: 'False'}, {type: Stalled, status: 'True'}]}",
            State::Failed,
        ),
        ("{conditions: [{type: Odd, status: 'True'}]}", State::Unknown),
        ("{phase: Running}", State::Unknown),
        ("{}", State::Unknown),
    ] {
        assert_eq!(judged(status), state, "{status}");
    }
    let crd = |conditions: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.example.org}}\nstatus: {{conditions: [{conditions}]}}\n"
        )
    };
    let named = ObjectRef::new(&kind::CUSTOM_RESOURCE_DEFINITION, "", "widgets.example.org");
    for (conditions, state) in [
        (
            "{type: Established, status: 'True'}, {type: NamesAccepted, status: 'True'}",
            State::Ready,
        ),
        ("{type: NamesAccepted, status: 'False', reason: Conflict}", State::Failed),
        ("", State::Progressing),
    ] {
        assert_eq!(
            judged_of(&snapshot(&crd(conditions)), std::slice::from_ref(&named))[0].state,
            state,
            "{conditions}"
        );
    }
}

#[test]
fn an_object_that_is_being_deleted_is_not_ready() {
    let yaml = deployment(&Deploy::default()).replacen("uid: d,", "uid: d, deletionTimestamp: '2026-01-01T11:59:00Z',", 1) + &new_pod("");
    assert_eq!(
        first(&yaml, &kind::DEPLOYMENT, "web"),
        (State::Progressing, "is being deleted".into())
    );
}

const PULL: &str = "{phase: Pending, conditions: [{type: PodScheduled, status: 'True'}, {type: Ready, status: 'False'}], containerStatuses: [{name: web, image: i, imageID: '', \
     ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"web:2\": ErrImagePull: not found'}}}]}";

fn suspects(yaml: &str) -> (Vec<failfast::Suspect>, Vec<ObjectReadiness>) {
    suspects_of(&target(&kind::DEPLOYMENT, "web"), yaml)
}

fn suspects_of(target: &ObjectRef, yaml: &str) -> (Vec<failfast::Suspect>, Vec<ObjectReadiness>) {
    let snapshot = snapshot(yaml);
    let targets = vec![target.clone()];
    let mut judged = judged_of(&snapshot, &targets);
    let question = Question {
        targets: Some(targets),
        ..Question::default()
    };
    (
        failfast::suspects(&snapshot, &question, assess::run(&snapshot, &question), &mut judged, false),
        judged,
    )
}

#[test]
fn the_rules_say_why_it_will_not_become_ready() {
    let rolling = Deploy {
        status: "replicas: 2, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, unavailableReplicas: 1",
        ..Deploy::default()
    };
    let old = pod("web-old-a", "ReplicaSet/web-old", "pod-template-hash: old", "", "", "");
    let (found, judged) = suspects(&format!("{}{}{old}", deployment(&rolling), new_pod(PULL)));
    let codes: Vec<&str> = found.iter().map(|s| s.finding.code.as_str()).collect();
    assert_eq!(codes, ["ImagePullFailing"], "{judged:?}");
    assert_eq!(judged[0].causes, [found[0].finding.id.clone()]);
    let seconds = std::time::Duration::from_secs;
    let now = crate::testing::noon();
    assert!(!found[0].is_final(&Grace::default(), now, seconds(19)));
    assert!(
        found[0].is_final(&Grace::default(), now, seconds(20)),
        "it is permanent: the image does not exist"
    );
    let mut patient = Grace::default();
    patient.set("permanent", seconds(60)).unwrap();
    assert!(!found[0].is_final(&patient, now, seconds(59)));
    assert!(patient.set("nonsense", seconds(1)).is_err());
}

#[test]
fn faults_of_pods_that_are_replaced_say_nothing_about_the_new_revision() {
    let rolling = Deploy {
        status: "replicas: 2, updatedReplicas: 1, readyReplicas: 0, unavailableReplicas: 2",
        ..Deploy::default()
    };
    let old = pod("web-old-a", "ReplicaSet/web-old", "pod-template-hash: old", "", "", PULL);
    let (found, judged) = suspects(&format!("{}{}{old}", deployment(&rolling), new_pod(UNREADY)));
    assert!(found.is_empty() && judged[0].state == State::Progressing, "{found:?}");
}

#[test]
fn a_crash_loop_is_final_after_three_restarts_and_a_pending_pod_after_its_time() {
    let crash = |restarts: i32| {
        format!(
            "{{phase: Running, conditions: [{{type: PodScheduled, status: 'True'}}, {{type: Ready, status: 'False'}}], containerStatuses: [{{name: web, image: i, imageID: '', ready: false, \
             restartCount: {restarts}, state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {{exitCode: 1, finishedAt: '2026-01-01T11:59:50Z'}}}}}}]}}"
        )
    };
    let starting = Deploy {
        status: "replicas: 1, updatedReplicas: 1, unavailableReplicas: 1",
        ..Deploy::default()
    };
    let now = crate::testing::noon();
    let long = std::time::Duration::from_secs(3600);
    for (restarts, is_final) in [(2, false), (3, true)] {
        let (found, _) = suspects(&format!("{}{}", deployment(&starting), new_pod(&crash(restarts))));
        assert_eq!(
            found[0].is_final(&Grace::default(), now, long),
            is_final,
            "{restarts} restarts: {found:?}"
        );
    }
    let job = "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: web, namespace: shop, uid: j}\n\
        spec: {backoffLimit: 8, template: {spec: {containers: [{name: web, image: i}]}}}\nstatus: {active: 1}\n";
    let (found, judged) = suspects_of(
        &target(&kind::JOB, "web"),
        &format!("{job}{}", pod("web-a", "Job/web", "a: b", "", "", &crash(5))),
    );
    assert!(
        found.iter().all(|f| !f.is_final(&Grace::default(), now, long)) && judged[0].state == State::Progressing,
        "its own limit decides: {found:?} {judged:?}"
    );
    let pending = |since: &str| {
        format!(
            "{{phase: Pending, conditions: [{{type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '{since}', \
             message: '0/1 nodes are available: 1 Insufficient cpu.'}}]}}"
        )
    };
    let scaling = "---\napiVersion: v1\nkind: Event\nmetadata: {name: e}\ntype: Normal\nreason: TriggeredScaleUp\nmessage: 'pod triggered scale-up'\nlastTimestamp: '2026-01-01T11:59:00Z'\n\
         involvedObject: {kind: Pod, name: web-new-a, namespace: shop, uid: web-new-a}\n";
    for (since, is_final) in [("2026-01-01T11:58:00Z", false), ("2026-01-01T11:56:00Z", true)] {
        let (found, _) = suspects(&format!("{}{}", deployment(&starting), new_pod(&pending(since))));
        assert_eq!(found[0].finding.code.as_str(), "Unschedulable");
        let once = std::time::Duration::ZERO;
        assert_eq!(found[0].is_final(&Grace::default(), now, once), is_final, "{since}");
    }
    let (found, _) = suspects(&format!(
        "{}{}{scaling}",
        deployment(&starting),
        new_pod(&pending("2026-01-01T11:56:00Z"))
    ));
    assert!(found.is_empty(), "a node is on its way: {found:?}");
}

#[test]
fn a_replica_set_without_owner_has_its_own_rollout_state() {
    let set = |ready: i32| {
        format!(
            "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web, uid: web, generation: 1}}\n\
             spec: {{replicas: 1, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: 'web:2'}}]}}}}}}\n\
             status: {{observedGeneration: 1, replicas: 1, readyReplicas: {ready}, availableReplicas: {ready}}}\n"
        )
    };
    let with = |ready: i32, status: &str| {
        first(
            &(set(ready) + &pod("web-a", "ReplicaSet/web", "", "", "", status)),
            &kind::REPLICA_SET,
            "web",
        )
        .0
    };
    assert_eq!(with(1, READY), State::Ready);
    assert_eq!(with(0, UNREADY), State::Progressing);
    assert_eq!(with(1, UNREADY), State::Progressing, "its status is behind its pods");
}

#[test]
fn a_node_is_ready_by_its_own_word() {
    let node =
        |conditions: &str| format!("apiVersion: v1\nkind: Node\nmetadata: {{name: node-a}}\nstatus: {{conditions: [{conditions}]}}\n");
    assert_eq!(first(&node("{type: Ready, status: 'True'}"), &kind::NODE, "node-a").0, State::Ready);
    let (state, why) = first(
        &node("{type: Ready, status: Unknown, reason: NodeStatusUnknown}"),
        &kind::NODE,
        "node-a",
    );
    assert!(state == State::Progressing && why.contains("NodeStatusUnknown"), "{why}");
    assert_eq!(first(&node(""), &kind::NODE, "node-a").0, State::Progressing, "it has just come");
}

#[test]
fn the_phases_of_the_slowest_pod_are_reported_as_far_as_known() {
    let yaml = deployment(&Deploy::default()) + &new_pod(READY);
    let seen = snapshot(&yaml);
    let view = View::new(&seen, Options::default());
    let judged = judged_of(&seen, &[target(&kind::DEPLOYMENT, "web")]);
    let begun = seen.taken_at;
    let answered = begun.checked_add(std::time::Duration::from_millis(1500)).unwrap();
    let hops = crate::readiness::hops::of(&view, &judged, &crate::readiness::hops::Milestones::new(begun), Some(answered)).unwrap();
    let told: Vec<(&str, f64)> = hops.hops.iter().map(|hop| (hop.hop.as_str(), hop.took_seconds)).collect();
    // Its conditions have no times here, and no event tells of its image; nobody asked before the run began.
    assert_eq!(hops.pod, "web-new-a");
    assert_eq!(told.last(), Some(&("first answer", 1.5)));
    assert!(told.iter().all(|(name, _)| ["started", "first answer"].contains(name)), "{told:?}");
}

#[test]
fn an_autoscaler_that_cannot_scale_is_not_ready() {
    let with = |conditions: &str| {
        let yaml = format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: ok}}\n\
             spec: {{scaleTargetRef: {{kind: Deployment, name: nope}}, maxReplicas: 9}}\nstatus: {{conditions: [{conditions}]}}\n"
        );
        first(&yaml, &kind::AUTOSCALER, "ok")
    };
    let (state, reason) = with("{type: AbleToScale, status: 'False', reason: FailedGetScale, message: not found}");
    assert_eq!(
        (state, reason.as_str()),
        (State::Progressing, "condition AbleToScale is False: FailedGetScale not found")
    );
    let off = "{type: AbleToScale, status: 'True'}, {type: ScalingActive, status: 'False', reason: ScalingDisabled}";
    for well in [off, "{type: AbleToScale, status: 'True'}, {type: ScalingLimited, status: 'False'}"] {
        assert_eq!(with(well).0, State::Ready, "{well}");
    }
}

#[test]
fn a_bare_pod_that_has_ended_keeps_no_application_from_answering() {
    let pod = |status: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: old, uid: o, labels: {{app: two}}, creationTimestamp: '2026-01-01T11:00:00Z'}}\n\
             spec: {{nodeName: node-1, restartPolicy: Never, containers: [{{name: c, image: i}}]}}\nstatus: {status}\n---\n\
             {{apiVersion: v1, kind: Service, metadata: {{name: two}}, spec: {{selector: {{app: two}}, ports: [{{port: 80}}]}}}}\n"
        )
    };
    let end = "terminated: {exitCode: 3, reason: Error, startedAt: '2026-01-01T11:59:00Z', finishedAt: '2026-01-01T11:59:01Z'}";
    let told = |yaml: String| {
        let (snapshot, target) = (snapshot(&yaml), target(&kind::SERVICE, "two"));
        let question = Question {
            targets: Some(vec![target]),
            ..Question::default()
        };
        let found = failfast::suspects(&snapshot, &question, assess::run(&snapshot, &question), &mut Vec::new(), true);
        found.into_iter().map(|suspect| suspect.finding.code).collect::<Vec<_>>()
    };
    let ended = format!(
        "{{phase: Failed, containerStatuses: [{{name: c, image: i, imageID: '', ready: false, restartCount: 0, state: {{{end}}}}}]}}"
    );
    assert!(told(pod(&ended)).is_empty());
    let goes_on = format!(
        "{{phase: Running, containerStatuses: [{{name: c, image: i, imageID: '', ready: false, restartCount: 3, \
         state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{{end}}}}}]}}"
    );
    assert_eq!(
        told(pod(&goes_on).replace("restartPolicy: Never, ", "")),
        [crate::model::code::Code::ContainerCrashing]
    );
}
