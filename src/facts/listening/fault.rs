//! What is wrong with the ports that others use: a listener on the loopback, none at all, or another port that listens in its place.

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};

use crate::facts::listening::bind::Bind;
use crate::facts::listening::dials::{dial_key, made_dial, passes_probe};
use crate::facts::listening::hints::Hint;
use crate::facts::listening::look;
use crate::facts::listening::look::{ListenerState, Look, look};
use crate::facts::listening::mesh::mesh;
use crate::facts::listening::pods::{is_killed_by_probe, reached};
use crate::facts::listening::uses::Use;
use crate::facts::listening::{command, uses};
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::finding::{Confidence, Settles};
use crate::view::{ContainerView, Needs, View, Workload, is_ready, ports};

/// Stands in the evidence where nothing but the server that listens elsewhere may still open the port.
pub const ALONE: &str = "the command runs no other program";

/// What is wrong with a used port, and the port that listens instead.
pub enum Fault<'a> {
    /// Only processes of the same pod reach it.
    Loopback(Confidence, Bind),
    /// Nothing listens here, and the container is configured to listen on another port.
    Nothing(Confidence, Option<Named>),
    /// Another port listens, and what shows it.
    OtherPort(Confidence, u16, String),
    /// The Service's number is not the one that is declared, and the declared one listens.
    TargetPort(&'a Service, &'a ServicePort, u16),
    /// It listens for the other IP family than its clients use.
    OtherFamily(Confidence),
    /// It answers with this status, which says that it does not work.
    Fails(u16),
}

/// Another port that the container is configured to listen on.
pub struct Named {
    /// What says so.
    pub hint: Hint,
    /// The port.
    pub port: u16,
    /// Nobody listens there either.
    pub refuses: bool,
}

/// A used port that does not answer as it should, with all that was seen of it.
pub struct Faulty<'a> {
    /// The container that should listen there.
    pub container: ContainerView<'a>,
    /// The port, and who uses it.
    pub used: Use<'a>,
    /// What was seen of it.
    pub look: Look<'a>,
    /// What is wrong.
    pub fault: Fault<'a>,
}

/// What is known about a port, whether or not a Service or a probe uses it.
pub enum PortAnswer<'a> {
    /// Somebody listens there, and what shows it in words.
    Listens(&'static str),
    /// It does not answer as it should.
    Fault(Box<Faulty<'a>>),
    /// It accepts connections from inside the pod; from outside nobody has tried.
    Inside,
    /// It accepts connections, and no answer came in time.
    Silent,
    /// Nobody listens there yet, and the container is still starting.
    Starting,
    /// Nothing tells.
    Unknown,
}

/// Looks at one port of a pod by the same rules as at those that are used.
pub fn answer<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, port: u16, protocol: &str) -> PortAnswer<'a> {
    let protocol = ["TCP", "UDP", "SCTP"].into_iter().find(|p| *p == protocol).unwrap_or("TCP");
    let mut all = uses::of_pod(view, pod).into_iter();
    let used = all.find(|used| used.port == port && used.protocol == protocol);
    let used = used.unwrap_or_else(|| Use::unknown(port, protocol));
    // A mesh's proxy answers in the application's place.
    if mesh(pod).is_some() || view.workload(&view.workload_of(pod)).is_none() {
        return PortAnswer::Unknown;
    }
    let Some((container, seen)) = look_at(view, needs, pod, &used) else {
        return PortAnswer::Unknown;
    };
    match (&seen.standing, fault(view, needs, pod, &used, &seen)) {
        (_, Some(fault)) => PortAnswer::Fault(Box::new(Faulty {
            container,
            used,
            look: seen,
            fault,
        })),
        (ListenerState::Reachable, None) => PortAnswer::Listens(match seen.dial {
            _ if passes_probe(pod, port) => "its readiness probe gets an answer there",
            Some(dial) if dial.address.listens() => "it accepts connections there",
            _ => "a socket listens there",
        }),
        (ListenerState::Starting, None) => PortAnswer::Starting,
        (_, None) if seen.is_silent() => PortAnswer::Silent,
        (_, None) if seen.dial.is_some_and(|dial| dial.inside.listens()) => PortAnswer::Inside,
        _ => PortAnswer::Unknown,
    }
}

/// What is wrong with a used port of a pod, where something is.
pub fn of_use<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, used: Use<'a>) -> Option<Faulty<'a>> {
    let (container, look) = look_at(view, needs, pod, &used)?;
    let fault = fault(view, needs, pod, &used, &look)?;
    Some(Faulty {
        container,
        used,
        look,
        fault,
    })
}

/// What a used port of a pod lacks, and whether it may still come: a server that is starting opens its port late.
pub fn of_start<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, used: Use<'a>) -> Option<(Faulty<'a>, Settles)> {
    let (container, look) = look_at(view, needs, pod, &used)?;
    let (fault, settles) = match fault(view, needs, pod, &used, &look) {
        Some(fault) => (fault, Settles::Never),
        None if look.standing == ListenerState::Starting => {
            let fault = nothing(view, needs, pod, &used, &look, Confidence::Likely)?;
            // What is not expected, and whose server has said where it listens, does not come.
            let has_spoken = matches!(fault, Fault::OtherPort(..)) && !is_expected(&container, &used);
            (
                fault,
                if has_spoken {
                    Settles::Never
                } else {
                    look::start(view, &container)
                },
            )
        }
        None => return None,
    };
    let is_late = settles == Settles::Never && look.standing == ListenerState::Starting && matches!(fault, Fault::Nothing(..));
    (!is_late).then_some((
        Faulty {
            container,
            used,
            look,
            fault,
        },
        settles,
    ))
}

/// Whether a port that is not open yet is expected to open: something in the spec promises it, or the container is not ready without it.
fn is_expected(container: &ContainerView<'_>, used: &Use<'_>) -> bool {
    !used.declared.is_empty() || !used.probes.is_empty() || !container.is_ready()
}

/// The container that should listen on a port, and what is seen of it; none where nothing runs that could be asked.
fn look_at<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, used: &Use<'a>) -> Option<(ContainerView<'a>, Look<'a>)> {
    let container = used.container(view, pod)?;
    let is_asked = used.protocol != "SCTP" && (container.is_running() || is_killed_by_probe(view, &container));
    is_asked.then(|| (container, look(view, needs, pod, &container, used)))
}

fn fault<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, used: &Use<'a>, look: &Look<'a>) -> Option<Fault<'a>> {
    Some(match look.standing {
        ListenerState::Loopback(confidence, bind) => Fault::Loopback(confidence, bind),
        ListenerState::Nothing(confidence) => nothing(view, needs, pod, used, look, confidence)?,
        // A probe that kills leaves no time to be patient; a port that listens instead explains it all the same.
        ListenerState::Unknown if look.refused.is_some() => match nothing(view, needs, pod, used, look, Confidence::Likely)? {
            Fault::Nothing(..) => return None,
            other => other,
        },
        ListenerState::OtherFamily(confidence) => Fault::OtherFamily(confidence),
        ListenerState::Fails(status) => Fault::Fails(status),
        // The port that is open instead explains it at once; without one it may still come.
        ListenerState::Starting => match nothing(view, needs, pod, used, look, Confidence::Likely)? {
            fault @ (Fault::TargetPort(..) | Fault::OtherPort(Confidence::Proven, ..)) => fault,
            _ => return None,
        },
        ListenerState::Reachable | ListenerState::Unknown => return None,
    })
}

/// Whether a Service sends to a port without a listener while the declared port has one: that is the finding, and hints are left out.
pub fn is_mismatch_proven(view: &View<'_>, needs: &mut Needs, service: &Service, port: &ServicePort) -> bool {
    ports::workloads_behind(view, service).into_iter().any(|workload| {
        reached(view, workload).into_iter().any(|pod| {
            let all = uses::of_pod(view, pod);
            let leads = |u: &&Use<'_>| u.services.iter().any(|(s, p)| std::ptr::eq(*s, service) && p.port == port.port);
            all.iter()
                .find(leads)
                .filter(|used| !used.is_declared_otherwise(&all))
                .cloned()
                .and_then(|used| of_use(view, needs, pod, used))
                .is_some_and(|faulty| !matches!(faulty.fault, Fault::Fails(_)))
        })
    })
}

/// A used port that a running pod of the workload has not opened yet, and still has time to.
pub fn starting(view: &View<'_>, needs: &mut Needs, workload: &Workload<'_>) -> Option<u16> {
    first_used(view, needs, workload, |needs, pod, used, look| {
        look.standing == ListenerState::Starting && (used.protocol == "SCTP" || fault(view, needs, pod, used, look).is_none())
    })
}

/// A used port of HTTP that accepts connections and gave no answer in time: whether it serves cannot be told.
pub fn silent(view: &View<'_>, needs: &mut Needs, workload: &Workload<'_>) -> Option<u16> {
    first_used(view, needs, workload, |_, _, used, look| used.is_surely_http() && look.is_silent())
}

/// The first used port of a running container of the workload that looks like this.
fn first_used<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    workload: &Workload<'a>,
    mut is_it: impl FnMut(&mut Needs, &'a Pod, &Use<'a>, &Look<'a>) -> bool,
) -> Option<u16> {
    reached(view, workload).into_iter().find_map(|pod| {
        let all = uses::of_pod(view, pod);
        let mut uses = all.iter().filter(|used| used.is_used() && !used.is_declared_otherwise(&all));
        let looks_so = |used: &&Use<'a>| {
            let container = used.container(view, pod).filter(ContainerView::is_running);
            container.is_some_and(|c| {
                let look = look(view, needs, pod, &c, used);
                is_it(needs, pod, used, &look)
            })
        };
        uses.find(looks_so).map(|used| used.port)
    })
}

/// Nobody listens on the port: does another one listen in its place? None where that is still to be seen.
fn nothing<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    pod: &'a Pod,
    used: &Use<'a>,
    look: &Look<'_>,
    confidence: Confidence,
) -> Option<Fault<'a>> {
    let all = uses::of_pod(view, pod);
    let container = used.container(view, pod)?;
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
            return Some(instead(view, pod, used, other.port, how));
        }
        return Some(Fault::Nothing(confidence, None));
    }
    let mut open = false;
    let mut instead_of_it = None;
    for other in all.iter().filter(|other| {
        container.is_running() && (may_stand_in(used, other, &all, container.name()) || serves(view, pod, used, other, &all))
    }) {
        if passes_probe(pod, other.port) {
            instead_of_it = Some((other.port, format!("port {} passes its readiness probe", other.port)));
            break;
        }
        let Some(dial) = needs.dial(view, dial_key(pod, other)) else {
            open |= view.options.dial;
            continue;
        };
        let plain = other.speech().0 == Speech::Plain && dial.inside.listens();
        if dial.address.listens() || plain {
            instead_of_it = Some((other.port, format!("port {} accepts connections", other.port)));
            break;
        }
    }
    if let Some((port, how)) = instead_of_it {
        return Some(instead(view, pod, used, port, how));
    }
    if open {
        return None;
    }
    // The port that only a probe uses is often the one that the Service should send to as well.
    let is_unserved = |port: u16| !all.iter().any(|other| other.port == port && !other.services.is_empty());
    let by_log = || named(look, used, is_unserved).filter(|hint| !used.services.is_empty() && hint.is_of_log());
    let named = named(look, used, is_free).or_else(by_log);
    let Some((hint, port)) = named.and_then(|hint| Some((hint, hint.port?))) else {
        return Some(Fault::Nothing(confidence, None));
    };
    // A starting program may open its ports one after the other. A server that is alone in its container has the one that it was told.
    let command = [&container.spec.command, &container.spec.args];
    let words: Vec<String> = command.into_iter().flatten().flatten().cloned().collect();
    let is_alone = command::is_one_server(&words);
    let is_settled = look.standing != ListenerState::Starting || is_alone && !is_expected(&container, used);
    let may_be_asked = container.is_running() && is_settled;
    let key = DialKey {
        port,
        ..dial_key(pod, used)
    };
    let dial = if may_be_asked { needs.dial(view, key) } else { None };
    let is_plain = used.speech().0 == Speech::Plain;
    let refuses = dial.is_some_and(|dial| dial.address == Reply::Refused || is_plain && dial.inside == Reply::Refused);
    let says = format!("{} says: {}", hint.place(), hint.detail);
    match dial {
        Some(dial) if dial.address.listens() || is_plain && dial.inside.listens() => {
            let alone = if is_alone { format!("{ALONE}; ") } else { String::new() };
            let how = format!("{says}; {alone}port {port} accepts connections");
            Some(Fault::OtherPort(Confidence::Proven, port, how))
        }
        _ if hint.is_of_log() && !refuses => Some(Fault::OtherPort(Confidence::Likely, port, says)),
        _ => {
            let hint = hint.clone();
            Some(Fault::Nothing(confidence, Some(Named { hint, port, refuses })))
        }
    }
}

/// Another port that the container reports or is configured to listen on, and that has no other purpose.
fn named<'l>(look: &'l Look<'_>, used: &Use<'_>, is_free: impl Fn(u16) -> bool) -> Option<&'l Hint> {
    if used.protocol != "TCP" {
        return None;
    }
    let counts = |hint: &&Hint| {
        !hint.bind.is_loopback()
            && !hint.is_udp()
            && hint.port.is_some_and(|port| port != used.port && is_free(port))
            && (!hint.is_of_log() || hint.strength <= Confidence::Likely)
            && !uses::is_side_port(&hint.detail)
    };
    let is_silent_on_it = |hint: &&Hint| hint.is_of_log() || !look.hints.iter().any(|h| h.port == Some(used.port));
    let mut all: Vec<&Hint> = look.hints.iter().filter(counts).filter(is_silent_on_it).collect();
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
fn serves<'a>(view: &View<'a>, pod: &'a Pod, used: &Use<'a>, other: &Use<'a>, all: &[Use<'a>]) -> bool {
    let (Some(own), Some(its)) = (used.container(view, pod), other.container(view, pod)) else {
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

fn instead<'a>(view: &View<'_>, pod: &Pod, used: &Use<'a>, port: u16, how: String) -> Fault<'a> {
    match used.services.first() {
        // The container never said that it would listen where the Service sends to.
        Some((service, of)) if used.declared.is_empty() && used.probes.is_empty() && !answers_for_others(view, pod, service, of) => {
            Fault::TargetPort(service, of, port)
        }
        _ => Fault::OtherPort(Confidence::Proven, port, how),
    }
}

/// Whether a port of a Service may be answered by a ready pod of another workload than this pod's: nobody was refused there.
pub fn answers_for_others(view: &View<'_>, pod: &Pod, service: &Service, port: &ServicePort) -> bool {
    let workload = view.workload_of(pod);
    let mut others = ports::pods_behind(view, service).into_iter();
    others.any(|other| {
        let number = other.spec.as_ref().and_then(|spec| ports::resolve(spec, port));
        let all = uses::of_pod(view, other);
        let used = all
            .iter()
            .find(|used| Some(i32::from(used.port)) == number && used.protocol == ports::protocol(port.protocol.as_ref()));
        let is_refused = |used: &Use<'_>| !passes_probe(other, used.port) && made_dial(view, other, used).is_some_and(Dial::is_refused);
        is_ready(other) && view.workload_of(other) != workload && used.is_some_and(|used| !is_refused(used))
    })
}
