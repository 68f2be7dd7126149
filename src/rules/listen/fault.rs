//! What is said about a port that does not answer: the words, the evidence and the fix.

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use kube::ResourceExt;
use serde_json::json;

use crate::facts::ending::{edit_command, patch_command};
use crate::facts::listening::bind::Bind;
use crate::facts::listening::dials::opens_nothing;
use crate::facts::listening::fault::{Fault, Faulty, answers_for_others};
use crate::facts::listening::hints::Hint;
use crate::facts::listening::look;
use crate::facts::listening::look::Look;
use crate::facts::listening::uses::Use;
use crate::model::cause::{ListenerOnLoopback, TargetPortMismatch};
use crate::model::code::Code;
use crate::model::dial::Reply;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::rules::listen::fixes;
use crate::text::{Command, command, shorten};
use crate::view::{ContainerView, Role, View, is_ready, ports, reference_of, revision};

/// The finding about a fault of a port.
pub fn finding(view: &View<'_>, faulty: &Faulty<'_>) -> Finding {
    let Faulty {
        container,
        used,
        look,
        fault,
    } = faulty;
    let pod = container.pod;
    let workload = view.workload_of(pod);
    let (name, port) = (container.name(), used.port);
    let on_container = Subject::of(workload.clone()).container(name).port(port).pod(&pod.name_any());
    let users = used.users();
    let namespace = pod.namespace().unwrap_or_default();
    let mut finding = match fault {
        Fault::Loopback(confidence, bind) => {
            let cause = bind.loopback_cause().unwrap_or(ListenerOnLoopback::Ipv4);
            let address = loopback_address(used, look, cause);
            let summary = format!(
                "container {name} listens on {address} only, which cannot be reached from outside the pod; {users} {}",
                fate(used, look)
            );
            Finding::error(cause, on_container, summary).confidence(*confidence)
        }
        Fault::Nothing(confidence, named) => {
            let mut summary = format!("nothing in container {name} listens on port {port}; {users} {}", fate(used, look));
            if let Some(named) = named {
                let either = if named.refuses { ", where nothing listens either" } else { "" };
                summary.push_str(&format!("; its {} names port {}{either}", named.hint.source_word(), named.port));
            }
            let finding = Finding::error(Code::NothingListening, on_container, summary).confidence(*confidence);
            let is_silent = opens_nothing(view, container) && !look.hints.iter().any(Hint::is_of_log);
            match is_silent {
                true => finding.suffering(Effect::Silence(workload.clone(), name.to_owned())),
                false => finding,
            }
        }
        Fault::OtherPort(confidence, other, how) => {
            let summary = format!(
                "container {name} listens on port {other}, not on {port}, which {users} {}",
                match (used.services.is_empty(), is_plural(used)) {
                    (true, false) => "asks",
                    (true, true) => "ask",
                    (false, false) => "uses",
                    (false, true) => "use",
                }
            );
            Finding::error(Code::ListenerOnOtherPort, on_container, summary)
                .confidence(*confidence)
                .evidence(container.source(), how)
        }
        Fault::TargetPort(service, of, other) => {
            let declares = container.spec.ports.iter().flatten().any(|p| p.container_port == i32::from(*other));
            let listens = if declares {
                format!("declares {other}, and listens there")
            } else {
                format!("listens on {other}")
            };
            let summary = format!(
                "Service {} sends port {} to {port}, where nothing listens; container {name} {listens}",
                service.name_any(),
                ports::shown(of)
            );
            let subject = Subject::of(reference_of(&kind::SERVICE, &service.metadata)).port(of.port);
            Finding::error(TargetPortMismatch::Proven, subject, summary)
                .related("target", workload.clone())
                .evidence("dialled", format!("port {other} accepts connections"))
        }
        Fault::OtherFamily(confidence) => {
            let (has, wants) = if look::has_ipv6(pod) { ("IPv4", "IPv6") } else { ("IPv6", "IPv4") };
            let use_ = if is_plural(used) { "use" } else { "uses" };
            let summary = format!("container {name} listens on port {port} for {has} only, and {users} {use_} {wants}");
            Finding::error(Code::ListenerAddressFamily, on_container, summary).confidence(*confidence)
        }
        Fault::Fails(status) => {
            let summary = format!("container {name} answers requests on port {port} with status {status}");
            let finding = Finding::error(Code::ApplicationError, on_container, summary);
            match view.failing(pod) {
                Some(own) if own.status == Some(*status) => finding.evidence("asked", format!("GET {} answers {status}", own.asked)),
                _ => finding.confidence(Confidence::Likely),
            }
        }
    };
    // A Service that takes its pods by mistake asks in vain, and the pods are well.
    if matches!(fault, Fault::Nothing(..) | Fault::OtherPort(..)) && used.probes.is_empty() {
        finding = finding.suffering(Effect::Object(workload.clone()));
    }
    finding = evidence(container, used, look, fault, finding);
    // Who is kept from being ready by a command of its own is not kept from it by a port that no probe asks.
    let gates = [&container.spec.readiness_probe, &container.spec.startup_probe];
    let by_command = used.probes.is_empty() && gates.into_iter().flatten().any(|probe| probe.exec.is_some());
    if !is_ready(pod) && !by_command {
        for effect in view.container_effects(container) {
            finding = finding.breaking(effect);
        }
    }
    if !matches!(fault, Fault::Fails(_)) {
        for (service, _) in used
            .services
            .iter()
            .filter(|(service, _)| reaches_nobody(view, &workload, pod, service))
        {
            finding = finding.breaking(Effect::Service(namespace.clone(), service.name_any()));
        }
    }
    fix(view, container, used, look, fault, finding)
}

/// `127.0.0.1:8080`, `[::1]:8080`: as its socket has it, else as the dial or its own word tells.
fn loopback_address(used: &Use<'_>, look: &Look<'_>, cause: ListenerOnLoopback) -> String {
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
        ListenerOnLoopback::Ipv6 => format!("[::1]:{port}"),
        ListenerOnLoopback::Mapped => format!("[::ffff:127.0.0.1]:{port}"),
        // 127.0.0.1 itself would have answered.
        ListenerOnLoopback::Ipv4 if look.dial.is_some_and(|dial| dial.inside == Reply::Refused) => {
            format!("another loopback address than 127.0.0.1, port {port}")
        }
        ListenerOnLoopback::Ipv4 => format!("127.0.0.1:{port}"),
    }
}

/// `is refused` where that was seen, else what follows from what was.
fn fate(used: &Use<'_>, look: &Look<'_>) -> String {
    let seen = look.refused.is_some() || look.dial.is_some_and(|dial| dial.address == Reply::Refused);
    if seen {
        format!("{} refused", are(used))
    } else {
        "cannot get there".to_owned()
    }
}

fn is_plural(used: &Use<'_>) -> bool {
    used.services.len() + used.probes.len() > 1
}

fn are(used: &Use<'_>) -> &'static str {
    if is_plural(used) { "are" } else { "is" }
}

/// Whether every pod behind a Service is of the revision that this pod stands for.
fn reaches_nobody(view: &View<'_>, workload: &ObjectRef, pod: &Pod, service: &Service) -> bool {
    ports::pods_behind(view, service)
        .into_iter()
        .filter(|other| is_ready(other))
        .all(|other| view.workload_of(other) == *workload && revision(other) == revision(pod))
}

/// What was seen, the strongest first.
fn evidence(container: &ContainerView<'_>, used: &Use<'_>, look: &Look<'_>, fault: &Fault<'_>, mut finding: Finding) -> Finding {
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
    if let Fault::Nothing(_, Some(named)) = fault {
        finding = finding.evidence(named.hint.place(), &named.hint.detail);
    }
    if let Fault::OtherPort(_, other, _) | Fault::TargetPort(_, _, other) = fault
        && let Some(hint) = look.hints.iter().find(|hint| hint.is_of_log() && hint.port == Some(*other))
    {
        finding = finding.evidence(hint.place(), &hint.detail);
    }
    // Of who answers badly, the address is not at fault.
    if matches!(fault, Fault::Fails(_)) {
        return finding;
    }
    for hint in (look.hints.iter())
        .filter(|hint| hint.is_about(port) && (hint.bind.is_loopback() || matches!(hint.bind, Bind::AnyV4 | Bind::AnyV6)))
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
    view: &View<'_>,
    container: &ContainerView<'_>,
    used: &Use<'_>,
    look: &Look<'_>,
    fault: &Fault<'_>,
    mut finding: Finding,
) -> Finding {
    let pod = container.pod;
    let namespace = pod.namespace().unwrap_or_default();
    let name = container.name();
    let logs = command("kubectl logs {} -c {} -n {} --tail=50", &[&pod.name_any(), &name, &namespace]);
    let edit = edit_command(view, pod);
    match fault {
        Fault::OtherFamily(_) => {
            let set = fixes::other_family(view, container, &look.hints, used.port);
            other_family(pod, used, look, set.unwrap_or(edit), finding)
        }
        Fault::Loopback(..) => {
            finding.fixes.extend(fixes::advice(view, container, None, &look.hints, used.port));
            finding
        }
        Fault::Nothing(_, named) => {
            if let Some(named) = named.as_ref().filter(|named| !named.refuses) {
                finding = to_other_port(view, container, used, named.port, edit.clone(), finding);
            }
            finding = finding.fix_command("see whether the server says that it listens, and where", logs);
            let sockets = match look.sockets {
                Some(_) => {
                    return finding.fix_command(
                        format!("enable what should open port {}, or remove the port from what uses it", used.port),
                        edit,
                    );
                }
                None => command("kubectl podlife diagnose pod/{} -n {} --exec", &[&pod.name_any(), &namespace]),
            };
            finding.fix_command(
                "see what it listens on instead (--exec where the image has cat or sh, else --debug-image)",
                sockets,
            )
        }
        Fault::OtherPort(_, other, _) => to_other_port(view, container, used, *other, edit, finding),
        Fault::TargetPort(service, of, other) => finding.fix_command(
            format!("set targetPort of port {} to {other}", ports::shown(of)),
            set_target_port(service, of, *other),
        ),
        Fault::Fails(_) => finding.fix_command("the application itself is at fault: see what its log says", logs),
    }
}

/// Lets a server take connections of the family that its clients use.
fn other_family(pod: &Pod, used: &Use<'_>, look: &Look<'_>, edit: Command, finding: Finding) -> Finding {
    let port = used.port;
    let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let (wants, open, both) = if look::has_ipv6(pod) {
        ("IPv6", v6.clone(), v6)
    } else {
        ("IPv4", v4, format!("{v6} without an option for IPv6 alone"))
    };
    let hint = look.hints.iter().find(|hint| hint.is_about(port) && !hint.is_of_log());
    let place = hint.map(|hint| format!(" (now: {})", hint.detail)).unwrap_or_default();
    let services: Vec<String> = used.services.iter().map(|(service, _)| service.name_any()).collect();
    let finding = finding.fix_command(format!("make it listen for {wants} too: on {open}, or on {both}{place}"), edit);
    match services.first() {
        Some(service) => finding.fix(format!(
            "where the cluster has both families, give Service {service} the one of the server (spec.ipFamilies)"
        )),
        None => finding,
    }
}

/// Brings what uses a port and what listens on another together.
fn to_other_port(view: &View<'_>, container: &ContainerView<'_>, used: &Use<'_>, other: u16, edit: Command, finding: Finding) -> Finding {
    let (pod, namespace) = (container.pod, container.pod.namespace().unwrap_or_default());
    match used.services.first() {
        // What is right for one of them takes the other ones down.
        Some((service, of)) if answers_for_others(view, pod, service, of) => finding.fix_command(
            format!(
                "keep these pods out of Service {}, whose other pods answer, by a label more in its selector, or make the application listen on {}",
                service.name_any(),
                used.port
            ),
            command("kubectl edit service {} -n {}", &[&service.name_any(), &namespace]),
        ),
        Some((service, of)) if used.probes.is_empty() => finding.fix_command(
            format!(
                "send port {} of Service {} to {other}, or make the application listen on {}",
                ports::shown(of),
                service.name_any(),
                used.port
            ),
            set_target_port(service, of, other),
        ),
        None => {
            let probes: Vec<String> = used
                .probes
                .iter()
                .map(|(which, ..)| format!("the {} probe", which.word()))
                .collect();
            finding.fix_command(
                format!(
                    "change {} to port {other}, or make the application listen on {}",
                    probes.join(" and "),
                    used.port
                ),
                set_probe_port(view, container, used, other).unwrap_or(edit),
            )
        }
        _ => finding.fix_command(
            format!("make the application listen on {}, or change what uses it to {other}", used.port),
            edit,
        ),
    }
}

/// The command that lets the probes that ask a port ask another one; none where the pod has no template that can be patched by the name of
/// the container.
fn set_probe_port(view: &View<'_>, container: &ContainerView<'_>, used: &Use<'_>, to: u16) -> Option<Command> {
    if container.role != Role::App {
        return None;
    }
    let mut patch = serde_json::Map::from_iter([("name".to_owned(), json!(container.name()))]);
    for (which, probe, _) in used.probes.iter().filter(|(.., name)| *name == container.name()) {
        let way = match (&probe.http_get, &probe.tcp_socket) {
            (Some(_), _) => "httpGet",
            (None, Some(_)) => "tcpSocket",
            (None, None) => "grpc",
        };
        patch.insert(format!("{}Probe", which.word()), json!({way: {"port": to}}));
    }
    patch_command(&view.workload_of(container.pod), &patch.into())
}

/// The command that sends a Service's port to another port of its pods.
fn set_target_port(service: &Service, of: &ServicePort, to: u16) -> Command {
    let at = ports::of_service(service)
        .iter()
        .position(|p| p.port == of.port && p.protocol == of.protocol)
        .unwrap_or_default();
    let patch = json!([{"op": "replace", "path": format!("/spec/ports/{at}/targetPort"), "value": to}]);
    command(
        "kubectl patch service {} -n {} --type=json -p {}",
        &[&service.name_any(), &service.namespace().unwrap_or_default(), &patch],
    )
}
