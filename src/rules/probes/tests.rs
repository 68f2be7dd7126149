mod starting;

use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::snapshot::LogKey;
use crate::rules::testing::{check, check_snapshot, snapshot};

/// A running pod of a Deployment; `more` is put into the container, `status` into its status.
fn pod(more: &str, status: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: api-1, uid: u1, labels: {{pod-template-hash: h}}, creationTimestamp: 2026-01-01T11:50:00Z,
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-h, uid: r, controller: true}}]}}
spec:
  nodeName: node-1
  containers: [{{name: c, image: i, {more}}}]
status:
  phase: Running
  containerStatuses: [{{name: c, image: i, imageID: i, {status}}}]
"
    )
}

fn event(reason: &str, message: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Event
metadata: {{name: e-{reason}}}
type: Warning
reason: {reason}
message: {message}
count: 25
lastTimestamp: 2026-01-01T11:58:00Z
involvedObject: {{kind: Pod, name: api-1, namespace: shop, uid: u1, fieldPath: 'spec.containers{{c}}'}}
"
    )
}

fn errors(yaml: &str) -> Vec<(Code, String)> {
    let found = check(super::check, yaml);
    let errors = found.iter().filter(|f| f.severity == Severity::Error);
    errors.map(|f| (f.code, f.cause.clone())).collect()
}

const REFUSED: &str = "'Readiness probe failed: Get \"http://10.244.0.3:8080/\": dial tcp 10.244.0.3:8080: connect: connection refused'";
const READINESS: &str = "readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2}";
const UNREADY: &str = "ready: false, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:51:00Z}}";

#[test]
fn an_unready_container_names_why_its_probe_fails() {
    let yaml = pod(READINESS, UNREADY) + &event("Unhealthy", REFUSED);
    let found = check(super::check, &yaml);
    let error = &found[0];
    assert_eq!((error.code, error.cause.as_str()), (Code::ReadinessProbeFailing, "refused"));
    let deployment = ObjectRef::new(&kind::DEPLOYMENT, "shop", "api");
    assert_eq!(error.subject.object, deployment);
    assert_eq!(error.subject.container.as_deref(), Some("c"));
    assert!(error.effects.contains(&Effect::NotReady(deployment.clone())));
    assert!(error.effects.contains(&Effect::Container(deployment, "c".into())));
}

#[test]
fn a_probe_that_failed_before_the_container_was_ready_is_silent() {
    let ready = "ready: true, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:51:00Z}}";
    assert!(errors(&(pod(READINESS, ready) + &event("Unhealthy", REFUSED))).is_empty());
}

#[test]
fn a_start_inside_its_budget_is_silent() {
    let starting = "ready: false, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:59:45Z}}";
    assert!(errors(&(pod(READINESS, starting) + &event("Unhealthy", REFUSED))).is_empty());
    let patient = "readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 10, failureThreshold: 60}";
    assert!(errors(&(pod(patient, UNREADY) + &event("Unhealthy", REFUSED))).is_empty());
}

#[test]
fn a_program_that_is_not_in_the_image_is_told_at_once() {
    let exec = "readinessProbe: {exec: {command: [curl, localhost]}}";
    let starting = "ready: false, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:59:55Z}}";
    let message = r#"'Readiness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: failed to start exec "97": OCI runtime exec failed: exec failed: unable to start container process: exec: "curl": executable file not found in $PATH: unknown'"#;
    assert_eq!(
        errors(&(pod(exec, starting) + &event("Unhealthy", message))),
        [(Code::ReadinessProbeFailing, "exec-missing".to_owned())]
    );
}

#[test]
fn an_exec_probe_without_output_is_named_by_status() {
    let exec = "readinessProbe: {exec: {command: [sh, -c, exit 3]}, periodSeconds: 2}";
    let yaml = pod(exec, UNREADY) + &event("Unhealthy", "'Readiness probe failed: '");
    assert_eq!(errors(&yaml), [(Code::ReadinessProbeFailing, "exec-exit".to_owned())]);
}

#[test]
fn an_old_event_does_not_hide_that_the_probe_fails_now() {
    // The kubelet counts no more after 25 events; the status decides, and without any event too.
    assert_eq!(errors(&pod(READINESS, UNREADY)), [(Code::ReadinessProbeFailing, String::new())]);
}

const LIVENESS: &str = "livenessProbe: {httpGet: {path: /nope, port: 8080}, periodSeconds: 3}";
const KILLED: &str = "ready: true, started: true, restartCount: 3, state: {running: {startedAt: 2026-01-01T11:59:50Z}}, lastState: {terminated: {exitCode: 137, reason: Error, startedAt: 2026-01-01T11:59:38Z, finishedAt: 2026-01-01T11:59:50Z}}";

#[test]
fn a_liveness_probe_that_kills_is_told_even_while_the_pod_looks_ready() {
    let yaml = pod(LIVENESS, KILLED)
        + &event("Unhealthy", "'Liveness probe failed: HTTP probe failed with statuscode: 404'")
        + &event("Killing", "Container c failed liveness probe, will be restarted");
    assert_eq!(errors(&yaml), [(Code::LivenessProbeFailing, "http-status".to_owned())]);
}

#[test]
fn a_restart_that_healed_long_ago_is_silent() {
    let healed = "ready: true, started: true, restartCount: 3, state: {running: {startedAt: 2026-01-01T11:40:00Z}}, lastState: {terminated: {exitCode: 137, reason: Error, finishedAt: 2026-01-01T11:39:59Z}}";
    let yaml = pod(LIVENESS, healed)
        + &event("Unhealthy", "'Liveness probe failed: HTTP probe failed with statuscode: 404'")
        + &event("Killing", "Container c failed liveness probe, will be restarted");
    assert!(errors(&yaml).is_empty());
}

#[test]
fn a_crash_is_not_blamed_on_the_probe() {
    let crashed = "ready: false, started: false, restartCount: 3, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: 2026-01-01T11:59:50Z}}";
    let yaml = pod(LIVENESS, crashed)
        + &event(
            "Unhealthy",
            "'Liveness probe failed: dial tcp 10.0.0.1:8080: connect: connection refused'",
        );
    assert!(errors(&yaml).is_empty());
}

const SLOW: &str = "command: [sh, -c, server], livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 2, failureThreshold: 3}";
const STARTUP: &str =
    "command: [sh, -c, 'sleep 30; httpd -f'], startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 2, failureThreshold: 4}";

fn budget(found: &[Finding]) -> Option<&Finding> {
    found.iter().find(|f| f.code == Code::ProbeBudgetTooShort)
}

#[test]
fn a_container_that_is_killed_while_it_starts_gets_both_figures() {
    let yaml = pod(SLOW, KILLED)
        + &event(
            "Unhealthy",
            "'Liveness probe failed: dial tcp 10.244.0.6:8080: connect: connection refused'",
        )
        + &event("Killing", "Container c failed liveness probe, will be restarted");
    let mut snapshot = snapshot(&yaml);
    assert!(
        budget(&check_snapshot(super::check, &snapshot)).is_none(),
        "nothing shows how long a start takes"
    );
    let key = LogKey {
        namespace: "shop".into(),
        pod: "api-1".into(),
        container: "c".into(),
        previous: true,
    };
    snapshot.put_log(key, Some("starting up\nloading model, takes 40 s\n".into()));
    let found = check_snapshot(super::check, &snapshot);
    let finding = budget(&found).unwrap();
    assert!(
        finding.summary.contains("6 s") && finding.summary.contains("40 s"),
        "{}",
        finding.summary
    );
}

#[test]
fn a_start_up_probe_shorter_than_the_start() {
    let status = "ready: false, started: false, restartCount: 3, state: {running: {startedAt: 2026-01-01T11:59:58Z}}, lastState: {terminated: {exitCode: 143, reason: Error, startedAt: 2026-01-01T11:59:38Z, finishedAt: 2026-01-01T11:59:47Z}}";
    let yaml = pod(STARTUP, status)
        + &event(
            "Unhealthy",
            "'Startup probe failed: dial tcp 10.244.0.7:8080: connect: connection refused'",
        )
        + &event("Killing", "Container c failed startup probe, will be restarted");
    let found = check(super::check, &yaml);
    assert_eq!(
        found.iter().map(|f| f.code).collect::<Vec<_>>(),
        [Code::ProbeBudgetTooShort, Code::StartupProbeFailing]
    );
    assert!(
        found[0].summary.contains("8 s") && found[0].summary.contains("30 s"),
        "{}",
        found[0].summary
    );
}

#[test]
fn a_first_start_inside_the_start_up_budget_is_silent() {
    let status = "ready: false, started: false, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:59:58Z}}";
    let yaml = pod(STARTUP, status)
        + &event(
            "Unhealthy",
            "'Startup probe failed: dial tcp 10.244.0.7:8080: connect: connection refused'",
        );
    assert!(errors(&yaml).is_empty());
}

#[test]
fn a_wrong_path_is_not_a_short_budget() {
    let yaml = pod(&LIVENESS.replace("periodSeconds", "initialDelaySeconds: 1, periodSeconds"), KILLED)
        + &event("Unhealthy", "'Liveness probe failed: HTTP probe failed with statuscode: 404'")
        + &event("Killing", "Container c failed liveness probe, will be restarted");
    assert!(budget(&check(super::check, &yaml)).is_none());
}

#[test]
fn a_gate_that_nobody_opens_is_named() {
    let gate = "
apiVersion: v1
kind: Pod
metadata: {name: gate, creationTimestamp: 2026-01-01T11:50:00Z}
spec: {nodeName: node-1, readinessGates: [{conditionType: example.com/lb-attached}], containers: [{name: c, image: i}]}
status:
  phase: Running
  conditions:
  - {type: Ready, status: 'False', reason: ReadinessGatesNotReady, message: 'corresponding condition of pod readiness gate \"example.com/lb-attached\" does not exist.'}
  - {type: ContainersReady, status: 'True'}
  containerStatuses: [{name: c, image: i, imageID: i, ready: true, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:50:03Z}}}]
";
    let found = check(super::check, gate);
    assert_eq!(found.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::ReadinessGateUnmet]);
    assert!(found[0].summary.contains("example.com/lb-attached"));
    let open = gate.replace("conditions:", "conditions:\n  - {type: example.com/lb-attached, status: 'True'}");
    assert!(check(super::check, &open).is_empty());
}

#[test]
fn advice_is_never_an_error() {
    let yaml = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  progressDeadlineSeconds: 60
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - {name: a, image: i, ports: [{containerPort: 80}]}
      - {name: b, image: i, livenessProbe: {tcpSocket: {port: 1}}, readinessProbe: {tcpSocket: {port: 1}, failureThreshold: 9}}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80}]}
";
    let found = check(super::check, yaml);
    assert!(found.iter().all(|f| f.severity == Severity::Advice));
    let codes: Vec<Code> = found.iter().map(|f| f.code).collect();
    assert_eq!(
        codes,
        [
            Code::ReadinessProbeMissing,
            Code::LivenessProbeMissing,
            Code::LivenessSameAsReadiness,
            Code::ReadinessBudgetOverDeadline
        ]
    );
}

#[test]
fn the_last_word_of_a_failing_probe_is_short_and_of_this_run_of_the_container() {
    let said = |probe: &str, text: &str, seen: &str| {
        let seen = crate::rules::testing::snapshot(&format!(
            "{{kind: Pod, apiVersion: v1, metadata: {{name: web, namespace: shop, uid: u}}, spec: {{containers: [{{name: app, readinessProbe: {probe}}}]}}, \
             status: {{phase: Running, containerStatuses: [{{name: app, image: a, imageID: a, ready: false, restartCount: 0, \
             state: {{running: {{startedAt: '2026-01-01T11:50:00Z'}}}}}}]}}}}\n---\n\
             {{kind: Event, apiVersion: v1, metadata: {{name: e, namespace: shop}}, type: Warning, reason: Unhealthy, message: {text:?}, \
             lastTimestamp: '{seen}', involvedObject: {{kind: Pod, namespace: shop, name: web, uid: u, fieldPath: 'spec.containers{{app}}'}}}}"
        ));
        let context = crate::rules::context::Context::new(&seen, crate::rules::Options::default());
        let pod = &seen.objects.pods[0];
        super::last_word(&context, &crate::rules::context::containers(pod)[0], super::Which::Readiness)
    };
    let http = "{httpGet: {path: /, port: 80}}";
    let now = "2026-01-01T11:55:00Z";
    for (probe, text, word) in [
        (
            http,
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            Some("status 503"),
        ),
        (
            http,
            "Readiness probe failed: dial tcp 10.0.0.1:80: connect: connection refused",
            Some("connection refused"),
        ),
        (
            "{exec: {command: [a]}}",
            "Readiness probe failed: 12 of 40 loaded",
            Some("its command fails"),
        ),
        (http, "Liveness probe failed: HTTP probe failed with statuscode: 503", None),
    ] {
        assert_eq!(said(probe, text, now).as_deref(), word, "{text}");
    }
    let before = said(
        http,
        "Readiness probe failed: HTTP probe failed with statuscode: 503",
        "2026-01-01T11:49:00Z",
    );
    assert_eq!(before, None, "the container has been started again since");
}
