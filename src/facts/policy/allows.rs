//! What NetworkPolicies allow, by the rules of the API: a pure function of (source, destination, port) and the policies.
//!
//! A pod that no policy selects for a direction is open in that direction; else only what some rule of some policy allows may pass.
//! Addresses and ports are those of the pods: what goes to a Service is judged after its address was replaced by that of an endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::facts::policy::block;
use crate::view::ports::Declared;
use crate::view::selects;

type Labels = BTreeMap<String, String>;

/// What a policy can know an end of a connection by.
#[derive(Clone, Copy, Debug, Default)]
pub enum Identity<'a> {
    /// A pod with an address of its own, by its labels.
    Pod(&'a Labels),
    /// A pod on its node's network: no policy binds it. Whether others' policies know it by its labels differs from plug-in to plug-in.
    Host(&'a Labels),
    /// No pod.
    #[default]
    Outside,
    /// It may be a pod, but which one could not be seen.
    Unseen,
}

/// One end of a connection.
#[derive(Clone, Debug, Default)]
pub struct End<'a> {
    /// Namespace of the pod; empty for an address outside the cluster.
    pub namespace: &'a str,
    /// Labels of that namespace; none where they were not read.
    pub namespace_labels: Option<&'a Labels>,
    /// What it is known by.
    pub identity: Identity<'a>,
    /// Its address, where it is known.
    pub ip: Option<IpAddr>,
    /// The ports that the pod declares, for policies may name them; none where they were not read.
    pub ports: Option<Vec<Declared<'a>>>,
}

/// A port that is called.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// The number, as the destination sees it.
    pub number: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

/// Which end's policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Those of the source.
    Egress,
    /// Those of the destination.
    Ingress,
}

impl Direction {
    /// `egress` or `ingress`, as in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// What an answer depends on that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// The labels of the peer's namespace.
    Namespace,
    /// The peer's address.
    Address,
    /// The ports that the destination declares.
    Ports,
    /// Whether the plug-in knows a pod on the node's network by its labels.
    Host,
    /// Which pod the peer is.
    Peer,
}

/// The rule that lets a connection pass.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'p> {
    /// Its policy.
    pub policy: &'p NetworkPolicy,
    /// Its place among the policy's rules of the direction, from 0.
    pub rule: usize,
    /// Whether it knows the peer by its address.
    pub is_by_address: bool,
}

/// What the policies of one end say.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'p> {
    /// No policy selects it for the direction.
    Open,
    /// A rule lets it pass.
    Allowed(Allowance<'p>),
    /// No rule lets it pass.
    Denied,
    /// That depends on what is not known.
    Unknown(Doubt),
}

/// What the policies of one end say about a connection, and which they are.
#[derive(Clone, Debug)]
pub struct Evaluation<'p> {
    /// Which end was asked.
    pub direction: Direction,
    /// The policies that select it.
    pub policies: Vec<&'p NetworkPolicy>,
    /// What they say together.
    pub outcome: Outcome<'p>,
}

impl Evaluation<'_> {
    /// Whether it may surely not pass.
    pub const fn is_denied(&self) -> bool {
        matches!(self.outcome, Outcome::Denied)
    }

    /// What is not known, where the answer hangs on it.
    pub const fn doubt(&self) -> Option<Doubt> {
        match self.outcome {
            Outcome::Unknown(doubt) => Some(doubt),
            _ => None,
        }
    }
}

/// What the policies of one end say about a connection.
pub fn evaluate<'p>(
    policies: &'p [NetworkPolicy],
    direction: Direction,
    source: &End<'_>,
    destination: &End<'_>,
    port: Port<'_>,
) -> Evaluation<'p> {
    let (bound, peer) = match direction {
        Direction::Egress => (source, destination),
        Direction::Ingress => (destination, source),
    };
    let policies: Vec<&NetworkPolicy> = match bound.identity {
        Identity::Pod(labels) => policies
            .iter()
            .filter(|p| p.namespace().as_deref() == Some(bound.namespace) && binds(p, direction, labels))
            .collect(),
        _ => Vec::new(),
    };
    let outcome = if policies.is_empty() {
        Outcome::Open
    } else {
        judge(&policies, direction, bound.namespace, peer, destination, port)
    };
    Evaluation {
        direction,
        policies,
        outcome,
    }
}

fn judge<'p>(
    policies: &[&'p NetworkPolicy],
    direction: Direction,
    namespace: &str,
    peer: &End<'_>,
    destination: &End<'_>,
    port: Port<'_>,
) -> Outcome<'p> {
    let mut doubt = None;
    for &policy in policies {
        for (rule, (peers, ports)) in rules(policy, direction).into_iter().enumerate() {
            let by_port = port_matches(ports, destination, port);
            let (by_peer, is_by_address) = any_peer_matches(peers, namespace, peer);
            match (by_port, by_peer) {
                (Ok(true), Ok(true)) => {
                    return Outcome::Allowed(Allowance {
                        policy,
                        rule,
                        is_by_address,
                    });
                }
                (Ok(false), _) | (_, Ok(false)) => {}
                (Err(why), _) | (_, Err(why)) => doubt = doubt.or(Some(why)),
            }
        }
    }
    doubt.map_or(Outcome::Denied, Outcome::Unknown)
}

/// Whether a policy selects a pod for a direction. Without `policyTypes` a policy is about ingress, and about egress if it has such rules.
pub fn binds(policy: &NetworkPolicy, direction: Direction, labels: &Labels) -> bool {
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

/// The peers and ports of a rule; without peers it is about everybody, without ports about every port.
pub type Rule<'p> = (&'p [NetworkPolicyPeer], &'p [NetworkPolicyPort]);

/// The rules of a policy for a direction.
pub fn rules(policy: &NetworkPolicy, direction: Direction) -> Vec<Rule<'_>> {
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

/// Yes, no, or what it depends on.
pub type Match = Result<bool, Doubt>;

/// One yes is enough; a doubt remains a doubt as long as there is none.
fn any(matches: impl IntoIterator<Item = Match>) -> Match {
    let mut doubt = None;
    for one in matches {
        match one {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => doubt = doubt.or(Some(why)),
        }
    }
    doubt.map_or(Ok(false), Err)
}

/// Whether the ports of a rule hold the one that is called.
pub fn port_matches(ports: &[NetworkPolicyPort], destination: &End<'_>, port: Port<'_>) -> Match {
    if ports.is_empty() {
        return Ok(true);
    }
    any(ports.iter().map(|allowed| {
        let protocol = allowed.protocol.as_deref().unwrap_or("TCP");
        if protocol != port.protocol {
            return Ok(false);
        }
        match (&allowed.port, allowed.end_port) {
            (None, _) => Ok(true),
            (Some(IntOrString::Int(first)), Some(last)) => Ok((*first..=last).contains(&port.number)),
            (Some(IntOrString::Int(number)), None) => Ok(*number == port.number),
            // A name is looked up in the pod that is called, on either side.
            (Some(IntOrString::String(name)), _) => match (&destination.ports, destination.identity) {
                (Some(declared), _) => Ok(declared
                    .iter()
                    .any(|d| d.name == name && d.number == port.number && d.protocol == protocol)),
                (None, Identity::Outside) => Ok(false),
                (None, _) => Err(Doubt::Ports),
            },
        }
    }))
}

/// Whether the peers of a rule hold this one, and whether they know it by its address.
pub fn any_peer_matches(peers: &[NetworkPolicyPeer], namespace: &str, peer: &End<'_>) -> (Match, bool) {
    if peers.is_empty() {
        return (Ok(true), false);
    }
    let (blocks, selectors): (Vec<&NetworkPolicyPeer>, Vec<&NetworkPolicyPeer>) = peers.iter().partition(|p| p.ip_block.is_some());
    let by_selector = any(selectors.into_iter().map(|p| selector_matches(p, namespace, peer)));
    if by_selector == Ok(true) {
        return (by_selector, false);
    }
    let by_block = any(blocks
        .into_iter()
        .filter_map(|p| p.ip_block.as_ref())
        .map(|b| peer.ip.map(|ip| block::holds(b, ip)).ok_or(Doubt::Address)));
    (any([by_block, by_selector]), true)
}

fn selector_matches(allowed: &NetworkPolicyPeer, own_namespace: &str, peer: &End<'_>) -> Match {
    let labels = match peer.identity {
        Identity::Pod(labels) | Identity::Host(labels) => labels,
        Identity::Outside => return Ok(false),
        Identity::Unseen => return Err(Doubt::Peer),
    };
    if !allowed.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels)) {
        return Ok(false);
    }
    let by_namespace = match &allowed.namespace_selector {
        None => Ok(peer.namespace == own_namespace),
        Some(selector) => namespace_matches(selector, peer),
    };
    match (by_namespace, peer.identity) {
        (Ok(true), Identity::Host(_)) => Err(Doubt::Host),
        _ => by_namespace,
    }
}

fn namespace_matches(selector: &LabelSelector, peer: &End<'_>) -> Match {
    let requirements = selector.match_expressions.iter().flatten();
    let mut keys = selector
        .match_labels
        .iter()
        .flat_map(|l| l.keys())
        .chain(requirements.map(|e| &e.key));
    // The API server gives every namespace this one label.
    let name = Labels::from([("kubernetes.io/metadata.name".to_owned(), peer.namespace.to_owned())]);
    match peer.namespace_labels {
        Some(labels) => Ok(selects(selector, labels)),
        None if keys.all(|key| name.contains_key(key)) => Ok(selects(selector, &name)),
        None => Err(Doubt::Namespace),
    }
}
