//! Starts that may be slower than a probe waits, where nothing shows how long they take.

use super::*;
use crate::diagnosis::assess::{Question, assess};
use crate::model::finding::Confidence;
use crate::model::report::Verdict;

/// Killed 14 s after each start, which is what `PROBE` leaves it.
const CUT_OFF: &str = "ready: true, started: true, restartCount: 2, state: {running: {startedAt: 2026-01-01T11:59:50Z}}, lastState: {terminated: {exitCode: 143, reason: Error, startedAt: 2026-01-01T11:59:31Z, finishedAt: 2026-01-01T11:59:45Z}}";
const PROBE: &str = "livenessProbe: {httpGet: {path: /healthz, port: 8080}, initialDelaySeconds: 5, periodSeconds: 3, failureThreshold: 3}";
const DECLARED: &str = "ports: [{containerPort: 8080}], ";

fn killed(container: &str, status: &str, says: &str) -> String {
    pod(container, status)
        + &event("Unhealthy", &format!("'Liveness probe failed: {says}'"))
        + &event("Killing", "Container c failed liveness probe, will be restarted")
}

const REFUSAL: &str = "dial tcp 10.244.0.6:8080: connect: connection refused";

fn found(yaml: &str, log: Option<&str>) -> Vec<Finding> {
    let mut snapshot = snapshot(yaml);
    let key = LogKey {
        namespace: "shop".into(),
        pod: "api-1".into(),
        container: "c".into(),
        previous: true,
    };
    snapshot.put_log(key, log.map(str::to_owned));
    check_snapshot(crate::rules::probes::check, &snapshot)
        .into_iter()
        .filter(|f| f.severity == Severity::Error)
        .collect()
}

fn says_longer(finding: &Finding) -> bool {
    finding.summary.contains("may need longer")
}

#[test]
fn a_port_that_is_used_elsewhere_makes_a_slow_start_likely() {
    let found = found(&killed(&(DECLARED.to_owned() + PROBE), CUT_OFF, REFUSAL), Some("still here 1\n"));
    assert_eq!(
        found.iter().map(|f| f.code).collect::<Vec<_>>(),
        [Code::ProbeBudgetTooShort, Code::LivenessProbeFailing]
    );
    let first = &found[0];
    assert_eq!(first.confidence, Confidence::Likely);
    assert!(first.summary.contains("14 s") && says_longer(first), "{}", first.summary);
    let fix = &first.fixes[0];
    assert!(fix.text.contains("failureThreshold 100 (300 s)"), "{}", fix.text);
    let command = fix.command.as_deref().unwrap();
    let patch = command.split('\'').nth(1).unwrap();
    let patch: serde_json::Value = serde_json::from_str(patch).unwrap();
    assert_eq!(
        patch["spec"]["template"]["spec"]["containers"][0],
        serde_json::json!({"name": "c", "startupProbe":
            {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 3, "failureThreshold": 100}})
    );
    assert!(command.starts_with("kubectl patch deployment/api -n shop -p '"), "{command}");
}

#[test]
fn a_probe_asks_the_port_that_is_meant_before_more_time_is_given() {
    let first = |container: &str| {
        let found = found(&killed(&format!("{container}{PROBE}"), CUT_OFF, REFUSAL), Some(""));
        let fix = &found[0].fixes[0];
        (fix.text.clone(), fix.command.as_deref().unwrap().to_owned())
    };
    for container in ["ports: [{containerPort: 9000}], ", "args: ['--port=9000'], "] {
        let (text, command) = first(container);
        assert!(text.starts_with("change the liveness probe to port 9000"), "{text}");
        assert!(command.contains(r#""livenessProbe":{"httpGet":{"port":9000}}"#), "{command}");
    }
    for container in ["", DECLARED, "ports: [{containerPort: 9000}, {containerPort: 9001}], "] {
        let (text, _) = first(container);
        assert!(text.contains("startupProbe"), "{container}: {text}");
    }
}

#[test]
fn equally_likely_explanations_are_both_reported() {
    for (says, is_first) in [
        (REFUSAL, true),
        ("Get \"http://10.244.0.6:8080/healthz\": context deadline exceeded", true),
        ("HTTP probe failed with statuscode: 503", true),
        ("HTTP probe failed with statuscode: 500", false),
    ] {
        let found = found(&killed(PROBE, CUT_OFF, says), Some(""));
        assert_eq!(
            found.iter().map(|f| f.code).collect::<Vec<_>>(),
            [Code::LivenessProbeFailing],
            "{says}"
        );
        assert_eq!(says_longer(&found[0]), is_first, "{}", found[0].summary);
        let at = found[0].fixes.iter().position(|fix| fix.text.contains("startupProbe"));
        assert_eq!(at == Some(0), is_first, "{says}: {:#?}", found[0].fixes);
        assert!(at.is_some() && found[0].fixes.len() > 1, "{says}: {:#?}", found[0].fixes);
    }
}

#[test]
fn a_port_that_opens_while_the_run_is_ended_was_opened_too_late() {
    let killed_late = CUT_OFF.replace("exitCode: 143", "exitCode: 0").replace("11:59:31", "11:59:05");
    let yaml = killed(PROBE, &killed_late, REFUSAL).replace("11:58:00", "11:59:19");
    let late = found(&yaml, Some("listening on 0.0.0.0:8080\n"));
    assert_eq!(late[0].code, Code::ProbeBudgetTooShort);
    assert!(
        late[0].evidence.iter().any(|e| e.detail.contains("when the probe had given up")),
        "{late:#?}"
    );
    // Without an address it may be the loopback as well.
    let either = found(&yaml, Some("Server started\n"));
    assert_eq!(either[0].code, Code::LivenessProbeFailing);
    assert!(says_longer(&either[0]), "{}", either[0].summary);
}

#[test]
fn a_start_up_probe_gets_more_failures() {
    let probe = "startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 3, failureThreshold: 3}";
    let status = CUT_OFF
        .replace("started: true", "started: false")
        .replace("ready: true", "ready: false");
    let yaml = pod(probe, &status)
        + &event("Unhealthy", &format!("'Startup probe failed: {REFUSAL}'"))
        + &event("Killing", "Container c failed startup probe, will be restarted");
    let found = found(&yaml, None);
    assert_eq!(found[0].code, Code::StartupProbeFailing);
    let command = found[0].fixes[0].command.as_deref().unwrap();
    assert!(command.contains(r#""startupProbe":{"failureThreshold":100}"#), "{command}");
}

#[test]
fn a_started_container_needs_no_more_time() {
    let container = DECLARED.to_owned() + PROBE;
    let long = CUT_OFF.replace("11:59:31", "11:57:31");
    let old = killed(&container, CUT_OFF, REFUSAL).replace("phase: Running", "phase: Running\n  startTime: 2026-01-01T09:00:00Z");
    for (why, yaml, log) in [
        ("its log says so", killed(&container, CUT_OFF, REFUSAL), "listening on [::]:9090"),
        ("it lived for longer than the budget", killed(&container, &long, REFUSAL), ""),
        ("one of few runs of an old pod was long", old, ""),
        (
            "a wrong path is a wrong path",
            killed(&container, CUT_OFF, "HTTP probe failed with statuscode: 404"),
            "",
        ),
        (
            "the start-up probe has passed",
            killed(&format!("{container}, {}", PROBE.replace("liveness", "startup")), CUT_OFF, REFUSAL),
            "",
        ),
        (
            "it was told to listen on the loopback",
            killed(
                &format!("{container}, env: [{{name: LISTEN_ADDR, value: '127.0.0.1:8080'}}]"),
                CUT_OFF,
                REFUSAL,
            ),
            "",
        ),
    ] {
        let found = found(&yaml, Some(log));
        assert_eq!(
            found.iter().map(|f| f.code).collect::<Vec<_>>(),
            [Code::LivenessProbeFailing],
            "{why}"
        );
        assert!(!says_longer(&found[0]), "{why}: {}", found[0].summary);
    }
}

#[test]
fn its_service_has_no_endpoints_between_two_kills() {
    let container = DECLARED.to_owned() + PROBE;
    let ready = "phase: Running\n  conditions: [{type: Ready, status: 'True'}]";
    let yaml = killed(&container, CUT_OFF, REFUSAL).replace("phase: Running", ready)
        + "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {pod-template-hash: h}, ports: [{port: 80, targetPort: 8080}]}}";
    let diagnosis = assess(&snapshot(&yaml), &Question::default());
    let service = diagnosis.workloads.iter().find(|j| j.object.is(&kind::SERVICE)).unwrap();
    assert_eq!(service.verdict, Verdict::Broken, "{diagnosis:#?}");
    assert_eq!(diagnosis.root_causes.len(), 1, "{diagnosis:#?}");
}

#[test]
fn the_kubelets_events_come_before_the_status_that_says_that_a_container_runs() {
    const CREATING: &str = "ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}";
    const STARTED: &str = "\
---
{apiVersion: v1, kind: Event, metadata: {name: started}, type: Normal, reason: Started, message: Started container c, count: 1, \
lastTimestamp: 2026-01-01T11:59:57Z, involvedObject: {kind: Pod, name: api-1, namespace: shop, uid: u1, fieldPath: 'spec.containers{c}'}}
";
    for (which, code) in [("Startup", Code::StartupProbeFailing), ("Readiness", Code::ReadinessProbeFailing)] {
        let probe = format!(
            "{}Probe: {{exec: {{command: [cat, /started]}}, failureThreshold: 30}}",
            which.to_lowercase()
        );
        let failed = event("Unhealthy", &format!("'{which} probe failed: cat: /started: No such file'")).replace("11:58:00", "11:59:58");
        let found = |events: &str| {
            let found = pending(crate::rules::probes::check, &(pod(&probe, CREATING) + events));
            found.iter().map(|finding| finding.code).collect::<Vec<_>>()
        };
        assert_eq!(found(&format!("{STARTED}{failed}")), [code]);
        assert_eq!(found(STARTED), []);
    }
}
