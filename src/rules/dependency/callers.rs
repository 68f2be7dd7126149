//! Containers that call others in vain: who is in trouble, what its log says, and whom it wanted.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::failure::{self, How};
use super::names::Mention;
use super::places::{self, Place, Reference};
use super::search::{self, Search};
use super::trouble::{self, Trouble, asks_others, waits_to_listen};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::rules::container::ending::counts;
use crate::rules::context::{ContainerView, Context, containers, service_selects};
use crate::rules::ports::State;
use crate::rules::{listen, network_policy, ports};

/// What explains an end stands near the end of the log. Of what goes on, further lines count where they tell of a call that went unanswered:
/// others may write much between two of these, and whether something stops the call is seen by itself.
const LAST_LINES: usize = 20;

/// A container in trouble and the text that may say why.
#[derive(Clone, Debug)]
pub struct Caller<'a> {
    /// The container.
    pub container: ContainerView<'a>,
    /// Why it is looked into.
    pub trouble: Trouble,
    /// Where each line was seen, and the line; the newest last.
    pub lines: Vec<(String, &'a str)>,
    /// Whether its log tells anywhere of a call that was answered with no: then it was not kept from the other end.
    pub was_refused: bool,
    /// The hosts that its spec names.
    pub references: Vec<Reference>,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The container that calls.
    pub container: ContainerView<'a>,
    /// Why it was looked into.
    pub trouble: Trouble,
    /// How the call failed.
    pub how: How,
    /// Whom it called.
    pub place: Place,
    /// The port that it called, where that is known.
    pub port: Option<u16>,
    /// Where that is seen: `env DATABASE_HOST`, `command`, `log`.
    pub named_by: String,
    /// The line that shows it, and where it was seen; none where only the spec and the wait are known.
    pub line: Option<(String, &'a str)>,
}

/// The containers that are in trouble, one of each revision. Asks for their logs.
pub fn callers<'a>(context: &Context<'a>) -> Vec<Caller<'a>> {
    let mut found = Vec::new();
    for pod in &context.snapshot.objects.pods {
        if !counts(context, pod) {
            continue;
        }
        for container in containers(pod) {
            let Some(trouble) = trouble::of(context, &container) else {
                continue;
            };
            let alike = |other: &Pod| {
                counts(context, other)
                    && containers(other)
                        .iter()
                        .any(|c| c.name() == container.name() && trouble::of(context, c) == Some(trouble))
            };
            if context.is_representative(pod, alike) {
                found.push(caller(context, container, trouble));
            }
        }
    }
    found
}

/// A container together with the text that may say why it is in trouble. Asks for its log.
fn caller<'a>(context: &Context<'a>, container: ContainerView<'a>, trouble: Trouble) -> Caller<'a> {
    let pod = container.pod;
    let references = places::references(context, &container, trouble != Trouble::Suspect);
    let mut lines = Vec::new();
    let mut was_refused = false;
    let log = match trouble {
        Trouble::Crashed => context.end_log(&container),
        Trouble::Waits | Trouble::Unready | Trouble::Deaf | Trouble::Suspect => context.log(&container, false),
    };
    if let Some(log) = log {
        let all: Vec<&str> = log.lines().collect();
        was_refused = all
            .iter()
            .any(|line| matches!(failure::in_line(line), Some(How::Refused | How::Reset)));
        let last = all.len().saturating_sub(LAST_LINES);
        let goes_unanswered = |line: &str| trouble.lasts() && failure::in_line(line) == Some(How::Timeout);
        let told = all
            .into_iter()
            .enumerate()
            .filter(|(at, line)| *at >= last || goes_unanswered(line));
        lines.extend(told.map(|(_, line)| {
            (
                format!("{} of pod/{} container {}", log.source(), pod.name_any(), container.name()),
                line,
            )
        }));
    }
    let message = container.newest_end().and_then(|end| end.message.as_deref());
    if let Some(message) = message.filter(|_| trouble == Trouble::Crashed) {
        let source = format!("pod/{} container {} termination message", pod.name_any(), container.name());
        lines.extend(
            message
                .lines()
                .map(str::trim_end)
                .filter(|l| !l.is_empty())
                .map(|line| (source.clone(), line)),
        );
    }
    let exec_probe = container.spec.readiness_probe.as_ref().is_some_and(|p| p.exec.is_some());
    // The other probes report the kubelet's own call of the pod, not a call of the application.
    if trouble == Trouble::Unready && exec_probe {
        let probe = context
            .pod_events(pod)
            .into_iter()
            .find(|e| e.reason() == "Unhealthy" && e.container() == Some(container.name()));
        if let Some(event) = probe {
            lines.push((format!("pod/{} event Unhealthy", pod.name_any()), event.message()));
        }
    }
    Caller {
        container,
        trouble,
        lines,
        was_refused,
        references,
    }
}

/// Whether a running container, on whose ports nobody listens, calls a Service that cannot answer: it listens once that one does.
pub fn waits(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    if listen::says_that_it_listens(context, container) {
        return false;
    }
    let trouble = if container.is_ready() { Trouble::Deaf } else { Trouble::Unready };
    let caller = caller(context, *container, trouble);
    of_caller(context, &caller).iter().any(|failure| {
        let Place::Service { namespace, name } = &failure.place else {
            return false;
        };
        match context.service(namespace, name) {
            Some(service) => {
                wrong_port(context, service, failure.port)
                    || matches!(ports::state(context, service), State::NoneReady | State::NoPods)
                    || network_policy::of_failure(context, failure, service).is_some()
            }
            None => context.snapshot.presence(&kind::SERVICE, namespace, name) == Presence::Absent,
        }
    })
}

/// Whether nobody answers at such a port of a Service: it has none of that number, or it is headless and does not translate the one it has.
/// Names of a headless Service lead to its pods, whatever ports it lists; an external name leads anywhere.
pub fn wrong_port(context: &Context<'_>, service: &k8s_openapi::api::core::v1::Service, port: Option<u16>) -> bool {
    let listed = ports::of_service(service);
    port.is_some_and(|port| {
        if ports::is_headless(service) {
            return ports::untranslated(context, service, port).is_some();
        }
        !ports::is_external_name(service) && !listed.is_empty() && listed.iter().all(|p| p.port != i32::from(port))
    })
}

/// The calls of containers in trouble that failed, at most one of each container and place.
pub fn failures<'a>(context: &Context<'a>) -> Vec<Failure<'a>> {
    callers(context).iter().flat_map(|caller| of_caller(context, caller)).collect()
}

/// The calls of one container that failed.
pub fn of_caller<'a>(context: &Context<'a>, caller: &Caller<'a>) -> Vec<Failure<'a>> {
    let namespace = caller.container.pod.namespace().unwrap_or_default();
    let make = |how, place: &Place, port, named_by: &str, line| Failure {
        container: caller.container,
        trouble: caller.trouble,
        how,
        place: place.clone(),
        port,
        named_by: named_by.to_owned(),
        line,
    };
    let search = Search::of(&namespace, &caller.references, caller.lines.iter().map(|(_, line)| *line));
    // The newest line that says how a call failed and whom it was for.
    let own_ip = caller.container.pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
    for (at, (source, line)) in caller.lines.iter().enumerate().rev() {
        let Some(how) = failure::in_line(line) else {
            if caller.trouble == Trouble::Crashed && failure::is_of_another_kind(line) {
                return Vec::new();
            }
            continue;
        };
        // libpq says on the next lines whom it called: `Is the server running on host "db" …`.
        let below = caller.lines.iter().skip(at + 1).take(2);
        let below = below.flat_map(|(_, line)| search::in_line(&search, line));
        let located = search::in_line(&search, line)
            .into_iter()
            .chain(below)
            .filter(|(m, _)| (how != How::Unresolved || m.ip().is_none()) && Some(m.host.as_str()) != own_ip)
            .filter_map(|(m, is_search)| Some((places::locate(context, &namespace, &m)?, m, is_search)))
            // Where the server itself listens is no place that a call goes unanswered from.
            .filter(|(place, ..)| how != How::Timeout || *place != Place::Own);
        let mut located: Vec<(Place, Mention, bool)> = located.collect();
        // A Service says more than a host outside, and one with a port more than one without.
        located.sort_by_key(|(place, m, _)| (!matches!(place, Place::Service { .. }), m.port.is_none()));
        if let Some((place, mention, is_search)) = located.into_iter().next() {
            if how == How::Unresolved && is_answered(caller, &place) {
                continue;
            }
            // Each search domain has a line of its own, in any order: the one with the caller's namespace stands for all.
            let full = format!("{}.{namespace}.svc.", mention.host);
            let names_full = |(_, other): &&(String, &str)| failure::in_line(other) == Some(how) && other.contains(&full);
            let (source, line) = match caller.lines.iter().rev().find(names_full) {
                Some((source, other)) if is_search => (source, other),
                _ => (source, line),
            };
            let named = caller.references.iter().find(|r| r.place == place);
            let port = mention.port.or_else(|| named.and_then(|r| r.mention.port));
            let by = named.map_or("log", |r| &r.source);
            return vec![make(how, &place, port, by, Some((source.clone(), line)))];
        }
        // The line does not say for whom: `nc: timed out`. With one host in the spec there is no doubt.
        let says_call = ["connect", "dial", "nc:", "wget:", "telnet:", "os error", "errno"]
            .iter()
            .any(|w| line.to_ascii_lowercase().contains(w));
        let inside: Vec<&Reference> = caller
            .references
            .iter()
            .filter(|r| matches!(r.place, Place::Service { .. }))
            .collect();
        let meant = match inside.as_slice() {
            [only] if says_call => Some(*only),
            // What goes unanswered is what a policy keeps from being answered.
            all if how == How::Timeout => all.iter().copied().find(|r| is_stopped(context, caller, r)),
            _ => None,
        };
        if let Some(meant) = meant {
            return vec![make(
                how,
                &meant.place,
                meant.mention.port,
                &meant.source,
                Some((source.clone(), line)),
            )];
        }
    }
    // A wait without a word: what the command names is what it waits for.
    let by_command = caller.references.iter().filter(|r| r.source == "command");
    if caller.trouble == Trouble::Waits {
        return by_command
            .map(|r| make(How::Unknown, &r.place, r.mention.port, &r.source, None))
            .collect();
    }
    // A fault without a word, and a Service in the spec that reaches nobody or that it may not call: it is at least possible that this is why.
    let is_silent = match caller.trouble {
        Trouble::Crashed => caller.lines.is_empty(),
        Trouble::Unready => asks_others(context, &caller.container) || waits_to_listen(context, &caller.container),
        Trouble::Deaf => waits_to_listen(context, &caller.container),
        Trouble::Waits | Trouble::Suspect => false,
    };
    let labels = caller.container.pod.labels();
    let own_namespace = &namespace;
    let reaches_nobody = |r: &&Reference| match &r.place {
        // That its own Service is named in the spec (its address for others, as a rule) does not say that it calls itself.
        Place::Service { namespace, name } => context.service(namespace, name).is_some_and(|service| {
            let is_own = caller.trouble.lasts() && namespace == own_namespace && service_selects(service, labels);
            !is_own
                && !wrong_port(context, service, r.mention.port)
                && matches!(ports::state(context, service), State::NoneReady | State::NoPods)
        }),
        Place::Own | Place::Outside(_) => false,
    };
    let stopped = |r: &&Reference| caller.trouble.lasts() && !caller.was_refused && is_stopped(context, caller, r);
    let named = caller.references.iter().filter(|_| is_silent);
    named
        .filter(|r| reaches_nobody(r) || stopped(r))
        .map(|r| make(How::Unknown, &r.place, r.mention.port, &r.source, None))
        .collect()
}

/// Whether the log shows the address of a Service beside the search domains that do not have it.
fn is_answered(caller: &Caller<'_>, place: &Place) -> bool {
    let Place::Service { namespace, name } = place else {
        return false;
    };
    search::is_answered(caller.lines.iter().map(|(_, line)| *line), namespace, name)
}

/// Whether a policy keeps the caller from a Service that its spec names.
fn is_stopped(context: &Context<'_>, caller: &Caller<'_>, reference: &Reference) -> bool {
    let Place::Service { namespace, name } = &reference.place else {
        return false;
    };
    context.service(namespace, name).is_some_and(|service| {
        let port = reference.mention.port;
        !wrong_port(context, service, port) && network_policy::denies(context, caller.container.pod, service, port).is_some()
    })
}
