//! Jobs, whose goal is to be complete, and CronJobs, whose goal is that their last run succeeds.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job, JobCondition};

use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::Snapshot;
use crate::text::shorten;
use crate::view::rollout::state::Stage;

fn condition<'a>(job: &'a Job, type_: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == type_ && c.status == "True")
}

/// Whether a Job of the snapshot that no longer exists was cleaned up because it had ended (`ttlSecondsAfterFinished`): its end counts all
/// the same.
pub fn was_cleaned_up(snapshot: &Snapshot, of: &Kind, namespace: &str, name: &str) -> bool {
    let is_meant = |job: &&Job| job.metadata.namespace.as_deref() == Some(namespace) && job.metadata.name.as_deref() == Some(name);
    let mut jobs = snapshot.objects.jobs.iter().filter(|_| *of == kind::JOB).filter(is_meant);
    jobs.any(goes_after_its_end)
}

/// Whether a Job has ended and is to be deleted for that.
pub fn goes_after_its_end(job: &Job) -> bool {
    let has_limit = job.spec.as_ref().is_some_and(|s| s.ttl_seconds_after_finished.is_some());
    has_limit && ["Complete", "Failed"].iter().any(|end| condition(job, end).is_some())
}

/// How far a Job is.
pub(crate) fn job(job: &Job) -> Stage {
    if condition(job, "Complete").is_some() {
        return Stage::Complete;
    }
    // FailureTarget comes first, while its pods are still being ended.
    if let Some(failed) = condition(job, "Failed").or_else(|| condition(job, "FailureTarget")) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let why = shorten(&format!("{}: {}", text(&failed.reason), text(&failed.message)), 160);
        return Stage::Failed(format!("has failed: {why}"));
    }
    if job.spec.as_ref().and_then(|s| s.suspend) == Some(true) {
        return Stage::Suspended;
    }
    let status = job.status.as_ref();
    let number = |value: Option<i32>| value.unwrap_or_default();
    Stage::Running {
        active: number(status.and_then(|s| s.active)),
        succeeded: number(status.and_then(|s| s.succeeded)),
        failed: number(status.and_then(|s| s.failed)),
    }
}

/// Whether the time of a CronJob has come before: that it is scheduled proves nothing about what it runs.
pub fn has_run(job: &CronJob) -> bool {
    job.status.as_ref().is_some_and(|s| s.last_schedule_time.is_some())
}

/// When the last run of a CronJob was scheduled, if it ended and nothing has succeeded since. The CronJob controller takes a Job off the
/// active ones and notes its success in one update; a Job that somebody makes of the CronJob counts when it succeeds.
fn without_success(job: &CronJob) -> Option<Timestamp> {
    let status = job.status.as_ref().filter(|s| s.active.as_ref().is_none_or(Vec::is_empty))?;
    let template = job.spec.as_ref()?.job_template.spec.as_ref();
    if template.is_some_and(|s| s.ttl_seconds_after_finished == Some(0)) {
        // Deleted as soon as it ends, a Job may be gone before the controller has seen its success.
        return None;
    }
    let scheduled = status.last_schedule_time.as_ref()?.0;
    let succeeded = status.last_successful_time.as_ref().map(|t| t.0);
    succeeded.is_none_or(|at| at < scheduled).then_some(scheduled)
}

/// Whether a CronJob will run, and how its last run ended.
pub(crate) fn cron_job(job: &CronJob) -> Stage {
    if job.spec.as_ref().and_then(|s| s.suspend) == Some(true) {
        return Stage::Suspended;
    }
    without_success(job).map_or_else(|| Stage::Scheduled(has_run(job)), Stage::RunFailed)
}
