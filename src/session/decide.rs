//! What has to be done about a session: cleaned up, or given another pod.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use crate::model::age;
use crate::session::ONCE;
use crate::session::record::{Phase, Record};

/// Who ran for so long has not failed in a row.
const STEADY: SignedDuration = SignedDuration::from_mins(10);
/// So many pods may fail in a row.
pub(crate) const MOST_FAILURES: u32 = 6;
/// The pause behind the second failure, doubled with each further one, and its maximum.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));
/// A kubelet ends a pod when its grace period is over. One that has not done so after this long does not answer any more.
const LOST: SignedDuration = SignedDuration::from_secs(30);

/// What to do about the pod of an active session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Healing {
    /// Nothing.
    No,
    /// Its pod is going; another one must not run beside it.
    Leaves,
    /// Its pod failed, and the next one comes then.
    Later(Timestamp),
    /// It needs another pod. Why, and how many have failed in a row.
    Now { why: String, failures: u32 },
    /// It failed too often. Why the last one did.
    Never { why: String },
}

/// Which limit of a session is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nobody has used it for its idle timeout.
    Idle,
    /// It is older than its maximum lifetime.
    Age,
}

/// Why a session is to be cleaned up, also in words; none if it is not.
pub(crate) fn due(record: &Record, now: Timestamp) -> Option<(Due, String)> {
    let age = Duration::try_from(now.duration_since(record.created)).unwrap_or_default();
    let idle = record.idle(now);
    let is_kept = record.keep_until.is_some_and(|until| until > now);
    match (record.idle_timeout, record.max_lifetime) {
        (_, Some(limit)) if age >= limit => Some((Due::Age, format!("it is older than its maximum lifetime of {}", age::short(limit)))),
        (Some(limit), _) if idle >= limit && !is_kept => Some((
            Due::Idle,
            format!("idle for {}, longer than {}", age::short(idle), age::short(limit)),
        )),
        _ => None,
    }
}

/// Whether a pod is held by a node that does not answer.
pub(crate) fn is_lost(pod: &Pod, now: Timestamp) -> bool {
    let end = pod.metadata.deletion_timestamp.as_ref();
    end.is_some_and(|end| now.duration_since(end.0) >= LOST)
}

/// Whether containers of a pod may run.
pub(crate) fn is_live(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether the command of a pod is run once.
pub(crate) fn is_once(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ONCE))
}

/// Whether a pod has done all that it had to do: it gets no successor.
pub(crate) fn is_done(pod: &Pod) -> bool {
    !is_live(pod) && pod.metadata.deletion_timestamp.is_none() && failure(pod).is_none()
}

/// What to do about the pod of the present generation.
pub(crate) fn heal(record: &Record, pod: Option<&Pod>, now: Timestamp) -> Healing {
    if record.phase != Phase::Active {
        return Healing::No;
    }
    let why = match pod {
        None => format!("pod {} is gone", record.pod()),
        Some(pod) if is_lost(pod, now) => format!("the node of pod {} does not answer", record.pod()),
        Some(pod) if pod.metadata.deletion_timestamp.is_some() => return Healing::Leaves,
        Some(pod) => match failure(pod) {
            Some(failure) => format!("pod {} failed: {failure}", record.pod()),
            None => return Healing::No,
        },
    };
    let lasted = now.duration_since(record.since);
    let before = if lasted >= STEADY { 0 } else { record.failures };
    let failures = before.saturating_add(1);
    if failures > MOST_FAILURES {
        return Healing::Never { why };
    }
    let later = SignedDuration::try_from(pause(before))
        .ok()
        .and_then(|pause| record.since.checked_add(pause).ok());
    match later {
        // Another client's clock may be a second ahead of this one's: who need not wait does not.
        Some(later) if before > 0 && later > now => Healing::Later(later),
        _ => Healing::Now { why, failures },
    }
}

/// How long the pod after so many failures has to wait.
fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => PAUSE.0.saturating_mul(2_u32.saturating_pow(n - 1)).min(PAUSE.1),
    }
}

/// How a pod failed: `Evicted: The node was low on resource: memory`, `OOMKilled`, `exit code 1`.
fn failure(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref().filter(|status| status.phase.as_deref() == Some("Failed"))?;
    if is_once(pod) && status.reason.is_none() {
        return None;
    }
    if let Some(reason) = &status.reason {
        let message = status.message.as_deref().unwrap_or_default();
        return Some(if message.is_empty() {
            reason.clone()
        } else {
            format!("{reason}: {message}")
        });
    }
    let statuses = [&status.container_statuses, &status.init_container_statuses];
    let mut ended = statuses.into_iter().flatten().flatten().filter_map(|container| {
        let state = container.state.as_ref()?.terminated.as_ref()?;
        (state.exit_code != 0).then(|| match state.reason.as_deref() {
            Some(reason) if reason != "Error" => format!("container {}: {reason}", container.name),
            _ => format!("container {}: exit code {}", container.name, state.exit_code),
        })
    });
    Some(ended.next().unwrap_or_else(|| "no container gives a reason".to_owned()))
}
