//! Where the ports of a Service lead: names that no container declares, numbers and protocols that differ from what is declared.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::json;

use crate::facts::ending::patch_command;
use crate::facts::listening::fault;
use crate::facts::listening::fault::PortAnswer;
use crate::model::cause;
use crate::model::code::Code::{ServiceProtocolMismatch, TargetPortNameUnresolved};
use crate::model::finding::{Confidence, Finding, Severity};
use crate::model::near;
use crate::rules::service::subject;
use crate::text::command;
use crate::view::ports::Declared;
use crate::view::{Needs, View, Workload, ports, service_effect};

/// What is wrong with the ports of a Service that selects something.
pub fn check(view: &View<'_>, needs: &mut Needs, service: &Service) -> Vec<Finding> {
    if !ports::has_selector(service) {
        return Vec::new();
    }
    let behind = ports::specs_behind(view, service);
    if behind.is_empty() {
        return Vec::new();
    }
    ports::of_service(service)
        .iter()
        .filter_map(|port| match ports::target(port) {
            IntOrString::String(name) => named(view, needs, service, port, &name, &behind),
            IntOrString::Int(number) => {
                numbered(view, needs, service, port, number, &behind).filter(|_| !fault::is_mismatch_proven(view, needs, service, port))
            }
        })
        .collect()
}

fn declared_by_all<'a>(behind: &[(&Workload<'_>, &'a PodSpec)]) -> Vec<Declared<'a>> {
    let mut all: Vec<Declared<'a>> = Vec::new();
    for (_, spec) in behind {
        for port in ports::declared(spec) {
            if !all.contains(&port) {
                all.push(port);
            }
        }
    }
    all
}

/// `8080/TCP (http) in container api`
fn list(declared: &[Declared<'_>]) -> String {
    if declared.is_empty() {
        return "no port at all".to_owned();
    }
    let shown: BTreeSet<String> = declared
        .iter()
        .map(|d| {
            let name = if d.name.is_empty() {
                String::new()
            } else {
                format!(" ({})", d.name)
            };
            format!("{}/{}{name} in container {}", d.number, d.protocol, d.container)
        })
        .collect();
    shown.into_iter().collect::<Vec<_>>().join(", ")
}

fn named(
    view: &View<'_>,
    needs: &mut Needs,
    service: &Service,
    port: &ServicePort,
    name: &str,
    behind: &[(&Workload<'_>, &PodSpec)],
) -> Option<Finding> {
    // Pods that do not know the name are left out of the port's endpoints; it is broken only when none knows it.
    if behind.iter().any(|(_, spec)| ports::resolve(spec, port).is_some()) {
        return None;
    }
    let (namespace, of) = (service.namespace().unwrap_or_default(), service.name_any());
    let protocol = ports::protocol(port.protocol.as_ref());
    let declared = declared_by_all(behind);
    let workload = behind.first().map(|(w, _)| w.reference.clone())?;
    let without_port = ports::slices(view, service)
        .iter()
        .any(|slice| slice.ports.as_ref().is_none_or(Vec::is_empty) && !slice.endpoints.is_empty());
    if let Some(other) = declared.iter().find(|d| d.name == name) {
        return Some(
            protocol_differs(view, needs, service, port, other, Confidence::Proven)
                .related("target", workload)
                .breaking(service_effect(service)),
        );
    }
    let same_number = declared.iter().find(|d| d.number == port.port && !d.name.is_empty());
    let near = near::nearest(name, declared.iter().map(|d| d.name).filter(|n| !n.is_empty()));
    let only = declared.as_slice();
    let remedy = match (near, same_number, only) {
        (Some(near), ..) => format!("set targetPort of port {} to {near}", ports::shown(port)),
        (None, Some(same), _) => format!("set targetPort of port {} to {}", ports::shown(port), same.name),
        (None, None, [one]) => format!("set targetPort of port {} to {}", ports::shown(port), one.number),
        _ => format!(
            "set targetPort of port {} to the number that the application listens on",
            ports::shown(port)
        ),
    };
    let mut finding = Finding::error(
        TargetPortNameUnresolved,
        subject(service).port(port.port),
        format!(
            "Service {of} sends port {} to a port named {name}, but no container of {} declares that name",
            ports::shown(port),
            workload.short()
        ),
    )
    .evidence(
        format!("service/{of}"),
        format!("port {} has targetPort: {name} ({protocol})", ports::shown(port)),
    )
    .evidence(workload.short(), format!("its containers declare {}", list(&declared)))
    .related("target", workload)
    .fix_command(
        format!("{remedy}, or give the container's port the name {name}"),
        command("kubectl edit service {} -n {}", &[&of, &namespace]),
    )
    .breaking(service_effect(service));
    if without_port {
        finding = finding.evidence(
            format!("endpointslices of service/{of}"),
            "addresses without a port: connections are refused",
        );
    }
    Some(finding)
}

fn protocol_differs(
    view: &View<'_>,
    needs: &mut Needs,
    service: &Service,
    port: &ServicePort,
    declared: &Declared<'_>,
    confidence: Confidence,
) -> Finding {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let protocol = ports::protocol(port.protocol.as_ref());
    let finding = Finding::new(
        ServiceProtocolMismatch,
        Severity::Error,
        confidence,
        subject(service).port(port.port),
        format!(
            "Service {name} forwards port {} as {protocol}, but container {} declares port {} as {}",
            ports::shown(port),
            declared.container,
            declared.number,
            declared.protocol
        ),
    )
    .evidence(
        format!("service/{name}"),
        format!(
            "port {} has protocol: {protocol}, targetPort: {}",
            ports::shown(port),
            shown(&ports::target(port))
        ),
    )
    .evidence(
        format!("container {}", declared.container),
        format!("declares containerPort {} with protocol {}", declared.number, declared.protocol),
    );
    // A port that answers where the Service sends to is only declared wrongly.
    let answers = |pod: &&k8s_openapi::api::core::v1::Pod| {
        let number = u16::try_from(declared.number).unwrap_or_default();
        matches!(
            fault::answer(view, needs, pod, number, protocol),
            PortAnswer::Listens(_) | PortAnswer::Inside
        )
    };
    if protocol == "TCP"
        && let Some(pod) = ports::pods_behind(view, service).into_iter().find(answers)
    {
        let workload = view.workload_of(pod);
        let container = declared.container;
        let port = json!({"containerPort": declared.number, "protocol": protocol});
        let command = patch_command(&workload, &json!({"name": container, "ports": [port]}))
            .unwrap_or_else(|| command("kubectl edit {} -n {}", &[&workload.short(), &namespace]));
        return finding
            .evidence("dialled", format!("port {} accepts {protocol} connections", declared.number))
            .fix_command(
                format!(
                    "declare port {} of container {container} with protocol: {protocol}",
                    declared.number
                ),
                command,
            );
    }
    finding.fix_command(
        format!(
            "set protocol: {} on port {} of Service {name}",
            declared.protocol,
            ports::shown(port)
        ),
        command("kubectl edit service {} -n {}", &[&name, &namespace]),
    )
}

fn shown(target: &IntOrString) -> String {
    match target {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    }
}

fn numbered(
    view: &View<'_>,
    needs: &mut Needs,
    service: &Service,
    port: &ServicePort,
    number: i32,
    behind: &[(&Workload<'_>, &PodSpec)],
) -> Option<Finding> {
    let protocol = ports::protocol(port.protocol.as_ref());
    // What is declared is for people to read; who declares nothing has said nothing.
    let all: Vec<Vec<Declared<'_>>> = behind.iter().map(|(_, spec)| ports::declared(spec)).collect();
    let fits = |declared: &Vec<Declared<'_>>| declared.is_empty() || declared.iter().any(|d| d.number == number && d.protocol == protocol);
    if all.iter().any(fits) {
        return None;
    }
    let declared = declared_by_all(behind);
    let workload = behind.first().map(|(w, _)| w.reference.clone())?;
    if let Some(other) = declared.iter().find(|d| d.number == number) {
        // DNS and QUIC are offered over both, and often only one of the two is declared.
        let both = ports::of_service(service)
            .iter()
            .any(|p| ports::target(p) == IntOrString::Int(number) && ports::protocol(p.protocol.as_ref()) != protocol);
        return (!both).then(|| {
            protocol_differs(view, needs, service, port, other, Confidence::Likely)
                .related("target", workload)
                .breaking(service_effect(service))
        });
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    Some(
        Finding::advice(
            cause::TargetPortMismatch::Declared,
            subject(service).port(port.port),
            format!(
                "Service {name} sends port {} to {number}, which no container of {} declares",
                ports::shown(port),
                workload.short()
            ),
        )
        .confidence(Confidence::Possible)
        .evidence(
            format!("service/{name}"),
            format!("port {} has targetPort: {number}", ports::shown(port)),
        )
        .evidence(workload.short(), format!("its containers declare {}", list(&declared)))
        .related("target", workload)
        .fix_command(
            "if the application listens on the declared port, make targetPort the same; declare the port otherwise",
            command("kubectl edit service {} -n {}", &[&name, &namespace]),
        ),
    )
}
