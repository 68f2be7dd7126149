//! The containers that `-c` names.

use std::collections::BTreeSet;

use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::exit::{Exit, Failure};
use crate::model::snapshot::Snapshot;
use crate::model::{kind, near};

/// How many names a hint has room for.
const NAMES_SHOWN: usize = 8;

/// A name that no pod of the selection has is a slip, not a container without faults. Where pods may not be read nothing is known.
pub(crate) fn must_exist(question: &Question, snapshot: &Snapshot) -> Result<(), Failure> {
    if question.containers.is_empty() {
        return Ok(());
    }
    let context = assess::view(snapshot, question);
    let scope = assess::scope(&context, question);
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut is_all_seen = true;
    for workload in context.workloads().filter(|w| scope.has(&w.reference)) {
        let template = workload.object.and_then(|o| o.pod_spec());
        let specs = template.into_iter().chain(workload.pods.iter().filter_map(|pod| pod.spec.as_ref()));
        for spec in specs {
            let declared = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            known.extend(declared.map(|c| c.name.as_str()));
            known.extend(spec.ephemeral_containers.iter().flatten().map(|c| c.name.as_str()));
        }
        is_all_seen &= snapshot.local || snapshot.is_complete(&kind::POD, &workload.reference.namespace);
    }
    let Some(unknown) = question.containers.iter().find(|name| !known.contains(name.as_str())) else {
        return Ok(());
    };
    if known.is_empty() || !is_all_seen {
        return Ok(());
    }
    let hint = near::nearest(unknown, known.iter().copied()).map_or_else(
        || {
            let names: Vec<&str> = known.iter().copied().take(NAMES_SHOWN).collect();
            let more = if known.len() > names.len() { ", …" } else { "" };
            format!("there are {}{more}", names.join(", "))
        },
        |near| format!("did you mean {near}?"),
    );
    Err(Failure::new(Exit::NotFound, format!("no pod that was asked for has a container {unknown}")).hint(hint))
}
