//! What is known about one port of one pod: by a dial pair, by the sockets inside, by the kubelet's probes, and by what the container says.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use crate::facts::calls::callers;
use crate::facts::listening::bind::Bind;
use crate::facts::listening::dials::{dial_key, passes_probe};
use crate::facts::listening::hints::{Hint, Source};
use crate::facts::listening::uses::Use;
use crate::facts::listening::{hints, uses};
use crate::facts::probe as message;
use crate::facts::probe::Which;
use crate::model::cause::ProbeFailure;
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::finding::{Confidence, Settles};
use crate::model::sockets::{PodSockets, Socket};
use crate::view::{ContainerView, Needs, View, containers, probe_budget, revision};

/// A first start may take this long before a port that nobody opened is a fault; the same patience as with probes.
const SLOW_START: Duration = Duration::from_secs(60);

/// How things stand with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerState {
    /// Somebody listens, and not on a loopback address only.
    Reachable,
    /// Only processes of the same pod reach it.
    Loopback(Confidence, Bind),
    /// Nobody listens.
    Nothing(Confidence),
    /// Listens for the other IP family than the pod's Services use.
    OtherFamily(Confidence),
    /// It answers with this status, which says that it does not work.
    Fails(u16),
    /// Nobody listens yet, and the container has not had the time that a start takes.
    Starting,
    /// Nothing tells.
    Unknown,
}

/// Everything that was seen of a port.
pub struct Look<'a> {
    /// What follows from it.
    pub standing: ListenerState,
    /// The newest dial.
    pub dial: Option<&'a Dial>,
    /// The sockets of the pod, where they were read.
    pub sockets: Option<&'a PodSockets>,
    /// What the container says about itself.
    pub hints: Vec<Hint>,
    /// The kubelet was refused at this port, in its words.
    pub refused: Option<String>,
}

impl Look<'_> {
    /// Whether the port accepts connections, and no answer came in the time for it: who is slow looks like who hangs.
    pub fn is_silent(&self) -> bool {
        let is_silent = |dial: &&Dial| dial.address == Reply::TimedOut && dial.inside == Reply::Silent;
        self.standing == ListenerState::Unknown && self.dial.as_ref().is_some_and(is_silent)
    }
}

/// Looks at a port that somebody uses. Asks for dials and sockets that would tell more.
pub fn look<'a>(view: &View<'a>, needs: &mut Needs, pod: &'a Pod, container: &ContainerView<'a>, used: &Use<'a>) -> Look<'a> {
    let mut look = Look {
        standing: ListenerState::Unknown,
        dial: None,
        sockets: None,
        hints: Vec::new(),
        refused: None,
    };
    let own = view.failing(pod).filter(|failing| failing.port == used.port);
    if let Some(500) = own.and_then(|failing| failing.status) {
        look.standing = ListenerState::Fails(500);
        return look;
    }
    if passes_probe(pod, used.port) {
        look.standing = ListenerState::Reachable;
        return look;
    }
    look.sockets = needs.sockets(view, pod);
    look.refused = refused_probe(view, pod, used);
    // Nobody can be dialled between two lives: what was refused, and the container's own words, tell.
    if container.is_running() {
        look.dial = newest_dial(view, needs, pod, container, used);
    }
    let is_worth_a_log = |dial: &Dial| {
        // What does not speak HTTP can be dialled from inside only, where a listener on the loopback answers as well.
        let is_blind = dial.address == Reply::Untried && dial.inside.listens();
        dial.address == Reply::Refused || dial.inside == Reply::Refused || is_blind
    };
    // UDP cannot be dialled: the log decides for a container that is configured to listen on loopback.
    let is_told = || {
        let hints = hints::of_container(view, container);
        hints.iter().any(|hint| hint.bind.is_loopback() && concerns(hint, used))
    };
    // Where nothing may be dialled, too, its own words are all that there is.
    let is_undialled = || match look.dial {
        Some(dial) => dial.address == Reply::Untried && dial.inside == Reply::Untried,
        None => !view.options.dial || !container.is_running(),
    };
    if look.refused.is_some() || look.dial.is_some_and(is_worth_a_log) || (used.protocol == "UDP" || is_undialled()) && is_told() {
        look.hints = hints::asked_hints(view, needs, container);
    } else {
        look.hints = hints::of_container(view, container);
    }
    look.standing = standing(view, needs, pod, container, used, &look);
    look
}

/// Whether a hint may speak of a used port, and not of the port of the same number of the other protocol.
fn concerns(hint: &Hint, used: &Use<'_>) -> bool {
    hint.is_about(used.port) && (used.protocol == "UDP" || !hint.is_udp())
}

/// Whether what a hint says can be true although 127.0.0.1 refuses: only another loopback address is left then.
fn may_be_another_loopback(hint: &Hint) -> bool {
    match hint.bind {
        Bind::LoopbackV6 => true,
        Bind::LoopbackV4 => hint
            .detail
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .any(|word| word.starts_with("127.") && word != "127.0.0.1"),
        _ => false,
    }
}

/// Numbers of servers that listen on the pod's own address alone by habit: Cassandra, Elasticsearch, Hazelcast, Ignite.
const OWN_ADDRESS_PORTS: [u16; 6] = [5701, 7000, 7001, 9042, 9300, 47500];

/// Whether the server may listen on the pod's own address alone, where a connection from inside is refused while others are served.
fn may_use_own_address(container: &ContainerView<'_>, used: &Use<'_>, hints: &[Hint]) -> bool {
    let by_status = |variable: &k8s_openapi::api::core::v1::EnvVar| {
        let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        field.is_some_and(|field| field.field_path.starts_with("status.podIP"))
    };
    let spec = container.spec;
    let mut words = spec.command.iter().chain(spec.args.iter()).flatten();
    OWN_ADDRESS_PORTS.contains(&used.port)
        || spec.env.iter().flatten().any(by_status)
        || words.any(|word| word.contains("hostname -i") || word.contains("hostname -I") || word.contains("ip addr"))
        || hints
            .iter()
            .any(|hint| hint.is_about(used.port) && matches!(hint.bind, Bind::Address(_)))
}

/// The kubelet's newest words about being refused at this port, where its probe fails at present.
fn refused_probe(view: &View<'_>, pod: &Pod, used: &Use<'_>) -> Option<String> {
    used.probes.iter().find_map(|(which, probe, name)| {
        let container = containers(pod).into_iter().find(|c| c.name() == *name)?;
        let (event, text) = message::failures(view, &container, *which).next()?;
        let of_this_instance = container
            .running_since()
            .is_none_or(|since| event.last_seen.is_none_or(|seen| seen >= since));
        let fails = match which {
            Which::Readiness => !container.is_ready(),
            Which::Startup => !container.is_started(),
            Which::Liveness => !container.is_ready() || container.restarts() > 0,
        };
        (fails
            && (of_this_instance || container.restarts() > 0)
            && message::cause(text, probe, container.spec) == Some(ProbeFailure::Refused))
        .then(|| text.to_owned())
    })
}

/// Asks for the dial of a port, and for a second one where the first could mean that the server has not started yet, or was slow.
fn newest_dial<'a>(view: &View<'a>, needs: &mut Needs, pod: &Pod, container: &ContainerView<'_>, used: &Use<'_>) -> Option<&'a Dial> {
    if used.protocol != "TCP" {
        return None;
    }
    let key = dial_key(pod, used);
    let first = needs.dial(view, key.clone())?;
    let silent = first.address == Reply::TimedOut && first.inside == Reply::Silent;
    if (first.is_refused() && (view.options.redial || is_young(view, container))) || silent {
        // Without the second sample nothing is said: it comes in the next round, and a saved snapshot has it.
        return needs.dial(view, DialKey { again: true, ..key });
    }
    Some(first)
}

/// Whether the container may still be starting: it has not run for as long as its probes, or a slow start, allow.
pub fn is_young(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    start(view, container).is_pending()
}

/// How long the start of a container may still take.
pub fn start(view: &View<'_>, container: &ContainerView<'_>) -> Settles {
    let probes = [&container.spec.startup_probe, &container.spec.readiness_probe];
    let budget = probes.into_iter().flatten().map(probe_budget).max().unwrap_or_default();
    match container.running_since() {
        _ if revision::is_overdue(view, container.pod) => Settles::Never,
        Some(since) => view.settles(since, budget.max(SLOW_START)),
        None => Settles::Sometime,
    }
}

/// Whether the container was started again lately: it may not live long enough to listen.
fn was_restarted(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    container.restarts() > 0
        && container
            .last_terminated()
            .and_then(|end| end.finished_at.as_ref())
            .is_none_or(|end| !view.has_healed(container, end.0))
}

fn standing(
    view: &View<'_>,
    needs: &mut Needs,
    pod: &Pod,
    container: &ContainerView<'_>,
    used: &Use<'_>,
    look: &Look<'_>,
) -> ListenerState {
    let shares_node = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    // What is seen from outside of a pod that shares its node's network may be another process of the node.
    let sure = if shares_node { Confidence::Likely } else { Confidence::Proven };
    let mut patient = |standing: ListenerState| match standing {
        ListenerState::Nothing(_) if is_young(view, container) || callers::waits(view, needs, container) => ListenerState::Starting,
        // Other rules report why it does not run.
        ListenerState::Nothing(_) if was_restarted(view, container) => ListenerState::Unknown,
        other => other,
    };
    let address = look.dial.map_or(&Reply::Untried, |dial| &dial.address);
    let inside = look.dial.map_or(&Reply::Untried, |dial| &dial.inside);
    // What is sent nothing is dialled from inside alone.
    let is_shut = || used.speech().0 == Speech::Plain && *inside == Reply::Refused && !may_use_own_address(container, used, &look.hints);
    let refused = *address == Reply::Refused || (*address == Reply::Untried && (look.refused.is_some() || is_shut()));
    if let Reply::Status(status) = address {
        return match status {
            // A gateway may answer 502 to 504 to a host that it does not know, and what probes ask is for them to judge.
            500 if used.probes.is_empty() => ListenerState::Fails(*status),
            _ => ListenerState::Reachable,
        };
    }
    if address.listens() {
        return ListenerState::Reachable;
    }
    if let Some(sockets) = look.sockets {
        return patient(by_sockets(sockets, pod, used, refused, sure));
    }
    let said: Vec<&Hint> = look.hints.iter().filter(|hint| concerns(hint, used)).collect();
    match (refused, inside) {
        (true, Reply::Status(_) | Reply::Accepted | Reply::Silent) => {
            // A listener of one family answers inside as well, where the runtime tries both loopback addresses.
            if said.iter().any(|hint| hint.bind == other_family(pod)) && !said.iter().any(|hint| hint.bind.is_loopback()) {
                ListenerState::OtherFamily(sure)
            } else {
                // Inside of a pod whose address is IPv6, a server on 0.0.0.0 looks like one on 127.0.0.1.
                let sure = if has_ipv6(pod) { sure.max(Confidence::Likely) } else { sure };
                ListenerState::Loopback(
                    sure,
                    said.iter()
                        .map(|hint| hint.bind)
                        .find(|bind| bind.is_loopback())
                        .unwrap_or(Bind::LoopbackV4),
                )
            }
        }
        (true, _) => {
            // Refused at the pod's address and, where it could be tried, at 127.0.0.1: another loopback address is left, and nobody who
            // was only told to listen on 127.0.0.1.
            // A container that was started again may have ended before it was dialled.
            let tells = *inside == Reply::Refused && !was_restarted(view, container);
            let is_left = |hint: &&&Hint| hint.bind.is_loopback() && (!tells || may_be_another_loopback(hint));
            match said.iter().find(is_left) {
                Some(hint) if hint.strength <= Confidence::Likely || *inside == Reply::Untried => {
                    ListenerState::Loopback(Confidence::Likely, hint.bind)
                }
                // A runtime on a node that does not know `::1` by name dials 127.0.0.1 alone: that it listens on `::` is its own word.
                // What the run before said shortly before its end does not say that this one listens already.
                _ if said.iter().any(|hint| {
                    let is_past = container.is_running() && matches!(hint.source, Source::Log { previous: true });
                    hint.bind == other_family(pod) && hint.port == Some(used.port) && !is_past
                }) =>
                {
                    ListenerState::OtherFamily(Confidence::Likely)
                }
                _ if *address == Reply::Refused || *inside == Reply::Refused => patient(ListenerState::Nothing(Confidence::Likely)),
                // A refusal that only the kubelet saw is reported as a probe failure.
                _ => ListenerState::Unknown,
            }
        }
        // Where the pod's address could not be asked, the server's own word counts, unless nobody listens inside either.
        (false, inside) if *address == Reply::Untried && !matches!(inside, Reply::Refused | Reply::TimedOut) => {
            let udp = used.protocol == "UDP";
            by_word(&said, udp || inside.listens(), !udp && is_only_port(view, pod))
        }
        _ => ListenerState::Unknown,
    }
}

/// What the container itself says where its address was not tried: its log and its command line, and its variables where somebody is known to
/// listen inside.
fn by_word(said: &[&Hint], listens: bool, is_only_port: bool) -> ListenerState {
    let counts =
        |hint: &&&Hint| hint.strength <= Confidence::Likely && (listens || matches!(hint.source, Source::Log { .. } | Source::Command));
    // An option for the address alone is about the one port that there is.
    let names = |hint: &&&Hint| hint.port.is_some() || listens && is_only_port;
    let mut words = said.iter().filter(counts).filter(names).map(|hint| hint.bind);
    match words.next() {
        Some(first) if first.is_loopback() && words.all(Bind::is_loopback) => ListenerState::Loopback(Confidence::Likely, first),
        _ => ListenerState::Unknown,
    }
}

/// Whether one TCP port alone of the pod is used.
fn is_only_port(view: &View<'_>, pod: &Pod) -> bool {
    let used = |u: &Use<'_>| u.is_used() && u.protocol == "TCP";
    uses::of_pod(view, pod).into_iter().filter(used).count() == 1
}

/// Whether the pod's address, which is dialled and probed, is an IPv6 one.
pub fn has_ipv6(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.pod_ip.as_deref())
        .is_some_and(|ip| ip.contains(':'))
}

/// What a server is bound to that takes every connection but those to the pod's address.
fn other_family(pod: &Pod) -> Bind {
    if has_ipv6(pod) { Bind::AnyV4 } else { Bind::AnyV6 }
}

fn by_sockets(sockets: &PodSockets, pod: &Pod, used: &Use<'_>, refused: bool, sure: Confidence) -> ListenerState {
    let mine: Vec<&Socket> = sockets
        .sockets
        .iter()
        .filter(|socket| socket.port == used.port && socket.protocol == used.protocol)
        .collect();
    let Some(first) = mine.first() else {
        return ListenerState::Nothing(sure);
    };
    if mine.iter().all(|socket| socket.is_loopback()) {
        return ListenerState::Loopback(sure, Bind::of_ip(first.address));
    }
    if refused {
        let wanted_v6 = has_ipv6(pod);
        let other = mine
            .iter()
            .all(|socket| socket.is_loopback() || socket.address.is_ipv6() != wanted_v6);
        // `::` may take IPv4 or not; the refusal tells.
        return if other {
            ListenerState::OtherFamily(sure)
        } else {
            ListenerState::Unknown
        };
    }
    ListenerState::Reachable
}
