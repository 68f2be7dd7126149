//! Hints of whole containers.

use super::*;
use crate::model::snapshot::{LogKey, Snapshot};
use crate::testing::snapshot;
use crate::view::{Options, containers};

fn pod(container: &str) -> Snapshot {
    snapshot(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{name: c, image: i, {container}}}]}}, status: {{podIP: 10.244.0.5}}}}"
    ))
}

fn log(previous: bool) -> LogKey {
    LogKey {
        namespace: "shop".into(),
        pod: "a".into(),
        container: "c".into(),
        previous,
    }
}

fn shown(snapshot: &Snapshot) -> Vec<String> {
    let view = View::new(snapshot, Options::default());
    let hints = of_container(&view, &containers(&snapshot.objects.pods[0])[0]);
    hints
        .iter()
        .map(|hint| {
            let port = hint.port.map(|p| format!(" {p}")).unwrap_or_default();
            let strength = if hint.strength == Confidence::Likely { "" } else { "?" };
            format!("{}: {}{port}{strength}", hint.place(), hint.bind)
        })
        .collect()
}

#[test]
fn a_command_overrules_variables() {
    let container = "command: [uvicorn, 'app:app', --host, 0.0.0.0], env: [{name: HOST, value: localhost}]";
    assert_eq!(shown(&pod(container)), ["command: 0.0.0.0"]);
}

#[test]
fn a_command_takes_its_variables() {
    for (container, expected) in [
        (
            "command: [/server], args: ['--listen=$(HOST):$(PORT)'], env: [{name: HOST, value: 127.0.0.1}, {name: PORT, value: '8080'}]",
            &["command: 127.0.0.1 8080", "env HOST: 127.0.0.1 8080?"][..],
        ),
        (
            "command: [sh, -c, 'exec /server --listen ${HOST:-127.0.0.1}:8080']",
            &["command: 127.0.0.1 8080"],
        ),
        (
            "command: [/server], args: ['--listen=$(POD_IP):8080'], env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]",
            &["command: 10.244.0.5 8080"],
        ),
        (
            "args: [--host, 127.0.0.1, --port, '8080'], ports: [{containerPort: 8080}]",
            &["command: 127.0.0.1 8080"],
        ),
        (
            "command: [/app, --db-host, localhost], env: [{name: REDIS_HOST, value: localhost}]",
            &[],
        ),
    ] {
        assert_eq!(shown(&pod(container)), expected, "{container}");
    }
}

#[test]
fn a_default_gives_way_to_anything_that_is_said() {
    let uvicorn = "command: [uvicorn, 'app:app']";
    assert_eq!(shown(&pod(uvicorn)), ["command: 127.0.0.1 8000"]);
    assert_eq!(
        shown(&pod(&format!("{uvicorn}, env: [{{name: UVICORN_HOST, value: 0.0.0.0}}]"))),
        ["env UVICORN_HOST: 0.0.0.0"]
    );
    // What comes from a Secret may be the address.
    assert_eq!(
        shown(&pod(&format!("{uvicorn}, envFrom: [{{secretRef: {{name: s}}}}]"))),
        ["command: 127.0.0.1 8000?"]
    );
    let mut with_log = pod(uvicorn);
    with_log.put_log(
        log(false),
        Some("INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)\n".into()),
    );
    assert_eq!(shown(&with_log), ["log: 0.0.0.0 8000"]);
}

#[test]
fn the_log_counts_more_than_the_configuration() {
    let mut snapshot = pod("env: [{name: HOST, value: localhost}, {name: BIND_ADDR, value: '127.0.0.1:8080'}]");
    snapshot.put_log(log(false), Some("listening on 0.0.0.0:8080\n".into()));
    assert_eq!(shown(&snapshot), ["log: 0.0.0.0 8080"]);
    // Only a link is printed, while the command says every address.
    let mut snapshot = pod("command: [/server, --bind, '0.0.0.0:8080']");
    snapshot.put_log(log(false), Some("Listening on 127.0.0.1:8080\n".into()));
    assert_eq!(shown(&snapshot), ["command: 0.0.0.0 8080", "log: 127.0.0.1 8080?"]);
}

#[test]
fn the_previous_log_speaks_where_the_present_one_is_silent() {
    let mut snapshot = pod("tty: false");
    snapshot.put_log(log(true), Some("listening on 127.0.0.1:8080\n".into()));
    snapshot.put_log(log(false), Some("starting\n".into()));
    assert_eq!(shown(&snapshot), ["previous log: 127.0.0.1 8080"]);
}

#[test]
fn no_credential_passes() {
    let mut snapshot = pod("command: [/server, '--password', 'hunter2']");
    snapshot.put_log(log(false), Some("listening on 127.0.0.1:8080 password=hunter2\n".into()));
    let view = View::new(&snapshot, Options::default());
    let hints = of_container(&view, &containers(&snapshot.objects.pods[0])[0]);
    assert_eq!(hints.len(), 1);
    assert!(!hints[0].detail.contains("hunter2"), "{}", hints[0].detail);
}
