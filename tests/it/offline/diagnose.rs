//! `diagnose` against an API server that misbehaves, and with files that are odd.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake_api::{Answer, FakeApi};
use crate::process::{self, Setting, podlife, podlife_in};

fn pod(name: &str, state: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": {"containers": [{"name": "app", "image": "app:1", "envFrom": [{"secretRef": {"name": "token"}}]}]},
        "status": {"phase": "Pending", "containerStatuses": [{
            "name": "app", "image": "app:1", "imageID": "", "ready": false, "restartCount": 0, "state": state}]},
    })
}

fn broken() -> Value {
    pod(
        "api",
        json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"token\" not found"}}),
    )
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
}

fn diagnose(api: &FakeApi, arguments: &[&str]) -> process::Answer {
    let kubeconfig = api.kubeconfig().display().to_string();
    let mut all = vec!["diagnose", "--kubeconfig", kubeconfig.as_str(), "-n", "shop"];
    all.extend(arguments);
    podlife(&all)
}

#[test]
fn no_secret_is_requested_unless_asked_for_and_then_as_metadata() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    let plain = diagnose(&api, &["-o", "json"]);
    assert_eq!(plain.root_cause()["code"], "SecretMissing", "{}{}", plain.stdout, plain.stderr);
    assert!(!api.seen().iter().any(|r| r.path.contains("/secrets")));

    let with = diagnose(&api, &["-o", "json", "--with", "secrets"]);
    assert_eq!(with.root_cause()["code"], "SecretMissing");
    let of_secrets: Vec<_> = api.seen().into_iter().filter(|r| r.path.contains("/secrets")).collect();
    for request in &of_secrets {
        assert!(
            request.header("accept").starts_with("application/json;as=PartialObjectMetadata"),
            "{request:?}"
        );
    }
}

#[test]
fn config_maps_are_listed_as_metadata() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    diagnose(&api, &[]);
    let listed: Vec<_> = api.seen().into_iter().filter(|r| r.path.ends_with("/configmaps")).collect();
    assert_eq!(listed.len(), 1);
    assert!(
        listed[0]
            .header("accept")
            .starts_with("application/json;as=PartialObjectMetadataList"),
        "{:?}",
        listed[0]
    );
}

#[test]
fn a_forbidden_kind_leaves_the_rest() {
    let api = FakeApi::start()
        .forbid("GET", "/api/v1/namespaces/shop/services")
        .holding([namespace(), broken()]);
    let answer = diagnose(&api, &["-o", "json"]);
    assert_eq!(answer.exit, 3);
    assert_eq!(
        answer.json["unchecked"],
        json!([{"kind": "objects", "what": "services", "why": "forbidden", "verb": "list", "resource": "services", "namespace": "shop"}])
    );
}

#[test]
fn a_server_that_only_fails_is_no_answer() {
    for (name, answer) in [
        ("500", Answer::status(500, "InternalError", "etcd is away")),
        (
            "429",
            Answer::status(429, "TooManyRequests", "too many requests").header("retry-after", "1"),
        ),
        ("dropped", Answer::drop()),
        ("a web page", Answer::text("<html>hello</html>")),
    ] {
        let api = FakeApi::start()
            .on("GET", "/api/v1/namespaces/shop/pods", answer)
            .holding([namespace()]);
        let start = Instant::now();
        let answer = diagnose(&api, &["--request-timeout", "3s"]);
        assert_eq!((answer.exit, answer.stdout.as_str()), (6, ""), "{name}: {}", answer.stderr);
        assert!(
            answer.stderr.starts_with("error: listing pods in namespace shop"),
            "{name}: {}",
            answer.stderr
        );
        assert!(start.elapsed() < Duration::from_secs(60), "{name}: it took {:?}", start.elapsed());
    }
}

#[test]
fn a_server_that_never_answers_ends_with_the_request_timeout() {
    let api = FakeApi::start()
        .on("GET", "/api/v1/namespaces/shop/pods", Answer::hang())
        .holding([namespace()]);
    let answer = diagnose(&api, &["--request-timeout", "1s", "-o", "json"]);
    assert_eq!((answer.exit, answer.stdout.as_str()), (6, ""));
    let error: Value = serde_json::from_str(&answer.stderr).unwrap();
    assert_eq!((&error["kind"], &error["exitCode"]), (&json!("Error"), &json!(6)), "{error}");
}

#[test]
fn a_server_that_never_answers_is_not_asked_for_everything() {
    let api = FakeApi::start().on("GET", "/*", Answer::hang());
    let answer = diagnose(&api, &["--request-timeout", "1s"]);
    assert_eq!(answer.exit, 6, "{}", answer.stderr);
    let asked = api.seen().len();
    assert!(asked <= 12, "each further batch would wait for its own time to run out: {asked}");
}

#[test]
fn a_flag_given_twice_counts_as_its_last_value() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    let answer = diagnose(
        &api,
        &[
            "-n",
            "elsewhere",
            "-n",
            "shop",
            "-o",
            "yaml",
            "-o",
            "json",
            "-c",
            "app",
            "-c",
            "app",
        ],
    );
    assert_eq!(answer.root_cause()["code"], "SecretMissing", "{}{}", answer.stdout, answer.stderr);
}

#[test]
fn a_field_that_cannot_be_selected_by_is_a_usage_error() {
    let refused = Answer::status(400, "BadRequest", "field label not supported: foo");
    let api = FakeApi::start()
        .holding([namespace()])
        .on("GET", "/api/v1/namespaces/shop/pods?fieldSelector=foo%3Dbar", refused);
    let answer = diagnose(&api, &["--field-selector", "foo=bar"]);
    assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{}", answer.stderr);
    assert!(answer.stderr.contains("field label not supported: foo"), "{}", answer.stderr);
}

#[test]
fn help_that_cannot_be_written_is_a_fault() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    // Only Linux has a disk that is always full.
    let Ok(full) = full else { return };
    for arguments in [&["--help"][..], &["--version"], &["diagnose", "--help"], &["explain"]] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"));
        let status = child
            .args(arguments)
            .stdout(full.try_clone().unwrap())
            .stderr(std::process::Stdio::null())
            .status();
        assert_eq!(status.unwrap().code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn no_listener() {
    let answer = podlife(&["diagnose", "-s", "http://127.0.0.1:1", "-n", "shop"]);
    assert_eq!((answer.exit, answer.stdout.as_str()), (6, ""));
    assert!(answer.stderr.contains("refused"), "{}", answer.stderr);
}

#[test]
fn no_kubeconfig_is_said_clearly() {
    let answer = podlife(&["diagnose", "--kubeconfig", "/nonexistent/kubeconfig"]);
    assert_eq!((answer.exit, answer.stdout.as_str()), (6, ""));
    assert!(answer.stderr.contains("/nonexistent/kubeconfig"), "{}", answer.stderr);
}

#[test]
fn command_lines_that_make_no_sense_exit_with_2() {
    for arguments in [
        &["diagnose", "--no-such-flag"][..],
        &["diagnose", "-o", "jsno"],
        &["diagnose", "--since", "1M"],
        &["diagnose", "--ignore", "NoSuchCode"],
        &["diagnose", "-l", "a in b"],
        &["diagnose", "deploy/"],
        &["diagnose", "deploy/a", "b"],
        &["diagnose", "deploy/a", "-A"],
        &["diagnose", "-A", "-n", "shop"],
        &["diagnose", "deploy/a", "-l", "a=b"],
        &["diagnose", "--local"],
        &["diagnose", "--local", "-o", "json"],
        &["diagnose", "namespace/shop"],
        &["diagnose", "--local", "-f", "/nonexistent"],
        &["diagnose", "-f", "/nonexistent"],
        &["diagnose", "-s", ":::"],
        &["diagnose", "-s", "ftp://x"],
        &["diagnose", "-s", "https://127.0.0.1:1", "--certificate-authority", "/nonexistent"],
        &[
            "diagnose",
            "-s",
            "https://127.0.0.1:1",
            "--client-certificate",
            "/nonexistent",
            "--client-key",
            "/nonexistent",
        ],
        &["nonsense"],
        &["rbac", "nonsense"],
        &["explain", "NoSuchCode"],
    ] {
        let answer = podlife(arguments);
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{arguments:?}: {}", answer.stderr);
        assert!(!answer.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn odd_files_are_named_and_nothing_is_judged() {
    for (name, text) in [
        ("no object", "hello: world"),
        ("no YAML", "a: [b"),
        ("no JSON", "{\"kind\": "),
        ("a scalar", "just text"),
    ] {
        let answer = podlife_in(
            &Setting {
                input: text,
                ..Setting::default()
            },
            &["diagnose", "--local", "-f", "-"],
        );
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{name}");
        assert!(answer.stderr.contains("standard input"), "{name}: {}", answer.stderr);
    }
    let odd = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd"}, "spec": {"containers": "none"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"type": "ExternalName", "externalName": "a.example"}}]}"#;
    let answer = podlife_in(
        &Setting {
            input: odd,
            ..Setting::default()
        },
        &["diagnose", "--local", "-f", "-"],
    );
    assert_eq!(answer.exit, 0, "{}", answer.stdout);
    assert!(answer.stderr.contains("pod/odd"), "what was left out is named: {}", answer.stderr);
}

#[test]
fn objects_absent_from_a_partial_dump_are_not_called_missing() {
    let pod = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"serviceAccountName": "runner", "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [{"name": "c", "image": "i:1", "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "s"}}]}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "image": "i:1", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}}]}"#;
    let answer = podlife_in(
        &Setting {
            input: pod,
            ..Setting::default()
        },
        &["diagnose", "--local", "-f", "-", "-o", "json"],
    );
    assert_eq!(answer.exit, 0, "{}", answer.stdout);
    assert_eq!(answer.json["rootCauses"], json!([]));
}

#[test]
fn an_answer_agrees_with_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/diagnosis.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let api = FakeApi::start()
        .forbid("GET", "/api/v1/namespaces/shop/services")
        .holding([namespace(), broken()]);
    for arguments in [&["-o", "json"][..], &["-o", "json", "--advice"], &["-o", "json", "pod/api"]] {
        let answer = diagnose(&api, arguments);
        let errors: Vec<String> = validator.iter_errors(&answer.json).map(|e| e.to_string()).collect();
        assert!(errors.is_empty() && answer.json.is_object(), "{arguments:?}: {errors:?}");
    }
}

#[test]
fn warnings_are_shown_and_can_be_errors() {
    let warned = || Answer::json(json!([])).header("warning", "299 - \"v1 Pods are old\"");
    let api = FakeApi::start()
        .on("GET", "/api/v1/namespaces/shop/pods", warned())
        .holding([namespace()]);
    let shown = diagnose(&api, &[]);
    assert_eq!(shown.exit, 0);
    assert!(shown.stderr.contains("Warning: v1 Pods are old"), "{}", shown.stderr);
    let failed = diagnose(&api, &["--warnings-as-errors"]);
    assert_eq!((failed.exit, failed.stdout.as_str()), (1, ""));
    assert!(failed.stderr.contains("1 warning received"), "{}", failed.stderr);
}

#[test]
fn nothing_that_can_be_judged_is_not_called_healthy() {
    let answer = |input: &str, more: &[&str]| {
        let mut all = vec!["diagnose", "--local", "-f", "-"];
        all.extend(more);
        podlife_in(
            &Setting {
                input,
                ..Setting::default()
            },
            &all,
        )
    };
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}, "spec": {"containers": []}}"#;
    for (name, input, more, exit) in [
        ("nothing", "", &[][..], 5),
        ("an empty list", r#"{"apiVersion": "v1", "kind": "PodList", "items": null}"#, &[], 5),
        (
            "only odd objects",
            r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": "none"}}"#,
            &[],
            2,
        ),
        (
            "a snapshot without objects",
            r#"{"apiVersion": "podlife/v1", "kind": "Snapshot", "takenAt": "2026-01-01T00:00:00Z"}"#,
            &[],
            2,
        ),
        (
            "a snapshot of another version",
            r#"{"apiVersion": "podlife/v9", "kind": "Snapshot"}"#,
            &[],
            2,
        ),
        ("a diagnosis", r#"{"apiVersion": "podlife/v1", "kind": "Diagnosis"}"#, &[], 2),
        ("another namespace", pod, &["-n", "elsewhere"], 5),
        // Without status nothing shows that it would work.
        ("its namespace", pod, &["-n", "shop"], 4),
    ] {
        let answer = answer(input, more);
        assert_eq!(answer.exit, exit, "{name}: {}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.stdout.is_empty(), exit != 4, "{name}: {}", answer.stdout);
    }
}

#[test]
fn a_large_list_in_yaml_is_read() {
    let mut list = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    for number in 0..1500 {
        list.push_str(&format!(
            "- {{apiVersion: v1, kind: Pod, metadata: {{name: p{number}, labels: {{a: b, c: d}}}}, spec: {{containers: [{{name: c, image: i, env: [{}]}}]}}}}\n",
            (0..40).map(|i| format!("{{name: V{i}, value: '{i}'}}")).collect::<Vec<_>>().join(", ")
        ));
    }
    let answer = podlife_in(
        &Setting {
            input: &list,
            ..Setting::default()
        },
        &["diagnose", "--local", "-f", "-", "-o", "json"],
    );
    assert_eq!((answer.exit, &answer.json["podCount"]), (4, &json!(1500)), "{}", answer.stderr);
}

#[test]
fn a_saved_snapshot_holds_no_credential_and_is_for_its_user_alone() {
    let mut pod = broken();
    pod["spec"]["containers"][0]["env"] =
        json!([{"name": "PLAIN", "value": "Hunter2 Hunter2"}, {"name": "URL", "value": "postgres://u:hunter2@db:5432/x"}]);
    pod["spec"]["containers"][0]["args"] = json!(["--password=hunter2", "--token", "hunter2hunter2"]);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "shop"}, "data": {"conf": "password=hunter2"}});
    let api = FakeApi::start().holding([namespace(), pod, map]);
    let file = api.folder().join("saved.json");
    let path = file.display().to_string();
    let answer = diagnose(&api, &["--save", &path]);
    assert_eq!(answer.exit, 3, "{}", answer.stderr);
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(!saved.to_lowercase().contains("hunter2"), "{saved}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn objects_of_a_custom_resource_are_judged_with_it() {
    let owner = json!([{"apiVersion": "example.org/v1", "kind": "Widget", "name": "w", "uid": "w", "controller": true}]);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "shop", "uid": "w"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "made", "namespace": "shop", "uid": "d", "ownerReferences": owner},
            "spec": {"selector": {"matchLabels": {"app": "made"}}, "template": {"spec": {"containers": []}}}},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "made-1", "namespace": "shop", "uid": "r",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "made", "uid": "d", "controller": true}]},
            "spec": {"selector": {}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "made-1-x", "namespace": "shop", "uid": "p",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "made-1", "uid": "r", "controller": true}]},
            "spec": {"containers": [{"name": "app", "image": "i:1"}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "app", "image": "i:1", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"i:1\": ErrImagePull: docker.io/library/i:1: not found"}}}]}}]});
    let text = objects.to_string();
    for target in ["widget/w", "deployment/made", "pod/made-1-x"] {
        let answer = podlife_in(
            &Setting {
                input: &text,
                ..Setting::default()
            },
            &["diagnose", "--local", "-f", "-", "-o", "json", target],
        );
        assert_eq!(answer.exit, 3, "{target}: {}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.root_cause()["subject"]["name"], "made", "{target}");
    }
}

#[test]
fn a_selection_that_takes_nothing_is_no_error() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    for selection in [&["-l", "app=none"][..], &["deployments"]] {
        let answer = diagnose(&api, selection);
        assert_eq!((answer.exit, answer.stdout.as_str()), (0, ""), "{selection:?}: {}", answer.stderr);
        assert_eq!(answer.stderr, "No resources found in shop namespace.\n", "{selection:?}");
        let mut as_json = selection.to_vec();
        as_json.extend(["-o", "json"]);
        let document = diagnose(&api, &as_json);
        assert_eq!((document.exit, &document.json["workloads"]), (0, &json!([])), "{selection:?}");
        assert_eq!(document.json["rootCauses"], json!([]), "what was not selected is not judged");
    }
    let named = diagnose(&api, &["deployment/none"]);
    assert_eq!((named.exit, named.stdout.as_str()), (5, ""), "{}", named.stderr);
    let text = broken().to_string();
    for selection in [&["-l", "app=none"][..], &["deployments"]] {
        let mut all = vec!["diagnose", "--local", "-f", "-", "-n", "shop"];
        all.extend(selection);
        let answer = podlife_in(
            &Setting {
                input: &text,
                ..Setting::default()
            },
            &all,
        );
        assert_eq!((answer.exit, answer.stdout.as_str()), (0, ""), "{selection:?}: {}", answer.stderr);
        assert_eq!(answer.stderr, "No resources found in shop namespace.\n", "{selection:?}");
    }
}

#[test]
fn lists_that_may_not_be_read_are_not_called_empty() {
    let api = FakeApi::start()
        .forbid("GET", "/api/v1/namespaces/shop/pods")
        .holding([namespace()]);
    let answer = diagnose(&api, &[]);
    assert!(!answer.stderr.contains("No resources found"), "{}", answer.stderr);
    assert!(answer.stdout.contains("not checked: pods"), "{}", answer.stdout);
}

#[test]
fn a_container_that_no_pod_has_is_not_found() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    for (name, hint) in [("ap", "did you mean app?"), ("database", "there are app")] {
        let answer = diagnose(&api, &["-c", name]);
        assert_eq!((answer.exit, answer.stdout.as_str()), (5, ""), "{}", answer.stderr);
        assert!(answer.stderr.contains(name) && answer.stderr.contains(hint), "{}", answer.stderr);
    }
    let both = diagnose(&api, &["-c", "app", "-c", "sidecar"]);
    assert_eq!(both.exit, 5, "{}", both.stderr);
    let text = broken().to_string();
    let local = podlife_in(
        &Setting {
            input: &text,
            ..Setting::default()
        },
        &["diagnose", "--local", "-f", "-", "-c", "ap"],
    );
    assert_eq!((local.exit, local.stdout.as_str()), (5, ""), "{}", local.stderr);
}

#[test]
fn checks_skipped_by_flags_are_reported() {
    let mut two = broken();
    let spec = json!({"name": "proxy", "image": "proxy:1"});
    two["spec"]["containers"].as_array_mut().unwrap().push(spec);
    let status = json!({"name": "proxy", "image": "proxy:1", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}});
    two["status"]["containerStatuses"].as_array_mut().unwrap().push(status);
    let api = FakeApi::start().holding([namespace(), two]);

    let other = diagnose(&api, &["-c", "proxy"]);
    assert_eq!(other.exit, 3, "the pod is as ill as before: {}", other.stdout);
    assert!(
        other.stdout.starts_with("BROKEN") && !other.stdout.contains("in progress"),
        "{}",
        other.stdout
    );
    assert!(other.stdout.contains("left out by --container: SecretMissing"), "{}", other.stdout);
    let other = diagnose(&api, &["-c", "proxy", "-o", "json"]);
    assert_eq!(other.json["rootCauses"], json!([]));
    let left_out = &other.json["leftOut"][0];
    assert_eq!(
        (&left_out["code"], &left_out["name"], &left_out["by"]),
        (&json!("SecretMissing"), &json!("api"), &json!("--container"))
    );
    assert_eq!(other.json["workloads"][0]["causes"][0], left_out["id"]);
    let own = diagnose(&api, &["-c", "app", "-o", "json"]);
    assert_eq!(
        (own.root_cause()["code"].as_str(), own.json.get("leftOut")),
        (Some("SecretMissing"), None)
    );

    let ignored = diagnose(&api, &["--ignore", "SecretMissing"]);
    assert_eq!(ignored.exit, 0, "{}", ignored.stdout);
    assert!(ignored.stdout.contains("left out by --ignore: SecretMissing"), "{}", ignored.stdout);
    let ignored = diagnose(&api, &["--ignore", "SecretMissing", "-o", "json"]);
    assert_eq!(ignored.json["leftOut"][0]["by"], "--ignore");
}

#[test]
fn an_object_without_pods_is_no_workload() {
    let objects = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop", "uid": "u"}, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
    ]);
    let input = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let setting = Setting {
        input: &input,
        ..Setting::default()
    };
    for (target, header) in [
        ("configmap/settings", "HEALTHY  1 object   configmap/settings in namespace shop"),
        ("node/n1", "HEALTHY  1 object   node/"),
    ] {
        let answer = podlife_in(&setting, &["diagnose", "--local", "-f", "-", target]);
        let first = answer.stdout.lines().next().unwrap_or_default();
        assert!(
            first.starts_with(header) && !first.contains("workload") && !first.contains("pod"),
            "{target}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

/// `<key>` would be a redirection in a shell.
#[test]
fn placeholders_are_words_in_capitals() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    let answer = diagnose(&api, &["-o", "json"]);
    assert_eq!(
        answer.root_cause()["fixes"][0]["command"],
        "kubectl create secret generic token -n shop --from-literal=KEY=VALUE"
    );
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_cluster_is_asked() {
    let api = FakeApi::start().holding([namespace(), broken()]);
    let lost = api.folder().join("no/where").display().to_string();
    let kubeconfig = api.kubeconfig().display().to_string();
    let trace = [
        "trace",
        "pod/api",
        "svc/db:80",
        "--kubeconfig",
        &kubeconfig,
        "-n",
        "shop",
        "--save",
        &lost,
    ];
    for answer in [diagnose(&api, &["--save", &lost]), podlife(&trace)] {
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{}", answer.stderr);
        assert!(
            answer
                .stderr
                .starts_with(&format!("error: --save {lost}: No such file or directory")),
            "{}",
            answer.stderr
        );
    }
    assert!(api.seen().is_empty());
    let kept = api.folder().join("kept.json");
    std::fs::write(&kept, "earlier").unwrap();
    diagnose(&api, &["deployment/absent", "--save", &kept.display().to_string()]);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "earlier");
}

#[test]
fn a_namespace_that_is_being_deleted_explains_what_goes_wrong_in_it() {
    let mut ending = namespace();
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T10:00:00Z");
    let api = FakeApi::start().holding([ending, broken()]);
    for target in [&[][..], &["pod/api"]] {
        let answer = diagnose(&api, &[&["-o", "json"], target].concat());
        let codes = |list: &str| -> Vec<Value> {
            let all = answer.json[list].as_array().unwrap();
            all.iter().map(|finding| finding["code"].clone()).collect()
        };
        assert_eq!(codes("rootCauses"), ["NamespaceTerminating"], "{}", answer.stdout);
        assert_eq!(codes("symptoms"), ["SecretMissing"], "{}", answer.stdout);
        assert_eq!(answer.json["symptoms"][0]["fixes"], json!([]));
    }
}
