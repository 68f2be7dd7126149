//! The port truth table: what is declared, asked, sent to, and really listens.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::listening::dials::{made_dial, passes_probe};
use crate::facts::listening::mesh::{is_mesh, mesh};
use crate::facts::listening::pods::representatives;
use crate::facts::listening::{hints, uses};
use crate::model::dial::Reply;
use crate::model::finding::Confidence;
use crate::model::report::{Listener, PortRow};
use crate::view::{Role, View, Workload, containers};

/// The rows of one pod of each revision of a workload.
pub fn rows(view: &View<'_>, workload: &Workload<'_>) -> Vec<PortRow> {
    let mut rows = Vec::new();
    for pod in representatives(view, workload) {
        let namespace = pod.namespace().unwrap_or_default();
        let sockets = view.snapshot.sockets(&namespace, &pod.name_any()).flatten();
        let used = uses::of_pod(view, pod);
        for port in &used {
            let container = port.container(view, pod);
            // What the sidecar of a mesh opens for itself says nothing about the application.
            if port.services.is_empty() && container.is_some_and(|c| is_mesh(&c)) {
                continue;
            }
            let mut row = PortRow {
                workload: workload.reference.clone(),
                pod: pod.name_any(),
                container: container.map(|c| c.name().to_owned()).unwrap_or_default(),
                port: port.port,
                protocol: port.protocol.to_owned(),
                declared: !port.declared.is_empty(),
                probed_by: port.probes.iter().map(|(which, ..)| which.word().to_owned()).collect(),
                targeted_by: port
                    .services
                    .iter()
                    .map(|(s, p)| format!("service/{}:{}", s.name_any(), p.port))
                    .collect(),
                ingresses: port.ingresses.clone(),
                listens: Vec::new(),
                answer: String::new(),
            };
            row.probed_by.dedup();
            if let Some(sockets) = sockets {
                let mine = sockets
                    .sockets
                    .iter()
                    .filter(|s| s.port == port.port && s.protocol == port.protocol);
                row.listens = mine
                    .map(|s| Listener {
                        address: s.address.to_string(),
                        container: s.container.clone(),
                        known_by: "socket".to_owned(),
                    })
                    .collect();
            } else if let Some(container) = container.filter(|_| port.protocol == "TCP") {
                let said = hints::of_container(view, &container);
                row.listens = said
                    .iter()
                    .filter(|hint| hint.port == Some(port.port) && !hint.is_udp())
                    .map(|hint| Listener {
                        address: hint.bind.to_string(),
                        container: Some(container.name().to_owned()),
                        known_by: hint.source_word().to_owned(),
                    })
                    .collect();
                row.listens.sort();
                row.listens.dedup();
            }
            row.answer = match made_dial(view, pod, port) {
                Some(dial) if dial.address.listens() => "answers".to_owned(),
                Some(dial) if dial.address == Reply::Refused && dial.inside.listens() => "inside the pod only".to_owned(),
                Some(dial) if dial.address == Reply::Refused || dial.inside == Reply::Refused => "refuses".to_owned(),
                Some(dial) if dial.address == Reply::TimedOut && dial.inside == Reply::Silent => "accepts, no answer".to_owned(),
                Some(dial) if dial.inside.listens() => "accepts inside the pod".to_owned(),
                Some(dial) if dial.address == Reply::TimedOut => "no answer".to_owned(),
                _ if port.is_used() && container.is_some() && passes_probe(pod, port.port) => "passes its probe".to_owned(),
                _ if port.is_used() => mesh(pod).map_or(String::new(), |sidecar| format!("not tried: {sidecar} answers in its place")),
                _ => String::new(),
            };
            rows.push(row);
        }
        if sockets.is_none() {
            rows.extend(told(view, workload, pod, &used));
        }
        // What listens without anybody using or declaring it.
        for socket in sockets.into_iter().flat_map(|s| &s.sockets) {
            if used.iter().any(|u| u.port == socket.port && u.protocol == socket.protocol) {
                continue;
            }
            let listener = Listener {
                address: socket.address.to_string(),
                container: socket.container.clone(),
                known_by: "socket".to_owned(),
            };
            rows.push(unused(workload, pod, socket.port, &socket.protocol, listener));
        }
    }
    rows.sort_by(|a, b| (&a.pod, a.port, &a.protocol).cmp(&(&b.pod, b.port, &b.protocol)));
    rows
}

/// Ports that a container says that it listens on, or was surely told to, and that nobody uses or declares.
fn told(view: &View<'_>, workload: &Workload<'_>, pod: &Pod, used: &[uses::Use<'_>]) -> Vec<PortRow> {
    let mut rows: Vec<PortRow> = Vec::new();
    let serving = containers(pod).into_iter().filter(|c| c.role != Role::Init && !is_mesh(c));
    for container in serving {
        for hint in hints::of_container(view, &container) {
            let Some(port) = hint.port.filter(|port| used.iter().all(|u| u.port != *port)) else {
                continue;
            };
            if hint.strength > Confidence::Likely || hint.is_udp() {
                continue;
            }
            let listener = Listener {
                address: hint.bind.to_string(),
                container: Some(container.name().to_owned()),
                known_by: hint.source_word().to_owned(),
            };
            match rows.iter_mut().find(|row| row.port == port && row.container == container.name()) {
                Some(row) => row.listens.push(listener),
                None => rows.push(unused(workload, pod, port, "TCP", listener)),
            }
        }
    }
    for row in &mut rows {
        row.listens.sort();
        row.listens.dedup();
    }
    rows
}

/// A port that listens and that nobody declares or uses.
fn unused(workload: &Workload<'_>, pod: &Pod, port: u16, protocol: &str, listener: Listener) -> PortRow {
    PortRow {
        workload: workload.reference.clone(),
        pod: pod.name_any(),
        container: listener.container.clone().unwrap_or_default(),
        port,
        protocol: protocol.to_owned(),
        declared: false,
        probed_by: Vec::new(),
        targeted_by: Vec::new(),
        ingresses: Vec::new(),
        listens: vec![listener],
        answer: String::new(),
    }
}
