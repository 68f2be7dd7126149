//! Probes that fail, budgets that are too short, gates that stay closed.

use jiff::Timestamp;

use crate::cluster::harness::{Answer, Scenario, State, both, event, pods_ready, restarts, statuses};
use crate::cluster::objects::{Workload, busybox};

/// A Deployment of one BusyBox container, which has what `container` says.
pub fn deployment(name: &str, container: &str) -> Workload {
    busybox(name).container(container)
}

/// `CODE (CAUSE) kind/name` of every root cause, in order of the text.
pub fn root_causes(answer: &Answer) -> Vec<String> {
    causes_in(answer, &["rootCauses"])
}

/// The same with what may still pass by itself.
pub fn causes_at_first_look(answer: &Answer) -> Vec<String> {
    causes_in(answer, &["rootCauses", "pending"])
}

pub fn causes_in(answer: &Answer, lists: &[&str]) -> Vec<String> {
    let findings = lists.iter().filter_map(|list| answer.json[list].as_array());
    let mut all: Vec<String> = findings
        .flatten()
        .map(|f| {
            let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
            let subject = &f["subject"];
            format!(
                "{} ({}) {}/{}",
                text(&f["code"]),
                text(&f["cause"]),
                text(&subject["kind"]).to_lowercase(),
                text(&subject["name"])
            )
        })
        .collect();
    all.sort();
    all
}

/// All containers of that name have been running for so long: past what counts as a start.
pub fn running_for(container: &'static str, seconds: i64) -> impl Fn(&State) -> bool {
    move |state| {
        let since = |status: &serde_json::Value| status["state"]["running"]["startedAt"].as_str()?.parse::<Timestamp>().ok();
        statuses(state, container).count() > 0
            && statuses(state, container).all(|s| since(s).is_some_and(|t| Timestamp::now().duration_since(t).as_secs() > seconds))
    }
}

/// An event with this reason about each pod.
fn every_pod_has(reason: &'static str) -> impl Fn(&State) -> bool {
    move |state| {
        let about = |pod: &serde_json::Value| {
            let uid = &pod["metadata"]["uid"];
            state
                .events
                .iter()
                .any(|e| e["reason"] == reason && e["involvedObject"]["uid"] == *uid)
        };
        state.pods.iter().all(about)
    }
}

#[test]
fn every_cause_of_a_readiness_probe_that_fails() {
    let web = |port: u16| format!("command: [sh, -c, 'mkdir /w; exec httpd -f -p {port} -h /w']");
    let idle = "command: [sleep, '3600']";
    let answers = |with: &str| format!("command: [sh, -c, 'nc -ll -p 8080 -e {with}']");
    let probes = [
        ("hangs", answers("sleep 20"), "httpGet: {path: /, port: 8080}", "timeout"),
        ("closes", answers("true"), "httpGet: {path: /, port: 8080}", "reset"),
        ("status", web(8080), "httpGet: {path: /healthz, port: 8080}", "http-status"),
        (
            "plain",
            web(8080),
            "httpGet: {path: /, port: 8080, scheme: HTTPS}",
            "https-sent-to-http",
        ),
        ("exit", idle.to_owned(), "exec: {command: [sh, -c, exit 3]}", "exec-exit"),
        ("missing", idle.to_owned(), "exec: {command: [curl, localhost]}", "exec-missing"),
        ("slow", idle.to_owned(), "exec: {command: [sleep, '10']}", "timeout"),
        ("health", web(9000), "grpc: {port: 9000}", "grpc"),
        (
            "named",
            "ports: [{name: http, containerPort: 8080}], ".to_owned() + &web(8080),
            "httpGet: {path: /, port: web}",
            "named-port-missing",
        ),
        ("dns", web(8080), "httpGet: {path: /, port: 8080, host: nowhere.invalid}", "dns"),
    ];
    let manifest: String = probes
        .iter()
        .map(|(name, runs, probe, _)| deployment(name, &format!("{runs}, readinessProbe: {{{probe}, periodSeconds: 2}}")).to_string())
        .collect();
    let mut expected: Vec<String> = probes
        .iter()
        .map(|(name, _, _, cause)| format!("ReadinessProbeFailing ({cause}) deployment/{name}"))
        .collect();
    expected.sort();
    // A busy kubelet writes its events late.
    let scenario = Scenario::new("readiness")
        .apply(&manifest)
        .until("all probes have failed", |state| {
            state.pods.len() == 10 && every_pod_has("Unhealthy")(state)
        });
    let answer = scenario.diagnose();
    let first = causes_at_first_look(&answer);
    assert!(expected.iter().all(|cause| first.contains(cause)), "{first:?}\n{}", answer.stdout);
    let scenario = scenario.until("they have failed for longer than a start takes", running_for("app", 62));
    assert_eq!(root_causes(&scenario.diagnose()), expected);
}

#[test]
fn a_liveness_probe_that_asks_a_wrong_path() {
    let runs = "command: [sh, -c, 'mkdir /w; touch /w/index.html; exec httpd -f -p 8080 -h /w']";
    let answer = Scenario::new("liveness")
        .apply(&deployment(
            "api",
            &format!("{runs}, livenessProbe: {{httpGet: {{path: /nope, port: 8080}}, periodSeconds: 2, timeoutSeconds: 10}}"),
        ))
        .until("it was killed", both(restarts("app", 1), event("Killing", "failed liveness probe")))
        .first_root_cause("LivenessProbeFailing", "http-status", "deployment/api");
    assert_eq!(answer.root_cause()["subject"]["container"], "app");
}

#[test]
fn a_liveness_probe_that_fails_is_pending_until_it_passes_or_kills() {
    let live = "livenessProbe: {httpGet: {path: /cgi-bin/live, port: 8080}, periodSeconds: 5, failureThreshold: 9}";
    let web = |name: &str, script: &str| {
        let runs = format!("mkdir -p /w/cgi-bin; {script} exec httpd -f -p 8080 -h /w");
        let run = serde_json::to_string(&runs).unwrap();
        deployment(name, &format!("command: [sh, -c, {run}], {live}")).to_string()
    };
    let page = "printf '#!/bin/sh\\nif [ -f /live ]; then echo Status: 200 OK; else echo Status: 503 Not Yet; fi\\necho\\n' >/w/cgi-bin/live; \
                chmod +x /w/cgi-bin/live;";
    let scenario = Scenario::new("liveness-first")
        .apply(&(web("fails", page) + &web("passes", page)))
        .until("the probes have failed", both(pods_ready(2), every_pod_has("Unhealthy")));
    let first = scenario.diagnose();
    let of = |name: &str| format!("LivenessProbeFailing (http-status) deployment/{name}");
    assert_eq!(causes_in(&first, &["pending"]), [of("fails"), of("passes")], "{}", first.stdout);
    assert_eq!((first.exit, root_causes(&first).len()), (0, 0), "{}", first.stdout);
    scenario.kubectl(&["exec", "deployment/passes", "--", "touch", "/live"]);
    let scenario = scenario.until("one was killed", event("Killing", "failed liveness probe"));
    scenario.wait("neither is pending any more", |s| causes_in(&s.diagnose(), &["pending"]).is_empty());
    scenario.first_root_cause("LivenessProbeFailing", "http-status", "deployment/fails");
}

#[test]
fn a_start_up_probe_that_never_passes() {
    Scenario::new("startup")
        .with_first_look()
        .apply(&deployment(
            "api",
            "command: [sleep, '3600'], startupProbe: {exec: {command: [cat, /tmp/started]}, periodSeconds: 1, failureThreshold: 3}",
        ))
        .until("it was killed", both(restarts("app", 1), event("Killing", "failed startup probe")))
        .first_root_cause("StartupProbeFailing", "exec-exit", "deployment/api");
}

#[test]
fn a_start_that_takes_longer_than_the_liveness_probe_waits() {
    let runs = "command: [sh, -c, 'mkdir /w; echo starting; sleep 40; exec httpd -f -p 8080 -h /w']";
    let answer = Scenario::new("budget")
        .apply(&deployment(
            "api",
            &format!("{runs}, livenessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 2, failureThreshold: 3}}"),
        ))
        .until("it was killed", both(restarts("app", 1), event("Killing", "failed liveness probe")))
        .first_root_cause("ProbeBudgetTooShort", "", "deployment/api");
    let summary = answer.root_cause()["summary"].as_str().unwrap();
    assert!(summary.contains("6 s") && summary.contains("40 s"), "{summary}");
}

#[test]
fn a_start_whose_length_only_the_log_tells() {
    let script = "
apiVersion: v1
kind: ConfigMap
metadata: {name: scripts}
data: {start.sh: 'echo loading the index, this takes 35 seconds; sleep 35; mkdir /w; exec httpd -f -p 8080 -h /w'}
";
    let index = busybox("index")
        .container("command: [sh, /scripts/start.sh], volumeMounts: [{name: scripts, mountPath: /scripts}]")
        .container("startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 2, failureThreshold: 4}")
        .pod("volumes: [{name: scripts, configMap: {name: scripts}}]");
    let answer = Scenario::new("budget-log")
        .apply(&format!("{script}{index}"))
        .until("it was killed", both(restarts("app", 1), event("Killing", "failed startup probe")))
        .first_root_cause("ProbeBudgetTooShort", "", "deployment/index");
    let summary = answer.root_cause()["summary"].as_str().unwrap();
    assert!(summary.contains("8 s") && summary.contains("35 s"), "{summary}");
}

#[test]
fn a_readiness_gate_that_stays_closed() {
    let manifest = "
apiVersion: v1
kind: Pod
metadata: {name: gate}
spec:
  terminationGracePeriodSeconds: 0
  readinessGates: [{conditionType: example.com/attached}]
  containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]
";
    Scenario::new("gate")
        .apply(manifest)
        .until("it has been up for longer than a controller needs", running_for("app", 32))
        .first_root_cause("ReadinessGateUnmet", "", "pod/gate");
}

#[test]
fn a_slow_start_inside_its_budget_leaves_no_trace() {
    let runs = "command: [sh, -c, 'mkdir /w; touch /w/index.html; sleep 6; exec httpd -f -p 8080 -h /w']";
    let probe = "{httpGet: {path: /index.html, port: 8080}, periodSeconds: 1";
    let scenario = Scenario::new("slow-start")
        .apply(&deployment(
            "api",
            &format!("{runs}, startupProbe: {probe}, failureThreshold: 60}}, readinessProbe: {probe}}}, livenessProbe: {probe}, failureThreshold: 5}}"),
        ))
        .until("its start-up probe fails", event("Unhealthy", "Startup probe failed"));
    let root_causes = root_causes(&scenario.diagnose());
    assert!(root_causes.is_empty(), "while it starts: {root_causes:?}");
    scenario.until("it is ready", pods_ready(1)).healthy();
}

/// The probe is answered, so that the port that nothing listens on is another fault; and the log names the port that the Service should use.
#[test]
fn a_wrong_path_of_a_probe_and_a_wrong_target_port_are_two_faults() {
    let web = crate::cluster::objects::app("web")
        .at_once()
        .container("readinessProbe: {httpGet: {path: /status/404, port: 8080}, periodSeconds: 2}")
        .ports("{port: 80, targetPort: 3000}");
    let answer = Scenario::new("two-ports")
        .apply(&web)
        .until(
            "it has failed for longer than a start takes",
            both(running_for("app", 62), every_pod_has("Unhealthy")),
        )
        .diagnose();
    let expected = [
        "ListenerOnOtherPort () deployment/web",
        "ReadinessProbeFailing (http-status) deployment/web",
    ];
    assert_eq!(root_causes(&answer), expected, "{}", answer.stdout);
    assert!(answer.stdout.contains(r#"\"value\":8080"#), "{}", answer.stdout);
}
