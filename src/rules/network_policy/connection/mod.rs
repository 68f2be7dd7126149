//! Whether anything stops a connection from a pod to a Service, pod or address: the name, the Service, the policies of both ends.
//!
//! It is evaluated from what was read; nothing is dialled. What is missing for it is asked for, as by every rule.

mod ends;
mod hops;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use self::ends::Place;
use self::hops::Record;
use super::needs_namespace;
use crate::model::connection::{BASIS, Connection, HopAnswer, Passage, Stage};
use crate::model::finding::{Confidence, Finding, ObjectRef};
use crate::model::kind;
use crate::model::report::{API_VERSION, Diagnosis, Judged, Verdict};
use crate::model::snapshot::Snapshot;
use crate::rules::context::{Context, Need, Options};
use crate::rules::ports;

/// Who is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service, a pod or a workload.
    Object(ObjectRef),
    /// An address, of a Service, of a pod, or outside.
    Address(IpAddr),
}

/// A port as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedPort {
    /// By number.
    Number(u16),
    /// By the name that a Service or pod gives it.
    Name(String),
}

/// A question about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who calls: a pod or a workload.
    pub from: ObjectRef,
    /// Who is called.
    pub to: Target,
    /// On which port; none where there is only one.
    pub port: Option<AskedPort>,
    /// `TCP`, `UDP` or `SCTP`; none where the port says it.
    pub protocol: Option<String>,
    /// Whether the pods of every namespace were searched for the address that is called.
    pub searched: bool,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// It makes no sense.
    Usage(String),
    /// What it is about could not be read.
    Unread(String),
}

/// What an evaluation would like to see that is not in the snapshot yet.
pub fn needs(snapshot: &Snapshot, ask: &Ask) -> BTreeSet<Need> {
    let context = Context::new(snapshot, Options::default());
    for (kind, namespace) in first_lists(ask) {
        context.needs_list(&kind, &namespace);
    }
    // Whatever stands in the way of an answer, the needs are those that were noted by then.
    drop(answer(&context, ask));
    context.take_needs()
}

/// What every evaluation begins with.
fn first_lists(ask: &Ask) -> Vec<(kind::Kind, String)> {
    let mut lists = vec![
        (kind::POD, ask.from.namespace.clone()),
        (kind::NETWORK_POLICY, ask.from.namespace.clone()),
        (kind::REPLICA_SET, ask.from.namespace.clone()),
    ];
    if let Some(of) = kind::of_object(&ask.from.api_version, &ask.from.kind) {
        lists.push((of.clone(), ask.from.namespace.clone()));
        if of == &kind::CRON_JOB {
            lists.push((kind::JOB, ask.from.namespace.clone()));
        }
    }
    let to = match &ask.to {
        Target::Object(to) => to,
        Target::Address(_) => return lists,
    };
    // The workloads tell which labels a Service should have asked for, and a rule should name.
    let behind = [
        kind::POD,
        kind::NETWORK_POLICY,
        kind::SERVICE,
        kind::ENDPOINT_SLICE,
        kind::DEPLOYMENT,
        kind::REPLICA_SET,
        kind::STATEFUL_SET,
        kind::DAEMON_SET,
    ];
    lists.extend(behind.map(|kind| (kind, to.namespace.clone())));
    lists
}

/// The answer as a diagnosis.
pub fn diagnose(snapshot: &Snapshot, ask: &Ask) -> Result<Diagnosis, Unanswerable> {
    let context = Context::new(snapshot, Options::default());
    let answer = answer(&context, ask)?;
    let verdict = match answer.connection.passage {
        Passage::Allowed => Verdict::Healthy,
        Passage::Blocked => Verdict::Broken,
        Passage::Partly => Verdict::Degraded,
        Passage::Unknown => Verdict::Inconclusive,
    };
    let mut workloads: Vec<Judged> = Vec::new();
    for finding in &answer.findings {
        match workloads.iter_mut().find(|j| j.object == finding.subject.object) {
            Some(judged) => judged.causes.push(finding.id.clone()),
            None => workloads.push(Judged {
                object: finding.subject.object.clone(),
                verdict,
                state: String::new(),
                ready_pods: None,
                wanted_pods: None,
                causes: vec![finding.id.clone()],
            }),
        }
    }
    Ok(Diagnosis {
        api_version: API_VERSION.to_owned(),
        kind: "Diagnosis".to_owned(),
        targets: vec![ask.from.to_string(), answer.connection.to.clone()],
        verdict,
        root_causes: answer.findings,
        symptoms: Vec::new(),
        advice: Vec::new(),
        left_out: Vec::new(),
        unchecked: snapshot.unchecked.iter().cloned().collect(),
        workloads,
        ports: Vec::new(),
        connection: Some(answer.connection),
        pod_count: answer.pod_count,
        taken_at: snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    })
}

struct Answer {
    connection: Connection,
    findings: Vec<Finding>,
    pod_count: usize,
}

fn answer(context: &Context<'_>, ask: &Ask) -> Result<Answer, Unanswerable> {
    let sources = ends::of_object(context, &ask.from);
    if sources.is_empty() {
        return Err(Unanswerable::Unread(format!("the pods of {} could not be read", ask.from)));
    }
    let mut record = Record::default();
    let led = match called_service(context, ask) {
        Some(service) => {
            if matches!(ask.to, Target::Object(_)) {
                for source in &sources {
                    hops::dns(context, source, service, &mut record);
                }
            }
            service::lead(context, service, ask, &sources, &mut record)?
        }
        None => direct(context, ask)?,
    };
    let family = family(context, ask);
    let mut passages: BTreeSet<Passage> = BTreeSet::new();
    for source in &sources {
        for target in led.targets.iter().filter(|t| t.is_for(source)) {
            let is_ipv6 = family.or_else(|| Some(target.place.end.ip?.is_ipv6())).unwrap_or_default();
            let target = Called {
                place: target.place.clone().of_family(is_ipv6),
                protocol: target.protocol.clone(),
                ..*target
            };
            passages.insert(hops::policies(context, &source.clone().of_family(is_ipv6), &target, &mut record));
        }
    }
    let findings = record.findings.into_iter().map(|finding| {
        let assumed = context.snapshot.local && finding.confidence == Confidence::Proven;
        if assumed { finding.confidence(Confidence::Likely) } else { finding }
    });
    let before = record.hops.iter().filter(|h| matches!(h.stage, Stage::Dns | Stage::Service));
    let stages: BTreeSet<HopAnswer> = before.map(|h| h.answer).collect();
    let all_blocked = |stage: Stage| {
        let mut of = record.hops.iter().filter(|h| h.stage == stage).peekable();
        of.peek().is_some() && of.all(|h| h.answer == HopAnswer::Blocked)
    };
    let passage = if all_blocked(Stage::Dns) || all_blocked(Stage::Service) || passages == BTreeSet::from([Passage::Blocked]) {
        Passage::Blocked
    } else if passages.contains(&Passage::Blocked) || stages.contains(&HopAnswer::Blocked) {
        Passage::Partly
    } else if passages.is_empty() || passages.contains(&Passage::Unknown) || stages.contains(&HopAnswer::Unknown) {
        Passage::Unknown
    } else {
        Passage::Allowed
    };
    let to = match &ask.to {
        Target::Object(object) => object.to_string(),
        Target::Address(ip) => ip.to_string(),
    };
    Ok(Answer {
        findings: findings.collect(),
        pod_count: sources
            .iter()
            .chain(led.targets.iter().map(|t| &t.place))
            .filter(|p| p.pod.is_some())
            .count(),
        connection: Connection {
            from: ask.from.clone(),
            to,
            port: led.port,
            protocol: led.protocol,
            passage,
            hops: record.hops,
            basis: BASIS.to_owned(),
        },
    })
}

/// Whether it goes over IPv6, as far as the address or the Service says it: clients take the first family of a Service that has two.
fn family(context: &Context<'_>, ask: &Ask) -> Option<bool> {
    match &ask.to {
        Target::Address(ip) => Some(ip.is_ipv6()),
        Target::Object(_) => {
            let spec = called_service(context, ask)?.spec.as_ref()?;
            Some(spec.ip_families.as_ref()?.first()? == "IPv6")
        }
    }
}

/// Where a connection leads: pods or addresses, each with its port.
struct Led<'a> {
    port: Option<u16>,
    protocol: String,
    targets: Vec<Called<'a>>,
}

/// A pod or address that is called.
struct Called<'a> {
    place: Place<'a>,
    number: i32,
    protocol: String,
    /// Only callers on this node are led here.
    node: Option<&'a str>,
}

impl Called<'_> {
    fn is_for(&self, source: &Place<'_>) -> bool {
        self.node.is_none_or(|node| source.node().is_none_or(|own| own == node))
    }
}

/// The Service that is called by name or address.
fn called_service<'a>(context: &Context<'a>, ask: &Ask) -> Option<&'a Service> {
    match &ask.to {
        Target::Object(to) if to.is(&kind::SERVICE) => context.service(&to.namespace, &to.name),
        Target::Object(_) => None,
        Target::Address(ip) => {
            let has = |service: &&Service| {
                let spec = service.spec.iter();
                let mut all = spec.flat_map(|s| s.cluster_ips.iter().flatten().chain(s.cluster_ip.iter()));
                all.any(|text| text.parse() == Ok(*ip))
            };
            let service = context.snapshot.objects.services.iter().find(has)?;
            let namespace = service.namespace().unwrap_or_default();
            for kind in [kind::POD, kind::ENDPOINT_SLICE, kind::DEPLOYMENT, kind::REPLICA_SET] {
                context.needs_list(&kind, &namespace);
            }
            Some(service)
        }
    }
}

/// A pod, a workload or an address, called without a Service.
fn direct<'a>(context: &Context<'a>, ask: &Ask) -> Result<Led<'a>, Unanswerable> {
    let places = match &ask.to {
        Target::Address(ip) => vec![Place::of_address(context, *ip, ask.searched)],
        Target::Object(to) if to.is(&kind::SERVICE) => {
            return Err(Unanswerable::Unread(format!("{to} could not be read")));
        }
        Target::Object(to) => ends::of_object(context, to),
    };
    if places.is_empty() {
        return Err(Unanswerable::Unread("the pods that are called could not be read".to_owned()));
    }
    let mut targets = Vec::new();
    let mut called = (None, ask.protocol.clone());
    for place in places {
        let (number, protocol) = port_of(&place, ask)?;
        called = (u16::try_from(number).ok(), Some(protocol.clone()));
        targets.push(Called {
            place,
            number,
            protocol,
            node: None,
        });
    }
    Ok(Led {
        port: called.0,
        protocol: called.1.unwrap_or_else(|| "TCP".to_owned()),
        targets,
    })
}

/// The port of a pod that was asked for, by number or by the name that the pod gives it.
fn port_of(place: &Place<'_>, ask: &Ask) -> Result<(i32, String), Unanswerable> {
    let declared = place.spec.map(ports::declared).unwrap_or_default();
    let shown = place.shown();
    match &ask.port {
        Some(AskedPort::Number(number)) => {
            let protocol = ask.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
            Ok((i32::from(*number), protocol))
        }
        Some(AskedPort::Name(name)) => {
            let named = declared
                .iter()
                .find(|d| d.name == name && ask.protocol.as_ref().is_none_or(|p| p == d.protocol));
            let named = named.ok_or_else(|| Unanswerable::Usage(format!("{shown} declares no port named {name}")))?;
            Ok((named.number, named.protocol.to_owned()))
        }
        None => match declared.as_slice() {
            [only] => Ok((only.number, only.protocol.to_owned())),
            _ => Err(Unanswerable::Usage(format!("which port of {shown}? name it, as in {shown}:8080"))),
        },
    }
}
