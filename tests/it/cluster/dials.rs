//! Connections to ports of pods: the rights they need, what they cost, and what is seen inside.

use std::fs;

use serde_json::Value;

use super::harness::{Scenario, both, pods_ready, running};
use super::objects::{Workload, app};
use super::requests::requests;
use super::rights::as_reader;

/// The test application, which has no shell, behind a Service that sends port 80 to 8080.
fn served(name: &str, replicas: u32, listen: &str) -> Workload {
    app(name)
        .env("LISTEN", listen)
        .spec(&format!("replicas: {replicas}"))
        .ports("{name: http, port: 80, targetPort: 8080}")
}

const READER: &str = "
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader}
";

fn unchecked(json: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    json["unchecked"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|u| format!("{} {}", text(&u["verb"]), text(&u["resource"])))
        .collect()
}

#[test]
fn the_role_with_dial_is_enough_and_each_missing_right_is_named() {
    let scenario = Scenario::new("dial-rights")
        .apply(&(served("admin", 1, "127.0.0.1:8080") + READER))
        .until("it runs", both(pods_ready(1), running("app")));
    let account = format!("serviceaccount:{}:reader", scenario.namespace);

    let least = scenario.podlife(&["rbac", "diagnose", "--bind", &account]).stdout;
    let scenario = scenario.apply(&least);
    let answer = as_reader(&scenario, &["diagnose", "-o", "json"]);
    assert_eq!(
        unchecked(&answer.json),
        ["create pods/portforward", "get pods/proxy"],
        "{}",
        answer.json
    );
    let text = as_reader(&scenario, &["diagnose"]).stdout;
    assert!(text.contains("kubectl podlife rbac diagnose --with dial"), "{text}");
    let quiet = as_reader(&scenario, &["diagnose", "--no-dial", "-o", "json"]);
    assert!(unchecked(&quiet.json).is_empty(), "{}", quiet.json);
    // Its log and its environment tell the same.
    let root = quiet.root_cause();
    assert_eq!(
        (&root["code"], &root["confidence"], quiet.exit),
        (&"ListenerOnLoopback".into(), &"likely".into(), 3),
        "{}",
        quiet.json
    );

    let forwarding = least.replace(
        "rules:",
        "rules:\n- apiGroups: [\"\"]\n  resources: [pods/portforward]\n  verbs: [get, create]",
    );
    assert_ne!(forwarding, least);
    let scenario = scenario.apply(&forwarding);
    let answer = as_reader(&scenario, &["diagnose", "-o", "json"]);
    assert_eq!(unchecked(&answer.json), ["get pods/proxy"], "{}", answer.json);

    let whole = scenario.podlife(&["rbac", "diagnose", "--with", "dial", "--bind", &account]).stdout;
    let scenario = scenario.apply(&whole);
    let answer = as_reader(&scenario, &["diagnose", "-o", "json"]);
    assert!(unchecked(&answer.json).is_empty(), "{}", answer.json);
    let looking = as_reader(&scenario, &["diagnose", "--exec", "-o", "json"]);
    assert_eq!(unchecked(&looking.json), ["create pods/exec"], "{}", looking.json);
    assert_eq!(looking.json["unchecked"][0]["why"], "forbidden", "{}", looking.json);
    let root = answer.root_cause();
    assert_eq!(
        (&root["code"], &root["confidence"], answer.exit),
        (&"ListenerOnLoopback".into(), &"proven".into(), 3),
        "{}",
        answer.json
    );
}

#[test]
fn dials_of_a_revision_are_bounded() {
    let scenario = Scenario::new("dial-cost")
        .apply(&(served("good", 3, "0.0.0.0:8080") + &served("bad", 3, "127.0.0.1:8080")))
        .until("all run", pods_ready(6));
    let Ok(audit) = std::env::var("PODLIFE_TEST_AUDIT_LOG") else {
        let counted = |more: &str| {
            scenario.podlife(&["diagnose", "-o", "json", more]).json["requests"]
                .as_u64()
                .unwrap()
        };
        assert!(counted("--color=never") <= counted("--no-dial") + 13);
        return;
    };
    let before = usize::try_from(fs::metadata(&audit).unwrap().len()).unwrap();
    let answer = scenario.diagnose();
    assert_eq!(answer.root_cause()["code"], "ListenerOnLoopback", "{}", answer.json);
    let log = fs::read(&audit).unwrap();
    let seen = requests(&String::from_utf8_lossy(&log[before..]), &scenario.namespace);
    let count = |subresource: &str| seen.iter().filter(|(_, resource)| resource == subresource).count();
    // At most: the pods of `good` answer at once. `bad` is dialled twice while it is young, and its refusal confirmed; then two of its other
    // pods are dialled.
    let (proxied, forwarded) = (count("pods/proxy"), count("pods/portforward"));
    assert!(proxied <= 8 && forwarded <= 4, "{seen:?}");
    // After the count: a connection that ends late is logged late.
    let shown = scenario.podlife(&["diagnose", "-v", "6"]).stderr;
    for request in ["/proxy/ ", "/portforward?ports=8080 "] {
        assert!(shown.contains(request), "{request} is shown: {shown}");
    }
}

#[test]
fn sockets_tell_whose_they_are() {
    let two = "
apiVersion: v1
kind: Pod
metadata: {name: two, labels: {app: two}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'mkdir /w; exec httpd -f -p 127.0.0.1:8080 -h /w']}
  - {name: side, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'mkdir /w; exec httpd -f -p 9090 -h /w']}
---
apiVersion: v1
kind: Service
metadata: {name: two}
spec: {selector: {app: two}, ports: [{name: http, port: 80, targetPort: 8080}]}
";
    let scenario = Scenario::new("sockets").apply(two).until("both run", pods_ready(1));
    let listening = |answer: &super::harness::Answer| -> Vec<String> {
        let rows = answer.json["ports"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        rows.iter()
            .flat_map(|row| {
                row["listens"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
                    .into_iter()
                    .map(|l| (row["port"].clone(), l))
            })
            .map(|(port, l)| format!("{}:{port} {} {}", text(&l["address"]), text(&l["container"]), text(&l["knownBy"])))
            .collect()
    };
    // The second container may have been started a moment after the pod's status was read.
    scenario.wait("both listen", |scenario| {
        listening(&scenario.podlife(&["diagnose", "pod/two", "--exec", "-o", "json"])).len() == 2
    });
    let answer = scenario.podlife(&["diagnose", "pod/two", "--exec", "-o", "json"]);
    assert_eq!(
        listening(&answer),
        ["127.0.0.1:8080 web socket", ":::9090 side socket"],
        "{}",
        answer.json
    );
    let root = answer.root_cause();
    assert_eq!(
        (&root["code"], &root["confidence"]),
        (&"ListenerOnLoopback".into(), &"proven".into())
    );
    let text = scenario.podlife(&["diagnose", "pod/two", "--exec"]).stdout;
    assert!(
        text.contains("127.0.0.1:8080 (web)") && text.contains("inside the pod only"),
        "{text}"
    );
}

#[test]
fn an_image_without_a_shell_needs_an_ephemeral_container() {
    let restricted = served("api", 1, "0.0.0.0:9090")
        .pod("securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}")
        .container("securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}");
    let scenario = Scenario::new("debug-image");
    // The namespace takes only what Pod Security calls restricted: the ephemeral container must be that.
    enforce_restricted(&scenario);
    let scenario = scenario.apply(&restricted).until("it runs", pods_ready(1));
    let by_exec = scenario.podlife(&["diagnose", "deployment/api", "--exec", "-o", "json"]);
    let why = by_exec.json["unchecked"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("--debug-image"), "{}", by_exec.json);

    let answer = scenario.podlife(&["diagnose", "deployment/api", "--debug-image", "busybox:1.36", "-o", "json"]);
    assert!(answer.stderr.contains("until the pod is replaced"), "{}", answer.stderr);
    let ports = answer.json["ports"].as_array().unwrap();
    let seen = ports.iter().find(|row| row["port"] == 9090).unwrap_or(&Value::Null);
    assert_eq!(seen["listens"][0]["knownBy"], "socket", "{}", answer.json);
    assert!(answer.json["unchecked"].as_array().unwrap().is_empty(), "{}", answer.json);

    let whole = scenario.podlife(&["diagnose", "--debug-image", "busybox:1.36"]);
    assert_eq!((whole.exit, whole.stdout.as_str()), (2, ""), "{}", whole.stderr);
}

#[test]
fn an_image_for_debugging_that_has_no_cat_is_named() {
    let scenario = Scenario::new("debug-no-cat")
        .apply(&served("api", 1, "0.0.0.0:9090"))
        .until("it runs", pods_ready(1));
    let look = || scenario.podlife(&["diagnose", "deployment/api", "--debug-image", "podlife.test/app:1", "-o", "json"]);
    let why = |answer: &super::harness::Answer| answer.json["unchecked"][0]["why"].as_str().unwrap_or_default().to_owned();
    let first = look();
    assert!(why(&first).starts_with("image podlife.test/app:1 has no cat"), "{}", first.json);
    assert!(first.stderr.contains("until the pod is replaced"), "{}", first.stderr);
    // What the dials tell is told all the same.
    let ports = first.json["ports"].as_array().unwrap();
    let answer = ports.iter().find(|row| row["port"] == 8080).map(|row| &row["answer"]);
    assert_eq!(answer, Some(&"refuses".into()), "{}", first.json);
    // A second container of that image would fail alike: none is added.
    let again = look();
    assert!(why(&again).starts_with("image podlife.test/app:1 has no cat"), "{}", again.json);
    assert!(!again.stderr.contains("until the pod is replaced"), "{}", again.stderr);
    let added = "jsonpath={.items[0].spec.ephemeralContainers[*].name}";
    assert_eq!(scenario.kubectl(&["get", "pods", "-o", added]).split_whitespace().count(), 1);
}

#[test]
fn forbidden_ephemeral_containers_do_not_hide_the_rest() {
    let scenario = Scenario::new("debug-refused")
        .apply(&served("api", 1, "127.0.0.1:8080"))
        .until("it runs", pods_ready(1));
    enforce_restricted(&scenario);
    let answer = scenario.podlife(&["diagnose", "deployment/api", "--debug-image", "busybox:1.36", "-o", "json"]);
    assert_eq!(answer.root_cause()["code"], "ListenerOnLoopback", "{}", answer.json);
    let refused = &answer.json["unchecked"][0];
    assert!(
        refused["why"].as_str().unwrap_or_default().contains("violates PodSecurity"),
        "{}",
        answer.json
    );
    // No right would help.
    assert!(refused["resource"].is_null(), "{}", answer.json);
}

fn enforce_restricted(scenario: &Scenario) {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    super::harness::kubectl(&["label", "namespace", &scenario.namespace, label], None);
}
