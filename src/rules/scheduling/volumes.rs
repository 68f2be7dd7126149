//! Claims of a pod whose volumes are tied to nodes that do not take it.

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod};
use kube::ResourceExt;

use crate::model::kind;
use crate::text::{Command, command};
use crate::view::{Needs, View};

/// A volume that is tied to nodes.
pub(crate) struct Tied {
    /// Claim, volume and nodes, to stand behind `no node takes the pod`.
    pub what: String,
    /// What would help.
    pub fix: String,
    /// The command that shows the volume.
    pub command: Command,
}

/// The first volume of a pod that its node affinity keeps from the nodes; none where volumes may not be read.
pub(crate) fn tied(view: &View<'_>, needs: &mut Needs, pod: &Pod, claims: &[String]) -> Option<Tied> {
    if !needs.list(view, &kind::VOLUME, "") | !needs.list(view, &kind::NODE, "") {
        return None;
    }
    let objects = &view.snapshot.objects;
    let of_pod = |name: &String| {
        let mut all = objects.claims.iter();
        all.find(|claim| claim.name_any() == *name && claim.namespace() == pod.namespace())
    };
    claims.iter().find_map(|name| {
        let volume = of_pod(name)?.spec.as_ref()?.volume_name.as_deref()?;
        let terms = {
            let volume = objects.volumes.iter().find(|v| v.name_any() == volume)?;
            &volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?.node_selector_terms
        };
        let nodes: Vec<&Node> = objects
            .nodes
            .iter()
            .filter(|node| terms.iter().any(|term| takes(term, node)))
            .collect();
        let wanted: Vec<String> = terms.iter().map(shown).collect();
        let wanted = wanted.join(" or ");
        let (there, fix) = match nodes.first() {
            None => (
                "no such node is there".to_owned(),
                "bring such a node back; if it is gone for good, delete the claim and the pod: the data is gone with the node".to_owned(),
            ),
            Some(node) => {
                let node = node.name_any();
                (
                    format!("node {node} is, and does not take the pod"),
                    format!("let node {node} take the pod (room, taints, cordon, nodeSelector), or use a volume that other nodes reach"),
                )
            }
        };
        Some(Tied {
            what: format!("volume {volume} of claim {name} is on nodes with {wanted} only; {there}"),
            fix,
            command: command("kubectl get pv {} -o jsonpath='{.spec.nodeAffinity}'", &[&volume]),
        })
    })
}

/// Whether a node has the labels of a term. Other operators than `In` are seldom used for volumes, and count as met.
fn takes(term: &NodeSelectorTerm, node: &Node) -> bool {
    term.match_expressions.iter().flatten().all(|expression| {
        expression.operator != "In"
            || node
                .labels()
                .get(&expression.key)
                .is_some_and(|value| expression.values.iter().flatten().any(|wanted| wanted == value))
    })
}

/// `kubernetes.io/hostname node-1`
fn shown(term: &NodeSelectorTerm) -> String {
    let expressions = term.match_expressions.iter().flatten();
    let all: Vec<String> = expressions
        .map(|e| format!("{} {}", e.key, e.values.iter().flatten().cloned().collect::<Vec<_>>().join("|")))
        .collect();
    all.join(" and ")
}
