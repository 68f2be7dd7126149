//! Services that lead nowhere, and Services that look as if they did.

use crate::cluster::harness::{Scenario, pods_ready};
use crate::cluster::objects::{Workload, busybox};

/// A Deployment that listens on 8080 (named `http`) under the label `app=NAME`.
fn listener(name: &str) -> Workload {
    busybox(name)
        .called(name)
        .at_once()
        .label("tier: back")
        .container("command: [httpd, -f, -p, '8080'], ports: [{name: http, containerPort: 8080}]")
        .container("readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}")
}

fn with_api(name: &str, service: &str) -> Scenario {
    Scenario::new(name)
        .apply(&format!("{}\n---\n{service}", listener("api")))
        .until("the pod is ready", pods_ready(1))
}

/// What is told only after a time, so that an object that was just applied is not accused.
fn later(scenario: &Scenario) {
    scenario.wait("podlife finds a root cause", |s| !s.diagnose().root_cause().is_null());
}

#[test]
fn a_selector_with_a_typo() {
    let scenario = with_api(
        "svc-slip",
        "{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: apii}, ports: [{port: 80, targetPort: http}]}}",
    );
    let answer = scenario.first_root_cause("ServiceSelectsNothing", "label-differs", "service/api");
    let summary = answer.root_cause()["summary"].as_str().unwrap_or_default().to_owned();
    assert!(summary.contains("app=apii") && summary.contains("deployment/api"), "{summary}");
    assert_eq!(answer.root_cause()["related"][0]["name"], "api");
}

#[test]
fn a_selector_with_one_label_too_many() {
    with_api(
        "svc-label",
        "{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api, release: v1}, ports: [{port: 80, targetPort: http}]}}",
    )
    .first_root_cause("ServiceSelectsNothing", "label-differs", "service/api");
}

#[test]
fn a_service_without_a_workload() {
    let scenario = with_api(
        "svc-alone",
        "{apiVersion: v1, kind: Service, metadata: {name: billing}, spec: {selector: {component: billing}, ports: [{port: 80}]}}",
    );
    later(&scenario);
    scenario.first_root_cause("ServiceSelectsNothing", "no-workload", "service/billing");
}

#[test]
fn a_service_in_the_wrong_namespace() {
    let label = format!("ledger-{:x}", std::process::id());
    let other = Scenario::new("svc-there")
        .apply(&listener(&label))
        .until("the pod is ready", pods_ready(1));
    let scenario = Scenario::new("svc-here").apply(&format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: books}}, spec: {{selector: {{app: {label}}}, ports: [{{port: 80, targetPort: 8080}}]}}}}"
    ));
    later(&scenario);
    let answer = scenario.first_root_cause("ServiceSelectsNothing", "wrong-namespace", "service/books");
    assert_eq!(answer.root_cause()["related"][0]["namespace"], other.namespace.as_str());
}

#[test]
fn a_service_without_selector_and_endpoints() {
    let scenario = with_api(
        "svc-bare",
        "{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {ports: [{port: 80}]}}",
    );
    later(&scenario);
    scenario.first_root_cause("ServiceSelectsNothing", "no-selector", "service/api");
}

#[test]
fn a_target_port_name_that_no_container_has() {
    let answer = with_api(
        "svc-name",
        "{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80, targetPort: htpp}]}}",
    )
    .first_root_cause("TargetPortNameUnresolved", "", "service/api");
    let fix = answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(fix.contains("to http"), "{fix}");
}

#[test]
fn a_service_that_speaks_udp_to_a_tcp_port() {
    with_api(
        "svc-udp",
        "{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80, protocol: UDP, targetPort: http}]}}",
    )
    .first_root_cause("ServiceProtocolMismatch", "", "service/api");
}

#[test]
fn a_load_balancer_without_controller() {
    let scenario = with_api(
        "svc-lb",
        "{apiVersion: v1, kind: Service, metadata: {name: api, annotations: {podlife.test/load-balancer: never}}, \
         spec: {type: LoadBalancer, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}",
    );
    scenario.healthy();
    later(&scenario);
    scenario.first_root_cause("LoadBalancerPending", "no-controller", "service/api");
}

#[test]
fn a_load_balancer_of_an_unknown_class() {
    let scenario = with_api(
        "svc-class",
        "{apiVersion: v1, kind: Service, metadata: {name: api}, \
         spec: {type: LoadBalancer, loadBalancerClass: example.com/none, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}",
    );
    later(&scenario);
    scenario.first_root_cause("LoadBalancerPending", "class-unknown", "service/api");
}

#[test]
fn a_load_balancer_whose_provider_fails() {
    let scenario = with_api(
        "svc-cloud",
        "{apiVersion: v1, kind: Service, metadata: {name: api, annotations: {podlife.test/load-balancer: never}}, \
         spec: {type: LoadBalancer, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}",
    );
    let uid = scenario.kubectl(&["get", "service", "api", "-o", "jsonpath={.metadata.uid}"]);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let namespace = scenario.namespace.clone();
    // The text of the service controller, which needs a cloud to say it.
    let scenario = scenario.apply(
        &format!(
            r#"
apiVersion: v1
kind: Event
metadata: {{name: api.sync-failed}}
involvedObject: {{apiVersion: v1, kind: Service, name: api, uid: {uid}, namespace: NAMESPACE}}
reason: SyncLoadBalancerFailed
message: "Error syncing load balancer: failed to ensure load balancer: could not find any suitable subnets for creating the ELB"
type: Warning
source: {{component: service-controller}}
firstTimestamp: "{now}"
lastTimestamp: "{now}"
count: 1
"#
        )
        .replace("NAMESPACE", &namespace),
    );
    scenario.first_root_cause("LoadBalancerPending", "provider-error", "service/api");
}

#[test]
fn a_selector_that_takes_another_application_too() {
    Scenario::new("svc-foreign")
        .apply(&format!(
            "{}{}\n---\n{}\n---\n{}",
            listener("api"),
            listener("worker"),
            "{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {tier: back}, ports: [{port: 80, targetPort: http}]}}",
            "{apiVersion: v1, kind: Service, metadata: {name: worker}, spec: {selector: {app: worker}, ports: [{port: 80, targetPort: http}]}}",
        ))
        .until("both pods are ready", pods_ready(2))
        .first_root_cause("ServiceSelectsForeignPods", "", "service/api");
}

/// Everything here is right, and each of it has misled a tool.
#[test]
fn services_that_only_look_wrong() {
    let services = r#"
---
{apiVersion: v1, kind: Service, metadata: {name: by-name}, spec: {selector: {app: api}, ports: [{port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: undeclared}, spec: {selector: {app: api}, ports: [{port: 80, targetPort: 9999}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {tier: back}, ports: [{port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: outside}, spec: {type: ExternalName, externalName: example.com}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-hand}, spec: {ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand-1, labels: {kubernetes.io/service-name: by-hand}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.10]}]
ports: [{port: 80}]
---
{apiVersion: v1, kind: Service, metadata: {name: canary}, spec: {selector: {tier: back}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: balanced}, spec: {type: LoadBalancer, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}
---
apiVersion: v1
kind: Service
metadata: {name: both}
spec:
  selector: {app: api}
  ports: [{name: tcp, port: 80, targetPort: 8080}, {name: udp, port: 80, protocol: UDP, targetPort: 8080}]
"#;
    let scenario = Scenario::new("svc-fine")
        .apply(&format!("{}{}{services}", listener("api"), listener("api-canary")))
        .until("both pods are ready", pods_ready(2));
    scenario.healthy();
}

/// A Service without a selector, and an EndpointSlice that somebody wrote for it.
fn written(name: &str, slice: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{ports: [{{name: http, port: 80}}]}}}}\n\
         ---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}, {slice}}}\n"
    )
}

#[test]
fn the_field_of_a_hand_made_slice_that_does_not_fit_the_service() {
    let well = "addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.1.2.3]}]";
    let unlabelled = written("bare", well).replace(", labels: {kubernetes.io/service-name: bare}", "");
    let manifest = [
        written("port", &well.replace("name: http", "name: web")),
        written(
            "family",
            "addressType: IPv6, ports: [{name: http, port: 8080}], endpoints: [{addresses: ['2001:db8::1']}]",
        ),
        written("unready", &well.replace("[10.1.2.3]", "[10.1.2.3], conditions: {ready: false}")),
        written("well", well),
        unlabelled,
    ]
    .concat();
    let scenario = Scenario::new("svc-slices").apply(&manifest);
    scenario.wait("podlife takes what is not ready for lasting", |s| {
        s.diagnose().json.to_string().contains("slice-unready")
    });
    let answer = scenario.diagnose();
    assert_eq!(
        super::probes::root_causes(&answer),
        [
            "ServiceHasNoReadyEndpoints (slice-family) service/family",
            "ServiceHasNoReadyEndpoints (slice-port) service/port",
            "ServiceHasNoReadyEndpoints (slice-unready) service/unready",
            "ServiceSelectsNothing (no-selector) service/bare",
        ]
    );
    let all = answer.json["rootCauses"].to_string();
    assert!(all.contains("set ports[].name: http in the EndpointSlice"), "{all}");
    assert!(all.contains("kubectl label endpointslice bare-1"), "{all}");
}

#[test]
fn a_service_whose_pods_answer_and_refuse() {
    let of = |name: &str, tier: &str, command: &str| {
        format!(
            "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{selector: {{matchLabels: {{app: shop, tier: {tier}}}}}, \
             template: {{metadata: {{labels: {{app: shop, tier: {tier}}}}}, spec: {{terminationGracePeriodSeconds: 0, \
             containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [{command}]}}]}}}}}}}}\n"
        )
    };
    let service = |tier: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: front}}, spec: {{selector: {{app: shop{tier}}}, ports: [{{port: 80, targetPort: 8080}}]}}}}\n"
        )
    };
    let manifest = of("web", "web", "httpd, -f, -p, '8080'") + &of("jobs", "jobs", "sleep, '3600'") + &service("");
    let scenario = Scenario::new("svc-mixed").apply(&manifest).until("both run", pods_ready(2));
    later(&scenario);
    let answer = scenario.first_root_cause("ServiceSelectsForeignPods", "", "service/front");
    let fix = answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default();
    assert!(
        fix.contains("add tier: web to spec.selector") && fix.contains("deployment/jobs"),
        "{fix}"
    );
    // With it, the other workload is nobody's business.
    scenario.apply(&service(", tier: web")).healthy();
}
