//! Faults of a cluster's own parts. They would hit every other test, so that they are made in a cluster that one test starts for itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use podlife::model::kind;

use super::drill::network::a_policy_that_nobody_enforces_is_no_fault;
use super::harness::{Scenario, both, established, event, kubectl, pods_ready, restarts, turn_to, waiting};
use super::objects::{Workload, busybox};
use super::wait_ready::restart::outlived;

const PREFIX: &str = "podlife-own-";

/// A second test cluster, beside the shared one; it ends with the test.
struct OwnCluster {
    script: PathBuf,
    state: PathBuf,
}

impl OwnCluster {
    /// None where the tests run in a cluster that they were given: they cannot start one like it.
    fn start() -> Option<Self> {
        let script = PathBuf::from(std::env::var_os("PODLIFE_TEST_CLUSTER")?);
        remove_left_over(&script);
        let state = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        let cluster = Self { script, state };
        cluster.run(&["up"]);
        turn_to(cluster.state.join("admin.kubeconfig").to_str());
        Some(cluster)
    }

    fn run(&self, arguments: &[&str]) {
        let status = command(&self.script, &self.state, arguments).status().unwrap();
        assert!(status.success(), "cluster {arguments:?}: {status}");
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        turn_to(None);
        remove(&self.script, &self.state);
    }
}

fn command(script: &Path, state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(script);
    command
        .args(arguments)
        .env("PODLIFE_TEST_STATE", state)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn remove(script: &Path, state: &Path) {
    let ended = command(script, state, &["down"]).status().is_ok_and(|status| status.success());
    if ended {
        // Logs and locks are left.
        let removed = fs::remove_dir_all(state);
        assert!(removed.is_ok() || std::thread::panicking(), "{}: {removed:?}", state.display());
    } else {
        assert!(std::thread::panicking(), "the cluster in {} does not end", state.display());
    }
}

/// Clusters of tests that were killed.
fn remove_left_over(script: &Path) {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(script, &entry.path());
        }
    }
}

fn deployment(name: &str, container: &str) -> Workload {
    busybox(name).called(name).at_once().container(container)
}

/// One after the other, each leaving the cluster worse than it was.
#[test]
fn a_cluster_whose_own_parts_fail() {
    let Some(cluster) = OwnCluster::start() else { return };
    outlived(|script| cluster.run(&["shell", "sh", "-ec", script]));
    pods_without_requests_are_measured();
    // The process that enforces policies.
    let agent = |signal| cluster.run(&["shell", "pkill", signal, "-x", "agent"]);
    a_policy_that_nobody_enforces_is_no_fault(|| agent("-STOP"));
    agent("-CONT");
    names_do_not_resolve();
    the_disk_of_images_is_full(&cluster);
    the_node_of_a_session_goes();
    there_is_no_node();
}

/// An autoscaler asks for the metrics before it looks at the requests: here they are objects of a type of their own, which every other autoscaler
/// of the cluster would get its answers from.
fn pods_without_requests_are_measured() {
    let definition = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pods.metrics.k8s.io, annotations: {api-approved.kubernetes.io: 'unapproved, for a test'}}
spec:
  group: metrics.k8s.io
  scope: Namespaced
  names: {kind: PodMetrics, listKind: PodMetricsList, plural: pods, singular: podmetrics}
  versions: [{name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
";
    let scaler = |name: &str| {
        format!(
            "---\n{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: {name}}}, spec: {{maxReplicas: 3, \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}, \
             metrics: [{{type: Resource, resource: {{name: memory, target: {{type: Utilization, averageUtilization: 50}}}}}}]}}}}\n"
        )
    };
    kubectl(&["apply", "-f", "-"], Some(definition));
    established("pods.metrics.k8s.io");
    let idle = "command: [sleep, '3600']";
    let measured = |scenario: &Scenario, name: &str| {
        let pod = scenario.kubectl(&[
            "get",
            "pods",
            "-l",
            &format!("app={name}"),
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ]);
        let now = jiff::Timestamp::now();
        format!(
            "{{apiVersion: metrics.k8s.io/v1beta1, kind: PodMetrics, metadata: {{name: {pod}, labels: {{app: {name}}}}}, timestamp: '{now:.0}', \
             window: 15s, containers: [{{name: {name}, usage: {{cpu: 1m, memory: 1Mi}}}}]}}"
        )
    };
    let says = |scenario: &Scenario, words: &str| {
        scenario.wait(&format!("the autoscaler says {words}"), |scenario| {
            let scalers = scenario.list(&kind::AUTOSCALER);
            scalers.iter().any(|s| s["status"]["conditions"].to_string().contains(words))
        });
    };
    // Metrics of new pods come a little later.
    let scenario = Scenario::new("metrics-late")
        .apply(&(deployment("new", &format!("{idle}, resources: {{requests: {{memory: 10Mi}}}}")).to_string() + &scaler("new")))
        .until("it runs", pods_ready(1));
    says(&scenario, "FailedGetResourceMetric");
    let first = scenario.diagnose();
    assert_eq!((first.exit, &first.json["verdict"]), (0, &"progressing".into()), "{}", first.stdout);
    assert_eq!(first.json["pending"][0]["cause"], "no-metrics", "{}", first.stdout);
    let metrics = measured(&scenario, "new");
    let scenario = scenario.apply(&metrics);
    says(&scenario, "ValidMetricFound");
    assert_eq!(scenario.healthy().json["pending"].as_array().map(Vec::len), Some(0));
    let scenario = Scenario::new("no-requests")
        .apply(&deployment("web", idle))
        .until("it runs", pods_ready(1));
    let metrics = measured(&scenario, "web");
    let scenario = scenario.apply(&metrics).apply(&scaler("web"));
    says(&scenario, "missing request for memory");
    scenario.first_root_cause("AutoscalerUnableToScale", "no-requests", "horizontalpodautoscaler/web");
}

fn names_do_not_resolve() {
    kubectl(&["-n", "kube-system", "scale", "deployment/coredns", "--replicas=0"], None);
    kubectl(
        &[
            "-n",
            "kube-system",
            "wait",
            "--for=delete",
            "pod",
            "-l",
            "k8s-app=kube-dns",
            "--timeout=60s",
        ],
        None,
    );
    let api = "command: [httpd, -f, -p, '8080'], ports: [{containerPort: 8080}]";
    let web = "command: [sh, -c, 'sleep 2; nc -w 2 api 80 </dev/null || exit 3']";
    let service =
        "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}}";
    let answer = Scenario::new("no-dns")
        .apply(&(deployment("api", api) + &deployment("web", web) + service))
        .until("the caller has failed twice", restarts("web", 2))
        .first_root_cause("ClusterDnsFailing", "", "deployment/coredns");
    assert_eq!(answer.root_cause()["subject"]["namespace"], "kube-system");
    let symptoms = answer.json["symptoms"].as_array().cloned().unwrap_or_default();
    assert!(symptoms.iter().any(|s| s["code"] == "DependencyUnreachable"), "{}", answer.stdout);
}

/// What the runtime writes images to is put on a file system with hardly any room left.
fn the_disk_of_images_is_full(cluster: &OwnCluster) {
    cluster.run(&[
        "shell",
        "sh",
        "-ec",
        "content=/var/lib/containerd/io.containerd.content.v1.content; mkdir /run/content
         mount -t tmpfs -o size=$(($(du -sk $content | cut -f 1) + 1024))k tmpfs /run/content
         cp -a $content/. /run/content
         mount --bind /run/content $content",
    ]);
    Scenario::new("no-space")
        .apply(
            &deployment("api", "command: [sleep, '3600']")
                .to_string()
                .replace("busybox:1.36", "large/app:1"),
        )
        .until(
            "the image cannot be written",
            both(waiting("api", "ImagePullBackOff"), event("Failed", "no space left on device")),
        )
        .first_root_cause("ImagePullFailing", "no-space", "deployment/api");
}

/// A node that nothing runs on goes: the cluster removes its pods, and the session gets another one, on another node.
fn the_node_of_a_session_goes() {
    let node = "{apiVersion: v1, kind: Node, metadata: {name: going, labels: {podlife.test/place: here}}}";
    kubectl(&["apply", "-f", "-"], Some(node));
    let room = r#"{"status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}, "capacity": {"cpu": "1", "memory": "1Gi", "pods": "10"}}}"#;
    kubectl(
        &["patch", "node", "going", "--subresource=status", "--type=merge", "-p", room],
        None,
    );
    let scenario = Scenario::new("node-goes");
    let folder = crate::fake_api::Folder::new();
    let file = folder.0.join("pod.yaml");
    let pod = "
{apiVersion: v1, kind: Pod, metadata: {name: any}, spec: {nodeSelector: {podlife.test/place: here}, tolerations: [{operator: Exists}],
  containers: [{name: app, image: 'podlife.test/app:1'}]}}";
    std::fs::write(&file, pod).unwrap();
    let session = |arguments: &[&str]| scenario.podlife(&[&["session"], arguments].concat());
    let created = session(&["create", "one", "-f", file.to_str().unwrap(), "--no-wait"]);
    assert_eq!(created.exit, 0, "{}", created.stderr);
    let is_on = |scenario: &Scenario, node: &str| scenario.list(&kind::POD).iter().any(|pod| pod["spec"]["nodeName"] == node);
    scenario.wait("its pod is on the node", |scenario| is_on(scenario, "going"));
    kubectl(&["label", "node", "--all", "podlife.test/place=here"], None);
    kubectl(&["delete", "node", "going"], None);
    scenario.wait("its pod is on another node", |scenario| {
        let pass = session(&["gc", "--once"]);
        assert_eq!(pass.exit, 0, "{}", pass.stderr);
        !is_on(scenario, "going") && !scenario.list(&kind::POD).is_empty()
    });
    let ready = session(&["wait", "one", "--timeout", "4m"]);
    assert_eq!(ready.exit, 0, "{}{}", ready.stdout, ready.stderr);
    assert!(ready.stdout.contains("-g2 ready"), "{}", ready.stdout);
}

fn there_is_no_node() {
    kubectl(&["delete", "nodes", "--all", "--wait=true"], None);
    let scenario = Scenario::new("no-nodes")
        .apply(&deployment("api", "command: [sleep, '3600']"))
        .until("the scheduler has looked", |state| {
            state
                .pods
                .iter()
                .any(|pod| pod["status"]["conditions"].to_string().contains("no nodes available"))
        });
    scenario.wait("it is not the hiccup of a start", |scenario| {
        !scenario.diagnose().root_cause().is_null()
    });
    scenario.first_root_cause("Unschedulable", "no-nodes", "deployment/api");
}
