//! Faults that do not pass with time: proven, and mended only by another spec or program.

use std::time::Duration;

use jiff::Timestamp;

use crate::facts::listening::fault::ALONE;
use crate::facts::probe::{Which, failures_now, status_code};
use crate::model::cause::{Cause, ContainerCrashing, ProbeFailure, ServiceSelectsNothing, TargetPortMismatch};
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding};
use crate::view::near_miss::meant_for;
use crate::view::{ContainerView, View, condition_since, containers, is_terminating, probe_budget, revision};

/// How long a server may answer 500 while it starts.
const WARM_UP: Duration = Duration::from_secs(60);

/// Client errors that a server also answers while it starts or is busy: 408, 425, 429.
const PASSING: [u16; 3] = [408, 425, 429];

/// Whether a fault is proven and only another spec or program mends it.
pub(crate) fn is_lasting(view: &View<'_>, finding: &Finding) -> bool {
    // Where a start would be over, a refused port and the server's own word on another one are as good as a connection to that.
    let has_spoken = finding.code == Code::ListenerOnOtherPort && !finding.settles.is_pending();
    (finding.confidence == Confidence::Proven || has_spoken)
        && match finding.cause {
            Cause::ListenerOnLoopback(_)
            | Cause::Only(Code::ListenerAddressFamily | Code::TargetPortNameUnresolved | Code::IngressBackendPortMissing)
            | Cause::NetworkPolicyBlocks(_)
            | Cause::ContainerCrashing(ContainerCrashing::CommandNotFound | ContainerCrashing::ExecFormat) => true,
            // A server may open one port after the other: its own word says that it has come to the other port, or it was told no other.
            Cause::Only(Code::ListenerOnOtherPort) | Cause::TargetPortMismatch(TargetPortMismatch::Proven) => finding
                .evidence
                .iter()
                .any(|e| e.source == "log" || e.detail.starts_with("log says: ") || e.detail.contains(ALONE)),
            // Labels that are merely alike may belong to the next colour of a pair.
            Cause::ServiceSelectsNothing(ServiceSelectsNothing::LabelDiffers) => {
                let object = &finding.subject.object;
                let service = view.service(&object.namespace, &object.name);
                service.is_some_and(|service| meant_for(view, service).is_some())
            }
            Cause::Only(Code::ApplicationError) => fails_everywhere(view, finding, |container| {
                let own = view.failing(container.pod);
                own.is_some_and(|own| own.status == Some(500) && !own.was_well)
            }),
            Cause::ReadinessProbeFailing(ProbeFailure::HttpStatus) if probe_status(finding) == Some(500) => {
                fails_everywhere(view, finding, |container| {
                    let newest = failures_now(view, container, Which::Readiness).next();
                    let was_ready = || condition_since(container.pod, "Ready") > container.running_since();
                    newest.is_some_and(|(_, text)| status_code(text) == Some(500)) && !container.is_ready() && !was_ready()
                })
            }
            cause => match cause.of_probe() {
                Some(
                    ProbeFailure::HttpSentToHttps
                    | ProbeFailure::HttpsSentToHttp
                    | ProbeFailure::ExecMissing
                    | ProbeFailure::NamedPortMissing,
                ) => true,
                Some(ProbeFailure::HttpStatus) => {
                    probe_status(finding).is_some_and(|status| (400..500).contains(&status) && !PASSING.contains(&status))
                }
                _ => false,
            },
        }
}

/// The status that a probe was answered with.
fn probe_status(finding: &Finding) -> Option<u16> {
    finding.evidence.iter().find_map(|e| status_code(&e.detail))
}

/// Whether a container fails in this way in every pod of the current revision, in its first life.
fn fails_everywhere(view: &View<'_>, finding: &Finding, fails: impl Fn(&ContainerView<'_>) -> bool) -> bool {
    let pods = view
        .workload(&finding.subject.object)
        .into_iter()
        .flat_map(|w| w.pods.iter().copied());
    let mut pods = pods.filter(|pod| !revision::is_old(view, pod) && !is_terminating(pod)).peekable();
    let is_it = |c: &ContainerView<'_>| finding.subject.container.as_deref() == Some(c.name());
    pods.peek().is_some()
        && pods.all(|pod| {
            let container = containers(pod).into_iter().find(is_it);
            container.is_some_and(|c| c.is_running() && c.restarts() == 0 && fails(&c))
        })
}

/// Until when a container has the time for its start that its own probes allow, or that a server which answers 500 may take. One that ended
/// before has had it.
pub(crate) fn starts_until(finding: &Finding, container: &ContainerView<'_>) -> Option<Timestamp> {
    let probes = [&container.spec.startup_probe, &container.spec.readiness_probe];
    let is_warming = finding.code == Code::ApplicationError || probe_status(finding) == Some(500);
    let least = if is_warming { WARM_UP } else { Duration::ZERO };
    let budget = probes.into_iter().flatten().map(probe_budget).max().unwrap_or_default().max(least);
    let since = container.running_since().filter(|_| container.restarts() == 0)?;
    since.checked_add(jiff::SignedDuration::try_from(budget).ok()?).ok()
}
