//! Jobs, which are ready when they are complete, and CronJobs, which are ready when they may run.

use k8s_openapi::api::batch::v1::{CronJob, Job, JobCondition};

use super::judgement::Judgement;
use crate::model::kind::{self, Kind};
use crate::model::readiness::Phase;
use crate::model::snapshot::Snapshot;
use crate::model::text::shorten;

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == type_ && c.status == "True")
}

/// Whether a Job of the snapshot that is not there any more was cleaned up because it had ended (`ttlSecondsAfterFinished`): how it ended
/// counts all the same.
pub fn was_cleaned_up(snapshot: &Snapshot, of: &Kind, namespace: &str, name: &str) -> bool {
    let is_meant = |job: &&Job| job.metadata.namespace.as_deref() == Some(namespace) && job.metadata.name.as_deref() == Some(name);
    let mut jobs = snapshot.objects.jobs.iter().filter(|_| *of == kind::JOB).filter(is_meant);
    jobs.any(goes_after_its_end)
}

/// Whether a Job has ended and is to be deleted for that.
pub(super) fn goes_after_its_end(job: &Job) -> bool {
    let has_limit = job.spec.as_ref().is_some_and(|s| s.ttl_seconds_after_finished.is_some());
    has_limit && ["Complete", "Failed"].iter().any(|end| condition(job, end).is_some())
}

/// Whether a Job is complete.
pub(super) fn job(job: &Job) -> Judgement {
    if condition(job, "Complete").is_some() {
        return Judgement::ready(Phase::Pods, "complete");
    }
    // FailureTarget comes first, while its pods are still being ended.
    if let Some(failed) = condition(job, "Failed").or_else(|| condition(job, "FailureTarget")) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let why = shorten(&format!("{}: {}", text(&failed.reason), text(&failed.message)), 160);
        return Judgement::failed(Phase::Pods, format!("has failed: {why}"));
    }
    if job.spec.as_ref().and_then(|s| s.suspend) == Some(true) {
        return Judgement::suspended(Phase::Pods, "is suspended: it runs no pods until it is resumed");
    }
    let status = job.status.as_ref();
    let number = |value: Option<i32>| value.unwrap_or_default();
    Judgement::progressing(
        Phase::Pods,
        format!(
            "{} active, {} succeeded, {} failed",
            number(status.and_then(|s| s.active)),
            number(status.and_then(|s| s.succeeded)),
            number(status.and_then(|s| s.failed))
        ),
    )
}

/// What is said of a CronJob whose time has not come: that it is ready proves nothing about what it runs.
pub(super) const NOTHING_YET: &str = "; it has run nothing yet";

/// Whether a CronJob will run.
pub(super) fn cron_job(job: &CronJob) -> Judgement {
    let spec = job.spec.as_ref();
    if spec.and_then(|s| s.suspend) == Some(true) {
        return Judgement::suspended(Phase::Pods, "is suspended: it starts no Job until it is resumed");
    }
    let schedule = shorten(spec.map(|s| s.schedule.as_str()).unwrap_or_default(), 60);
    let has_run = job.status.as_ref().is_some_and(|s| s.last_schedule_time.is_some());
    let so_far = if has_run { "" } else { NOTHING_YET };
    Judgement::ready(Phase::Pods, format!("scheduled {schedule}{so_far}"))
}
