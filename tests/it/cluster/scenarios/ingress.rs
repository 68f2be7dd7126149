//! Ingresses that lead nowhere. The cluster has no ingress controller: a class and an address are given by hand, as one would.

use podlife::model::kind;

use crate::cluster::harness::{Scenario, clean_up, kubectl, pods_ready};
use crate::cluster::objects::{app, busybox, service};

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
        clean_up(&["delete", "ingressclass", &self.0, "--wait=false", "--ignore-not-found"], None);
    }
}

fn api(name: &str) -> (Scenario, Class) {
    let api = busybox("api")
        .called("api")
        .at_once()
        .container("command: [httpd, -f, -p, '8080'], ports: [{name: http, containerPort: 8080}]")
        .ports("{name: web, port: 80, targetPort: http}");
    let scenario = Scenario::new(name).apply(&api).until("the pod is ready", pods_ready(1));
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

/// What an ingress controller does for HTTPS: one address that serves a certificate for these names.
fn controller(names: &str) -> String {
    let controller = app("controller")
        .at_once()
        .env("LISTEN", "tls:0.0.0.0:8443")
        .env("TLS_NAMES", names)
        .container("readinessProbe: {httpGet: {path: /readyz, port: 8443, scheme: HTTPS}, periodSeconds: 1}");
    let spec = "{type: LoadBalancer, selector: {app: controller}, ports: [{name: https, port: 443, targetPort: 8443}]}";
    controller + service("controller", spec)
}

/// An Ingress with TLS for shop.example, whose address is a load balancer that serves a certificate for these names.
fn secured(name: &str, names: &str) -> (Scenario, Class) {
    let (scenario, class) = api(name);
    let scenario =
        scenario
            .apply(&controller(names))
            .until("all run", pods_ready(2))
            .apply(&ingress(&class.0, "api", "number: 80").replace(
                "  rules:",
                "  tls: [{hosts: [shop.example, '*.cdn.example'], secretName: shop-tls}]\n  rules:",
            ));
    let address = |scenario: &Scenario| {
        let services = scenario.list(&kind::SERVICE);
        let controller = services.iter().find(|s| s["metadata"]["name"] == "controller");
        let points = controller
            .map(|s| s["status"]["loadBalancer"]["ingress"].clone())
            .unwrap_or_default();
        points[0]["ip"].as_str().map(str::to_owned)
    };
    scenario.wait("the load balancer has an address", |s| address(s).is_some());
    let status = format!(
        r#"{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{}"}}]}}}}}}"#,
        address(&scenario).unwrap()
    );
    scenario.kubectl(&["patch", "ingress", "shop", "--subresource=status", "--type=merge", "-p", &status]);
    (scenario, class)
}

#[test]
fn a_certificate_for_another_host() {
    let (scenario, _class) = secured("ing-cert", "ingress.local,*.cdn.example");
    let answer = scenario.first_root_cause("IngressTlsSecretMissing", "host-mismatch", "ingress/shop");
    let shown = scenario.podlife(&["diagnose", "-v", "6"]).stderr;
    let look = shown.lines().find(|line| line.contains("] TLS shop.example at "));
    assert!(
        look.is_some_and(|line| line.contains(" its certificate is for other names in ")),
        "{shown}"
    );
    let root = answer.root_cause();
    assert_eq!(
        (&root["confidence"], &root["subject"]["port"]),
        (&"proven".into(), &"shop.example".into()),
        "{root}"
    );
    assert!(root["summary"].as_str().unwrap().contains("ingress.local"), "{root}");
    // Saved, it is judged the same without the cluster; and where nothing may be connected to, nothing is said.
    let file = std::env::temp_dir().join(format!("{}.json", scenario.namespace));
    let path = file.display().to_string();
    scenario.podlife(&["diagnose", "--save", &path]);
    let again = crate::process::podlife(&["diagnose", "--local", "-f", &path, "-o", "json"]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(again.root_cause()["id"], root["id"], "{}", again.json);
    assert_eq!(scenario.podlife(&["diagnose", "--no-dial"]).exit, 0);
}

#[test]
fn a_certificate_for_all_hosts() {
    let (scenario, _class) = secured("ing-cert-fine", "shop.example,*.cdn.example");
    scenario.healthy();
}
