//! Probes that are missing or set in a way that will hurt one day; never a root cause.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::ending::edit_template;
use crate::facts::probe as message;
use crate::facts::probe::Which;
use crate::model::age;
use crate::model::cause::ProbeFailure;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding, Severity, Subject};
use crate::view::{View, Workload, WorkloadObject, containers, probe_budget};

/// Advice on the probes of every long-running workload.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in view.workloads() {
        let Some(object) = workload.object.filter(|o| !o.is_finite()) else {
            continue;
        };
        let Some(spec) = object.pod_spec() else { continue };
        let services = view.services_selecting(&workload.reference.namespace, &object.pod_labels());
        for container in &spec.containers {
            let serves = services.iter().any(|service| targets(service, container, spec.containers.len()));
            found.extend(missing(workload, container, serves));
            found.extend(same(workload, container));
        }
        found.extend(over_deadline(workload));
        found.extend(tight(view, workload));
    }
    found
}

fn subject(workload: &Workload<'_>, container: &Container) -> Subject {
    Subject::of(workload.reference.clone()).container(&container.name)
}

fn advise(code: Code, workload: &Workload<'_>, container: &Container, summary: String, fix: &str) -> Finding {
    let command = edit_template(&workload.reference);
    Finding::advice(code, subject(workload, container), summary).fix_command(fix, command)
}

/// Whether a Service sends its traffic to this container.
fn targets(service: &Service, container: &Container, containers: usize) -> bool {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    ports.into_iter().any(|port| {
        let declared = || container.ports.iter().flatten();
        match &port.target_port {
            Some(IntOrString::String(name)) => declared().any(|p| p.name.as_ref() == Some(name)),
            Some(IntOrString::Int(number)) => declared().any(|p| p.container_port == *number) || containers == 1,
            None => declared().any(|p| p.container_port == port.port) || containers == 1,
        }
    })
}

fn missing(workload: &Workload<'_>, container: &Container, serves: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if serves && container.readiness_probe.is_none() {
        found.push(advise(
            Code::ReadinessProbeMissing,
            workload,
            container,
            format!(
                "container {} serves a Service without a readiness probe: it gets traffic as soon as its process runs",
                container.name
            ),
            "add a readinessProbe that checks what clients need",
        ));
    }
    if serves && container.liveness_probe.is_none() {
        found.push(advise(
            Code::LivenessProbeMissing,
            workload,
            container,
            format!(
                "container {} has no liveness probe: if it hangs, nothing restarts it",
                container.name
            ),
            "if the application can hang, add a livenessProbe that checks the process alone, not its dependencies",
        ));
    }
    found
}

fn same(workload: &Workload<'_>, container: &Container) -> Option<Finding> {
    let (live, ready) = (container.liveness_probe.as_ref()?, container.readiness_probe.as_ref()?);
    let asks_the_same =
        live.http_get == ready.http_get && live.tcp_socket == ready.tcp_socket && live.exec == ready.exec && live.grpc == ready.grpc;
    // A liveness probe that is clearly more patient is the recommended way to share one check.
    if !asks_the_same || probe_budget(live) > probe_budget(ready) {
        return None;
    }
    Some(advise(
        Code::LivenessSameAsReadiness,
        workload,
        container,
        format!(
            "the liveness probe of container {} checks the same as its readiness probe and is no more tolerant: a busy moment restarts the container",
            container.name
        ),
        "let the liveness probe check less, or give it a higher failureThreshold",
    ))
}

fn over_deadline(workload: &Workload<'_>) -> Option<Finding> {
    let Some(WorkloadObject::Deployment(deployment)) = workload.object else {
        return None;
    };
    let spec = deployment.spec.as_ref()?;
    let deadline = Duration::from_secs(u64::try_from(spec.progress_deadline_seconds.unwrap_or(600)).ok()?);
    let containers = &spec.template.spec.as_ref()?.containers;
    let budget = containers
        .iter()
        .map(|c| {
            let of = |probe: &Option<_>| probe.as_ref().map(probe_budget).unwrap_or_default();
            of(&c.startup_probe) + of(&c.readiness_probe)
        })
        .max()?;
    (budget > deadline).then(|| {
        Finding::advice(
            Code::ReadinessBudgetOverDeadline,
            Subject::of(workload.reference.clone()),
            format!(
                "its probes allow a start of {}, but the rollout fails after progressDeadlineSeconds {}",
                age::short(budget),
                deadline.as_secs()
            ),
        )
        .fix_command(
            format!("set progressDeadlineSeconds above {}, or shorten the probes", budget.as_secs()),
            edit_template(&workload.reference),
        )
    })
}

/// A probe that has timed out on a container that is ready: the answer takes about as long as the probe waits.
fn tight(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    workload.pods.iter().find_map(|pod| {
        containers(pod).into_iter().filter(|c| c.is_ready()).find_map(|container| {
            let (which, event, text) = message::all_failures(view, &container).find(|(which, _, text)| {
                which
                    .of(container.spec)
                    .is_some_and(|probe| message::cause(text, probe, container.spec) == Some(ProbeFailure::Timeout))
            })?;
            let count = event.count();
            let probe = which.of(container.spec)?;
            Some(
                Finding::new(
                    Code::ProbeTimeoutTight,
                    Severity::Advice,
                    Confidence::Likely,
                    view.subject_of(&container),
                    format!(
                        "the {} probe of container {} sometimes times out: it waits {} s for {}",
                        which.word(),
                        container.name(),
                        probe.timeout_seconds.unwrap_or(1),
                        message::describe(probe)
                    ),
                )
                .evidence(format!("{} event Unhealthy", container.source()), format!("{count} times: {text}"))
                .fix_command(
                    format!("raise {}Probe.timeoutSeconds", Which::word(which)),
                    edit_template(&workload.reference),
                ),
            )
        })
    })
}
