//! The way to the API server: configuration, credentials, proxies, TLS, time limits, retries, lists, watches and writes.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use podlife::cluster::{
    ApiError, ApiErrorKind, ConnectOptions, Connection, Deletion, ListQuery, LogQuery, Patch, Preconditions, WatchEvent, WriteOptions,
    no_log,
};
use podlife::io::Environment;
use podlife::model::kind::{CONFIG_MAP, DEPLOYMENT, NODE, POD, SECRET};
use serde_json::{Value, json};

use crate::fake_api::{Answer, FakeApi, Folder, fixture};

const PODS: &str = "/api/v1/namespaces/n/pods";

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": "5"}})
}

fn page(names: &[&str], next: &str) -> Answer {
    let items: Vec<_> = names.iter().map(|name| pod(name)).collect();
    Answer::json(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": next}, "items": items}))
}

fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    Environment::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

async fn open(options: ConnectOptions, environment: &Environment) -> Result<Connection, ApiError> {
    Connection::open(&options, environment, no_log()).await
}

async fn refused(options: ConnectOptions, environment: &Environment) -> ApiError {
    match open(options, environment).await {
        Ok(_) => panic!("a connection that should not be"),
        Err(error) => error,
    }
}

fn patient(api: &FakeApi, milliseconds: u64) -> ConnectOptions {
    ConnectOptions {
        request_timeout: Some(Duration::from_millis(milliseconds)),
        ..api.options()
    }
}

// Lists, objects, logs

#[tokio::test]
async fn a_list_is_read_page_by_page_and_typed() {
    let api = FakeApi::start()
        .on("GET", PODS, page(&["a", "b"], "next"))
        .on("GET", &format!("{PODS}?continue=next"), page(&["c"], ""));
    let connection = api
        .connect_with(ConnectOptions {
            chunk_size: 2,
            ..api.options()
        })
        .await;
    let query = ListQuery {
        label_selector: "app in (x, y)".into(),
        field_selector: "status.phase!=Failed".into(),
        ..Default::default()
    };
    let list = connection.list(&POD, Some("n"), &query).await.unwrap();
    assert_eq!(names(&list.items), ["a", "b", "c"]);
    assert_eq!(
        (list.items[2]["apiVersion"].as_str(), list.items[2]["kind"].as_str()),
        (Some("v1"), Some("Pod"))
    );
    assert_eq!(list.resource_version, "7");
    for request in api.seen() {
        assert_eq!(request.parameter("limit"), "2");
        assert_eq!(request.parameter("labelSelector"), "app in (x, y)");
        assert_eq!(request.parameter("fieldSelector"), "status.phase!=Failed");
    }
    assert_eq!(connection.request_count(), 2);
}

#[tokio::test]
async fn without_chunks_there_is_no_limit() {
    let api = FakeApi::start().holding([]);
    let connection = api
        .connect_with(ConnectOptions {
            chunk_size: 0,
            ..api.options()
        })
        .await;
    connection.list(&POD, None, &ListQuery::default()).await.unwrap();
    assert_eq!(api.seen()[0].path, "/api/v1/pods");
    assert_eq!(api.seen()[0].parameter("limit"), "");
}

#[tokio::test]
async fn pages_that_expire_are_read_again_once() {
    let expired = || Answer::status(410, "Expired", "The provided continue parameter is too old");
    let next = format!("{PODS}?continue=next");
    let api = FakeApi::start()
        .on("GET", PODS, page(&["a"], "next"))
        .on("GET", &next, expired())
        .on("GET", &next, page(&["b"], ""));
    let list = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert_eq!(names(&list.items), ["a", "b"]);

    let api = FakeApi::start().on("GET", PODS, page(&["a"], "next")).on("GET", &next, expired());
    let error = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Gone);
    assert_eq!(api.seen().len(), 4);
}

#[tokio::test]
async fn a_secrets_content_is_dropped_even_if_the_server_sends_it() {
    let secret = json!({"metadata": {"name": "s", "namespace": "n"}, "data": {"password": "aHVudGVyMg=="}});
    let api =
        FakeApi::start()
            .on("GET", "/api/v1/namespaces/n/secrets", json!([secret]))
            .on("GET", "/api/v1/namespaces/n/secrets/s", secret);
    let connection = api.connect().await;
    let query = ListQuery {
        metadata_only: true,
        ..Default::default()
    };
    let list = connection.list(&SECRET, Some("n"), &query).await.unwrap();
    let one = connection.get(&SECRET, Some("n"), "s", true).await.unwrap().unwrap();
    assert!(!format!("{list:?}{one}").contains("aHVudGVyMg"));
    assert_eq!((&one["kind"], &one["apiVersion"]), (&json!("Secret"), &json!("v1")));
    assert!(
        api.seen()[0]
            .header("accept")
            .starts_with("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    );
    assert!(
        api.seen()[1]
            .header("accept")
            .starts_with("application/json;as=Table;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    );
}

#[tokio::test]
async fn an_odd_item_does_not_spoil_a_list() {
    let api = FakeApi::start().on("GET", PODS, json!([pod("a"), "odd", null, pod("b")]));
    let list = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert_eq!(names(&list.items), ["a", "b"]);
    let api = FakeApi::start().on(
        "GET",
        PODS,
        json!({"kind": "PodList", "metadata": {"resourceVersion": "3"}, "items": null}),
    );
    let list = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert_eq!((list.items.len(), list.resource_version.as_str()), (0, "3"));
}

#[tokio::test]
async fn absent_forbidden_and_unknown_are_three_things() {
    let api = FakeApi::start()
        .holding([json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n"}})])
        .forbid("GET", "/api/v1/namespaces/n/configmaps/a")
        .on(
            "GET",
            "/apis/apps/v1/namespaces/n/deployments/a",
            Answer::text("404 page not found").header("x", "y"),
        )
        .on(
            "GET",
            "/apis/apps/v1/namespaces/n/deployments",
            Answer::status(404, "NotFound", "the server could not find the requested resource"),
        );
    let connection = api.connect().await;
    assert!(connection.get(&POD, Some("n"), "a", false).await.unwrap().is_some());
    assert!(connection.get(&POD, Some("n"), "b", false).await.unwrap().is_none());
    let error = connection.get(&CONFIG_MAP, Some("n"), "a", false).await.unwrap_err();
    assert_eq!(
        (error.kind, error.verb.as_str(), error.resource.as_str()),
        (ApiErrorKind::Forbidden, "get", "configmaps")
    );
    assert_eq!(error.namespace.as_deref(), Some("n"));
    assert_eq!(error.hint.as_deref(), Some("`kubectl auth can-i get configmaps -n n`"));
    assert!(
        error.to_string().starts_with("reading configmap/n/a: configmaps") || error.to_string().contains("forbidden"),
        "{error}"
    );
    assert!(!error.is_fatal_for_api());
    let error = connection.list(&DEPLOYMENT, Some("n"), &ListQuery::default()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NoSuchKind);
    assert_eq!(
        error.to_string(),
        "listing deployments.apps in namespace n: the server doesn't have the resource type \"deployments.apps\""
    );
}

#[tokio::test]
async fn a_log_is_bounded_here_too() {
    let mut body = vec![b'x'; 5000];
    body[1] = 0xff;
    let api = FakeApi::start().on("GET", "/api/v1/namespaces/n/pods/a/log", Answer::bytes(body).open());
    let wanted = LogQuery {
        previous: true,
        tail_lines: Some(20),
        limit_bytes: Some(250),
        since_seconds: Some(60),
        timestamps: false,
    };
    // The end never comes.
    let log = api.connect().await.log("n", "a", "c", &wanted).await.unwrap();
    assert_eq!((log.chars().count(), &log[..5]), (250, "x\u{fffd}x"));
    let request = &api.seen()[0];
    for (name, value) in [
        ("container", "c"),
        ("previous", "true"),
        ("tailLines", "20"),
        ("limitBytes", "250"),
        ("sinceSeconds", "60"),
    ] {
        assert_eq!(request.parameter(name), value);
    }
}

#[tokio::test]
async fn a_kubelet_that_is_away_is_not_asked_again() {
    let api = FakeApi::start().on(
        "GET",
        "/api/v1/namespaces/n/pods/a/log",
        Answer::status(500, "InternalError", "dial tcp: i/o timeout"),
    );
    let error = api.connect().await.log("n", "a", "c", &LogQuery::default()).await.unwrap_err();
    assert_eq!((error.kind, error.resource.as_str()), (ApiErrorKind::Server, "pods/log"));
    assert_eq!(api.seen().len(), 1);
}

// Retries and time limits

#[tokio::test]
async fn reads_are_tried_again_a_few_times() {
    for (trouble, wait) in [
        (Answer::status(429, "TooManyRequests", "busy").header("retry-after", "1"), 1000),
        (Answer::code(503), 200),
        (Answer::code(504), 200),
        (Answer::status(500, "InternalError", "etcdserver: leader changed"), 200),
        (Answer::drop(), 0),
    ] {
        let api = FakeApi::start().on("GET", PODS, trouble.clone()).on("GET", PODS, page(&["a"], ""));
        let started = Instant::now();
        let list = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
        assert_eq!(list.items.len(), 1);
        assert!(started.elapsed() >= Duration::from_millis(wait), "{trouble:?}");
    }
    let api = FakeApi::start().on("GET", PODS, Answer::code(503));
    let error = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.is_fatal_for_api(), error.status),
        (ApiErrorKind::Server, true, Some(503))
    );
    assert_eq!(api.seen().len(), 4);
}

#[tokio::test]
async fn a_wait_longer_than_the_time_left_is_not_begun() {
    let busy = Answer::status(429, "TooManyRequests", "busy").header("retry-after", "5");
    let api = FakeApi::start().on("GET", PODS, busy);
    let started = Instant::now();
    let error = api
        .connect_with(patient(&api, 1000))
        .await
        .list(&POD, Some("n"), &ListQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::TooManyRequests);
    assert!(started.elapsed() < Duration::from_millis(900));
}

#[tokio::test]
async fn writes_are_never_repeated() {
    // kube's default_retry repeats them for minutes.
    for trouble in [
        Answer::code(503),
        Answer::code(504),
        Answer::status(429, "TooManyRequests", "Cannot evict pod").header("retry-after", "1"),
        Answer::drop(),
    ] {
        let api = FakeApi::start()
            .on("POST", "/api/v1/namespaces/n/pods/a/eviction", trouble.clone())
            .on("DELETE", "/api/v1/namespaces/n/pods/a", trouble.clone())
            .on("PATCH", "/api/v1/namespaces/n/pods/a", trouble.clone())
            .on("POST", "/api/v1/namespaces/n/pods", trouble);
        let connection = api.connect().await;
        connection.evict("n", "a", &Deletion::default()).await.unwrap_err();
        connection.delete(&POD, Some("n"), "a", &Deletion::default()).await.unwrap_err();
        let patch = Patch::Merge(json!({}));
        connection
            .patch(&POD, Some("n"), "a", None, &patch, &WriteOptions::default())
            .await
            .unwrap_err();
        connection
            .create(&POD, Some("n"), &pod("a"), &WriteOptions::default())
            .await
            .unwrap_err();
        assert_eq!(api.seen().len(), 4);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_timeout_and_no_more() {
    let head = Answer::hang();
    let dribble = page(&["a"], "").dribble(1, Duration::from_millis(100));
    let cut = page(&["a"], "").cut_off();
    for (answer, kind) in [
        (head, ApiErrorKind::Timeout),
        (dribble, ApiErrorKind::Timeout),
        (cut, ApiErrorKind::Unreachable),
    ] {
        let api = FakeApi::start().on("GET", PODS, answer);
        let connection = api.connect_with(patient(&api, 1500)).await;
        let started = Instant::now();
        let error = connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(started.elapsed() < Duration::from_millis(2500));
        assert!(error.is_fatal_for_api());
    }
}

#[tokio::test]
async fn a_missing_target_is_reported_at_once() {
    let api = FakeApi::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = ConnectOptions {
        server: Some(server.clone()),
        ..api.options()
    };
    let error = api
        .connect_with(options)
        .await
        .list(&NODE, None, &ListQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
    assert_eq!(
        error.to_string(),
        format!("listing nodes: cannot reach {server}: connection refused")
    );
    let options = ConnectOptions {
        server: Some("http://no-such-host.invalid".into()),
        ..api.options()
    };
    let error = api
        .connect_with(options)
        .await
        .list(&NODE, None, &ListQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
}

#[tokio::test]
async fn a_web_page_is_not_the_api() {
    let api = FakeApi::start().on("GET", PODS, Answer::text("<html>please log in</html>"));
    let error = api.connect().await.list(&POD, Some("n"), &ListQuery::default()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Decode);
    assert!(error.message.contains("web page"));
}

#[tokio::test]
async fn not_more_than_six_requests_at_once() {
    let api = FakeApi::start().on(
        "GET",
        "/api/v1/namespaces/n/pods/*",
        Answer::json(pod("a")).after(Duration::from_millis(100)),
    );
    let connection = api.connect().await;
    let all = (0..30).map(|index| {
        let connection = connection.clone();
        async move { connection.get(&POD, Some("n"), &format!("p{index}"), false).await.unwrap() }
    });
    futures::future::join_all(all).await;
    assert_eq!(api.seen().len(), 30);
    assert!(api.connections() <= 7, "{} connections", api.connections());
}

// Headers, warnings, records

#[tokio::test]
async fn requests_have_a_user_agent() {
    let api = FakeApi::start().holding([]);
    let options = ConnectOptions {
        token: Some("hunter2".into()),
        as_user: Some("joe".into()),
        as_groups: vec!["a".into(), "b".into()],
        as_uid: Some("7".into()),
        as_user_extra: vec![("scopes".into(), "x".into())],
        ..api.options()
    };
    api.connect_with(options)
        .await
        .list(&POD, Some("n"), &ListQuery::default())
        .await
        .unwrap();
    let request = &api.seen()[0];
    let agent = request.header("user-agent");
    assert!(
        agent.starts_with(concat!("kubectl-podlife/", env!("CARGO_PKG_VERSION"), " (")),
        "{agent}"
    );
    assert_eq!(request.header("authorization"), "Bearer hunter2");
    assert_eq!(request.header("impersonate-user"), "joe");
    assert_eq!(request.header("impersonate-group"), "a,b");
    assert_eq!(request.header("impersonate-uid"), "7");
    assert_eq!(request.header("impersonate-extra-scopes"), "x");
}

#[tokio::test]
async fn a_group_to_act_as_needs_a_user() {
    let api = FakeApi::start();
    let options = ConnectOptions {
        as_groups: vec!["a".into()],
        ..api.options()
    };
    assert_eq!(refused(options, &Environment::default()).await.kind, ApiErrorKind::Usage);
}

#[tokio::test]
async fn a_user_and_a_password_are_basic_authentication() {
    let api = FakeApi::start().holding([]);
    let options = ConnectOptions {
        username: Some("jane".into()),
        password: Some("a:b".into()),
        ..api.options()
    };
    api.connect_with(options)
        .await
        .list(&POD, Some("n"), &ListQuery::default())
        .await
        .unwrap();
    assert_eq!(api.seen()[0].header("authorization"), "Basic amFuZTphOmI=");
}

#[tokio::test]
async fn warnings_come_once_and_requests_without_secrets() {
    let list = || page(&[], "").header("warning", r#"299 - "v1 Endpoints is deprecated""#);
    let api = FakeApi::start()
        .on("GET", PODS, list())
        .on("GET", PODS, list().header("set-cookie", "session=hunter3"));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let options = ConnectOptions {
        verbosity: 8,
        token: Some("hunter2".into()),
        ..api.options()
    };
    let log = Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
    let connection = Connection::open(&options, &Environment::default(), log).await.unwrap();
    for _ in 0..2 {
        connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    }
    let text = lines.lock().unwrap().join("\n");
    assert_eq!(text.matches("Warning: v1 Endpoints is deprecated").count(), 1, "{text}");
    assert_eq!(connection.warnings(), ["v1 Endpoints is deprecated"]);
    assert!(text.contains(&format!("GET {}{PODS}?limit=500 200 OK in ", api.url())), "{text}");
    assert!(text.contains("authorization: <masked>") && !text.contains("hunter"), "{text}");
}

#[tokio::test]
async fn without_v_there_are_no_lines() {
    let api = FakeApi::start().holding([]);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    let log = Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned()));
    let connection = Connection::open(&api.options(), &Environment::default(), log).await.unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert!(lines.lock().unwrap().is_empty());
}

// Kubeconfig

#[tokio::test]
async fn missing_files_of_a_list_are_skipped() {
    let api = FakeApi::start().holding([]);
    let list = format!("/nonexistent/a::{}:/nonexistent/b", api.kubeconfig().display());
    let environment = variables(&[("KUBECONFIG", &list)]);
    let connection = open(ConnectOptions::default(), &environment).await.unwrap();
    assert_eq!(connection.default_namespace(), "fallback");
    connection.list(&POD, None, &ListQuery::default()).await.unwrap();

    let options = ConnectOptions {
        kubeconfig: Some("/nonexistent/a".into()),
        ..Default::default()
    };
    let error = refused(options, &environment).await;
    assert_eq!(error.kind, ApiErrorKind::Config);
    assert!(error.to_string().contains("/nonexistent/a does not exist"), "{error}");
}

#[tokio::test]
async fn the_first_file_of_a_list_wins() {
    let folder = Folder::new();
    let write = |name: &str, server: &str, current: &str| {
        let path = folder.0.join(name);
        let config = json!({"current-context": current,
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "contexts": [{"name": "x", "context": {"cluster": "c"}}, {"name": current, "context": {"cluster": "c", "namespace": name}}]});
        std::fs::write(&path, config.to_string()).unwrap();
        path.display().to_string()
    };
    let list = format!("{}:{}", write("one", "http://one", ""), write("two", "http://two", "second"));
    let connection = open(ConnectOptions::default(), &variables(&[("KUBECONFIG", &list)])).await.unwrap();
    assert_eq!(connection.server(), "http://one");
    assert_eq!(connection.default_namespace(), "two");
}

#[tokio::test]
async fn home_is_searched_and_relative_files_are_next_to_the_kubeconfig() {
    let api = FakeApi::start_tls("ip").holding([]);
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join(".kube")).unwrap();
    std::fs::copy(fixture("tls/ca.crt"), folder.0.join(".kube/authority")).unwrap();
    std::fs::write(folder.0.join(".kube/token"), "hunter2\n").unwrap();
    let from = api.kubeconfig_of(json!({"certificate-authority": "authority"}), json!({"tokenFile": "token"}));
    std::fs::copy(from, folder.0.join(".kube/config")).unwrap();
    let home = folder.0.display().to_string();
    let connection = open(ConnectOptions::default(), &variables(&[("HOME", &home)])).await.unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert_eq!(api.seen()[0].header("authorization"), "Bearer hunter2");
}

#[tokio::test]
async fn names_that_do_not_exist_are_said() {
    let api = FakeApi::start();
    let none = Environment::default();
    let with = |change: fn(&mut ConnectOptions)| {
        let mut options = api.options();
        change(&mut options);
        options
    };
    for (options, name) in [
        (with(|o| o.context = Some("nope".into())), "context \"nope\""),
        (with(|o| o.cluster = Some("nope".into())), "cluster \"nope\""),
        (with(|o| o.user = Some("nope".into())), "user \"nope\""),
    ] {
        let error = refused(options, &none).await;
        assert_eq!(error.kind, ApiErrorKind::Usage);
        assert!(error.to_string().contains(&format!("{name} does not exist")), "{error}");
        assert!(error.hint.is_some());
    }
    let path = api.folder().join("broken");
    for (text, expected) in [
        (r#"{"current-context": "gone"}"#, "current context \"gone\""),
        (
            r#"{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "gone"}}]}"#,
            "cluster \"gone\"",
        ),
        (
            r#"{"current-context": "x", "clusters": [{"name": "c", "cluster": {"server": "http://a"}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "gone"}}]}"#,
            "user \"gone\"",
        ),
        ("clusters: [", "is not a kubeconfig"),
        ("clusters: hunter2", "is not a kubeconfig"),
        (
            r#"{"contexts": [{"name": "x", "context": {"cluster": "c"}}]}"#,
            "no context is chosen",
        ),
        (
            r#"{"current-context": "x", "clusters": [{"name": "c", "cluster": {"server": "ftp://me:hunter2@a"}}], "contexts": [{"name": "x", "context": {"cluster": "c"}}]}"#,
            "use http or https",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let options = ConnectOptions {
            kubeconfig: Some(path.clone()),
            ..Default::default()
        };
        let error = refused(options, &none).await;
        assert_eq!(error.kind, ApiErrorKind::Config);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let error = refused(ConnectOptions::default(), &none).await;
    assert!(error.to_string().contains("no configuration has been provided"), "{error}");
}

#[tokio::test]
async fn flags_win_over_the_kubeconfig() {
    let api = FakeApi::start().holding([]);
    let path = api.kubeconfig_of(json!({"server": "http://elsewhere.invalid"}), json!({"token": "from-file"}));
    let options = ConnectOptions {
        kubeconfig: Some(path),
        server: Some(api.url()),
        token: Some("from-flag".into()),
        namespace: Some("mine".into()),
        ..Default::default()
    };
    let connection = open(options, &Environment::default()).await.unwrap();
    assert_eq!(connection.default_namespace(), "mine");
    connection.list(&POD, None, &ListQuery::default()).await.unwrap();
    assert_eq!(api.seen()[0].header("authorization"), "Bearer from-flag");
    // A server alone is enough.
    let options = ConnectOptions {
        server: Some(api.url()),
        ..Default::default()
    };
    open(options, &Environment::default())
        .await
        .unwrap()
        .list(&POD, None, &ListQuery::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn old_auth_providers_are_refused_with_advice() {
    let api = FakeApi::start();
    let path = api.kubeconfig_of(
        json!({}),
        json!({"auth-provider": {"name": "gcp", "config": {"cmd-path": "/bin/false"}}}),
    );
    let error = refused(
        ConnectOptions {
            kubeconfig: Some(path),
            ..Default::default()
        },
        &Environment::default(),
    )
    .await;
    assert_eq!(error.kind, ApiErrorKind::Config);
    assert!(error.hint.as_deref().unwrap().contains("gke-gcloud-auth-plugin"));
}

// Credential plugins

fn plugin(folder: &Path, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("plugin");
    std::fs::write(
        &path,
        format!("#!/bin/sh\necho run >> {}\n{script}\n", folder.join("runs").display()),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn runs(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("runs")).unwrap_or_default().lines().count()
}

fn exec(command: &str, version: &str) -> Value {
    json!({"exec": {"apiVersion": format!("client.authentication.k8s.io/{version}"), "command": command, "interactiveMode": "IfAvailable",
        "args": ["one", "two"], "env": [{"name": "EXTRA", "value": "x"}], "provideClusterInfo": true, "installHint": "install it from somewhere"}})
}

fn credential(version: &str, status: &str) -> String {
    format!(r#"echo '{{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/{version}", "status": {status}}}'"#)
}

async fn with_plugin(api: &FakeApi, script: &str, version: &str) -> Result<Connection, ApiError> {
    let user = exec(&plugin(api.folder(), script), version);
    let kubeconfig = Some(api.kubeconfig_of(json!({}), user));
    let path = std::env::var("PATH").unwrap();
    open(
        ConnectOptions {
            kubeconfig,
            ..Default::default()
        },
        &variables(&[("PATH", &path), ("GIVEN", "y")]),
    )
    .await
}

#[tokio::test]
async fn a_plugin_runs_once() {
    for version in ["v1", "v1beta1"] {
        let api = FakeApi::start().holding([]);
        let seen = api.folder().join("seen");
        let script = format!(
            "echo \"$1 $2 $EXTRA $GIVEN $KUBERNETES_EXEC_INFO\" > {}\n{}",
            seen.display(),
            credential(version, r#"{"token": "t1"}"#)
        );
        let connection = with_plugin(&api, &script, version).await.unwrap();
        let (kind, query) = (&POD, ListQuery::default());
        let all = (0..10).map(|_| connection.list(kind, Some("n"), &query));
        assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(runs(api.folder()), 1);
        assert!(api.seen().iter().all(|request| request.header("authorization") == "Bearer t1"));
        let seen = std::fs::read_to_string(seen).unwrap();
        let info: Value = serde_json::from_str(seen.strip_prefix("one two x y ").unwrap()).unwrap();
        assert_eq!(info["apiVersion"], format!("client.authentication.k8s.io/{version}"));
        assert_eq!(info["spec"], json!({"interactive": false, "cluster": {"server": api.url()}}));
    }
}

#[tokio::test]
async fn a_plugin_runs_again_when_its_credential_expires_or_is_refused() {
    let api = FakeApi::start().holding([]);
    let script = credential("v1", r#"{"token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z"}"#);
    let connection = with_plugin(&api, &script, "v1").await.unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert_eq!(runs(api.folder()), 2);

    let unauthorized = Answer::status(401, "Unauthorized", "Unauthorized");
    let api = FakeApi::start()
        .on("GET", PODS, unauthorized.clone())
        .on("GET", PODS, page(&["a"], ""));
    let script = format!("n=$(wc -l < {})\n", api.folder().join("runs").display())
        + r#"echo "{\"kind\": \"ExecCredential\", \"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {\"token\": \"t$((n))\"}}""#;
    let connection = with_plugin(&api, &script, "v1").await.unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    let tokens: Vec<_> = api.seen().iter().map(|request| request.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer t1", "Bearer t2"]);

    // Refused for good: one renewal, not an endless round.
    let api = FakeApi::start().on("GET", PODS, unauthorized);
    let connection = with_plugin(&api, &credential("v1", r#"{"token": "t"}"#), "v1").await.unwrap();
    let error = connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized);
    assert_eq!((runs(api.folder()), api.seen().len()), (2, 2));
}

#[tokio::test]
async fn many_refusals_renew_once() {
    let api = FakeApi::start();
    let mut api = api;
    for index in 0..5 {
        let path = format!("{PODS}/p{index}");
        api = api
            .on("GET", &path, Answer::status(401, "Unauthorized", "Unauthorized"))
            .on("GET", &path, pod("a"));
    }
    let connection = with_plugin(&api, &credential("v1", r#"{"token": "t"}"#), "v1").await.unwrap();
    let all = (0..5).map(|index| {
        let connection = connection.clone();
        async move { connection.get(&POD, Some("n"), &format!("p{index}"), false).await }
    });
    assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
    assert!(runs(api.folder()) <= 3, "{} runs", runs(api.folder()));
}

#[tokio::test]
async fn a_plugin_that_fails_says_why_and_leaks_nothing() {
    let wrong_version = credential("v1beta1", r#"{"token": "hunter2"}"#);
    let half = credential("v1", r#"{"clientCertificateData": "hunter2"}"#);
    let empty = credential("v1", "{}");
    for (script, expected) in [
        (
            "echo first >&2; echo please log in >&2; echo hunter2; exit 3",
            "exit status: 3: please log in",
        ),
        (
            "echo 'cannot refresh: invalid token hunter2' >&2; exit 1",
            "cannot refresh: invalid token ***",
        ),
        ("echo hunter2", "not an ExecCredential"),
        (wrong_version.as_str(), "although the kubeconfig says"),
        (half.as_str(), "without a key"),
        (empty.as_str(), "neither a token nor a client certificate"),
    ] {
        let api = FakeApi::start();
        let error = with_plugin(&api, script, "v1").await.err().unwrap();
        assert_eq!(error.kind, ApiErrorKind::Credential);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert_eq!(runs(api.folder()), 1);
    }
    let api = FakeApi::start();
    let path = api.kubeconfig_of(json!({}), exec("no-such-plugin", "v1"));
    let error = refused(
        ConnectOptions {
            kubeconfig: Some(path),
            ..Default::default()
        },
        &Environment::default(),
    )
    .await;
    assert!(error.to_string().contains("no-such-plugin: executable not found"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("install it from somewhere"));
    let path = api.kubeconfig_of(json!({}), exec("sh", "v1alpha1"));
    let error = refused(
        ConnectOptions {
            kubeconfig: Some(path),
            ..Default::default()
        },
        &Environment::default(),
    )
    .await;
    assert_eq!(error.kind, ApiErrorKind::Config);
}

#[tokio::test]
async fn a_plugin_that_hangs_is_ended() {
    let api = FakeApi::start();
    let user = exec(&plugin(api.folder(), "exec sleep 60"), "v1");
    let options = ConnectOptions {
        kubeconfig: Some(api.kubeconfig_of(json!({}), user)),
        request_timeout: Some(Duration::from_millis(300)),
        ..Default::default()
    };
    let path = std::env::var("PATH").unwrap();
    let started = Instant::now();
    let error = refused(options, &variables(&[("PATH", &path)])).await;
    assert_eq!(error.kind, ApiErrorKind::Credential);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_plugin_may_give_a_client_certificate() {
    let api = FakeApi::start_tls("ip").holding([]);
    let pem = |name: &str| {
        json!(std::fs::read_to_string(fixture(name)).unwrap())
            .to_string()
            .replace("\\n", "\\\\n")
    };
    let status = format!(
        r#"{{\"clientCertificateData\": {}, \"clientKeyData\": {}}}"#,
        pem("tls/client.crt").replace('"', "\\\""),
        pem("tls/client.key").replace('"', "\\\"")
    );
    let script = format!("printf '%b' \"{{\\\"kind\\\": \\\"ExecCredential\\\", \\\"apiVersion\\\": \\\"client.authentication.k8s.io/v1\\\", \\\"status\\\": {status}}}\"").replace("\\\\n", "\\\\\\\\n");
    let connection = with_plugin(&api, &script, "v1").await.unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    assert_eq!(api.seen()[0].header("authorization"), "");
}

#[tokio::test]
async fn a_token_file_is_read_again_after_a_refusal() {
    let api = FakeApi::start()
        .on("GET", PODS, page(&[], ""))
        .on("GET", PODS, Answer::status(401, "Unauthorized", "Unauthorized"))
        .on("GET", PODS, page(&[], ""));
    let file = api.folder().join("token");
    std::fs::write(&file, "one").unwrap();
    let kubeconfig = Some(api.kubeconfig_of(json!({}), json!({"tokenFile": file})));
    let connection = open(
        ConnectOptions {
            kubeconfig,
            ..Default::default()
        },
        &Environment::default(),
    )
    .await
    .unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    std::fs::write(&file, "two\n").unwrap();
    connection.list(&POD, Some("n"), &ListQuery::default()).await.unwrap();
    let tokens: Vec<_> = api.seen().iter().map(|request| request.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer one", "Bearer two"]);
}

// Proxies

/// A proxy that answers CONNECT and leads everywhere to one address; returns its port and what was asked.
fn proxy(to: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (lines, to) = (asked.clone(), to.rsplit('/').next().unwrap().to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.lock().unwrap().push(line.trim().to_owned());
            }
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let server = std::net::TcpStream::connect(&to).unwrap();
            let (mut a, mut b) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut a, &mut b));
            let (mut a, mut b) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut a, &mut b));
        }
    });
    (port, asked)
}

#[tokio::test]
async fn no_proxy_is_about_the_server() {
    let api = FakeApi::start().holding([]);
    let (port, asked) = proxy(&api.url());
    let address = format!("127.0.0.1:{port}");
    let options = || ConnectOptions {
        server: Some("http://api.example.invalid:8080".into()),
        ..api.options()
    };
    // That the proxy itself is excepted changes nothing.
    let environment = variables(&[("HTTP_PROXY", &address), ("NO_PROXY", "127.0.0.1,example.org")]);
    open(options(), &environment)
        .await
        .unwrap()
        .list(&POD, None, &ListQuery::default())
        .await
        .unwrap();
    assert_eq!(asked.lock().unwrap()[0], "CONNECT api.example.invalid:8080 HTTP/1.1");

    let environment = variables(&[("HTTP_PROXY", &address), ("NO_PROXY", ".example.invalid")]);
    let error = open(options(), &environment)
        .await
        .unwrap()
        .list(&POD, None, &ListQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
}

#[tokio::test]
async fn a_proxy_in_the_environment_leaves_loopback_alone() {
    let api = FakeApi::start_tls("ip").holding([]);
    for name in ["HTTPS_PROXY", "https_proxy"] {
        let environment = variables(&[(name, "http://127.0.0.1:1")]);
        open(api.options(), &environment)
            .await
            .unwrap()
            .list(&POD, None, &ListQuery::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_kubeconfigs_proxy_comes_first() {
    let api = FakeApi::start_tls("ip").holding([]);
    let (port, asked) = proxy(&api.url());
    let kubeconfig = Some(api.kubeconfig_of(json!({"proxy-url": format!("http://me:secret@127.0.0.1:{port}")}), json!({})));
    let environment = variables(&[("HTTPS_PROXY", "http://127.0.0.1:1"), ("NO_PROXY", "*")]);
    let connection = open(
        ConnectOptions {
            kubeconfig,
            ..Default::default()
        },
        &environment,
    )
    .await
    .unwrap();
    connection.list(&POD, None, &ListQuery::default()).await.unwrap();
    let asked = asked.lock().unwrap().join("\n").to_lowercase();
    assert!(
        asked.contains("connect 127.0.0.1:") && asked.contains("proxy-authorization: basic bwu6c2vjcmv0"),
        "{asked}"
    );

    let kubeconfig = Some(api.kubeconfig_of(json!({"proxy-url": "http://me:secret@127.0.0.1:1"}), json!({})));
    let connection = open(
        ConnectOptions {
            kubeconfig,
            ..Default::default()
        },
        &environment,
    )
    .await
    .unwrap();
    let error = connection.list(&POD, None, &ListQuery::default()).await.unwrap_err();
    assert!(
        error
            .message
            .contains("through the proxy http://***@127.0.0.1:1: connection refused"),
        "{error}"
    );
}

// TLS

#[tokio::test]
async fn certificates_are_checked() {
    let named = || ConnectOptions {
        tls_server_name: Some("kubernetes.test".into()),
        ..Default::default()
    };
    let insecure = || ConnectOptions {
        insecure_skip_tls_verify: Some(true),
        ..Default::default()
    };
    let foreign = || ConnectOptions {
        certificate_authority: Some(fixture("tls/other-ca.crt")),
        ..Default::default()
    };
    for (certificate, options, expected) in [
        ("ip", ConnectOptions::default(), None),
        ("named", named(), None),
        ("named", ConnectOptions::default(), Some("--tls-server-name")),
        ("ip", foreign(), Some("--certificate-authority")),
        ("expired", ConnectOptions::default(), Some("kubectl config view")),
        ("expired", insecure(), None),
        ("named", insecure(), None),
    ] {
        let api = FakeApi::start_tls(certificate).holding([]);
        let options = ConnectOptions {
            kubeconfig: Some(api.kubeconfig()),
            ..options
        };
        let outcome = api.connect_with(options).await.list(&POD, None, &ListQuery::default()).await;
        match expected {
            None => assert!(outcome.is_ok(), "{certificate}: {outcome:?}"),
            Some(hint) => {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind, ApiErrorKind::Tls, "{certificate}: {error}");
                assert!(error.hint.as_ref().unwrap().contains(hint), "{certificate}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_recognised() {
    let api = FakeApi::start().holding([]);
    let options = ConnectOptions {
        server: Some(api.url().replace("http:", "https:")),
        insecure_skip_tls_verify: Some(true),
        ..api.options()
    };
    let error = api
        .connect_with(options)
        .await
        .list(&POD, None, &ListQuery::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Tls);
    assert!(error.message.contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn client_keys_are_looked_at_before_they_fail() {
    let api = FakeApi::start_tls("ip").holding([]);
    let with = |certificate: &str, key: &str| ConnectOptions {
        client_certificate: Some(fixture(certificate)),
        client_key: Some(fixture(key)),
        ..api.options()
    };
    let connection = open(with("tls/client.crt", "tls/client.key"), &Environment::default())
        .await
        .unwrap();
    connection.list(&POD, None, &ListQuery::default()).await.unwrap();
    for (certificate, key, kind, expected) in [
        (
            "tls/client.crt",
            "tls/encrypted.key",
            ApiErrorKind::Usage,
            "the client key is encrypted",
        ),
        ("tls/client.crt", "tls/none.key", ApiErrorKind::Usage, "cannot read the client key"),
        (
            "tls/client.crt",
            "tls/README.md",
            ApiErrorKind::Usage,
            "tls/README.md holds no PEM key",
        ),
        (
            "tls/client.crt",
            "tls/client.crt",
            ApiErrorKind::Usage,
            "tls/client.crt holds no PEM key",
        ),
        (
            "tls/README.md",
            "tls/client.key",
            ApiErrorKind::Usage,
            "tls/README.md holds no PEM certificate",
        ),
    ] {
        let error = refused(with(certificate, key), &Environment::default()).await;
        assert_eq!(error.kind, kind);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let options = ConnectOptions {
        client_certificate: Some(fixture("tls/client.crt")),
        ..api.options()
    };
    assert!(
        refused(options, &Environment::default())
            .await
            .to_string()
            .contains("no client key")
    );
}

/// The kubeconfig's own data and files are looked at as well, and the command line ends as for a flag.
#[tokio::test]
async fn an_invalid_pem_file_is_named() {
    let api = FakeApi::start_tls("ip").holding([]);
    let readme = fixture("tls/README.md").display().to_string();
    let (certificate, key) = (fixture("tls/client.crt"), fixture("tls/client.key"));
    for (cluster, user, place) in [
        (
            json!({}),
            json!({"client-certificate-data": "aGVsbG8=", "client-key": key}),
            "client-certificate-data",
        ),
        (
            json!({}),
            json!({"client-certificate": certificate, "client-key-data": "aGVsbG8="}),
            "client-key-data",
        ),
        (
            json!({}),
            json!({"client-certificate": readme, "client-key": key}),
            "README.md holds no PEM certificate",
        ),
        (
            json!({}),
            json!({"client-certificate": certificate, "client-key": readme}),
            "README.md holds no PEM key",
        ),
        (
            json!({"certificate-authority-data": "aGVsbG8="}),
            json!({}),
            "certificate-authority-data",
        ),
    ] {
        let options = ConnectOptions {
            kubeconfig: Some(api.kubeconfig_of(cluster, user)),
            ..ConnectOptions::default()
        };
        let error = refused(options, &Environment::default()).await;
        assert_eq!(error.kind, ApiErrorKind::Usage, "{place}: {error}");
        assert!(error.to_string().contains(place), "{place}: {error}");
    }
}

// Watches

fn event(kind: &str, name: &str, version: &str) -> Value {
    json!({"type": kind, "object": {"metadata": {"name": name, "resourceVersion": version}}})
}

fn watch(version: &str) -> String {
    format!("{PODS}?watch=true&resourceVersion={version}")
}

fn said(event: Result<WatchEvent, ApiError>) -> String {
    let name = |object: Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    match event {
        Ok(WatchEvent::Listed(list)) => format!("listed {}", names(&list.items).join(",")),
        Ok(WatchEvent::Applied(object)) => format!("applied {} {}", object["kind"].as_str().unwrap(), name(object.clone())),
        Ok(WatchEvent::Deleted(object)) => format!("deleted {}", name(object)),
        Ok(WatchEvent::Interrupted(error)) => format!("interrupted {:?}", error.kind),
        Ok(WatchEvent::Resumed) => "resumed".to_owned(),
        Err(error) => format!("error {:?}", error.kind),
    }
}

async fn told(api: &FakeApi, from: Option<&str>, count: usize) -> Vec<String> {
    let connection = api.connect().await;
    let stream = connection.watch(&POD, Some("n"), &ListQuery::default(), from.map(str::to_owned));
    let events = stream.take(count).map(said).collect();
    tokio::time::timeout(Duration::from_secs(15), events)
        .await
        .expect("the watch tells nothing more")
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_cut() {
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}});
    let api = FakeApi::start()
        .on("GET", PODS, page(&["a"], ""))
        .on("GET", &watch("7"), Answer::watch([event("ADDED", "b", "8"), bookmark]).ending())
        .on("GET", &watch("9"), Answer::watch([event("MODIFIED", "b", "10")]).cut_off())
        .on("GET", &watch("10"), Answer::drop())
        .on("GET", &watch("10"), Answer::code(503))
        .on("GET", &watch("10"), Answer::watch([event("DELETED", "b", "11")]));
    let told = told(&api, None, 6).await;
    assert_eq!(
        told,
        [
            "listed a",
            "applied Pod b",
            "applied Pod b",
            "interrupted Unreachable",
            "resumed",
            "deleted b"
        ]
    );
    assert_eq!(api.seen().iter().filter(|request| request.parameter("watch").is_empty()).count(), 1);
    assert!(
        api.seen()
            .iter()
            .filter(|r| r.parameter("watch") == "true")
            .all(|r| r.parameter("allowWatchBookmarks") == "true" && r.header("accept-encoding") == "identity")
    );
}

#[tokio::test]
async fn a_watch_whose_connection_is_dead_goes_on_over_another() {
    let api = FakeApi::start()
        .on("GET", PODS, page(&["a"], ""))
        .on("GET", &watch("7"), Answer::watch([event("ADDED", "b", "8")]))
        .on("GET", &watch("8"), Answer::watch([event("ADDED", "c", "9")]));
    let connection = api.connect().await;
    let mut told = connection.watch(&POD, Some("n"), &ListQuery::default(), None).map(said);
    assert_eq!(told.next().await.as_deref(), Some("listed a"));
    assert_eq!(told.next().await.as_deref(), Some("applied Pod b"));
    // Nothing comes any more over this one, and the API server answers as ever.
    let next = tokio::spawn(async move { told.next().await });
    tokio::task::yield_now().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(101)).await;
    tokio::time::resume();
    let next = tokio::time::timeout(Duration::from_secs(15), next).await.expect("it goes on");
    assert_eq!(next.unwrap().as_deref(), Some("applied Pod c"));
}

#[tokio::test]
async fn an_expired_watch_lists_again() {
    let gone =
        json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}});
    let api = FakeApi::start()
        .on("GET", &watch("3"), Answer::watch([gone]))
        .on("GET", PODS, page(&["a"], ""))
        .on("GET", &watch("7"), Answer::status(410, "Expired", "too old resource version"))
        .on("GET", &watch("7"), Answer::watch([event("ADDED", "b", "8")]));
    assert_eq!(told(&api, Some("3"), 3).await, ["listed a", "listed a", "applied Pod b"]);
}

#[tokio::test]
async fn a_watch_that_can_never_work_ends() {
    // kube's watcher would try for ever.
    for (code, reason, kind) in [
        (401, "Unauthorized", "Unauthorized"),
        (403, "Forbidden", "Forbidden"),
        (404, "NotFound", "NoSuchKind"),
        (422, "Invalid", "Invalid"),
    ] {
        let message = "the server could not find the requested resource";
        let api = FakeApi::start().on("GET", PODS, Answer::status(code, reason, message));
        assert_eq!(told(&api, None, 9).await, [format!("error {kind}")]);
        let api = FakeApi::start()
            .on("GET", PODS, page(&["a"], ""))
            .on("GET", PODS, page(&["a", "b"], ""))
            .on("GET", &watch("7"), Answer::status(code, reason, message));
        let expected = match code {
            // Who may only list is told what is there again and again.
            403 => vec!["listed a".to_owned(), "listed a,b".to_owned()],
            // The list worked, so that these may pass: a starting API server refuses everyone, and knows no custom resources.
            401 | 404 => vec!["listed a".to_owned(), format!("interrupted {kind}")],
            _ => vec!["listed a".to_owned(), format!("error {kind}")],
        };
        assert_eq!(told(&api, None, 2).await, expected);
    }
}

#[tokio::test]
async fn a_busy_api_server_is_left_alone_for_as_long_as_it_asks() {
    let busy = Answer::status(429, "TooManyRequests", "try again later").header("retry-after", "2");
    let api = FakeApi::start().on("GET", PODS, page(&["a"], "")).on("GET", &watch("7"), busy).on(
        "GET",
        &watch("7"),
        Answer::watch([event("ADDED", "b", "8")]),
    );
    let start = Instant::now();
    let expected = ["listed a", "interrupted TooManyRequests", "resumed", "applied Pod b"];
    assert_eq!(told(&api, None, 4).await, expected);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_long_watch_outlives_its_token() {
    let unauthorized = Answer::status(401, "Unauthorized", "Unauthorized");
    let api = FakeApi::start()
        .on("GET", PODS, page(&["a"], ""))
        .on("GET", &watch("7"), unauthorized)
        .on("GET", &watch("7"), Answer::watch([event("ADDED", "b", "8")]));
    let connection = with_plugin(&api, &credential("v1", r#"{"token": "t"}"#), "v1").await.unwrap();
    let stream = connection.watch(&POD, Some("n"), &ListQuery::default(), None);
    let events = tokio::time::timeout(Duration::from_secs(15), stream.take(2).map(said).collect::<Vec<_>>());
    assert_eq!(events.await.unwrap(), ["listed a", "applied Pod b"]);
    assert_eq!(runs(api.folder()), 2);
}

// Discovery and version

#[tokio::test]
async fn other_kinds_are_found_by_discovery() {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let resource = |plural: &str, kind: &str, short: &str| json!({"resource": plural, "singularResource": kind.to_lowercase(), "responseKind": {"kind": kind}, "scope": "Namespaced", "shortNames": [short]});
    let aggregated = |items: Value| json!({"kind": "APIGroupDiscoveryList", "items": items});
    let new = FakeApi::start()
        .on("GET", "/api", aggregated(json!([{"metadata": {"name": ""}, "versions": [{"version": "v1", "resources": [resource("widgets", "Widget", "wi")]}]}])))
        .on("GET", "/apis", aggregated(json!([{"metadata": {"name": "argoproj.io"}, "versions": [{"version": "v1alpha1", "resources": [resource("rollouts", "Rollout", "ro")]}]}])));
    let old = FakeApi::start()
        .on("GET", "/api", json!({"kind": "APIVersions", "versions": ["v1"]}))
        .on("GET", "/apis", json!({"kind": "APIGroupList", "groups": [
            {"name": "argoproj.io", "preferredVersion": {"version": "v1alpha1"}, "versions": [{"version": "v1alpha1"}]},
            {"name": "metrics.k8s.io", "preferredVersion": {"version": "v1"}, "versions": [{"version": "v1"}]}]}))
        .on("GET", "/api/v1", json!({"resources": [{"name": "widgets", "singularName": "widget", "kind": "Widget", "namespaced": true, "shortNames": ["wi"]}]}))
        .on("GET", "/apis/argoproj.io/v1alpha1", json!({"resources": [
            {"name": "rollouts/scale", "kind": "Scale", "namespaced": true},
            {"name": "rollouts", "singularName": "rollout", "kind": "Rollout", "namespaced": true, "shortNames": ["ro"]}]}))
        .on("GET", "/apis/metrics.k8s.io/v1", Answer::status(403, "Forbidden", "no"));
    for (api, requests) in [(&new, 2), (&old, 5)] {
        let connection = api.connect().await;
        assert_eq!(connection.find_kind("deploy").await.unwrap(), Some(DEPLOYMENT));
        assert_eq!(connection.request_count(), 0);
        for name in ["rollouts", "Rollout", "ro", "rollouts.argoproj.io", "rollout.v1alpha1.argoproj.io"] {
            let kind = connection.find_kind(name).await.unwrap().unwrap();
            assert_eq!(kind.path(Some("n")), "/apis/argoproj.io/v1alpha1/namespaces/n/rollouts", "{name}");
        }
        assert_eq!(connection.find_kind("wi").await.unwrap().unwrap().path(None), "/api/v1/widgets");
        assert_eq!(connection.request_count(), requests);
        assert!(api.seen()[0].header("accept").starts_with(accept));
    }
    assert_eq!(new.connect().await.find_kind("nonsense").await.unwrap(), None);
    // It may be in the group that could not be read.
    assert_eq!(
        old.connect().await.find_kind("nonsense").await.unwrap_err().kind,
        ApiErrorKind::Forbidden
    );
}

#[tokio::test]
async fn the_servers_version_is_read() {
    let api = FakeApi::start().on(
        "GET",
        "/version",
        json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1", "platform": "linux/amd64", "new": {}}),
    );
    assert_eq!(api.connect().await.server_version().await.unwrap().git_version, "v1.34.1");
}

// Writes

#[tokio::test]
async fn an_eviction_carries_its_options_where_the_server_reads_them() {
    // kube's EvictParams sends them as delete_options, which nobody reads.
    let api = FakeApi::start().on("POST", "/api/v1/namespaces/n/pods/a/eviction", Answer::status(201, "", ""));
    let deletion = Deletion {
        preconditions: Preconditions {
            uid: Some("u".into()),
            resource_version: Some("5".into()),
        },
        grace_period_seconds: Some(0),
        dry_run: true,
        ..Default::default()
    };
    api.connect().await.evict("n", "a", &deletion).await.unwrap();
    let request = &api.seen()[0];
    assert_eq!(request.parameter("dryRun"), "All");
    assert_eq!(
        request.json(),
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": "n"},
        "deleteOptions": {"preconditions": {"uid": "u", "resourceVersion": "5"}, "gracePeriodSeconds": 0, "dryRun": ["All"]}})
    );
}

#[tokio::test]
async fn writes_have_preconditions() {
    let conflict = Answer::status(409, "Conflict", "the object has been modified");
    let api = FakeApi::start()
        .on("DELETE", "/api/v1/namespaces/n/pods/a", conflict)
        .on(
            "PATCH",
            "/apis/apps/v1/namespaces/n/deployments/d/scale",
            json!({"spec": {"replicas": 0}}),
        )
        .on("POST", PODS, Answer::status(409, "AlreadyExists", "pods \"a\" already exists"))
        .on("PUT", "/api/v1/namespaces/n/pods/a", pod("a"));
    let connection = api.connect().await;
    let deletion = Deletion {
        preconditions: Preconditions {
            uid: Some("u".into()),
            resource_version: None,
        },
        propagation: Some("Foreground"),
        ..Default::default()
    };
    let error = connection.delete(&POD, Some("n"), "a", &deletion).await.unwrap_err();
    assert_eq!((error.kind, error.verb.as_str()), (ApiErrorKind::Conflict, "delete"));
    let options = WriteOptions {
        field_manager: "podlife".into(),
        strict: true,
        ..Default::default()
    };
    let object = json!({"spec": {"replicas": 0}});
    let scaled = connection
        .patch(
            &DEPLOYMENT,
            Some("n"),
            "d",
            Some("scale"),
            &Patch::Apply { object, force: true },
            &options,
        )
        .await
        .unwrap();
    assert_eq!(scaled["spec"]["replicas"], 0);
    let error = connection.create(&POD, Some("n"), &pod("a"), &options).await.unwrap_err();
    assert_eq!(
        (error.kind, error.reason.as_deref()),
        (ApiErrorKind::Conflict, Some("AlreadyExists"))
    );
    assert_eq!(error.to_string(), "creating pod/n/a: pods \"a\" already exists");
    connection.replace(&POD, Some("n"), "a", &pod("a"), &options).await.unwrap();
    let seen = api.seen();
    assert_eq!(
        seen[0].json(),
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"})
    );
    assert_eq!(seen[1].header("content-type"), "application/apply-patch+yaml");
    assert_eq!(
        (
            seen[1].parameter("fieldManager"),
            seen[1].parameter("force"),
            seen[1].parameter("fieldValidation")
        ),
        ("podlife", "true", "Strict")
    );
}

#[tokio::test]
async fn a_plugin_whose_credential_is_refused_is_asked_once_more_and_not_for_each_request() {
    let refused = || Answer::status(401, "Unauthorized", "Unauthorized");
    let api = FakeApi::start()
        .on("GET", "/api/v1/pods", refused())
        .on("GET", "/api/v1/services", refused());
    let connection = with_plugin(&api, &credential("v1", r#"{"token": "stale"}"#), "v1").await.unwrap();
    for _ in 0..4 {
        for of in [POD, podlife::model::kind::SERVICE] {
            let error = connection.list(&of, None, &ListQuery::default()).await.unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
        }
    }
    assert_eq!(runs(api.folder()), 2);
}
