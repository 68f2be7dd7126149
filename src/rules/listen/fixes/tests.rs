//! The exact change for what was seen.

use super::*;
use crate::facts::listening::hints;
use crate::model::snapshot::{LogKey, Snapshot};
use crate::testing::snapshot;
use crate::view::{Options, containers};

fn deployment(container: &str) -> Snapshot {
    snapshot(&format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: api-7c9f8-x, labels: {{pod-template-hash: 7c9f8}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-7c9f8, uid: u, controller: true}}]}}
spec: {{containers: [{{name: c, image: i, {container}}}]}}
status: {{podIPs: [{{ip: 10.244.0.5}}]}}
"
    ))
}

fn advised(snapshot: &Snapshot, port: u16) -> Vec<String> {
    let view = View::new(snapshot, Options::default());
    let container = containers(&snapshot.objects.pods[0])[0];
    let hints = hints::of_container(&view, &container);
    advice(&view, &container, None, &hints, port)
        .into_iter()
        .map(|fix| match fix.command {
            Some(command) => format!("{}: {command}", fix.text),
            None => fix.text,
        })
        .collect()
}

#[test]
fn the_written_address_is_changed() {
    let edit = "kubectl edit deployment/api -n shop";
    for (container, expected) in [
        (
            "env: [{name: BIND_ADDR, value: '127.0.0.1:8080'}]",
            "set BIND_ADDR to 0.0.0.0:8080 in container c: kubectl set env deployment/api -c c BIND_ADDR=0.0.0.0:8080 -n shop".to_owned(),
        ),
        (
            "env: [{name: LISTEN, value: '[::1]:8080'}]",
            "set LISTEN to [::]:8080 in container c: kubectl set env deployment/api -c c 'LISTEN=[::]:8080' -n shop".to_owned(),
        ),
        (
            "env: [{name: ASPNETCORE_URLS, value: 'http://localhost:8080'}]",
            "set ASPNETCORE_URLS to http://0.0.0.0:8080 in container c: kubectl set env deployment/api -c c ASPNETCORE_URLS=http://0.0.0.0:8080 -n shop"
                .to_owned(),
        ),
        (
            "env: [{name: LISTEN_ADDR, value: 'tcp:127.0.0.1:8080'}]",
            "set LISTEN_ADDR to tcp:0.0.0.0:8080 in container c: kubectl set env deployment/api -c c LISTEN_ADDR=tcp:0.0.0.0:8080 -n shop".to_owned(),
        ),
        (
            "env: [{name: BIND_ADDR, value: '127.0.0.1:8080/hunter2'}]",
            format!("in BIND_ADDR of container c, change 127.0.0.1:8080/… to 0.0.0.0:8080/… and leave the rest as it is: {edit}"),
        ),
        (
            "env: [{name: LISTEN_URL, value: 'http://127.0.0.1:8080/hunter2?x=1'}]",
            format!("in LISTEN_URL of container c, change http://127.0.0.1:8080/… to http://0.0.0.0:8080/… and leave the rest as it is: {edit}"),
        ),
        (
            "env: [{name: ASPNETCORE_URLS, value: 'http://localhost:8080;http://127.0.0.1:9999'}]",
            format!("in ASPNETCORE_URLS of container c, change http://localhost:8080 to http://0.0.0.0:8080 and leave the rest as it is: {edit}"),
        ),
        (
            "env: [{name: P, value: '8080'}, {name: BIND_ADDR, value: '127.0.0.1:$(P)'}]",
            format!("in BIND_ADDR of container c, change 127.0.0.1:8080 to 0.0.0.0:8080 and leave the rest as it is: {edit}"),
        ),
        (
            "command: [/app, '--listen=tcp:127.0.0.1:8080/hunter2']",
            format!("in the command of container c, change --listen=tcp:127.0.0.1:8080/… to --listen=tcp:0.0.0.0:8080/…: {edit}"),
        ),
        (
            "command: [uvicorn, 'app:app', --host, 127.0.0.1, --port, '8080']",
            format!("in the command of container c, change --host 127.0.0.1 to --host 0.0.0.0: {edit}"),
        ),
        (
            "command: [gunicorn, '--bind=127.0.0.1:8080']",
            format!("in the command of container c, change --bind=127.0.0.1:8080 to --bind=0.0.0.0:8080: {edit}"),
        ),
        (
            "env: [{name: GUNICORN_CMD_ARGS, value: '--bind=127.0.0.1:8080'}]",
            format!(
                "change GUNICORN_CMD_ARGS of container c: GUNICORN_CMD_ARGS holds --bind=127.0.0.1:8080 to GUNICORN_CMD_ARGS holds --bind=0.0.0.0:8080: {edit}"
            ),
        ),
        (
            "command: [flask, run, --port, '8080']",
            "start Flask in container c with --host=0.0.0.0, or set FLASK_RUN_HOST=0.0.0.0: kubectl set env deployment/api -c c FLASK_RUN_HOST=0.0.0.0 -n shop"
                .to_owned(),
        ),
        (
            "command: [/app]",
            format!("make the server in container c listen on 0.0.0.0:8080, not on the loopback address: {edit}"),
        ),
    ] {
        assert_eq!(advised(&deployment(container), 8080)[0], expected, "{container}");
    }
}

#[test]
fn a_server_known_from_its_log_gets_its_own_fix() {
    for (line, port, expected) in [
        (
            "LOG:  listening on IPv4 address \"127.0.0.1\", port 5432",
            5432,
            &[
                "start PostgreSQL in container c with -c listen_addresses='*': kubectl edit deployment/api -n shop",
                "before that: pg_hba.conf must admit the network of the pods too",
            ][..],
        ),
        (
            "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
            8000,
            &[
                "start Uvicorn in container c with --host 0.0.0.0, or set UVICORN_HOST=0.0.0.0: kubectl set env deployment/api -c c UVICORN_HOST=0.0.0.0 -n shop",
            ],
        ),
        (
            "[GIN-debug] Listening and serving HTTP on 127.0.0.1:8080",
            8080,
            &["tell Gin in container c: router.Run(\":8080\"): kubectl edit deployment/api -n shop"],
        ),
    ] {
        let mut snapshot = deployment("tty: false");
        let key = LogKey {
            namespace: "shop".into(),
            pod: "api-7c9f8-x".into(),
            container: "c".into(),
            previous: false,
        };
        snapshot.put_log(key, Some(format!("{line}\n")));
        assert_eq!(advised(&snapshot, port), expected, "{line}");
    }
}
