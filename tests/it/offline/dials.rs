//! Connections to ports of pods through an API server that refuses, hangs or lies.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_api::{Answer, FakeApi};
use crate::process::{self, podlife};

const PROXY: &str = "/api/v1/namespaces/shop/pods/api:8080/proxy/";
const FORWARD: &str = "/api/v1/namespaces/shop/pods/api/portforward";
const REFUSED: &str = "error trying to reach service: dial tcp 10.0.0.9:8080: connect: connection refused";

/// A ready pod without a probe behind a Service, running since long ago.
fn shop() -> FakeApi {
    shop_with(json!({"name": "http", "port": 80, "targetPort": 8080}))
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "api"}},
        "spec": {"nodeName": "n", "containers": [{"name": "app", "image": "app:1"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "app", "image": "app:1", "imageID": "", "ready": true, "started": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2020-01-01T00:00:00Z"}}}]},
    })
}

/// The same with this port of the Service.
fn shop_with(port: Value) -> FakeApi {
    FakeApi::start().holding([
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        pod("api"),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "shop"},
            "spec": {"clusterIP": "10.1.0.1", "selector": {"app": "api"}, "ports": [port]},
        }),
    ])
}

fn diagnose(api: &FakeApi, more: &[&str]) -> process::Answer {
    let kubeconfig = api.kubeconfig().display().to_string();
    let mut all = vec!["diagnose", "--kubeconfig", kubeconfig.as_str(), "-n", "shop", "-o", "json"];
    all.extend(more);
    podlife(&all)
}

fn connection(answer: &process::Answer) -> &Value {
    &answer.json["ports"][0]["answer"]
}

fn unavailable(message: &str) -> Answer {
    Answer::status(503, "ServiceUnavailable", message)
}

#[test]
fn forwarding_needs_create_where_the_server_says_so() {
    let api = shop().on("GET", PROXY, unavailable(REFUSED)).on(
        "GET",
        FORWARD,
        Answer::status(
            403,
            "Forbidden",
            "pods \"api\" is forbidden: User \"jane\" cannot create resource \"pods/portforward\"",
        ),
    );
    let answer = diagnose(&api, &[]);
    // That nobody is at the pod's address is known; whether anybody listens inside is not.
    assert_eq!(answer.root_cause()["code"], "NothingListening", "{}", answer.json);
    let unchecked = &answer.json["unchecked"];
    assert_eq!(
        (&unchecked[0]["verb"], &unchecked[0]["resource"]),
        (&"create".into(), &"pods/portforward".into())
    );
    assert_eq!(unchecked.as_array().unwrap().len(), 1);
}

#[test]
fn any_answer_of_the_pod_counts() {
    let text = Answer::text("<html>\u{1b}[31mred</html>");
    let forged = Answer::json(json!({"kind": "Status", "status": "Success", "code": 200}));
    for (answer, expected) in [
        (text, "answers"),
        (forged, "answers"),
        (Answer::code(404), "answers"),
        (unavailable("error trying to reach service: EOF"), "answers"),
    ] {
        let api = shop().on("GET", PROXY, answer);
        let diagnosis = diagnose(&api, &[]);
        assert_eq!(
            (connection(&diagnosis), diagnosis.exit),
            (&expected.into(), 0),
            "{}",
            diagnosis.json
        );
        let asked: Vec<_> = api.seen().into_iter().filter(|request| request.path == PROXY).collect();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].method, "GET");
    }
}

#[test]
fn a_pod_that_does_not_answer_costs_no_more_than_the_limit() {
    let api = shop().on("GET", PROXY, Answer::hang()).on("GET", FORWARD, Answer::hang());
    let start = std::time::Instant::now();
    let answer = diagnose(&api, &["--dial-timeout", "300ms"]);
    // Far below the time that any other limit would have let it wait.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!((connection(&answer), answer.exit), (&"no answer".into(), 0), "{}", answer.json);
    assert!(
        !answer.json["unchecked"].to_string().contains("open to other pods"),
        "{}",
        answer.json
    );
}

/// A cluster whose API server has no way to pods: a listener on the loopback would look the same.
#[test]
fn a_port_that_accepts_inside_alone_is_not_called_open() {
    let api = shop().on("GET", PROXY, Answer::hang()).on("GET", FORWARD, Answer::forward(false));
    let answer = diagnose(&api, &[]);
    assert_eq!(
        (connection(&answer), answer.exit),
        (&"accepts inside the pod".into(), 0),
        "{}",
        answer.json
    );
    let unchecked = answer.json["unchecked"].to_string();
    assert!(
        unchecked.contains("whether port 8080 of pod/api is open to other pods"),
        "{unchecked}"
    );
}

/// The time for all connections together bounds a run over many pods that do not answer, and what was left out is said.
#[test]
fn connections_to_many_silent_pods_take_no_longer_than_all_may() {
    let silent = |api: FakeApi, name: &str| {
        let path = format!("/api/v1/namespaces/shop/pods/{name}");
        api.on("GET", &format!("{path}:8080/proxy/"), Answer::hang())
            .on("GET", &format!("{path}/portforward"), Answer::hang())
    };
    let names: Vec<String> = (0..40).map(|number| format!("api-{number}")).collect();
    let api = shop()
        .on("GET", PROXY, Answer::text("well"))
        .holding(names.iter().map(|name| pod(name)));
    let api = names.iter().fold(api, |api, name| silent(api, name));
    let answer = diagnose(&api, &["--dial-timeout", "20s", "--dial-time", "1500ms"]);
    // Each of them alone would have been waited for longer.
    assert!(
        answer.json["elapsedSeconds"].as_f64() < Some(15.0),
        "{}",
        answer.json["elapsedSeconds"]
    );
    let left_out = answer.json["unchecked"].as_array().unwrap();
    assert!(
        left_out
            .iter()
            .any(|u| u["why"].as_str().unwrap().contains("--dial-time gives more")),
        "{left_out:#?}"
    );
    assert!(answer.json["rootCauses"].as_array().unwrap().is_empty(), "{}", answer.json);
    assert_eq!(connection(&answer), "answers");
}

#[test]
fn nothing_is_dialled_where_only_reading_is_wanted() {
    let api = shop();
    let answer = diagnose(&api, &["--no-dial"]);
    assert_eq!(answer.exit, 0, "{}", answer.json);
    assert!(
        !api.seen()
            .iter()
            .any(|request| request.path.contains("/proxy/") || request.path == FORWARD)
    );
}

#[test]
fn an_api_server_lost_before_dialling_is_reported() {
    let api = shop().on("GET", PROXY, Answer::drop()).on("GET", FORWARD, Answer::drop());
    let answer = diagnose(&api, &[]);
    let unchecked = answer.json["unchecked"].to_string();
    assert!(
        unchecked.contains("ports by dialling") && unchecked.contains("cut off"),
        "{}",
        answer.json
    );
    assert_eq!(answer.exit, 0, "{}", answer.json);
}

/// Who closes a connection has accepted it; a forwarding that breaks on the way to the pod tells nothing of the application.
#[test]
fn a_forwarding_that_breaks_is_not_taken_for_a_listener() {
    let asked = |breaks: bool| {
        let api = shop_with(json!({"name": "redis", "port": 6379})).on("GET", FORWARD, Answer::forward(breaks));
        diagnose(&api, &["service/api"])
    };
    let closed = asked(false);
    assert_eq!(connection(&closed), "accepts inside the pod", "{}", closed.json);
    let broken = asked(true);
    assert_eq!(connection(&broken), "", "{}", broken.json);
    assert!(broken.json["unchecked"].to_string().contains("cut off"), "{}", broken.json);
}

#[test]
fn a_saved_snapshot_keeps_dials() {
    let api = shop().on("GET", PROXY, unavailable(REFUSED)).on("GET", FORWARD, Answer::code(500));
    let file = std::env::temp_dir().join(format!("podlife-dials-{}.json", std::process::id()));
    let path = file.display().to_string();
    let live = diagnose(&api, &["--save", &path]);
    let again = podlife(&["diagnose", "--local", "-f", &path, "-o", "json"]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(live.root_cause()["id"], again.root_cause()["id"], "{}", again.json);
    assert_eq!(live.json["ports"], again.json["ports"]);
}

#[test]
fn bad_flags_are_usage() {
    for flags in [
        &["--dial-timeout", "0"] as &[&str],
        &["--dial-timeout", "soon"],
        &["--debug-image", "busybox"],
        &["--exec", "--local", "-f", "-"],
    ] {
        let answer = diagnose(&shop(), flags);
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{flags:?} {}", answer.stderr);
    }
}

#[test]
fn why_the_sockets_could_not_be_seen_is_said_as_it_is() {
    const EXEC: &str = "/api/v1/namespaces/shop/pods/api/exec";
    for (answer, expected) in [
        (
            Answer::status(
                403,
                "Forbidden",
                "pods \"api\" is forbidden: User \"jane\" cannot create resource \"pods/exec\"",
            ),
            "forbidden",
        ),
        (
            Answer::status(
                500,
                "InternalError",
                "error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused",
            ),
            "error dialing backend",
        ),
        (
            Answer::status(
                500,
                "InternalError",
                "OCI runtime exec failed: exec: \"cat\": executable file not found in $PATH",
            ),
            "no container has cat or sh",
        ),
    ] {
        let api = shop().on("GET", PROXY, unavailable(REFUSED)).on("GET", EXEC, answer);
        let diagnosis = diagnose(&api, &["--exec"]);
        let unchecked = diagnosis.json["unchecked"].as_array().unwrap();
        let entry = unchecked
            .iter()
            .find(|entry| entry["what"].as_str().unwrap().starts_with("listening sockets"))
            .unwrap_or_else(|| panic!("{}", diagnosis.json));
        assert!(entry["why"].as_str().unwrap().contains(expected), "{entry}");
        assert_eq!(
            entry["why"].as_str().unwrap().contains("cat or sh"),
            expected.contains("cat or sh"),
            "{entry}"
        );
    }
}
