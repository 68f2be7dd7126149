//! Workloads in the words and states of `wait-ready`: a mapping from [`Rollout`].

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use crate::facts::unready::reason;
use crate::model::readiness::{BlockingPod, Phase};
use crate::readiness::goal::Goal;
use crate::readiness::judgement::Judgement;
use crate::text::{command, sanitise, shorten};
use crate::view::rollout::pod::node_condition;
use crate::view::rollout::state::{OnDelete, pods};
use crate::view::rollout::{self, Rollout, Stage};
use crate::view::{View, WorkloadObject, reference_of, revision};

/// Whether a workload is ready. `serves`: something is to answer, so that no pods at all will not do.
pub(crate) fn judge(view: &View<'_>, object: WorkloadObject<'_>, goal: &Goal, serves: bool) -> Judgement {
    let rollout = rollout::of(view, object);
    let judged = match expected(object, goal) {
        Some(reason) => Judgement::progressing(Phase::Pods, reason),
        None => in_phase(view, object, goal, serves, &rollout),
    };
    Judgement {
        pods: rollout.pods,
        ..judged
    }
}

fn in_phase(view: &View<'_>, object: WorkloadObject<'_>, goal: &Goal, serves: bool, rollout: &Rollout<'_>) -> Judgement {
    let phase = Phase::Pods;
    let words = rollout.stage.in_words();
    let (_, wanted) = rollout.pods.unwrap_or_default();
    let blocking = || {
        let blocking = rollout.blocking.iter();
        blocking.map(|(pod, state)| BlockingPod {
            pod: sanitise(&pod.name_any()),
            reason: reason(view, pod, state),
        })
    };
    match &rollout.stage {
        Stage::Ready { .. } | Stage::Complete if matches!(object, WorkloadObject::Pod(_)) => {
            let has_ended = rollout.stage == Stage::Complete;
            Judgement::ready(phase, if has_ended { "has completed" } else { "" })
        }
        Stage::Ready { .. } if goal.old_gone && rollout.old_terminating > 0 => {
            Judgement::progressing(phase, Stage::OldPods(rollout.old_terminating).in_words())
        }
        Stage::Ready { kept } => {
            let kept = kept.map(|_| format!(", {words}")).unwrap_or_default();
            Judgement::ready(phase, format!("{wanted} of {} ready{kept}", pods(wanted)))
        }
        Stage::Complete => Judgement::ready(phase, words),
        Stage::Scheduled(has_run) => {
            let so_far = if *has_run { "" } else { "; it has run nothing yet" };
            let schedule = match object {
                WorkloadObject::CronJob(job) => job.spec.as_ref().map(|s| shorten(&s.schedule, 60)),
                _ => None,
            };
            Judgement::ready(phase, format!("scheduled {}{so_far}", schedule.unwrap_or_default()))
        }
        Stage::RunFailed(_) => {
            let of = reference_of(&object.kind(), object.metadata());
            let again = command(
                "kubectl create job {}-again -n {} --from={}",
                &[&of.name, &of.namespace, &of.short()],
            );
            Judgement::progressing(phase, format!("{words}; once it is fixed, run it again: {again}"))
        }
        Stage::Zero(_) if serves => Judgement::suspended(phase, "it is scaled to zero, so nothing can answer"),
        Stage::Zero(0) => Judgement::ready(phase, words),
        Stage::NoNode if serves => Judgement::failed(phase, words),
        // That no node matches may be intended, but shows nothing.
        Stage::NoNode => Judgement::unknown(phase, words),
        Stage::Suspended => {
            let starts = if matches!(object, WorkloadObject::Job(_)) {
                "runs no pods"
            } else {
                "starts no Job"
            };
            Judgement::suspended(phase, format!("is suspended: it {starts} until it is resumed"))
        }
        Stage::Failed(_) => match rollout.blocking.first() {
            Some((pod, state)) => Judgement::failed(phase, reason(view, pod, state)),
            None => Judgement::failed(phase, words),
        },
        Stage::Unproven => {
            let unproven = blocking().next().map(|pod| match object {
                WorkloadObject::Pod(_) => pod.reason,
                _ => format!("pod {}: {}", pod.pod, pod.reason),
            });
            Judgement::unknown(phase, unproven.unwrap_or(words))
        }
        Stage::PodUnready | Stage::Deleted if matches!(object, WorkloadObject::Pod(_)) => {
            Judgement::progressing(phase, blocking().next().map_or(words, |pod| pod.reason))
        }
        Stage::Paused
        | Stage::Outdated {
            on_delete: OnDelete::Waits,
            ..
        } => Judgement::suspended(phase, words).blocking(blocking().collect()),
        Stage::DeadlineExceeded(_) => Judgement::overdue(phase, words).blocking(blocking().collect()),
        _ => Judgement::progressing(phase, words).blocking(blocking().collect()),
    }
}

/// What is still to come of the image or the revision that was asked for: a workload that is ready as it was before is not ready yet.
fn expected(object: WorkloadObject<'_>, goal: &Goal) -> Option<String> {
    if let Some(image) = &goal.expect_image {
        let images: Vec<&str> = object
            .pod_spec()
            .into_iter()
            .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
            .filter_map(|c| c.image.as_deref())
            .collect();
        if !images.contains(&image.as_str()) {
            return Some(format!("its image is {}, not {image}", images.join(", ")));
        }
    }
    if let (Some(expected), WorkloadObject::Deployment(o)) = (goal.expect_revision, object) {
        let number = revision::number(&o.metadata);
        if number.is_none_or(|n| n < expected) {
            let is = number.map_or_else(|| "none".to_owned(), |n| n.to_string());
            return Some(format!("its revision is {is}, not {expected} yet"));
        }
    }
    None
}

/// Whether a node is ready: what its pods say depends on it.
pub(crate) fn node(node: &Node) -> Judgement {
    match node_condition(node) {
        Some(c) if c.status == "True" => Judgement::ready(Phase::Infrastructure, "takes pods"),
        Some(c) => {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let why = format!("{}: {}", text(&c.reason), text(&c.message));
            Judgement::progressing(Phase::Infrastructure, format!("is not ready: {}", shorten(&why, 120)))
        }
        None => Judgement::progressing(Phase::Infrastructure, "has not reported yet"),
    }
}
