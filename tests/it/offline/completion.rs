//! `kubectl podlife <TAB>`, `version` and `completion`, as processes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use podlife::cmd::Cli;
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
    assert_eq!(complete(&api, &["trace", "-n", "shop", "deploy/"]), "deploy/api\n:4\n");
    assert_eq!(
        complete(&api, &["trace", "-n", "shop", "deploy/api", "deploy/"]),
        "deploy/api\n:4\n"
    );
    assert_eq!(complete(&api, &["trace", "ser"]), ":4\n");
    // Names are all that is asked for.
    assert!(
        api.seen()
            .iter()
            .all(|request| request.header("accept").contains("PartialObjectMetadataList"))
    );
}

#[test]
fn the_ends_of_a_connection_are_offered() {
    let mut db = named("Service", "v1", Some("shop"), "zdb");
    db["spec"]["ports"] = json!([{"port": 5432, "name": "sql"}, {"port": 9187}]);
    let api = FakeApi::start().holding([
        db,
        named("Pod", "v1", Some("shop"), "zebra"),
        named("Deployment", "apps/v1", Some("shop"), "api"),
    ]);
    let of = |words: &[&str]| complete(&api, &[&["trace", "-n", "shop"], words].concat());
    assert_eq!(of(&["z"]), "zebra\n:4\n");
    // What is called is a Service more often than a pod.
    assert_eq!(of(&["deploy/api", "z"]), "zdb\n:4\n");
    assert_eq!(of(&["deploy/api", "svc/z"]), "svc/zdb\n:4\n");
    assert_eq!(of(&["deploy/api", "svc/zdb:"]), "svc/zdb:5432\tsql\nsvc/zdb:9187\n:4\n");
    assert_eq!(of(&["deploy/api", "zdb:9"]), "zdb:9187\n:4\n");
    assert_eq!(of(&["deploy/api", "pod/zebra:"]), ":4\n");
    assert_eq!(of(&["pod/zebra", "svc/nosuch:"]), ":4\n");
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
    assert_eq!(complete(&api, &["trace", "pod/web", "ser"]), "service/\tsvc\n:6\n");
    assert_eq!(complete(&api, &["trace", "pod/web", "svc/db", "po"]), ":4\n");
    assert_eq!(complete(&api, &["rbac", "tr"]), "trace\n:4\n");
    assert_eq!(complete(&api, &["drill", "suite", "--only", "P"]), "P0\nP1\nP2\nP3\n:4\n");
    for words in [&["drill", "suite"][..], &["drill", "report"], &["drill", "report", "a.json"]] {
        assert_eq!(complete(&api, &[words, &["x"]].concat()), ":0\n", "files");
    }
    assert!(api.seen().is_empty());
}

#[test]
fn only_valid_values_are_offered() {
    let containers = json!({"containers": [{"name": "app"}, {"name": "proxy"}], "initContainers": [{"name": "setup"}]});
    let mut pod = named("Pod", "v1", Some("shop"), "zebra");
    pod["spec"] = containers.clone();
    let mut deployment = named("Deployment", "apps/v1", Some("shop"), "api");
    deployment["spec"]["template"]["spec"] = json!({"containers": [{"name": "only"}]});
    let api = FakeApi::start().holding([pod, deployment]);
    assert_eq!(complete(&api, &["diagnose", "-n", "shop", "-c", ""]), "app\nproxy\nsetup\n:4\n");
    assert_eq!(complete(&api, &["diagnose", "-n", "shop", "deploy/api", "-c", ""]), "only\n:4\n");
    assert_eq!(
        complete(&api, &["wait-ready", "-o", ""]),
        "text\njson\nyaml\nndjson\njsonpath=\n:4\n"
    );
    assert_eq!(complete(&api, &["trace", "-o", "jsonp"]), "jsonpath=\n:6\n");
    assert_eq!(complete(&api, &["wait-ready", "--via", "in"]), "ingress\nin-cluster\n:4\n");
    for (verb, required) in [
        ("diagnose", vec![]),
        ("wait-ready", vec!["pod/x"]),
        ("trace", vec!["pod/x", "pod/y:1"]),
    ] {
        let offered = complete(&api, &[verb, "-o", ""]);
        for value in offered.lines().filter(|line| !line.starts_with(':')) {
            let output = run(PROGRAM, &[&[verb], &required[..], &["-o", value]].concat(), &api.kubeconfig());
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!told.contains("invalid value"), "{verb} -o {value}: {told}");
        }
    }
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
        assert!(
            script.contains("kubectl-podlife __complete") || shell == "powershell" && script.contains("diagnose"),
            "{shell}"
        );
    }
}

/// What bash offers behind a line once the script is sourced, with a function that completed kubectl before.
fn in_bash(api: &FakeApi, line: &str) -> String {
    let folder = Folder::new();
    std::os::unix::fs::symlink(PROGRAM, folder.0.join("kubectl-podlife")).unwrap();
    let script = r#"
        before() { COMPREPLY=("of kubectl"); }
        complete -F before kubectl
        source <(kubectl-podlife completion bash)
        source <(kubectl-podlife completion bash)
        compopt() { :; }
        COMP_LINE=$1 COMP_POINT=${#1}
        of=$(complete -p "${1%% *}") of=${of##*-F }
        "${of%% *}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    let path = format!("{}:{}", folder.0.display(), std::env::var("PATH").unwrap());
    let arguments = ["--norc", "-c", script, "bash", line];
    let output = bash
        .args(arguments)
        .env("PATH", path)
        .env("KUBECONFIG", api.kubeconfig())
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    stdout(&output)
}

#[test]
fn the_script_for_bash_completes_the_plugin_and_leaves_kubectl_alone() {
    let api = shop();
    for (line, offered) in [
        ("kubectl podlife dia", "diagnose\n"),
        ("kubectl-podlife dia", "diagnose\n"),
        ("kubectl podlife diagnose -n sh", "shelf\nshop\n"),
        ("kubectl podlife diagnose --namespace=sho", "shop\n"),
        ("kubectl podlife diagnose -n shop deploy/", "deploy/api\n"),
        ("kubectl podlife diagnose -n ", "shelf\nshop\n"),
        ("kubectl pod", "of kubectl\n"),
        ("kubectl get podlife ", "of kubectl\n"),
    ] {
        assert_eq!(in_bash(&api, line), offered, "{line}");
    }
}

/// What completes a line in every shell.
const LINES: [(&str, &str); 6] = [
    ("kubectl podlife dia", "diagnose\n"),
    ("kubectl-podlife dia", "diagnose\n"),
    ("kubectl podlife diagnose -n sh", "shelf\nshop\n"),
    ("kubectl podlife diagnose -n shop deploy/", "deploy/api\n"),
    ("kubectl podlife wait-ready -o nd", "ndjson\n"),
    ("kubectl pod", "of kubectl\n"),
];

/// Runs a script in a shell that finds the plugin; the line to complete is its argument. Descriptions are left out.
fn in_shell(shell: &str, flags: &[&str], script: &str, line: &str) -> String {
    let (api, folder) = (shop(), Folder::new());
    std::os::unix::fs::symlink(PROGRAM, folder.0.join("kubectl-podlife")).unwrap();
    let path = format!("{}:{}", folder.0.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(shell);
    command
        .args(flags)
        .args(["-c", script])
        .args((shell == "zsh").then_some("zsh"))
        .arg(line);
    let output = command
        .env("PATH", path)
        .env("HOME", &folder.0)
        .env("KUBECONFIG", api.kubeconfig())
        .output()
        .unwrap_or_else(|why| panic!("{shell} is needed by this test: {why}"));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let separator = if shell == "zsh" { ':' } else { '\t' };
    stdout(&output)
        .lines()
        .map(|line| format!("{}\n", line.split(separator).next().unwrap_or_default()))
        .collect()
}

/// zsh's own functions only show what they are given.
#[test]
fn the_script_completes_in_zsh() {
    let script = r#"
        autoload -Uz compinit && compinit -u -D
        before() { print -r -- "of kubectl" }
        compdef before kubectl
        source <(kubectl-podlife completion zsh)
        source <(kubectl-podlife completion zsh)
        _describe() { shift; print -rl -- "${(@P)1}" }
        _files() { print files }
        words=("${(@s: :)1}") CURRENT=$#words
        $_comps[${words[1]}]
    "#;
    for (line, offered) in LINES {
        assert_eq!(in_shell("zsh", &["-f"], script, line), offered, "{line}");
    }
    assert_eq!(in_shell("zsh", &["-f"], script, "kubectl podlife diagnose -f "), "files\n");
}

#[test]
fn the_script_completes_in_fish() {
    let script = "complete -c kubectl -n 'not __podlife_is_plugin' -f -a \"'of kubectl'\"; kubectl-podlife completion fish | source; \
                  complete -C \"$argv[1]\"";
    // Completions of kubectl itself have no word for the plugin's.
    for (line, offered) in LINES.iter().filter(|(line, _)| *line != "kubectl pod") {
        assert_eq!(in_shell("fish", &["--no-config"], script, line), *offered, "{line}");
    }
    assert_eq!(in_shell("fish", &["--no-config"], script, "kubectl of"), "of kubectl\n");
    let files = in_shell("fish", &["--no-config"], script, "kubectl podlife diagnose -f /etc/passw");
    assert!(files.starts_with("/etc/passwd\n"), "{files}");
}

/// What may follow each command according to the script for PowerShell, and the script's text outside of quotes.
fn cases_of_powershell(script: &str) -> (BTreeMap<String, BTreeSet<String>>, String) {
    let (mut outside, mut strings, mut rest) = (String::new(), Vec::new(), script);
    while let Some((before, after)) = rest.split_once(['\'', '‘', '’', '‚', '‛']) {
        outside.push_str(before);
        // Two quotes within a string stand for one.
        let mut text = String::new();
        let mut inner = after;
        loop {
            let end = inner.find(['\'', '‘', '’', '‚', '‛']).expect("every string ends");
            text.push_str(&inner[..end]);
            let quoted = &inner[end..];
            let mut characters = quoted.chars();
            let next = (characters.next(), characters.next());
            inner = &quoted[next.0.map_or(0, char::len_utf8)..];
            match next.1 {
                Some(again @ ('\'' | '‘' | '’' | '‚' | '‛')) => {
                    text.push(again);
                    inner = &inner[again.len_utf8()..];
                }
                _ => break,
            }
        }
        outside.push('\'');
        strings.push(text);
        rest = inner;
    }
    outside.push_str(rest);
    let (mut cases, mut strings) = (BTreeMap::<String, BTreeSet<String>>::new(), strings.into_iter());
    let mut current = String::new();
    for line in outside.lines() {
        let mut own: Vec<String> = line.matches('\'').filter_map(|_| strings.next()).collect();
        match line.trim() {
            "' {" => {
                current = own.remove(0);
                cases.entry(current.clone()).or_default();
            }
            "[CompletionResult]::new(', ', [CompletionResultType]::ParameterName, ')"
            | "[CompletionResult]::new(', ', [CompletionResultType]::ParameterValue, ')" => {
                cases.entry(current.clone()).or_default().insert(own.remove(0));
            }
            _ => {}
        }
    }
    (cases, outside)
}

/// PowerShell itself is not at hand: that the script is whole, and that it knows each verb with each of its flags, is all that is seen here.
#[test]
fn the_script_for_powershell_is_whole_and_knows_every_flag() {
    fn expect(command: &clap::Command, path: &str, cases: &BTreeMap<String, BTreeSet<String>>) {
        let offered = &cases[path];
        let longs = command.get_arguments().filter(|argument| !argument.is_hide_set());
        for long in longs.filter_map(clap::Arg::get_long) {
            assert!(offered.contains(&format!("--{long}")), "{path} --{long}: {offered:?}");
        }
        for verb in command.get_subcommands() {
            assert!(offered.contains(verb.get_name()), "{path} {}", verb.get_name());
            expect(verb, &format!("{path};{}", verb.get_name()), cases);
        }
    }
    let script = stdout(&run(PROGRAM, &["completion", "powershell"], Path::new("/nonexistent")));
    let (cases, outside) = cases_of_powershell(&script);
    let mut open = Vec::new();
    for bracket in outside.chars() {
        match bracket {
            '(' | '[' | '{' => open.push(bracket),
            ')' => assert_eq!(open.pop(), Some('('), "{outside}"),
            ']' => assert_eq!(open.pop(), Some('['), "{outside}"),
            '}' => assert_eq!(open.pop(), Some('{'), "{outside}"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(
        outside.contains("Register-ArgumentCompleter -Native -CommandName ' -ScriptBlock {"),
        "{outside}"
    );
    let mut command = Cli::command().bin_name("kubectl-podlife");
    command.build();
    expect(&command, "kubectl-podlife", &cases);
    assert!(cases["kubectl-podlife;wait-ready"].contains("-n"), "{cases:?}");
}
