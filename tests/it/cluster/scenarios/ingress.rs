//! Ingresses that lead nowhere. The cluster has no ingress controller: a class and an address are given by hand, as one would.

use crate::cluster::harness::{Scenario, kubectl, pods_ready};

const API: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: api, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [httpd, -f, -p, "8080"], ports: [{name: http, containerPort: 8080}]}
---
{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{name: web, port: 80, targetPort: http}]}}
"#;

/// A class of its own for one test: classes belong to the cluster.
struct Class(String);

impl Class {
    fn new(scenario: &Scenario) -> Self {
        let name = scenario.namespace.clone();
        let manifest = format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: {name}}}, spec: {{controller: podlife.test/none}}}}"
        );
        kubectl(&["apply", "-f", "-"], Some(&manifest));
        Self(name)
    }
}

impl Drop for Class {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            kubectl(&["delete", "ingressclass", &self.0, "--wait=false"], None);
        }
    }
}

fn api(name: &str) -> (Scenario, Class) {
    let scenario = Scenario::new(name).apply(API).until("the pod is ready", pods_ready(1));
    let class = Class::new(&scenario);
    (scenario, class)
}

/// An Ingress to a Service and port, which its controller has given an address.
fn served(scenario: Scenario, class: &Class, service: &str, port: &str) -> Scenario {
    let scenario = scenario.apply(&ingress(&class.0, service, port));
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}"#;
    scenario.kubectl(&["patch", "ingress", "shop", "--subresource=status", "--type=merge", "-p", status]);
    scenario
}

fn ingress(class: &str, service: &str, port: &str) -> String {
    format!(
        r"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop}}
spec:
  ingressClassName: {class}
  rules:
  - host: shop.example
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{{port}}}}}}}}}
"
    )
}

#[test]
fn a_backend_that_does_not_exist() {
    let (scenario, class) = api("ing-backend");
    served(scenario, &class, "apy", "number: 80").first_root_cause("IngressBackendMissing", "", "ingress/shop");
}

#[test]
fn a_backend_port_that_the_service_does_not_have() {
    let (scenario, class) = api("ing-port");
    served(scenario, &class, "api", "number: 81").first_root_cause("IngressBackendPortMissing", "", "ingress/shop");
}

#[test]
fn a_backend_port_by_an_unknown_name() {
    let (scenario, class) = api("ing-name");
    served(scenario, &class, "api", "name: wbe").first_root_cause("IngressBackendPortMissing", "", "ingress/shop");
}

#[test]
fn the_port_of_the_pods_instead_of_the_service() {
    let (scenario, class) = api("ing-target");
    served(scenario, &class, "api", "number: 8080").first_root_cause("ServicePortMismatch", "", "ingress/shop");
}

#[test]
fn a_class_that_does_not_exist() {
    let (scenario, _class) = api("ing-class");
    let scenario = scenario.apply(&ingress("nowhere", "api", "number: 80"));
    scenario.first_root_cause("IngressClassMissing", "", "ingress/shop");
}

#[test]
fn an_address_that_never_comes() {
    let (scenario, class) = api("ing-address");
    let scenario = scenario.apply(&ingress(&class.0, "api", "number: 80"));
    scenario.healthy();
    scenario.wait("podlife finds a root cause", |s| !s.diagnose().root_cause().is_null());
    scenario.first_root_cause("IngressWithoutAddress", "", "ingress/shop");
}

#[test]
fn an_ingress_that_is_served() {
    let (scenario, class) = api("ing-fine");
    served(scenario, &class, "api", "name: web").healthy();
}
