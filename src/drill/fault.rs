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
    ContainerCrash,
    Oom,
    Cpu,
    /// `cpu --resize`
    CpuResize,
    /// `not-ready --break`
    BreakHeal,
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
    pub(crate) const ALL: [Self; 14] = [
        Self::PodDelete,
        Self::Evict,
        Self::ScaleZero,
        Self::Scale,
        Self::RollingRestart,
        Self::NotReady,
        Self::BreakHeal,
        Self::BadImage,
        Self::StuckPending,
        Self::CrashLoop,
        Self::ContainerCrash,
        Self::Oom,
        Self::Cpu,
        Self::CpuResize,
    ];

    /// The name on the command line; variants that flags choose have the same name, and stand one after the other.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PodDelete => "pod-delete",
            Self::Evict => "evict",
            Self::ScaleZero => "scale-zero",
            Self::Scale => "scale",
            Self::RollingRestart => "rolling-restart",
            Self::NotReady | Self::BreakHeal => "not-ready",
            Self::BadImage => "bad-image",
            Self::StuckPending => "stuck-pending",
            Self::CrashLoop => "crash-loop",
            Self::ContainerCrash => "container-crash",
            Self::Oom => "oom",
            Self::Cpu | Self::CpuResize => "cpu",
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
            Self::ContainerCrash => "kill the process of a container of ready pods",
            Self::Oom => "fill the memory of a container of ready pods up to its limit",
            Self::Cpu => "keep CPUs busy in a container of ready pods, beyond its limit",
            Self::CpuResize => "with --resize: give a container of ready pods less CPU, in place",
            Self::BreakHeal => "with --break and --heal: run a command in ready pods that makes them not ready",
        }
    }

    /// How it is undone.
    pub(crate) const fn undo(self) -> &'static str {
        match self {
            Self::PodDelete | Self::Evict => "none needed: their controller replaces the pods",
            Self::ContainerCrash => "none needed: the kubelet starts the container again",
            Self::Oom | Self::Cpu => "the processes are ended; they also end by themselves, 15 s after --duration",
            Self::CpuResize => "the resources from before",
            Self::BreakHeal => "the command of --heal",
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
            Self::ContainerCrash => "the container has ended, by its status",
            Self::Oom => "the container is OOMKilled, or its control group counts a process that was killed for its memory",
            Self::Cpu => "the control group of the container counts periods that were throttled",
            Self::CpuResize => "the status of the container has the new limit",
            Self::BreakHeal => "the pods are not ready",
        }
    }

    /// Whether the workload gets over it while nobody undoes anything.
    pub(crate) const fn heals_by_itself(self) -> bool {
        matches!(self, Self::PodDelete | Self::Evict | Self::RollingRestart | Self::ContainerCrash)
    }

    /// Whether it changes what an autoscaler or a GitOps controller also writes.
    pub(crate) const fn changes_spec(self) -> bool {
        !self.chooses_pods() && !matches!(self, Self::NotReady)
    }

    /// Whether it runs a command in containers.
    pub(crate) const fn is_inside(self) -> bool {
        matches!(self, Self::ContainerCrash | Self::Oom | Self::Cpu | Self::BreakHeal)
    }

    /// Whether it is about some of the ready pods.
    pub(crate) const fn chooses_pods(self) -> bool {
        matches!(self, Self::PodDelete | Self::Evict | Self::CpuResize) || self.is_inside()
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
