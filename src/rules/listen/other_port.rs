//! Where nobody listens on a used port: the port that listens in its place, or was meant.

use k8s_openapi::api::core::v1::Pod;

use super::fault::{Fault, Named};
use super::hints;
use super::look::{self, Look, Standing, dial_key};
use super::uses::{self, Use};
use crate::model::dial::{DialKey, Reply, Speech};
use crate::model::finding::Confidence;
use crate::rules::Context;

/// Nobody listens on the port: does another one listen in its place? None where that is still to be seen.
pub(super) fn nothing<'a>(
    context: &Context<'a>,
    pod: &'a Pod,
    used: &Use<'a>,
    look: &Look<'_>,
    confidence: Confidence,
) -> Option<Fault<'a>> {
    let all = uses::of_pod(context, pod);
    let container = used.container(context, pod)?;
    // A probe that asks the wrong port should ask the one that a Service uses; another probe's port is that probe's own.
    let is_free = |port: u16| {
        let mut others = all.iter().filter(|other| other.port == port && other.is_used());
        !others.any(|other| !used.services.is_empty() || !other.probes.is_empty())
    };
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
        return Some(Fault::Nothing(confidence, None));
    }
    let mut open = false;
    let mut instead_of_it = None;
    for other in all.iter().filter(|other| {
        container.is_running() && (may_stand_in(used, other, &all, container.name()) || serves(context, pod, used, other, &all))
    }) {
        if look::passes_probe(pod, other.port) {
            instead_of_it = Some((other.port, format!("port {} passes its readiness probe", other.port)));
            break;
        }
        let Some(dial) = context.dial(dial_key(pod, other)) else {
            open |= context.options.dial;
            continue;
        };
        let plain = other.speech().0 == Speech::Plain && dial.inside.listens();
        if dial.address.listens() || plain {
            instead_of_it = Some((other.port, format!("port {} accepts connections", other.port)));
            break;
        }
    }
    if let Some((port, how)) = instead_of_it {
        return Some(instead(used, port, Confidence::Proven, how));
    }
    if open {
        return None;
    }
    let Some((hint, port)) = named(look, used, is_free).and_then(|hint| Some((hint, hint.port?))) else {
        return Some(Fault::Nothing(confidence, None));
    };
    // Whoever is still starting may open the ports one after the other.
    let may_be_asked = container.is_running() && look.standing != Standing::Starting;
    let key = DialKey {
        port,
        ..dial_key(pod, used)
    };
    let dial = if may_be_asked { context.dial(key) } else { None };
    let is_plain = used.speech().0 == Speech::Plain;
    let refuses = dial.is_some_and(|dial| dial.address == Reply::Refused || is_plain && dial.inside == Reply::Refused);
    let says = format!("{} says: {}", hint.place(), hint.detail);
    match dial {
        Some(dial) if dial.address.listens() || is_plain && dial.inside.listens() => {
            let how = format!("{says}; port {port} accepts connections");
            Some(Fault::OtherPort(Confidence::Proven, port, how))
        }
        _ if hint.is_of_log() && !refuses => Some(Fault::OtherPort(Confidence::Likely, port, says)),
        _ => {
            let hint = hint.clone();
            Some(Fault::Nothing(confidence, Some(Named { hint, port, refuses })))
        }
    }
}

/// The other port that the container says that it listens on, or was told to, and that has no purpose of its own.
fn named<'l>(look: &'l Look<'_>, used: &Use<'_>, is_free: impl Fn(u16) -> bool) -> Option<&'l hints::Hint> {
    if used.protocol != "TCP" {
        return None;
    }
    let counts = |hint: &&hints::Hint| {
        !hint.bind.is_loopback()
            && !hint.is_udp()
            && hint.port.is_some_and(|port| port != used.port && is_free(port))
            && (!hint.is_of_log() || hint.strength <= Confidence::Likely)
            && !uses::is_side_port(&hint.detail)
    };
    let is_silent_on_it = |hint: &&hints::Hint| hint.is_of_log() || !look.hints.iter().any(|h| h.port == Some(used.port));
    let mut all: Vec<&hints::Hint> = look.hints.iter().filter(counts).filter(is_silent_on_it).collect();
    // What the program itself says comes first.
    all.sort_by_key(|hint| !hint.is_of_log());
    all.first().copied()
}

/// Whether another port of the container may be the one that is meant: nobody ever said that the container would listen on the used one, the
/// other one is declared or used and has no purpose of its own, and no further port is in the same plight.
fn may_stand_in(used: &Use<'_>, other: &Use<'_>, all: &[Use<'_>], container: &str) -> bool {
    let is_own = other
        .declared
        .iter()
        .any(|d| d.container == container && !uses::is_side_port(d.name));
    let undeclared = |u: &&Use<'_>| u.declared.is_empty() && u.is_used() && u.protocol == "TCP";
    let same_kind = if used.services.is_empty() {
        // A probe asks the wrong port: the one that a Service uses is a good answer.
        true
    } else {
        other.services.is_empty()
    };
    used.declared.is_empty()
        && other.port != used.port
        && other.protocol == "TCP"
        && is_own
        && same_kind
        && all.iter().filter(undeclared).count() == 1
}

/// Whether another port, which nobody declares and a Service uses, is the one that is meant: it is the only one of its kind, the used one is
/// the only one in its plight, and no Service sends to both.
fn serves<'a>(context: &Context<'a>, pod: &'a Pod, used: &Use<'a>, other: &Use<'a>, all: &[Use<'a>]) -> bool {
    let (Some(own), Some(its)) = (used.container(context, pod), other.container(context, pod)) else {
        return false;
    };
    let names = |u: &Use<'_>| {
        u.services
            .iter()
            .any(|(_, port)| port.name.as_deref().is_some_and(uses::is_side_port))
    };
    let is_like = |u: &&Use<'_>| u.declared.is_empty() && !u.services.is_empty() && u.protocol == "TCP" && u.port != used.port;
    let to_both = used
        .services
        .iter()
        .any(|(service, _)| other.services.iter().any(|(s, _)| std::ptr::eq(*s, *service)));
    let in_plight = all
        .iter()
        .filter(|u| u.is_used() && u.declared.is_empty() && u.port != other.port)
        .count();
    used.declared.is_empty()
        && used.protocol == "TCP"
        && is_like(&other)
        && own.name() == its.name()
        && !(to_both || names(used) || names(other))
        && all.iter().filter(is_like).count() == 1
        && in_plight == 1
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
