//! Callers whose own fault it is not, or is: what they need is missing, elsewhere, on another port, broken itself.

use serde_json::Value;

use crate::cluster::harness::{Scenario, State, both, pods_ready, restarts, running, statuses};
use crate::cluster::objects::{self, Workload, shell};
use crate::process::assert_marks_agree;

/// A Deployment of one container of its name that runs this in a shell.
fn script(name: &str, script: &str) -> Workload {
    shell(name, script).called(name).at_once()
}

fn runs(name: &str, script: &str) -> String {
    self::script(name, script).to_string()
}

fn service(name: &str, port: u16, target: u16) -> String {
    objects::service(
        name,
        &format!("{{selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: {target}}}]}}"),
    )
}

fn crashes(name: &str, manifest: &str) -> Scenario {
    Scenario::new(name)
        .apply(manifest)
        .until("the caller has failed twice", restarts("web", 2))
}

#[test]
fn a_crash_because_a_service_does_not_exist() {
    let answer = crashes("dep-missing", &runs("web", "sleep 2; nc -w 2 cache 6379 </dev/null || exit 3")).first_root_cause(
        "ServiceMissing",
        "",
        "deployment/web",
    );
    assert_eq!(answer.root_cause()["related"][0]["name"], "cache");
}

#[test]
fn a_crash_because_the_port_of_the_pods_is_called() {
    let manifest =
        runs("web", "sleep 2; nc -w 2 db 5432 </dev/null || exit 3") + &runs("db", "httpd -f -p 5432") + &service("db", 80, 5432);
    crashes("dep-port", &manifest).first_root_cause("ServicePortMismatch", "", "deployment/web");
}

#[test]
fn a_crash_because_a_service_targets_a_port_without_listener() {
    let serves = script("db", "httpd -f -p 5432")
        .container("ports: [{containerPort: 5432}]")
        .to_string();
    let calls = "sleep 2; nc -w 2 db 80 </dev/null || (echo dial tcp db:80: connection refused; exit 3)";
    let manifest = runs("web", calls) + &serves + &service("db", 80, 5433);
    crashes("dep-target", &manifest).first_root_cause("TargetPortMismatch", "proven", "service/db");
}

#[test]
fn a_crash_because_the_other_one_crashes() {
    let manifest = runs("web", "sleep 2; nc -w 2 api 80 </dev/null || exit 3")
        + &runs("api", "echo no configuration file; sleep 1; exit 2")
        + &service("api", 80, 8080);
    Scenario::new("dep-chain")
        .apply(&manifest)
        .until("both have failed twice", both(restarts("web", 2), restarts("api", 2)))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/api");
}

#[test]
fn a_chain_over_two_services() {
    let manifest = runs("web", "sleep 2; nc -w 2 api 80 </dev/null || exit 3")
        + &runs("api", "sleep 2; nc -w 2 db 5432 </dev/null || exit 3")
        + &service("api", 80, 8080)
        + &runs("db", "httpd -f -p 5432")
        + &service("db", 5432, 5432).replace("selector: {app: db}", "selector: {app: bd}");
    Scenario::new("dep-two")
        .apply(&manifest)
        .until("both have failed twice", both(restarts("web", 2), restarts("api", 2)))
        .first_root_cause("ServiceSelectsNothing", "label-differs", "service/db");
}

#[test]
fn a_crash_because_a_host_outside_has_no_name() {
    crashes(
        "dep-outside",
        &runs("web", "sleep 1; nc -w 2 db.corp.invalid 5432 </dev/null || exit 3"),
    )
    .first_root_cause("DependencyUnreachable", "", "deployment/web");
}

#[test]
fn a_service_of_another_namespace_that_does_not_exist() {
    let answer = crashes(
        "dep-elsewhere",
        &runs("web", "sleep 1; nc -w 2 db.kube-public.svc 5432 </dev/null || exit 3"),
    )
    .first_root_cause("ServiceMissing", "", "deployment/web");
    assert_eq!(answer.root_cause()["related"][0]["namespace"], "kube-public");
}

#[test]
fn a_refused_call_to_the_api_server() {
    let text = r#"Error: pods is forbidden: User \"system:serviceaccount:NAMESPACE:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"NAMESPACE\""#;
    let scenario = Scenario::new("dep-rbac");
    let manifest = runs("web", &format!("echo '{text}'; sleep 1; exit 1")).replace("NAMESPACE", &scenario.namespace);
    let answer = scenario
        .apply(&manifest)
        .until("it has failed twice", restarts("web", 2))
        .first_root_cause("ApiAccessForbidden", "", "deployment/web");
    let command = answer.root_cause()["fixes"][0]["command"].as_str().unwrap_or_default().to_owned();
    assert!(
        command.contains("kubectl create role default-list-pods --verb=list --resource=pods"),
        "{command}"
    );
}

/// Names in the environment that no Service has, an old refusal in a log, a slow start of the other side: no fault.
#[test]
fn callers_that_get_along() {
    let web = script(
        "web",
        "echo dial tcp 10.96.0.200:80: connect: connection refused; echo retry; sleep 3600",
    )
    .env("TRACING_URL", "http://collector:4317");
    let manifest = web + &runs("db", "httpd -f -p 5432") + &service("db", 5432, 5432);
    Scenario::new("dep-fine")
        .apply(&manifest)
        .until("both are ready", both(pods_ready(2), running("web")))
        .healthy();
}

/// A Deployment of the test application with these variables, and its Service on port 80.
pub fn app(name: &str, variables: &[(&str, &str)], probe: &str, init: &str) -> String {
    let app = objects::app(name)
        .called(name)
        .at_once()
        .container("ports: [{containerPort: 8080}]")
        .container(probe)
        .pod(init)
        .ports("{port: 80, targetPort: 8080}");
    variables.iter().fold(app, |app, (name, value)| app.env(name, value)).to_string()
}

pub const READY: &str = "readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}";

/// An init container that waits until a Service accepts connections.
fn waits_for(target: &str) -> String {
    format!("initContainers: [{{name: wait, image: 'podlife.test/app:1', args: [wait-for, '{target}']}}]")
}

/// A container has been running, without being ready or done, for longer than any start takes.
fn lasting_status(status: &Value) -> bool {
    let started: Option<jiff::Timestamp> = status["state"]["running"]["startedAt"].as_str().and_then(|t| t.parse().ok());
    status["ready"] != true && started.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 62)
}

pub fn lasting(container: &'static str) -> impl Fn(&State) -> bool {
    move |state| statuses(state, container).any(lasting_status)
}

fn said(answer: &crate::cluster::harness::Answer) -> String {
    answer.root_cause()["summary"].as_str().unwrap_or_default().to_owned()
}

/// An unready pod needs one that crashes, which needs one whose init container waits, for one that crashes for a reason of its own.
#[test]
fn a_chain_of_four_ends_at_the_last() {
    let manifest = app("web", &[("DEPENDS_ON", "http://api/")], READY, "")
        + &app("api", &[("DIAL", "orders:80")], "", "")
        + &app("orders", &[], "", &waits_for("store:80"))
        + &app("store", &[("REQUIRE_FILE", "/etc/store.conf")], "", "");
    let scenario = Scenario::new("dep-four")
        .apply(&manifest)
        .until("two have failed twice", both(restarts("api", 2), restarts("store", 2)))
        .until("two have waited for long", both(lasting("web"), lasting("wait")));
    let answer = scenario.first_root_cause("ContainerCrashing", "config", "deployment/store");
    // Each of the others suffers from it, by way of the next.
    let judged = answer.json["workloads"].as_array().unwrap();
    let root = answer.root_cause()["id"].as_str().unwrap();
    for name in ["web", "api", "orders", "store"] {
        let of = judged.iter().find(|j| j["kind"] == "Deployment" && j["name"] == name).unwrap();
        assert_eq!(of["causes"], serde_json::json!([root]), "{name}: {}", answer.stdout);
    }
    // Asked about the first, it is the last that is named, and the first has a line among what that breaks.
    let answer = scenario.first_root_cause_of("deployment/web", "ContainerCrashing", "config", "deployment/store");
    let text = scenario.podlife(&["diagnose", "deployment/web"]).stdout;
    assert_marks_agree(&text, &answer.json);
    assert!(text.contains("deployment/web: "), "{text}");
    assert!(answer.json["workloads"].as_array().unwrap().len() > 5, "{}", answer.stdout);
}

#[test]
fn two_that_crash_for_each_other() {
    let manifest = app("a", &[("DIAL", "b:80")], "", "") + &app("b", &[("DIAL", "a:80")], "", "");
    let answer = Scenario::new("dep-circle")
        .apply(&manifest)
        .until("both have failed twice", both(restarts("a", 2), restarts("b", 2)))
        .first_root_cause("DependencyUnreachable", "", "deployment/a");
    assert!(
        said(&answer).starts_with("deployment/a and deployment/b wait for each other"),
        "{}",
        said(&answer)
    );
}

#[test]
fn three_whose_init_containers_wait_for_each_other() {
    let names = ["a", "b", "c"];
    let ring = names.iter().zip(names.iter().cycle().skip(1));
    let manifest: String = ring
        .map(|(name, next)| app(name, &[], "", &waits_for(&format!("{next}:80"))))
        .collect();
    let all_wait = |state: &State| statuses(state, "wait").filter(|s| lasting_status(s)).count() == 3;
    let answer = Scenario::new("dep-ring")
        .apply(&manifest)
        .until("all three have waited for long", all_wait)
        .first_root_cause("InitContainerStuck", "waits-for", "deployment/a");
    assert!(
        said(&answer).starts_with("deployment/a, deployment/b and deployment/c wait for each other"),
        "{}",
        said(&answer)
    );
}

#[test]
fn two_that_are_ready_only_with_each_other() {
    let manifest = app("a", &[("DEPENDS_ON", "http://b/")], READY, "") + &app("b", &[("DEPENDS_ON", "http://a/")], READY, "");
    let answer = Scenario::new("dep-ready")
        .apply(&manifest)
        .until("both have been unready for long", both(lasting("a"), lasting("b")))
        .first_root_cause("DependencyUnreachable", "", "deployment/a");
    assert!(
        said(&answer).starts_with("deployment/a and deployment/b wait for each other"),
        "{}",
        said(&answer)
    );
}
