//! What a template relaxes of the secure default: the Pod Security Standard `restricted`, a read-only root file system and no token.

use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext, Volume};
use serde_json::Value;

/// Types of volumes that `restricted` permits.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What does not meet `restricted`, each as a sentence.
pub(super) fn violations(spec: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    for (used, what) in [
        (spec.host_network, "the network of its node (hostNetwork)"),
        (spec.host_pid, "the processes of its node (hostPID)"),
        (spec.host_ipc, "the shared memory of its node (hostIPC)"),
    ] {
        if used == Some(true) {
            found.push(format!("the pod shares {what}"));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        if let Some(of) = type_of(volume).filter(|of| !VOLUMES.contains(&of.as_str())) {
            found.push(format!("volume {} is of the type {of}", volume.name));
        }
    }
    let pod = spec.security_context.clone().unwrap_or_default();
    if let Some(sysctl) = pod.sysctls.iter().flatten().next() {
        found.push(format!("the pod sets kernel parameters ({})", sysctl.name));
    }
    for container in containers(spec) {
        let own = container.security_context.clone().unwrap_or_default();
        let mut says = |what: &str| found.push(format!("container {} {what}", container.name));
        if own.privileged == Some(true) {
            says("is privileged");
        }
        let user = own.run_as_user.or(pod.run_as_user);
        let is_non_root = own.run_as_non_root.or(pod.run_as_non_root) == Some(true);
        match user {
            Some(0) => says("runs as root (runAsUser: 0)"),
            _ if !is_non_root => says("may run as root (runAsNonRoot is not true)"),
            _ => {}
        }
        if own.allow_privilege_escalation != Some(false) {
            says("may gain privileges (allowPrivilegeEscalation is not false)");
        }
        capabilities(&own, &mut says);
        let seccomp = own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref());
        if !seccomp.is_some_and(|profile| matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost")) {
            says("runs without a seccomp profile");
        }
        if own.proc_mount.as_deref().is_some_and(|mount| mount != "Default") {
            says("sees all of /proc (procMount)");
        }
        for port in container
            .ports
            .iter()
            .flatten()
            .filter_map(|port| port.host_port)
            .filter(|port| *port != 0)
        {
            says(&format!("uses port {port} of its node (hostPort)"));
        }
    }
    found
}

fn capabilities(own: &SecurityContext, says: &mut impl FnMut(&str)) {
    let capabilities = own.capabilities.clone().unwrap_or_default();
    if !capabilities.drop.iter().flatten().any(|dropped| dropped == "ALL") {
        says("keeps capabilities (drop does not have ALL)");
    }
    for added in capabilities.add.iter().flatten().filter(|added| *added != "NET_BIND_SERVICE") {
        says(&format!("has the capability {added}"));
    }
}

/// What is less than podlife's own defaults, beyond `restricted`.
pub(super) fn beyond(spec: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    for container in containers(spec) {
        let context = container.security_context.as_ref();
        if context.and_then(|context| context.read_only_root_filesystem) != Some(true) {
            found.push(format!("container {} can write to its root file system", container.name));
        }
    }
    if spec.automount_service_account_token != Some(false) {
        let account = spec.service_account_name.as_deref().or(spec.service_account.as_deref());
        let account = account.unwrap_or("default");
        found.push(format!("the pod gets a token of service account {account}"));
    }
    found
}

/// Containers and init containers.
pub(super) fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// The field of a volume that says where it comes from.
fn type_of(volume: &Volume) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::to_value(volume) else {
        return None;
    };
    fields.into_iter().map(|(key, _)| key).find(|key| key != "name")
}
