//! Printed commands, run by a real shell with programs that only record their arguments.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fake_api::Folder;
use crate::process::{Setting, podlife, podlife_in};

/// What a hostile text tries in a shell: its file must never be there.
const ATTACK: &str = "a' \"; touch owned; $(touch owned) `touch owned` || touch owned & <owned >owned #\\";

/// A shell in which nothing is a program but `kubectl` and the two that printed commands pipe into; each records its arguments.
struct Shell(Folder);

impl Shell {
    fn new() -> Self {
        let folder = Folder::new();
        for (program, end) in [
            ("kubectl", ""),
            ("base64", "while read -r line; do :; done"),
            ("openssl", "while read -r line; do :; done"),
        ] {
            let script = format!("#!/bin/sh\nfor word in {program} \"$@\"; do printf '%s\\0' \"$word\"; done >>recorded\n{end}\n");
            let path = folder.0.join(program);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(folder)
    }

    /// The words that the programs of a command got, after it has done nothing else.
    fn run(&self, command: &str) -> Vec<String> {
        let folder: &Path = &self.0.0;
        let before = fs::read_dir(folder).unwrap().count();
        let mut shell = Command::new("/bin/sh");
        let output = shell
            .args(["-c", command])
            .env_clear()
            .env("PATH", folder)
            .current_dir(folder)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{command}\n{stderr}");
        let recorded = folder.join("recorded");
        let words = fs::read_to_string(&recorded).unwrap_or_else(|_| panic!("it runs nothing: {command}"));
        fs::remove_file(recorded).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), before, "it wrote a file: {command}");
        words.split_terminator('\0').map(str::to_owned).collect()
    }
}

/// Every command of a document: of fixes, and of the steps of explanations.
fn commands(document: &Value) -> Vec<&str> {
    match document {
        Value::Array(items) => items.iter().flat_map(commands).collect(),
        Value::Object(fields) => {
            let own = fields.get("command").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(commands)).collect()
        }
        _ => Vec::new(),
    }
}

fn diagnose(objects: Vec<Value>) -> Value {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let setting = Setting {
        input: &list,
        ..Setting::default()
    };
    podlife_in(&setting, &["diagnose", "--local", "-f", "-", "-o", "json"]).json
}

/// A ready-made pod whose name, container, port and probe are hostile, in a state.
fn pod(name: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "creationTimestamp": "2026-01-01T09:00:00Z", "labels": {"app": ATTACK}},
        "spec": {"nodeName": ATTACK, "containers": [spec]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [
            {"name": spec["name"], "image": "i", "imageID": "", "ready": false, "restartCount": 5, "started": true, "state": status}]},
    })
}

fn event(name: &str, reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": reason, "namespace": "shop"}, "type": "Warning", "reason": reason,
        "message": message, "lastTimestamp": "2026-01-01T11:59:59Z", "count": 9,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": "shop", "uid": "u", "fieldPath": "spec.containers{c}"},
    })
}

#[test]
fn the_command_of_a_probe_is_one_argument_after_another() {
    let shell = Shell::new();
    let script = "test -f /tmp/ready || echo not there; touch owned; exit 1";
    for words in [vec!["sh", "-c", script], vec!["cat", ATTACK], vec!["true", ""]] {
        let running = json!({"running": {"startedAt": "2026-01-01T09:00:00Z"}});
        let container = json!({"name": "c", "image": "i", "readinessProbe": {"exec": {"command": words}}});
        let failed = event("quoting", "Unhealthy", "Readiness probe failed: not there");
        let answer = diagnose(vec![pod("quoting", container, running), failed]);
        let expected = [&["kubectl", "exec", "quoting", "-c", "c", "-n", "shop", "--"], &words[..]].concat();
        let found = commands(&answer["rootCauses"]);
        let exec = found
            .iter()
            .find(|command| command.contains(" exec "))
            .unwrap_or_else(|| panic!("{answer:#}"));
        assert_eq!(shell.run(exec), expected);
    }
}

/// A command that is masked or too long to be read is not offered to be run.
#[test]
fn a_command_that_is_not_shown_whole_is_not_offered() {
    for words in [vec!["psql", "--password=hunter2hunter2"], vec!["sh", "-c", &"a b ".repeat(200)]] {
        let running = json!({"running": {"startedAt": "2026-01-01T09:00:00Z"}});
        let container = json!({"name": "c", "image": "i", "readinessProbe": {"exec": {"command": words}}});
        let failed = event("quoting", "Unhealthy", "Readiness probe failed: not there");
        let answer = diagnose(vec![pod("quoting", container, running), failed]);
        let found = commands(&answer["rootCauses"]);
        assert!(
            !found.is_empty() && !found.iter().any(|command| command.contains(" exec ")),
            "{found:?}"
        );
    }
}

#[test]
fn hostile_names_stay_arguments() {
    let shell = Shell::new();
    let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": "secret \"x\" not found"}});
    let with_keys = json!({"name": ATTACK, "image": "i:1", "env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": ATTACK, "key": ATTACK}}},
        {"name": ATTACK, "value": "127.0.0.1:8080"},
        {"name": "LISTEN", "value": format!("127.0.0.1:8080;{ATTACK}")}]});
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": ATTACK, "namespace": "shop", "uid": "s"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "b; touch owned"}, "ports": [{"port": 80, "targetPort": ATTACK}]}, "status": {},
    });
    let mut count = 0;
    for reason in [
        "CreateContainerConfigError",
        "ImagePullBackOff",
        "CrashLoopBackOff",
        "CreateContainerError",
        "RunContainerError",
    ] {
        let answer = diagnose(vec![pod(ATTACK, with_keys.clone(), waiting(reason)), service.clone()]);
        for command in commands(&answer) {
            let words = shell.run(command);
            assert_eq!(words[0], "kubectl", "{command}");
            count += 1;
        }
    }
    assert!(count > 5, "only {count} commands were printed");
}

#[test]
fn every_command_of_examples_and_explanations_runs_as_it_stands() {
    let shell = Shell::new();
    let mut answers = vec![podlife(&["explain", "-o", "json"]).json];
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path().display().to_string();
        answers.push(podlife(&["diagnose", "--local", "-R", "-f", &path, "-o", "json"]).json);
    }
    let all: Vec<&str> = answers.iter().flat_map(commands).collect();
    assert!(all.len() > 200, "only {} commands were seen", all.len());
    for command in all {
        assert!(!shell.run(command).iter().any(|word| word.contains('<')), "{command}");
    }
}
