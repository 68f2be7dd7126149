//! A connection that policies do not let pass, and the finding about it.

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::facts::policy::allows::{Direction, End, Evaluation, Port};
use crate::facts::policy::remedy::NoMatch;
use crate::facts::policy::rule::Side;
use crate::facts::policy::{allows, remedy, rule};
use crate::model::cause;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::text::shorten;

/// A connection that policies do not let pass.
#[derive(Clone, Debug)]
pub struct Denied<'a> {
    /// Which end is closed.
    pub direction: Direction,
    /// The policies that close it.
    pub policies: Vec<&'a NetworkPolicy>,
    /// Who calls.
    pub source: Side,
    /// Who is called.
    pub destination: Side,
    /// The port that is called, as the pod sees it.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// What the rules of the policies allow instead, and where they stand.
    misses: Vec<(String, String)>,
}

impl<'a> Denied<'a> {
    /// What an evaluation says, where it denies.
    pub fn of(evaluation: &Evaluation<'a>, source: (&End<'_>, &Side), destination: (&End<'_>, &Side), port: Port<'_>) -> Option<Self> {
        let (bound, peer) = match evaluation.direction {
            Direction::Egress => (source.0, destination.0),
            Direction::Ingress => (destination.0, source.0),
        };
        evaluation.is_denied().then(|| Self {
            direction: evaluation.direction,
            policies: evaluation.policies.clone(),
            source: source.1.clone(),
            destination: destination.1.clone(),
            port: port.number,
            protocol: port.protocol.to_owned(),
            misses: rule::misses(evaluation, bound.namespace, peer, destination.0, port),
        })
    }

    /// The policies by name.
    pub fn references(&self) -> Vec<ObjectRef> {
        self.policies.iter().map(|p| rule::reference(p)).collect()
    }

    /// `ingress`, `egress` or `dns`: what the finding calls it.
    pub const fn cause(&self) -> cause::NetworkPolicyBlocks {
        match (self.direction, &self.destination) {
            (Direction::Egress, Side::Dns) => cause::NetworkPolicyBlocks::Dns,
            (Direction::Egress, _) => cause::NetworkPolicyBlocks::Egress,
            (Direction::Ingress, _) => cause::NetworkPolicyBlocks::Ingress,
        }
    }

    /// The policy to change: one that allows something already, else the first by name.
    fn first(&self) -> Option<&'a NetworkPolicy> {
        let allows_some = |policy: &&&NetworkPolicy| !allows::rules(policy, self.direction).is_empty();
        self.policies.iter().find(allows_some).or(self.policies.first()).copied()
    }

    /// The rule that is lacking.
    const fn lack(&self) -> NoMatch<'_> {
        let (bound, peer) = match self.direction {
            Direction::Egress => (&self.source, &self.destination),
            Direction::Ingress => (&self.destination, &self.source),
        };
        NoMatch {
            direction: self.direction,
            bound,
            peer,
            port: self.port,
            protocol: self.protocol.as_str(),
        }
    }

    /// The finding about it: the policy, the rules that it lacks for all that is denied, and what adds them. How it is known is for the caller
    /// to say.
    pub fn finding(&self, all: &[Self]) -> Option<Finding> {
        let policy = self.first()?;
        let reference = rule::reference(policy);
        let name = &reference.name;
        let bound = self.lack().bound;
        // One finding stands for all that the policy does not let pass in the same way.
        let of_policy = |other: &&Self| other.first().is_some_and(|p| rule::reference(p) == reference);
        let alike = || all.iter().filter(of_policy).filter(|other| other.cause() == self.cause());
        let from = several(alike().map(|other| other.source.shown()));
        let to = several(alike().map(|other| other.destination.shown()));
        let port = several(alike().map(|other| match other.protocol.as_str() {
            "TCP" => other.port.to_string(),
            protocol => format!("{}/{protocol}", other.port),
        }));
        let summary = match self.cause() {
            cause::NetworkPolicyBlocks::Dns => {
                format!("NetworkPolicy {name} does not let {from} ask the cluster's DNS (port 53), so names do not resolve")
            }
            cause::NetworkPolicyBlocks::Ingress => format!("NetworkPolicy {name} does not let {from} in to {to} on port {port}"),
            cause::NetworkPolicyBlocks::Egress => format!("NetworkPolicy {name} does not let {from} out to {to} on port {port}"),
        };
        let detail = match self.direction {
            Direction::Ingress => format!("selects {} for ingress, and no rule allows this caller and port", bound.pod()),
            Direction::Egress => format!("selects {} for egress, and no rule allows this destination and port", bound.pod()),
        };
        let subject = Subject::of(reference.clone());
        let subject = match bound {
            Side::Pod { name: Some(pod), .. } => subject.pod(pod),
            _ => subject,
        };
        let lacks: Vec<NoMatch<'_>> = all.iter().filter(of_policy).map(Self::lack).collect();
        let (text, command) = remedy::of(policy, &lacks);
        let mut finding = Finding::error(self.cause(), subject, summary).evidence(format!("networkpolicy/{name}"), detail);
        for (source, miss) in &self.misses {
            finding = finding.evidence(source, shorten(miss, 200));
        }
        for (role, side) in [("source", &self.source), ("destination", &self.destination)] {
            if let Some(object) = side.object() {
                finding = finding.related(role, object);
            }
        }
        finding = match command {
            Some(command) => finding.fix_command(text, command),
            None => finding.fix(text),
        };
        for other in self.references() {
            if other != reference {
                finding = finding.related("policy", other.clone());
            }
            finding = finding.breaking(Effect::Object(other));
        }
        Some(finding)
    }
}

/// `deployment/web`, `deployment/web and deployment/job`, `deployment/web and 4 more`.
fn several(all: impl Iterator<Item = String>) -> String {
    let distinct: BTreeSet<String> = all.collect();
    let names: Vec<&str> = distinct.iter().map(String::as_str).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [one, other] => format!("{one} and {other}"),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    }
}
