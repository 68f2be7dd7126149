//! What only time brings about. The objects are real and were saved from the cluster; they are judged as if some minutes had passed since.

use serde_json::Value;

use super::probes::{deployment, root_causes};
use crate::cluster::harness::{Answer, Scenario, event, pods_ready};
use crate::process;

/// What podlife says of the namespace as it is now, so many minutes later.
fn after(scenario: &Scenario, minutes: i64) -> Answer {
    let file = std::env::temp_dir().join(format!("{}.json", scenario.namespace));
    let path = file.to_str().unwrap();
    scenario.podlife(&["diagnose", "--save", path]);
    let mut saved: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let taken: jiff::Timestamp = saved["takenAt"].as_str().unwrap().parse().unwrap();
    saved["takenAt"] = (taken + jiff::SignedDuration::from_mins(minutes)).to_string().into();
    std::fs::write(&file, saved.to_string()).unwrap();
    let answer = process::podlife(&["diagnose", "--local", "-f", path, "-o", "json"]);
    std::fs::remove_file(&file).unwrap();
    answer
}

#[test]
fn a_scheduling_gate_that_stays_closed() {
    let manifest = "{apiVersion: v1, kind: Pod, metadata: {name: gated}, spec: {schedulingGates: [{name: example.com/wait}], \
                    containers: [{name: app, image: 'busybox:1.36'}]}}";
    let scenario = Scenario::new("gated-long").apply(manifest).until("it is gated", |state| {
        state
            .pods
            .iter()
            .any(|p| p["status"]["conditions"][0]["reason"] == "SchedulingGated")
    });
    assert!(root_causes(&after(&scenario, 9)).is_empty());
    assert_eq!(root_causes(&after(&scenario, 11)), ["Unschedulable (gated) pod/gated"]);
}

#[test]
fn a_load_balancer_that_a_provider_works_on_for_too_long() {
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: api, annotations: {podlife.test/load-balancer: never}}, \
                   spec: {type: LoadBalancer, selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}}";
    let scenario = Scenario::new("lb-waits")
        .apply(&(deployment("api", "command: [httpd, -f, -p, '8080']") + service))
        .until("the pod is ready", pods_ready(1));
    let uid = scenario.kubectl(&["get", "service", "api", "-o", "jsonpath={.metadata.uid}"]);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let namespace = &scenario.namespace;
    // The words of the service controller, which needs a cloud to say them.
    let ensuring = format!(
        "---\n{{apiVersion: v1, kind: Event, metadata: {{name: api.ensuring}}, reason: EnsuringLoadBalancer, message: Ensuring load balancer, \
         type: Normal, source: {{component: service-controller}}, firstTimestamp: '{now}', lastTimestamp: '{now}', count: 1, \
         involvedObject: {{apiVersion: v1, kind: Service, name: api, uid: {uid}, namespace: {namespace}}}}}"
    );
    let scenario = scenario.apply(&ensuring);
    assert!(root_causes(&after(&scenario, 3)).is_empty());
    assert_eq!(root_causes(&after(&scenario, 6)), ["LoadBalancerPending (waiting) service/api"]);
}

/// The kubelet's events are gone after an hour, and nothing else says why the pod is not ready.
#[test]
fn a_service_without_ready_pods_for_no_reason_that_is_left() {
    let idle = "command: [sleep, '3600'], volumeMounts: [{name: v, mountPath: /v}]";
    let volume = "volumes: [{name: v, hostPath: {path: /no/such, type: Directory}}]";
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80}]}}";
    let scenario = Scenario::new("unready-long")
        .apply(&(deployment("api", idle).pod(volume) + service))
        .until("its volume cannot be mounted", event("FailedMount", "hostPath type check failed"));
    let answer = after(&scenario, 65);
    assert_eq!(
        root_causes(&answer),
        ["ServiceHasNoReadyEndpoints () service/api"],
        "{}",
        answer.stdout
    );
}
