//! The faults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    PodDelete,
    Evict,
    ScaleZero,
    Scale,
    RollingRestart,
    NotReady,
    BadImage,
    StuckPending,
    CrashLoop,
}

/// Which ready pods a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Count(usize),
    Percent(usize),
    All,
}

impl Share {
    /// So many of `ready` pods: at least one.
    pub(crate) fn of(self, ready: usize) -> usize {
        match self {
            Self::Count(count) => count.min(ready),
            Self::Percent(percent) => (ready * percent).div_ceil(100).max(1).min(ready),
            Self::All => ready,
        }
    }
}

impl Fault {
    pub(crate) const ALL: [Self; 9] = [
        Self::PodDelete,
        Self::Evict,
        Self::ScaleZero,
        Self::Scale,
        Self::RollingRestart,
        Self::NotReady,
        Self::BadImage,
        Self::StuckPending,
        Self::CrashLoop,
    ];

    /// The name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PodDelete => "pod-delete",
            Self::Evict => "evict",
            Self::ScaleZero => "scale-zero",
            Self::Scale => "scale",
            Self::RollingRestart => "rolling-restart",
            Self::NotReady => "not-ready",
            Self::BadImage => "bad-image",
            Self::StuckPending => "stuck-pending",
            Self::CrashLoop => "crash-loop",
        }
    }

    /// What is done.
    pub(crate) const fn does(self) -> &'static str {
        match self {
            Self::PodDelete => "delete ready pods",
            Self::Evict => "evict ready pods, as far as PodDisruptionBudgets allow it",
            Self::ScaleZero => "scale to zero pods",
            Self::Scale => "scale to the number of pods of --to",
            Self::RollingRestart => "replace all pods, as kubectl rollout restart does",
            Self::NotReady => "take all pods out of the Services that select them",
            Self::BadImage => "roll out an image that does not exist",
            Self::StuckPending => "roll out pods that no node takes",
            Self::CrashLoop => "roll out a command that does not exist",
        }
    }

    /// How it is undone.
    pub(crate) const fn undo(self) -> &'static str {
        match self {
            Self::PodDelete | Self::Evict => "none needed: their controller replaces the pods",
            Self::RollingRestart => "none: the annotation of the restart stays in the template, and changes nothing",
            Self::ScaleZero | Self::Scale => "the number of pods from before",
            Self::NotReady => "the selector from before",
            Self::BadImage | Self::StuckPending | Self::CrashLoop => "the template from before",
        }
    }

    /// What proves that it was made.
    pub(crate) const fn proof(self) -> &'static str {
        match self {
            Self::PodDelete | Self::Evict => "the pods are gone or being deleted, by their uids",
            Self::ScaleZero | Self::Scale => "the surplus pods are gone or being deleted",
            Self::RollingRestart => "a pod of a new revision exists",
            Self::NotReady => "the Services have no ready endpoint",
            Self::BadImage => "a new pod cannot pull its image",
            Self::StuckPending => "a new pod is unschedulable",
            Self::CrashLoop => "a container of a new pod fails to start",
        }
    }

    /// Whether the workload gets over it while nobody undoes anything.
    pub(crate) const fn heals_by_itself(self) -> bool {
        matches!(self, Self::PodDelete | Self::Evict | Self::RollingRestart)
    }

    /// Whether it changes what an autoscaler or a GitOps controller also writes.
    pub(crate) const fn changes_spec(self) -> bool {
        !matches!(self, Self::PodDelete | Self::Evict | Self::NotReady)
    }

    /// How long it is held where `--duration` says nothing.
    pub(crate) const fn held_for(self) -> Duration {
        if self.heals_by_itself() {
            Duration::ZERO
        } else {
            Duration::from_secs(30)
        }
    }
}
