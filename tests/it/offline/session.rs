//! Sessions on a fake API server: whose clock decides.

use serde_json::json;

use crate::fake_api::{Answer, FakeApi};
use crate::process::podlife;

#[test]
fn the_clock_of_the_api_server_decides() {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "one-7692c3ad3540bb80", "namespace": "default", "uid": "u", "resourceVersion": "1",
            "labels": {"podlife.dev/session": "one-7692c3ad3540bb80", "app.kubernetes.io/managed-by": "podlife"},
            "annotations": {
                "podlife.dev/id": "one", "podlife.dev/phase": "Active", "podlife.dev/template": "0", "podlife.dev/generation": "1",
                "podlife.dev/failures": "0",
            },
        },
        "spec": {
            "holderIdentity": "test", "acquireTime": "2020-01-01T11:00:00.000000Z", "renewTime": "2020-01-01T11:55:00.000000Z",
            "leaseDurationSeconds": 600,
        },
    });
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/one-7692c3ad3540bb80";
    let dated = |value: &serde_json::Value| Answer::json(value.clone()).header("Date", "Wed, 01 Jan 2020 12:00:00 GMT");
    let api = FakeApi::start().on("GET", path, dated(&lease)).on("PUT", path, dated(&lease));
    let kubeconfig = api.kubeconfig();
    let touched = podlife(&[
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "-n",
        "default",
        "session",
        "touch",
        "one",
    ]);
    assert_eq!(touched.exit, 0, "{}", touched.stderr);
    let seen = api.seen();
    let write = seen.iter().find(|request| request.method == "PUT").unwrap().json();
    let renewed = write["spec"]["renewTime"].as_str().unwrap();
    assert!(renewed.starts_with("2020-01-01T12:00:"), "{renewed}");
    assert_eq!(write["metadata"]["resourceVersion"], "1");
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

fn session(api: &FakeApi, words: &[&str]) -> crate::process::Answer {
    let kubeconfig = api.kubeconfig();
    podlife(&[&["--kubeconfig", kubeconfig.to_str().unwrap(), "-n", "default", "session"], words].concat())
}

#[test]
fn a_record_that_somebody_has_damaged_is_named() {
    let name = "one-7692c3ad3540bb80";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": "default", "uid": "u", "resourceVersion": "1",
            "labels": {"podlife.dev/session": name, "app.kubernetes.io/managed-by": "podlife"},
        },
        "spec": {"acquireTime": "2020-01-01T11:00:00.000000Z"},
    });
    let list = |kind: &str, items: Vec<&serde_json::Value>| {
        Answer::json(json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "1"}, "items": items}))
    };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let api = FakeApi::start()
        .on("GET", LEASES, list("LeaseList", vec![&lease]))
        .on("GET", &format!("{LEASES}/{name}"), Answer::json(lease.clone()))
        .on("GET", "/api/v1/namespaces/default/pods", list("PodList", vec![]))
        .on("GET", "/api/v1/namespaces/default", Answer::json(namespace));
    for (words, exit, what) in [
        (&["list"][..], 0, "Warning: "),
        (&["delete", "--all"], 3, "error: not deleted: "),
        (&["delete", "one"], 3, "error: "),
        (&["touch", "one"], 3, "error: "),
    ] {
        let answer = session(&api, words);
        let named = format!("{what}lease {name} is not a valid session record: ");
        assert!(
            answer.exit == exit && answer.stderr.contains(&named),
            "{words:?}: {} {}",
            answer.exit,
            answer.stderr
        );
    }
    assert!(api.seen().iter().all(|request| request.method == "GET"), "nothing was changed");
}

#[test]
fn a_dry_run_on_the_server_does_not_mind_what_sessions_share() {
    let made = |kind: &str| Answer::json(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}}));
    let exists = || Answer::status(409, "AlreadyExists", "it already exists");
    let shared = [
        "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies",
        "/api/v1/namespaces/default/configmaps",
    ];
    let pods = "/api/v1/namespaces/default/pods";
    let create = ["create", "one", "--image", "app", "--dry-run=server"];
    let api = |lease: Answer| {
        let api = FakeApi::start().on("POST", LEASES, lease).on("POST", pods, made("Pod"));
        api.on("POST", shared[0], exists()).on("POST", shared[1], exists())
    };
    let answer = session(&api(made("Lease")), &create);
    assert_eq!(answer.exit, 0, "{}", answer.stderr);
    let answer = session(&api(exists()), &create);
    assert_eq!(answer.exit, 3, "{}", answer.stderr);
}

#[cfg(unix)]
#[test]
fn an_id_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"));
    let ran = command
        .args(["session", "name"])
        .arg(std::ffi::OsStr::from_bytes(b"\xff"))
        .output()
        .unwrap();
    assert_eq!((ran.status.code(), ran.stdout.as_slice()), (Some(2), &b""[..]));
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "error: an argument is not UTF-8: \u{fffd}\n");
}

/// Who asks about tokens asks the cluster, not a namespace.
#[test]
fn rbac_grants_token_reviews_in_the_cluster() {
    let of = |with: &str| podlife(&["rbac", "session", "-n", "shop", "--with", with, "-o", "json"]).json;
    let reviews = json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
    let items = of("serve,token-review")["items"].clone();
    assert_eq!(
        (&items[1]["kind"], &items[1]["rules"], &items[0]["rules"]),
        (&json!("ClusterRole"), &reviews, &of("serve")["items"][0]["rules"])
    );
}
