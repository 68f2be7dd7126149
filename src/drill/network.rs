//! Faults of the network: NetworkPolicies that cut pods off, and the canary that proves it.
//!
//! Policies add up: what any of them admits passes, so another policy can defeat ours, and ours could admit what others deny. The first is seen
//! by the canary; the second is refused.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::drill::created::metadata;
use crate::drill::fault::Fault;
use crate::facts::policy::allows::{Direction, binds};
use crate::model::finding::ObjectRef;
use crate::view::ports::declared;
use crate::view::{View, WorkloadObject, has_ended, is_ready, selects};

/// Pods of one workload that the canary calls.
const MOST_CALLED: usize = 4;
/// A name that every cluster resolves, and its port.
const KNOWN_NAME: (&str, u16) = ("kubernetes.default.svc", 443);

/// A pod that opens connections from inside the cluster: possible before the fault, and not during it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canary {
    /// In whose place it calls: policies know it by these labels. None where it calls as itself.
    pub(crate) labels: BTreeMap<String, String>,
    /// Host and port.
    pub(crate) calls: Vec<(String, u16)>,
    /// `connections to the pods of deployment/api`
    pub(crate) what: String,
}

/// What is cut off: the policy, and the canary that proves it.
pub(crate) struct Cut {
    pub(crate) policy: Value,
    pub(crate) canary: Canary,
}

/// A workload, its object, and what it is known by.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) target: &'a ObjectRef,
    pub(crate) object: WorkloadObject<'a>,
}

impl Side<'_> {
    fn pods<'a>(self, view: &View<'a>) -> Vec<&'a Pod> {
        view.workload(self.target).map(|workload| workload.pods.clone()).unwrap_or_default()
    }

    /// Why a policy cannot be about just its pods.
    fn unsuited(self, view: &View<'_>) -> Option<String> {
        let name = self.target.short();
        if self.object.pod_spec().and_then(|spec| spec.host_network) == Some(true) {
            return Some(format!(
                "the pods of {name} are on the network of their node, where no NetworkPolicy binds them"
            ));
        }
        let selector = self.object.selector();
        let is_empty = selector.match_labels.iter().flatten().count() + selector.match_expressions.iter().flatten().count() == 0;
        if is_empty {
            return Some(format!("{name} has no labels that a NetworkPolicy could select"));
        }
        let pods = view.snapshot.objects.pods.iter();
        let mut taken = pods.filter(|pod| !has_ended(pod) && selects(&selector, pod.labels()));
        let foreign = taken.find(|pod| view.workload_of(pod) != *self.target)?;
        Some(format!(
            "the labels of {name} select pod/{} too, which is not its own",
            foreign.name_any()
        ))
    }

    /// Why a policy for what leaves its pods would admit more than is admitted now.
    fn opened(self, policies: &[NetworkPolicy]) -> Option<String> {
        let labels = self.object.pod_labels();
        let policy = policies.iter().find(|policy| binds(policy, Direction::Egress, &labels))?;
        Some(format!(
            "networkpolicy/{} restricts what leaves the pods of {}: policies add up, so another one could only admit more",
            policy.name_any(),
            self.target.short()
        ))
    }

    /// A few of its ready pods, each with the TCP ports that it may listen on.
    fn calls(self, view: &View<'_>) -> Vec<(String, u16)> {
        let labels = self.object.pod_labels();
        let services = view.services_selecting(&self.target.namespace, &labels);
        let ports = |spec: &PodSpec| {
            let mut ports: Vec<i32> = declared(spec).iter().filter(|d| d.protocol == "TCP").map(|d| d.number).collect();
            for port in services.iter().flat_map(|service| crate::view::ports::of_service(service)) {
                let is_tcp = crate::view::ports::protocol(port.protocol.as_ref()) == "TCP";
                ports.extend(crate::view::ports::resolve(spec, port).filter(|_| is_tcp));
            }
            ports.sort_unstable();
            ports.dedup();
            ports.into_iter().filter_map(|port| u16::try_from(port).ok()).collect::<Vec<_>>()
        };
        let of_pod = |pod: &Pod| {
            let address = pod.status.as_ref()?.pod_ip.clone()?;
            let all = ports(pod.spec.as_ref()?);
            Some(all.into_iter().map(move |port| (address.clone(), port)).collect::<Vec<_>>())
        };
        let pods = self.pods(view).into_iter().filter(|pod| is_ready(pod));
        pods.filter_map(of_pod).take(MOST_CALLED).flatten().collect()
    }
}

fn policy(id: &str, number: usize, spec: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(id, &format!("-{number}")), "spec": spec})
}

/// The requirements of which one holds for each pod that a selector does not take.
fn others(selector: &LabelSelector) -> Vec<Value> {
    let labels = selector.match_labels.iter().flatten();
    let labels = labels.map(|(key, value)| json!({"key": key, "operator": "NotIn", "values": [value]}));
    let expressions = selector.match_expressions.iter().flatten().map(|e| {
        let operator = match e.operator.as_str() {
            "In" => "NotIn",
            "NotIn" => "In",
            "Exists" => "DoesNotExist",
            _ => "Exists",
        };
        match &e.values {
            Some(values) if !values.is_empty() => json!({"key": e.key, "operator": operator, "values": values}),
            _ => json!({"key": e.key, "operator": operator}),
        }
    });
    labels.chain(expressions).collect()
}

/// What pods may still reach that must not reach the target: all other pods, and all addresses but those of its pods.
fn all_but(target: Side<'_>, view: &View<'_>) -> Value {
    let mut peers: Vec<Value> = others(&target.object.selector())
        .into_iter()
        .map(|requirement| json!({"podSelector": {"matchExpressions": [requirement]}}))
        .collect();
    let namespace = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [target.target.namespace]});
    peers.push(json!({"namespaceSelector": {"matchExpressions": [namespace]}}));
    let pods = target.pods(view);
    let addresses = pods
        .iter()
        .flat_map(|pod| pod.status.iter().flat_map(|s| s.pod_ips.iter().flatten()));
    let (six, four): (Vec<String>, Vec<String>) = addresses.map(|address| address.ip.clone()).partition(|ip| ip.contains(':'));
    for (all, bits, except) in [("0.0.0.0/0", 32, four), ("::/0", 128, six)] {
        let except: Vec<String> = except.iter().map(|ip| format!("{ip}/{bits}")).collect();
        peers.push(if except.is_empty() {
            json!({"ipBlock": {"cidr": all}})
        } else {
            json!({"ipBlock": {"cidr": all, "except": except}})
        });
    }
    json!([{ "to": peers }])
}

/// Every port but that of the DNS.
fn all_but_dns() -> Value {
    let ranges = ["TCP", "UDP", "SCTP"]
        .iter()
        .flat_map(|protocol| [(1, 52), (54, 65535)].map(|(from, to)| json!({"protocol": protocol, "port": from, "endPort": to})));
    json!([{ "ports": ranges.collect::<Vec<_>>() }])
}

/// Cuts a target off; the errors are reasons to refuse. `from` are the callers to which it is limited.
pub(crate) fn cut(
    view: &View<'_>,
    (fault, id, number): (Fault, &str, usize),
    target: Side<'_>,
    from: Option<Side<'_>>,
    policies: &[NetworkPolicy],
) -> Result<Cut, Vec<String>> {
    let name = target.target.short();
    let mut refusals: Vec<String> = target.unsuited(view).into_iter().collect();
    let bound = if fault == Fault::DnsBlock { Some(target) } else { from };
    if let Some(side) = bound {
        if fault != Fault::DnsBlock {
            refusals.extend(side.unsuited(view));
        }
        refusals.extend(side.opened(policies));
    }
    let (spec, canary) = match (fault, from) {
        (Fault::DnsBlock, _) => (
            json!({"podSelector": target.object.selector(), "policyTypes": ["Egress"], "egress": all_but_dns()}),
            Canary {
                labels: target.object.pod_labels(),
                calls: vec![(KNOWN_NAME.0.to_owned(), KNOWN_NAME.1)],
                what: format!("a look-up of {} with the labels of {name}", KNOWN_NAME.0),
            },
        ),
        (_, Some(caller)) => (
            json!({"podSelector": caller.object.selector(), "policyTypes": ["Egress"], "egress": all_but(target, view)}),
            Canary {
                labels: caller.object.pod_labels(),
                calls: target.calls(view),
                what: format!("connections to {name} with the labels of {}", caller.target.short()),
            },
        ),
        (_, None) => (
            json!({"podSelector": target.object.selector(), "policyTypes": ["Ingress", "Egress"]}),
            match target.calls(view) {
                // Nobody calls it; the policy is as much about what it calls.
                calls if calls.is_empty() => Canary {
                    labels: target.object.pod_labels(),
                    calls: vec![(KNOWN_NAME.0.to_owned(), KNOWN_NAME.1)],
                    what: format!("connections with the labels of {name}, which has no TCP port of its own"),
                },
                calls => Canary {
                    labels: BTreeMap::new(),
                    calls,
                    what: format!("connections to {name} from another pod"),
                },
            },
        ),
    };
    if canary.calls.is_empty() {
        refusals.push(format!("no ready pod of {name} has a TCP port that a canary could call"));
    }
    if refusals.is_empty() {
        Ok(Cut {
            policy: policy(id, number, &spec),
            canary,
        })
    } else {
        Err(refusals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_those_that_a_selector_does_not_take() {
        let selector: LabelSelector = serde_json::from_value(json!({"matchLabels": {"app": "db", "tier": "data"}, "matchExpressions": [
            {"key": "shard", "operator": "In", "values": ["1", "2"]}, {"key": "old", "operator": "DoesNotExist"}]}))
        .unwrap();
        let others: Vec<LabelSelector> = others(&selector)
            .into_iter()
            .map(|requirement| serde_json::from_value(json!({"matchExpressions": [requirement]})).unwrap())
            .collect();
        let labels = |text: &[(&str, &str)]| text.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let its: BTreeMap<String, String> = labels(&[("app", "db"), ("tier", "data"), ("shard", "1")]);
        assert!(selects(&selector, &its) && !others.iter().any(|other| selects(other, &its)));
        for other in [
            labels(&[]),
            labels(&[("app", "web"), ("tier", "data"), ("shard", "1")]),
            labels(&[("app", "db"), ("tier", "data"), ("shard", "3")]),
            labels(&[("app", "db"), ("tier", "data"), ("shard", "1"), ("old", "")]),
        ] {
            assert!(
                !selects(&selector, &other) && others.iter().any(|other_of| selects(other_of, &other)),
                "{other:?}"
            );
        }
    }

    #[test]
    fn every_port_passes_but_that_of_the_dns() {
        let rules = all_but_dns();
        let admits = |protocol: &str, port: u64| {
            let ranges = rules[0]["ports"].as_array().unwrap();
            ranges.iter().any(|range| {
                range["protocol"] == protocol && (range["port"].as_u64().unwrap()..=range["endPort"].as_u64().unwrap()).contains(&port)
            })
        };
        for protocol in ["TCP", "UDP", "SCTP"] {
            assert!([1, 52, 54, 65535].into_iter().all(|port| admits(protocol, port)) && !admits(protocol, 53));
        }
    }
}
