//! The commands of README, docs/ and `--help` that ask a cluster, on an application with the names that they use. Those of `session` and
//! `drill` are run by their own tests.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::{Scenario, kubeconfig};
use crate::fake_api::{Folder, fixture};
use crate::offline::readme::{all_commands, is_offline};

const AT_ONCE: usize = 6;

/// Deployments api and web, a database that is called db and orders, and the pods web-0 and import-0.
fn shop() -> String {
    let workload = |name: &str, listen: &str, (port_name, port): (&str, u16), kind: &str| {
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: 'podlife.test/app:1', env: [{{name: LISTEN, value: '{listen}'}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: {kind}, selector: {{app: {name}}}, ports: [{{name: {port_name}, port: {port}, targetPort: {}}}]}}
---
",
            listen.rsplit(':').next().unwrap_or_default()
        )
    };
    let others = "apiVersion: v1
kind: Pod
metadata: {name: web-0}
spec: {containers: [{name: web, image: 'podlife.test/app:1'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: import-0}
spec: {containers: [{name: import, image: 'podlife.test/app:1'}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders}
spec: {selector: {app: db}, ports: [{name: sql, port: 5432}]}
";
    [
        workload("api", "0.0.0.0:8080", ("http", 80), "LoadBalancer"),
        workload("web", "0.0.0.0:8080", ("http", 80), "ClusterIP"),
        workload("db", "tcp:0.0.0.0:5432", ("sql", 5432), "ClusterIP"),
        others.to_owned(),
    ]
    .concat()
}

/// Whether a word has a name in capitals that stands for another one: `deployment/DEPLOYMENT`.
fn has_placeholder(word: &str) -> bool {
    let is_name = |part: &str| part.len() > 2 && part.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    word.split('/').any(is_name)
}

/// Runs a command of the documentation in a folder; its exit code, and what it said on stderr. One that watches is ended at its first output.
fn run(command: &[String], namespace: &str, folder: &Path) -> (Option<i32>, String) {
    let mut words: Vec<String> = command.to_vec();
    for at in 0..words.len() {
        if at > 0 && words[at - 1] == "-n" {
            words[at] = namespace.to_owned();
        }
        // Another namespace of the same shop.
        words[at] = words[at].replace(".data", &format!(".{namespace}"));
    }
    let has = |flag: &str| command.iter().any(|word| word == flag);
    if !has("-n") && !has("-A") {
        words.extend(["-n".to_owned(), namespace.to_owned()]);
    }
    if command[0] == "wait-ready" && !has("--once") {
        words.extend(["--timeout".to_owned(), "15s".to_owned()]);
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(&words)
        .current_dir(folder)
        .env("KUBECONFIG", kubeconfig())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if has("-w") {
        let is_read = child.stdout.take().unwrap().read_exact(&mut [0]).is_ok();
        child.kill().unwrap();
        child.wait().unwrap();
        return (is_read.then_some(0), String::new());
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn commands_of_the_documentation_run() {
    let scenario = Scenario::new("docs").apply(&shop());
    let ready = ["deployment/api", "deployment/web", "deployment/db"];
    let answer = scenario.podlife(&[&["wait-ready"], &ready[..], &["--stable-for", "0"]].concat());
    assert_eq!(answer.exit, 0, "{}{}", answer.stdout, answer.stderr);
    let folder = Folder::new();
    fs::create_dir(folder.0.join("manifests")).unwrap();
    fs::write(folder.0.join("manifests/shop.yaml"), shop()).unwrap();
    fs::write(folder.0.join("token.txt"), "X-Token: secret\n").unwrap();
    fs::copy(fixture("tls/ca.crt"), folder.0.join("ca.pem")).unwrap();
    let commands: BTreeSet<Vec<String>> = all_commands()
        .into_iter()
        .map(|(_, command)| command)
        .filter(|command| {
            command.len() > 1
                && !command.iter().any(|word| has_placeholder(word))
                && !is_offline(command)
                && command[0] != "session"
                && command[0] != "drill"
        })
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    let commands: Vec<Vec<String>> = commands.into_iter().collect();
    for some in commands.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let runs: Vec<_> = some
                .iter()
                .map(|command| (command, scope.spawn(|| run(command, &scenario.namespace, &folder.0))))
                .collect();
            for (command, run) in runs {
                let (exit, stderr) = run.join().unwrap();
                assert!(
                    matches!(exit, Some(0 | 3 | 4 | 124)),
                    "kubectl podlife {} ends with {exit:?}: {stderr}",
                    command.join(" ")
                );
            }
        });
    }
}
