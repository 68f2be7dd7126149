//! What NetworkPolicies allow, by the rules of the API: a pure function of (source, destination, port) and the policies.
//!
//! A pod that no policy selects for a direction is open in that direction; else only what some rule of some policy allows may pass.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::rules::context::selects;
use crate::rules::ports::Declared;

type Labels = BTreeMap<String, String>;

/// One end of a connection.
#[derive(Clone, Debug, Default)]
pub struct End<'a> {
    /// Namespace of the pod; empty for an address outside of the cluster.
    pub namespace: &'a str,
    /// Labels of that namespace; none where they were not read.
    pub namespace_labels: Option<&'a Labels>,
    /// Labels of the pod; none for an address outside of the cluster.
    pub labels: Option<&'a Labels>,
    /// Its address, where it is known.
    pub ip: Option<IpAddr>,
    /// The ports that the pod declares: policies may name them.
    pub ports: Vec<Declared<'a>>,
}

/// A port that is called.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// The number, as the destination sees it.
    pub number: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// Which side refuses to let a connection pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The policies of the destination.
    Ingress,
    /// The policies of the source.
    Egress,
}

/// What the policies say about a connection.
#[derive(Clone, Debug)]
pub enum Answer<'p> {
    /// It may pass.
    Allowed,
    /// It may not; these policies select the end that is closed.
    Denied(Direction, Vec<&'p NetworkPolicy>),
    /// It depends on labels that were not read.
    Unknown,
}

impl Answer<'_> {
    /// Whether it may surely not pass.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(..))
    }
}

/// Whether a connection may pass: out of the source and into the destination.
pub fn allows<'p>(policies: &'p [NetworkPolicy], source: &End<'_>, destination: &End<'_>, port: Port<'_>) -> Answer<'p> {
    match out(policies, source, destination, port) {
        denied @ Answer::Denied(..) => denied,
        Answer::Allowed => one_way(policies, Direction::Ingress, destination, source, destination, port),
        // Whatever the first direction says, a door that is shut at the other end is shut.
        Answer::Unknown => match one_way(policies, Direction::Ingress, destination, source, destination, port) {
            denied @ Answer::Denied(..) => denied,
            _ => Answer::Unknown,
        },
    }
}

/// Whether the source's own policies let a connection out, whatever those of the destination say.
pub fn out<'p>(policies: &'p [NetworkPolicy], source: &End<'_>, destination: &End<'_>, port: Port<'_>) -> Answer<'p> {
    one_way(policies, Direction::Egress, source, destination, destination, port)
}

fn one_way<'p>(
    policies: &'p [NetworkPolicy],
    direction: Direction,
    closed: &End<'_>,
    peer: &End<'_>,
    destination: &End<'_>,
    port: Port<'_>,
) -> Answer<'p> {
    let Some(labels) = closed.labels else { return Answer::Allowed };
    let selecting: Vec<&NetworkPolicy> = policies
        .iter()
        .filter(|p| p.namespace().as_deref() == Some(closed.namespace) && bounds(p, direction, labels))
        .collect();
    if selecting.is_empty() {
        return Answer::Allowed;
    }
    let mut unknown = false;
    for policy in &selecting {
        for (peers, ports) in rules(policy, direction) {
            if !port_matches(ports, destination, port) {
                continue;
            }
            if peers.is_empty() {
                return Answer::Allowed;
            }
            for one in peers {
                match peer_matches(one, closed.namespace, peer) {
                    Some(true) => return Answer::Allowed,
                    Some(false) => {}
                    None => unknown = true,
                }
            }
        }
    }
    if unknown {
        Answer::Unknown
    } else {
        Answer::Denied(direction, selecting)
    }
}

/// Whether a policy selects a pod for a direction. Without `policyTypes` a policy is about ingress, and about egress if it has such rules.
pub fn bounds(policy: &NetworkPolicy, direction: Direction, labels: &Labels) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let about = match direction {
        Direction::Ingress => types.is_empty() || types.iter().any(|t| t == "Ingress"),
        Direction::Egress => {
            types.iter().any(|t| t == "Egress") || (types.is_empty() && spec.egress.as_ref().is_some_and(|e| !e.is_empty()))
        }
    };
    about && spec.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels))
}

type Rule<'p> = (&'p [NetworkPolicyPeer], &'p [NetworkPolicyPort]);

fn rules(policy: &NetworkPolicy, direction: Direction) -> Vec<Rule<'_>> {
    let spec = policy.spec.iter();
    match direction {
        Direction::Ingress => spec
            .flat_map(|s| s.ingress.iter().flatten())
            .map(|r| (r.from.as_deref().unwrap_or_default(), r.ports.as_deref().unwrap_or_default()))
            .collect(),
        Direction::Egress => spec
            .flat_map(|s| s.egress.iter().flatten())
            .map(|r| (r.to.as_deref().unwrap_or_default(), r.ports.as_deref().unwrap_or_default()))
            .collect(),
    }
}

fn port_matches(ports: &[NetworkPolicyPort], destination: &End<'_>, port: Port<'_>) -> bool {
    ports.is_empty()
        || ports.iter().any(|allowed| {
            let protocol = allowed.protocol.as_deref().unwrap_or("TCP");
            protocol == port.protocol
                && match (&allowed.port, allowed.end_port) {
                    (None, _) => true,
                    (Some(IntOrString::Int(first)), Some(last)) => (*first..=last).contains(&port.number),
                    (Some(IntOrString::Int(number)), None) => *number == port.number,
                    // A name is looked up in the pod that is called, on either side.
                    (Some(IntOrString::String(name)), _) => destination
                        .ports
                        .iter()
                        .any(|d| d.name == name && d.number == port.number && d.protocol == protocol),
                }
        })
}

/// None where it depends on something that was not read.
fn peer_matches(allowed: &NetworkPolicyPeer, own_namespace: &str, peer: &End<'_>) -> Option<bool> {
    if let Some(block) = &allowed.ip_block {
        // None for a pod that has no address yet.
        return peer.ip.map(|ip| in_block(block, ip));
    }
    let Some(labels) = peer.labels else { return Some(false) };
    let by_pod = allowed.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels));
    if !by_pod {
        return Some(false);
    }
    let Some(selector) = &allowed.namespace_selector else {
        return Some(peer.namespace == own_namespace);
    };
    let is_empty =
        selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    if is_empty {
        return Some(true);
    }
    if let Some(labels) = peer.namespace_labels {
        return Some(selects(selector, labels));
    }
    // The API server gives every namespace this one label.
    let name = Labels::from([("kubernetes.io/metadata.name".to_owned(), peer.namespace.to_owned())]);
    let keys = selector
        .match_labels
        .iter()
        .flat_map(|l| l.keys())
        .chain(selector.match_expressions.iter().flatten().map(|e| &e.key));
    keys.into_iter().all(|key| name.contains_key(key)).then(|| selects(selector, &name))
}

/// Whether an address is in the block and in none of its exceptions. An unreadable block holds nothing.
fn in_block(block: &IPBlock, ip: IpAddr) -> bool {
    contains(&block.cidr, ip) && !block.except.iter().flatten().any(|except| contains(except, ip))
}

/// Whether an address lies in a network, host bits and IPv6 included.
pub fn contains(cidr: &str, ip: IpAddr) -> bool {
    let Some((network, bits)) = cidr.split_once('/') else {
        return false;
    };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if bits <= 32 => {
            let shift = 32 - bits;
            u32::from(network).checked_shr(shift).unwrap_or(0) == u32::from(ip).checked_shr(shift).unwrap_or(0)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) if bits <= 128 => {
            let shift = 128 - bits;
            u128::from(network).checked_shr(shift).unwrap_or(0) == u128::from(ip).checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    fn policy(spec: &str) -> NetworkPolicy {
        serde_saphyr::from_str(&format!("{{metadata: {{name: p, namespace: shop}}, spec: {spec}}}")).unwrap()
    }

    /// Calls port 5432 (named `sql`) of a pod `app=db` in `shop` from a pod with these labels in a namespace.
    fn passes(specs: &[&str], namespace: &str, source: &str) -> &'static str {
        let policies: Vec<NetworkPolicy> = specs.iter().map(|s| policy(s)).collect();
        let (source, db) = (labels(source), labels("app=db"));
        let team = labels("team=a,kubernetes.io/metadata.name=other");
        let from = End {
            namespace,
            namespace_labels: (namespace == "other").then_some(&team),
            labels: Some(&source),
            ip: Some("10.244.0.7".parse().unwrap()),
            ports: Vec::new(),
        };
        let to = End {
            namespace: "shop",
            namespace_labels: None,
            labels: Some(&db),
            ip: Some("10.244.0.9".parse().unwrap()),
            ports: vec![Declared {
                container: "db",
                name: "sql",
                number: 5432,
                protocol: "TCP",
            }],
        };
        let port = Port {
            number: 5432,
            protocol: "TCP",
        };
        match allows(&policies, &from, &to, port) {
            Answer::Allowed => "allowed",
            Answer::Denied(Direction::Ingress, _) => "ingress",
            Answer::Denied(Direction::Egress, _) => "egress",
            Answer::Unknown => "unknown",
        }
    }

    #[test]
    fn rules_of_the_api_hold() {
        let db = "podSelector: {matchLabels: {app: db}}";
        let cases: &[(&[String], &str, &str, &str)] = &[
            (&[], "shop", "app=web", "allowed"),
            // Default deny of the namespace, for each direction.
            (
                &["{podSelector: {}, policyTypes: [Ingress]}".into()],
                "shop",
                "app=web",
                "ingress",
            ),
            (&["{podSelector: {}, policyTypes: [Egress]}".into()], "shop", "app=web", "egress"),
            (&["{podSelector: {}}".into()], "shop", "app=web", "ingress"),
            (
                &["{podSelector: {}, policyTypes: [Egress]}".into()],
                "elsewhere",
                "app=web",
                "allowed",
            ),
            // A policy that selects another pod closes nothing here.
            (
                &["{podSelector: {matchLabels: {app: cache}}, policyTypes: [Ingress, Egress]}".into()],
                "shop",
                "app=web",
                "allowed",
            ),
            // By pod label, only in the policy's own namespace.
            (
                &[format!("{{{db}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}")],
                "shop",
                "app=web",
                "allowed",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}")],
                "shop",
                "app=job",
                "ingress",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}")],
                "other",
                "app=web",
                "ingress",
            ),
            // Namespace and pod selector in one peer both must hold; in two peers one is enough.
            (
                &[format!("{{{db}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: a}}}}, podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}")],
                "other",
                "app=job",
                "ingress",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: a}}}}}}, {{podSelector: {{matchLabels: {{app: web}}}}}}]}}]}}")],
                "other",
                "app=job",
                "allowed",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{namespaceSelector: {{}}}}]}}]}}")],
                "unread",
                "app=job",
                "allowed",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: a}}}}}}]}}]}}")],
                "unread",
                "app=job",
                "unknown",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: unread}}}}}}]}}]}}")],
                "unread",
                "app=job",
                "allowed",
            ),
            // Ports by number, range, name, protocol.
            (&[format!("{{{db}, ingress: [{{ports: [{{port: 5432}}]}}]}}")], "shop", "app=web", "allowed"),
            (&[format!("{{{db}, ingress: [{{ports: [{{port: 5433}}]}}]}}")], "shop", "app=web", "ingress"),
            (
                &[format!("{{{db}, ingress: [{{ports: [{{port: 5000, endPort: 6000}}]}}]}}")],
                "shop",
                "app=web",
                "allowed",
            ),
            (
                &[format!("{{{db}, ingress: [{{ports: [{{port: 5433, endPort: 6000}}]}}]}}")],
                "shop",
                "app=web",
                "ingress",
            ),
            (&[format!("{{{db}, ingress: [{{ports: [{{port: sql}}]}}]}}")], "shop", "app=web", "allowed"),
            (&[format!("{{{db}, ingress: [{{ports: [{{port: http}}]}}]}}")], "shop", "app=web", "ingress"),
            (
                &[format!("{{{db}, ingress: [{{ports: [{{port: 5432, protocol: UDP}}]}}]}}")],
                "shop",
                "app=web",
                "ingress",
            ),
            (&[format!("{{{db}, ingress: [{{ports: [{{protocol: TCP}}]}}]}}")], "shop", "app=web", "allowed"),
            // Address blocks and exceptions; a block with host bits is read as its network.
            (
                &[format!("{{{db}, ingress: [{{from: [{{ipBlock: {{cidr: 10.244.0.5/24}}}}]}}]}}")],
                "shop",
                "app=web",
                "allowed",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{ipBlock: {{cidr: 0.0.0.0/0, except: [10.244.0.0/16]}}}}]}}]}}")],
                "shop",
                "app=web",
                "ingress",
            ),
            (
                &[format!("{{{db}, ingress: [{{from: [{{ipBlock: {{cidr: '::/0'}}}}]}}]}}")],
                "shop",
                "app=web",
                "ingress",
            ),
            // An empty rule allows all; several policies add up.
            (&[format!("{{{db}, ingress: [{{}}]}}")], "shop", "app=web", "allowed"),
            (
                &["{podSelector: {}, policyTypes: [Ingress]}".into(), format!("{{{db}, ingress: [{{}}]}}")],
                "shop",
                "app=web",
                "allowed",
            ),
            // Egress that allows names only.
            (
                &["{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}".into()],
                "shop",
                "app=web",
                "egress",
            ),
            (
                &["{podSelector: {matchLabels: {app: web}}, egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}], policyTypes: [Egress]}".into()],
                "shop",
                "app=web",
                "allowed",
            ),
            // With egress rules and without policyTypes a policy is about both directions.
            (
                &["{podSelector: {matchLabels: {app: web}}, egress: [{ports: [{port: 53, protocol: UDP}]}]}".into()],
                "shop",
                "app=web",
                "egress",
            ),
        ];
        for (specs, namespace, source, expected) in cases {
            let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
            assert_eq!(
                passes(&specs, namespace, source),
                *expected,
                "{specs:?} from {source} in {namespace}"
            );
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (cidr, ip, expected) in [
            ("10.0.0.0/8", "10.244.1.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "10.0.0.1", false),
            ("nonsense", "10.0.0.1", false),
            ("10.0.0.0/99", "10.0.0.1", false),
        ] {
            assert_eq!(contains(cidr, ip.parse().unwrap()), expected, "{cidr} {ip}");
        }
    }
}
