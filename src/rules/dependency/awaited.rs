//! Containers that wait in a loop for what never comes.

use crate::facts::awaited;
use crate::facts::calls::trouble::waits_to_listen;
use crate::facts::ending::counts;
use crate::model::age;
use crate::model::code::Code::DependencyUnreachable;
use crate::model::finding::{Effect, Finding};
use crate::view::{ContainerView, Needs, Out, Role, View, containers, is_ready, service_effect};

/// The containers of applications that wait in vain, one of each revision; init containers have a rule of their own.
pub fn check(view: &View<'_>, out: &mut Out) {
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            // Who is ready is looked into where the user asks about it.
            let is_worth_it = |c: &ContainerView<'_>| !c.is_ready() || waits_to_listen(view, c) || view.is_log_wanted(pod);
            let waiting = containers(pod)
                .into_iter()
                .filter(|c| c.role != Role::Init && c.is_running() && is_worth_it(c));
            for container in waiting {
                let alike = |other: &_| counts(view, other) && is_ready(other) == is_ready(pod);
                if view.is_representative(pod, alike) {
                    out.findings.extend(finding(view, &mut out.needs, &container));
                }
            }
        }
    }
}

fn finding(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Option<Finding> {
    let (what, never) = awaited::in_vain(view, needs, container)?;
    let workload = view.workload_of(container.pod);
    let summary = format!("container {} waits for {}", container.name(), what.shown());
    let finding = Finding::error(DependencyUnreachable, view.subject_of(container), summary).evidence(
        container.source(),
        format!("running for {}", age::short(view.age(container.running_since()?))),
    );
    let finding = never.explain(view, container, finding);
    let finding = view.container_effects(container).into_iter().fold(finding, Finding::breaking);
    let finding = finding.breaking(Effect::Silence(workload.clone(), container.name().to_owned()));
    let services = view.services_selecting(&workload.namespace, container.pod.metadata.labels.as_ref()?);
    Some(services.into_iter().map(service_effect).fold(finding, Finding::breaking))
}
