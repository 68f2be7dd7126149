//! Volumes that do not attach or mount. Events count only while no container of the pod has started: those of a normal start stay for an hour.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::ResourceExt;

use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::model::text::{redact, shorten};
use crate::rules::Context;
use crate::rules::config;
use crate::rules::container::ending::{counts, owner_name};
use crate::rules::context::{EventView, containers};

/// Mounts are retried from the first second on; what lasts longer than this is no hiccup of a start.
const GRACE: Duration = Duration::from_secs(30);

/// What passes by itself: caches of the kubelet that are not filled yet, an attach that is still under way.
const PASSING: &[&str] = &[
    "failed to sync",
    "not registered",
    "kube-root-ca.crt",
    "not yet attached",
    "not attached according to node status",
];

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in context.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(context, pod)) {
            let young = context
                .age_of(pod.metadata.creation_timestamp.as_ref())
                .is_some_and(|age| age < GRACE);
            for (volume, event) in newest_mount_events(context, pod) {
                let message = event.message();
                let passing = PASSING.iter().any(|p| message.contains(p)) || (young && event.count() < 3);
                if !passing && !config::names_an_object(message) {
                    findings.push(judge(context, pod, &volume, &event));
                }
            }
        }
    }
    findings
}

/// The newest event about each volume of a pod that could not be mounted or attached, as long as no container of the pod has started.
/// An event that only lists what is unmounted counts where nothing says why.
pub fn newest_mount_events<'a>(context: &Context<'a>, pod: &Pod) -> Vec<(String, EventView<'a>)> {
    let started = containers(pod)
        .iter()
        .any(|c| c.is_running() || c.newest_end().is_some() || c.restarts() > 0);
    if started {
        return Vec::new();
    }
    let mut found: Vec<(String, EventView<'a>)> = Vec::new();
    let mut lists: Vec<(String, EventView<'a>)> = Vec::new();
    for event in context.pod_events(pod) {
        if !matches!(event.reason(), "FailedMount" | "FailedAttachVolume" | "FailedMapVolume") {
            continue;
        }
        match volume_of(event.message()) {
            Some(name) => {
                let name = volume_name(pod, name).unwrap_or(name).to_owned();
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, event));
                }
            }
            None => lists.extend(unmounted(event.message()).map(|name| (name, event))),
        }
    }
    if found.is_empty() {
        lists.truncate(1);
        return lists;
    }
    found
}

/// The volume in `MountVolume.SetUp failed for volume "NAME" : …`.
fn volume_of(message: &str) -> Option<&str> {
    let rest = message.split_once("for volume \"")?.1;
    rest.split_once('"').map(|(name, _)| name)
}

/// The first of `unmounted volumes=[a b]`.
fn unmounted(message: &str) -> Option<String> {
    let rest = message.split_once("unmounted volumes=[")?.1;
    rest.split([' ', ']', ',']).next().filter(|n| !n.is_empty()).map(str::to_owned)
}

/// Events about claims name the PersistentVolume: the pod's own name for it is the one that has a claim bound to it.
fn volume_name<'p>(pod: &'p Pod, name: &str) -> Option<&'p str> {
    let volumes = || pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let own = volumes().find(|v| v.name == name);
    let mut claims = volumes().filter(|v| claim_of(pod, v).is_some());
    let only_claim = || claims.next().filter(|_| claims.next().is_none());
    own.or_else(only_claim).map(|v| v.name.as_str())
}

/// The claim that a volume of a pod uses.
pub(super) fn claim_of(pod: &Pod, volume: &Volume) -> Option<String> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.name_any(), volume.name)),
        _ => None,
    }
}

fn cause_of(event: &EventView<'_>) -> &'static str {
    let lower = event.message().to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if has(&["multi-attach error"]) {
        "multi-attach"
    } else if event.reason() == "FailedAttachVolume" || has(&["attachvolume.attach failed", "failed to attach"]) {
        "attach"
    } else if has(&["permission denied", "access denied", "operation not permitted"]) {
        "permission"
    } else if has(&[
        "hostpath type check failed",
        "no such file or directory",
        "does not exist",
        "special device",
        "not a directory",
        "is not a file",
        "subpath",
    ]) {
        "path"
    } else if has(&["timed out", "deadline exceeded", "timeout"]) {
        "timeout"
    } else {
        "unknown"
    }
}

fn judge(context: &Context<'_>, pod: &Pod, volume: &str, event: &EventView<'_>) -> Finding {
    let namespace = pod.namespace().unwrap_or_default();
    let message = event.message();
    let (code, cause) = match memory_full(pod, message) {
        true => (Code::PodSandboxFailing, "memory-limit"),
        false => (Code::VolumeMountFailing, cause_of(event)),
    };
    let owner = owner_name(context, pod);
    let why = why(message);
    let summary = match cause {
        "memory-limit" => format!("pods of {owner} cannot be set up: the memory limit is too small even for the files that every pod gets"),
        "multi-attach" => format!("volume {volume} of {owner} is still attached to another node, and only one node may use it"),
        "attach" => format!("volume {volume} of {owner} cannot be attached to its node: {why}"),
        "timeout" => format!("volume {volume} of {owner} does not mount in time: {why}"),
        _ => format!("volume {volume} of {owner} cannot be mounted: {why}"),
    };
    let source = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).find(|v| v.name == volume);
    let mut subject = context.pod_subject(pod);
    if code == Code::VolumeMountFailing {
        subject = subject.volume(volume);
    }
    let name = pod.name_any();
    let mut finding = Finding::error(code, cause, subject, summary)
        .evidence(format!("pod/{name} event {}", event.reason()), shorten(&redact(message), 300))
        .breaking(Effect::NotReady(context.workload_of(pod)));
    if let Some(node) = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) {
        finding = finding.suffering(Effect::Node(node.to_owned()));
    }
    if let Some(claim) = source.and_then(|v| claim_of(pod, v)) {
        finding = finding
            .related("claim", ObjectRef::new(&kind::CLAIM, &namespace, &claim))
            .suffering(Effect::Claim(namespace.clone(), claim));
    }
    let describe = format!("kubectl describe pod {name} -n {namespace}");
    match cause {
        "memory-limit" => finding.fix_command(
            "raise resources.limits.memory: a unit may be missing (128Mi, not 128 or 128m)",
            describe,
        ),
        "multi-attach" => finding.fix_command(
            "delete the other pod that uses the claim, or let a Deployment with a ReadWriteOnce claim use the strategy Recreate",
            format!("kubectl get pods -o wide -n {namespace}"),
        ),
        "path" => finding.fix_command(
            "correct the path or its type in the volume, or create it on the node (hostPath type DirectoryOrCreate)",
            describe,
        ),
        "permission" => finding.fix_command(
            "give the node the right to this export, or correct the credentials of the volume",
            describe,
        ),
        "timeout" => finding.fix_command(
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
    use crate::rules::testing::check;

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
            let found = check(super::super::check, &pod(CREATING, reason, message));
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
        let found = check(super::super::check, &pod(CREATING, "FailedMount", message));
        assert_eq!((found[0].code, found[0].cause.as_str()), (Code::PodSandboxFailing, "memory-limit"));
    }

    #[test]
    fn events_of_a_start_that_went_well_are_silent() {
        let message = "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no/such is not a directory";
        let running = "{running: {startedAt: \"2026-01-01T11:59:30Z\"}}";
        assert!(check(super::super::check, &pod(running, "FailedMount", message)).is_empty());
        let cache = "MountVolume.SetUp failed for volume \"kube-api-access-x\" : failed to sync configmap cache: timed out waiting for the condition";
        assert!(check(super::super::check, &pod(CREATING, "FailedMount", cache)).is_empty());
    }

    #[test]
    fn a_missing_secret_is_left_to_its_own_rule() {
        let message = "MountVolume.SetUp failed for volume \"v\" : secret \"nosec\" not found";
        assert!(check(super::super::check, &pod(CREATING, "FailedMount", message)).is_empty());
    }
}
