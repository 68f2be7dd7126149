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
