//! Who really listens on the ports that Services, Ingresses and probes use: the reach ladder.
//!
//! A server on a loopback address is Running, often Ready, and nobody reaches it. It is proven by a dial pair, by the sockets inside of the
//! pod, or by the kubelet's refusal together with a dial from inside; command line, environment and log only make it likely.

pub mod bind;
pub mod command;
pub mod config_lines;
pub mod environment;
pub mod fixes;
pub mod hints;
pub mod log_lines;
mod look;
pub mod servers;
pub mod shell;
pub mod table;
pub mod told;
mod uses;
pub mod variables;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use kube::ResourceExt;

use bind::Bind;
use look::{Look, Standing, dial_key, look, said_of_port};
use uses::Use;

use super::Context;
use super::context::{ContainerView, Role, Workload, containers, has_ended, is_ready, is_terminating, reference_of, revision};
use super::ports;
use crate::model::code::Code;
use crate::model::dial::{DialKey, Reply, Speech};
use crate::model::finding::{Confidence, Effect, Finding, Subject};
use crate::model::kind;
use crate::model::text::shorten;

/// Ports that are used and do not answer, of one pod of each revision.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in context.workloads() {
        for pod in representatives(workload) {
            for used in uses::of_pod(context, pod).into_iter().filter(Use::is_used) {
                found.extend(judge(context, workload, pod, &used));
            }
        }
    }
    found
}

/// One pod that runs for each revision: an unready one where there is one, because it may be the one that nobody reaches.
fn representatives<'a>(workload: &Workload<'a>) -> Vec<&'a Pod> {
    let mut chosen: Vec<&'a Pod> = Vec::new();
    for &pod in &workload.pods {
        let runs = containers(pod).iter().any(|c| c.role == Role::App && c.is_running());
        if has_ended(pod) || is_terminating(pod) || !runs || is_mesh_pod(pod) {
            continue;
        }
        match chosen.iter_mut().find(|other| revision(other) == revision(pod)) {
            Some(other) if is_ready(other) && !is_ready(pod) => *other = pod,
            Some(_) => {}
            None => chosen.push(pod),
        }
    }
    chosen
}

/// Names of the containers that service meshes put into pods: they answer in the application's place, so that a dial tells nothing of it.
const MESH: [&str; 6] = [
    "istio-proxy",
    "linkerd-proxy",
    "kuma-sidecar",
    "consul-dataplane",
    "envoy-sidecar",
    "osm-proxy",
];

/// Whether a container belongs to a service mesh.
fn is_mesh(container: &ContainerView<'_>) -> bool {
    MESH.contains(&container.name())
}

/// Whether a service mesh answers in the place of this pod's containers.
pub fn is_mesh_pod(pod: &Pod) -> bool {
    containers(pod).iter().any(is_mesh)
}

/// What is to be told: which fault it is, and the port that listens instead.
enum Fault<'a> {
    Loopback(Confidence, Bind),
    Nothing(Confidence),
    /// Another port listens, and what shows it.
    OtherPort(Confidence, u16, String),
    /// The Service's number is not the one that is declared, and the declared one listens.
    TargetPort(&'a Service, &'a ServicePort, u16),
    OtherFamily(Confidence),
    Hangs,
    Fails(u16),
}

fn judge<'a>(context: &Context<'a>, workload: &Workload<'a>, pod: &'a Pod, used: &Use<'a>) -> Option<Finding> {
    let container = used.container(pod)?;
    if used.protocol == "SCTP" || !container.is_running() {
        return None;
    }
    let look = look(context, pod, &container, used);
    let fault = match look.standing {
        Standing::Loopback(confidence, bind) => Fault::Loopback(confidence, bind),
        Standing::Nothing(confidence) => nothing(context, pod, used, &look, confidence)?,
        // A probe that kills leaves no time to be patient; a port that listens instead explains it all the same.
        Standing::Unknown if look.refused.is_some() => match nothing(context, pod, used, &look, Confidence::Likely)? {
            Fault::Nothing(_) => return None,
            other => other,
        },
        Standing::OtherFamily(confidence) => Fault::OtherFamily(confidence),
        Standing::Hangs => Fault::Hangs,
        Standing::Fails(status) => Fault::Fails(status),
        Standing::Reachable(_) | Standing::Starting | Standing::Unknown => return None,
    };
    Some(finding(context, workload, pod, &container, used, &look, &fault))
}

/// Nobody listens on the port: does another one listen in its place? None where that is still to be seen.
fn nothing<'a>(context: &Context<'a>, pod: &'a Pod, used: &Use<'a>, look: &Look<'_>, confidence: Confidence) -> Option<Fault<'a>> {
    let all = uses::of_pod(context, pod);
    let container = used.container(pod)?;
    let is_free = |port: u16| !all.iter().any(|other| other.port == port && other.is_used());
    if let Some(sockets) = look.sockets {
        let mut others = sockets
            .sockets
            .iter()
            .filter(|s| s.protocol == used.protocol && !s.is_loopback() && is_free(s.port));
        let own = |s: &&crate::model::sockets::Socket| s.container.as_deref().is_none_or(|name| name == container.name());
        if let Some(other) = others.find(own) {
            let how = format!(
                "{} listens on {}:{}",
                look.sockets.map_or("", |s| &s.seen_from),
                other.address,
                other.port
            );
            return Some(instead(used, other.port, Confidence::Proven, how));
        }
        return Some(Fault::Nothing(confidence));
    }
    let mut open = false;
    for other in all
        .iter()
        .filter(|other| other.protocol == "TCP" && !other.is_used() && !other.declared.is_empty())
    {
        if !other.declared.iter().any(|d| d.container == container.name()) {
            continue;
        }
        let Some(dial) = context.dial(dial_key(pod, other)) else {
            open |= context.options.dial;
            continue;
        };
        let plain = other.speech().0 == Speech::Plain && dial.inside.listens();
        if dial.address.listens() || plain {
            let how = format!("port {}, which it declares, accepts connections", other.port);
            return Some(instead(used, other.port, Confidence::Proven, how));
        }
    }
    if open {
        return None;
    }
    let said = look.hints.iter().find(|hint| {
        let of_log = matches!(hint.source, hints::Source::Log { .. });
        of_log
            && hint.strength <= Confidence::Likely
            && hint.port.is_some_and(|port| port != used.port && is_free(port))
            && !hint.bind.is_loopback()
    });
    if let Some((hint, port)) = said.and_then(|hint| Some((hint, hint.port?))) {
        return Some(instead(used, port, Confidence::Likely, format!("its log says: {}", hint.detail)));
    }
    Some(Fault::Nothing(confidence))
}

fn instead<'a>(used: &Use<'a>, port: u16, confidence: Confidence, how: String) -> Fault<'a> {
    match used.services.first() {
        // The container never said that it would listen where the Service sends to.
        Some((service, of)) if used.declared.is_empty() && used.probes.is_empty() && confidence == Confidence::Proven => {
            Fault::TargetPort(service, of, port)
        }
        _ => Fault::OtherPort(confidence, port, how),
    }
}

/// Whether a Service sends to a number on which nobody listens while the declared one does: then that is told, and no mere hint beside it.
pub fn is_mismatch_proven(context: &Context<'_>, service: &Service, port: &ServicePort) -> bool {
    ports::workloads_behind(context, service).into_iter().any(|workload| {
        representatives(workload).into_iter().any(|pod| {
            let all = uses::of_pod(context, pod);
            let used = all
                .iter()
                .find(|u| u.services.iter().any(|(s, p)| std::ptr::eq(*s, service) && p.port == port.port));
            used.and_then(|used| judge(context, workload, pod, used))
                .is_some_and(|finding| finding.code != Code::ApplicationError)
        })
    })
}

/// Whether a running pod of the workload has not opened a used port yet, and still has time to.
pub fn is_starting(context: &Context<'_>, workload: &Workload<'_>) -> bool {
    representatives(workload).into_iter().any(|pod| {
        uses::of_pod(context, pod).iter().filter(|u| u.is_used()).any(|used| {
            used.container(pod)
                .is_some_and(|c| c.is_running() && look(context, pod, &c, used).standing == Standing::Starting)
        })
    })
}

fn finding(
    context: &Context<'_>,
    workload: &Workload<'_>,
    pod: &Pod,
    container: &ContainerView<'_>,
    used: &Use<'_>,
    look: &Look<'_>,
    fault: &Fault<'_>,
) -> Finding {
    let (name, port) = (container.name(), used.port);
    let on_container = Subject::of(workload.reference.clone())
        .container(name)
        .port(port)
        .pod(&pod.name_any());
    let users = used.users();
    let namespace = pod.namespace().unwrap_or_default();
    let mut finding = match fault {
        Fault::Loopback(confidence, bind) => {
            let cause = bind.loopback_cause().unwrap_or("ipv4");
            let address = loopback_address(used, look, cause);
            let summary = format!(
                "container {name} listens on {address} only, where nobody outside of the pod gets to it; {users} {} refused",
                are(used)
            );
            Finding::error(Code::ListenerOnLoopback, cause, on_container, summary).confidence(*confidence)
        }
        Fault::Nothing(confidence) => {
            let summary = format!("nothing in container {name} listens on port {port}; {users} {} refused", are(used));
            Finding::error(Code::NothingListening, "", on_container, summary).confidence(*confidence)
        }
        Fault::OtherPort(confidence, other, how) => {
            let summary = format!(
                "container {name} listens on port {other}, not on {port}, which {users} {}",
                if is_plural(used) { "use" } else { "uses" }
            );
            Finding::error(Code::ListenerOnOtherPort, "", on_container, summary)
                .confidence(*confidence)
                .evidence(container.source(), how)
        }
        Fault::TargetPort(service, of, other) => {
            let summary = format!(
                "Service {} sends port {} to {port}, where nobody listens; container {name} declares {other}, and listens there",
                service.name_any(),
                ports::shown(of)
            );
            let subject = Subject::of(reference_of(&kind::SERVICE, &service.metadata)).port(of.port);
            Finding::error(Code::TargetPortMismatch, "proven", subject, summary)
                .related("target", workload.reference.clone())
                .evidence("dialled", format!("port {other} accepts connections"))
        }
        Fault::OtherFamily(confidence) => {
            let (has, wants) = if look::has_ipv6(pod) { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            let use_ = if is_plural(used) { "use" } else { "uses" };
            let summary = format!("container {name} listens on port {port} for {has} only, and {users} {use_} {wants}");
            Finding::error(Code::ListenerAddressFamily, "", on_container, summary).confidence(*confidence)
        }
        Fault::Hangs => {
            let summary = format!("container {name} accepts connections on port {port} and does not answer");
            Finding::error(Code::ApplicationError, "", on_container, summary).confidence(Confidence::Likely)
        }
        Fault::Fails(status) => {
            let summary = format!("container {name} answers requests on port {port} with status {status}");
            Finding::error(Code::ApplicationError, "", on_container, summary).confidence(Confidence::Likely)
        }
    };
    finding = evidence(container, used, look, finding);
    if !is_ready(pod) {
        for effect in context.container_effects(container) {
            finding = finding.breaking(effect);
        }
    }
    if !matches!(fault, Fault::Fails(_)) {
        for (service, _) in used
            .services
            .iter()
            .filter(|(service, _)| reaches_nobody(context, workload, pod, service))
        {
            finding = finding.breaking(Effect::Service(namespace.clone(), service.name_any()));
        }
    }
    fix(context, container, used, look, fault, finding)
}

/// `127.0.0.1:8080`, `[::1]:8080`: as its socket has it, else as the dial or its own word tells.
fn loopback_address(used: &Use<'_>, look: &Look<'_>, cause: &str) -> String {
    let port = used.port;
    let socket = look
        .sockets
        .into_iter()
        .flat_map(|s| &s.sockets)
        .find(|s| s.port == port && s.protocol == used.protocol);
    if let Some(socket) = socket {
        return std::net::SocketAddr::new(socket.address, port).to_string();
    }
    match cause {
        "ipv6" => format!("[::1]:{port}"),
        "mapped" => format!("[::ffff:127.0.0.1]:{port}"),
        // 127.0.0.1 itself would have answered.
        _ if look.dial.is_some_and(|dial| dial.inside == Reply::Refused) => format!("another loopback address than 127.0.0.1, port {port}"),
        _ => format!("127.0.0.1:{port}"),
    }
}

fn is_plural(used: &Use<'_>) -> bool {
    used.services.len() + used.probes.len() > 1
}

fn are(used: &Use<'_>) -> &'static str {
    if is_plural(used) { "are" } else { "is" }
}

/// Whether every pod behind a Service is of the revision that this pod stands for.
fn reaches_nobody(context: &Context<'_>, workload: &Workload<'_>, pod: &Pod, service: &Service) -> bool {
    ports::pods_behind(context, service)
        .into_iter()
        .filter(|other| is_ready(other))
        .all(|other| context.workload_of(other) == workload.reference && revision(other) == revision(pod))
}

/// What was seen, the strongest first.
fn evidence(container: &ContainerView<'_>, used: &Use<'_>, look: &Look<'_>, mut finding: Finding) -> Finding {
    let (port, pod) = (used.port, container.pod);
    if let Some(dial) = look.dial {
        let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).unwrap_or("the pod's address");
        let mut parts = Vec::new();
        if dial.inside != Reply::Untried {
            parts.push(format!("port-forward to {port} {}", said(&dial.inside)));
        }
        if dial.address != Reply::Untried {
            parts.push(format!("{ip}:{port} {}", said(&dial.address)));
        }
        finding = finding.evidence("dialled", parts.join(", "));
    }
    if let Some(sockets) = look.sockets {
        let mine: Vec<String> = sockets
            .sockets
            .iter()
            .filter(|s| s.port == port && s.protocol == used.protocol)
            .map(|s| format!("{} {}", s.protocol, std::net::SocketAddr::new(s.address, s.port)))
            .collect();
        let shown = if mine.is_empty() {
            format!("no socket listens on port {port}")
        } else {
            mine.join(", ")
        };
        finding = finding.evidence("sockets", format!("{shown}, seen from {}", sockets.seen_from));
    }
    if let Some(refused) = &look.refused {
        finding = finding.evidence(format!("pod/{} event Unhealthy", pod.name_any()), shorten(refused, 200));
    }
    for hint in said_of_port(&look.hints, port)
        .into_iter()
        .filter(|hint| hint.bind.is_loopback() || matches!(hint.bind, Bind::AnyV4 | Bind::AnyV6))
        .take(2)
    {
        finding = finding.evidence(hint.place(), &hint.detail);
    }
    finding
}

/// `answers 200`, `refuses`
fn said(reply: &Reply) -> String {
    match reply {
        Reply::Status(status) => format!("answers {status}"),
        Reply::Accepted => "accepts".to_owned(),
        Reply::Silent => "accepts and says nothing".to_owned(),
        Reply::Refused => "refuses".to_owned(),
        Reply::TimedOut => "does not answer".to_owned(),
        Reply::Untried => "was not tried".to_owned(),
    }
}

fn fix(
    context: &Context<'_>,
    container: &ContainerView<'_>,
    used: &Use<'_>,
    look: &Look<'_>,
    fault: &Fault<'_>,
    mut finding: Finding,
) -> Finding {
    let pod = container.pod;
    let namespace = pod.namespace().unwrap_or_default();
    let (name, owner) = (container.name(), context.workload_of(pod).short());
    let logs = format!("kubectl logs {} -c {name} -n {namespace} --tail=50", pod.name_any());
    let edit = format!("kubectl edit {owner} -n {namespace}");
    match fault {
        Fault::Loopback(..) | Fault::OtherFamily(_) => {
            finding
                .fixes
                .extend(fixes::advice(context, container, None, &look.hints, used.port));
            finding
        }
        Fault::Nothing(_) => {
            finding = finding.fix_command("see whether the server says that it listens, and where", logs);
            let sockets = match look.sockets {
                Some(_) => {
                    return finding.fix_command(
                        format!(
                            "switch on what should open port {}, or take the port out of what uses it",
                            used.port
                        ),
                        edit,
                    );
                }
                None => format!("kubectl podlife diagnose pod/{} -n {namespace} --exec", pod.name_any()),
            };
            finding.fix_command(
                "see what it listens on instead (--exec where the image has cat or sh, else --debug-image)",
                sockets,
            )
        }
        Fault::OtherPort(_, other, _) => match used.services.first() {
            Some((service, of)) if used.probes.is_empty() => finding.fix_command(
                format!(
                    "send port {} of Service {} to {other}, or have the application listen on {}",
                    ports::shown(of),
                    service.name_any(),
                    used.port
                ),
                format!("kubectl edit service {} -n {namespace}", service.name_any()),
            ),
            _ => finding.fix_command(
                format!("have the application listen on {}, or change what uses it to {other}", used.port),
                edit,
            ),
        },
        Fault::TargetPort(service, of, other) => {
            let at = ports::of_service(service)
                .iter()
                .position(|p| p.port == of.port)
                .unwrap_or_default();
            finding.fix_command(
                format!("set targetPort of port {} to {other}", ports::shown(of)),
                format!(
                    "kubectl patch service {} -n {namespace} --type=json -p '[{{\"op\":\"replace\",\"path\":\"/spec/ports/{at}/targetPort\",\"value\":{other}}}]'",
                    service.name_any()
                ),
            )
        }
        Fault::Hangs | Fault::Fails(_) => finding.fix_command("the application itself is at fault: see what its log says", logs),
    }
}

/// The dial of a used port that has been made, where one has.
pub(super) fn made_dial<'a>(context: &Context<'a>, pod: &Pod, used: &Use<'_>) -> Option<&'a crate::model::dial::Dial> {
    let key = dial_key(pod, used);
    let again = DialKey {
        again: true,
        ..key.clone()
    };
    context.snapshot.dial(&again).or_else(|| context.snapshot.dial(&key))
}

/// The word for the kind of source in the port table.
pub(super) fn source_word(hint: &hints::Hint) -> &'static str {
    match hint.source {
        hints::Source::Log { .. } => "log",
        hints::Source::Command => "command",
        hints::Source::Environment(_) => "environment",
        hints::Source::Config { .. } => "config",
    }
}

#[cfg(test)]
mod tests;
