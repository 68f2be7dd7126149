//! Init containers that fail or never end.

use super::container::{deployment, findings};
use crate::cluster::harness::{Scenario, State, pods_ready, statuses, waiting};

fn with_init(command: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    deployment(
        "api",
        &format!(
            "{{initContainers: [{{name: first, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, {command}]}}], \
             containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}}]}}"
        ),
    )
}

/// The init container has been running for longer than a normal start takes.
fn overdue(state: &State) -> bool {
    statuses(state, "first").any(|s| {
        let started: Option<jiff::Timestamp> = s["state"]["running"]["startedAt"].as_str().and_then(|t| t.parse().ok());
        started.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 62)
    })
}

#[test]
fn one_that_fails() {
    let answer = Scenario::new("init-fails")
        .with_first_look()
        .apply(&with_init("echo 'ERROR: relation \"users\" does not exist'; exit 1"))
        .until("it fails again and again", waiting("first", "CrashLoopBackOff"))
        .first_root_cause("InitContainerFailing", "", "deployment/api");
    assert_eq!(answer.root_cause()["subject"]["container"], "first");
    assert!(answer.stdout.contains("does not exist"), "{}", answer.stdout);
}

#[test]
fn one_that_never_ends() {
    Scenario::new("init-hangs")
        .apply(&with_init("sleep 3600"))
        .until("it is overdue", overdue)
        .first_root_cause("InitContainerStuck", "", "deployment/api");
}

#[test]
fn a_waiting_pod_names_its_dependency() {
    let scenario = Scenario::new("init-waits")
        .apply(&with_init(
            "until nc -w 1 db.example.invalid 5432 </dev/null; do echo waiting for the database; sleep 2; done",
        ))
        .until("it is overdue", overdue);
    let answer = scenario.diagnose();
    let all = [findings(&answer, "rootCauses"), findings(&answer, "symptoms")].concat();
    assert!(
        all.contains(&"InitContainerStuck (waits-for) deployment/api".to_owned()),
        "{}",
        answer.stdout
    );
    assert!(answer.stdout.contains("db.example.invalid:5432"), "{}", answer.stdout);
    assert_eq!(answer.exit, 3);
}

/// busybox's nslookup tells of each search domain by itself, in any order: all of them mean the one Service.
#[test]
fn one_that_looks_up_a_service_that_is_not_there() {
    let scenario = Scenario::new("init-lookup")
        .apply(&with_init("until nslookup redis; do sleep 2; done"))
        .until("it is overdue", overdue);
    for _ in 0..3 {
        let answer = scenario.first_root_cause("ServiceMissing", "", "deployment/api");
        let cause = answer.root_cause();
        assert_eq!(
            cause["summary"], "container first waits for Service redis, which does not exist",
            "{}",
            answer.stdout
        );
        assert_eq!(cause["related"][0]["name"], "redis", "{}", answer.stdout);
        assert!(
            cause["evidence"][0]["detail"]
                .as_str()
                .unwrap()
                .contains(&format!("redis.{}.svc.cluster.local: NXDOMAIN", scenario.namespace)),
            "{}",
            answer.stdout
        );
    }
}

const GOOD: &str = "
---
{apiVersion: v1, kind: Service, metadata: {name: good}, spec: {selector: {app: good}, ports: [{port: 80, targetPort: 8080}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: good, labels: {app: good}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: podlife.test/app:1
    env: [{name: LISTEN, value: '0.0.0.0:8080'}]
    readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
";

/// The nc of this image has no -z and prints its usage each time; the Service that it asks for is well.
#[test]
fn one_whose_own_command_fails_blames_no_service() {
    let scenario = Scenario::new("init-usage")
        .apply(&(with_init("until nc -z good 80; do sleep 2; done") + GOOD))
        .until("it is overdue", overdue);
    let answer = scenario.first_root_cause("InitContainerStuck", "command-fails", "deployment/api");
    let cause = answer.root_cause();
    assert!(
        cause["summary"]
            .as_str()
            .unwrap()
            .contains("good:80 is ready, the command itself fails: nc does not take its arguments"),
        "{}",
        answer.stdout
    );
    let evidence = cause["evidence"].as_array().unwrap();
    assert!(
        evidence.iter().any(|e| e["detail"].as_str().unwrap().contains("invalid option")),
        "{}",
        answer.stdout
    );
    assert_eq!(
        cause["fixes"][0]["command"],
        format!("kubectl edit deployment/api -n {}", scenario.namespace)
    );
}

/// It resolves, and the nslookup of this image ends well only where every search domain has it.
#[test]
fn one_whose_look_up_fails_for_a_name_that_resolves() {
    let scenario = Scenario::new("init-resolves")
        .apply(&(with_init("until nslookup good; do sleep 2; done") + GOOD))
        .until("it is overdue", overdue);
    let answer = scenario.first_root_cause("InitContainerStuck", "command-fails", "deployment/api");
    assert_eq!(
        answer.root_cause()["fixes"][0]["text"],
        format!(
            "look it up by its full name: nslookup good.{}.svc.cluster.local",
            scenario.namespace
        ),
        "{}",
        answer.stdout
    );
}

#[test]
fn a_normal_start_with_a_sidecar() {
    Scenario::new("init-well")
        .apply(&deployment(
            "api",
            "{initContainers: [\
             {name: first, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '2']}, \
             {name: proxy, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, restartPolicy: Always, command: [sleep, '3600']}], \
             containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]}",
        ))
        .until("it runs", pods_ready(1))
        .healthy();
}
