//! What stands before a Service and looks at the host: Ingress with TLS, Gateway, and load balancers that speak TLS. The test application routes as
//! a controller does; what a controller writes into a status is written by the test.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::harness::{Scenario, gateway_types, pods_ready};
use super::{manifest, named, probe, reason, service, state, wait, web};
use crate::fake_api::Folder;

/// The controller: it ends TLS for `names`, and sends each host on.
fn controller(routes: &str, names: &str, more: Value) -> Vec<Value> {
    let mut environment = json!({"LISTEN": "0.0.0.0:8080,tls:0.0.0.0:8443", "ROUTES": routes, "TLS_NAMES": names});
    for (name, value) in more.as_object().unwrap() {
        environment[name] = value.clone();
    }
    let mut balancer = service("LoadBalancer");
    balancer["spec"]["ports"] =
        json!([{"name": "http", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}]);
    vec![named(web(1, environment, json!({})), "front"), named(balancer, "front")]
}

fn address(scenario: &Scenario) -> String {
    let path = "jsonpath={.status.loadBalancer.ingress[0].ip}";
    scenario.wait("the controller has an address", |s| {
        !s.kubectl(&["get", "service", "front", "-o", path]).is_empty()
    });
    scenario.kubectl(&["get", "service", "front", "-o", path])
}

/// The certificates that the controller has printed, as a file.
fn authorities(scenario: &Scenario, folder: &Folder) -> PathBuf {
    let mut log = String::new();
    scenario.wait("the controller has printed its certificates", |s| {
        s.kubectl(&["logs", "deployment/front"]).contains("END CERTIFICATE")
    });
    log.push_str(&scenario.kubectl(&["logs", "deployment/front"]));
    let path = folder.0.join("ca.pem");
    std::fs::write(&path, log).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_ingress_with_tls_is_asked_by_sni_and_its_certificate_is_checked() {
    let scenario = Scenario::new("wr-tls");
    let folder = Folder::new();
    let backend = format!("http://web.{}.svc.cluster.local:80", scenario.namespace);
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
        "spec": {
            "tls": [{"hosts": ["web.example.org"], "secretName": "web-tls"}],
            "rules": [{"host": "web.example.org", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}],
        },
    });
    let mut objects = controller(&format!("web.example.org/={backend}"), "web.example.org", json!({}));
    objects.extend([web(1, json!({}), probe()), service("ClusterIP"), ingress]);
    let scenario = scenario.apply(&manifest(&objects)).until("all are ready", pods_ready(2));
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address(&scenario)}]}}}).to_string();
    scenario.kubectl(&["patch", "ingress", "web", "--subresource=status", "--type=merge", "-p", &status]);
    let ca = authorities(&scenario, &folder);
    let ask = |arguments: &[&str]| wait(&scenario, "deployment/web", &[&["--once"], arguments].concat());
    let trusted = ask(&["--ca-file", text(&ca)]);
    assert_eq!(state(&trusted), (0, "ready"), "{}{}", trusted.stdout, trusted.stderr);
    assert_eq!(trusted.json["provenBy"], "ingress");
    let untrusted = ask(&[]);
    assert_eq!(untrusted.exit, 124, "{}", untrusted.stdout);
    assert!(reason(&untrusted).contains("authority that is not trusted"), "{}", untrusted.stdout);
    assert!(
        reason(&untrusted).contains("ingress web.example.org at") && reason(&untrusted).contains(":443"),
        "{}",
        untrusted.stdout
    );
    let insecure = ask(&["--insecure-skip-tls-verify-application"]);
    assert_eq!(state(&insecure), (0, "ready"), "{}{}", insecure.stdout, insecure.stderr);
    // Another name than the certificate's.
    let mut other = controller(&format!("web.example.org/={backend}"), "other.example.org", json!({}));
    let scenario = scenario.apply(&manifest(&[other.remove(0)]));
    let rolled = wait(&scenario, "deployment/front", &["--tcp", "--stable-for", "0", "--old-gone"]);
    assert_eq!(rolled.exit, 0, "{}{}", rolled.stdout, rolled.stderr);
    let ca = authorities(&scenario, &folder);
    let wrong = wait(&scenario, "deployment/web", &["--once", "--ca-file", text(&ca)]);
    assert_eq!(wrong.exit, 124, "{}", wrong.stdout);
    assert!(
        reason(&wrong).contains("its certificate is for default.invalid, not for web.example.org"),
        "{}",
        wrong.stdout
    );
    // Every host gets the same, so that nothing is proven.
    let mut any = controller(&format!("*/={backend}"), "web.example.org", json!({}));
    let scenario = scenario.apply(&manifest(&[any.remove(0)]));
    let rolled = wait(&scenario, "deployment/front", &["--tcp", "--stable-for", "0", "--old-gone"]);
    assert_eq!(rolled.exit, 0, "{}{}", rolled.stdout, rolled.stderr);
    let ca = authorities(&scenario, &folder);
    let any = wait(&scenario, "deployment/web", &["--once", "--ca-file", text(&ca)]);
    assert_eq!(any.exit, 124, "{}", any.stdout);
    assert!(reason(&any).contains("any other host gets the same answer"), "{}", any.stdout);
}

#[test]
fn a_load_balancer_that_speaks_tls_is_spoken_to_in_tls() {
    let folder = Folder::new();
    let mut secured = named(service("LoadBalancer"), "front");
    secured["spec"]["ports"] = json!([{"port": 443, "targetPort": 8443}]);
    let environment = json!({"LISTEN": "tls:0.0.0.0:8443", "TLS_NAMES": "shop.example.org"});
    let scenario = Scenario::new("wr-https")
        .apply(&manifest(&[named(web(1, environment, json!({})), "front"), secured]))
        .until("it is ready", pods_ready(1));
    let ask = |arguments: &[&str]| wait(&scenario, "service/front", &[&["--once"], arguments].concat());
    address(&scenario);
    // Nobody has said whose certificate it is to be.
    let unnamed = ask(&["--http", "/readyz"]);
    assert_eq!(state(&unnamed), (0, "ready"), "{}{}", unnamed.stdout, unnamed.stderr);
    assert_eq!(unnamed.json["provenBy"], "load-balancer");
    let ca = authorities(&scenario, &folder);
    let named = ask(&["--http", "/readyz", "--host", "shop.example.org", "--ca-file", text(&ca)]);
    assert_eq!(state(&named), (0, "ready"), "{}{}", named.stdout, named.stderr);
    let other = ask(&["--http", "/readyz", "--host", "till.example.org", "--ca-file", text(&ca)]);
    assert_eq!(other.exit, 124, "{}", other.stdout);
    assert!(
        reason(&other).contains("its certificate is for shop.example.org, not for till.example.org"),
        "{}",
        other.stdout
    );
    let status = ask(&["--http", "/status/404"]);
    assert!(reason(&status).contains("status 404"), "{}", status.stdout);
    // Pods that speak HTTPS, through the API server.
    let proxied = ask(&["--http", "/readyz", "--via", "service-proxy"]);
    assert_eq!(state(&proxied), (0, "ready"), "{}{}", proxied.stdout, proxied.stderr);
    for bad in ["/nowhere.pem", "/etc/hostname"] {
        let file = ask(&["--ca-file", bad]);
        assert_eq!(file.exit, 2, "{}", file.stderr);
    }
}

#[test]
fn a_gateway_is_asked_along_its_route() {
    gateway_types();
    let scenario = Scenario::new("wr-gateway");
    let folder = Folder::new();
    let namespace = scenario.namespace.clone();
    let backend = format!("http://web.{namespace}.svc.cluster.local:80");
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge"},
        "spec": {"gatewayClassName": "test", "listeners": [
            {"name": "plain", "protocol": "HTTP", "port": 80},
            {"name": "secure", "protocol": "HTTPS", "port": 443, "hostname": "*.example.org", "tls": {"certificateRefs": [{"name": "cert"}]}}]},
    });
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"},
        "spec": {
            "parentRefs": [{"name": "edge", "sectionName": "secure"}], "hostnames": ["web.example.org"],
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/shop"}}], "backendRefs": [{"name": "web", "port": 80}]}],
        },
    });
    let mut objects = controller(&format!("web.example.org/shop={backend}"), "web.example.org", json!({}));
    objects.extend([web(1, json!({}), json!({})), service("ClusterIP"), gateway, route]);
    let scenario = scenario.apply(&manifest(&objects)).until("all are ready", pods_ready(2));
    let ca = authorities(&scenario, &folder);
    let waiting = wait(&scenario, "deployment/web", &["--once"]);
    assert_eq!(waiting.exit, 124, "no controller has taken it up: {}", waiting.stdout);
    let good = |type_: &str| json!({"type": type_, "status": "True", "reason": type_, "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let of_gateway = json!({"status": {"addresses": [{"type": "IPAddress", "value": address(&scenario)}], "conditions": [good("Accepted"), good("Programmed")]}});
    let of_route = json!({"status": {"parents": [{
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "sectionName": "secure"},
        "controllerName": "podlife.test/gateway", "conditions": [good("Accepted"), good("ResolvedRefs")]}]}});
    let patch = |kind: &str, name: &str, status: &Value| {
        scenario.kubectl(&[
            "patch",
            kind,
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ]);
    };
    patch("gateway.gateway.networking.k8s.io", "edge", &of_gateway);
    patch("httproute", "web", &of_route);
    let answer = wait(&scenario, "deployment/web", &["--once", "--ca-file", text(&ca)]);
    assert_eq!(state(&answer), (0, "ready"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["provenBy"], "gateway", "{}", answer.stdout);
    let untrusted = wait(&scenario, "httproute/web", &["--once"]);
    assert_eq!(untrusted.exit, 124, "{}", untrusted.stdout);
    assert!(
        reason(&untrusted).contains("gateway web.example.org at") && reason(&untrusted).contains("not trusted"),
        "{}",
        untrusted.stdout
    );
    // A Gateway of another namespace, which is where most are.
    let elsewhere = Scenario::new("wr-routed");
    let backend = format!("http://web.{}.svc.cluster.local:80", elsewhere.namespace);
    let mut moved = controller(&format!("far.example.org/={backend}"), "far.example.org", json!({}));
    let scenario = scenario.apply(&manifest(&[moved.remove(0)]));
    let rolled = wait(&scenario, "deployment/front", &["--tcp", "--stable-for", "0", "--old-gone"]);
    assert_eq!(rolled.exit, 0, "{}{}", rolled.stdout, rolled.stderr);
    let ca = authorities(&scenario, &folder);
    let parent = json!({"name": "edge", "namespace": namespace, "sectionName": "secure"});
    let far = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "far"},
        "spec": {"parentRefs": [parent], "hostnames": ["far.example.org"], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
    });
    let elsewhere = elsewhere
        .apply(&manifest(&[web(1, json!({}), json!({})), service("ClusterIP"), far]))
        .until("it is ready", pods_ready(1));
    let mut parents = of_route.clone();
    parents["status"]["parents"][0]["parentRef"]["namespace"] = namespace.as_str().into();
    elsewhere.kubectl(&[
        "patch",
        "httproute",
        "far",
        "--subresource=status",
        "--type=merge",
        "-p",
        &parents.to_string(),
    ]);
    let routed = wait(&elsewhere, "deployment/web", &["--stable-for", "0", "--ca-file", text(&ca)]);
    assert_eq!(
        (state(&routed), &routed.json["provenBy"]),
        ((0, "ready"), &json!("gateway")),
        "{}{}",
        routed.stdout,
        routed.stderr
    );
}
