use std::time::Duration;

use crate::model::code::Code;
use crate::model::finding::{Effect, ObjectRef, Settles, Severity};
use crate::model::kind;
use crate::model::report::Verdict;
use crate::model::snapshot::Coverage;
use crate::testing::{check, check_snapshot, pending, snapshot};

fn found(yaml: &str) -> Vec<(Code, Severity)> {
    check(crate::rules::workload::check, yaml)
        .into_iter()
        .map(|f| (f.code, f.severity))
        .collect()
}

fn deployment(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api, generation: 2}}
spec: {{{spec}, selector: {{matchLabels: {{app: api}}}}, template: {{metadata: {{labels: {{app: api}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}}}
status: {{{status}}}
"
    )
}

#[test]
fn a_missed_deadline_is_a_symptom_and_only_of_this_generation() {
    let condition = "conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: ReplicaSet has timed out progressing.}]";
    let now = deployment("replicas: 1", &format!("observedGeneration: 2, {condition}"));
    let findings = check(crate::rules::workload::check, &now);
    assert_eq!((findings[0].code, findings[0].severity), (Code::RolloutStuck, Severity::Symptom));
    assert!(
        findings[0]
            .suffers
            .contains(&Effect::NotReady(ObjectRef::new(&kind::DEPLOYMENT, "shop", "api")))
    );
    assert!(found(&deployment("replicas: 1", &format!("observedGeneration: 1, {condition}"))).is_empty());
}

#[test]
fn a_paused_roll_out_is_an_error_where_a_change_waits() {
    let paused = |status: &str| found(&deployment("replicas: 1, paused: true", status));
    assert_eq!(paused("observedGeneration: 2"), [(Code::RolloutPaused, Severity::Error)]);
    assert_eq!(
        paused("observedGeneration: 2, replicas: 1"),
        [(Code::RolloutPaused, Severity::Error)]
    );
    assert_eq!(
        paused("observedGeneration: 2, replicas: 1, updatedReplicas: 1"),
        [(Code::RolloutPaused, Severity::Advice)]
    );
}

#[test]
fn that_no_pod_was_ever_made_needs_the_list_of_replica_sets() {
    let yaml = deployment("replicas: 1, paused: true", "observedGeneration: 2");
    let whole = snapshot(&yaml);
    let mut part = whole.clone();
    part.cover(&kind::REPLICA_SET, None, Coverage::Partial);
    for (snapshot, says) in [(whole, "has never made any pod"), (part, "has no pods")] {
        let found = check_snapshot(crate::rules::workload::check, &snapshot);
        assert!(found[0].summary.contains(says), "{}", found[0].summary);
    }
}

#[test]
fn scaled_to_zero_is_advice_unless_someone_needs_it() {
    let zero = deployment("replicas: 0", "observedGeneration: 2");
    assert_eq!(found(&zero), [(Code::ScaledToZero, Severity::Advice)]);
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80}]}}\n";
    assert_eq!(found(&(zero.clone() + service)), [(Code::ScaledToZero, Severity::Advice)]);
    let ingress = "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]}}]}
";
    assert_eq!(found(&(zero.clone() + service + ingress)), [(Code::ScaledToZero, Severity::Error)]);
    let client = |value: &str| {
        format!(
            "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec: {{selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: i, env: [{{name: X, value: '{value}'}}]}}]}}}}}}
"
        )
    };
    for (value, severity) in [
        ("http://api/v1", Severity::Error),
        ("api.shop.svc:80", Severity::Error),
        ("api:80", Severity::Error),
        ("http://other-api/v1", Severity::Advice),
        ("the api key", Severity::Advice),
    ] {
        assert_eq!(
            found(&(zero.clone() + service + &client(value))),
            [(Code::ScaledToZero, severity)],
            "{value}"
        );
    }
    let blue = deployment("replicas: 1", "observedGeneration: 2").replace("name: api,", "name: blue,");
    assert_eq!(
        found(&(zero + service + ingress + "---" + &blue)),
        [(Code::ScaledToZero, Severity::Advice)],
        "another workload serves it"
    );
}

#[test]
fn an_old_replica_set_is_no_workload() {
    let yaml = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: api-old, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: api, uid: d, controller: true}]}
spec: {replicas: 0, selector: {}}
";
    assert!(found(yaml).is_empty());
}

fn stateful_set(strategy: &str, update: &str, replicas: i32) -> String {
    format!(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db, uid: s}}
spec: {{replicas: 3, serviceName: '', updateStrategy: {{type: {strategy}}}, selector: {{matchLabels: {{app: db}}}}, template: {{spec: {{containers: [{{name: c, image: i}}]}}}}}}
status: {{replicas: {replicas}, updateRevision: {update}, currentRevision: db-1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db-0, creationTimestamp: 2026-01-01T11:50:00Z, labels: {{controller-revision-hash: db-1}}, ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: s, controller: true}}]}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}
status: {{phase: Running, conditions: [{{type: Ready, status: 'False'}}]}}
"
    )
}

#[test]
fn a_change_behind_on_delete_waits() {
    let ready = |yaml: String| yaml.replace("status: 'False'", "status: 'True'");
    assert_eq!(
        found(&ready(stateful_set("OnDelete", "db-2", 3))),
        [(Code::UpdateOnDelete, Severity::Error)]
    );
    assert!(found(&ready(stateful_set("OnDelete", "db-1", 3))).is_empty());
    assert!(found(&ready(stateful_set("RollingUpdate", "db-2", 3))).is_empty());
}

#[test]
fn an_unready_ordinal_stops_the_later_ones() {
    let starting = stateful_set("RollingUpdate", "db-1", 1).replace("11:50:00", "11:57:00");
    assert!(found(&starting).is_empty(), "a start may take its time");
    let held = pending(crate::rules::workload::check, &starting);
    assert_eq!((held.len(), held[0].code), (1, Code::OrderedStartBlocked));
    assert_eq!(held[0].settles, Settles::Within(Duration::from_secs(420)));
    assert_eq!(
        found(&stateful_set("RollingUpdate", "db-1", 1)),
        [(Code::OrderedStartBlocked, Severity::Symptom)]
    );
    let runs = "status: {phase: Running, containerStatuses: [{name: c, image: i, imageID: '', ready: false, started: true, restartCount: 0, \
                state: {running: {startedAt: 2026-01-01T11:59:20Z}}}],";
    let late = stateful_set("RollingUpdate", "db-1", 1).replace("status: {phase: Running,", runs);
    let held = pending(crate::rules::workload::check, &late);
    assert_eq!(held[0].settles, Settles::Within(Duration::from_secs(20)), "it was scheduled late");
    assert_eq!(
        found(&stateful_set("RollingUpdate", "db-2", 3)),
        [(Code::OrderedStartBlocked, Severity::Error)],
        "a mended revision waits for the bad pod"
    );
    let parallel = stateful_set("RollingUpdate", "db-1", 1).replace("replicas: 3,", "replicas: 3, podManagementPolicy: Parallel,");
    assert!(found(&parallel).is_empty());
}

fn job(name: &str, created: &str, owner: &str, condition: &str) -> String {
    format!(
        "---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, creationTimestamp: {created}, {owner}}}
spec: {{backoffLimit: 1, template: {{spec: {{containers: [{{name: c, image: i}}]}}}}}}
status: {{failed: 2, conditions: [{condition}]}}
"
    )
}

const FAILED: &str = "{type: Failed, status: 'True', reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit, lastTransitionTime: 2026-01-01T11:55:00Z}";
const OVERDUE: &str = "{type: Failed, status: 'True', reason: DeadlineExceeded, message: Job was active longer than specified deadline}";
const COMPLETE: &str = "{type: Complete, status: 'True'}";
const OWNER: &str = "ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: nightly, uid: c, controller: true}]";
const CRON_JOB: &str = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, uid: c}
spec: {schedule: '0 3 * * *', jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: i}]}}}}}
";

#[test]
fn a_failed_job_is_reported_and_a_complete_one_is_not() {
    assert_eq!(
        found(&job("a", "2026-01-01T11:00:00Z", "uid: u", FAILED)),
        [(Code::JobFailing, Severity::Error)]
    );
    assert_eq!(
        found(&job("a", "2026-01-01T11:00:00Z", "uid: u", OVERDUE)),
        [(Code::JobDeadlineExceeded, Severity::Error)]
    );
    assert!(found(&job("a", "2026-01-01T11:00:00Z", "uid: u", COMPLETE)).is_empty());
}

#[test]
fn only_the_last_finished_run_of_a_cron_job_counts() {
    let old_failure = job("nightly-1", "2025-12-31T03:00:00Z", OWNER, FAILED);
    let success = job("nightly-2", "2026-01-01T03:00:00Z", OWNER, COMPLETE);
    let failure = job("nightly-2", "2026-01-01T03:00:00Z", OWNER, FAILED);
    assert!(found(&(CRON_JOB.to_owned() + &old_failure + &success)).is_empty());
    let findings = check(crate::rules::workload::check, &(CRON_JOB.to_owned() + &old_failure + &failure));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].subject.object, ObjectRef::new(&kind::CRON_JOB, "shop", "nightly"));
    assert_eq!(findings[0].related[0].object.name, "nightly-2");
}

#[test]
fn suspended_is_advice() {
    let suspended = CRON_JOB.replace("schedule:", "suspend: true, schedule:");
    assert_eq!(found(&suspended), [(Code::CronJobSuspended, Severity::Advice)]);
    let job = job("a", "2026-01-01T11:00:00Z", "uid: u", "{type: Suspended, status: 'True'}")
        .replace("backoffLimit", "suspend: true, backoffLimit");
    assert_eq!(found(&job), [(Code::JobSuspended, Severity::Advice)]);
}

#[test]
fn a_schedule_that_never_comes_is_an_error() {
    assert!(found(CRON_JOB).is_empty());
    assert_eq!(
        found(&CRON_JOB.replace("0 3 * * *", "0 0 30 2 *")),
        [(Code::CronJobInvalid, Severity::Error)]
    );
}

#[test]
fn a_name_that_another_pod_has_and_a_service_that_is_missing() {
    let set = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, creationTimestamp: 2026-01-01T11:00:00Z}
spec: {serviceName: db, replicas: 2, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: []}}}
status: {replicas: 0}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, selector: {app: db}}}
";
    let pod = |name: &str, more: &str| {
        format!("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, {more}}}, spec: {{containers: []}}}}\n")
    };
    let with = |pod: String| check(crate::rules::workload::check, &(set.to_owned() + &pod));
    let taken = with(pod("db-1", "labels: {app: other}"));
    let young = set.replace("11:00:00", "11:59:50") + &pod("db-1", "labels: {app: other}");
    assert!(check(crate::rules::workload::check, &young).is_empty());
    let held = pending(crate::rules::workload::check, &young);
    assert_eq!(
        held[0].settles,
        Settles::Within(Duration::from_secs(20)),
        "a pod of a set that was made anew may go"
    );
    assert_eq!(
        (taken[0].code, taken[0].cause.as_str(), taken[0].severity),
        (Code::ObjectCreationFailing, "name-taken", Severity::Error)
    );
    assert!(
        taken[0].fixes[0]
            .command
            .as_deref()
            .is_some_and(|c| c == "kubectl delete pod db-1 -n shop")
    );
    let of_other = pod(
        "db-0",
        "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: d, uid: d, controller: true}]",
    );
    assert!(with(of_other)[0].summary.contains("belongs to StatefulSet d"));
    let own = pod(
        "db-0",
        "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: s, controller: true}]",
    );
    for fine in [
        own,
        pod("db-1", "labels: {app: db}"),
        pod("db-2", "labels: {app: x}"),
        pod("db-x", "labels: {app: x}"),
    ] {
        assert!(with(fine.clone()).is_empty(), "{fine}");
    }
    let alone = set.replace("name: db}, spec: {clusterIP", "name: other}, spec: {clusterIP");
    assert_eq!(found(&alone), [(Code::ServiceMissing, Severity::Advice)]);
    let labelled = alone.replace("{labels: {app: db}}", "{labels: {app: db, role: broker}}");
    assert_eq!(
        check(crate::rules::workload::check, &labelled)[0].fixes[0].command.as_deref(),
        Some("kubectl create service clusterip db --clusterip=None -n shop && kubectl set selector service db app=db,role=broker -n shop")
    );
    assert!(found(&alone.replace("serviceName: db", "serviceName: ''")).is_empty());
}

const JOB: &str = "
apiVersion: batch/v1
kind: Job
metadata: {name: import, uid: j, creationTimestamp: '2026-01-01T11:50:00Z', ownerReferences: [{apiVersion: OWNER, controller: true}]}
spec: {template: {spec: {containers: [{name: work, image: i}]}}}
status: {CONDITIONS}
";

#[test]
fn a_failed_job_is_told_whoever_owns_it() {
    let failed = JOB.replace(
        "CONDITIONS",
        "failed: 1, conditions: [{type: Failed, status: 'True', reason: BackoffLimitExceeded}]",
    );
    for owner in [
        "example.org/v1, kind: Workflow, name: w, uid: w",
        "batch/v1, kind: CronJob, name: c, uid: c",
    ] {
        let diagnosis = crate::diagnosis::assess::assess(&snapshot(&failed.replace("OWNER", owner)), &Default::default());
        assert_eq!(diagnosis.root_causes[0].code, Code::JobFailing, "{owner}: {diagnosis:#?}");
        assert!(diagnosis.verdict <= crate::model::report::Verdict::Degraded, "{owner}");
    }
}

#[test]
fn a_second_container_keeps_a_job_open() {
    let job = JOB
        .replace(", ownerReferences: [{apiVersion: OWNER, controller: true}]", "")
        .replace("CONDITIONS", "active: 1");
    let pod = |ended: &str, code: u8, role: &str| {
        format!(
            "{job}
---
apiVersion: v1
kind: Pod
metadata: {{name: import-a, uid: p, creationTimestamp: '2026-01-01T11:50:00Z', ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: import, uid: j, controller: true}}]}}
spec: {{nodeName: node-1, restartPolicy: Never, {role}: [{{name: proxy, image: i, restartPolicy: Always}}], containers: [{{name: work, image: i}}]}}
status:
  phase: Running
  containerStatuses: [{{name: work, image: i, imageID: '', ready: false, restartCount: 0, state: {{terminated: {{exitCode: {code}, finishedAt: '{ended}'}}}}}}, RUNNING]
"
        )
        .replace("RUNNING", "{name: proxy, image: i, imageID: '', ready: true, restartCount: 0, state: {running: {startedAt: '2026-01-01T11:50:00Z'}}}")
    };
    let beside = |ended: &str, code: u8| {
        pod(ended, code, "x").replace(
            "x: [{name: proxy, image: i, restartPolicy: Always}], containers: [",
            "containers: [{name: proxy, image: i}, ",
        )
    };
    assert_eq!(found(&beside("2026-01-01T11:55:00Z", 0)), [(Code::JobKeptOpen, Severity::Error)]);
    // They may end one after the other, and what failed is another fault.
    assert!(found(&beside("2026-01-01T11:59:50Z", 0)).is_empty());
    assert!(found(&beside("2026-01-01T11:55:00Z", 1)).is_empty());
    // A sidecar is ended with the others.
    let sidecar = pod("2026-01-01T11:55:00Z", 0, "initContainers");
    assert!(found(&sidecar).is_empty());
}

#[test]
fn whoever_asks_about_the_service_of_a_workload_at_zero_is_told() {
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: shut}, spec: {selector: {app: api}, ports: [{port: 80}]}}\n";
    let snapshot = snapshot(&(deployment("replicas: 0", "observedGeneration: 2") + service));
    let asked = |targets: Option<Vec<ObjectRef>>| {
        let question = crate::diagnosis::assess::Question {
            targets,
            ..Default::default()
        };
        let diagnosis = crate::diagnosis::assess::assess(&snapshot, &question);
        let told = |all: &[crate::model::finding::Finding]| all.iter().any(|f| f.code == Code::ScaledToZero);
        (diagnosis.verdict, told(&diagnosis.root_causes), told(&diagnosis.advice))
    };
    let of = |kind: &kind::Kind, name: &str| Some(vec![ObjectRef::new(kind, "shop", name)]);
    assert_eq!(asked(of(&kind::SERVICE, "shut")), (Verdict::Broken, true, false));
    assert_eq!(asked(of(&kind::DEPLOYMENT, "api")), (Verdict::Healthy, false, true));
    assert_eq!(asked(None), (Verdict::Healthy, false, true));
}

#[test]
fn a_roll_out_is_undone_only_where_an_older_revision_is_left() {
    let condition = "conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, message: timed out}]";
    let stuck = deployment("replicas: 1", &format!("observedGeneration: 2, {condition}")).replace(
        "generation: 2}",
        "generation: 2, uid: d, annotations: {deployment.kubernetes.io/revision: '2'}}",
    );
    let set = |number: u8| {
        format!(
            "---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: api-{number}, annotations: {{deployment.kubernetes.io/revision: '{number}'}}, \
             ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: d, controller: true}}]}}\nspec: {{selector: {{}}}}\n"
        )
    };
    let offers_undo = |yaml: &str| {
        let found = check(crate::rules::workload::check, yaml);
        found[0].fixes[0]
            .command
            .as_deref()
            .is_some_and(|c| c.starts_with("kubectl rollout undo"))
    };
    assert!(offers_undo(&(stuck.clone() + &set(1) + &set(2))));
    assert!(!offers_undo(&(stuck + &set(2))));
}

#[test]
fn a_pod_of_an_older_revision_that_shows_a_fault_is_to_go_at_once() {
    let waits = |reason: &str| {
        let waits = format!(
            "status: {{phase: Pending, containerStatuses: [{{name: c, image: i, imageID: '', ready: false, restartCount: 0, \
                     state: {{waiting: {{reason: {reason}}}}}}}],"
        );
        stateful_set("RollingUpdate", "db-2", 3)
            .replace("11:50:00", "11:59:50")
            .replace("status: {phase: Running,", &waits)
    };
    assert_eq!(found(&waits("ImagePullBackOff")), [(Code::OrderedStartBlocked, Severity::Error)]);
    assert!(found(&waits("ContainerCreating")).is_empty());
}
