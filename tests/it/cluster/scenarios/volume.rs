//! Volumes that do not mount, and claims without a volume.

use serde_json::Value;

use super::container::{assert_root_causes, with_volume};
use super::explained::said;
use super::node::PretendNode;
use super::rare::{Volume, age_of, claim_is};
use crate::cluster::harness::{Scenario, event, kubectl, pods_ready};
use podlife::model::kind;

fn claim(name: &str, class: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: {name}}}, \
         spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}{class}}}}}\n"
    )
}

#[test]
fn a_host_path_that_is_not_there() {
    let answer = Scenario::new("host-path")
        .with_first_look()
        .apply(&with_volume("api", "hostPath: {path: /no/such, type: Directory}"))
        .until("the mount has failed some times", |state| {
            state
                .events
                .iter()
                .any(|e| e["reason"] == "FailedMount" && e["count"].as_i64() >= Some(3))
        })
        .first_root_cause("VolumeMountFailing", "path", "deployment/api");
    assert_eq!(answer.root_cause()["subject"]["volume"], "v");
}

#[test]
fn a_driver_that_is_not_installed() {
    Scenario::new("no-driver")
        .with_first_look()
        .apply(&with_volume("api", "csi: {driver: no.such.driver}"))
        .until("the mount has failed some times", |state| {
            state
                .events
                .iter()
                .any(|e| e["reason"] == "FailedMount" && e["count"].as_i64() >= Some(3))
        })
        .first_root_cause("VolumeMountFailing", "unknown", "deployment/api");
}

#[test]
fn a_claim_that_is_being_deleted_while_a_new_pod_wants_it() {
    let uses = |name: &str| with_volume(name, "persistentVolumeClaim: {claimName: data}");
    let scenario = Scenario::new("claim-deleted")
        .apply(&(claim("data", "") + &uses("holder")))
        .until("the holder runs", pods_ready(1));
    scenario.kubectl(&["delete", "pvc", "data", "--wait=false"]);
    let scenario = scenario
        .apply(&uses("late"))
        .until("the scheduler says why", event("FailedScheduling", "is being deleted"));
    scenario.wait("podlife finds a root cause", |s| {
        s.diagnose().root_cause()["code"] == "ClaimPending"
    });
    scenario.first_root_cause("ClaimPending", "terminating", "persistentvolumeclaim/data");
}

/// A volume of a driver whose controller nobody runs: the attach controller waits two minutes for it.
#[test]
fn a_volume_without_attacher() {
    let scenario = Scenario::new("no-attacher").with_first_look();
    let volume = Volume::new(&scenario, "csi: {driver: no.such.driver, volumeHandle: one}");
    let scenario = scenario.apply(&volume.claim());
    // Until then the scheduler may say that the claim is unbound, which is no symptom of what follows.
    scenario.wait("the claim is bound", claim_is("Bound"));
    let answer = scenario
        .apply(&with_volume("api", "persistentVolumeClaim: {claimName: data}"))
        .until(
            "the controller has given up once",
            event("FailedAttachVolume", "timed out waiting for external-attacher"),
        )
        .first_root_cause("VolumeMountFailing", "attach", "deployment/api");
    let fix = answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default();
    assert!(fix.contains("CSI driver"), "{fix}");
}

/// Whether a volume is attached to a node, once the driver's attacher has said so to the controller, as this does.
fn is_attached(volume: &str, node: &str) -> bool {
    let all: Value = serde_json::from_str(&kubectl(&["get", "volumeattachments", "-o", "json"], None)).unwrap();
    let is_it = |a: &&Value| a["spec"]["nodeName"] == *node && a["spec"]["source"]["persistentVolumeName"] == *volume;
    if let Some(attachment) = all["items"].as_array().into_iter().flatten().find(is_it) {
        let attached = r#"{"status":{"attached":true}}"#;
        let object = format!("volumeattachment/{}", attachment["metadata"]["name"].as_str().unwrap());
        kubectl(&["patch", &object, "--subresource=status", "--type=merge", "-p", attached], None);
    }
    kubectl(&["get", "node", node, "-o", "jsonpath={.status.volumesAttached}"], None).contains(volume)
}

/// A claim whose volume is attached to a node that does not answer, for a Deployment that is pinned to it. The test says what that node's kubelet
/// and the driver's attacher would say; the controller that waits for them is the real one.
fn attached_elsewhere(name: &str, deployment: &str) -> (Scenario, PretendNode, Volume) {
    let scenario = Scenario::new(name);
    let name = scenario.namespace.clone();
    let node = PretendNode::with(&name, "", "NoSchedule");
    let managed = "volumes.kubernetes.io/controller-managed-attach-detach=true";
    kubectl(&["annotate", "node", &name, managed], None);
    let volume = Volume::new(&scenario, &format!("csi: {{driver: no.such.driver, volumeHandle: {name}}}"));
    let pinned = with_volume(deployment, CLAIM).replace(
        "containers:",
        &format!("nodeName: {name}, tolerations: [{{operator: Exists}}], containers:"),
    );
    let scenario = scenario.apply(&(volume.claim() + &pinned));
    scenario.wait("the volume is attached there", |_| is_attached(&name, &name));
    node.reports(&format!(r#"{{"volumesInUse":["kubernetes.io/csi/no.such.driver^{name}"]}}"#));
    (scenario, node, volume)
}

const CLAIM: &str = "persistentVolumeClaim: {claimName: data}";

/// A pod was moved away from a node that does not answer, where its volume is still attached.
#[test]
fn a_volume_that_is_still_attached_elsewhere() {
    let (scenario, node, _volume) = attached_elsewhere("attached", "first");
    let name = scenario.namespace.clone();
    scenario.kubectl(&["delete", "deployment", "first"]);
    // As long as it is there, its ReplicaSet makes another pod for the one that goes.
    scenario.wait("its ReplicaSet is gone", |s| s.list(&kind::REPLICA_SET).is_empty());
    scenario.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
    let scenario = scenario
        .apply(&with_volume("second", "persistentVolumeClaim: {claimName: data}"))
        .until(
            "the volume is refused to the next node",
            event("FailedAttachVolume", "Multi-Attach error"),
        )
        .until("it is not the hiccup of a move", |state| {
            state.pods.iter().all(|p| age_of(&p["metadata"]["creationTimestamp"]) > Some(32))
        });
    scenario.first_root_cause("VolumeMountFailing", "multi-attach", "deployment/second");
    // Once that node gives it up, the volume is attached to the next one, whose kubelet knows no such driver.
    node.reports(r#"{"volumesInUse":[]}"#);
    let next = scenario.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}"]);
    scenario.wait("the volume is attached to the next node", |_| is_attached(&name, &next));
    scenario
        .until("it does not mount there", event("FailedMount", "list of registered CSI drivers"))
        .first_root_cause("VolumeMountFailing", "unknown", "deployment/second");
}

/// The pod on the other node runs on: who brought about that another pod wants the volume is told, and what ends that.
#[test]
fn a_volume_that_a_running_pod_of_another_node_uses() {
    // What the node's kubelet would say.
    let runs = r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"name":"app","image":"busybox:1.36",
        "imageID":"","ready":true,"restartCount":0,"started":true,"state":{"running":{"startedAt":"2026-01-01T00:00:00Z"}}}]}}"#;
    let refused = |scenario: &str, next: &str| {
        let (scenario, node, _volume) = attached_elsewhere(scenario, "web");
        let pod = scenario.kubectl(&["get", "pods", "-o", "jsonpath={.items[0].metadata.name}"]);
        scenario.kubectl(&["patch", "pod", &pod, "--subresource=status", "-p", runs]);
        let scenario = scenario
            .apply(&with_volume(next, CLAIM))
            .until("the volume is refused", event("FailedAttachVolume", "Multi-Attach error"));
        scenario.wait("it is not the hiccup of a move", |scenario| {
            said(&scenario.diagnose(), next).contains("VolumeMountFailing")
        });
        let text = said(&scenario.diagnose(), next);
        scenario.kubectl(&["delete", "deployments", "--all"]);
        scenario.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
        node.reports(r#"{"volumesInUse":[]}"#);
        scenario.wait("the volume is detached", |scenario| {
            !kubectl(&["get", "volumeattachments", "-o", "jsonpath={..persistentVolumeName}"], None).contains(&scenario.namespace)
        });
        (text, pod)
    };
    // An update starts the new pod beside the old one.
    let (web, pod) = refused("attached-updated", "web");
    assert!(
        web.contains(&format!("pod {pod} of another revision of deployment/web still runs")),
        "{web}"
    );
    assert!(web.contains("set strategy Recreate"), "{web}");
    // Another Deployment takes the same claim.
    let (other, pod) = refused("attached-shared", "other");
    assert!(
        other.contains(&format!("pod {pod} of deployment/web runs and uses the same claim data")),
        "{other}"
    );
    assert!(other.contains("a claim of its own") && !other.contains("Recreate"), "{other}");
}

/// The kubelet is the real one; the driver of the test cluster gives it the answer that mount(8) gives after minutes.
#[test]
fn a_share_that_does_not_answer() {
    Scenario::new("silent-share")
        .with_first_look()
        .apply(&with_volume("api", "flexVolume: {driver: podlife.test/silent}"))
        .until("the mount has failed some times", |state| {
            state
                .events
                .iter()
                .any(|e| e["reason"] == "FailedMount" && e["count"].as_i64() >= Some(3))
        })
        .first_root_cause("VolumeMountFailing", "timeout", "deployment/api");
}

#[test]
fn a_claim_that_does_not_exist() {
    let answer = Scenario::new("no-claim")
        .with_first_look()
        .apply(&with_volume("api", "persistentVolumeClaim: {claimName: data}"))
        .until("it cannot be scheduled", event("FailedScheduling", "not found"))
        .first_root_cause("ClaimMissing", "", "deployment/api");
    assert_eq!(answer.root_cause()["related"][0]["name"], "data");
}

#[test]
fn every_claim_without_a_volume_has_its_cause() {
    // Classes belong to the cluster: their names are this test's own, and they are removed again.
    let class = |name: &str| format!("podlife-{name}-{}", std::process::id());
    let (unserved, manual, failing) = (class("unserved"), class("manual"), class("failing"));
    kubectl(
        &["apply", "-f", "-"],
        Some(&format!(
            "---\n{{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: {unserved}}}, provisioner: example.com/none}}\n---\n\
             {{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: {failing}}}, provisioner: kubernetes.io/glusterfs}}\n---\n\
             {{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: {manual}}}, provisioner: kubernetes.io/no-provisioner, volumeBindingMode: WaitForFirstConsumer}}"
        )),
    );
    let manifest = [
        claim("class-gone", ", storageClassName: nosuch"),
        claim("unserved", &format!(", storageClassName: {unserved}")),
        claim("no-class", ", storageClassName: ''"),
        claim("manual", &format!(", storageClassName: {manual}")),
        claim("failing", &format!(", storageClassName: {failing}")),
        claim("nobodys", &format!(", storageClassName: {manual}")),
        with_volume("a", "persistentVolumeClaim: {claimName: class-gone}"),
        with_volume("b", "persistentVolumeClaim: {claimName: unserved}"),
        with_volume("c", "persistentVolumeClaim: {claimName: no-class}"),
        with_volume("d", "persistentVolumeClaim: {claimName: manual}"),
        with_volume("e", "persistentVolumeClaim: {claimName: failing}"),
    ]
    .concat();
    let scenario = Scenario::new("claims").apply(&manifest).until("a provisioner is overdue", |state| {
        let overdue = |e: &serde_json::Value| {
            let first: Option<jiff::Timestamp> = e["firstTimestamp"].as_str().and_then(|t| t.parse().ok());
            e["reason"] == "ExternalProvisioning" && first.is_some_and(|t| jiff::Timestamp::now().duration_since(t).as_secs() > 62)
        };
        event("FailedBinding", "")(state)
            && event("ProvisioningFailed", "nosuch")(state)
            && event("ProvisioningFailed", "no volume plugin matched")(state)
            && event("FailedScheduling", "didn't find available persistent volumes")(state)
            && state.events.iter().any(overdue)
    });
    let answer = assert_root_causes(
        &scenario,
        &[
            "ClaimPending (storage-class-missing) persistentvolumeclaim/class-gone",
            "ClaimPending (no-provisioner) persistentvolumeclaim/unserved",
            "ClaimPending (no-matching-volume) persistentvolumeclaim/no-class",
            "ClaimPending (no-matching-volume) persistentvolumeclaim/manual",
            "ClaimPending (provisioning-failed) persistentvolumeclaim/failing",
        ],
    );
    // A claim without a volume serves nobody.
    assert!(
        answer.json["workloads"]
            .as_array()
            .unwrap()
            .iter()
            .all(|j| j["verdict"] == "broken"),
        "{}",
        answer.stdout
    );
    kubectl(&["delete", "storageclass", &unserved, &manual, &failing], None);
}

#[test]
fn a_claim_that_was_bound_in_the_end_is_healthy() {
    Scenario::new("bound")
        .apply(&(with_volume("api", "persistentVolumeClaim: {claimName: data}") + &claim("data", "")))
        .until("it runs", pods_ready(1))
        .healthy();
}

#[test]
fn a_volume_that_is_held_for_another_claim_is_named_with_what_frees_it() {
    let scenario = Scenario::new("claim-held");
    let namespace = &scenario.namespace;
    let volume = |name: &str, holder: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: PersistentVolume, metadata: {{name: {namespace}-{name}}}, spec: {{capacity: {{storage: 1Mi}}, accessModes: [ReadWriteOnce], \
             storageClassName: '', hostPath: {{path: /tmp/{namespace}}}, claimRef: {{namespace: {namespace}, name: {holder}}}}}}}\n"
        )
    };
    let asks = |name: &str, volume: &str| claim(name, &format!(", storageClassName: '', volumeName: {namespace}-{volume}"));
    let uses = |name: &str| with_volume(name, &format!("persistentVolumeClaim: {{claimName: {name}}}"));
    let manifest = [
        volume("held", "gone"),
        volume("own", "good"),
        asks("data", "held"),
        asks("good", "own"),
        uses("data"),
        uses("good"),
    ]
    .concat();
    let volumes = [format!("{namespace}-held"), format!("{namespace}-own")];
    let scenario = scenario.apply(&manifest).until(
        "the controller says why",
        event("FailedBinding", "already bound to a different claim"),
    );
    let answer = scenario.first_root_cause("ClaimPending", "no-matching-volume", "persistentvolumeclaim/data");
    kubectl(&["delete", "pv", &volumes[0], &volumes[1], "--wait=false"], None);
    let summary = answer.root_cause()["summary"].as_str().unwrap_or_default();
    assert!(
        summary.contains("held for claim gone") && summary.contains("which does not exist"),
        "{summary}"
    );
    let command = answer.root_cause()["fixes"][0]["command"].as_str().unwrap_or_default();
    assert!(command.contains("/spec/claimRef"), "{command}");
}
