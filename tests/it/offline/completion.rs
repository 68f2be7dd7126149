//! `kubectl podlife <TAB>`, `version` and `completion`, as processes.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake_api::{Answer, FakeApi, Folder};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-podlife");

fn run(program: impl AsRef<Path>, arguments: &[&str], kubeconfig: &Path) -> Output {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).env_clear().env("KUBECONFIG", kubeconfig).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complete(api: &FakeApi, words: &[&str]) -> String {
    let words: Vec<_> = std::iter::once("__complete").chain(words.iter().copied()).collect();
    let output = run(PROGRAM, &words, &api.kubeconfig());
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    stdout(&output)
}

fn named(kind: &str, api_version: &str, namespace: Option<&str>, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}})
}

fn shop() -> FakeApi {
    FakeApi::start().holding([
        named("Namespace", "v1", None, "shop"),
        named("Namespace", "v1", None, "shelf"),
        named("Deployment", "apps/v1", Some("shop"), "api"),
        named("Deployment", "apps/v1", Some("fallback"), "front"),
        named("Pod", "v1", Some("shop"), "zebra"),
    ])
}

#[test]
fn namespaces_and_names_come_from_the_cluster() {
    let api = shop();
    assert_eq!(complete(&api, &["diagnose", "-n", "sh"]), "shelf\nshop\n:4\n");
    assert_eq!(complete(&api, &["diagnose", "--namespace=sho"]), "--namespace=shop\n:4\n");
    assert_eq!(complete(&api, &["diagnose", "-n", "shop", "deploy/"]), "deploy/api\n:4\n");
    assert_eq!(complete(&api, &["diagnose", "deployment", ""]), "front\n:4\n");
    assert_eq!(complete(&api, &["diagnose", "-nshop", "zeb"]), "zebra\n:4\n");
    assert_eq!(complete(&api, &["diagnose", "--context", ""]), "fake\n:4\n");
    // Names are all that is asked for.
    assert!(
        api.seen()
            .iter()
            .all(|request| request.header("accept").contains("PartialObjectMetadataList"))
    );
}

#[test]
fn codes_and_classes_are_offered() {
    let api = shop();
    assert_eq!(
        complete(&api, &["explain", "ListenerOnLo"]).split('\t').next(),
        Some("ListenerOnLoopback")
    );
    assert_eq!(complete(&api, &["explain", "ListenerOnLoopback", ""]), ":4\n");
    assert_eq!(complete(&api, &["diagnose", "--ignore", "ListenerOnL"]), "ListenerOnLoopback\n:4\n");
    assert_eq!(
        complete(&api, &["wait-ready", "--grace", "s"]),
        "scheduling=\nstall=\nsuspended=\n:6\n"
    );
    assert_eq!(complete(&api, &["wait-ready", "--grace=im"]), "--grace=image=\n:6\n");
    assert!(api.seen().is_empty());
}

#[test]
fn kubectls_name_for_completions_works() {
    let folder = Folder::new();
    let link = folder.0.join("kubectl_complete-podlife");
    std::os::unix::fs::symlink(PROGRAM, &link).unwrap();
    let output = run(&link, &["vers"], &shop().kubeconfig());
    assert!(stdout(&output).starts_with("version\tPrint the version") && stdout(&output).ends_with("\n:4\n"));
}

#[test]
fn completion_is_silent_and_quick_without_an_answer() {
    for answer in [
        Answer::hang(),
        Answer::status(401, "Unauthorized", "Unauthorized"),
        Answer::text("<html>"),
    ] {
        let api = FakeApi::start().on("GET", "*", answer);
        let started = Instant::now();
        assert_eq!(complete(&api, &["diagnose", "pod/"]), ":4\n");
        assert!(started.elapsed() < Duration::from_secs(4));
    }
}

#[test]
fn versions_are_printed_in_each_format() {
    let api = FakeApi::start().on("GET", "/version", json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1"}));
    let text = stdout(&run(PROGRAM, &["version"], &api.kubeconfig()));
    assert!(
        text.starts_with("Client Version: v") && text.ends_with("Server Version: v1.34.1\n"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&stdout(&run(PROGRAM, &["version", "-o", "json"], &api.kubeconfig()))).unwrap();
    assert_eq!(json["serverVersion"]["gitVersion"], "v1.34.1");
    let asked = api.seen().len();
    let alone = stdout(&run(PROGRAM, &["version", "--client", "-o", "yaml"], Path::new("/nonexistent")));
    assert!(alone.starts_with("clientVersion:") && !alone.contains("serverVersion"), "{alone}");
    assert_eq!(api.seen().len(), asked);
}

#[test]
fn a_server_without_a_version_is_no_answer() {
    let api = FakeApi::start().on("GET", "/version", Answer::status(401, "Unauthorized", "Unauthorized"));
    let output = run(PROGRAM, &["version"], &api.kubeconfig());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(6), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("reading the version of the API server: Unauthorized"));
    let output = run(PROGRAM, &["version", "--context", "nope"], &api.kubeconfig());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn requests_are_shown_from_level_six_on() {
    let api = FakeApi::start().on("GET", "/version", json!({"gitVersion": "v1.34.1"}));
    let shown = |level: &str| String::from_utf8(run(PROGRAM, &["version", level], &api.kubeconfig()).stderr).unwrap();
    assert_eq!(shown("-v=5"), "");
    assert!(shown("-v=6").contains(&format!("GET {}/version 200 OK in ", api.url())));
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = stdout(&run(PROGRAM, &["completion", shell], Path::new("/nonexistent")));
        assert!(script.contains("kubectl-podlife") && script.contains("diagnose"), "{shell}");
    }
}
