//! The transcripts of docs/session.md are what the commands print, one after the other, and every other command of `session` in documents and
//! `--help` runs. PODLIFE_UPDATE=1 writes the transcripts again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;

use super::images;
use crate::cluster::harness::{Scenario, kubeconfig, kubectl, kubectl_program};
use crate::fake_api::{Folder, fixture};
use crate::offline::readme::{documents, helps_of_session, read};

const DOCUMENT: &str = "docs/session.md";
const BEGIN: &str = "```console\n";
/// How long a command that does not end by itself must run.
const SECONDS: &str = "3";

/// A shell where the documents are read: the examples, `kubectl podlife`, and a kubeconfig with this namespace.
struct Shell {
    folder: Folder,
    path: String,
}

impl Shell {
    fn new(scenario: &Scenario) -> Self {
        let folder = Folder::new();
        let config = folder.0.join("config");
        fs::copy(kubeconfig(), &config).unwrap();
        let config = config.display().to_string();
        let namespace = format!("--namespace={}", scenario.namespace);
        kubectl(&["config", "set-context", "--current", &namespace, "--kubeconfig", &config], None);
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"), folder.0.join("examples")).unwrap();
        let programs = [kubectl_program(), env!("CARGO_BIN_EXE_kubectl-podlife").to_owned()];
        let folders = programs.iter().filter_map(|program| Path::new(program).parent()?.to_str());
        let path: Vec<String> = folders.map(str::to_owned).chain([std::env::var("PATH").unwrap()]).collect();
        let path = path.join(":");
        Self { folder, path }
    }

    /// Runs a line: its exit code, and what it printed.
    fn run(&self, line: &str) -> (Option<i32>, String) {
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{line}")])
            .current_dir(&self.folder.0)
            .env("KUBECONFIG", self.folder.0.join("config"))
            .env("PATH", &self.path)
            .env("HOSTNAME", "laptop")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

/// A transcript without what differs each time: durations, times of steps, addresses, and the width of columns.
fn lasting(transcript: &str) -> String {
    let mut text = transcript.to_owned();
    for (changing, word) in [
        (r"10\.\d+\.\d+\.\d+", "ADDRESS"),
        (r"\b\d+\.\d+", "SECONDS"),
        (r"\b(\d+[dhms])+\b", "DURATION"),
        (" · pulled SECONDS", ""),
        (r" +", " "),
    ] {
        text = Regex::new(changing).unwrap().replace_all(&text, word).into_owned();
    }
    text
}

#[test]
fn transcripts_are_what_the_commands_print() {
    if !images::python() {
        return;
    }
    let scenario = Scenario::new("session-transcript");
    let shell = Shell::new(&scenario);
    let text = read(DOCUMENT);
    let mut blocks = text.split(BEGIN);
    let mut updated = blocks.next().unwrap_or_default().to_owned();
    for block in blocks {
        let (shown, rest) = block.split_once("```").unwrap();
        let mut printed = String::new();
        for line in shown.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let (exit, output) = shell.run(line);
            assert_eq!(exit, Some(0), "{line}: {output}");
            let output = output.replace(&scenario.namespace, "sessions");
            printed.push_str(&format!("$ {line}\n{output}"));
        }
        if std::env::var_os("PODLIFE_UPDATE").is_none() {
            assert_eq!(lasting(shown), lasting(&printed), "PODLIFE_UPDATE=1 writes {DOCUMENT} again");
        }
        updated.push_str(&format!("{BEGIN}{printed}```{rest}"));
    }
    if std::env::var_os("PODLIFE_UPDATE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT), updated).unwrap();
    }
}

/// The lines of documents and helps that are commands of `session`.
fn commands() -> BTreeSet<String> {
    let texts = documents()
        .into_iter()
        .map(|path| read(&path))
        .chain(helps_of_session().into_iter().map(|(_, text)| text));
    // A line that ends in a backslash goes on in the next one.
    let texts = texts.map(|text| text.replace("\\\n", " "));
    let lines = texts.flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>());
    lines
        .filter(|line| line.starts_with("kubectl podlife session "))
        .map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// Whether a command runs until it is interrupted.
fn is_endless(line: &str) -> bool {
    let words = [" -w", " --every ", " forward ", " logs -f", " serve "];
    words.iter().any(|word| line.contains(word)) && !line.contains(" --print-manifests")
}

#[test]
fn commands_run() {
    if !images::python() {
        return;
    }
    let deployment = |name: &str| {
        format!(
            "---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: 'ide:3'}}]}}
"
        )
    };
    let scenario = Scenario::new("session-docs").apply(&(deployment("ide") + &deployment("worker")));
    let shell = Shell::new(&scenario);
    fs::copy(
        shell.folder.0.join("examples/sessions/python.yaml"),
        shell.folder.0.join("pod.yaml"),
    )
    .unwrap();
    for (from, to) in [
        ("jwt/keys.json", "keys.json"),
        ("tls/named.crt", "tls.crt"),
        ("tls/named.key", "tls.key"),
    ] {
        fs::copy(fixture(from), shell.folder.0.join(to)).unwrap();
    }
    fs::write(shell.folder.0.join("job.py"), "print(1)\n").unwrap();
    let packed = shell.run("tar cf work.tar job.py");
    assert_eq!(packed.0, Some(0), "{}", packed.1);
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for line in commands {
        let created = scenario.podlife(&["session", "create", "user-42", "--image", "ide:3", "--port", "8080"]);
        assert_eq!(created.exit, 0, "{}{}", created.stdout, created.stderr);
        let (exit, output) = match is_endless(&line) {
            true => shell.run(&format!("timeout {SECONDS} {line}")),
            false => shell.run(&line),
        };
        assert!(matches!(exit, Some(0 | 3 | 124)), "{line} ends with {exit:?}: {output}");
        assert_eq!(exit == Some(124), is_endless(&line), "{line}: {output}");
    }
}
