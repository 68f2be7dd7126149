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
fn one_that_waits_names_what_for() {
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
