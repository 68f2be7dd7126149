//! Controllers: roll-outs, ordered starts, jobs and schedules.

mod job;
mod ordered;
mod rollout;
mod schedule;
mod taken;
mod zero;

use super::Context;
use crate::model::code::Code;
use crate::model::finding::{Finding, ObjectRef, Subject};

/// Workloads that do not reach their goal.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = rollout::check(context);
    found.extend(zero::check(context));
    found.extend(ordered::check(context));
    found.extend(taken::check(context));
    found.extend(job::check(context));
    found.extend(schedule::check(context));
    found
}

/// Advice about a Job or CronJob that is told to rest.
fn suspended(code: Code, reference: &ObjectRef, what_rests: &str) -> Finding {
    let name = reference.short();
    Finding::advice(
        code,
        "",
        Subject::of(reference.clone()),
        format!("{name} is suspended: {what_rests}"),
    )
    .evidence("spec", "suspend: true")
    .fix_command(
        "resume it",
        format!(
            "kubectl patch {name} -n {} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
            reference.namespace
        ),
    )
}

#[cfg(test)]
mod tests;
