//! What is left behind by a wait, however it ends: nothing.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use podlife::model::kind;
use serde_json::json;

use super::super::harness::{Scenario, send};
use super::prober::{INSIDE, nothing_stays};
use super::relay::Relay;
use super::survival::{Wait, config, until};
use super::{manifest, named, probe, service, web};
use crate::fake_api::Folder;

/// What marks a process and all that it starts.
const MARK: &str = "PODLIFE_TEST_RUN";

/// It answers with a status that nobody wants.
const NEVER: [&str; 3] = ["service/web", "--http", "/status/503"];

/// A run: its name, its arguments, the signal that ends it, and its exit code.
type End = (&'static str, &'static [&'static str], Option<&'static str>, Option<i32>);

/// Processes that a run has started, or itself.
fn processes(mark: &str) -> usize {
    let variable = format!("{MARK}={mark}");
    let has_mark = |folder: &Path| {
        let environment = fs::read(folder.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| has_mark(&entry.path()))
        .count()
}

/// A run of its own, with a mark, whose connections all pass through a relay.
fn begun(scenario: &Scenario, config: &str, mark: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(["--kubeconfig", config, "-n", &scenario.namespace, "wait-ready", "-o", "ndjson"])
        .args(arguments)
        .env(MARK, mark)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// An executable that hands out a credential, after this shell command.
fn plugin(folder: &Path, token: &str, before: &str) -> serde_json::Value {
    let path = folder.join("plugin");
    let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}});
    fs::write(&path, format!("#!/bin/sh\n{before}\necho '{credential}'\n")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": path, "interactiveMode": "Never"}})
}

#[test]
fn nothing_is_left_however_a_run_ends() {
    let missing = json!({"envFrom": [{"secretRef": {"name": "token"}}]});
    let scenario = Scenario::new("wr-left").apply(&manifest(&[
        web(1, json!({}), probe()),
        service("ClusterIP"),
        named(web(1, json!({}), missing), "broken"),
    ]));
    scenario.wait("one is ready", |s| {
        s.list(&kind::DEPLOYMENT)
            .iter()
            .any(|deployment| deployment["status"]["readyReplicas"] == 1)
    });
    let account = format!("serviceaccount:{}:waiter", scenario.namespace);
    let role = scenario.podlife(&["rbac", "wait-ready", "--bind", &account, "--with", "in-cluster"]);
    scenario.kubectl(&["create", "serviceaccount", "waiter"]);
    let scenario = scenario.apply(&role.stdout);
    let token = scenario.kubectl(&["create", "token", "waiter"]);
    let folder = Folder::new();
    let relay = Relay::start();
    let config = config(&folder.0, &relay, &plugin(&folder.0, token.trim(), ""));
    // Watches, six requests at once at most, and one that asks whether the API server is there. hyper opens a connection for
    // a request and takes one that becomes idle first; the new one is kept too, so that there may be two for each request.
    let most = podlife::cmd::wait_ready::WATCHED.len() + podlife::cmd::wait_ready::WATCHED_WHERE_NAMED.len() + 2 * 6 + 1;
    let ends: [End; 8] = [
        ("ready", &["service/web"], None, Some(0)),
        ("failed", &["deployment/broken", "--grace", "permanent=1s"], None, Some(3)),
        ("absent", &["service/none", "--once"], None, Some(5)),
        ("late", &["deployment/broken", "--timeout", "8s"], None, Some(124)),
        ("hung up", &NEVER, Some("-HUP"), Some(129)),
        ("interrupted", &NEVER, Some("-INT"), Some(130)),
        ("terminated", &NEVER, Some("-TERM"), Some(143)),
        ("killed", &NEVER, Some("-KILL"), None),
    ];
    for (name, arguments, signal, code) in ends {
        for inside in [&[][..], &INSIDE] {
            let mark = format!("{}-{name}-{}", scenario.namespace, inside.len());
            let mut wait = Wait::of(begun(&scenario, &config, &mark, &[arguments, inside].concat()));
            if let Some(signal) = signal {
                wait.until_said(if inside.is_empty() { "status 503" } else { "checking from inside" });
                send(&wait.child, signal);
            }
            let mut highest = 0;
            let ended = loop {
                highest = highest.max(relay.open());
                if let Some(ended) = wait.child.try_wait().unwrap() {
                    break ended;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            };
            assert_eq!(ended.code(), code, "{name}: {}", wait.said());
            assert!(highest <= most, "{name}: {highest} connections");
            assert_eq!(processes(&mark), 0, "{name}");
            until("no connection is left", || relay.open() == 0);
            if code.is_some() {
                nothing_stays(&scenario);
            }
        }
    }
    // What was killed has left a Job, which lives no longer than the run would have: `a_run_that_is_killed_leaves_a_job_that_the_cluster_ends`.
    scenario.kubectl(&["delete", "jobs", "--all"]);
}

#[test]
fn a_plugin_that_hangs_ends_with_the_run() {
    let scenario = Scenario::new("wr-hung");
    let folder = Folder::new();
    let relay = Relay::start();
    let config = config(&folder.0, &relay, &plugin(&folder.0, "none", "exec sleep 1000"));
    for (signal, code) in [("-HUP", 129), ("-INT", 130), ("-TERM", 143)] {
        let mark = format!("{}{signal}", scenario.namespace);
        let mut child = begun(&scenario, &config, &mark, &["deployment/web"]);
        until("the plugin runs", || processes(&mark) == 2);
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        until("the plugin has ended", || processes(&mark) == 0);
    }
}
