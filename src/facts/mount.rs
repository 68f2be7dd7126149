//! What the kubelet says about volumes that it cannot mount or attach.

use k8s_openapi::api::core::v1::{Pod, Volume};
use kube::ResourceExt;

use crate::view::{EventView, View, containers};

/// The newest event about each volume of a pod that could not be mounted or attached, as long as no container of the pod has started.
/// An event that only lists what is unmounted counts where nothing says why.
pub fn newest_events<'a>(view: &View<'a>, pod: &Pod) -> Vec<(String, EventView<'a>)> {
    let started = containers(pod)
        .iter()
        .any(|c| c.is_running() || c.newest_end().is_some() || c.restarts() > 0);
    if started {
        return Vec::new();
    }
    let mut found: Vec<(String, EventView<'a>)> = Vec::new();
    let mut lists: Vec<(String, EventView<'a>)> = Vec::new();
    for event in view.pod_events(pod) {
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
pub fn claim_of(pod: &Pod, volume: &Volume) -> Option<String> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.name_any(), volume.name)),
        _ => None,
    }
}
