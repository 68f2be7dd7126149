//! Who really listens on the ports that Services, Ingresses and probes use: the reach ladder.
//!
//! A server on a loopback address is Running, often Ready, and nobody reaches it. It is proven by a dial pair, by the sockets inside of the
//! pod, or by the kubelet's refusal together with a dial from inside; command line, environment and log only make it likely.

mod fault;
pub(crate) mod fixes;
pub(crate) mod table;
mod unsettled;

pub use fault::finding;
pub use unsettled::unsettled;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::listening::dials::{made_dial, passes_probe};
use crate::facts::listening::fault::{PortAnswer, answer, of_start};
use crate::facts::listening::mesh::mesh;
use crate::facts::listening::pods::representatives;
use crate::facts::listening::uses;
use crate::facts::listening::uses::Use;
use crate::model::finding::{Effect, Finding};
use crate::text::sanitise;
use crate::view::{Needs, Out, View, Workload, is_ready, revision};

/// Ports that are used and do not answer: of one pod of each revision, and in a small run of some others.
pub fn check(view: &View<'_>, out: &mut Out) {
    let is_small = view.workloads().filter(|workload| view.is_asked_about(workload)).count() <= FEW_WORKLOADS;
    for workload in view.workloads() {
        for pod in representatives(view, workload) {
            if mesh(pod).is_some() {
                // The sidecar answers in the application's place: only the sockets show what listens.
                out.needs.ask_sockets(view, pod);
                continue;
            }
            let others = like(workload, pod);
            let all = uses::of_pod(view, pod);
            // A Service with the wrong protocol has its own finding.
            let is_fit = |used: &&Use<'_>| used.is_used() && !used.is_declared_otherwise(&all);
            for used in all.iter().filter(is_fit).cloned() {
                let (port, protocol, is_of_service) = (used.port, used.protocol, !used.services.is_empty());
                if let Some((faulty, settles)) = of_start(view, &mut out.needs, pod, used) {
                    let found = finding(view, &faulty);
                    let serving = others.iter().find(|other| serves(view, &mut out.needs, other, port, protocol));
                    out.findings.push(beside(found, pod, serving.copied()).settling(settles));
                } else if is_small && is_ready(pod) && is_of_service && serves(view, &mut out.needs, pod, port, protocol) {
                    // Who starts with the same template may still listen elsewhere.
                    for other in &others {
                        let mut all = uses::of_pod(view, other).into_iter();
                        let used = all.find(|used| used.port == port && used.protocol == protocol);
                        if let Some((faulty, settles)) = used.and_then(|used| of_start(view, &mut out.needs, other, used)) {
                            out.findings
                                .push(beside(finding(view, &faulty), other, Some(pod)).settling(settles));
                        }
                    }
                }
            }
        }
    }
}

/// One pod of several: a Service whose other endpoints answer still serves.
fn beside(mut finding: Finding, pod: &Pod, serving: Option<&Pod>) -> Finding {
    let Some(other) = serving else { return finding };
    finding.effects.retain(|effect| !matches!(effect, Effect::Service(..)));
    finding.summary = format!("pod {}: {}", sanitise(&pod.name_any()), finding.summary);
    finding.evidence(format!("pod/{}", other.name_any()), "answers on the same port")
}

/// In a run over more workloads than these, one pod stands for all of its revision.
const FEW_WORKLOADS: usize = 20;
/// How many other pods of a revision are asked.
const MOST_OTHERS: usize = 2;

/// The first few other ready pods of the same revision.
fn like<'a>(workload: &Workload<'a>, pod: &Pod) -> Vec<&'a Pod> {
    let is_other = |other: &&&Pod| is_ready(other) && revision(other) == revision(pod) && other.metadata.name != pod.metadata.name;
    workload.pods.iter().filter(is_other).take(MOST_OTHERS).copied().collect()
}

/// Whether a port of a pod is answered. A first refusal says enough of a pod that is only compared: it is not looked into. Where nothing can be
/// connected to, nothing but its probe tells.
fn serves<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, port: u16, protocol: &str) -> bool {
    if !(view.options.dial || view.options.sockets) {
        return passes_probe(pod, port);
    }
    let all = uses::of_pod(view, pod);
    let used = all.iter().find(|used| used.port == port && used.protocol == protocol);
    let dial = used.and_then(|used| made_dial(view, pod, used));
    dial.is_none_or(|dial| dial.address.listens()) && matches!(answer(view, needs, pod, port, protocol), PortAnswer::Listens(_))
}

#[cfg(test)]
mod tests;
