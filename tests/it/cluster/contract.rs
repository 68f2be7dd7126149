//! Exit codes, streams and formats of `diagnose` on a real cluster.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use crate::process::{Setting, podlife_in};

use super::harness::{Scenario, clean_up, established, kubeconfig, kubectl, podlife, pods_ready, send, waiting};

const RUNS: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: good, labels: {app: good}}
spec:
  selector: {matchLabels: {app: good}}
  template:
    metadata: {labels: {app: good}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]
";

const BAD: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  selector: {matchLabels: {app: bad}}
  template:
    metadata: {labels: {app: bad}}
    spec:
      containers: [{name: bad, image: 'podlife.test/never-built:1'}]
";

#[test]
fn an_empty_namespace_is_good_and_an_unknown_one_is_not_found() {
    let scenario = Scenario::new("empty");
    let empty = scenario.podlife(&["diagnose"]);
    assert_eq!((empty.exit, empty.stdout.as_str()), (0, ""));
    assert_eq!(empty.stderr, format!("No resources found in {} namespace.\n", scenario.namespace));
    for selection in [&["-l", "app=none"][..], &["--field-selector", "spec.nodeName=none"], &["pods"]] {
        let mut arguments = vec!["diagnose"];
        arguments.extend(selection);
        let nothing = scenario.podlife(&arguments);
        assert_eq!(
            (nothing.exit, nothing.stdout.as_str()),
            (0, ""),
            "{selection:?}: {}",
            nothing.stderr
        );
        assert_eq!(nothing.stderr, empty.stderr, "{selection:?}");
    }
    let named = scenario.podlife(&["diagnose", "pod/none"]);
    assert_eq!((named.exit, named.stdout.as_str()), (5, ""), "{}", named.stderr);
    let unknown = podlife(&["diagnose", "-n", "podlife-there-is-no-such-namespace"]);
    assert_eq!((unknown.exit, unknown.stdout.as_str()), (5, ""));
    assert!(unknown.stderr.contains("does not exist"), "{}", unknown.stderr);
}

#[test]
fn every_way_to_name_a_target_gives_the_same_answer() {
    let scenario = Scenario::new("targets")
        .apply(&format!("{RUNS}---{BAD}"))
        .until("one is refused its image", waiting("bad", "ImagePullBackOff"));
    scenario.wait("the other runs", |s| {
        s.list(&podlife::model::kind::POD)
            .iter()
            .any(|p| p["status"]["phase"] == "Running" && p["status"]["containerStatuses"][0]["ready"] == true)
    });
    let pod = scenario.kubectl(&["get", "pods", "-l", "app=bad", "-o", "name"]);
    let pod = pod.trim();
    let bare = pod.trim_start_matches("pod/");
    for target in [
        &["deployment/bad"][..],
        &["deploy", "bad"],
        &["bad"],
        &[pod],
        &[bare],
        &["-l", "app=bad"],
        &["deployments.apps/bad", "deploy/good"],
    ] {
        let mut arguments = vec!["diagnose", "-o", "json"];
        arguments.extend(target);
        let answer = scenario.podlife(&arguments);
        assert_eq!(answer.exit, 3, "{target:?}: {}", answer.stderr);
        assert_eq!(answer.root_cause()["subject"]["name"], "bad", "{target:?}");
    }
    for healthy in [&["deployment/good"][..], &["-l", "app=good"], &["good"]] {
        let mut arguments = vec!["diagnose", "-o", "json"];
        arguments.extend(healthy);
        let answer = scenario.podlife(&arguments);
        assert_eq!(answer.exit, 0, "{healthy:?}: {}{}", answer.stdout, answer.stderr);
    }
    let missing = scenario.podlife(&["diagnose", "deployment/godo"]);
    assert_eq!((missing.exit, missing.stdout.as_str()), (5, ""));
    assert!(
        missing.stderr.contains("deployment/good"),
        "a near miss is offered: {}",
        missing.stderr
    );
    let kind = scenario.podlife(&["diagnose", "gizmo/x"]);
    assert_eq!(kind.exit, 5, "{}", kind.stderr);
    let mixed = scenario.podlife(&["diagnose", "deployment/good", "-A"]);
    assert_eq!(mixed.exit, 2, "{}", mixed.stderr);
}

#[test]
fn formats_do_not_mix_and_agree_with_each_other() {
    let scenario = Scenario::new("formats")
        .apply(BAD)
        .until("the image is refused", waiting("bad", "ImagePullBackOff"));
    let json = scenario.podlife(&["diagnose", "-o", "json"]);
    assert_eq!(json.json["apiVersion"], "podlife/v1");
    assert_eq!(json.json["verdict"], "broken");
    assert_eq!(json.stderr, "");
    let yaml = scenario.podlife(&["diagnose", "-o", "yaml"]);
    let from_yaml: serde_json::Value = serde_saphyr::from_str(&yaml.stdout).unwrap();
    assert_eq!(from_yaml["rootCauses"][0]["id"], json.json["rootCauses"][0]["id"]);
    let name = scenario.podlife(&["diagnose", "-o", "name"]);
    assert_eq!(name.stdout, "deployment.apps/bad\n");
    let path = scenario.podlife(&["diagnose", "-o", "jsonpath={.rootCauses[0].code}"]);
    assert_eq!(path.stdout, "ImagePullFailing\n");
    let text = scenario.podlife(&["diagnose"]);
    assert!(
        text.stdout.starts_with("BROKEN") && !text.stdout.contains('\u{1b}'),
        "{}",
        text.stdout
    );
    let coloured = scenario.podlife(&["diagnose", "--color", "always"]);
    assert!(coloured.stdout.contains('\u{1b}'));
    let ignored = scenario.podlife(&["diagnose", "--ignore", "imagepullfailing", "-o", "json"]);
    assert!(ignored.json["rootCauses"].as_array().unwrap().is_empty());
    let wrong = scenario.podlife(&["diagnose", "-o", "jsno"]);
    assert_eq!((wrong.exit, wrong.stdout.as_str()), (2, ""));
}

#[test]
fn a_saved_snapshot_gives_the_same_answer_without_a_cluster() {
    let scenario = Scenario::new("saved")
        .apply(BAD)
        .until("the image is refused", waiting("bad", "ImagePullBackOff"));
    let file = std::env::temp_dir().join(format!("{}.json", scenario.namespace));
    let path = file.display().to_string();
    let live = scenario.podlife(&["diagnose", "-o", "json", "--save", &path]);
    let saved = podlife(&["diagnose", "--local", "-f", &path, "-o", "json"]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(saved.exit, 3, "{}", saved.stderr);
    for part in ["verdict", "rootCauses", "symptoms", "workloads", "unchecked", "takenAt", "podCount"] {
        assert_eq!(saved.json[part], live.json[part], "{part}");
    }
}

#[test]
fn output_of_kubectl_get_can_be_judged() {
    let scenario = Scenario::new("kubectl-output")
        .apply(BAD)
        .until("the image is refused", waiting("bad", "ImagePullBackOff"));
    for format in ["json", "yaml"] {
        let objects = scenario.kubectl(&["get", "deployments,replicasets,pods,events", "-o", format]);
        let answer = podlife_in(
            &Setting {
                input: &objects,
                ..Setting::default()
            },
            &["diagnose", "--local", "-f", "-", "-o", "json"],
        );
        assert_eq!(answer.exit, 3, "{format}: {}", answer.stderr);
        assert_eq!(answer.root_cause()["code"], "ImagePullFailing", "{format}");
    }
}

#[test]
fn a_closed_pipe_keeps_the_verdict() {
    let scenario = Scenario::new("pipe")
        .apply(BAD)
        .until("the image is refused", waiting("bad", "ImagePullBackOff"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(["--kubeconfig", &kubeconfig(), "-n", &scenario.namespace, "diagnose", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(3), ""));
}

#[test]
fn a_watch_prints_each_change_and_ends_with_ctrl_c() {
    let scenario = Scenario::new("watched").apply(RUNS).until("it runs", pods_ready(1));
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args([
            "--kubeconfig",
            &kubeconfig(),
            "-n",
            &scenario.namespace,
            "diagnose",
            "-w",
            "-o",
            "jsonpath={.verdict}",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .filter(|line| !line.is_empty());
    assert_eq!(lines.next().as_deref(), Some("healthy"));
    let scenario = scenario.apply(BAD);
    assert!(lines.any(|verdict| verdict == "broken"), "the watch ended before it saw the change");
    send(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(scenario);
}

#[test]
fn no_credential_is_printed_or_saved() {
    let manifest = r#"
apiVersion: v1
kind: Pod
metadata: {name: talks, labels: {app: talks}}
spec:
  containers:
  - name: app
    image: busybox:1.36
    imagePullPolicy: IfNotPresent
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, 'printf "error: paZEROssword=hunter2 is wrong\nerror: passwd hunter2\nerror: invalid token hunter2\nfailed: curl -u a:hunter2 http://x\nfailed: mysql -phunter2\nfatal: password is \"hunter2\"\n" >&2; exit 3']
---
apiVersion: v1
kind: Pod
metadata: {name: asks, labels: {app: asks}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: busybox:1.36
    imagePullPolicy: IfNotPresent
    command: [sleep, '3600']
    readinessProbe: {httpGet: {path: '/health?token=hunter2', port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: runs, labels: {app: runs}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: busybox:1.36
    imagePullPolicy: IfNotPresent
    command: [sleep, '3600']
    readinessProbe: {exec: {command: [sh, -c, 'echo mysql -phunter2 fails; exit 1']}, periodSeconds: 1}
"#;
    // A mark of no width.
    let scenario = Scenario::new("credentials").apply(&manifest.replace("ZERO", "\u{200b}"));
    let scenario = scenario
        .until("it crashes", super::harness::restarts("app", 1))
        .until("a probe is refused", super::harness::event("Unhealthy", "connection refused"))
        .until("a probe fails", super::harness::event("Unhealthy", "mysql"));
    for pod in ["pod/asks", "pod/runs"] {
        scenario.wait("the probe has failed for long enough", |s| s.podlife(&["diagnose", pod]).exit == 3);
    }
    let file = std::env::temp_dir().join(format!("{}.json", scenario.namespace));
    let path = file.display().to_string();
    for arguments in [
        &["diagnose", "-o", "json", "--save", &path][..],
        &["diagnose", "-o", "wide", "--advice"],
        &["diagnose", "pod/asks"],
        &["diagnose", "pod/runs"],
    ] {
        let answer = scenario.podlife(arguments);
        assert_eq!(answer.exit, 3, "{}", answer.stderr);
        let all = format!("{}{}", answer.stdout, answer.stderr);
        assert!(!all.contains("hunter2"), "{arguments:?}: {all}");
        assert!(all.contains("***"), "{arguments:?}: {all}");
    }
    let saved = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let leaks: Vec<&str> = saved.lines().filter(|line| line.contains("hunter2")).collect();
    assert!(leaks.is_empty(), "{leaks:?}");
}

#[test]
fn hostile_text_comes_out_clean() {
    let scenario = Scenario::new("hostile").apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: hostile, labels: {app: hostile}}
spec:
  containers:
  - name: app
    image: busybox:1.36
    imagePullPolicy: IfNotPresent
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, 'printf "\033[2J\033]0;title\007error: \342\200\256evil \342\200\213hidden\n" >&2; exit 3']
"#,
    );
    let event = r#"{"apiVersion": "v1", "kind": "Event", "metadata": {"name": "hostile.1"}, "type": "Warning", "reason": "Unhealthy",
        "message": "\u001b[31mprobe\u202e failed\u0007", "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "hostile", "namespace": "NS"}}"#;
    let event = event.replace("NS", &scenario.namespace);
    let scenario = scenario.apply(&event);
    let scenario = scenario
        .until("it crashes", super::harness::restarts("app", 1))
        .until("it is held back", waiting("app", "CrashLoopBackOff"));
    for format in ["text", "wide", "json", "yaml"] {
        let answer = scenario.podlife(&["diagnose", "-o", format]);
        assert_eq!(answer.exit, 3, "{}", answer.stderr);
        let hostile = answer.stdout.chars().find(|c| *c != '\n' && podlife::text::is_unsafe(*c));
        assert_eq!(hostile, None, "{format}: {:?}", answer.stdout);
        assert!(!answer.stdout.contains("\\u001b"), "{format}");
    }
    let text = scenario.podlife(&["diagnose"]).stdout;
    assert!(text.contains("evil"), "the text itself is still shown: {text}");
}

/// A kind of its own, removed at the end.
struct CustomKind {
    group: String,
}

impl CustomKind {
    fn new(scenario: &Scenario) -> Self {
        let group = format!("{}.example.org", scenario.namespace);
        let definition = serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("widgets.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"}, "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
        });
        kubectl(&["apply", "-f", "-"], Some(&definition.to_string()));
        established(&format!("widgets.{group}"));
        Self { group }
    }

    fn widget(&self, name: &str, conditions: &serde_json::Value) -> serde_json::Value {
        serde_json::json!({"apiVersion": format!("{}/v1", self.group), "kind": "Widget", "metadata": {"name": name}, "status": {"conditions": conditions}})
    }
}

impl Drop for CustomKind {
    fn drop(&mut self) {
        clean_up(
            &[
                "delete",
                "crd",
                &format!("widgets.{}", self.group),
                "--wait=false",
                "--ignore-not-found",
            ],
            None,
        );
    }
}

#[test]
fn a_kind_that_podlife_does_not_know_is_judged_by_its_conditions_or_called_unknown() {
    let scenario = Scenario::new("custom");
    let kind = CustomKind::new(&scenario);
    let ready = |status: &str| serde_json::json!([{"type": "Ready", "status": status, "lastTransitionTime": "2020-01-01T00:00:00Z", "reason": "NoDisk"}]);
    let types = format!("widgets.{}", kind.group);
    let empty = scenario.podlife(&["diagnose", &types]);
    assert_eq!((empty.exit, empty.stdout.as_str()), (0, ""), "{}", empty.stderr);
    assert!(empty.stderr.starts_with("No resources found"), "{}", empty.stderr);

    let (good, bad, mute) = (
        kind.widget("good", &ready("True")),
        kind.widget("bad", &ready("False")),
        kind.widget("mute", &serde_json::Value::Null),
    );
    let scenario = scenario.apply(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [good, bad, mute]}).to_string());
    let all = scenario.podlife(&["diagnose", &types, "-o", "json"]);
    assert_eq!(all.exit, 3, "{}{}", all.stdout, all.stderr);
    let said: Vec<String> = all.json["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| format!("{} {}", w["name"].as_str().unwrap(), w["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(said, ["bad broken", "mute inconclusive", "good healthy"]);
    for (name, object, exit, says) in [
        ("good", &good, 0, "Ready is True"),
        ("bad", &bad, 3, "(NoDisk)"),
        ("mute", &mute, 4, "podlife does not know the kind Widget"),
    ] {
        let named = scenario.podlife(&["diagnose", &types, name, "-o", "wide"]);
        assert_eq!(named.exit, exit, "{name}: {}{}", named.stdout, named.stderr);
        assert!(named.stdout.contains(says), "{name}: {}", named.stdout);
        let kubeconfig = kubeconfig();
        let input = object.to_string();
        let by_file = podlife_in(
            &Setting {
                input: &input,
                ..Setting::default()
            },
            &[
                "--kubeconfig",
                &kubeconfig,
                "-n",
                &scenario.namespace,
                "diagnose",
                "-f",
                "-",
                "-o",
                "wide",
            ],
        );
        assert_eq!(by_file.exit, exit, "{name}: {}{}", by_file.stdout, by_file.stderr);
        assert!(by_file.stdout.contains(says), "{name}: {}", by_file.stdout);
    }
    for (object, says) in [
        (kind.widget("gone", &ready("True")), "widget/gone does not exist"),
        (
            serde_json::json!({"apiVersion": "example.org/v1", "kind": "Gizmo", "metadata": {"name": "g"}}),
            "no kind Gizmo",
        ),
    ] {
        let kubeconfig = kubeconfig();
        let input = object.to_string();
        let missing = podlife_in(
            &Setting {
                input: &input,
                ..Setting::default()
            },
            &["--kubeconfig", &kubeconfig, "-n", &scenario.namespace, "diagnose", "-f", "-"],
        );
        assert_eq!((missing.exit, missing.stdout.as_str()), (5, ""), "{}", missing.stderr);
        assert!(missing.stderr.contains(says), "{}", missing.stderr);
    }
}

#[test]
fn a_dump_of_the_cluster_is_read_with_the_logs_of_each_container() {
    let scenario = Scenario::new("dump").apply(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  terminationGracePeriodSeconds: 0
  initContainers: [{name: first, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo Error: of the first']}]
  containers:
  - {name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo Error: of the app; sleep 3600']}
  - {name: bad, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo "Error: cannot open /etc/app.conf" >&2; exit 3']}
"#,
    );
    let scenario = scenario.until("it crashes", super::harness::restarts("bad", 1));
    let scenario = scenario.until("it is held back", waiting("bad", "CrashLoopBackOff"));
    let folder = std::env::temp_dir().join(format!("{}-dump", scenario.namespace));
    let path = folder.display().to_string();
    kubectl(
        &[
            "cluster-info",
            "dump",
            "--namespaces",
            &scenario.namespace,
            "--output-directory",
            &path,
        ],
        None,
    );
    let answer = podlife(&["diagnose", "--local", "-f", &path, "-n", &scenario.namespace, "-o", "json"]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    let cause = answer.root_cause();
    assert_eq!(
        (&cause["code"], &cause["subject"]["container"]),
        (&"ContainerCrashing".into(), &"bad".into())
    );
    let summary = cause["summary"].as_str().unwrap();
    assert!(summary.contains("cannot open /etc/app.conf"), "{summary}");
}

#[test]
fn a_healthy_object_that_is_no_workload_is_reported_healthy() {
    let nodes = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"], None);
    let ready = nodes.split_whitespace().find(|node| {
        let conditions = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}{.spec.unschedulable}";
        kubectl(&["get", "node", node, "-o", conditions], None) == "True"
    });
    let target = format!("node/{}", ready.unwrap());
    let answer = podlife(&["diagnose", &target]);
    assert!(
        answer.exit == 0 && answer.stdout.contains(&target) && !answer.stderr.contains("No resources found"),
        "{}{}",
        answer.stdout,
        answer.stderr
    );
    let scenario = Scenario::new("well").apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: b}}");
    let answer = scenario.podlife(&["diagnose", "configmap/settings"]);
    assert!(
        answer.exit == 0 && answer.stdout.contains("configmap/settings"),
        "{}{}",
        answer.stdout,
        answer.stderr
    );
    // A name that is nearly right is told.
    let near = format!("{}x", scenario.namespace);
    for verb in [
        &["diagnose"][..],
        &["wait-ready", "deployment/a", "--timeout", "1s"],
        &["trace", "a", "b:80"],
    ] {
        let answer = podlife(&[&["-n", &near], verb].concat());
        assert_eq!(answer.exit, 5, "{}", answer.stderr);
        let hint = format!("there is namespace {0}: name it with -n {0}", scenario.namespace);
        assert!(answer.stderr.contains(&hint), "{verb:?}: {}", answer.stderr);
    }
}
