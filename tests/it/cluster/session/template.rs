//! What a session is made of runs where Pod Security is enforced, is reached by gateways only, and keeps what its template has.

use std::process::Command;

use podlife::model::kind;
use serde_json::Value;

use crate::cluster::harness::{Scenario, both, is_ready, kubeconfig, kubectl, kubectl_program, pods_ready, running};
use crate::cluster::policies::is_enforced;

/// A namespace that admits only pods of the Pod Security Standard `restricted`.
fn restricted(name: &str) -> Scenario {
    let scenario = Scenario::new(name);
    let label = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", &scenario.namespace, label], None);
    scenario
}

/// Creates a session. No warning is expected.
fn create(scenario: Scenario, arguments: &[&str]) -> Scenario {
    let created = scenario.podlife(&[&["session", "create", "--no-wait"], arguments].concat());
    assert_eq!((created.exit, created.stderr.as_str()), (0, ""), "{arguments:?}");
    scenario
}

/// The pod of a session.
fn pod_of(scenario: &Scenario, id: &str) -> Value {
    let pods = scenario.list(&kind::POD);
    let pod = pods.into_iter().find(|pod| pod["metadata"]["annotations"]["podlife.dev/id"] == id);
    pod.unwrap_or_else(|| panic!("session {id} has no pod"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A pod that calls others.
pub(in crate::cluster) fn caller(name: &str, labels: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{labels}}}}}
spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: app, image: 'podlife.test/app:1'}}]}}
"
    )
}

/// Dials from container `app` of a pod: whether it connects, and what it says otherwise.
pub(in crate::cluster) fn dial(scenario: &Scenario, pod: &str, target: &str) -> (bool, String) {
    let output = Command::new(kubectl_program())
        .args([
            "--kubeconfig",
            &kubeconfig(),
            "-n",
            &scenario.namespace,
            "exec",
            pod,
            "-c",
            "app",
            "--",
        ])
        .args(["/app", "connect", target])
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_default_pod_is_admitted_as_restricted_and_runs_whatever_user_its_image_has() {
    let id = "a/../b $(HOME) ü$";
    let shell = "exec 2>&1; id -u; echo \"$SESSION_ID\"; touch /tmp/x && echo wrote /tmp; touch /x || ls /var/run/secrets; sleep 1000000";
    let scenario = restricted("session-restricted");
    let scenario = create(scenario, &["one", "--image", "podlife.test/app:1", "--port", "8080", "--service"]);
    // The user of busybox is root.
    let scenario = create(scenario, &[id, "--image", "busybox:1.36", "--", "sh", "-c", shell]).until("both are ready", pods_ready(2));
    let pod = pod_of(&scenario, id);
    let log = || scenario.kubectl(&["logs", text(&pod["metadata"]["name"])]);
    scenario.wait("it has tried all", |_| log().contains("/var/run/secrets"));
    let said = log();
    assert!(said.starts_with(&format!("65532\n{id}\nwrote /tmp\n")), "{said}");
    assert!(
        said.contains("/x: Read-only file system") && said.contains("/var/run/secrets: No such file"),
        "{said}"
    );
    scenario.healthy();
}

#[test]
fn ready_means_that_the_port_listens() {
    let scenario = create(
        Scenario::new("session-listens"),
        &["late", "--image", "podlife.test/app:1", "--port", "8080", "--env", "START_DELAY=1h"],
    )
    .until("it runs", running("app"));
    assert!(!is_ready(&pod_of(&scenario, "late")));
}

#[test]
fn sessions_are_reached_by_a_gateway_and_by_whom_allow_from_names_and_not_by_each_other() {
    let callers =
        caller("gateway", "podlife.dev/gateway: 'true'") + &caller("friend", "app: friend") + &caller("stranger", "app: stranger");
    let flags = ["--image", "podlife.test/app:1", "--port", "8080"];
    let with = |more: &[&'static str]| [more, flags.as_slice()].concat();
    let scenario = create(Scenario::new("session-policy"), &with(&["one"]));
    // The policy is that of all sessions in the namespace, also of those that were there before.
    let scenario = create(scenario, &with(&["two", "--allow-from", "app=friend"]));
    let scenario = create(scenario, &with(&["three"]))
        .apply(&callers)
        .until("all are ready", pods_ready(6));
    scenario.wait("the policy is in force", |s| s.list(&kind::NETWORK_POLICY).iter().all(is_enforced));
    let (one, two) = (pod_of(&scenario, "one"), pod_of(&scenario, "two"));
    let name = |pod: &Value| text(&pod["metadata"]["name"]).to_owned();
    let port = |pod: &Value| format!("{}:8080", text(&pod["status"]["podIP"]));
    for (from, to, connects) in [
        ("gateway", port(&one), true),
        ("gateway", port(&two), true),
        ("friend", port(&one), true),
        ("stranger", port(&one), false),
        (&name(&one), port(&two), false),
        (&name(&two), port(&one), false),
    ] {
        if connects {
            scenario.wait(&format!("{from} reaches {to}"), |s| dial(s, from, &to).0);
        } else {
            let (connected, said) = dial(&scenario, from, &to);
            assert!(!connected && said.contains("timeout"), "{from} to {to}: {said}");
        }
    }
}

/// A pod as people write it for a secret store: an init container that fetches, a sidecar that renews, a key from a Secret.
const TEMPLATE: &str = "
apiVersion: v1
kind: PodTemplate
metadata: {name: ide}
template:
  metadata: {annotations: {vault.hashicorp.com/agent-inject: 'false'}, labels: {team: a}}
  spec:
    terminationGracePeriodSeconds: 0
    initContainers:
    - {name: fetch, image: 'busybox:1.36', command: [sh, -c, 'echo $SESSION_ID > /shared/id'], volumeMounts: [{name: shared, mountPath: /shared}]}
    - {name: agent, image: 'busybox:1.36', restartPolicy: Always, command: [sleep, '1000000']}
    containers:
    - name: app
      image: podlife.test/app:1
      env:
      - {name: REQUIRE_FILE, value: '/shared/id,/keys/key'}
      - {name: REQUIRE_ENV, value: KEY}
      - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: key}}}
      volumeMounts: [{name: shared, mountPath: /shared}, {name: keys, mountPath: /keys}]
    volumes: [{name: shared, emptyDir: {}}, {name: keys, secret: {secretName: keys}}]
";

#[test]
fn a_template_with_annotations_secrets_an_init_container_and_a_sidecar_runs_as_it_is() {
    let scenario = restricted("session-template");
    scenario.kubectl(&["create", "secret", "generic", "keys", "--from-literal=key=s3cret"]);
    let file = std::env::temp_dir().join(format!("{}.yaml", scenario.namespace));
    std::fs::write(&file, TEMPLATE).unwrap();
    let path = file.display().to_string();
    let scenario = create(scenario, &["user-7", "-f", &path, "--port", "8080"]).until("it is ready", both(pods_ready(1), running("app")));
    std::fs::remove_file(&file).unwrap();
    let pod = pod_of(&scenario, "user-7");
    assert_eq!(pod["metadata"]["annotations"]["vault.hashicorp.com/agent-inject"], "false");
    assert_eq!(pod["metadata"]["labels"]["team"], "a");
    let id = scenario.kubectl(&[
        "exec",
        text(&pod["metadata"]["name"]),
        "-c",
        "app",
        "--",
        "/app",
        "read",
        "/shared/id",
    ]);
    assert_eq!(id.trim(), "user-7");
}

#[test]
fn a_session_like_the_pods_of_a_workload_does_not_serve_in_their_place() {
    let scenario = restricted("session-from").apply(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: app
        image: podlife.test/app:1
        ports: [{containerPort: 8080}]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 8080}]}}
",
    );
    let scenario = create(scenario, &["copy", "--from", "deployment/web"]).until("both are ready", pods_ready(2));
    let session = pod_of(&scenario, "copy");
    assert_eq!(session["spec"]["securityContext"]["runAsUser"], 1000);
    let original = session["metadata"]["labels"]["podlife.dev/template"].clone();
    let pods = scenario.list(&kind::POD);
    let of_deployment = pods.iter().find(|pod| pod["metadata"]["labels"]["app"] == "web").unwrap();
    let serving = format!("{:?}", scenario.list(&kind::ENDPOINT_SLICE));
    assert!(serving.contains(text(&of_deployment["metadata"]["name"])), "{serving}");
    assert!(!serving.contains(text(&session["metadata"]["name"])), "{serving}");
    let stored = format!("configmap/podlife-template-{}", text(&original));
    let again = scenario.podlife(&["session", "template", "other", "--from", &stored, "-o", "json"]);
    let pod = again.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["kind"] == "Pod")
        .unwrap();
    assert_eq!(pod["metadata"]["labels"]["podlife.dev/template"], original);
    let of_pod = format!("pod/{}", text(&of_deployment["metadata"]["name"]));
    let of_pod = scenario.podlife(&["session", "template", "--from", &of_pod, "-o", "json"]);
    assert_eq!((of_pod.exit, of_pod.stderr.as_str()), (0, ""));
    let missing = scenario.podlife(&["session", "template", "--from", "deployment/nothing"]);
    assert_eq!(missing.exit, 5, "{}", missing.stderr);
    let none = scenario.podlife(&["session", "template", "--from", "service/web"]);
    assert_eq!(none.exit, 2, "{}", none.stderr);
}
