//! Workloads that wait for each other: the finding is the circle, because none of them is the cause.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, Fix, ObjectRef, Related, Severity};
use crate::text::{command, sanitise};

/// More names than these make a sentence that nobody reads.
const SHOWN: usize = 6;

/// Whether a finding is about a call of a Service: it tells who waits for whom.
pub fn is_call(finding: &Finding) -> bool {
    let codes = [Code::DependencyUnreachable, Code::InitContainerStuck, Code::InitContainerFailing];
    codes.contains(&finding.code) && service_of(finding).is_some()
}

/// The Service that a call waits for.
fn service_of(finding: &Finding) -> Option<(&String, &String)> {
    finding.suffers.iter().find_map(|effect| match effect {
        Effect::Service(namespace, name) => Some((namespace, name)),
        _ => None,
    })
}

/// The shortest way from a finding over its causes back to itself.
pub fn around(begin: usize, causes: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<usize> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([begin]);
    while let Some(next) = open.pop_front() {
        for &cause in causes.get(&next).into_iter().flatten() {
            if cause == begin {
                let mut way = vec![next];
                while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push(*before);
                }
                way.reverse();
                return way;
            }
            if let Entry::Vacant(unseen) = came_from.entry(cause) {
                unseen.insert(next);
                open.push_back(cause);
            }
        }
    }
    vec![begin]
}

/// Makes the beginning of a circle tell the whole of it: it is the root cause of what follows from it, but no more at fault than the others.
/// `circle`: the findings from the first over its causes back to it.
pub fn tell(findings: &mut [Finding], circle: &[usize]) {
    let Some((&begin, _)) = circle.split_first() else { return };
    if !is_call(&findings[begin]) {
        return;
    }
    let calls: Vec<&Finding> = circle.iter().map(|&i| &findings[i]).filter(|f| is_call(f)).collect();
    let mut workloads: Vec<ObjectRef> = Vec::new();
    for call in &calls {
        if !workloads.contains(&call.subject.object) {
            workloads.push(call.subject.object.clone());
        }
    }
    let needs: Vec<String> = calls
        .iter()
        .take(SHOWN)
        .filter_map(|call| service_of(call).map(|(_, name)| format!("{} needs Service {name}", call.subject.object.short())))
        .collect();
    let names: Vec<String> = workloads.iter().take(SHOWN).map(ObjectRef::short).collect();
    let more = if workloads.len() > SHOWN {
        format!(" and {} more", workloads.len() - SHOWN)
    } else {
        String::new()
    };
    let summary = match names.as_slice() {
        [only] => format!("{only} waits for itself: {}, behind which are only its own pods", needs.join(", ")),
        [all @ .., last] if more.is_empty() => format!("{} and {last} wait for each other: {}", all.join(", "), needs.join(", ")),
        all => format!("{}{more} wait for each other: {}, and so on", all.join(", "), needs.join(", ")),
    };
    let evidence: Vec<_> = calls
        .iter()
        .skip(1)
        .take(SHOWN)
        .filter_map(|f| f.evidence.first().cloned())
        .collect();
    let fix = match names.as_slice() {
        [only] => {
            format!("let {only} start and become ready without its own Service: remove that call from its start and its readiness probe")
        }
        _ => format!(
            "let one of them, for example {}, start and become ready without the other: retry in the background instead of exiting or waiting",
            names[0]
        ),
    };
    let first = &mut findings[begin];
    first.summary = sanitise(&summary);
    first.severity = Severity::Error;
    first.confidence = first.confidence.max(Confidence::Likely);
    for seen in evidence {
        if !first.evidence.contains(&seen) {
            first.evidence.push(seen);
        }
    }
    let own = first.subject.object.clone();
    first
        .related
        .extend(workloads.into_iter().filter(|w| *w != own).map(|object| Related {
            role: "waits-for".to_owned(),
            object,
            key: None,
        }));
    let edit = command("kubectl edit {} {} -n {}", &[&own.kind.to_lowercase(), &own.name, &own.namespace]);
    first.fixes = vec![Fix::command(fix, edit)];
}
