//! Containers that the kernel kills because memory runs out.

use jiff::SignedDuration;
use kube::ResourceExt;

use crate::facts::ending::{Ending, edit_command, for_each_pod, groups, owner_name};
use crate::model::cause::OutOfMemory;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::rules::container::crash::memory_limit;
use crate::text::{command, shorten};
use crate::view::{Role, View};

/// How far the node's word on a kill may be from the end of the container.
const NODE_EVENT_SLACK: SignedDuration = SignedDuration::from_secs(60);

pub(crate) fn check(view: &View<'_>) -> Vec<Finding> {
    groups(view, |_| true)
        .iter()
        .flat_map(|group| {
            let finding = group.first().and_then(|ending| judge(view, ending));
            finding.iter().flat_map(|f| for_each_pod(f, group)).collect::<Vec<_>>()
        })
        .collect()
}

fn judge(view: &View<'_>, ending: &Ending<'_>) -> Option<Finding> {
    let container = &ending.container;
    let killed = ending.end.reason.as_deref() == Some("OOMKilled");
    let node = container.pod.spec.as_ref()?.node_name.as_deref().unwrap_or_default();
    let system = node_event(view, ending, node);
    let by_node = ending.end.exit_code == 137 && system.is_some();
    if !killed && !by_node {
        return None;
    }
    let limit = memory_limit(container).or_else(|| {
        let of_pod = container.pod.spec.as_ref()?.resources.as_ref()?.limits.as_ref()?;
        of_pod.get("memory").map(|q| q.0.as_str())
    });
    let owner = owner_name(view, container.pod);
    let what = match container.role {
        Role::App => "container",
        Role::Init => "init container",
        Role::Sidecar => "sidecar",
    };
    let (cause, summary) = match limit {
        Some(limit) if killed => (
            OutOfMemory::Limit,
            format!(
                "{what} {} of {owner} is killed because it uses more memory than its limit of {limit}",
                container.name()
            ),
        ),
        _ => (
            OutOfMemory::Node,
            format!(
                "{what} {} of {owner} is killed because its node {node} runs out of memory",
                container.name()
            ),
        ),
    };
    let confidence = if killed { Confidence::Proven } else { Confidence::Likely };
    let mut finding = Finding::error(cause, view.subject_of(container), summary)
        .confidence(confidence)
        .evidence(container.source(), ending.describe(view));
    if let Some(message) = system {
        finding = finding.evidence(format!("node/{node} event SystemOOM"), shorten(message, 200));
    }
    finding = if cause == OutOfMemory::Limit {
        finding.fix_command(
            "raise resources.limits.memory, or make the program use less (heap size, workers, caches)",
            edit_command(view, container.pod),
        )
    } else {
        finding
            .related("node", ObjectRef::new(&kind::NODE, "", node))
            .suffering(Effect::Node(node.to_owned()))
            .fix_command(
                "give every container of the node a memory request and limit, so that the node is not overcommitted",
                command("kubectl describe node {}", &[&node]),
            )
    };
    Some(view.container_effects(container).into_iter().fold(finding, Finding::breaking))
}

/// The kubelet's word that the node as a whole ran out of memory when this container ended.
/// The kubelet puts the node's name where its uid belongs, so that the event is found by name.
fn node_event<'a>(view: &View<'a>, ending: &Ending<'_>, node: &str) -> Option<&'a str> {
    let end = ending.end.finished_at.as_ref()?.0;
    let at_that_time = |time: jiff::Timestamp| end.duration_since(time).abs() <= NODE_EVENT_SLACK;
    view.snapshot
        .objects
        .events
        .iter()
        .filter(|e| e.involved_object.kind.as_deref() == Some("Node") && e.involved_object.name.as_deref() == Some(node))
        .filter(|e| matches!(e.reason.as_deref(), Some("SystemOOM" | "OOMKilling")))
        .find(|e| {
            let times = [&e.first_timestamp, &e.last_timestamp];
            times.into_iter().flatten().any(|t| at_that_time(t.0)) || e.creation_timestamp().is_some_and(|t| at_that_time(t.0))
        })
        .and_then(|e| e.message.as_deref())
}
