//! The third phase: ready pods that do not answer fool nobody.

use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, pods_ready};
use super::{manifest, named, probe, reason, service, state, viewer, wait, web};

#[test]
fn a_reached_application_reports_the_path() {
    let scenario = Scenario::new("wr-ways").apply(&manifest(&[web(2, json!({}), probe()), service("LoadBalancer")]));
    let balanced = wait(&scenario, "deployment/web", &[]);
    assert_eq!(state(&balanced), (0, "ready"), "{}{}", balanced.stdout, balanced.stderr);
    assert_eq!(balanced.json["provenBy"], "load-balancer");
    assert_eq!(balanced.json["application"]["asked"][0]["pods"], 2);
    assert_eq!(balanced.json["application"]["asked"][0]["path"], "/readyz");
    assert!(
        balanced.json["application"]["spanSeconds"].as_f64() >= Some(5.0),
        "it was just rolled out: {}",
        balanced.stdout
    );
    let proxied = wait(
        &scenario,
        "deployment/web",
        &["--via", "service-proxy", "--stable-for", "0", "--successes", "1"],
    );
    assert_eq!(state(&proxied), (0, "ready"), "{}{}", proxied.stdout, proxied.stderr);
    assert_eq!(proxied.json["provenBy"], "service-proxy");
    let told = |answer: &Answer, field: &str| answer.json["application"][field].as_f64().unwrap();
    let looked = wait(&scenario, "deployment/web", &["--once", "--successes", "1"]);
    assert_eq!(
        (told(&looked, "successes"), told(&looked, "spanSeconds")),
        (1.0, 0.0),
        "one look waits for nothing: {}",
        looked.stdout
    );
    let ingress = wait(&scenario, "deployment/web", &["--via", "ingress", "--once"]);
    assert_eq!(state(&ingress), (4, "unknown"), "a way that is not there: {}", ingress.stdout);
    let port = wait(&scenario, "deployment/web", &["--port", "81", "--once"]);
    assert_eq!(state(&port), (4, "unknown"), "{}", port.stdout);
    // What is asked for decides, not what the probe asks.
    let path = |arguments: &[&str]| wait(&scenario, "deployment/web", &[&["--once"], arguments].concat());
    assert_eq!(path(&["--http", "/any"]).exit, 0);
    let refused = path(&["--http", "/status/503"]);
    assert_eq!(refused.exit, 124, "{}", refused.stdout);
    assert!(reason(&refused).contains("it answers with status 503"), "{}", refused.stdout);
    assert_eq!(path(&["--http", "/status/503", "--status", "503"]).exit, 0);
    assert_eq!(path(&["--http", "/any", "--body", "^app .* on web-"]).exit, 0);
    assert_eq!(path(&["--http", "/any", "--body", "version 9"]).exit, 124);
}

/// A Deployment that listens where only itself can reach it, and says Ready for want of a probe.
fn on_loopback() -> Value {
    web(1, json!({"LISTEN": "127.0.0.1:8080"}), json!({}))
}

#[test]
fn a_ready_pod_on_loopback_is_not_ready() {
    let scenario = Scenario::new("wr-loopback")
        .apply(&manifest(&[on_loopback(), service("ClusterIP")]))
        .until("it says Ready", pods_ready(1));
    let waited = wait(&scenario, "deployment/web", &["--grace", "probe=1s,other=1s"]);
    assert_eq!(state(&waited), (3, "failed"), "{}{}", waited.stdout, waited.stderr);
    assert_eq!(waited.json["rootCauses"][0]["code"], "ListenerOnLoopback", "{}", waited.stdout);
    let once = wait(&scenario, "deployment/web", &["--once"]);
    assert_eq!(once.exit, 124, "{}", once.stdout);
    assert!(
        reason(&once).contains("0 of 1 endpoints answer") && reason(&once).contains("connection refused"),
        "{}",
        once.stdout
    );
}

#[test]
fn one_endpoint_of_two_is_not_enough() {
    let mut silent = on_loopback();
    silent["metadata"]["name"] = "silent".into();
    for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        *silent.pointer_mut(labels).unwrap() = json!({"app": "web", "part": "silent"});
    }
    let mut loud = web(1, json!({}), probe());
    loud["metadata"]["name"] = "loud".into();
    for labels in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        *loud.pointer_mut(labels).unwrap() = json!({"app": "web", "part": "loud"});
    }
    let scenario = Scenario::new("wr-half")
        .apply(&manifest(&[silent, loud, service("ClusterIP")]))
        .until("both say Ready", pods_ready(2));
    let answer = wait(&scenario, "service/web", &["--once"]);
    assert_eq!(answer.exit, 124, "{}", answer.stdout);
    assert!(
        reason(&answer).contains("1 of 2 endpoints answer, pod silent-"),
        "{}",
        answer.stdout
    );
}

#[test]
fn a_wrong_target_port_is_not_ready() {
    let mut lost = service("ClusterIP");
    lost["spec"]["ports"][0]["targetPort"] = 9090.into();
    let scenario = Scenario::new("wr-port")
        .apply(&manifest(&[web(1, json!({}), json!({})), lost]))
        .until("it says Ready", pods_ready(1));
    let answer = wait(&scenario, "deployment/web", &["--once"]);
    assert_eq!(answer.exit, 124, "{}", answer.stdout);
    assert!(reason(&answer).contains("connection refused"), "{}", answer.stdout);
}

#[test]
fn a_pod_that_ends_soon_after_it_was_ready_is_not_ready() {
    let short = web(1, json!({"EXIT_AFTER": "2s", "EXIT_CODE": "1"}), json!({}));
    let scenario = Scenario::new("wr-short").apply(&manifest(&[short, service("ClusterIP")]));
    let answer = wait(&scenario, "deployment/web", &[]);
    assert_eq!(state(&answer), (3, "failed"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["rootCauses"][0]["code"], "ContainerCrashing", "{}", answer.stdout);
}

#[test]
fn a_load_balancer_that_comes_late_is_waited_for() {
    let mut late = service("LoadBalancer");
    late["metadata"]["annotations"] = json!({"podlife.test/load-balancer": "20"});
    let scenario = Scenario::new("wr-late").apply(&manifest(&[web(1, json!({}), probe()), late]));
    let answer = wait(&scenario, "deployment/web", &[]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["provenBy"], "load-balancer");
    assert!(
        answer.json["phases"][0]["readyAfterSeconds"].as_f64() > Some(10.0),
        "{}",
        answer.stdout
    );
}

#[test]
fn without_the_right_to_check_the_state_is_unknown() {
    let scenario = Scenario::new("wr-rights").apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]));
    let account = viewer(&scenario);
    let answer = wait(&scenario, "deployment/web", &["--as", &account]);
    assert_eq!(state(&answer), (4, "unknown"), "{}{}", answer.stdout, answer.stderr);
    assert!(reason(&answer).contains("services/proxy is forbidden"), "{}", answer.stdout);
}

#[test]
fn an_ingress_counts_where_the_host_decides() {
    // The test application routes as an ingress controller does; its address is written into the status as one would.
    let scenario = Scenario::new("wr-ingress");
    let namespace = scenario.namespace.clone();
    let routed = |routes: &str| named(web(1, json!({"ROUTES": routes, "LISTEN": "0.0.0.0:8080"}), json!({})), "front");
    let balancer = named(service("LoadBalancer"), "front");
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {"rules": [{"host": "web.example.org", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]},
    });
    let backend = format!("http://web.{namespace}.svc.cluster.local:80");
    let scenario = scenario.apply(&manifest(&[
        web(1, json!({}), probe()),
        service("ClusterIP"),
        routed(&format!("web.example.org/={backend}")),
        balancer,
        ingress,
    ]));
    let front = wait(&scenario, "service/front", &["--tcp"]);
    assert_eq!(front.exit, 0, "{}{}", front.stdout, front.stderr);
    let address = scenario.kubectl(&["get", "service", "front", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"]);
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}).to_string();
    scenario.kubectl(&["patch", "ingress", "web", "--subresource=status", "--type=merge", "-p", &status]);
    let answer = wait(&scenario, "deployment/web", &[]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["provenBy"], "ingress");
    // The same for every host: whoever answers need not be behind this Ingress.
    let scenario = scenario.apply(&manifest(&[routed(&format!("*/={backend}"))]));
    let again = wait(&scenario, "service/front", &["--tcp"]);
    assert_eq!(again.exit, 0, "{}{}", again.stdout, again.stderr);
    let any = wait(&scenario, "deployment/web", &["--once"]);
    assert_eq!(any.exit, 124, "{}", any.stdout);
    assert!(reason(&any).contains("any other host gets the same answer"), "{}", any.stdout);
}

#[test]
fn exactly_the_printed_role_is_enough() {
    let scenario = Scenario::new("wr-role").apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]));
    let account = format!("serviceaccount:{}:waiter", scenario.namespace);
    let role = scenario.podlife(&["rbac", "wait-ready", "--bind", &account]);
    let scenario = scenario.apply(&role.stdout);
    let account = format!("system:{account}");
    let answer = wait(&scenario, "deployment/web", &["--as", &account]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["provenBy"], "service-proxy");
    // What is left are reads that only `--with nodes` grants.
    let unchecked = answer.json["unchecked"].as_array().unwrap();
    assert!(unchecked.iter().all(|u| u["resource"] == "nodes"), "{unchecked:?}");
    let text = scenario.podlife(&["wait-ready", "deployment/web", "--once", "--as", &account]);
    let unread: Vec<&str> = text.stdout.lines().filter(|line| line.starts_with("unread")).collect();
    assert_eq!(unread.len(), 1, "{}", text.stdout);
    let right = "forbidden; needs get nodes; see kubectl podlife rbac wait-ready --with nodes";
    assert!(unread[0].ends_with(right), "{}", text.stdout);
}
