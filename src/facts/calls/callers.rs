//! Containers whose calls fail: which ones, what their logs say, and which host they called.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::calls::failure::{Failure, How};
use crate::facts::calls::names::Mention;
use crate::facts::calls::places::{Place, Reference};
use crate::facts::calls::search::Search;
use crate::facts::calls::trouble::{Trouble, asks_others, waits_to_listen};
use crate::facts::calls::{failure, places, repeated, search, stopped, trouble};
use crate::facts::ending::counts;
use crate::facts::listening::hints::says_that_it_listens;
use crate::facts::{policy, probe};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::view::{ContainerView, Needs, View, containers, endpoints, ports, service_selects};

/// The explanation of an exit is near the end of the log. Of what goes on, further lines count where they tell of a call that went unanswered:
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

/// The containers that are in trouble, one of each revision. Asks for their logs.
pub fn callers<'a>(view: &View<'a>, needs: &mut Needs) -> Vec<Caller<'a>> {
    let mut found = Vec::new();
    for pod in &view.snapshot.objects.pods {
        if !counts(view, pod) {
            continue;
        }
        for container in containers(pod) {
            let Some(trouble) = trouble::of(view, needs, &container) else {
                continue;
            };
            let alike = |other: &Pod| {
                counts(view, other)
                    && containers(other)
                        .iter()
                        .any(|c| c.name() == container.name() && trouble::of(view, needs, c) == Some(trouble))
            };
            if view.is_representative(pod, alike) {
                found.push(caller(view, needs, container, trouble));
            }
        }
    }
    found
}

/// A container together with the text that may say why it is in trouble. Asks for its log.
fn caller<'a>(view: &View<'a>, needs: &mut Needs, container: ContainerView<'a>, trouble: Trouble) -> Caller<'a> {
    let pod = container.pod;
    let mut lines = Vec::new();
    let mut was_refused = false;
    let log = match trouble {
        Trouble::Crashed => needs.end_log(view, &container),
        Trouble::Waits | Trouble::Unready | Trouble::Deaf | Trouble::Suspect => needs.log(view, &container, false),
        Trouble::Ready => None,
    };
    if trouble == Trouble::Ready {
        let text = needs.recent_log(view, &container).unwrap_or_default();
        let source = format!("log of pod/{} container {}", pod.name_any(), container.name());
        lines.extend(repeated::failing(text, view.now()).into_iter().map(|line| (source.clone(), line)));
    }
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
    if trouble == Trouble::Unready
        && exec_probe
        && let Some(event) = probe::unhealthy(view, &container).next()
    {
        lines.push((format!("pod/{} event Unhealthy", pod.name_any()), event.message()));
    }
    let may_ask = match trouble {
        Trouble::Suspect => false,
        Trouble::Ready => !lines.is_empty(),
        _ => true,
    };
    let references = places::references(view, &container, may_ask.then_some(needs));
    Caller {
        container,
        trouble,
        lines,
        was_refused,
        references,
    }
}

/// Whether a running container, on whose ports nobody listens, calls a Service that cannot answer: it listens once that one does.
pub fn waits(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> bool {
    if says_that_it_listens(view, container) {
        return false;
    }
    let trouble = if container.is_ready() { Trouble::Deaf } else { Trouble::Unready };
    let caller = caller(view, needs, *container, trouble);
    of_caller(view, needs, &caller).iter().any(|failure| {
        let Place::Service { namespace, name } = &failure.place else {
            return false;
        };
        match view.service(namespace, name) {
            Some(service) => {
                ports::wrong_port(view, service, failure.port)
                    || endpoints::by_pods(view, service).is_nobody()
                    || stopped::by_policy(view, needs, failure).is_some()
            }
            None => view.snapshot.presence(&kind::SERVICE, namespace, name) == Presence::Absent,
        }
    })
}

/// The calls of one container that failed, at most one of each place.
pub fn of_caller<'a>(view: &View<'a>, needs: &mut Needs, caller: &Caller<'a>) -> Vec<Failure<'a>> {
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
    // The newest line that says how a call failed and whom it was for. What ends a run stands last; of a container that runs on, the newest line
    // changes from moment to moment, and a call that cannot succeed counts before others.
    let mut all: Vec<Failure<'a>> = Vec::new();
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
            // A word that the spec names as a host is one.
            .map(|(m, is_search)| {
                let is_named = caller.references.iter().any(|r| r.mention.host == m.host);
                (
                    Mention {
                        is_certain: m.is_certain || is_named,
                        ..m
                    },
                    is_search,
                )
            })
            .filter_map(|(m, is_search)| Some((places::locate(view, &namespace, &m)?, m, is_search)))
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
            all.push(make(how, &place, port, by, Some((source.clone(), line))));
            if caller.trouble == Trouble::Crashed {
                return all;
            }
            continue;
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
            all if how == How::Timeout => all.iter().copied().find(|r| is_stopped(view, needs, caller, r)),
            _ => None,
        };
        if let Some(meant) = meant {
            all.push(make(
                how,
                &meant.place,
                meant.mention.port,
                &meant.source,
                Some((source.clone(), line)),
            ));
            if caller.trouble == Trouble::Crashed {
                return all;
            }
        }
    }
    // The newest of each place comes first, and sorting keeps their order.
    all.sort_by_key(|failure| (is_well(view, failure), failure.place.clone()));
    if let Some(first) = all.into_iter().next() {
        return vec![first];
    }
    // A wait without a word: what the command names is what it waits for.
    let by_command = caller.references.iter().filter(|r| r.source == "command");
    if caller.trouble == Trouble::Waits {
        return by_command
            .map(|r| make(How::Unknown, &r.place, r.mention.port, &r.source, None))
            .collect();
    }
    // A fault without a word, and a Service in the spec that reaches no pod or that it may not call: it is at least possible that this is why.
    let is_silent = match caller.trouble {
        Trouble::Crashed => caller.lines.is_empty(),
        Trouble::Unready => asks_others(view, &caller.container) || waits_to_listen(view, &caller.container),
        Trouble::Deaf => waits_to_listen(view, &caller.container),
        Trouble::Waits | Trouble::Suspect | Trouble::Ready => false,
    };
    let labels = caller.container.pod.labels();
    let own_namespace = &namespace;
    let reaches_nobody = |r: &&Reference| match &r.place {
        // That its own Service is named in the spec (its address for others, as a rule) does not say that it calls itself.
        Place::Service { namespace, name } => view.service(namespace, name).is_some_and(|service| {
            let is_own = caller.trouble.lasts() && namespace == own_namespace && service_selects(service, labels);
            !is_own && !ports::wrong_port(view, service, r.mention.port) && endpoints::by_pods(view, service).is_nobody()
        }),
        Place::Own | Place::Outside(_) => false,
    };
    let mut stopped = |r: &&Reference| caller.trouble.lasts() && !caller.was_refused && is_stopped(view, needs, caller, r);
    let named = caller.references.iter().filter(|_| is_silent);
    named
        .filter(|r| reaches_nobody(r) || stopped(r))
        .map(|r| make(How::Unknown, &r.place, r.mention.port, &r.source, None))
        .collect()
}

/// Whether a call should succeed now, as far as pods and ports of the Service tell.
fn is_well(view: &View<'_>, failure: &Failure<'_>) -> bool {
    let Place::Service { namespace, name } = &failure.place else {
        return false;
    };
    let service = view.service(namespace, name);
    service.is_some_and(|service| endpoints::by_pods(view, service).is_ready() && !ports::wrong_port(view, service, failure.port))
}

/// Whether the log shows the address of a Service beside the search domains that do not have it.
fn is_answered(caller: &Caller<'_>, place: &Place) -> bool {
    let Place::Service { namespace, name } = place else {
        return false;
    };
    search::is_answered(caller.lines.iter().map(|(_, line)| *line), namespace, name)
}

/// Whether a policy keeps the caller from a Service that its spec names.
fn is_stopped(view: &View<'_>, needs: &mut Needs, caller: &Caller<'_>, reference: &Reference) -> bool {
    let Place::Service { namespace, name } = &reference.place else {
        return false;
    };
    view.service(namespace, name).is_some_and(|service| {
        let port = reference.mention.port;
        !ports::wrong_port(view, service, port) && policy::denies(view, needs, caller.container.pod, service, port).is_some()
    })
}
