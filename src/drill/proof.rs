//! What has to be seen of a fault, and of the recovery from it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;

use crate::drill::fault::Fault;
use crate::drill::label::still_behind;
use crate::drill::plan::{Plan, PodBefore, Request};
use crate::model::finding::ObjectRef;
use crate::text::command;
use crate::view::endpoints;
use crate::view::{EventView, View, condition, containers, is_terminating, rollout};

/// Pods of a target that live.
fn living<'a>(view: &View<'a>, target: &ObjectRef) -> Vec<&'a Pod> {
    let pods = view.workload(target).map(|workload| workload.pods.clone()).unwrap_or_default();
    pods.into_iter().filter(|pod| !is_terminating(pod)).collect()
}

/// Whether the fault is there to be seen, for every target; the error says what is not.
pub(crate) fn proven(view: &View<'_>, plan: &Plan) -> Result<String, String> {
    let before: BTreeSet<&str> = plan.before.iter().map(|pod| pod.uid.as_str()).collect();
    let mut seen = Vec::new();
    for target in &plan.request.targets {
        let pods = living(view, target);
        let new = |pod: &&&Pod| !before.contains(pod.uid().unwrap_or_default().as_str());
        let name = target.short();
        seen.push(match plan.request.fault {
            // What is seen of commands in containers: `inside::proven`.
            Fault::ContainerCrash | Fault::Oom | Fault::Cpu | Fault::BreakHeal | Fault::CpuResize => continue,
            Fault::PodDelete | Fault::Evict | Fault::NodeLoss => {
                let hit = plan.hit.iter().filter(|pod| pod.workload == *target);
                let left = hit
                    .clone()
                    .filter(|hit| pods.iter().any(|pod| pod.uid().as_ref() == Some(&hit.uid)));
                let left: Vec<&str> = left.map(|pod| pod.name.as_str()).collect();
                if !left.is_empty() {
                    return Err(format!("pod {} is still there", left.join(", ")));
                }
                let gone: Vec<String> = hit.map(|pod| format!("pod/{}", pod.name)).collect();
                format!("{} gone or being deleted", gone.join(", "))
            }
            Fault::ScaleZero | Fault::Scale => {
                let to = if plan.request.fault == Fault::Scale {
                    plan.request.to as usize
                } else {
                    0
                };
                if pods.len() != to {
                    return Err(format!("{name} has {} pods, not {to}", pods.len()));
                }
                format!("{name} has {to} pods")
            }
            // The canary tells, or the files.
            Fault::Isolate | Fault::DnsBlock => continue,
            Fault::ConfigCorrupt if !plan.files.is_empty() => continue,
            Fault::RollingRestart | Fault::ConfigCorrupt => match pods.iter().find(new) {
                Some(pod) => format!("pod/{} is new", pod.name_any()),
                None => return Err(format!("{name} has no new pod")),
            },
            Fault::NotReady if plan.request.by_label => {
                let hit: Vec<&PodBefore> = plan.hit.iter().filter(|pod| pod.workload == *target).collect();
                let behind = hit
                    .iter()
                    .find_map(|pod| Some((pod, still_behind(view, target, &plan.services, &pod.name)?)));
                if let Some((pod, service)) = behind {
                    return Err(format!("pod/{} is still a ready endpoint of service/{service}", pod.name));
                }
                let names: Vec<String> = hit.iter().map(|pod| format!("pod/{}", pod.name)).collect();
                format!("{} no endpoint of {}", names.join(", "), plan.services.join(", "))
            }
            Fault::NotReady => {
                for service in &plan.services {
                    let service = view.service(&target.namespace, service);
                    if service.is_some_and(|service| endpoints::of(view, service, |_| true).is_ready()) {
                        return Err(format!(
                            "service/{} still has ready endpoints",
                            service.map(ResourceExt::name_any).unwrap_or_default()
                        ));
                    }
                }
                format!("no ready endpoint is left in {}", plan.services.join(", "))
            }
            Fault::BadImage | Fault::StuckPending | Fault::StuckCreating | Fault::CrashLoop => {
                let held = pods
                    .iter()
                    .filter(new)
                    .find_map(|pod| Some((pod, held_by(view, &plan.request, pod)?)));
                match held {
                    Some((pod, why)) => format!("pod/{}: {why}", pod.name_any()),
                    None => return Err(format!("no new pod of {name} shows it")),
                }
            }
        });
    }
    Ok(seen.join("; "))
}

/// Why a new pod does not start, if it is for the reason that the fault gives it.
fn held_by(view: &View<'_>, request: &Request, pod: &Pod) -> Option<String> {
    match request.fault {
        Fault::StuckCreating => {
            let is_ours = |event: &EventView<'_>| event.reason() == "FailedMount" && event.message().contains(&request.id);
            view.pod_events(pod)
                .into_iter()
                .find(is_ours)
                .map(|event| event.message().to_owned())
        }
        Fault::StuckPending => {
            let (status, reason, _) = condition(pod, "PodScheduled")?;
            (status == "False" && reason == "Unschedulable").then(|| reason.to_owned())
        }
        Fault::BadImage => containers(pod).iter().find_map(|container| {
            let (reason, _) = container.waiting()?;
            matches!(
                reason,
                "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull"
            )
            .then(|| reason.to_owned())
        }),
        _ => containers(pod).iter().find_map(|container| {
            let waits = container
                .waiting()
                .map(|(reason, _)| reason)
                .filter(|reason| matches!(*reason, "CrashLoopBackOff" | "RunContainerError"));
            let ended = container
                .newest_end()
                .and_then(|end| end.reason.as_deref())
                .filter(|reason| *reason == "StartError");
            waits.or(ended).map(str::to_owned)
        }),
    }
}

/// Whether a workload is at its goal; the error says what is missing.
pub(crate) fn at_goal(view: &View<'_>, target: &ObjectRef) -> Result<(), String> {
    let object = view.workload(target).and_then(|workload| workload.object);
    let object = object.ok_or_else(|| format!("{} does not exist", target.short()))?;
    match rollout::of(view, object).stage {
        stage if stage.is_goal() => Ok(()),
        stage => {
            let refused = refused(view, target).map(|why| format!("; {why}")).unwrap_or_default();
            Err(format!("{}: {}{refused}", target.short(), stage.in_words()))
        }
    }
}

/// Whether all pods that end have ended; the error names one that has not.
pub(crate) fn drained(view: &View<'_>, plan: &Plan) -> Result<String, String> {
    let workloads = plan.request.targets.iter().filter_map(|target| view.workload(target));
    let mut pods = workloads.flat_map(|workload| &workload.pods);
    match pods.find(|pod| is_terminating(pod)) {
        Some(pod) => Err(format!("pod/{} is still terminating", pod.name_any())),
        None => Ok(String::new()),
    }
}

/// Why the controller of a target cannot make its pods, and what to do about it: what its newest event says.
fn refused(view: &View<'_>, target: &ObjectRef) -> Option<String> {
    let is_of = |event: &&Event| {
        let of = event.involved_object.name.as_deref().unwrap_or_default();
        let rest = of.strip_prefix(target.name.as_str());
        // A ReplicaSet has the name of its Deployment, a dash and a hash.
        event.reason.as_deref() == Some("FailedCreate") && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let events = view.snapshot.objects.events.iter().filter(is_of);
    let message = events
        .max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))?
        .message
        .as_deref()?;
    let quota = message.split_once("exceeded quota: ").and_then(|(_, rest)| rest.split(',').next());
    let what = quota.map(|quota| {
        let edit = command("kubectl edit resourcequota {} -n {}", &[&quota, &target.namespace]);
        format!(" (raise it: {edit})")
    });
    Some(format!("pods are refused: {message}{}", what.unwrap_or_default()))
}

/// Whether every target is at its goal again, without what the drill has hit; the error says what is missing.
pub(crate) fn recovered(view: &View<'_>, plan: &Plan) -> Result<(), String> {
    for target in &plan.request.targets {
        at_goal(view, target)?;
        let pods = living(view, target);
        let is_old = |pod: &&Pod| plan.before.iter().any(|before| pod.uid().as_ref() == Some(&before.uid));
        if plan.request.fault == Fault::RollingRestart && pods.iter().any(is_old) {
            return Err(format!("{} still has pods from before the restart", target.short()));
        }
        for service in plan.services.iter().filter_map(|name| view.service(&target.namespace, name)) {
            if !endpoints::of(view, service, |_| true).is_ready() {
                return Err(format!("service/{} has no ready endpoint for each port", service.name_any()));
            }
        }
    }
    Ok(())
}
