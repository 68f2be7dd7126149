//! The rule that a policy lacks, exactly as it is to be added, and what its other rules allow instead.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::facts::policy::allows;
use crate::facts::policy::allows::Direction;
use crate::facts::policy::ends::on_host;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::{View, Workload, WorkloadObject, reference_of};

type Labels = BTreeMap<String, String>;

/// An end of a connection as people and policies name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// A pod, or the template that pods are made from.
    Pod {
        /// The workload that it belongs to.
        workload: ObjectRef,
        /// Its name; none for a template.
        name: Option<String>,
        /// Its labels, without those that change with each revision.
        labels: Labels,
        /// The node's address, where it is on the node's network.
        node: Option<IpAddr>,
    },
    /// No pod.
    Address(IpAddr),
    /// Something outside that is known by its name alone.
    Name(String),
    /// The cluster's DNS.
    Dns,
}

impl Side {
    /// A pod, with the labels of its template.
    pub fn of_pod(view: &View<'_>, pod: &Pod) -> Self {
        let reference = view.workload_of(pod);
        let of_template = view
            .workload(&reference)
            .and_then(|w| w.object)
            .map(WorkloadObject::pod_labels)
            .filter(|labels| !labels.is_empty());
        let status = pod.status.as_ref();
        Self::Pod {
            workload: reference,
            name: Some(pod.name_any()),
            labels: of_template.unwrap_or_else(|| lasting(pod)),
            node: status
                .filter(|_| on_host(pod.spec.as_ref()))
                .and_then(|s| s.host_ip.as_deref().or(s.pod_ip.as_deref()))
                .and_then(|ip| ip.parse().ok()),
        }
    }

    /// The pods that a workload will make.
    pub fn of_template(workload: &Workload<'_>) -> Self {
        Self::Pod {
            workload: workload.reference.clone(),
            name: None,
            labels: workload.object.map(WorkloadObject::pod_labels).unwrap_or_default(),
            node: None,
        }
    }

    /// `deployment/web`, or an address.
    pub fn shown(&self) -> String {
        match self {
            Self::Pod { workload, .. } => workload.short(),
            Self::Address(ip) => ip.to_string(),
            Self::Name(name) => name.clone(),
            Self::Dns => "the cluster's DNS".to_owned(),
        }
    }

    /// The pod by name, or what will make it.
    pub fn pod(&self) -> String {
        match self {
            Self::Pod { name: Some(name), .. } => format!("pod {name}"),
            Self::Pod { workload, .. } => format!("the pods of {}", workload.short()),
            Self::Address(ip) => ip.to_string(),
            Self::Name(name) => name.clone(),
            Self::Dns => "the DNS pods".to_owned(),
        }
    }

    /// The object to relate a finding to.
    pub fn object(&self) -> Option<ObjectRef> {
        match self {
            Self::Pod { workload, .. } => Some(workload.clone()),
            Self::Address(_) | Self::Name(_) => None,
            Self::Dns => Some(ObjectRef::new(&kind::SERVICE, "kube-system", "kube-dns")),
        }
    }

    /// The peer that names exactly this end in a policy of a namespace.
    fn peer(&self, namespace: &str) -> Option<Value> {
        let block = |ip: &IpAddr| {
            let bits = if ip.is_ipv4() { 32 } else { 128 };
            json!({"ipBlock": {"cidr": format!("{ip}/{bits}")}})
        };
        match self {
            Self::Pod { node: Some(ip), .. } | Self::Address(ip) => Some(block(ip)),
            Self::Pod { workload, labels, .. } if workload.namespace == namespace => Some(json!({"podSelector": selector(labels)})),
            Self::Pod { workload, labels, .. } => Some(json!({
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": workload.namespace}},
                "podSelector": selector(labels),
            })),
            Self::Name(_) | Self::Dns => None,
        }
    }
}

/// Labels that controllers put on pods, other on each revision or each pod.
const OF_CONTROLLERS: [&str; 9] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
    "job-name",
    "batch.kubernetes.io/job-name",
];

/// The labels of a pod that the next one will have too.
fn lasting(pod: &Pod) -> Labels {
    let mut labels = pod.labels().clone();
    labels.retain(|key, _| !OF_CONTROLLERS.contains(&key.as_str()));
    labels
}

/// A selector of exactly these labels.
pub fn selector(labels: &Labels) -> Value {
    if labels.is_empty() {
        json!({})
    } else {
        json!({"matchLabels": labels})
    }
}

/// The rule that lets a connection pass, in the words of the API.
pub fn missing(direction: Direction, namespace: &str, peer: &Side, port: i32, protocol: &str) -> Value {
    let ports = match peer {
        Side::Dns => json!([{"port": port, "protocol": "UDP"}, {"port": port, "protocol": "TCP"}]),
        _ if protocol == "TCP" => json!([{"port": port}]),
        _ => json!([{"port": port, "protocol": protocol}]),
    };
    let field = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    match peer.peer(namespace) {
        Some(peer) => json!({field: [peer], "ports": ports}),
        None => json!({"ports": ports}),
    }
}

/// YAML in one line, as people write it.
pub fn flow(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", plain(key), flow(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// A string as YAML: bare where it can be nothing but a string.
fn plain(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let is_other = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    if begins && is_word && !is_other {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

/// What the rules of the policies allow instead: those that fail by the port alone, or by the peer alone.
pub fn misses(
    evaluation: &allows::Evaluation<'_>,
    namespace: &str,
    peer: &allows::End<'_>,
    destination: &allows::End<'_>,
    port: allows::Port<'_>,
) -> Vec<(String, String)> {
    let direction = evaluation.direction;
    let (here, way) = match direction {
        Direction::Ingress => ("this source", "in"),
        Direction::Egress => ("this destination", "out"),
    };
    let mut found = Vec::new();
    for policy in &evaluation.policies {
        let source = |rule: usize| {
            format!(
                "networkpolicy/{} {direction}[{rule}]",
                policy.name_any(),
                direction = direction.as_str()
            )
        };
        let rules = allows::rules(policy, direction);
        if rules.is_empty() {
            let none = format!("has no {} rule: it lets nothing {way}", direction.as_str());
            found.push((format!("networkpolicy/{}", policy.name_any()), none));
        }
        for (at, (peers, ports)) in rules.into_iter().enumerate() {
            let by_port = allows::port_matches(ports, destination, port);
            let (by_peer, _) = allows::any_peer_matches(peers, namespace, peer);
            let list = |value: Result<Value, serde_json::Error>| value.map(|v| flow(&v)).unwrap_or_default();
            match (by_port, by_peer) {
                (Ok(true), Ok(false)) => found.push((
                    source(at),
                    format!("allows this port, but only for {}", list(serde_json::to_value(peers))),
                )),
                (Ok(false), Ok(true)) => found.push((
                    source(at),
                    format!("allows {here}, but only on {}", list(serde_json::to_value(ports))),
                )),
                _ => {}
            }
        }
    }
    found
}

/// A policy by its reference.
pub fn reference(policy: &NetworkPolicy) -> ObjectRef {
    reference_of(&kind::NETWORK_POLICY, &policy.metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Side {
        Side::Pod {
            workload: ObjectRef::new(&kind::DEPLOYMENT, namespace, name),
            name: None,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            node: None,
        }
    }

    #[test]
    fn the_rule_names_the_peer_relative_to_the_policys_namespace() {
        let web = side("shop", "web", &[("app", "web"), ("tier", "1")]);
        for (direction, namespace, peer, port, protocol, expected) in [
            (
                Direction::Ingress,
                "shop",
                web.clone(),
                5432,
                "TCP",
                r#"{from: [{podSelector: {matchLabels: {app: web, tier: "1"}}}], ports: [{port: 5432}]}"#,
            ),
            (
                Direction::Ingress,
                "data",
                web,
                53,
                "UDP",
                r#"{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {app: web, tier: "1"}}}], ports: [{port: 53, protocol: UDP}]}"#,
            ),
            (
                Direction::Egress,
                "shop",
                Side::Address("10.0.0.1".parse().unwrap()),
                443,
                "TCP",
                r#"{to: [{ipBlock: {cidr: "10.0.0.1/32"}}], ports: [{port: 443}]}"#,
            ),
            (
                Direction::Egress,
                "shop",
                Side::Dns,
                53,
                "UDP",
                "{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}",
            ),
        ] {
            assert_eq!(flow(&missing(direction, namespace, &peer, port, protocol)), expected);
        }
    }
}
