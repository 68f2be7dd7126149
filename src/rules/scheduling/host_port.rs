//! Host ports that are taken.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::ending::edit_template;
use crate::facts::provided;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::text::shorten;
use crate::view::{View, has_ended};

fn host_ports(pod: &Pod) -> BTreeSet<(i32, String)> {
    let spec = pod.spec.as_ref();
    let on_host = spec.and_then(|s| s.host_network) == Some(true);
    let containers = spec
        .into_iter()
        .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()));
    containers
        .flat_map(|c| c.ports.iter().flatten())
        .filter_map(|port| {
            // With hostNetwork every container port is one of the node's.
            let number = port.host_port.filter(|n| *n > 0).or(on_host.then_some(port.container_port))?;
            Some((number, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())))
        })
        .collect()
}

/// The finding about a pod whose host port is taken, with who holds it where that can be seen.
pub fn conflict(view: &View<'_>, pod: &Pod, message: &str) -> Finding {
    let wanted = host_ports(pod);
    let workload = view.workload_of(pod);
    let holders: Vec<(&Pod, i32)> = view
        .snapshot
        .objects
        .pods
        .iter()
        .filter(|other| other.metadata.uid != pod.metadata.uid && !has_ended(other))
        .filter(|other| other.spec.as_ref().is_some_and(|s| s.node_name.is_some()))
        .filter_map(|other| host_ports(other).intersection(&wanted).next().map(|(port, _)| (other, *port)))
        .collect();
    let ports: Vec<String> = wanted.iter().map(|(number, _)| number.to_string()).collect();
    let ports = ports.join(", ");
    let who = match holders.first() {
        Some((holder, port)) if view.workload_of(holder) == workload => format!(
            "another pod of the same workload holds port {port} of {}, and one node has it only once",
            holder.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or("its node")
        ),
        Some((holder, port)) => format!(
            "pod {} in namespace {} holds port {port}",
            holder.name_any(),
            holder.namespace().unwrap_or_default()
        ),
        None => "another pod holds it on every node that fits".to_owned(),
    };
    let mut finding = Finding::error(
        Code::HostPortConflict,
        view.pod_subject(pod),
        format!("the pod needs host port {ports}, which is taken: {who}"),
    )
    .evidence(format!("pod/{} status", pod.name_any()), shorten(message, 200))
    .breaking(Effect::NotReady(workload.clone()));
    if let Some((holder, _)) = holders.first() {
        finding = finding.related(
            "holder",
            ObjectRef::new(&kind::POD, &holder.namespace().unwrap_or_default(), &holder.name_any()),
        );
    }
    let node_of = |pod: &Pod| pod.spec.as_ref().and_then(|s| s.node_name.clone());
    let holder = holders.first().and_then(|(holder, port)| Some((node_of(holder)?, *port)));
    let older = holder.and_then(|(node, port)| {
        let holds = |other: &Pod| node_of(other).as_ref() == Some(&node) && host_ports(other).iter().any(|(number, _)| *number == port);
        provided::older(view, pod, holds, &format!("holds port {port} of {node}"))
    });
    if let Some(older) = older {
        return older.explain(view, pod, finding);
    }
    finding.fix_command(
        "use a Service instead of the host port, choose another port, or run no more pods than nodes",
        edit_template(&workload),
    )
}
