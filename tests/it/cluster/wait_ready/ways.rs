//! Ways to ask that are not plain HTTP along a load balancer, and Services of every kind.

use serde_json::{Value, json};

use super::super::harness::{Scenario, pods_ready};
use super::{manifest, named, probe, reason, service, state, viewer, wait, web};

/// A port of the Service, by fields of its own.
fn with_port(mut service: Value, port: Value) -> Value {
    service["spec"]["ports"] = json!([port]);
    service
}

const ONCE: [&str; 3] = ["--stable-for", "0", "--once"];

#[test]
fn a_grpc_server_is_asked_for_its_health() {
    let grpc_probe = json!({"readinessProbe": {"grpc": {"port": 9000}, "periodSeconds": 1}});
    let environment = json!({"LISTEN": "grpc:0.0.0.0:9000,grpcs:0.0.0.0:9443", "GRPC_SERVICE": "shop.Cart"});
    let port = json!({"port": 9000, "targetPort": 9000});
    let mut over_tls = named(with_port(service("LoadBalancer"), json!({"port": 443, "targetPort": 9443})), "web");
    over_tls["metadata"]["name"] = "tls".into();
    let scenario = Scenario::new("wr-grpc").apply(&manifest(&[
        web(1, environment, grpc_probe),
        with_port(service("LoadBalancer"), port.clone()),
        over_tls,
        named(
            web(1, json!({"LISTEN": "grpc:0.0.0.0:9000", "READY_STATUS": "503"}), json!({})),
            "sick",
        ),
        named(
            with_port(
                service("ClusterIP"),
                json!({"port": 9000, "targetPort": 9000, "appProtocol": "kubernetes.io/h2c"}),
            ),
            "sick",
        ),
        named(web(1, json!({}), json!({})), "plain"),
        named(with_port(service("LoadBalancer"), json!({"port": 8080})), "plain"),
    ]));
    let by_probe = wait(&scenario, "service/web", &[]);
    assert_eq!(state(&by_probe), (0, "ready"), "{}{}", by_probe.stdout, by_probe.stderr);
    let asked = &by_probe.json["application"]["asked"][0];
    assert_eq!((&asked["ask"], &asked["via"]), (&json!("grpc"), &json!("load-balancer")), "{asked}");
    let ask = |target: &str, arguments: &[&str]| wait(&scenario, target, &[&ONCE, arguments].concat());
    assert_eq!(ask("service/web", &["--grpc=shop.Cart"]).exit, 0);
    let secured = ask("service/tls", &["--grpc"]);
    assert_eq!(secured.exit, 0, "{}{}", secured.stdout, secured.stderr);
    let unknown = ask("service/web", &["--grpc=shop.Till"]);
    assert_eq!(unknown.exit, 124, "{}", unknown.stdout);
    assert!(
        reason(&unknown).contains("does not know the requested service"),
        "{}",
        unknown.stdout
    );
    // A forwarded port carries it, the API server's proxy does not.
    let forwarded = ask("service/web", &["--grpc", "--via", "port-forward"]);
    assert_eq!(state(&forwarded), (0, "ready"), "{}{}", forwarded.stdout, forwarded.stderr);
    assert_eq!(forwarded.json["provenBy"], "port-forward");
    let proxied = ask("service/web", &["--grpc", "--via", "service-proxy"]);
    assert_eq!(state(&proxied), (4, "unknown"), "{}", proxied.stdout);
    // Not serving, and found out by itself because of what the Service says of its port.
    let scenario = scenario.until("all say Ready", pods_ready(3));
    let sick = wait(&scenario, "service/sick", &ONCE);
    assert_eq!(sick.exit, 124, "{}", sick.stdout);
    assert!(reason(&sick).contains("NOT_SERVING"), "{}", sick.stdout);
    let plain = wait(&scenario, "service/plain", &[&ONCE[..], &["--grpc"]].concat());
    assert_eq!(plain.exit, 124, "{}", plain.stdout);
    assert!(
        reason(&plain).contains("does not answer in the expected protocol"),
        "{}",
        plain.stdout
    );
    let balancer = scenario.kubectl(&["get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"]);
    let url = wait(
        &scenario,
        "service/web",
        &["--once", "--via", &format!("grpc://{balancer}:9000/shop.Cart"), "-v", "6"],
    );
    // What goes past the API server is shown like the requests to it.
    let shown = format!("] HEALTH grpc://{balancer}:9000/shop.Cart Serving in ");
    assert!(url.stderr.contains(&shown), "{}", url.stderr);
    assert_eq!(
        (url.exit, &url.json["provenBy"]),
        (0, &json!("url")),
        "{}{}",
        url.stdout,
        url.stderr
    );
}

#[test]
fn a_port_that_does_not_speak_http_is_sent_nothing() {
    // It ends when it is sent something: then the pod would be started again, and not be ready.
    let redis = web(1, json!({"LISTEN": "tcp:0.0.0.0:6379", "TCP_STRICT": "1"}), json!({}));
    let scenario = Scenario::new("wr-plain").apply(&manifest(&[
        redis,
        with_port(service("ClusterIP"), json!({"port": 6379, "name": "redis"})),
    ]));
    let answer = wait(&scenario, "deployment/web", &[]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["provenBy"], "port-forward");
    assert_eq!(answer.json["application"]["asked"][0]["ask"], "tcp");
    let restarts = scenario.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"]);
    assert_eq!(restarts, "0");
    let proxied = wait(&scenario, "deployment/web", &["--once", "--via", "service-proxy"]);
    assert_eq!(state(&proxied), (4, "unknown"), "{}", proxied.stdout);
    // Without the right to forward there is no way.
    let account = viewer(&scenario);
    let forbidden = wait(&scenario, "deployment/web", &["--as", &account, "--once"]);
    assert_eq!(state(&forbidden), (4, "unknown"), "{}{}", forbidden.stdout, forbidden.stderr);
    assert!(reason(&forbidden).contains("pods/portforward is forbidden"), "{}", forbidden.stdout);
}

#[test]
fn services_of_every_kind_are_asked() {
    let mut headless = service("ClusterIP");
    headless["metadata"]["name"] = "headless".into();
    headless["spec"]["clusterIP"] = "None".into();
    let mut node_port = service("NodePort");
    node_port["metadata"]["name"] = "nodes".into();
    let bare = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "bare"},
        "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
    });
    let scenario = Scenario::new("wr-kinds")
        .apply(&manifest(&[web(1, json!({}), probe()), headless, node_port, bare]))
        .until("it is ready", pods_ready(1));
    let headless = wait(&scenario, "service/headless", &ONCE);
    assert_eq!(state(&headless), (0, "ready"), "{}{}", headless.stdout, headless.stderr);
    let node = wait(&scenario, "service/nodes", &[&ONCE[..], &["--via", "node-port"]].concat());
    assert_eq!(
        (state(&node), &node.json["provenBy"]),
        ((0, "ready"), &json!("node-port")),
        "{}{}",
        node.stdout,
        node.stderr
    );
    let none = wait(&scenario, "service/headless", &[&ONCE[..], &["--via", "node-port"]].concat());
    assert_eq!(state(&none), (4, "unknown"), "{}", none.stdout);
    // Without a selector its EndpointSlices decide: none, one that nobody answers at, one that answers.
    let without = wait(&scenario, "service/bare", &ONCE);
    assert_eq!(without.exit, 124, "{}", without.stdout);
    let address = scenario.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].status.podIP}"]);
    let slice = |port: u16| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "bare-1", "labels": {"kubernetes.io/service-name": "bare"}},
            "ports": [{"port": port, "protocol": "TCP", "name": ""}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
        })
        .to_string()
    };
    let inside = ["--probe-image", "busybox:1.36", "--stable-for", "0"];
    let scenario = scenario.apply(&slice(8081));
    let by_server = wait(&scenario, "service/bare", &ONCE);
    assert_eq!(state(&by_server), (4, "unknown"), "{}", by_server.stdout);
    assert!(reason(&by_server).contains("reaches pods only"), "{}", by_server.stdout);
    let wrong = wait(&scenario, "service/bare", &[&inside[..], &["--once"]].concat());
    assert_eq!(wrong.exit, 124, "{}{}", wrong.stdout, wrong.stderr);
    assert!(reason(&wrong).contains("connection refused"), "{}", wrong.stdout);
    let scenario = scenario.apply(&slice(8080));
    let right = wait(&scenario, "service/bare", &inside);
    assert_eq!(state(&right), (0, "ready"), "{}{}", right.stdout, right.stderr);
    let mut headless = wait(&scenario, "service/headless", &inside);
    assert_eq!(state(&headless), (0, "ready"), "{}{}", headless.stdout, headless.stderr);
    assert_eq!(headless.json["provenBy"].take(), "in-cluster");
}

#[test]
fn another_name_must_resolve_and_answer() {
    let external = |name: &str, to: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": "ExternalName", "externalName": to}});
    let scenario = Scenario::new("wr-external");
    let inside = format!("web.{}.svc.cluster.local", scenario.namespace);
    let mut declared = external("declared", &inside);
    declared["spec"]["ports"] = json!([{"port": 80}]);
    let scenario = scenario.apply(&manifest(&[
        web(1, json!({}), probe()),
        service("ClusterIP"),
        external("here", "localhost"),
        external("nowhere", "nowhere.invalid"),
        external("inside", &inside),
        external("lost", "other.nowhere.svc.cluster.local"),
        declared,
    ]));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let here = wait(&scenario, "service/here", &["--stable-for", "0"]);
    assert_eq!(state(&here), (0, "ready"), "{}{}", here.stdout, here.stderr);
    assert_eq!(here.json["application"]["asked"][0]["ask"], "dns");
    let open = wait(&scenario, "service/here", &[&ONCE[..], &["--tcp", "--port", &port]].concat());
    assert_eq!(state(&open), (0, "ready"), "{}{}", open.stdout, open.stderr);
    drop(listener);
    let closed = wait(&scenario, "service/here", &[&ONCE[..], &["--tcp", "--port", &port]].concat());
    assert_eq!(closed.exit, 124, "{}", closed.stdout);
    assert!(reason(&closed).contains("connection refused"), "{}", closed.stdout);
    let nowhere = wait(&scenario, "service/nowhere", &ONCE);
    assert_eq!(nowhere.exit, 124, "{}", nowhere.stdout);
    assert!(reason(&nowhere).contains("does not resolve"), "{}", nowhere.stdout);
    let inside = wait(&scenario, "service/inside", &ONCE);
    assert_eq!(state(&inside), (4, "unknown"), "{}", inside.stdout);
    assert!(reason(&inside).contains("only the cluster resolves"), "{}", inside.stdout);
    let scenario = scenario.until("the application is ready", pods_ready(1));
    let ask = |target: &str| {
        wait(
            &scenario,
            target,
            &[&ONCE[..], &["--http", "/readyz", "--probe-image", "busybox:1.36"]].concat(),
        )
    };
    let from_inside = ask("service/inside");
    assert_eq!(state(&from_inside), (0, "ready"), "{}{}", from_inside.stdout, from_inside.stderr);
    assert_eq!(from_inside.json["provenBy"], "in-cluster");
    let by_port = wait(
        &scenario,
        "service/declared",
        &[&ONCE[..], &["--probe-image", "busybox:1.36"]].concat(),
    );
    assert_eq!(state(&by_port), (0, "ready"), "{}{}", by_port.stdout, by_port.stderr);
    assert_eq!(by_port.json["provenBy"], "in-cluster");
    let portless = wait(
        &scenario,
        "service/inside",
        &[&ONCE[..], &["--probe-image", "busybox:1.36"]].concat(),
    );
    assert_eq!(state(&portless), (4, "unknown"), "{}", portless.stdout);
    assert!(reason(&portless).contains("--http or --port must say what"), "{}", portless.stdout);
    let lost = ask("service/lost");
    assert_eq!(lost.exit, 124, "{}{}", lost.stdout, lost.stderr);
    assert!(reason(&lost).contains("does not resolve"), "{}", lost.stdout);
}

#[test]
fn a_service_without_endpoints_is_a_failure() {
    let scenario = Scenario::new("wr-none").apply(&manifest(&[web(0, json!({}), probe()), service("ClusterIP")]));
    for check in [&["--http", "/"][..], &["--tcp"], &[]] {
        let answer = wait(&scenario, "service/web", check);
        assert_eq!(state(&answer), (3, "failed"), "{check:?} {}{}", answer.stdout, answer.stderr);
        assert!(reason(&answer).contains("scaled to zero"), "{}", answer.stdout);
    }
}

#[test]
fn the_hop_that_does_not_answer_is_named() {
    // The load balancer has an address, and does not take this client: what is behind it answers.
    let mut closed = service("LoadBalancer");
    closed["spec"]["loadBalancerSourceRanges"] = json!(["192.0.2.0/24"]);
    let scenario = Scenario::new("wr-hop").apply(&manifest(&[web(1, json!({}), probe()), closed]));
    let answer = wait(&scenario, "deployment/web", &["--application-timeout", "8s", "--timeout", "2m"]);
    assert_eq!(answer.exit, 124, "{}{}", answer.stdout, answer.stderr);
    let said = reason(&answer);
    assert!(
        said.contains("its pods answer, and its Service by the API server, load balancer") && said.contains("does not: no connection"),
        "{said}"
    );
    assert!(said.contains("loadBalancerSourceRanges admits only 192.0.2.0/24"), "{said}");
}
