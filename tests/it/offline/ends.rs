//! What ends a wait from outside: a terminal that is closed, a reader that goes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::fake_api::FakeApi;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-podlife");

/// An API server with a namespace and nothing in it.
fn empty() -> FakeApi {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    FakeApi::start().holding([namespace])
}

/// A wait for what never comes.
fn wait(program: &[&str], api: &FakeApi, more: &[&str]) -> Command {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("--kubeconfig").arg(api.kubeconfig());
    command.args(["-n", "shop", "wait-ready", "deployment/web"]).args(more);
    command.stdin(Stdio::null());
    command
}

fn send(child: &Child, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// Starts one that says how it goes on stderr, and waits until it has begun to.
fn begun(program: &[&str], api: &FakeApi) -> Child {
    let mut child = wait(program, api, &["-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("not found") || line.contains("does not exist"), "{line}");
    child
}

fn ended(mut child: Child) -> (Option<i32>, Value) {
    let mut document = String::new();
    child.stdout.take().unwrap().read_to_string(&mut document).unwrap();
    (child.wait().unwrap().code(), serde_json::from_str(&document).unwrap_or_default())
}

#[test]
fn a_closed_terminal_ends_a_wait_with_its_verdict() {
    let api = empty();
    let child = begun(&[PROGRAM], &api);
    send(&child, "-HUP");
    let (code, document) = ended(child);
    assert_eq!((code, &document["exitCode"]), (Some(129), &json!(129)), "{document}");
}

#[test]
fn a_wait_that_is_to_outlive_its_terminal_does() {
    let api = empty();
    let child = begun(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", PROGRAM], &api);
    send(&child, "-HUP");
    send(&child, "-INT");
    assert_eq!(ended(child).0, Some(130));
}

#[test]
fn a_wait_with_a_closed_output_pipe_ends() {
    let api = empty();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut lines = wait(&[PROGRAM], &api, &["-o", "ndjson"]);
    assert_eq!(
        lines
            .stdout(writer.try_clone().unwrap())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .code(),
        Some(141)
    );
    // The report of the end has not been tried to write by then.
    let mut both = wait(&[PROGRAM], &api, &[]);
    assert_eq!(
        both.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().code(),
        Some(141)
    );
}

#[test]
fn a_verdict_that_a_program_does_not_get_is_no_success() {
    let api = empty();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    for (format, code) in [("ndjson", 141), ("json", 5), ("text", 5)] {
        let mut once = wait(&[PROGRAM], &api, &["--once", "-o", format]);
        let ended = once.stdout(writer.try_clone().unwrap()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{format}");
    }
}

#[test]
fn a_wait_with_closed_stderr_reaches_its_verdict() {
    let api = empty();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut quiet = wait(&[PROGRAM], &api, &["-o", "json", "--timeout", "2s"]);
    let (code, document) = ended(quiet.stdout(Stdio::piped()).stderr(writer).spawn().unwrap());
    assert_eq!((code, &document["exitCode"]), (Some(124), &json!(124)), "{document}");
}
