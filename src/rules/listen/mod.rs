//! Who really listens on the ports that Services, Ingresses and probes use: the reach ladder.
//!
//! A server on a loopback address is Running, often Ready, and nobody reaches it. It is proven by a dial pair, by the sockets inside of the
//! pod, or by the kubelet's refusal together with a dial from inside; command line, environment and log only make it likely.

pub mod bind;
pub mod command;
pub mod config_lines;
pub mod environment;
mod fault;
pub mod fixes;
pub mod hints;
pub mod log_lines;
mod look;
mod mesh;
mod other_port;
pub mod servers;
pub mod shell;
pub mod table;
pub mod told;
mod unsettled;
mod uses;
pub mod variables;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use kube::ResourceExt;

use fault::{Fault, finding};
use look::{Standing, dial_key, look};
use mesh::mesh;
use other_port::nothing;
pub use unsettled::unsettled;
use uses::Use;
pub use uses::probe_port;

use super::Context;
use super::context::{ContainerView, Role, Workload, containers, has_ended, is_ready, is_terminating, revision};
use super::ports;
use super::probes::message::Which;
use super::probes::was_killed;
use crate::model::code::Code;
use crate::model::dial::{DialKey, Reply, Speech};
use crate::model::finding::{Confidence, Finding};

/// What is spoken on a port of a pod, the path that is asked for, and whether an HTTP probe asks for it there.
pub fn spoken(context: &Context<'_>, pod: &Pod, port: u16) -> (Speech, String, bool) {
    let used = uses::of_pod(context, pod).into_iter().find(|used| used.port == port);
    used.map_or((Speech::Http, "/".to_owned(), false), |used| {
        let (speech, path) = used.speech();
        let by_probe = used.probes.iter().any(|(_, probe, _)| probe.http_get.is_some());
        (speech, path, by_probe)
    })
}

/// What is known about a port that somebody asks about, whether or not a Service or a probe counts on it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Somebody listens there, and what shows it in words.
    Listens(&'static str),
    /// It does not answer as it should: the finding that says so.
    Fault(Box<Finding>),
    /// It accepts connections from inside of the pod; from outside nobody has tried.
    Inside,
    /// Nobody listens there yet, and the container is still starting.
    Starting,
    /// Nothing tells.
    Unknown,
}

/// Looks at one port of a pod by the same rules as at those that are used.
pub fn answer<'a>(context: &Context<'a>, pod: &'a Pod, port: u16, protocol: &str) -> Answer {
    let protocol = ["TCP", "UDP", "SCTP"].into_iter().find(|p| *p == protocol).unwrap_or("TCP");
    let mut all = uses::of_pod(context, pod).into_iter();
    let used = all.find(|used| used.port == port && used.protocol == protocol);
    let used = used.unwrap_or_else(|| Use::unknown(port, protocol));
    let workload = context.workload(&context.workload_of(pod));
    let (Some(workload), Some(container)) = (workload, used.container(context, pod)) else {
        return Answer::Unknown;
    };
    // A mesh's proxy answers in the application's place, and nobody is there to be asked where nothing runs.
    if protocol == "SCTP" || mesh(pod).is_some() || !(container.is_running() || is_killed_by_probe(context, &container)) {
        return Answer::Unknown;
    }
    let seen = look(context, pod, &container, &used);
    match (seen.standing, judge(context, workload, pod, &used)) {
        (_, Some(finding)) => Answer::Fault(Box::new(finding)),
        (Standing::Reachable, None) => Answer::Listens(match seen.dial {
            _ if look::passes_probe(pod, port) => "its readiness probe gets an answer there",
            Some(dial) if dial.address.listens() => "it accepts connections there",
            _ => "a socket listens there",
        }),
        (Standing::Starting, None) => Answer::Starting,
        (_, None) if seen.dial.is_some_and(|dial| dial.inside.listens()) => Answer::Inside,
        _ => Answer::Unknown,
    }
}

/// The service whose health is asked for on a port of a pod by the gRPC health protocol, and whether a probe asks for it: else `appProtocol`
/// or a name says only that gRPC, or HTTP/2 without TLS, is spoken there. None where nothing says so.
pub fn health_asked(context: &Context<'_>, pod: &Pod, port: u16) -> Option<(String, bool)> {
    let used = uses::of_pod(context, pod).into_iter().find(|used| used.port == port)?;
    let mut probes: Vec<_> = used.probes.iter().filter(|(_, probe, _)| probe.grpc.is_some()).collect();
    probes.sort_by_key(|(which, ..)| *which != Which::Readiness);
    if let Some(grpc) = probes.first().and_then(|(_, probe, _)| probe.grpc.as_ref()) {
        return Some((grpc.service.clone().unwrap_or_default(), true));
    }
    let is_probed = used.probes.iter().any(|(_, probe, _)| probe.http_get.is_some());
    let is_named = used
        .services
        .iter()
        .any(|(_, of)| of.app_protocol.as_deref().or(of.name.as_deref()).is_some_and(uses::says_grpc));
    (is_named && !is_probed).then(|| (String::new(), false))
}

/// What a port of a Service says of itself, where there is no pod to look at: what is spoken, and whether that is gRPC.
pub fn spoken_by_port(port: &ServicePort) -> (Speech, bool) {
    let words = || port.app_protocol.as_deref().into_iter().chain(port.name.as_deref());
    let is_health = words().next().is_some_and(uses::says_grpc);
    (
        uses::speech_of_port(words(), u16::try_from(port.port).unwrap_or_default()),
        is_health,
    )
}

/// Ports that are used and do not answer, of one pod of each revision.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for workload in context.workloads() {
        for pod in representatives(context, workload) {
            if mesh(pod).is_some() {
                // What listens can be seen where it may be looked at; whether others get there is the mesh's affair.
                context.sockets(pod);
                continue;
            }
            for used in uses::of_pod(context, pod).into_iter().filter(Use::is_used) {
                found.extend(judge(context, workload, pod, &used));
            }
        }
    }
    found
}

/// One pod that runs for each revision: an unready one where there is one, because it may be the one that nobody reaches.
fn representatives<'a>(context: &Context<'_>, workload: &Workload<'a>) -> Vec<&'a Pod> {
    let mut chosen: Vec<&'a Pod> = Vec::new();
    for &pod in &workload.pods {
        let lives = |c: &ContainerView<'_>| c.is_running() || is_killed_by_probe(context, c);
        let runs = containers(pod).iter().any(|c| c.role == Role::App && lives(c));
        if has_ended(pod) || is_terminating(pod) || !runs {
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

/// The representatives in which the application itself answers.
fn reached<'a>(context: &Context<'_>, workload: &Workload<'a>) -> Vec<&'a Pod> {
    let mut pods = representatives(context, workload);
    pods.retain(|pod| mesh(pod).is_none());
    pods
}

/// Whether a container waits for its next life because a probe of the kubelet had it killed.
fn is_killed_by_probe(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    let by = |which: Which| which.of(container.spec).is_some() && was_killed(context, container, which);
    !container.is_running() && container.restarts() > 0 && [Which::Startup, Which::Liveness].into_iter().any(by)
}

fn judge<'a>(context: &Context<'a>, workload: &Workload<'a>, pod: &'a Pod, used: &Use<'a>) -> Option<Finding> {
    let container = used.container(context, pod)?;
    if used.protocol == "SCTP" || !(container.is_running() || is_killed_by_probe(context, &container)) {
        return None;
    }
    let look = look(context, pod, &container, used);
    let fault = match look.standing {
        Standing::Loopback(confidence, bind) => Fault::Loopback(confidence, bind),
        Standing::Nothing(confidence) => nothing(context, pod, used, &look, confidence)?,
        // A probe that kills leaves no time to be patient; a port that listens instead explains it all the same.
        Standing::Unknown if look.refused.is_some() => match nothing(context, pod, used, &look, Confidence::Likely)? {
            Fault::Nothing(..) => return None,
            other => other,
        },
        Standing::OtherFamily(confidence) => Fault::OtherFamily(confidence),
        Standing::Hangs => Fault::Hangs,
        Standing::Fails(status) => Fault::Fails(status),
        // The port that is open instead explains it at once; without one it may still come.
        Standing::Starting => match nothing(context, pod, used, &look, Confidence::Likely)? {
            fault @ (Fault::TargetPort(..) | Fault::OtherPort(Confidence::Proven, ..)) => fault,
            _ => return None,
        },
        Standing::Reachable | Standing::Unknown => return None,
    };
    Some(finding(context, workload, pod, &container, used, &look, &fault))
}

/// Whether a Service sends to a number on which nobody listens while the declared one does: then that is told, and no mere hint beside it.
pub fn is_mismatch_proven(context: &Context<'_>, service: &Service, port: &ServicePort) -> bool {
    ports::workloads_behind(context, service).into_iter().any(|workload| {
        reached(context, workload).into_iter().any(|pod| {
            let all = uses::of_pod(context, pod);
            let used = all
                .iter()
                .find(|u| u.services.iter().any(|(s, p)| std::ptr::eq(*s, service) && p.port == port.port));
            used.and_then(|used| judge(context, workload, pod, used))
                .is_some_and(|finding| finding.code != Code::ApplicationError)
        })
    })
}

/// A used port that a running pod of the workload has not opened yet, and still has time to.
pub fn starting(context: &Context<'_>, workload: &Workload<'_>) -> Option<u16> {
    reached(context, workload).into_iter().find_map(|pod| {
        let uses = uses::of_pod(context, pod);
        let is_late = |used: &&Use<'_>| {
            let container = used.container(context, pod);
            container.is_some_and(|c| c.is_running() && look(context, pod, &c, used).standing == Standing::Starting)
                && judge(context, workload, pod, used).is_none()
        };
        uses.iter().filter(|used| used.is_used()).find(is_late).map(|used| used.port)
    })
}

/// Whether dials say that nobody listens in a container: all that were made of the ports that others count on were refused.
pub fn opens_nothing(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    let pod = container.pod;
    // Of most pods nobody has dialled a port, because their probes pass.
    if !context.snapshot.was_dialled(&pod.namespace().unwrap_or_default(), &pod.name_any()) {
        return false;
    }
    let is_own = |used: &Use<'_>| {
        let of = used.container(context, pod);
        used.is_used() && used.protocol == "TCP" && of.is_some_and(|c| c.name() == container.name())
    };
    let mut refused = false;
    for used in uses::of_pod(context, pod).iter().filter(|used| is_own(used)) {
        if look::passes_probe(pod, used.port) {
            return false;
        }
        let Some(dial) = made_dial(context, pod, used) else { continue };
        match (&dial.address, &dial.inside) {
            (Reply::Refused, Reply::Refused | Reply::Untried) | (Reply::Untried, Reply::Refused) => refused = true,
            _ => return false,
        }
    }
    refused
}

/// Whether somebody else than its probes counts on a port of a container: the container declares it or was told to listen on it, or a Service
/// leads there.
pub fn is_meant(context: &Context<'_>, container: &ContainerView<'_>, port: u16) -> bool {
    let counts_on = |used: &Use<'_>| {
        let is_declared = used.declared.iter().any(|d| d.container == container.name());
        used.port == port && used.protocol == "TCP" && (is_declared || !used.services.is_empty())
    };
    let is_told = || {
        let hints = hints::of_container(context, container);
        hints
            .iter()
            .any(|hint| hint.port == Some(port) && !hint.is_of_log() && !hint.is_udp() && !hint.bind.is_loopback())
    };
    uses::of_pod(context, container.pod).iter().any(counts_on) || is_told()
}

/// Whether another used port of a container is known to be open at present.
pub fn opens_another(context: &Context<'_>, container: &ContainerView<'_>, port: u16) -> bool {
    let pod = container.pod;
    let is_own = |used: &Use<'_>| used.container(context, pod).is_some_and(|c| c.name() == container.name());
    let is_open = |used: &Use<'_>| {
        let dial = made_dial(context, pod, used);
        look::passes_probe(pod, used.port) || dial.is_some_and(|dial| dial.address.listens() || dial.inside.listens())
    };
    let others = uses::of_pod(context, pod);
    let mut others = others.iter().filter(|used| used.port != port && used.is_used());
    others.any(|used| is_own(used) && is_open(used))
}

/// Whether a container's log says that it listens somewhere; a log counts where it was read already.
pub fn says_that_it_listens(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    hints::of_container(context, container).iter().any(hints::Hint::is_of_log)
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
