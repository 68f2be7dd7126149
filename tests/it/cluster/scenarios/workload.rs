//! Controllers that do not reach their goal, and those that are where they should be.

use podlife::model::kind;

use super::probes::{causes_in, deployment, root_causes, running_for};
use crate::cluster::harness::{Scenario, State, event, pods_ready, running, statuses, waiting};

const IDLE: &str = "command: [sleep, '3600']";

fn stateful_set(name: &str, spec: &str, container: &str) -> String {
    format!(
        "
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {name}}}
spec:
  serviceName: {name}
  {spec}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, {container}}}]
"
    )
}

fn job(name: &str, spec: &str, script: &str) -> String {
    format!(
        "---\n{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{{spec}, template: {{spec: {{restartPolicy: Never, terminationGracePeriodSeconds: 0, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, '{script}']}}]}}}}}}}}\n"
    )
}

fn cron_job(name: &str, schedule: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: {name}}}, spec: {{schedule: '{schedule}', {spec} jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: app, image: 'busybox:1.36'}}]}}}}}}}}}}}}\n"
    )
}

fn job_has(scenario: &Scenario, type_: &str) {
    scenario.wait(&format!("the job is {type_}"), |scenario| {
        scenario.list(&kind::JOB).iter().any(|job| {
            let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == type_ && c["status"] == "True")
        })
    });
}

#[test]
fn a_deployment_that_was_made_paused() {
    let paused = deployment("api", IDLE).spec("paused: true");
    let scenario = Scenario::new("paused").apply(&paused);
    scenario.wait("the controller has seen it", |scenario| {
        scenario
            .list(&kind::DEPLOYMENT)
            .iter()
            .any(|d| d["status"]["observedGeneration"].is_number())
    });
    scenario.first_root_cause("RolloutPaused", "", "deployment/api");
}

#[test]
fn scaled_to_zero_while_a_client_needs_it() {
    let zero = deployment("api", IDLE).spec("replicas: 0");
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80}]}}\n";
    let client = deployment("web", &format!("{IDLE}, env: [{{name: BACKEND, value: 'http://api/v1'}}]"));
    Scenario::new("zero")
        .apply(&(zero + service + &client.to_string()))
        .until("the client runs", pods_ready(1))
        .first_root_cause("ScaledToZero", "", "deployment/api");
}

#[test]
fn scaled_to_zero_on_purpose() {
    let zero = deployment("batch", IDLE).spec("replicas: 0");
    let answer = Scenario::new("zero-on-purpose")
        .apply(&(zero + &deployment("web", IDLE)))
        .until("the other runs", pods_ready(1))
        .healthy();
    assert_eq!(answer.json["advice"][0]["code"], "ScaledToZero", "{}", answer.stdout);
}

#[test]
fn a_change_that_waits_for_pods_to_be_deleted() {
    let set = |value: &str| {
        stateful_set(
            "db",
            "updateStrategy: {type: OnDelete}",
            &format!("{IDLE}, env: [{{name: A, value: '{value}'}}]"),
        )
    };
    let scenario = Scenario::new("on-delete").apply(&set("1")).until("it runs", pods_ready(1));
    scenario.healthy();
    let scenario = scenario.apply(&set("2"));
    scenario.wait("the controller has seen the change", |scenario| {
        scenario
            .list(&kind::STATEFUL_SET)
            .iter()
            .any(|set| set["status"]["updateRevision"] != set["status"]["currentRevision"])
    });
    scenario.first_root_cause("UpdateOnDelete", "", "statefulset/db");
}

#[test]
fn a_job_that_runs_too_long() {
    let scenario = Scenario::new("deadline").apply(&job("long", "activeDeadlineSeconds: 3", "sleep 600"));
    job_has(&scenario, "Failed");
    scenario.first_root_cause("JobDeadlineExceeded", "", "job/long");
}

#[test]
fn a_job_that_fails_has_one_root_cause() {
    let scenario = Scenario::new("job-fails").apply(&job("migrate", "backoffLimit: 0", "echo cannot migrate; exit 4"));
    job_has(&scenario, "Failed");
    let answer = scenario.diagnose();
    let roots = root_causes(&answer);
    assert_eq!(roots.len(), 1, "{roots:?}");
    // What its container says is the cause; that the job has failed follows from it.
    let symptoms = answer.json["symptoms"].as_array().cloned().unwrap_or_default();
    assert!(
        roots[0].starts_with("JobFailing") || symptoms.iter().any(|s| s["code"] == "JobFailing"),
        "{}",
        answer.stdout
    );
}

#[test]
fn a_job_that_failed_and_whose_pods_are_gone() {
    let scenario = Scenario::new("job-remains").apply(&job("migrate", "backoffLimit: 0", "exit 4"));
    job_has(&scenario, "Failed");
    scenario.kubectl(&["delete", "pods", "--all"]);
    scenario.first_root_cause("JobFailing", "", "job/migrate");
}

#[test]
fn a_job_that_is_complete() {
    let scenario = Scenario::new("complete").apply(&job("done", "backoffLimit: 3", "exit 0"));
    job_has(&scenario, "Complete");
    scenario.healthy();
}

#[test]
fn a_schedule_that_never_comes() {
    Scenario::new("never")
        .apply(&cron_job("leap", "0 0 30 2 *", ""))
        .first_root_cause("CronJobInvalid", "", "cronjob/leap");
}

#[test]
fn a_suspended_workload_is_advice() {
    let scenario =
        Scenario::new("suspended").apply(&(cron_job("nightly", "0 3 * * *", "suspend: true,") + &job("later", "suspend: true", "exit 0")));
    job_has(&scenario, "Suspended");
    let answer = scenario.healthy();
    let mut codes: Vec<String> = answer.json["advice"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    assert_eq!(codes, ["CronJobSuspended", "JobSuspended"], "{}", answer.stdout);
}

#[test]
fn an_unready_ordinal_is_explained_by_its_container() {
    let probe = "readinessProbe: {exec: {command: [cat, /tmp/ready]}, periodSeconds: 2}";
    let scenario = Scenario::new("ordered")
        .with_first_look()
        .apply(&stateful_set("db", "replicas: 3", &format!("{IDLE}, {probe}")))
        .until("the first is up for longer than a start takes", running_for("app", 62));
    let answer = scenario.first_root_cause("ReadinessProbeFailing", "exec-exit", "statefulset/db");
    assert_eq!(answer.json["symptoms"][0]["code"], "OrderedStartBlocked", "{}", answer.stdout);
}

/// Later ordinals wait only where pods start in order, and where it is known why the first one is not ready, that is told instead.
#[test]
fn ordinals_that_wait_are_pending_from_the_first_look() {
    let set = |name: &str, policy: &str, probe: &str| {
        let spec = format!("replicas: 3, podManagementPolicy: {policy}").replace(", ", "\n  ");
        let probe = format!("readinessProbe: {{{probe}, initialDelaySeconds: 3600}}");
        stateful_set(name, &spec, &format!("{IDLE}, {probe}"))
    };
    let unknown = "exec: {command: ['true']}";
    let manifest = set("ordered", "OrderedReady", unknown)
        + &set("parallel", "Parallel", unknown)
        + &set("deaf", "OrderedReady", "tcpSocket: {port: 8080}");
    let answer = Scenario::new("ordered-first")
        .apply(&manifest)
        .until("all run that may", |state| {
            statuses(state, "app").filter(|s| s["started"] == true).count() == 5
        })
        .diagnose();
    assert_eq!((answer.exit, root_causes(&answer).len()), (0, 0), "{}", answer.stdout);
    assert_eq!(
        causes_in(&answer, &["pending"]),
        ["NothingListening () statefulset/deaf", "OrderedStartBlocked () statefulset/ordered"],
        "{}",
        answer.stdout
    );
}

#[test]
fn old_replica_sets_and_daemon_sets_on_no_node_are_silent() {
    let daemon_set = "
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: gpu-agent}
spec:
  selector: {matchLabels: {app: gpu-agent}}
  template:
    metadata: {labels: {app: gpu-agent}}
    spec: {nodeSelector: {podlife.test/gpu: present}, containers: [{name: app, image: 'busybox:1.36'}]}
";
    let scenario = Scenario::new("silent")
        .apply(&(deployment("web", IDLE) + daemon_set))
        .until("it runs", pods_ready(1));
    scenario.kubectl(&["rollout", "restart", "deployment/web"]);
    scenario
        .until("the old revision is gone", event("ScalingReplicaSet", "from 1 to 0"))
        .until("the new revision runs", pods_ready(1))
        .healthy();
}

#[test]
fn a_mended_revision_that_waits_for_the_bad_pod() {
    let bad = stateful_set("db", "replicas: 1", IDLE).replace("busybox:1.36", "busybox:1.99");
    let scenario = Scenario::new("bad-revision")
        .apply(&bad)
        .until("the image is missing", waiting("app", "ImagePullBackOff"));
    let scenario = scenario
        .apply(&stateful_set("db", "replicas: 1", IDLE))
        .until("the pod is old enough", |state| {
            state.pods.iter().any(|pod| {
                let created = pod["metadata"]["creationTimestamp"]
                    .as_str()
                    .and_then(|t| t.parse::<jiff::Timestamp>().ok());
                created.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 65)
            })
        });
    scenario.first_root_cause("OrderedStartBlocked", "", "statefulset/db");
    // What the finding says to do.
    scenario.kubectl(&["delete", "pod", "db-0", "--wait=false"]);
    scenario.until("the mended one runs", pods_ready(1)).healthy();
}

#[test]
fn a_foreign_pod_has_the_name_that_a_stateful_set_needs() {
    let foreign = "{apiVersion: v1, kind: Pod, metadata: {name: db-0, labels: {app: other}}, spec: {terminationGracePeriodSeconds: 0, \
                   containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]}}";
    let set = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: ''
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]}
";
    let scenario = Scenario::new("name-taken")
        .apply(foreign)
        .until("it runs", running("app"))
        .apply(set);
    let first = scenario.diagnose();
    assert_eq!(first.json["pending"][0]["cause"], "name-taken", "{}", first.stdout);
    scenario.wait("podlife finds a root cause", |s| !s.diagnose().root_cause().is_null());
    scenario.first_root_cause("ObjectCreationFailing", "name-taken", "statefulset/db");
    scenario.kubectl(&["delete", "pod", "db-0", "--wait=false"]);
    scenario
        .until("the set has its own pod", |state| {
            running("app")(state) && state.pods.iter().all(|pod| pod["metadata"]["labels"]["app"] == "db")
        })
        .healthy();
}

#[test]
fn a_failed_pod_that_was_made_anew_is_history() {
    let pod = |name: &str, script: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: once}}}}, spec: {{restartPolicy: Never, \
             containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, '{script}']}}]}}}}"
        )
    };
    let ended = |phase: &'static str| move |state: &State| state.pods.iter().any(|pod| pod["status"]["phase"] == phase);
    let scenario = Scenario::new("made-anew")
        .apply(&pod("once-1", "echo no such table; exit 1"))
        .until("it failed", ended("Failed"));
    scenario.first_root_cause("ContainerCrashing", "exit-code", "pod/once-1");
    scenario
        .apply(&pod("once-2", "exit 0"))
        .until("the next one succeeded", ended("Succeeded"))
        .healthy();
}
