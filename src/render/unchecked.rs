//! What was not read, with the rights that would help and the command that prints them.

use std::collections::BTreeMap;

use crate::model::snapshot::Unchecked;
use crate::text::few;

const SHOWN: usize = 4;

/// What was not read for one reason, and that reason with the rule to grant: one pair per reason.
pub(super) fn by_reason(unchecked: &[Unchecked], verb: &str) -> Vec<(String, String)> {
    let mut by_reason: BTreeMap<(&str, bool), Vec<&Unchecked>> = BTreeMap::new();
    for entry in unchecked {
        by_reason.entry((&entry.why, entry.resource.is_empty())).or_default().push(entry);
    }
    let told = by_reason.into_iter().map(|((why, _), entries)| {
        let mut what: Vec<String> = entries.iter().map(|e| e.what.clone()).collect();
        what.dedup();
        (few(&what, SHOWN), format!("{why}{}", grant(&entries, verb)))
    });
    told.collect()
}

/// The rule that would help, and the command that prints it.
fn grant(entries: &[&Unchecked], verb: &str) -> String {
    if entries.iter().all(|e| e.resource.is_empty()) {
        return String::new();
    }
    let mut rules: Vec<String> = entries.iter().map(|e| format!("{} {}", e.verb, e.resource)).collect();
    rules.dedup();
    // Many refusals are one role that is missing, and `-o json` has them all.
    let rules = if rules.len() <= SHOWN {
        format!("needs {}; ", rules.join(", "))
    } else {
        String::new()
    };
    format!("; {rules}see kubectl podlife rbac {verb}{}", with(entries))
}

/// What the least role lacks without being asked: ` --with dial,nodes`.
fn with(entries: &[&Unchecked]) -> String {
    let of = |entry: &&Unchecked| match entry.resource.as_str() {
        "pods/proxy" | "pods/portforward" => Some("dial"),
        "pods/exec" => Some("exec"),
        "pods/ephemeralcontainers" => Some("debug"),
        "secrets" => Some("secrets"),
        _ if entry.namespace.is_empty() => Some("nodes"),
        _ => None,
    };
    let mut words: Vec<&str> = entries.iter().filter_map(of).collect();
    words.sort_unstable();
    words.dedup();
    if words.is_empty() {
        String::new()
    } else {
        format!(" --with {}", words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::UncheckedKind;

    #[test]
    fn a_right_is_named_once_with_the_command_that_prints_it() {
        let node = |name: &str| Unchecked {
            kind: UncheckedKind::Nodes,
            what: format!("node/{name}"),
            why: "forbidden".to_owned(),
            verb: "get".to_owned(),
            resource: "nodes".to_owned(),
            namespace: String::new(),
        };
        let told = by_reason(&[node("a"), node("b")], "wait-ready");
        let why = "forbidden; needs get nodes; see kubectl podlife rbac wait-ready --with nodes";
        assert_eq!(told, [("node/a, node/b".to_owned(), why.to_owned())]);
        let broken = Unchecked::without_right(UncheckedKind::Objects, "pods", "timeout");
        assert_eq!(by_reason(&[broken], "diagnose"), [("pods".to_owned(), "timeout".to_owned())]);
    }
}
