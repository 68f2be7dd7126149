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
    Isolate,
    DnsBlock,
    StuckCreating,
    NodeLoss,
    ConfigCorrupt,
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
    pub(crate) const ALL: [Self; 19] = [
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
        Self::Isolate,
        Self::DnsBlock,
        Self::StuckCreating,
        Self::NodeLoss,
        Self::ConfigCorrupt,
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
            Self::Isolate => "isolate",
            Self::DnsBlock => "dns-block",
            Self::StuckCreating => "stuck-creating",
            Self::NodeLoss => "node-loss",
            Self::ConfigCorrupt => "config-corrupt",
        }
    }

    /// What is done.
    pub(crate) const fn does(self) -> &'static str {
        match self {
            Self::PodDelete => "delete ready pods",
            Self::Evict => "evict ready pods, as far as PodDisruptionBudgets allow",
            Self::ScaleZero => "scale to zero",
            Self::Scale => "scale to --to replicas",
            Self::RollingRestart => "replace all pods, as kubectl rollout restart does",
            Self::NotReady => "take all pods out of the Services that select them, or --count of them",
            Self::BadImage => "roll out an image that does not exist",
            Self::StuckPending => "roll out pods that fit no node",
            Self::CrashLoop => "roll out a command that does not exist",
            Self::ContainerCrash => "kill the process of a container of ready pods",
            Self::Oom => "fill the memory of a container of ready pods up to its limit",
            Self::Cpu => "keep CPUs busy in a container of ready pods, beyond its limit",
            Self::CpuResize => "with --resize: lower the CPU limit of a container of ready pods in place",
            Self::BreakHeal => "with --break and --heal: run a command in ready pods that makes them not ready",
            Self::StuckCreating => "roll out pods that mount a ConfigMap that does not exist",
            Self::Isolate => "cut the pods off with a NetworkPolicy: from everyone, or from the pods of --from",
            Self::ConfigCorrupt => "set a key of a ConfigMap to another value",
            Self::NodeLoss => "evict all pods of the namespace on one node at once",
            Self::DnsBlock => "block port 53 for the pods with a NetworkPolicy",
        }
    }

    /// How it is undone.
    pub(crate) const fn undo(self) -> &'static str {
        match self {
            Self::PodDelete | Self::Evict | Self::NodeLoss => "none needed: their controllers replace the pods",
            Self::ContainerCrash => "none needed: the kubelet restarts the container",
            Self::Oom | Self::Cpu => "stop the processes; they also exit by themselves 15 s after --duration",
            Self::CpuResize => "the previous resources",
            Self::BreakHeal => "the command of --heal",
            Self::RollingRestart => "none: the annotation of the restart stays in the template, and changes nothing",
            Self::ScaleZero | Self::Scale => "the previous replicas",
            Self::NotReady => "the previous selector or label",
            Self::ConfigCorrupt => "the previous value; with --restart, then the previous template",
            Self::BadImage | Self::StuckPending | Self::CrashLoop | Self::StuckCreating => "the previous template",
            Self::Isolate | Self::DnsBlock => {
                "delete the NetworkPolicy; if podlife is killed, Kubernetes deletes it at the deadline of the Job that owns it"
            }
        }
    }

    /// What proves that it was made.
    pub(crate) const fn proof(self) -> &'static str {
        match self {
            Self::PodDelete | Self::Evict | Self::NodeLoss => "the pods are gone or being deleted, by their uids",
            Self::ScaleZero | Self::Scale => "the surplus pods are gone or being deleted",
            Self::RollingRestart => "a pod of a new revision exists",
            Self::NotReady => "the pods are not ready endpoints of the Services",
            Self::BadImage => "a new pod cannot pull its image",
            Self::StuckPending => "a new pod is unschedulable",
            Self::CrashLoop => "a container of a new pod fails to start",
            Self::ContainerCrash => "the status of the container shows that it has exited",
            Self::Oom => "the container is OOMKilled, or its cgroup counts an OOM kill",
            Self::Cpu => "the cgroup of the container counts throttled periods",
            Self::CpuResize => "the status of the container has the new limit",
            Self::BreakHeal => "the pods are not ready",
            Self::ConfigCorrupt => "the files in the containers have the value (read with cat), or with --restart a new pod exists",
            Self::StuckCreating => "an event says that a new pod cannot mount the volume",
            Self::Isolate => "a pod in the cluster that could connect before no longer can",
            Self::DnsBlock => "a pod with the same labels that could look up a name before no longer can",
        }
    }

    /// Whether the workload gets over it while nobody undoes anything.
    pub(crate) const fn heals_by_itself(self) -> bool {
        self.takes_pods() || matches!(self, Self::RollingRestart | Self::ContainerCrash)
    }

    /// Whether it deletes or evicts pods.
    pub(crate) const fn takes_pods(self) -> bool {
        matches!(self, Self::PodDelete | Self::Evict | Self::NodeLoss)
    }

    /// Whether it evicts pods.
    pub(crate) const fn evicts(self) -> bool {
        matches!(self, Self::Evict | Self::NodeLoss)
    }

    /// Whether it is made by a NetworkPolicy.
    pub(crate) const fn cuts_off(self) -> bool {
        matches!(self, Self::Isolate | Self::DnsBlock)
    }

    /// Whether it changes what an autoscaler or a GitOps controller also writes.
    pub(crate) const fn changes_spec(self) -> bool {
        !self.chooses_pods() && !self.takes_pods() && !self.cuts_off() && !matches!(self, Self::NotReady)
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
