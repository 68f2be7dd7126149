//! What is seen once a year, and healthy things that look as if they were that.

use podlife::model::kind;
use serde_json::Value;

use super::node::PretendNode;
use super::probes::{deployment, root_causes};
use crate::cluster::harness::{Scenario, State, clean_up, event, gateway_types, kubectl, pods_ready, restarts, statuses};
use crate::cluster::objects::{self, Workload};

const IDLE: &str = "command: [sleep, '3600']";

/// A Deployment of the test application.
fn app(name: &str, container: &str) -> Workload {
    objects::app(name).container(container)
}

fn with_volume(name: &str, volume: &str, container: &str) -> Workload {
    deployment(name, container).pod(&format!("volumes: [{{name: v, {volume}}}]"))
}

fn pod(metadata: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{{metadata}}}, spec: {{terminationGracePeriodSeconds: 0, {spec}, \
         containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, {IDLE}}}]}}}}\n"
    )
}

pub fn age_of(time: &Value) -> Option<i64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    Some(jiff::Timestamp::now().duration_since(time).as_secs())
}

fn running_for(seconds: i64) -> impl Fn(&State) -> bool {
    move |state| {
        statuses(state, "app").count() > 0
            && statuses(state, "app").all(|s| age_of(&s["state"]["running"]["startedAt"]).is_some_and(|age| age > seconds))
    }
}

/// A PersistentVolume of its own class: volumes belong to the cluster.
pub struct Volume(String);

impl Volume {
    pub fn new(scenario: &Scenario, spec: &str) -> Self {
        let name = scenario.namespace.clone();
        let manifest = format!(
            "---\n{{apiVersion: v1, kind: PersistentVolume, metadata: {{name: {name}}}, spec: {{capacity: {{storage: 1Mi}}, \
             accessModes: [ReadWriteOnce], storageClassName: {name}, persistentVolumeReclaimPolicy: Retain, {spec}}}}}"
        );
        kubectl(&["apply", "-f", "-"], Some(&manifest));
        Self(name)
    }

    pub fn claim(&self) -> String {
        format!(
            "---\n{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: data}}, spec: {{storageClassName: {}, \
             accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}}}\n",
            self.0
        )
    }

    /// As an administrator does it who is in a hurry.
    fn remove(&self) {
        kubectl(&["delete", "pv", &self.0, "--ignore-not-found", "--wait=false"], None);
        let there = kubectl(&["get", "pv", &self.0, "--ignore-not-found", "-o", "name"], None);
        if !there.is_empty() {
            let finalizers = r#"{"metadata":{"finalizers":null}}"#;
            kubectl(&["patch", "pv", &self.0, "--type=merge", "-p", finalizers], None);
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        clean_up(&["delete", "pv", &self.0, "--ignore-not-found", "--wait=false"], None);
    }
}

pub fn claim_is(phase: &'static str) -> impl Fn(&Scenario) -> bool {
    move |scenario| scenario.list(&kind::CLAIM).iter().any(|claim| claim["status"]["phase"] == phase)
}

#[test]
fn a_claim_whose_volume_was_removed() {
    let scenario = Scenario::new("claim-lost").with_first_look();
    let volume = Volume::new(&scenario, "hostPath: {path: /tmp}");
    let scenario = scenario.apply(&volume.claim());
    scenario.wait("the claim is bound", claim_is("Bound"));
    volume.remove();
    scenario.wait("the claim is lost", claim_is("Lost"));
    scenario
        .apply(&pod(
            "name: wants",
            "volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]",
        ))
        .until("the scheduler has looked", event("FailedScheduling", "data"))
        .first_root_cause("ClaimLost", "", "persistentvolumeclaim/data");
}

#[test]
fn a_volume_that_is_on_another_node() {
    let scenario = Scenario::new("volume-far");
    let nowhere = "local: {path: /tmp}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: \
                   [{key: kubernetes.io/hostname, operator: In, values: [nowhere]}]}]}}";
    let volume = Volume::new(&scenario, nowhere);
    let scenario = scenario.apply(&volume.claim());
    scenario.wait("the claim is bound", claim_is("Bound"));
    scenario
        .apply(&pod(
            "name: wants",
            "volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]",
        ))
        .until("the scheduler has looked", event("FailedScheduling", "node affinity"))
        .until("a moment has passed", |state| {
            state.pods.iter().all(|p| age_of(&p["metadata"]["creationTimestamp"]) > Some(12))
        })
        .first_root_cause("Unschedulable", "volume", "pod/wants");
}

#[test]
fn a_mount_that_the_node_does_not_allow() {
    Scenario::new("mount-denied")
        .with_first_look()
        .apply(&with_volume(
            "api",
            "hostPath: {path: /sys/podlife-test, type: DirectoryOrCreate}",
            &format!("{IDLE}, volumeMounts: [{{name: v, mountPath: /v}}]"),
        ))
        .until("the mount has failed some times", |state| {
            let failed = |e: &Value| e["reason"] == "FailedMount" && e["count"].as_i64() >= Some(3);
            state.events.iter().any(failed)
        })
        .first_root_cause("VolumeMountFailing", "permission", "deployment/api");
}

#[test]
fn probes_that_mistake_the_protocol() {
    let tls = |port: u16| format!("env: [{{name: LISTEN, value: 'tls:0.0.0.0:{port}'}}]");
    let banner = "env: [{name: LISTEN, value: 'tcp:0.0.0.0:8080'}, {name: TCP_BANNER, value: 'SSH-2.0-x\\r\\n'}]".to_owned();
    let cases = [
        ("usual", tls(8443), "{path: /readyz, port: 8443}", "http-sent-to-https"),
        ("unusual", tls(8081), "{path: /readyz, port: 8081}", "http-sent-to-https"),
        (
            "plain",
            "env: []".to_owned(),
            "{path: /readyz, port: 8080, scheme: HTTPS}",
            "https-sent-to-http",
        ),
        ("banner", banner, "{path: /readyz, port: 8080, scheme: HTTPS}", "tls"),
    ];
    let manifest: String = cases
        .iter()
        .map(|(name, runs, probe, _)| app(name, &format!("{runs}, readinessProbe: {{httpGet: {probe}, periodSeconds: 2}}")).to_string())
        .collect();
    let scenario = Scenario::new("protocol")
        .apply(&manifest)
        .until("all probes have failed for longer than a start takes", running_for(32));
    let mut expected: Vec<String> = cases
        .iter()
        .map(|(name, _, _, cause)| format!("ReadinessProbeFailing ({cause}) deployment/{name}"))
        .collect();
    expected.sort();
    assert_eq!(root_causes(&scenario.diagnose()), expected);
}

#[test]
fn a_port_that_the_node_itself_uses() {
    Scenario::new("node-port")
        .with_first_look()
        .apply(&app("api", "env: [{name: LISTEN, value: '0.0.0.0:10250'}]").pod("hostNetwork: true"))
        .until("it has ended twice", restarts("app", 1))
        .first_root_cause("AddressInUse", "host-port", "deployment/api");
}

#[test]
fn files_that_the_kernel_cannot_start() {
    let scripts = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: scripts}
data: {plain: "not a program\n", windows: "\#!/bin/sh\r\nsleep 3600\r\n"}
"#
    .replace("\\#", "#");
    let runs = |name: &str| {
        with_volume(
            name,
            "configMap: {name: scripts, defaultMode: 0755}",
            &format!("command: [/s/{name}], volumeMounts: [{{name: v, mountPath: /s}}]"),
        )
    };
    let scenario = Scenario::new("exec-format")
        .apply(&format!("{scripts}{}{}", runs("plain"), runs("windows")))
        .until("both have ended twice", |state| {
            statuses(state, "app").filter(|s| s["restartCount"].as_i64() >= Some(1)).count() == 2
        });
    let answer = scenario.diagnose();
    assert_eq!(
        root_causes(&answer),
        [
            "ContainerCrashing (command-not-found) deployment/windows",
            "ContainerCrashing (exec-format) deployment/plain"
        ],
        "{}",
        answer.stdout
    );
    assert!(answer.stdout.contains("Windows line ends"), "{}", answer.stdout);
}

#[test]
fn a_pod_that_was_evicted_through_the_api() {
    let scenario = Scenario::new("drained")
        .apply(&pod("name: gone, finalizers: [podlife.test/hold]", "restartPolicy: Always"))
        .until("it runs", pods_ready(1));
    let namespace = scenario.namespace.clone();
    let eviction = format!(r#"{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"gone","namespace":"{namespace}"}}}}"#);
    let path = format!("/api/v1/namespaces/{namespace}/pods/gone/eviction");
    kubectl(&["create", "--raw", &path, "-f", "-"], Some(&eviction));
    let scenario = scenario.until("it has failed", |state| state.pods.iter().all(|p| p["status"]["phase"] == "Failed"));
    let soon = root_causes(&scenario.diagnose());
    let scenario = scenario.until("its end is overdue", |state| {
        state.pods.iter().all(|p| age_of(&p["metadata"]["deletionTimestamp"]) > Some(32))
    });
    let later = root_causes(&scenario.diagnose());
    scenario.kubectl(&["patch", "pod", "gone", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    assert_eq!(soon, ["PodEvicted (api) pod/gone"]);
    assert_eq!(later, ["PodStuckTerminating (finalizer) pod/gone"]);
}

#[test]
fn a_pod_that_a_taint_drove_away() {
    let scenario = Scenario::new("driven");
    let name = scenario.namespace.clone();
    let _node = PretendNode::with(&name, "", "NoExecute");
    let scenario = scenario
        .apply(&pod("name: gone, finalizers: [podlife.test/hold]", &format!("nodeName: {name}")))
        .until("the taint manager has taken it", |state| {
            state
                .pods
                .iter()
                .all(|p| p["status"]["conditions"].to_string().contains("DeletionByTaintManager"))
        });
    // What a kubelet reports when it has ended the containers.
    let failed = r#"{"status":{"phase":"Failed"}}"#;
    scenario.kubectl(&["patch", "pod", "gone", "--subresource=status", "--type=merge", "-p", failed]);
    let found = root_causes(&scenario.diagnose());
    scenario.kubectl(&["patch", "pod", "gone", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    assert_eq!(found, ["PodEvicted (taint) pod/gone"]);
}

/// Web servers behind a Service, and what else is wanted.
fn served(name: &str, more: &str) -> Scenario {
    let web = "command: [httpd, -f, -p, '8080'], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}";
    let service = "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}}\n";
    Scenario::new(name)
        .apply(&format!("{}{service}{more}", deployment("api", web)))
        .until("the pod is ready", pods_ready(1))
}

#[test]
fn a_certificate_that_is_not_there() {
    let scenario = served("no-cert", "");
    let class = scenario.namespace.clone();
    let of_cluster = format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: {class}}}, spec: {{controller: podlife.test/none}}}}"
    );
    kubectl(&["apply", "-f", "-"], Some(&of_cluster));
    let scenario = scenario.apply(&format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: shop}}, spec: {{ingressClassName: {class}, \
         tls: [{{hosts: [shop.example], secretName: shop-tls}}], rules: [{{host: shop.example, http: {{paths: \
         [{{path: /, pathType: Prefix, backend: {{service: {{name: api, port: {{number: 80}}}}}}}}]}}}}]}}}}"
    ));
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}"#;
    scenario.kubectl(&["patch", "ingress", "shop", "--subresource=status", "--type=merge", "-p", status]);
    let without = root_causes(&scenario.diagnose());
    let with = root_causes(&scenario.podlife(&["diagnose", "-o", "json", "--with", "secrets"]));
    kubectl(&["delete", "ingressclass", &class, "--wait=false"], None);
    assert!(without.is_empty(), "{without:?}");
    assert_eq!(with, ["IngressTlsSecretMissing (missing) ingress/shop"]);
}

fn slices(scenario: &Scenario) -> Vec<Value> {
    scenario.list(&kind::ENDPOINT_SLICE)
}

#[test]
fn endpoints_that_name_a_pod_of_the_past() {
    let scenario = served("stale", "");
    let listed = |scenario: &Scenario| slices(scenario).iter().any(|s| s["endpoints"][0]["conditions"]["ready"] == true);
    scenario.wait("the pod is an endpoint", listed);
    let slice = slices(&scenario)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    // The controller leaves a slice alone that is being deleted.
    let hold = r#"{"metadata":{"finalizers":["podlife.test/hold"]}}"#;
    scenario.kubectl(&["patch", "endpointslice", &slice, "--type=merge", "-p", hold]);
    scenario.kubectl(&["delete", "endpointslice", &slice, "--wait=false"]);
    scenario.kubectl(&["delete", "pods", "--all"]);
    let scenario = scenario.until("the pod is replaced", pods_ready(1));
    scenario.wait("it is not the lag of a moment", |scenario| {
        let held: Vec<_> = slices(scenario).into_iter().filter(|s| s["metadata"]["name"] == *slice).collect();
        let writes = held
            .iter()
            .flat_map(|s| s["metadata"]["managedFields"].as_array().into_iter().flatten());
        writes.filter_map(|write| age_of(&write["time"])).min() > Some(62)
    });
    let found = root_causes(&scenario.diagnose());
    scenario.kubectl(&[
        "patch",
        "endpointslice",
        &slice,
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    assert_eq!(found, ["EndpointsStale () service/api"]);
}

#[test]
fn a_load_balancer_that_leaves_out_the_nodes_of_its_pods() {
    let scenario = Scenario::new("local-policy");
    let name = scenario.namespace.clone();
    let _node = PretendNode::with(&name, ", node.kubernetes.io/exclude-from-external-load-balancers: ''", "NoSchedule");
    let scenario = scenario.apply(&format!(
        "{}---\n{{apiVersion: v1, kind: Service, metadata: {{name: api}}, spec: {{type: LoadBalancer, externalTrafficPolicy: Local, \
         selector: {{app: api}}, ports: [{{port: 80, targetPort: 8080}}]}}}}",
        pod(
            "name: api, labels: {app: api}",
            &format!("nodeName: {name}, tolerations: [{{operator: Exists}}]")
        )
    ));
    // What the kubelet of that node would report.
    let ready = r#"{"status":{"phase":"Running","podIP":"192.0.2.7","podIPs":[{"ip":"192.0.2.7"}],"conditions":[{"type":"Ready","status":"True"},{"type":"ContainersReady","status":"True"}],
        "containerStatuses":[{"name":"app","image":"busybox:1.36","imageID":"x","ready":true,"started":true,"restartCount":0,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}"#;
    scenario.kubectl(&["patch", "pod", "api", "--subresource=status", "--type=merge", "-p", ready]);
    let found = root_causes(&scenario.diagnose());
    scenario.kubectl(&["delete", "pod", "api", "--grace-period=0", "--force", "--wait=false"]);
    assert_eq!(found, ["LocalTrafficPolicyWithoutEndpoint () service/api"]);
}

/// A Gateway and a route to it, with what their controller says of each (type, status, reason).
fn gateway(name: &str, of_gateway: (&str, &str, &str), of_route: (&str, &str, &str)) -> Scenario {
    gateway_types();
    let scenario = served(name, "").apply(
        "
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge}, spec: {gatewayClassName: test, listeners: [{name: http, port: 80, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: shop}, spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: api, port: 80}]}]}}
",
    );
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |(type_, status, reason): (&str, &str, &str)| {
        serde_json::json!([{"type": type_, "status": status, "reason": reason, "message": "as the test wants it",
            "lastTransitionTime": now, "observedGeneration": 1}])
    };
    let programmed = serde_json::json!({"status": {"conditions": condition(of_gateway)}}).to_string();
    let parent =
        serde_json::json!({"parentRef": {"name": "edge"}, "controllerName": "podlife.test/none", "conditions": condition(of_route)});
    let accepted = serde_json::json!({"status": {"parents": [parent]}}).to_string();
    for (object, status) in [
        ("gateways.gateway.networking.k8s.io/edge", programmed),
        ("httproutes.gateway.networking.k8s.io/shop", accepted),
    ] {
        scenario.kubectl(&["patch", object, "--subresource=status", "--type=merge", "-p", &status]);
    }
    scenario
}

#[test]
fn a_gateway_that_gets_no_address() {
    gateway(
        "gw-address",
        ("Programmed", "False", "AddressNotAssigned"),
        ("Accepted", "True", "Accepted"),
    )
    .first_root_cause("GatewayNotProgrammed", "", "gateway/edge");
}

#[test]
fn a_route_that_no_listener_takes() {
    gateway(
        "gw-route",
        ("Programmed", "True", "Programmed"),
        ("Accepted", "False", "NotAllowedByListeners"),
    )
    .first_root_cause("RouteNotAccepted", "", "httproute/shop");
}

#[test]
fn a_gateway_that_works() {
    gateway("gw-fine", ("Programmed", "True", "Programmed"), ("Accepted", "True", "Accepted")).healthy();
}

#[test]
fn a_job_with_a_sidecar_that_completes() {
    let job = "
apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      initContainers:
      - {name: proxy, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, restartPolicy: Always, command: [sleep, '3600']}
      containers:
      - {name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'sleep 3']}
";
    let scenario = Scenario::new("sidecar-job").apply(job).until("the work runs", |state| {
        statuses(state, "app").any(|s| s["state"]["running"].is_object())
    });
    scenario.healthy();
    let scenario = scenario.until("the pod has succeeded", |state| {
        state.pods.iter().all(|p| p["status"]["phase"] == "Succeeded")
    });
    scenario.healthy();
}

#[test]
fn a_readiness_gate_that_was_opened() {
    let scenario = Scenario::new("gate-open")
        .apply(&pod("name: gated", "readinessGates: [{conditionType: podlife.test/open}]"))
        .until("its container runs", |state| statuses(state, "app").any(|s| s["ready"] == true));
    let open = r#"{"status":{"conditions":[{"type":"podlife.test/open","status":"True"}]}}"#;
    scenario.kubectl(&["patch", "pod", "gated", "--subresource=status", "-p", open]);
    scenario.until("the pod is ready", pods_ready(1)).healthy();
}

#[test]
fn a_stateful_set_in_the_middle_of_an_update() {
    let set = |version: &str| {
        format!(
            "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  replicas: 2
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}, annotations: {{version: '{version}'}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: busybox:1.36
        imagePullPolicy: IfNotPresent
        {IDLE}
        readinessProbe: {{exec: {{command: ['true']}}, initialDelaySeconds: 6, periodSeconds: 1}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: db}}, spec: {{clusterIP: None, selector: {{app: db}}, ports: [{{port: 80}}]}}}}
"
        )
    };
    let scenario = Scenario::new("set-update").apply(&set("1")).until("both are ready", pods_ready(2));
    scenario.healthy();
    let scenario = scenario.apply(&set("2")).until("the last one is new and starts", |state| {
        let db = state.pods.iter().find(|p| p["metadata"]["name"] == "db-1");
        db.is_some_and(|p| {
            p["metadata"]["annotations"]["version"] == "2" && p["status"]["containerStatuses"][0]["state"]["running"].is_object()
        })
    });
    let during = scenario.diagnose();
    assert!(root_causes(&during).is_empty(), "{}", during.stdout);
    let scenario = scenario.until("both are new and ready", |state| {
        pods_ready(2)(state) && state.pods.iter().all(|p| p["metadata"]["annotations"]["version"] == "2")
    });
    scenario.healthy();
}
