//! Jobs that failed, ran into their deadline, or are suspended.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use kube::ResourceExt;

use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::text::shorten;
use crate::rules::Context;
use crate::rules::context::{containers, controller, reference_of};

/// Jobs on their own, and the newest finished Job of each CronJob.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut newest: BTreeMap<ObjectRef, &Job> = BTreeMap::new();
    for job in &context.snapshot.objects.jobs {
        if job.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let reference = reference_of(&kind::JOB, &job.metadata);
        let top = context.climb(&reference);
        if top == reference {
            found.extend(failed(context, job, &top));
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
        found.extend(failed(context, job, &top));
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

fn failed(context: &Context<'_>, job: &Job, top: &ObjectRef) -> Option<Finding> {
    let failed = condition(job, "Failed").or_else(|| condition(job, "FailureTarget"))?;
    let reason = failed.reason.as_deref().unwrap_or_default();
    let message = failed.message.as_deref().unwrap_or_default();
    let reference = reference_of(&kind::JOB, &job.metadata);
    let name = job.name_any();
    let namespace = &reference.namespace;
    let spec = job.spec.as_ref();
    let ago = context.age_of(failed.last_transition_time.as_ref()).map(age::short);
    let when = ago.map(|a| format!(" {a} ago")).unwrap_or_default();
    let tries = job.status.as_ref().and_then(|s| s.failed).unwrap_or(0);
    let of = if *top == reference {
        String::new()
    } else {
        format!("the last run of {}, ", top.short())
    };
    let again = if controller(&job.metadata).is_some() {
        format!("kubectl create job {name}-again -n {namespace} --from={}", top.short())
    } else {
        format!("kubectl get job {name} -n {namespace} -o yaml")
    };
    let finding = if reason == "DeadlineExceeded" {
        let deadline = spec.and_then(|s| s.active_deadline_seconds).unwrap_or(0);
        Finding::error(
            Code::JobDeadlineExceeded,
            "",
            Subject::of(top.clone()),
            format!("{of}job {name} was stopped{when}: it ran longer than activeDeadlineSeconds {deadline}"),
        )
        .fix_command("see why it takes so long, or raise activeDeadlineSeconds", again)
    } else {
        let why = match reason {
            "BackoffLimitExceeded" => format!(
                "its pods failed {tries} times (backoffLimit {})",
                spec.and_then(|s| s.backoff_limit).unwrap_or(6)
            ),
            "PodFailurePolicy" => format!("its podFailurePolicy gave it up: {}", shorten(message, 160)),
            _ => shorten(message, 160),
        };
        Finding::error(
            Code::JobFailing,
            "",
            Subject::of(top.clone()),
            format!("{of}job {name} has failed{when}: {why}"),
        )
        .fix_command(
            "look at the log of its pods",
            format!("kubectl logs -n {namespace} -l batch.kubernetes.io/job-name={name} --tail=50"),
        )
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
    let pods = context.workload(top).map(|w| w.pods.clone()).unwrap_or_default();
    let of_job = pods
        .iter()
        .rev()
        .filter(|p| controller(&p.metadata).is_some_and(|o| o.name == name));
    for pod in of_job.take(1) {
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

fn suspended(job: &Job, reference: &ObjectRef) -> Option<Finding> {
    if job.spec.as_ref()?.suspend != Some(true) || condition(job, "Complete").or_else(|| condition(job, "Failed")).is_some() {
        return None;
    }
    Some(super::suspended(
        Code::JobSuspended,
        reference,
        "it runs no pods until it is resumed",
    ))
}
