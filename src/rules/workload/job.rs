//! Jobs that failed, ran into their deadline, or are suspended.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Subject};
use crate::model::{age, kind};
use crate::text::{Command, command, counted, shorten};
use crate::view::{ContainerView, Role, View, containers, controller, is_terminating, reference_of};

/// Containers of one pod end within this time of each other.
const ENDS: Duration = Duration::from_secs(60);

/// Jobs on their own, and the newest finished Job of each CronJob.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut newest: BTreeMap<ObjectRef, &Job> = BTreeMap::new();
    for job in &view.snapshot.objects.jobs {
        if job.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let reference = reference_of(&kind::JOB, &job.metadata);
        let top = view.climb(&reference);
        found.extend(kept_open(view, job, &top));
        // Of the runs of a CronJob the last one counts, unless the user asks for another one.
        if !top.is(&kind::CRON_JOB) || view.is_named(&reference) {
            found.extend(failed(view, job, &top));
            found.extend(suspended(job, &reference));
        } else if condition(job, "Complete").or_else(|| condition(job, "Failed")).is_some() {
            // Failures that a later run has made good are history.
            let newer = newest
                .get(&top)
                .is_none_or(|old| old.metadata.creation_timestamp < job.metadata.creation_timestamp);
            if newer {
                newest.insert(top, job);
            }
        }
    }
    for (top, job) in newest {
        found.extend(failed(view, job, &top));
    }
    found
}

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    job.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|c| c.type_ == type_ && c.status == "True")
}

fn failed(view: &View<'_>, job: &Job, top: &ObjectRef) -> Option<Finding> {
    let failed = condition(job, "Failed").or_else(|| condition(job, "FailureTarget"))?;
    let reason = failed.reason.as_deref().unwrap_or_default();
    let message = failed.message.as_deref().unwrap_or_default();
    let reference = reference_of(&kind::JOB, &job.metadata);
    let name = job.name_any();
    let namespace = &reference.namespace;
    let spec = job.spec.as_ref();
    let ago = view.age_of(failed.last_transition_time.as_ref()).map(age::short);
    let when = ago.map(|a| format!(" {a} ago")).unwrap_or_default();
    let tries = job.status.as_ref().and_then(|s| s.failed).unwrap_or(0);
    let of = if *top == reference {
        String::new()
    } else {
        format!("the last run of {}, ", top.short())
    };
    let again = if controller(&job.metadata).is_some() {
        command("kubectl create job {}-again -n {} --from={}", &[&name, &namespace, &top.short()])
    } else {
        command("kubectl get job {} -n {} -o yaml", &[&name, &namespace])
    };
    let pods = view.workload(top).map(|w| w.pods.clone()).unwrap_or_default();
    let last = pods.iter().rev().find(|p| controller(&p.metadata).is_some_and(|o| o.name == name));
    let policy = spec.and_then(|s| s.template.spec.as_ref()?.restart_policy.as_deref());
    let finding = if reason == "DeadlineExceeded" {
        let deadline = spec.and_then(|s| s.active_deadline_seconds).unwrap_or(0);
        Finding::error(
            Code::JobDeadlineExceeded,
            Subject::of(top.clone()),
            format!("{of}job {name} was stopped{when}: it ran longer than activeDeadlineSeconds {deadline}"),
        )
        .fix_command("see why it takes so long, or raise activeDeadlineSeconds", again)
    } else {
        let why = match reason {
            "BackoffLimitExceeded" => format!(
                "its pods failed {} (backoffLimit {})",
                counted(tries, "time"),
                spec.and_then(|s| s.backoff_limit).unwrap_or(6)
            ),
            "PodFailurePolicy" => format!("its podFailurePolicy gave it up: {}", shorten(message, 160)),
            _ => shorten(message, 160),
        };
        let lost = match (last, policy) {
            (Some(_), _) => "",
            // The Job controller deletes pods that still restart their container when it gives up.
            (None, Some("OnFailure")) => "; with restartPolicy OnFailure its pod was deleted then, and its log with it",
            (None, _) => "; its pods are deleted, and their logs with them",
        };
        let finding = Finding::error(
            Code::JobFailing,
            Subject::of(top.clone()),
            format!("{of}job {name} has failed{when}: {why}{lost}"),
        );
        match (last, policy) {
            (Some(_), _) => finding.fix_command(
                match spec.and_then(|s| s.ttl_seconds_after_finished) {
                    Some(ttl) => format!("look at the log of its pods before ttlSecondsAfterFinished ({ttl}) deletes them"),
                    None => "look at the log of its pods".to_owned(),
                },
                command(
                    "kubectl logs -n {} -l batch.kubernetes.io/job-name={} --tail=50",
                    &[&namespace, &name],
                ),
            ),
            (None, Some("OnFailure")) => finding.fix_command(
                "set restartPolicy: Never in its template and run it again: then failed pods stay, with their logs",
                keep_pods(top).unwrap_or(again),
            ),
            (None, _) => finding.fix_command("run it again, and read the log of its pod before that is deleted", again),
        }
    };
    let mut finding = finding
        .evidence(
            format!("job/{name} condition Failed"),
            format!("{reason}: {}", shorten(message, 160)),
        )
        .suffering(Effect::NotReady(top.clone()));
    if *top != reference {
        finding = finding.related("job", reference);
    }
    if last.is_none()
        && let Some(event) = view
            .events_of(&kind::JOB, &job.metadata)
            .iter()
            .find(|e| e.reason() == "SuccessfulDelete")
    {
        finding = finding.evidence(format!("job/{name} event SuccessfulDelete"), event.message());
    }
    if let Some(pod) = last {
        for container in containers(pod) {
            if let Some(end) = container.terminated().filter(|t| t.exit_code != 0) {
                finding = finding.evidence(
                    container.source(),
                    format!(
                        "exit code {} {}",
                        end.exit_code,
                        shorten(end.message.as_deref().unwrap_or_default(), 120)
                    ),
                );
            }
        }
    }
    Some(finding)
}

/// The command that lets the failed pods of a CronJob's next runs stay; the template of a Job cannot be changed.
fn keep_pods(top: &ObjectRef) -> Option<Command> {
    let patch = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}}});
    top.is(&kind::CRON_JOB)
        .then(|| command("kubectl patch {} -n {} -p {}", &[&top.short(), &top.namespace, &patch]))
}

/// A container of a Job has done its work, and another one keeps the pod, and with it the Job, open.
fn kept_open(view: &View<'_>, job: &Job, top: &ObjectRef) -> Option<Finding> {
    let (name, namespace) = (job.name_any(), job.namespace().unwrap_or_default());
    let own =
        |pod: &&Pod| pod.namespace() == job.namespace() && controller(&pod.metadata).is_some_and(|o| o.kind == "Job" && o.name == name);
    let mut pods = view.snapshot.objects.pods.iter().filter(own).filter(|pod| !is_terminating(pod));
    pods.find_map(|pod| {
        let (done, open): (Vec<ContainerView<'_>>, Vec<ContainerView<'_>>) = containers(pod)
            .into_iter()
            .filter(|container| container.role == Role::App)
            .partition(|container| container.terminated().is_some_and(|end| end.exit_code == 0));
        let ended = done.iter().filter_map(|c| c.terminated()?.finished_at.as_ref()).map(|t| t.0).max()?;
        let holder = open.iter().find(|container| container.is_running() && container.restarts() == 0)?;
        Some(
            Finding::error(
                Code::JobKeptOpen,
                Subject::of(top.clone()).container(holder.name()).pod(&pod.name_any()),
                format!(
                    "job {name} does not complete: container {} has ended with exit code 0, and container {} still runs",
                    done.first()?.name(),
                    holder.name()
                ),
            )
            .confidence(Confidence::Likely)
            .settling(view.settles(ended, ENDS))
            .evidence(holder.source(), format!("running, while the other ended {} ago", age::short(view.age(ended))))
            .breaking(Effect::NotReady(top.clone()))
            .fix_command(
                "make it a sidecar: an init container with restartPolicy: Always is ended when the others are done; or let it end by itself",
                command("kubectl get job {} -n {} -o yaml", &[&name, &namespace]),
            ),
        )
    })
}

fn suspended(job: &Job, reference: &ObjectRef) -> Option<Finding> {
    if job.spec.as_ref()?.suspend != Some(true) || condition(job, "Complete").or_else(|| condition(job, "Failed")).is_some() {
        return None;
    }
    Some(crate::rules::workload::suspended(
        Code::JobSuspended,
        reference,
        "it runs no pods until it is resumed",
    ))
}
