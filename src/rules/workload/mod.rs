//! Controllers: roll-outs, ordered starts, jobs and schedules.

mod job;
mod ordered;
mod rollout;
mod schedule;
mod taken;
mod zero;

use crate::model::code::Code;
use crate::model::finding::{Finding, ObjectRef, Subject};
use crate::text::command;
use crate::view::{Out, View};

/// Workloads that do not reach their goal.
pub fn check(view: &View<'_>, out: &mut Out) {
    out.findings.extend(rollout::check(view));
    out.findings.extend(zero::check(view));
    out.findings.extend(ordered::check(view));
    out.findings.extend(taken::check(view));
    out.findings.extend(job::check(view));
    out.findings.extend(schedule::check(view));
}

/// Advice about a suspended Job or CronJob.
fn suspended(code: Code, reference: &ObjectRef, what_rests: &str) -> Finding {
    let name = reference.short();
    Finding::advice(code, Subject::of(reference.clone()), format!("{name} is suspended: {what_rests}"))
        .evidence("spec", "suspend: true")
        .fix_command(
            "resume it",
            command(
                "kubectl patch {} -n {} --type=merge -p '{\"spec\":{\"suspend\":false}}'",
                &[&name, &reference.namespace],
            ),
        )
}

#[cfg(test)]
mod tests;
