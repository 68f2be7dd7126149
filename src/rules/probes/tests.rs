mod starting;

use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::snapshot::LogKey;
use crate::testing::{check, check_snapshot, pending, snapshot};

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
    let found = check(crate::rules::probes::check, yaml);
    let errors = found.iter().filter(|f| f.severity == Severity::Error);
    errors.map(|f| (f.code, f.cause.to_string())).collect()
}

const REFUSED: &str = "'Readiness probe failed: Get \"http://10.244.0.3:8080/\": dial tcp 10.244.0.3:8080: connect: connection refused'";
const READINESS: &str = "readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2}";
const UNREADY: &str = "ready: false, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:51:00Z}}";

#[test]
fn an_unready_container_names_why_its_probe_fails() {
    let yaml = pod(READINESS, UNREADY) + &event("Unhealthy", REFUSED);
    let found = check(crate::rules::probes::check, &yaml);
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
fn a_program_missing_from_the_image_is_reported_at_once() {
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
fn a_killing_liveness_probe_is_reported_while_the_pod_is_ready() {
    let yaml = pod(LIVENESS, KILLED)
        + &event("Unhealthy", "'Liveness probe failed: HTTP probe failed with statuscode: 404'")
        + &event("Killing", "Container c failed liveness probe, will be restarted");
    assert_eq!(errors(&yaml), [(Code::LivenessProbeFailing, "http-status".to_owned())]);
}

#[test]
fn a_failing_liveness_probe_is_pending_until_it_kills() {
    let runs = "ready: true, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:51:00Z}}";
    let failed = event("Unhealthy", "'Liveness probe failed: HTTP probe failed with statuscode: 404'");
    let at = |seen: &str, probe: &str| {
        let yaml = pod(probe, runs) + &failed.replace("11:58:00", seen);
        assert!(errors(&yaml).is_empty(), "{seen}");
        let held = pending(crate::rules::probes::check, &yaml);
        held.first().map(|f| (f.code, f.settles.within().map(|left| left.as_secs())))
    };
    assert_eq!(at("11:59:58", LIVENESS), Some((Code::LivenessProbeFailing, Some(7))));
    assert_eq!(at("11:59:45", LIVENESS), None, "it has passed since then");
    let both = format!("{LIVENESS}, {READINESS}");
    let unready = pod(&both, UNREADY) + &failed.replace("11:58:00", "11:59:58");
    assert_eq!(
        errors(&unready),
        [(Code::ReadinessProbeFailing, String::new())],
        "that one has lasted"
    );
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
        budget(&check_snapshot(crate::rules::probes::check, &snapshot)).is_none(),
        "nothing shows how long a start takes"
    );
    let key = LogKey {
        namespace: "shop".into(),
        pod: "api-1".into(),
        container: "c".into(),
        previous: true,
    };
    snapshot.put_log(key, Some("starting up\nloading model, takes 40 s\n".into()));
    let found = check_snapshot(crate::rules::probes::check, &snapshot);
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
    let found = check(crate::rules::probes::check, &yaml);
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
    assert!(budget(&check(crate::rules::probes::check, &yaml)).is_none());
}

#[test]
fn a_closed_readiness_gate_is_named() {
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
    let found = check(crate::rules::probes::check, gate);
    assert_eq!(found.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::ReadinessGateUnmet]);
    assert!(found[0].summary.contains("example.com/lb-attached"));
    let open = gate.replace("conditions:", "conditions:\n  - {type: example.com/lb-attached, status: 'True'}");
    assert!(check(crate::rules::probes::check, &open).is_empty());
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
    let found = check(crate::rules::probes::check, yaml);
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
        let seen = crate::testing::snapshot(&format!(
            "{{kind: Pod, apiVersion: v1, metadata: {{name: web, namespace: shop, uid: u}}, spec: {{containers: [{{name: app, readinessProbe: {probe}}}]}}, \
             status: {{phase: Running, containerStatuses: [{{name: app, image: a, imageID: a, ready: false, restartCount: 0, \
             state: {{running: {{startedAt: '2026-01-01T11:50:00Z'}}}}}}]}}}}\n---\n\
             {{kind: Event, apiVersion: v1, metadata: {{name: e, namespace: shop}}, type: Warning, reason: Unhealthy, message: {text:?}, \
             lastTimestamp: '{seen}', involvedObject: {{kind: Pod, namespace: shop, name: web, uid: u, fieldPath: 'spec.containers{{app}}'}}}}"
        ));
        let view = crate::view::View::new(&seen, crate::view::Options::default());
        let pod = &seen.objects.pods[0];
        crate::facts::probe::last_word(&view, &crate::view::containers(pod)[0], crate::rules::probes::Which::Readiness)
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

#[test]
fn a_probe_that_times_out_now_and_then_is_explained_by_its_other_answers() {
    let causes = |answered: (i32, &str), timed_out: i32| {
        let failure = |text: &str, count: i32, seen: &str| {
            event("Unhealthy", &format!("'Readiness probe failed: Get: {text}'"))
                .replace("e-Unhealthy", &format!("e-{count}"))
                .replace("count: 25", &format!("count: {count}"))
                .replace("11:58:00", seen)
        };
        let answered = failure("EOF", answered.0, answered.1);
        errors(&(pod(READINESS, UNREADY) + &answered + &failure("context deadline exceeded", timed_out, "11:58:00")))
    };
    let failing = |cause: &str| [(Code::ReadinessProbeFailing, cause.to_owned())];
    assert_eq!(causes((20, "11:57:58"), 2), failing("reset"));
    assert_eq!(causes((2, "11:57:58"), 20), failing("timeout"), "most are time-outs");
    assert_eq!(causes((20, "11:52:00"), 2), failing("timeout"), "the other answer is old");
}

/// What is said of a readiness probe that fails with these words, and the first fix.
fn explained(more: &str, words: &str, log: &str) -> (String, String) {
    let pod = pod(more, UNREADY).replace("phase: Running", "phase: Running\n  podIP: 10.244.0.3");
    let mut s = snapshot(&(pod + &event("Unhealthy", words)));
    let key = LogKey {
        namespace: "shop".into(),
        pod: "api-1".into(),
        container: "c".into(),
        previous: false,
    };
    s.put_log(key, Some(log.into()));
    let found = check_snapshot(crate::rules::probes::check, &s);
    (found[0].summary.clone(), found[0].fixes[0].text.clone())
}

const STATUS_400: &str = "'Readiness probe failed: HTTP probe failed with statuscode: 400'";
const REJECTS: &str = "Invalid HTTP_HOST header: '10.244.0.3:8080'. You may need to add '10.244.0.3' to ALLOWED_HOSTS.";

#[test]
fn a_host_that_the_application_rejects_is_told_only_where_its_log_says_so() {
    let (summary, fix) = explained(READINESS, STATUS_400, REJECTS);
    assert!(summary.contains("rejects the host 10.244.0.3"), "{summary}");
    assert!(fix.contains("header Host with a host that it knows"), "{fix}");
    let with_host = "readinessProbe: {httpGet: {path: /, port: 8080, httpHeaders: [{name: Host, value: shop.example}]}, periodSeconds: 2}";
    for (more, log) in [(READINESS, "GET / 400"), (with_host, REJECTS)] {
        let (summary, fix) = explained(more, STATUS_400, log);
        assert!(
            !summary.contains("rejects the host") && !fix.contains("header Host"),
            "{summary}: {fix}"
        );
    }
}

#[test]
fn credentials_and_redirects_are_explained_by_what_the_probe_sends() {
    let probe = |headers: &str| format!("readinessProbe: {{httpGet: {{path: /, port: 8080, httpHeaders: [{headers}]}}, periodSeconds: 2}}");
    let status_403 = "'Readiness probe failed: HTTP probe failed with statuscode: 403'";
    let redirected = "'Readiness probe failed: Get \"https://10.244.0.3/\": dial tcp 10.244.0.3:443: connect: connection refused'";
    for (headers, words, fix) in [
        ("", status_403, "answers without credentials"),
        ("{name: Authorization, value: x}", status_403, "correct the Authorization header"),
        ("", redirected, "X-Forwarded-Proto: https"),
        ("{name: X-Forwarded-Proto, value: https}", redirected, "does not redirect"),
    ] {
        let (_, first) = explained(&probe(headers), words, "");
        assert!(first.contains(fix), "{headers} {words}: {first}");
    }
}

#[test]
fn localhost_is_explained_only_where_the_application_listens_on_the_other_family() {
    let probe = |bind: &str, target: &str| {
        format!(
            "command: [python3, -m, http.server, --bind, '{bind}', '8080'], ports: [{{containerPort: 8080}}], readinessProbe: {{exec: {{command: [check, '{target}']}}, periodSeconds: 2}}"
        )
    };
    let refused = "'Readiness probe failed: connect localhost (::1) port 8080: Connection refused'";
    let (summary, fix) = explained(&probe("0.0.0.0", "localhost:8080"), refused, "");
    assert!(
        summary.contains("localhost as ::1") && fix.contains("call 127.0.0.1"),
        "{summary}: {fix}"
    );
    for (bind, target, words) in [
        ("::", "localhost:8080", refused),
        (
            "0.0.0.0",
            "localhost:9090",
            "'Readiness probe failed: connect localhost (::1) port 9090: Connection refused'",
        ),
        ("0.0.0.0", "localhost:8080", "'Readiness probe failed: localhost:8080 answers 500'"),
    ] {
        let (summary, fix) = explained(&probe(bind, target), words, "");
        assert!(
            !summary.contains("localhost as") && !fix.contains("call 127.0.0.1"),
            "{summary}: {fix}"
        );
    }
}

#[test]
fn a_probe_whose_threshold_hides_its_failures_is_told_only_while_it_fails() {
    let probe = |threshold: u8| format!("readinessProbe: {{exec: {{command: [check]}}, periodSeconds: 5, failureThreshold: {threshold}}}");
    let hidden = |threshold: u8, ready_since: &str, seen: &str| {
        let status = "ready: true, started: true, restartCount: 0, state: {running: {startedAt: 2026-01-01T11:00:00Z}}";
        let conditions =
            format!("phase: Running\n  conditions: [{{type: ContainersReady, status: 'True', lastTransitionTime: '{ready_since}'}}]");
        let event = event("Unhealthy", "'Readiness probe failed: no'").replace("2026-01-01T11:58:00Z", seen);
        errors(&(pod(&probe(threshold), status).replace("phase: Running", &conditions) + &event))
    };
    let told = [(Code::ReadinessProbeFailing, "exec-exit".to_owned())];
    assert_eq!(hidden(100, "2026-01-01T11:10:00Z", "2026-01-01T11:58:00Z"), told);
    for (threshold, ready_since, seen) in [
        // Three failures in a row would have been seen.
        (3, "2026-01-01T11:10:00Z", "2026-01-01T11:58:00Z"),
        // It failed while the application started, and does not any more.
        (100, "2026-01-01T11:59:00Z", "2026-01-01T11:58:00Z"),
        (100, "2026-01-01T11:10:00Z", "2026-01-01T11:50:00Z"),
    ] {
        assert!(hidden(threshold, ready_since, seen).is_empty(), "{threshold} {ready_since} {seen}");
    }
}

#[test]
fn the_start_up_probe_of_a_sidecar_is_told_by_the_kubelets_words_for_init_containers() {
    let status = "ready: false, started: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, \
                  lastState: {terminated: {exitCode: 0, reason: Completed, startedAt: 2026-01-01T11:59:30Z, finishedAt: 2026-01-01T11:59:40Z}}";
    let probe = "restartPolicy: Always, startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 5}";
    let of = |killed: &str| {
        let yaml = pod(probe, status)
            + &event(
                "Unhealthy",
                "'Startup probe failed: dial tcp 10.244.0.4:8080: connect: connection refused'",
            )
            + &event("Killing", killed);
        let sidecar = yaml
            .replace("  containers: [", "  containers: [{name: app, image: i}]\n  initContainers: [")
            .replace("containerStatuses", "initContainerStatuses")
            .replace("spec.containers{c}", "spec.initContainers{c}");
        errors(&sidecar)
    };
    let told = [(Code::StartupProbeFailing, "refused".to_owned())];
    assert_eq!(of("Init container c failed startup probe"), told);
    assert!(of("Init container d failed startup probe").is_empty());
}
