//! Whether what timed out a probe answers when it gets more time.

use crate::facts::listening::look::look;
use crate::facts::listening::uses;
use crate::facts::probe::Which;
use crate::model::cause::ProbeFailure;
use crate::model::dial::Reply;
use crate::rules::probes::Failing;
use crate::view::{Needs, View};

/// What a request with more time than the probe's came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenTime {
    /// It was answered with this status.
    Answers(u16),
    /// It was accepted, and not answered either.
    Silent,
}

/// Asks for the path of an HTTP probe that timed out. None where that tells nothing.
pub fn of(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>) -> Option<GivenTime> {
    let container = &failing.container;
    let get = failing.which.of(container.spec)?.http_get.as_ref()?;
    if failing.cause != Some(ProbeFailure::Timeout) || failing.which == Which::Readiness && container.is_ready() || !container.is_running()
    {
        return None;
    }
    let port = uses::probe_port(failing.which.of(container.spec)?, container.spec)?;
    let uses = uses::of_pod(view, container.pod);
    let used = uses.iter().find(|used| used.port == port && used.protocol == "TCP")?;
    let seen = look(view, needs, container.pod, container, used);
    let dial = seen.dial.filter(|dial| dial.key.path == get.path.as_deref().unwrap_or("/"))?;
    match dial.address {
        Reply::Status(status) if status < 400 => Some(GivenTime::Answers(status)),
        _ if seen.is_silent() => Some(GivenTime::Silent),
        _ => None,
    }
}
