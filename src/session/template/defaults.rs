//! The secure defaults of a session's pod. They fill only what a template leaves open.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The user and group where the template names none. It is a number, since the kubelet starts no container with `runAsNonRoot` whose image runs
/// as root or names its user by a word. Where a template sets `runAsNonRoot` itself, the image's own user is meant.
pub(super) const USER: i64 = 65532;

/// Resource, request and limit of a container that sets neither.
const AMOUNTS: [(&str, &str, &str); 2] = [("cpu", "100m", "500m"), ("memory", "128Mi", "512Mi")];

/// Where a container with a read-only root file system may write, and how much.
const TMP: &str = "/tmp";
const TMP_SIZE: &str = "512Mi";

/// Fills what the template leaves open. `has_volume`: each session has a volume of its own, which the containers must be able to write.
pub(super) fn fill(spec: &mut PodSpec, has_volume: bool) {
    spec.enable_service_links.get_or_insert(false);
    if spec.service_account_name.is_none() && spec.service_account.is_none() {
        spec.automount_service_account_token.get_or_insert(false);
    }
    let given = spec.security_context.clone().unwrap_or_default();
    for container in containers(&mut spec.init_containers, &mut spec.containers) {
        let own = container.security_context.take().unwrap_or_default();
        container.security_context = Some(container_context(own, &given));
    }
    spec.security_context = Some(pod_context(given, has_volume));
    let mut volumes = Vec::new();
    for container in containers(&mut spec.init_containers, &mut spec.containers) {
        if spec.resources.is_none() {
            resources(container);
        }
        let context = container.security_context.get_or_insert_default();
        if context.read_only_root_filesystem.is_some() {
            continue;
        }
        context.read_only_root_filesystem = Some(true);
        let mounts = container.volume_mounts.get_or_insert_default();
        if mounts.iter().all(|mount| mount.mount_path.trim_end_matches('/') != TMP) {
            // One for each container: in a template their folders are separate too.
            let name = format!("session-tmp-{}", volumes.len());
            mounts.push(VolumeMount {
                name: name.clone(),
                mount_path: TMP.to_owned(),
                ..VolumeMount::default()
            });
            volumes.push(Volume {
                name,
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: Some(Quantity(TMP_SIZE.to_owned())),
                    medium: None,
                }),
                ..Volume::default()
            });
        }
    }
    spec.volumes.get_or_insert_default().extend(volumes);
}

/// All containers of a pod.
fn containers<'a>(init: &'a mut Option<Vec<Container>>, main: &'a mut [Container]) -> impl Iterator<Item = &'a mut Container> {
    init.iter_mut().flatten().chain(main)
}

/// The settings of the pod.
fn pod_context(mut pod: PodSecurityContext, has_volume: bool) -> PodSecurityContext {
    if pod.run_as_user != Some(0) {
        pod.run_as_non_root.get_or_insert(true);
    }
    if has_volume && pod.fs_group.is_none() {
        pod.fs_group = Some(USER);
        pod.fs_group_change_policy.get_or_insert_with(|| "OnRootMismatch".to_owned());
    }
    pod.seccomp_profile.get_or_insert_with(|| SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    });
    pod
}

/// The settings of a container. `pod`: what the template sets for all.
fn container_context(mut own: SecurityContext, pod: &PodSecurityContext) -> SecurityContext {
    let is_privileged = own.privileged == Some(true);
    let added = own.capabilities.iter().flat_map(|c| c.add.iter().flatten());
    let is_admin = added.into_iter().any(|c| c.trim_start_matches("CAP_") == "SYS_ADMIN");
    let user_is_open = [own.run_as_user, pod.run_as_user].iter().all(Option::is_none)
        && [own.run_as_non_root, pod.run_as_non_root].iter().all(Option::is_none);
    if user_is_open {
        own.run_as_user = Some(USER);
        own.run_as_group = own.run_as_group.or(pod.run_as_group).or(Some(USER));
    }
    if own.run_as_user == Some(0) && pod.run_as_non_root.is_none() {
        // Else the pod's default would keep it from starting.
        own.run_as_non_root.get_or_insert(false);
    }
    // The API server refuses these two together.
    if !is_privileged && !is_admin {
        own.allow_privilege_escalation.get_or_insert(false);
    }
    if !is_privileged {
        let capabilities: &mut Capabilities = own.capabilities.get_or_insert_default();
        capabilities.drop.get_or_insert_with(|| vec!["ALL".to_owned()]);
    }
    own
}

/// Request and limit of each resource that the container sets neither of.
fn resources(container: &mut Container) {
    let resources = container.resources.get_or_insert_default();
    for (name, request, limit) in AMOUNTS {
        let is_set = [&resources.requests, &resources.limits]
            .into_iter()
            .flatten()
            .any(|map| map.contains_key(name));
        if !is_set {
            for (map, value) in [(&mut resources.requests, request), (&mut resources.limits, limit)] {
                map.get_or_insert_default().insert(name.to_owned(), Quantity(value.to_owned()));
            }
        }
    }
}
