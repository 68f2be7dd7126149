//! A gateway on a fake API server: what it asks about the sessions of others.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::fake_api::{Answer, FakeApi, fixture};
use crate::process::podlife;

/// The API of a cluster with a namespace and these records; nothing can be written.
pub fn api(namespace: &str, records: &[Value]) -> FakeApi {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    let api = FakeApi::start()
        .holding([json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})])
        .on("GET", &leases, Answer::json(Value::Array(records.to_vec())))
        .on("GET", &format!("{leases}?watch=true"), Answer::watch([]))
        .on("GET", &format!("{leases}/*"), Answer::status(404, "NotFound", "there is none"));
    records.iter().fold(api, |api, record| {
        let name = record["metadata"]["name"].as_str().unwrap();
        api.on("GET", &format!("{leases}/{name}"), Answer::json(record.clone()))
    })
}

/// A process that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway on free ports of this machine, and where it serves sessions and metrics.
pub fn gateway(api: &FakeApi, namespace: &str, flags: &[&str]) -> (Running, String, String) {
    gateway_logging(Stdio::inherit(), api, namespace, flags)
}

/// The same where its log is read.
pub fn gateway_logging(log: Stdio, api: &FakeApi, namespace: &str, flags: &[&str]) -> (Running, String, String) {
    let kubeconfig = api.kubeconfig();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(["--kubeconfig", kubeconfig.to_str().unwrap(), "-n", namespace, "session", "serve"])
        .args([
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
            "--image",
            "app",
            "--port",
            "8080",
        ])
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map(Running)
        .unwrap();
    let mut lines = BufReader::new(gateway.0.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        let address = line.split("://").nth(1).unwrap_or_else(|| panic!("no address in {line:?}"));
        address.trim_end_matches("/metrics").to_owned()
    };
    let (sessions, metrics) = (next(), next());
    (gateway, sessions, metrics)
}

/// Makes a request: the whole answer.
pub fn ask(address: &str, method: &str, path: &str, headers: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    Ok(all)
}

#[test]
fn the_session_of_another_owner_costs_as_much_to_refuse_as_one_that_does_not_exist() {
    let name = |id: &str| podlife(&["session", "name", id]).stdout.trim().to_owned();
    let (taken, absent) = (name("taken"), name("absent"));
    let labels = json!({"podlife.dev/session": taken, "app.kubernetes.io/managed-by": "podlife"});
    let record = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": taken, "namespace": "shop", "uid": "r", "resourceVersion": "1", "labels": labels,
            "annotations": {
                "podlife.dev/id": "taken", "podlife.dev/owner": "bob", "podlife.dev/phase": "Active", "podlife.dev/template": "0",
                "podlife.dev/generation": "1", "podlife.dev/failures": "0",
            },
        },
        "spec": {
            "holderIdentity": "test", "acquireTime": "2020-01-01T11:00:00.000000Z", "renewTime": "2020-01-01T11:55:00.000000Z",
            "leaseDurationSeconds": 600,
        },
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{taken}-g1"), "namespace": "shop", "uid": "p", "resourceVersion": "1", "labels": labels,
            "ownerReferences": [{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": taken, "uid": "r"}],
        },
        "spec": {"containers": [{"name": "app", "image": "app"}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1"},
    });
    let api = api("shop", &[record]).holding([pod]);
    let keys = fixture("jwt/keys.json");
    let flags = ["--auth", "jwt", "--jwks", keys.to_str().unwrap(), "--audience", "podlife"];
    let (_gateway, address, _) = gateway(&api, "shop", &flags);
    while !ask(&address, "GET", "/readyz", "").unwrap().starts_with("HTTP/1.1 200") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let token = std::fs::read_to_string(fixture("jwt/es256.jwt")).unwrap();
    let token = format!("Authorization: Bearer {}\r\n", token.trim());
    for (method, end) in [("GET", ""), ("DELETE", ""), ("GET", "/status")] {
        let refused = ["taken", "absent"].map(|id| {
            let path = if end.is_empty() {
                format!("/api/v1/sessions/{id}")
            } else {
                format!("/api/v1/session/{id}{end}")
            };
            let answer = ask(&address, method, &path, &token).unwrap();
            assert!(answer.starts_with("HTTP/1.1 403 "), "{method} {path}: {answer}");
            answer.split_once("\r\n\r\n").unwrap().1.to_owned()
        });
        assert_eq!(refused[0], refused[1]);
    }
    // The same questions to the API server, in the same order.
    let asked = |name: &str| -> Vec<String> {
        let all = api.seen().into_iter().filter(|seen| format!("{seen:?}").contains(name));
        all.map(|seen| format!("{} {}", seen.method, seen.path).replace(name, "NAME"))
            .collect()
    };
    assert_eq!(asked(&taken), asked(&absent));
    assert_eq!(asked(&taken).len(), 3);
}

#[test]
fn manifests_keep_warm_pods_and_refuse_what_cannot_be_warm() {
    let print = |flags: &[&str]| {
        let manifests = ["session", "serve", "--print-manifests", "--auth", "token-review"];
        podlife(&[&manifests[..], &["--image", "ide:3", "--port", "8080"], flags].concat())
    };
    let printed = print(&["--warm", "10", "--warm-request", "/claim"]);
    for flag in ["--warm=10", "--warm-request=/claim"] {
        assert!(printed.stdout.contains(flag), "{flag}: {}{}", printed.stdout, printed.stderr);
    }
    for (flags, why) in [
        (&["--warm", "1", "--volume", "1Gi:/data"][..], "volume"),
        (&["--warm", "1", "--", "serve", "$(SESSION_ID)"], "SESSION_ID"),
        (&["--warm-request", "/claim"], "--warm"),
    ] {
        let refused = print(flags);
        assert!(refused.exit == 2 && refused.stderr.contains(why), "{flags:?}: {}", refused.stderr);
    }
}
