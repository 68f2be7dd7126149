//! Whether anything stops a connection from a pod to a Service, pod or address: the name, the Service, the policies of both ends, the port.
//!
//! It is evaluated from what was read, and the port is judged by the rules on listeners. What is missing for it is asked for, as by every rule.

mod alias;
mod ends;
mod hops;
mod listener;
mod mismatch;
mod service;
mod stopped;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use self::ends::Place;
use self::hops::Record;
use super::needs_namespace;
use crate::model::code::Code;
use crate::model::connection::{Connection, EVALUATED, Hop, HopAnswer, LOOKED_AT, Listening, Passage, Stage};
use crate::model::finding::{Confidence, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::near;
use crate::model::report::{API_VERSION, Diagnosis, Judged, Verdict};
use crate::model::snapshot::Snapshot;
use crate::rules::context::{Context, Need, Options};
use crate::rules::dependency::names::default_port;
use crate::rules::{causes, ports};

/// Who is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service, a pod or a workload.
    Object(ObjectRef),
    /// An address, of a Service, of a pod, or outside.
    Address(IpAddr),
    /// A name outside of the cluster.
    Name(String),
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
pub fn needs(snapshot: &Snapshot, ask: &Ask, options: &Options) -> BTreeSet<Need> {
    let context = Context::new(snapshot, options.clone());
    first_lists(&context, ask);
    // Whatever stands in the way of an answer, the needs are those that were noted by then.
    drop(answer(&context, ask));
    context.take_needs()
}

/// The lists that every evaluation begins with.
pub fn first_needs(snapshot: &Snapshot, ask: &Ask) -> BTreeSet<Need> {
    let context = Context::new(snapshot, Options::default());
    first_lists(&context, ask);
    context.take_needs()
}

fn first_lists(context: &Context<'_>, ask: &Ask) {
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
    if let Target::Object(to) = &ask.to {
        lists.extend(BEHIND.map(|kind| (kind, to.namespace.clone())));
    }
    for (kind, namespace) in lists {
        context.needs_list(&kind, &namespace);
    }
}

/// What tells who stands behind a Service: the workloads say which labels it should have asked for, and a rule should name.
const BEHIND: [kind::Kind; 8] = [
    kind::POD,
    kind::NETWORK_POLICY,
    kind::SERVICE,
    kind::ENDPOINT_SLICE,
    kind::DEPLOYMENT,
    kind::REPLICA_SET,
    kind::STATEFUL_SET,
    kind::DAEMON_SET,
];

/// Asks for what stands behind the Services of a namespace.
fn needs_behind(context: &Context<'_>, namespace: &str) {
    for kind in &BEHIND {
        context.needs_list(kind, namespace);
    }
}

/// The answer as a diagnosis.
pub fn diagnose(snapshot: &Snapshot, ask: &Ask, options: &Options) -> Result<Diagnosis, Unanswerable> {
    let context = Context::new(snapshot, options.clone());
    let answer = answer(&context, ask)?;
    let verdict = match answer.connection.passage {
        // It gets there, and what it gets to does not work.
        Passage::Allowed if !answer.causes.is_empty() => Verdict::Degraded,
        Passage::Allowed => Verdict::Healthy,
        Passage::Blocked => Verdict::Broken,
        Passage::Partly => Verdict::Degraded,
        Passage::Unknown => Verdict::Inconclusive,
    };
    let mut workloads: Vec<Judged> = Vec::new();
    for finding in &answer.causes {
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
        root_causes: answer.causes,
        symptoms: answer.symptoms,
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

/// The namespace whose name is nearest to one that does not exist, among those that were read.
pub fn near_namespace<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a str> {
    let names = snapshot.objects.namespaces.iter().filter_map(|n| n.metadata.name.as_deref());
    near::nearest(name, names)
}

struct Answer {
    connection: Connection,
    causes: Vec<Finding>,
    symptoms: Vec<Finding>,
    pod_count: usize,
}

fn answer(context: &Context<'_>, ask: &Ask) -> Result<Answer, Unanswerable> {
    let sources = ends::of_object(context, &ask.from);
    if sources.is_empty() {
        return Err(Unanswerable::Unread(format!("the pods of {} could not be read", ask.from)));
    }
    let mut record = Record::default();
    let service = called_service(context, ask);
    if !matches!(ask.to, Target::Address(_)) {
        let name = match (&ask.to, service) {
            (Target::Name(name), _) => Some(name.clone()),
            (_, service) => service.map(|s| format!("Service {}", s.name_any())),
        };
        for source in sources.iter().filter(|_| name.is_some()) {
            hops::dns(context, source, name.as_deref().unwrap_or_default(), service, &mut record);
        }
    }
    if let Target::Name(name) = &ask.to {
        hops::outside(context, &sources, name, &mut record);
    }
    let mut led = match service {
        Some(service) => service::lead(context, service, ask, &sources, &mut record)?,
        None => direct(context, ask)?,
    };
    led.targets = stopped::without(context, led.targets);
    let stopped: Vec<(usize, String)> = led
        .targets
        .iter()
        .enumerate()
        .filter_map(|(at, target)| Some((at, stopped::reason(context, &target.place)?)))
        .collect();
    let is_stopped = !stopped.is_empty() && stopped.len() == led.targets.len();
    let mut passages: BTreeSet<Passage> = BTreeSet::new();
    let seen = listener::look(context, &led.targets, &sources, &mut record);
    for source in &sources {
        for (target, listening) in led.targets.iter().zip(&seen).filter(|(t, _)| t.is_for(source)) {
            let is_ipv6 = led.is_ipv6.or_else(|| Some(target.place.end.ip?.is_ipv6())).unwrap_or_default();
            let target = Called {
                place: target.place.clone().of_family(is_ipv6),
                protocol: target.protocol.clone(),
                ..*target
            };
            let passage = hops::policies(context, &source.clone().of_family(is_ipv6), &target, &mut record);
            let is_sure = record
                .hops
                .iter()
                .any(|h| (h.stage, h.answer) == (Stage::Listener, HopAnswer::Blocked));
            passages.insert(match (listening, passage) {
                _ if is_stopped => Passage::Blocked,
                (Listening::Refuses, _) if is_sure => Passage::Blocked,
                // A refusal from one side alone does not tell who is let in from another.
                (Listening::Refuses, Passage::Allowed) => Passage::Unknown,
                _ => passage,
            });
        }
    }
    let mut whys = Vec::new();
    if is_stopped {
        whys = stopped::causes(context, &led.targets);
        if service.is_none() {
            record.hops.retain(|h| h.stage != Stage::Listener);
            for (at, reason) in &stopped {
                let target = &led.targets[*at];
                record.hop(Hop {
                    stage: Stage::Listener,
                    answer: HopAnswer::Blocked,
                    from: sources.first().map(Place::shown).unwrap_or_default(),
                    to: target.place.shown(),
                    port: Some(target.number),
                    pairs: 1,
                    policies: Vec::new(),
                    allowed_by: None,
                    reason: reason.clone(),
                });
                if whys.is_empty()
                    && let Some(finding) = stopped::unexplained(target, reason)
                {
                    record.finding(Stage::Listener, finding);
                }
            }
        }
    }
    let passage = record.passage(&passages);
    let explained: Vec<String> = whys.iter().map(|f| f.id.clone()).collect();
    let own = record.findings().into_iter().map(|finding| match finding.code {
        // What the pods suffer from is why the Service has none that are ready.
        Code::ServiceHasNoReadyEndpoints if !explained.is_empty() => Finding {
            severity: Severity::Symptom,
            caused_by: explained.clone(),
            ..finding
        },
        _ => finding,
    });
    let findings = whys.iter().cloned().chain(own).map(|finding| {
        let assumed = context.snapshot.local && finding.confidence == Confidence::Proven;
        if assumed { finding.confidence(Confidence::Likely) } else { finding }
    });
    let findings: Vec<Finding> = findings.collect();
    let order: Vec<String> = findings.iter().map(|f| f.id.clone()).collect();
    let mut linked = causes::link(findings);
    linked.sort_by_key(|f| order.iter().position(|id| *id == f.id));
    let (causes, symptoms) = linked.into_iter().partition(|f| f.severity == Severity::Error);
    let to = match &ask.to {
        Target::Object(object) => object.to_string(),
        Target::Address(ip) => ip.to_string(),
        Target::Name(name) => name.clone(),
    };
    let listening = match is_stopped {
        true => Listening::Stopped,
        false => seen.into_iter().max().unwrap_or_default(),
    };
    Ok(Answer {
        causes,
        symptoms,
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
            listening,
            hops: record.hops,
            basis: match listening {
                Listening::Undialled | Listening::Starting | Listening::Stopped => EVALUATED,
                _ => LOOKED_AT,
            }
            .to_owned(),
        },
    })
}

/// Where a connection leads: pods or addresses, each with its port.
struct Led<'a> {
    port: Option<u16>,
    protocol: String,
    /// Whether it goes over IPv6, as far as the address or the Service says it.
    is_ipv6: Option<bool>,
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
        Target::Object(_) | Target::Name(_) => None,
        Target::Address(ip) => {
            let has = |service: &&Service| {
                let spec = service.spec.iter();
                let mut all = spec.flat_map(|s| s.cluster_ips.iter().flatten().chain(s.cluster_ip.iter()));
                all.any(|text| text.parse() == Ok(*ip))
            };
            let service = context.snapshot.objects.services.iter().find(has)?;
            needs_behind(context, &service.namespace().unwrap_or_default());
            Some(service)
        }
    }
}

/// A pod, a workload or an address, called without a Service.
fn direct<'a>(context: &Context<'a>, ask: &Ask) -> Result<Led<'a>, Unanswerable> {
    let places = match &ask.to {
        Target::Address(ip) => vec![Place::of_address(context, *ip, ask.searched)],
        Target::Name(name) => vec![Place::of_name(name)],
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
        is_ipv6: match &ask.to {
            Target::Address(ip) => Some(ip.is_ipv6()),
            Target::Object(_) | Target::Name(_) => None,
        },
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
            if let Some(named) = named {
                return Ok((named.number, named.protocol.to_owned()));
            }
            let names: Vec<String> = declared.iter().filter(|d| !d.name.is_empty()).map(|d| d.name.to_owned()).collect();
            let host = if shown.contains(':') { format!("[{shown}]") } else { shown.clone() };
            Err(Unanswerable::Usage(match (place.spec, names.as_slice()) {
                (None, _) => format!(
                    "{shown} has no ports with names: write the number, as in {host}:{}",
                    default_port(name).unwrap_or(443)
                ),
                (Some(_), []) if declared.is_empty() => format!("{shown} declares no port named {name}, nor any other: write the number"),
                (Some(_), []) => {
                    let numbers: Vec<String> = declared.iter().map(|d| d.number.to_string()).collect();
                    format!(
                        "{shown} declares no port named {name}; it declares {} without a name: write the number",
                        numbers.join(", ")
                    )
                }
                (Some(_), names) => format!("{shown} declares no port named {name}; its names are {}", names.join(", ")),
            }))
        }
        None => match declared.as_slice() {
            [only] => Ok((only.number, only.protocol.to_owned())),
            _ => Err(Unanswerable::Usage(format!("which port of {shown}? name it, as in {shown}:8080"))),
        },
    }
}
