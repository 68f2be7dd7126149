//! Which containers are in trouble that may come from others.

use std::time::Duration;

use kube::ResourceExt;

use super::callers::wrong_port;
use super::places::{self, Place};
use crate::model::snapshot::Presence;
use crate::rules::container::ending::ending;
use crate::rules::context::{ContainerView, Context, Role, is_ready};
use crate::rules::probes::message;
use crate::rules::{listen, network_policy, revision};

/// A container may wait this long for others before its wait is looked into.
const PATIENCE: Duration = Duration::from_secs(15);
/// A container that runs and is not ready may be starting for this long.
const STARTING: Duration = Duration::from_secs(30);
/// Why a container is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An init container that runs and does not end.
    Waits,
    /// It ended with an error, and is not back for good.
    Crashed,
    /// It runs and is not ready.
    Unready,
    /// It runs, nothing keeps it from counting as ready, and nobody listens on the ports that others count on.
    Deaf,
    /// It is well, but its spec names something that cannot be reached.
    Suspect,
}

impl Trouble {
    /// Whether it runs, and lacks something that it could still get.
    pub fn lasts(self) -> bool {
        matches!(self, Self::Unready | Self::Deaf)
    }
}

/// Why a container is worth a look, where it is.
pub(super) fn of(context: &Context<'_>, container: &ContainerView<'_>) -> Option<Trouble> {
    // What was killed for its memory has no words of its own on why.
    let crashed = ending(context, *container).is_some_and(|e| e.end.exit_code != 0 && e.end.reason.as_deref() != Some("OOMKilled"));
    let Some(since) = container.running_since() else {
        return crashed.then_some(Trouble::Crashed);
    };
    let lasts = |at_least| context.age(since) > at_least || revision::is_overdue(context, container.pod);
    if crashed {
        Some(Trouble::Crashed)
    } else if container.role == Role::Init {
        lasts(PATIENCE).then_some(Trouble::Waits)
    } else if !container.is_ready() {
        lasts(STARTING).then_some(Trouble::Unready)
    } else if lasts(STARTING) && waits_to_listen(context, container) {
        Some(Trouble::Deaf)
    } else {
        (is_ready(container.pod) && is_suspect(context, container)).then_some(Trouble::Suspect)
    }
}

/// Whether the spec of a container that is well names what it cannot reach: only then its log is worth a request.
fn is_suspect(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    let namespace = container.pod.namespace().unwrap_or_default();
    places::references(context, container, false).iter().any(|reference| {
        let Place::Service { namespace: of, name } = &reference.place else {
            return false;
        };
        match context.service(of, name) {
            Some(service) => {
                wrong_port(context, service, reference.mention.port)
                    || network_policy::denies(context, container.pod, service, reference.mention.port).is_some()
            }
            None => *of == namespace && context.snapshot.presence(&crate::model::kind::SERVICE, of, name) == Presence::Absent,
        }
    })
}

/// Whether nobody listens in a container that runs, as far as the kubelet's probes and dials tell, and its log does not say that it listens: it
/// may open its ports only after others have answered.
pub(super) fn waits_to_listen(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    let events = context.pod_events(container.pod);
    let unhealthy = events
        .iter()
        .filter(|e| e.reason() == "Unhealthy" && e.container() == Some(container.name()));
    let is_refused = || {
        let newest = unhealthy
            .clone()
            .find_map(|e| message::parse(e.message()).filter(|(_, text)| !message::is_noise(text)));
        newest.is_some_and(|(which, text)| {
            let probe = which.of(container.spec);
            probe.is_some_and(|probe| message::cause(text, probe, container.spec) == "refused")
        })
    };
    let is_silent = listen::opens_nothing(context, container) || (!container.is_ready() && is_refused());
    is_silent && !listen::says_that_it_listens(context, container)
}

/// Whether a probe fails as it does where the application says itself that it lacks something: it was asked, and said no or nothing.
pub(super) fn asks_others(context: &Context<'_>, container: &ContainerView<'_>) -> bool {
    let events = context.pod_events(container.pod);
    let newest = events
        .iter()
        .find(|e| e.reason() == "Unhealthy" && e.container() == Some(container.name()));
    let Some((which, text)) = newest.and_then(|e| message::parse(e.message())) else {
        return false;
    };
    which
        .of(container.spec)
        .is_some_and(|probe| match message::cause(text, probe, container.spec) {
            "timeout" | "exec-exit" | "grpc" => true,
            "http-status" => text.contains("statuscode: 5"),
            _ => false,
        })
}
