//! StatefulSets whose pods start one after the other: one that does not become ready stops all later ones.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, Settles, Severity, Subject};
use crate::text::command;
use crate::view::{ContainerView, View, WorkloadObject, condition, containers, is_ready, is_terminating, probe_budget, revision};

/// A pod that looks bad may take this long before it holds up those that wait for it.
const WAITS: Duration = Duration::from_secs(60);

/// A start that takes longer than this holds them up even where nothing looks bad: the default deadline of Deployments.
const LONG_START: Duration = Duration::from_secs(600);

/// Whether a pod shows more than a start that takes its time.
fn looks_bad(view: &View<'_>, pod: &Pod) -> bool {
    let unscheduled = condition(pod, "PodScheduled").is_some_and(|(status, ..)| status == "False");
    unscheduled
        || containers(pod).iter().any(|container| {
            let waits = container
                .waiting()
                .is_some_and(|(reason, _)| !matches!(reason, "" | "ContainerCreating" | "PodInitializing"));
            let budget = container.spec.readiness_probe.as_ref().map(probe_budget).unwrap_or_default();
            let unready = container.is_started() && !container.is_ready();
            let since = container.running_since().filter(|_| unready);
            waits || container.restarts() > 0 || since.is_some_and(|t| view.age(t) > budget.max(WAITS / 2))
        })
}

/// StatefulSets with ordered pods.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    view
        .workloads()
        .filter_map(|workload| {
            let Some(WorkloadObject::StatefulSet(set)) = workload.object else { return None };
            let spec = set.spec.as_ref()?;
            let status = set.status.as_ref()?;
            if spec.pod_management_policy.as_deref() == Some("Parallel") {
                return None;
            }
            let mut pods: Vec<(u32, &Pod)> = workload.pods.iter().filter_map(|p| Some((ordinal(&p.name_any())?, *p))).collect();
            pods.sort_by_key(|(ordinal, _)| *ordinal);
            let (first, pod) = pods.iter().find(|(_, p)| !is_ready(p)).copied()?;
            let age = view.age_of(pod.metadata.creation_timestamp.as_ref())?;
            let wanted = spec.replicas.unwrap_or(1);
            let missing = wanted - status.replicas;
            let update = status.update_revision.as_deref().unwrap_or_default();
            let is_old = !update.is_empty() && !revision(pod).is_empty() && revision(pod) != update;
            let reference = &workload.reference;
            let subject = Subject::of(reference.clone()).pod(&pod.name_any());
            let name = pod.name_any();
            let namespace = &reference.namespace;
            // A pod that runs has the time that its probes have, which begins with its container.
            let runs = containers(pod).iter().filter(|c| c.restarts() == 0).filter_map(ContainerView::running_since).max();
            let settles = |patience| match runs {
                Some(since) => view.settles(since, patience),
                None => view.settles_from(pod.metadata.creation_timestamp.as_ref(), patience),
            };
            if is_old && !is_terminating(pod) {
                // The controller waits for the pod of the bad revision to become ready before it puts the mended one in its place
                // (documented as "forced rollback"): only deleting the pod helps.
                return Some(
                    Finding::error(
                        Code::OrderedStartBlocked,
                        subject,
                        format!(
                            "{name} is of an older revision and does not become ready; the newer one waits for it, so {} is stuck until the pod is deleted",
                            reference.short()
                        ),
                    )
                    // What shows a fault already does not heal in the time of a start.
                    .settling(if looks_bad(view, pod) { Settles::Never } else { settles(WAITS) })
                    .evidence(format!("pod/{name}"), format!("revision {}, not ready, {} old", revision(pod), age::short(age)))
                    .evidence(format!("{} status", reference.short()), format!("updateRevision {update}"))
                    .breaking(Effect::NotReady(reference.clone()))
                    .fix_command("delete the pod; it comes back with the new revision", command("kubectl delete pod {} -n {}", &[&name, &namespace])),
                );
            }
            if missing <= 0 {
                return None;
            }
            let settles = settles(if looks_bad(view, pod) { WAITS } else { LONG_START });
            let severity = if settles.is_pending() { Severity::Error } else { Severity::Symptom };
            Some(
                Finding::error(
                    Code::OrderedStartBlocked,
                    subject,
                    format!(
                        "{name} is not ready, so ordinal {} and later are not made: {} of {wanted} pods exist",
                        first + 1,
                        status.replicas
                    ),
                )
                .severity(severity)
                .settling(settles)
                .evidence(format!("{} status", reference.short()), format!("replicas {} of {wanted}, {name} not ready for {}", status.replicas, age::short(age)))
                .suffering(Effect::NotReady(reference.clone()))
                .fix_command("fix that pod first", command("kubectl podlife diagnose pod/{} -n {}", &[&name, &namespace])),
            )
        })
        .collect()
}

fn ordinal(name: &str) -> Option<u32> {
    name.rsplit_once('-')?.1.parse().ok()
}
