//! Slow starts, and what is said of others while something starts.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dependency::{READY, app};
use super::probes::root_causes;
use crate::cluster::harness::{Answer, Scenario, State, both, event, is_ready, pods_ready, restarts, running, statuses};
use crate::cluster::objects::{self, service};

/// Kills what does not answer 11 to 14 s after its start.
const KILLS: &str = "livenessProbe: {httpGet: {path: /healthz, port: 8080}, initialDelaySeconds: 5, periodSeconds: 3, failureThreshold: 3}";

fn judged<'a>(answer: &'a Answer, kind: &str, name: &str) -> &'a Value {
    let judged = answer.json["workloads"].as_array().unwrap();
    judged.iter().find(|j| j["kind"] == kind && j["name"] == name).unwrap()
}

fn killed(container: &'static str) -> impl Fn(&State) -> bool {
    both(restarts(container, 1), event("Killing", "failed liveness probe"))
}

#[test]
fn a_start_slower_than_the_liveness_probe_recovers_with_the_printed_fix() {
    let scenario = Scenario::new("start-silent")
        .apply(&app("web", &[("START_DELAY", "40s"), ("LOG_EVERY", "1s")], KILLS, ""))
        .until("it was killed", killed("web"));
    let answer = scenario.first_root_cause("ProbeBudgetTooShort", "", "deployment/web");
    let finding = answer.root_cause();
    assert_eq!(finding["confidence"], "likely", "{}", answer.stdout);
    assert!(finding["summary"].as_str().unwrap().contains("14 s"), "{}", answer.stdout);
    assert_eq!(judged(&answer, "Service", "web")["verdict"], "broken", "{}", answer.stdout);
    let command = finding["fixes"][0]["command"].as_str().unwrap();
    let patch = command.split('\'').nth(1).unwrap();
    scenario.kubectl(&["patch", "deployment/web", "-p", patch]);
    let scenario = scenario.until("the new pod alone is left", |state| {
        pods_ready(1)(state) && statuses(state, "web").all(|s| s["restartCount"] == 0 && s["started"] == true)
    });
    scenario.healthy();
}

#[test]
fn a_slow_start_is_named_with_the_probe_of_an_unused_port() {
    let undeclared =
        |name: &str, variable: &str, probe: &str| objects::app(name).called(name).at_once().env(variable, "60s").container(probe);
    let manifest = undeclared("late", "START_DELAY", KILLS)
        + undeclared("warm", "READY_AFTER", &KILLS.replace("/healthz", "/readyz"))
        + &undeclared("boot", "START_DELAY", "startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 3}").to_string();
    let answer = Scenario::new("start-alike")
        .apply(&manifest)
        .until("two were killed", both(killed("late"), killed("warm")))
        .until(
            "so was the third",
            both(restarts("boot", 1), event("Killing", "failed startup probe")),
        )
        .diagnose();
    assert_eq!(
        root_causes(&answer),
        [
            "LivenessProbeFailing (http-status) deployment/warm",
            "LivenessProbeFailing (refused) deployment/late",
            "StartupProbeFailing (refused) deployment/boot",
        ],
        "{}",
        answer.stdout
    );
    for finding in answer.json["rootCauses"].as_array().unwrap() {
        assert!(finding["summary"].as_str().unwrap().contains("may need longer"), "{finding:#}");
        let command = finding["fixes"][0]["command"].as_str().unwrap();
        assert!(
            command.starts_with("kubectl patch") && command.contains("startupProbe"),
            "{finding:#}"
        );
    }
}

/// `front` waits for `api`, which waits for `db`.
fn chain(db: &str) -> String {
    let waits = |target: &str| format!("initContainers: [{{name: wait, image: 'podlife.test/app:1', args: [wait-for, '{target}:80']}}]");
    app("front", &[], READY, &waits("api")) + &app("api", &[], READY, &waits("db")) + db
}

#[test]
fn a_pod_that_waits_for_a_broken_service_is_linked_at_once() {
    let scenario = Scenario::new("start-chain")
        .apply(&chain(&app("db", &[("REQUIRE_FILE", "/etc/store.conf")], READY, "")))
        .until(
            "the others wait for the one that fails",
            both(restarts("db", 1), |state| {
                statuses(state, "wait").filter(|s| s["state"]["running"].is_object()).count() == 2
            }),
        );
    let answer = scenario.first_root_cause_of("deployment/front", "ContainerCrashing", "config", "deployment/db");
    assert_eq!(judged(&answer, "Service", "front")["verdict"], "broken", "{}", answer.stdout);
    let all = scenario.first_root_cause("ContainerCrashing", "config", "deployment/db");
    for name in ["front", "api", "db"] {
        assert_eq!(judged(&all, "Service", name)["verdict"], "broken", "{}", all.stdout);
    }
}

#[test]
fn a_service_whose_pods_start_is_on_its_way_like_them() {
    let patient = READY.replace("periodSeconds: 1", "initialDelaySeconds: 3600");
    let scenario = Scenario::new("start-well")
        .apply(&app("web", &[], &patient, ""))
        .until("it runs", running("web"));
    for answer in [scenario.diagnose(), scenario.podlife(&["diagnose", "svc/web", "-o", "json"])] {
        assert_eq!(answer.exit, 0, "{}", answer.stdout);
        assert_eq!(judged(&answer, "Deployment", "web")["verdict"], "progressing", "{}", answer.stdout);
        assert_eq!(judged(&answer, "Service", "web")["verdict"], "progressing", "{}", answer.stdout);
    }
}

#[test]
fn a_failure_after_the_progress_deadline_is_reported_with_it() {
    let manifest = objects::app("web")
        .container("ports: [{containerPort: 8080}]")
        .container(READY)
        .spec("progressDeadlineSeconds: 8, replicas: 2")
        .ports("{port: 80, targetPort: 8080}")
        .to_string();
    let scenario = Scenario::new("start-deadline").apply(&manifest).until("it serves", pods_ready(2));
    scenario.kubectl(&["set", "env", "deployment/web", "READY_STATUS=500"]);
    scenario.wait("the deadline is missed and the probe has failed", |scenario| {
        let missed = scenario.kubectl(&[
            "get",
            "deployment/web",
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Progressing\")].reason}",
        ]);
        missed == "ProgressDeadlineExceeded" && event("Unhealthy", "statuscode: 500")(&scenario.state())
    });
    scenario.first_root_cause("ReadinessProbeFailing", "http-status", "deployment/web");
    let text = scenario.podlife(&["diagnose", "deployment/web"]).stdout;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} is not in\n{text}"));
    assert!(at("ReadinessProbeFailing") < at("ports of pod/"), "{text}");
    let waiting = scenario.podlife(&["wait-ready", "deployment/web", "--once", "-o", "json"]);
    assert_eq!(waiting.json["rootCauses"][0]["code"], "ReadinessProbeFailing", "{}", waiting.stdout);
}

/// Twenty starts that all end well: slow, warming up, with init containers, pulled, bound late, rolled out, in order, scheduled, to completion.
fn starts_that_end_well() -> String {
    let ready = "readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 2}, ports: [{containerPort: 8080}]";
    let web = |name: &str| objects::app(name).container(ready).ports("{port: 80, targetPort: 8080}");
    let startup = "startupProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2, failureThreshold: 30}";
    let init = |name: &str, seconds: u32| format!("{{name: {name}, image: 'busybox:1.36', command: [sleep, '{seconds}']}}");
    let claim = |name: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, spec: {{accessModes: [ReadWriteOnce], \
             resources: {{requests: {{storage: 1Mi}}}}}}}}\n"
        )
    };
    let mounted = |name: &str| {
        web(name)
            .pod(&format!("volumes: [{{name: data, persistentVolumeClaim: {{claimName: {name}}}}}]"))
            .container("volumeMounts: [{name: data, mountPath: /data}]")
    };
    let sleeper = "spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: 'busybox:1.36', command: [sleep, '3600']}]}";
    let run = |seconds: u32| {
        format!(
            "{{template: {{spec: {{restartPolicy: Never, containers: [{{name: app, image: 'busybox:1.36', command: [sleep, '{seconds}']}}]}}}}}}"
        )
    };
    let workloads = [
        web("plain"),
        web("three").spec("replicas: 3"),
        web("slow").env("START_DELAY", "25s").container(startup),
        web("slower").env("START_DELAY", "40s").container(startup),
        web("late").env("START_DELAY", "20s"),
        web("warm").env("READY_AFTER", "15s"),
        web("warmer").env("READY_AFTER", "25s"),
        web("delayed").container("livenessProbe: {httpGet: {path: /healthz, port: 8080}, initialDelaySeconds: 10}"),
        web("patient").spec("minReadySeconds: 20"),
        web("after-init").pod(&format!("initContainers: [{}]", init("first", 8))),
        web("after-three").pod(&format!(
            "initContainers: [{}, {}, {}]",
            init("one", 5),
            init("two", 5),
            init("three", 5)
        )),
        web("sidecar").pod("initContainers: [{name: proxy, image: 'busybox:1.36', restartPolicy: Always, command: [sleep, '3600']}]"),
        mounted("bound"),
        web("fronted").ports("{port: 80, targetPort: 8080}"),
        objects::shell("quiet", "sleep 3600"),
        objects::shell("pulled", "sleep 3600").container("imagePullPolicy: IfNotPresent"),
    ];
    let mut manifest: String = workloads.iter().map(ToString::to_string).collect();
    manifest += &claim("bound");
    manifest += &service("headless", "{clusterIP: None, selector: {app: ordered}}");
    for (kind, name, spec) in [
        (
            "StatefulSet",
            "ordered",
            format!(
                "serviceName: headless, replicas: 3, selector: {{matchLabels: {{app: ordered}}}}, template: {{metadata: {{labels: {{app: ordered}}}}, {sleeper}}}"
            ),
        ),
        (
            "DaemonSet",
            "everywhere",
            format!("selector: {{matchLabels: {{app: everywhere}}}}, template: {{metadata: {{labels: {{app: everywhere}}}}, {sleeper}}}"),
        ),
    ] {
        manifest += &format!("---\n{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n");
    }
    manifest += &format!(
        "---\n{{apiVersion: batch/v1, kind: Job, metadata: {{name: once}}, spec: {}}}\n",
        run(20)
    );
    manifest += &format!(
        "---\n{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: often}}, spec: {{schedule: '* * * * *', jobTemplate: {{spec: {}}}}}}}\n",
        run(2)
    );
    manifest
}

#[test]
fn a_healthy_start_accuses_nothing_in_any_second_of_its_first_minute() {
    let scenario = Scenario::new("start-healthy").apply(&starts_that_end_well());
    let start = Instant::now();
    let is_updated = Cell::new(false);
    scenario.wait("the first minute is over and all are up", |scenario| {
        let answer = scenario.diagnose();
        let accused = root_causes(&answer);
        assert!(accused.is_empty(), "after {:?}: {accused:?}\n{}", start.elapsed(), answer.stdout);
        if start.elapsed() > Duration::from_secs(10) && !is_updated.replace(true) {
            scenario.kubectl(&["set", "env", "deployment/three", "VERSION=two"]);
        }
        let is_up = |pod: &Value| pod["status"]["phase"] == "Succeeded" || is_ready(pod);
        start.elapsed() > Duration::from_secs(60) && scenario.state().pods.iter().all(is_up)
    });
}
