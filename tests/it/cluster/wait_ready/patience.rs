//! What comes and goes, rests, or is not asked: said in the last line, and in the document as well.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr};

use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, send};
use super::{manifest, probe, reason, service, started, wait, web};

fn last_line(answer: &Answer) -> &str {
    answer.stdout.lines().next_back().unwrap_or_default()
}

/// Reads what a wait says until a line has these words.
fn until_said(stderr: &mut BufReader<ChildStderr>, words: &str) {
    let mut all = String::new();
    loop {
        let start = all.len();
        let read = stderr.read_line(&mut all).unwrap();
        assert!(read > 0, "it ended without {words:?}: {all}");
        if all[start..].contains(words) {
            return;
        }
    }
}

fn interrupted(mut child: Child) -> Value {
    send(&child, "-INT");
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn flapping_readiness_is_counted_and_the_required_calm_is_reported() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
        "name": "app", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "100000"],
        "readinessProbe": {"exec": {"command": ["test", "-f", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1},
    }]}});
    let scenario = Scenario::new("wr-flaps").apply(&pod.to_string());
    let mut child = started(
        &scenario,
        &["wait-ready", "pod/web", "--stable-for", "1h", "--timeout", "2h", "-o", "json"],
    );
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    until_said(&mut stderr, "does not pass its readiness probe");
    let in_pod = |command: &str| scenario.kubectl(&["exec", "web", "--", "sh", "-c", command]);
    for _ in 0..2 {
        in_pod("touch /tmp/ready");
        until_said(&mut stderr, "pod/web  ready");
        in_pod("rm /tmp/ready");
        until_said(&mut stderr, "does not pass its readiness probe");
    }
    in_pod("touch /tmp/ready");
    until_said(&mut stderr, "pod/web  ready");
    let document = interrupted(child);
    let said = document["reason"].as_str().unwrap();
    assert!(said.contains("; pod web was ready 3 times, for "), "{said}");
    let hops = document["hops"]["hops"].as_array().unwrap();
    let names: Vec<&str> = hops.iter().filter_map(|hop| hop["hop"].as_str()).collect();
    let ready = names.iter().position(|name| *name == "ready");
    assert!(ready.is_some() && names.get(ready.unwrap() + 1) == Some(&"readyAgain"), "{names:?}");
}

#[test]
fn a_job_of_a_queue_is_waited_for_where_that_was_asked_for() {
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": {"suspend": true, "template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "work", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "command": ["true"]}]}}}});
    let scenario = Scenario::new("wr-queue").apply(&job.to_string());
    let hasty = wait(&scenario, "job/work", &[]);
    assert_eq!(hasty.exit, 3, "{}{}", hasty.stdout, hasty.stderr);
    assert!(reason(&hasty).contains("--grace suspended=5m would wait"), "{}", hasty.stdout);
    assert_eq!(hasty.json["objects"][0]["suspended"], true, "{}", hasty.stdout);
    let mut patient = started(&scenario, &["wait-ready", "job/work", "--grace", "suspended=1h"]);
    until_said(&mut BufReader::new(patient.stderr.take().unwrap()), "progressing  is suspended");
    scenario.kubectl(&["patch", "job", "work", "--type=merge", "-p", "{\"spec\":{\"suspend\":false}}"]);
    assert_eq!(patient.wait().unwrap().code(), Some(0));
}

#[test]
fn the_last_line_says_how_the_application_was_checked() {
    let scenario = Scenario::new("wr-asked").apply(&manifest(&[web(1, json!({}), probe())]));
    let both = |scenario: &Scenario, more: &[&str]| {
        let text = scenario.podlife(&[&["wait-ready", "deployment/web", "--stable-for", "0"], more].concat());
        (text, wait(scenario, "deployment/web", &[&["--stable-for", "0"], more].concat()))
    };
    let (text, document) = both(&scenario, &[]);
    let nobody = "the application was not checked: no Service selects it";
    assert_eq!((text.exit, document.exit), (0, 0), "{}{}", text.stdout, text.stderr);
    assert!(last_line(&text).ends_with(nobody) && reason(&document) == nobody, "{}", text.stdout);
    assert_eq!(document.json["provenBy"], Value::Null);
    let scenario = scenario.apply(&manifest(&[service("ClusterIP")]));
    let (text, document) = both(&scenario, &[]);
    assert!(last_line(&text).ends_with(", by service-proxy"), "{}", text.stdout);
    assert!(reason(&document).ends_with(", by service-proxy"), "{}", document.stdout);
    assert_eq!(document.json["provenBy"], "service-proxy");
    let wrong = ["--http", "/status/503", "--timeout", "3s", "--no-dial"];
    let (text, document) = both(&scenario, &wrong);
    assert_eq!((text.exit, document.exit), (124, 124), "{}{}", text.stdout, text.stderr);
    for said in [last_line(&text), reason(&document)] {
        assert!(said.contains("0 of 1 endpoints answer as asked, pod web-"), "{said}");
        assert!(said.contains("status 503") && said.contains("(asked by service-proxy)"), "{said}");
    }
}
