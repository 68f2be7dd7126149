//! Containers that wait in a loop for what never comes: a file that nothing puts there, a Job that is not there or has failed.

use super::container::findings;
use super::explained::said;
use crate::cluster::harness::{Scenario, State, event, is_ready, running};
use crate::cluster::objects::{Workload, shell};

/// The settings, and a `kubectl` that finds no Job complete.
const MAPS: &str = "
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {app.yml: 'zoom: 2'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: tools}, data: {kubectl: \"#!/bin/sh\\nexit 1\\n\"}}
";

fn serves_after(path: &str) -> String {
    format!("until [ -f {path} ]; do echo waiting for {path}; sleep 1; done; echo found; touch /tmp/ok; exec sleep 3600")
}

/// A Deployment whose container waits, with what its volume shows.
fn waits(name: &str, script: &str, volume: &str) -> Workload {
    shell(name, script)
        .at_once()
        .container("volumeMounts: [{name: data, mountPath: /data}]")
        .pod(&format!("volumes: [{{name: data, {volume}}}]"))
}

const SETTINGS: &str = "configMap: {name: settings}";
const PROBE: &str = "readinessProbe: {exec: {command: [cat, /tmp/ok]}, periodSeconds: 1}";

fn ready(state: &State, count: usize) -> bool {
    state.pods.iter().filter(|pod| is_ready(pod)).count() == count
}

#[test]
fn a_file_that_nothing_provides_is_named_with_what_should() {
    let writer = "name: writer, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, volumeMounts: [{name: data, mountPath: /out}], \
                  command: [sh, -c, 'sleep 3; touch /out/ready; exec sleep 3600']";
    let manifest = [
        MAPS.to_owned(),
        waits("typo", &serves_after("/data/app.yaml"), SETTINGS)
            .container(PROBE)
            .to_string(),
        waits("right", &serves_after("/data/app.yml"), SETTINGS)
            .container(PROBE)
            .to_string(),
        waits("alone", &serves_after("/data/ready"), "emptyDir: {}")
            .container(PROBE)
            .to_string(),
        waits("shared", &serves_after("/data/ready"), "emptyDir: {}")
            .container(PROBE)
            .beside(writer)
            .to_string(),
        // Nothing keeps this one from being ready.
        waits("unprobed", &serves_after("/data/app.yaml"), SETTINGS).to_string(),
    ]
    .concat();
    let scenario = Scenario::new("awaited-file")
        .apply(&manifest)
        .until("three are ready", |state| ready(state, 3) && running("app")(state));
    let answer = scenario.diagnose();
    let wanted = [
        "DependencyUnreachable () deployment/alone".to_owned(),
        "DependencyUnreachable () deployment/typo".to_owned(),
    ];
    assert_eq!(findings(&answer, "rootCauses"), wanted, "{}", answer.stdout);
    let typo = said(&answer, "typo");
    assert!(
        typo.contains("waits for the file /data/app.yaml")
            && typo.contains("ConfigMap settings, which gives no file app.yaml (it has app.yml)"),
        "{typo}"
    );
    let alone = said(&answer, "alone");
    assert!(
        alone.contains("volume data is an emptyDir that no other container of the pod mounts"),
        "{alone}"
    );
    assert_eq!(answer.json["verdict"], "broken", "{}", answer.stdout);
    // Of who is ready it is said where the user asks.
    let asked = scenario.first_root_cause_of("deployment/unprobed", "DependencyUnreachable", "", "deployment/unprobed");
    assert_eq!(asked.json["verdict"], "degraded", "{}", asked.stdout);
}

#[test]
fn a_job_that_never_completes_is_followed() {
    let job = |name: &str, script: &str| {
        format!(
            "---\n{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{backoffLimit: 0, template: {{spec: {{restartPolicy: Never, \
             terminationGracePeriodSeconds: 0, containers: [{{name: work, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, \
             command: [sh, -c, '{script}']}}]}}}}}}}}\n"
        )
    };
    let waits_for = |name: &str, job: &str| {
        let script = format!("until kubectl wait --for=condition=complete --timeout=1s job/{job}; do echo waiting; sleep 1; done");
        let script = serde_json::to_string(&script).unwrap();
        shell(name, "exec sleep 3600").at_once().pod(&format!(
            "volumes: [{{name: tools, configMap: {{name: tools, defaultMode: 0555}}}}], initContainers: [{{name: first, image: 'busybox:1.36', \
             imagePullPolicy: IfNotPresent, env: [{{name: PATH, value: '/tools:/bin'}}], volumeMounts: [{{name: tools, mountPath: /tools}}], \
             command: [sh, -c, {script}]}}]"
        ))
    };
    let manifest = [
        MAPS.to_owned(),
        job("fails", "echo no such table; exit 3"),
        job("works", "exec sleep 3600"),
        waits_for("absent", "migrate").to_string(),
        waits_for("failed", "fails").to_string(),
        waits_for("patient", "works").to_string(),
    ]
    .concat();
    let scenario = Scenario::new("awaited-job")
        .apply(&manifest)
        .until("the Job has failed", event("BackoffLimitExceeded", ""))
        .until("all three wait", |state| {
            let waits = crate::cluster::harness::statuses(state, "first").filter(|s| s["state"]["running"].is_object());
            waits.count() == 3
        });
    let answer = scenario.diagnose();
    let roots = findings(&answer, "rootCauses");
    assert_eq!(
        roots,
        [
            "ContainerCrashing (exit-code) job/fails",
            "InitContainerStuck (waits-for) deployment/absent"
        ],
        "{}",
        answer.stdout
    );
    assert!(
        said(&answer, "absent").contains("has no Job migrate"),
        "{}",
        said(&answer, "absent")
    );
    let failed = said(&answer, "failed");
    assert!(
        failed.contains("InitContainerStuck") && failed.contains("Job fails has failed"),
        "{failed}"
    );
    assert_eq!(said(&answer, "patient"), "", "{}", answer.stdout);
}
