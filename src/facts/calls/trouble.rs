//! Which containers are in trouble that may come from others.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::facts::calls::places;
use crate::facts::calls::places::Place;
use crate::facts::ending::ending;
use crate::facts::listening::dials::opens_nothing;
use crate::facts::listening::hints::says_that_it_listens;
use crate::facts::{policy, probe as message};
use crate::model::cause::ProbeFailure;
use crate::model::finding::Settles;
use crate::model::snapshot::Presence;
use crate::view::{ContainerView, Needs, Role, View, is_ready, ports, revision};

/// What starts and ends in a moment is not worth a request for its log.
const GLANCE: Duration = Duration::from_secs(1);
/// An init container may wait this long for others before that is a fault.
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
    /// It is ready, and the user wants to know whether its log says that it cannot work.
    Ready,
}

impl Trouble {
    /// Whether it runs, and lacks something that it could still get.
    pub fn lasts(self) -> bool {
        matches!(self, Self::Unready | Self::Deaf)
    }
}

/// Why a container is worth a look, where it is.
pub(crate) fn of(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Option<Trouble> {
    // What was killed for its memory has no words of its own on why.
    let crashed = ending(view, *container).is_some_and(|e| e.end.exit_code != 0 && e.end.reason.as_deref() != Some("OOMKilled"));
    let Some(since) = container.running_since() else {
        return crashed.then_some(Trouble::Crashed);
    };
    let lasts = |at_least| view.age(since) > at_least || revision::is_overdue(view, container.pod);
    if crashed {
        Some(Trouble::Crashed)
    } else if container.role == Role::Init {
        lasts(GLANCE).then_some(Trouble::Waits)
    } else if !container.is_ready() {
        (lasts(STARTING) || fails_its_probe(view, container)).then_some(Trouble::Unready)
    } else if lasts(GLANCE) && waits_to_listen(view, container) {
        Some(Trouble::Deaf)
    } else if !is_ready(container.pod) {
        None
    } else if is_suspect(view, needs, container) {
        Some(Trouble::Suspect)
    } else {
        view.is_log_wanted(container.pod).then_some(Trouble::Ready)
    }
}

/// Whether what a container lacks may still come by itself.
pub fn settles(view: &View<'_>, container: &ContainerView<'_>, trouble: Trouble) -> Settles {
    let patience = match trouble {
        Trouble::Waits => PATIENCE,
        Trouble::Unready | Trouble::Deaf => STARTING,
        Trouble::Crashed | Trouble::Suspect | Trouble::Ready => return Settles::Never,
    };
    match container.running_since() {
        Some(since) if !revision::is_overdue(view, container.pod) => view.settles(since, patience),
        _ => Settles::Never,
    }
}

/// Whether a probe of the container has failed since it started.
fn fails_its_probe(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    let is_of_this_run = |seen: Timestamp| container.running_since().is_some_and(|since| seen >= since);
    message::unhealthy(view, container).any(|e| e.last_seen.is_some_and(is_of_this_run))
}

/// Whether the spec of a container that is well names what it cannot reach: only then its log is worth a request.
fn is_suspect(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> bool {
    let namespace = container.pod.namespace().unwrap_or_default();
    places::references(view, container, None).iter().any(|reference| {
        let Place::Service { namespace: of, name } = &reference.place else {
            return false;
        };
        match view.service(of, name) {
            Some(service) => {
                ports::wrong_port(view, service, reference.mention.port)
                    || policy::denies(view, needs, container.pod, service, reference.mention.port).is_some()
                    || policy::denies_dns(view, needs, container.pod).is_some()
            }
            None => *of == namespace && view.snapshot.presence(&crate::model::kind::SERVICE, of, name) == Presence::Absent,
        }
    })
}

/// Whether nobody listens in a container that runs, as far as the kubelet's probes and dials tell, and its log does not say that it listens: it
/// may open its ports only after others have answered.
pub(crate) fn waits_to_listen(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    let is_refused = || {
        message::all_failures(view, container).next().is_some_and(|(which, _, text)| {
            let probe = which.of(container.spec);
            probe.is_some_and(|probe| message::cause(text, probe, container.spec) == Some(ProbeFailure::Refused))
        })
    };
    let is_silent = opens_nothing(view, container) || (!container.is_ready() && is_refused());
    is_silent && !says_that_it_listens(view, container)
}

/// Whether a probe fails as it does where the application says itself that it lacks something: it was asked, and said no or nothing.
pub(crate) fn asks_others(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    let Some((which, _, text)) = message::all_failures(view, container).next() else {
        return false;
    };
    which
        .of(container.spec)
        .is_some_and(|probe| match message::cause(text, probe, container.spec) {
            Some(ProbeFailure::Timeout | ProbeFailure::ExecExit | ProbeFailure::Grpc) => true,
            Some(ProbeFailure::HttpStatus) => text.contains("statuscode: 5"),
            _ => false,
        })
}
