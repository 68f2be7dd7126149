//! The pods of a workload whose ports are looked at: one of each revision.

use k8s_openapi::api::core::v1::Pod;

use crate::facts::listening::mesh::mesh;
use crate::facts::probe::{Which, was_killed};
use crate::view::{ContainerView, Role, View, Workload, containers, has_ended, is_ready, is_terminating, revision};

/// One pod that runs for each revision: an unready one where there is one, or one that does not answer this run, because it may be the one
/// that nobody reaches.
pub fn representatives<'a>(view: &View<'_>, workload: &Workload<'a>) -> Vec<&'a Pod> {
    let mut chosen: Vec<&'a Pod> = Vec::new();
    let is_well = |pod: &Pod| is_ready(pod) && view.failing(pod).is_none();
    for &pod in &workload.pods {
        let lives = |c: &ContainerView<'_>| c.is_running() || is_killed_by_probe(view, c);
        let runs = containers(pod).iter().any(|c| c.role == Role::App && lives(c));
        if has_ended(pod) || is_terminating(pod) || !runs {
            continue;
        }
        match chosen.iter_mut().find(|other| revision(other) == revision(pod)) {
            Some(other) if is_well(other) && !is_well(pod) => *other = pod,
            Some(_) => {}
            None => chosen.push(pod),
        }
    }
    chosen
}

/// The representatives in which the application itself answers.
pub fn reached<'a>(view: &View<'_>, workload: &Workload<'a>) -> Vec<&'a Pod> {
    let mut pods = representatives(view, workload);
    pods.retain(|pod| mesh(pod).is_none());
    pods
}

/// Whether a container waits for its next life because a probe of the kubelet had it killed.
pub fn is_killed_by_probe(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    let by = |which: Which| which.of(container.spec).is_some() && was_killed(view, container, which);
    !container.is_running() && container.restarts() > 0 && [Which::Startup, Which::Liveness].into_iter().any(by)
}
