//! Plans as they are printed.

use crate::drill::plan::Plan;
use crate::io::Environment;
use crate::model::drill::DrillPlan;
use crate::model::duration::rounded;

/// The plan as data.
pub(super) fn plan(plan: &Plan, namespace: &str) -> DrillPlan {
    let request = &plan.request;
    let hold = (!request.fault.heals_by_itself()).then_some(request.hold);
    DrillPlan {
        api_version: "podlife/v1",
        kind: "DrillPlan",
        fault: request.fault.name().to_owned(),
        namespace: namespace.to_owned(),
        targets: request.targets.clone(),
        requests: plan.requests(),
        undo: request.fault.undo().to_owned(),
        proof: request.fault.proof().to_owned(),
        pods: plan.pods,
        expected: plan.expected.clone(),
        held_seconds: hold.map(|hold| rounded(hold.as_secs_f64())),
        worst_case_seconds: rounded((hold.unwrap_or_default() + request.timeout).as_secs_f64()),
        refusals: plan.refusals.clone(),
    }
}

/// Who runs it: `user@host, process 17`.
pub(super) fn by(environment: &Environment) -> String {
    let user = environment.get("USER").unwrap_or("somebody");
    let host = crate::io::host(environment).unwrap_or_default();
    format!("{user}@{host}, process {}", std::process::id())
}
