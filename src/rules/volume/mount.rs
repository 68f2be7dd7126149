//! Volumes that do not attach or mount. Events count only while no container of the pod has started: those of a normal start stay for an hour.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::ending::{counts, owner_name};
use crate::facts::mount::claim_of;
use crate::facts::provided::holder;
use crate::facts::{mount, references};
use crate::model::cause::{Cause, PodSandboxFailing, VolumeMountFailing};
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Settles};
use crate::model::kind;
use crate::text::{command, redact, shorten};
use crate::view::{EventView, View, containers};

/// Mounts are retried from the first second on; what lasts longer than this is no hiccup of a start.
const GRACE: Duration = Duration::from_secs(30);

/// What passes by itself: caches of the kubelet that are not filled yet, an attach that is still in progress.
const PASSING: &[&str] = &[
    "failed to sync",
    "not registered",
    "kube-root-ca.crt",
    "not yet attached",
    "not attached according to node status",
];

pub(crate) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            let settles = view.settles_from(pod.metadata.creation_timestamp.as_ref(), GRACE);
            for (volume, event) in mount::newest_events(view, pod) {
                let message = event.message();
                if !PASSING.iter().any(|p| message.contains(p)) && !references::names_an_object(message) {
                    let settles = if event.count() < 3 { settles } else { Settles::Never };
                    findings.push(judge(view, pod, &volume, &event).settling(settles));
                }
            }
        }
    }
    findings
}

fn cause_of(event: &EventView<'_>) -> VolumeMountFailing {
    let lower = event.message().to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if has(&["multi-attach error"]) {
        VolumeMountFailing::MultiAttach
    } else if event.reason() == "FailedAttachVolume" || has(&["attachvolume.attach failed", "failed to attach"]) {
        VolumeMountFailing::Attach
    } else if has(&["permission denied", "access denied", "operation not permitted"]) {
        VolumeMountFailing::Permission
    } else if has(&[
        "hostpath type check failed",
        "no such file or directory",
        "does not exist",
        "special device",
        "not a directory",
        "is not a file",
        "subpath",
    ]) {
        VolumeMountFailing::Path
    } else if has(&["timed out", "deadline exceeded", "timeout"]) {
        VolumeMountFailing::Timeout
    } else {
        VolumeMountFailing::Unknown
    }
}

fn judge(view: &View<'_>, pod: &Pod, volume: &str, event: &EventView<'_>) -> Finding {
    let namespace = pod.namespace().unwrap_or_default();
    let message = event.message();
    let cause: Cause = match memory_full(pod, message) {
        true => PodSandboxFailing::MemoryLimit.into(),
        false => cause_of(event).into(),
    };
    let owner = owner_name(view, pod);
    let why = why(message);
    let summary = match cause {
        Cause::PodSandboxFailing(_) => {
            format!("pods of {owner} cannot be set up: the memory limit is too small even for the files that every pod gets")
        }
        Cause::VolumeMountFailing(VolumeMountFailing::MultiAttach) => {
            format!("volume {volume} of {owner} is still attached to another node, and only one node may use it")
        }
        Cause::VolumeMountFailing(VolumeMountFailing::Attach) => {
            format!("volume {volume} of {owner} cannot be attached to its node: {why}")
        }
        Cause::VolumeMountFailing(VolumeMountFailing::Timeout) => format!("volume {volume} of {owner} does not mount in time: {why}"),
        _ => format!("volume {volume} of {owner} cannot be mounted: {why}"),
    };
    let source = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).find(|v| v.name == volume);
    let mut subject = view.pod_subject(pod);
    if cause.code() == Code::VolumeMountFailing {
        subject = subject.volume(volume);
    }
    let name = pod.name_any();
    let mut finding = Finding::error(cause, subject, summary)
        .evidence(format!("pod/{name} event {}", event.reason()), shorten(&redact(message), 300))
        .breaking(Effect::NotReady(view.workload_of(pod)));
    if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) {
        finding = finding.suffering(Effect::Node(node.to_owned()));
    }
    if let Some(claim) = source.and_then(|v| claim_of(pod, v)) {
        finding = finding
            .related("claim", ObjectRef::new(&kind::CLAIM, &namespace, &claim))
            .suffering(Effect::Claim(namespace.clone(), claim));
    }
    let describe = command("kubectl describe pod {} -n {}", &[&name, &namespace]);
    let holder = source.and_then(|v| claim_of(pod, v)).and_then(|claim| holder(view, pod, &claim));
    match cause {
        Cause::VolumeMountFailing(VolumeMountFailing::MultiAttach) if let Some(holder) = holder => holder.explain(view, pod, finding),
        Cause::PodSandboxFailing(_) => finding.fix_command(
            "raise resources.limits.memory: a unit may be missing (128Mi, not 128 or 128m)",
            describe,
        ),
        Cause::VolumeMountFailing(VolumeMountFailing::MultiAttach) => finding.fix_command(
            "delete the other pod that uses the claim, or let a Deployment with a ReadWriteOnce claim use the strategy Recreate",
            command("kubectl get pods -o wide -n {}", &[&namespace]),
        ),
        Cause::VolumeMountFailing(VolumeMountFailing::Path) => finding.fix_command(
            "correct the path or its type in the volume, or create it on the node (hostPath type DirectoryOrCreate)",
            describe,
        ),
        Cause::VolumeMountFailing(VolumeMountFailing::Permission) => finding.fix_command(
            "give the node the right to this export, or correct the credentials of the volume",
            describe,
        ),
        Cause::VolumeMountFailing(VolumeMountFailing::Timeout) => finding.fix_command(
            "check that the storage server answers from the node, and that the CSI driver runs there",
            describe,
        ),
        _ if message.contains("registered CSI drivers") || message.contains("waiting for external-attacher") => finding.fix_command(
            "install the CSI driver, or name one that is installed",
            "kubectl get csidrivers,csinodes",
        ),
        _ if message.contains("unknown filesystem type") || message.contains("helper program") => finding.fix_command(
            "install on the nodes what mounts this file system (nfs-common, cifs-utils), or use a CSI driver for it",
            describe,
        ),
        _ => finding.fix_command("correct what the message names in the volume's source", describe),
    }
}

/// The files of Secrets, ConfigMaps and tokens lie in memory, as large as the pod's limit allows.
fn memory_full(pod: &Pod, message: &str) -> bool {
    let limited = containers(pod).iter().any(|c| {
        c.spec
            .resources
            .as_ref()
            .and_then(|r| r.limits.as_ref())
            .is_some_and(|l| l.contains_key("memory"))
    });
    limited
        && message.contains("no space left on device")
        && ["kubernetes.io~projected", "kubernetes.io~secret", "kubernetes.io~empty-dir"]
            .iter()
            .any(|p| message.contains(p))
}

/// The part of the message that names the fault.
fn why(message: &str) -> String {
    // mount(8) says why on its last line that is not a hint.
    if let Some((_, output)) = message.split_once("Output: ") {
        let line = output.lines().next().unwrap_or(output);
        let line = line.rsplit_once(": ").map_or(line, |(_, tail)| tail);
        return shorten(&redact(line), 160);
    }
    let tail = message.split_once("\" : ").map_or(message, |(_, tail)| tail);
    let tail = tail.rsplit_once("desc = ").map_or(tail, |(_, tail)| tail);
    shorten(&redact(tail), 160)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn pod(state: &str, reason: &str, message: &str) -> String {
        let message = serde_json::to_string(message).unwrap();
        format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: a, uid: u1, creationTimestamp: "2026-01-01T11:50:00Z"}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i, resources: {{limits: {{memory: 1Ki}}}}}}], volumes: [{{name: v, hostPath: {{path: /no/such}}}}]}}
status: {{phase: Pending, containerStatuses: [{{name: c, image: i, imageID: "", ready: false, restartCount: 0, state: {state}}}]}}
---
apiVersion: v1
kind: Event
metadata: {{name: e}}
involvedObject: {{kind: Pod, name: a, uid: u1}}
reason: {reason}
count: 13
message: {message}
lastTimestamp: "2026-01-01T11:59:00Z"
"#
        )
    }

    const CREATING: &str = "{waiting: {reason: ContainerCreating}}";

    #[test]
    fn messages_of_the_kubelet_name_their_cause() {
        for (reason, message, cause) in [
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no/such is not a directory",
                "path",
            ),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"v\" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name no.such.driver not found in the list of registered CSI drivers",
                "unknown",
            ),
            (
                "FailedAttachVolume",
                "Multi-Attach error for volume \"pvc-1\" Volume is already exclusively attached to one node and can't be attached to another",
                "multi-attach",
            ),
            (
                "FailedAttachVolume",
                "AttachVolume.Attach failed for volume \"pvc-1\" : rpc error: code = NotFound desc = volume not found",
                "attach",
            ),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"v\" : mount failed: exit status 32\nMounting command: mount\nOutput: mount.nfs: access denied by server while mounting 10.0.0.1:/x",
                "permission",
            ),
            (
                "FailedMount",
                "MountVolume.MountDevice failed for volume \"v\" : rpc error: code = DeadlineExceeded desc = context deadline exceeded",
                "timeout",
            ),
        ] {
            let found = check(crate::rules::volume::check, &pod(CREATING, reason, message));
            assert_eq!(found.len(), 1, "{message}");
            assert_eq!(
                (found[0].code, found[0].cause.as_str()),
                (Code::VolumeMountFailing, cause),
                "{message}"
            );
        }
    }

    #[test]
    fn a_tiny_memory_limit_is_named() {
        let message = "MountVolume.SetUp failed for volume \"kube-api-access-dc8js\" : write /var/lib/kubelet/pods/x/volumes/kubernetes.io~projected/kube-api-access-dc8js/..2026/namespace: no space left on device";
        let found = check(crate::rules::volume::check, &pod(CREATING, "FailedMount", message));
        assert_eq!((found[0].code, found[0].cause.as_str()), (Code::PodSandboxFailing, "memory-limit"));
    }

    #[test]
    fn events_of_a_start_that_went_well_are_silent() {
        let message = "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no/such is not a directory";
        let running = "{running: {startedAt: \"2026-01-01T11:59:30Z\"}}";
        assert!(check(crate::rules::volume::check, &pod(running, "FailedMount", message)).is_empty());
        let cache = "MountVolume.SetUp failed for volume \"kube-api-access-x\" : failed to sync configmap cache: timed out waiting for the condition";
        assert!(check(crate::rules::volume::check, &pod(CREATING, "FailedMount", cache)).is_empty());
    }

    #[test]
    fn a_missing_secret_is_left_to_its_own_rule() {
        let message = "MountVolume.SetUp failed for volume \"v\" : secret \"nosec\" not found";
        assert!(check(crate::rules::volume::check, &pod(CREATING, "FailedMount", message)).is_empty());
    }
}
