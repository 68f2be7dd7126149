//! What `examples/sessions` holds runs as it is.

use std::path::Path;

use podlife::model::kind;
use serde_json::Value;

use super::images;
use crate::cluster::harness::{Scenario, has_condition, kubectl};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sessions").join(name);
    path.display().to_string()
}

/// A session as `status` reports it.
fn status(scenario: &Scenario, id: &str) -> Value {
    scenario.podlife(&["session", "status", id, "-o", "json"]).json
}

#[test]
fn python_runs_where_pod_security_is_enforced_and_its_files_outlive_a_pause() {
    if !images::python() {
        return;
    }
    let scenario = Scenario::new("session-python");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", &scenario.namespace, label], None);
    let template = example("python.yaml");
    let created = scenario.podlife(&[
        "session",
        "create",
        "user-42",
        "-f",
        &template,
        "--volume",
        "1Gi:/work",
        "-o",
        "json",
    ]);
    assert_eq!((created.exit, created.stderr.as_str()), (0, ""), "{}", created.stdout);
    let python = |code: &str| scenario.podlife(&["session", "exec", "user-42", "--", "python3", "-c", code]);
    assert_eq!(python("open('answer.txt', 'w').write(str(6 * 7))").exit, 0);
    // As a gateway sees it: port 8888 shows the files.
    let get = "import urllib.request as r; print(r.urlopen('http://localhost:8888/answer.txt').read().decode())";
    assert_eq!(python(get).stdout, "42\n");
    assert_eq!(scenario.podlife(&["session", "pause", "user-42"]).exit, 0);
    assert_eq!(status(&scenario, "user-42")["state"], "Paused");
    assert_eq!(scenario.podlife(&["session", "resume", "user-42"]).exit, 0);
    assert_eq!(python(get).stdout, "42\n");
    assert_eq!(status(&scenario, "user-42")["generation"], 2);
}

#[test]
fn a_kernel_runs_code_and_keeps_its_variables() {
    if !images::python() {
        return;
    }
    let scenario = Scenario::new("session-kernel");
    let created = scenario.podlife(&["session", "create", "user-42", "-f", &example("kernel.yaml")]);
    assert_eq!((created.exit, created.stderr.as_str()), (0, ""), "{}", created.stdout);
    let run = |code: &str| {
        let post =
            "import sys, urllib.request as r; print(r.urlopen('http://localhost:8888', sys.argv[1].encode()).read().decode(), end='')";
        let answer = scenario.podlife(&["session", "exec", "user-42", "--", "python3", "-c", post, code]);
        assert_eq!(answer.exit, 0, "{}", answer.stderr);
        answer.stdout
    };
    assert_eq!(run("answer = 6 * 7"), "");
    assert_eq!(run("print(answer)"), "42\n");
    let failed = run("print(missing)");
    assert!(failed.ends_with("NameError: name 'missing' is not defined\n"), "{failed}");
}

#[test]
fn what_vault_needs_of_a_template_reaches_the_pod() {
    let scenario = Scenario::new("session-vault");
    scenario.kubectl(&["create", "serviceaccount", "ide"]);
    let pod = |file: &str| {
        let made = scenario.podlife(&["session", "create", "a", "-f", &example(file), "--dry-run=server", "-o", "json"]);
        assert_eq!(made.exit, 0, "{}", made.stderr);
        let objects = made.json["items"].as_array().cloned().unwrap_or_default();
        let pod = objects.into_iter().find(|object| object["kind"] == "Pod").unwrap();
        assert_eq!(pod["spec"]["serviceAccountName"], "ide");
        (pod, made.stderr)
    };
    let (by_agent, warned) = pod("vault-agent.yaml");
    let annotations = &by_agent["metadata"]["annotations"];
    for (name, value) in [
        ("agent-inject", "true"),
        ("role", "ide"),
        ("agent-inject-secret-token", "secret/data/ide"),
    ] {
        assert_eq!(annotations[format!("vault.hashicorp.com/{name}")], value);
    }
    assert_eq!(by_agent["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"], "ide");
    assert!(warned.contains("token"), "{warned}");
    let (by_driver, _) = pod("vault-csi.yaml");
    let volumes = by_driver["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["csi"]["driver"] == "secrets-store.csi.k8s.io"));
    assert_eq!(by_driver["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn the_cron_job_cleans_up_heals_and_removes_what_has_no_record_with_the_rights_of_its_role() {
    if !images::podlife() {
        return;
    }
    let scenario = Scenario::new("session-cron");
    scenario.kubectl(&["apply", "-f", &example("gc.yaml")]);
    // Only the runs of this test.
    scenario.kubectl(&["patch", "cronjob", "session-gc", "-p", "{\"spec\": {\"suspend\": true}}"]);
    for (id, more) in [
        ("idle", ["--idle-timeout", "1s"]),
        ("healed", ["--volume", "1Gi:/data"]),
        ("kept", ["--owner", "a"]),
    ] {
        let flags = ["--image", "podlife.test/app:1", "--port", "8080", "--service", "--cpu", "10m:500m"];
        let create = [&["session", "create", id], &flags[..], &more].concat();
        let created = scenario.podlife(&create);
        assert_eq!(created.exit, 0, "{}{}", created.stdout, created.stderr);
    }
    let pod = |id: &str| status(&scenario, id)["pod"].as_str().unwrap_or_default().to_owned();
    let healed = status(&scenario, "healed")["name"].as_str().unwrap().to_owned();
    scenario.kubectl(&["delete", "pod", &pod("healed")]);
    // The record of a session is gone, and its pod stays, as after a client that was killed between two deletions with --cascade=orphan.
    let orphan = pod("kept");
    let record = status(&scenario, "kept")["name"].as_str().unwrap().to_owned();
    scenario.kubectl(&["delete", "lease", &record, "--cascade=orphan"]);
    scenario.wait("session idle is idle", |s| {
        let listed = s.podlife(&["session", "list", "--idle-for", "2s", "-o", "json"]);
        listed.json["items"]
            .as_array()
            .is_some_and(|all| all.iter().any(|session| session["id"] == "idle"))
    });
    scenario.kubectl(&["create", "job", "one", "--from=cronjob/session-gc"]);
    scenario.wait("the pass is over", |s| {
        let jobs = s.list(&kind::JOB);
        jobs.iter()
            .any(|job| has_condition(job, "Complete", "True") || has_condition(job, "Failed", "True"))
    });
    let log = scenario.kubectl(&["logs", "job/one"]);
    for act in [
        "reaped session idle: idle for ".to_owned(),
        format!("healed session healed: pod {healed}-g1 is gone; now pod {healed}-g2\n"),
        format!("removed pod/{orphan} of session kept: it has no record\n"),
        format!("removed service/{record} of session kept: it has no record\n"),
    ] {
        assert!(log.contains(&act), "{act}\n{log}");
    }
    assert!(!log.contains("Warning: "), "{log}");
    let reasons: Vec<String> = scenario
        .list(&kind::EVENT)
        .iter()
        .filter(|event| event["source"]["component"] == "podlife")
        .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
        .collect();
    for reason in ["SessionReaped", "SessionHealed", "OrphanRemoved"] {
        assert!(reasons.iter().any(|there| there == reason), "{reason}: {reasons:?}");
    }
    let left = scenario.podlife(&["session", "list", "-o", "json"]);
    assert_eq!(left.json["items"].as_array().unwrap().len(), 1, "{}", left.stdout);
    assert_eq!(left.json["items"][0]["id"], "healed");
}
