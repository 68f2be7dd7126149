//! The containers of a pod, spec and status side by side.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod, Probe};
use kube::ResourceExt;

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs beside others for the life of the pod.
    App,
    /// Must end well before the next one starts.
    Init,
    /// An init container with restartPolicy Always: runs for the life of the pod.
    Sidecar,
}

/// A container of a pod: its spec and its status side by side.
#[derive(Clone, Copy, Debug)]
pub struct ContainerView<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container as it was asked for; its image is what to print.
    pub spec: &'a Container,
    /// The kubelet's word on it; none before the pod is on a node.
    pub status: Option<&'a ContainerStatus>,
    /// What it is for.
    pub role: Role,
}

impl<'a> ContainerView<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    fn state(&self) -> Option<&'a ContainerState> {
        self.status.and_then(|s| s.state.as_ref())
    }

    /// Reason and message while it waits.
    pub fn waiting(&self) -> Option<(&'a str, &'a str)> {
        let waiting = self.state()?.waiting.as_ref()?;
        Some((
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default(),
        ))
    }

    /// Since when it runs; none when it does not.
    pub fn running_since(&self) -> Option<Timestamp> {
        self.state()?.running.as_ref()?.started_at.as_ref().map(|t| t.0)
    }

    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        self.state().is_some_and(|s| s.running.is_some())
    }

    /// How the present instance ended.
    pub fn terminated(&self) -> Option<&'a ContainerStateTerminated> {
        self.state()?.terminated.as_ref()
    }

    /// How the instance before the present one ended.
    pub fn last_terminated(&self) -> Option<&'a ContainerStateTerminated> {
        self.status?.last_state.as_ref()?.terminated.as_ref()
    }

    /// The newest end that is known: of this instance, else of the one before.
    pub fn newest_end(&self) -> Option<&'a ContainerStateTerminated> {
        self.terminated().or_else(|| self.last_terminated())
    }

    /// How often it was started again.
    pub fn restarts(&self) -> i32 {
        self.status.map_or(0, |s| s.restart_count)
    }

    /// Whether it passes its readiness probe (init containers: whether it is done).
    pub fn is_ready(&self) -> bool {
        self.status.is_some_and(|s| s.ready)
    }

    /// Whether its start-up probe has passed, or it has none and runs.
    pub fn is_started(&self) -> bool {
        self.status.and_then(|s| s.started).unwrap_or(false)
    }

    /// `pod/NAME container NAME`: where evidence about it was seen.
    pub fn source(&self) -> String {
        format!("pod/{} container {}", self.pod.name_any(), self.name())
    }
}

/// The containers of a pod: init containers and sidecars in their order, then the application's.
pub fn containers(pod: &Pod) -> Vec<ContainerView<'_>> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let find = |list: Option<&'_ Vec<ContainerStatus>>, name: &str| -> Option<usize> { list?.iter().position(|s| s.name == name) };
    let init_statuses = status.and_then(|s| s.init_container_statuses.as_ref());
    let statuses = status.and_then(|s| s.container_statuses.as_ref());
    let init = spec.init_containers.iter().flatten().map(|container| ContainerView {
        pod,
        spec: container,
        status: find(init_statuses, &container.name).and_then(|i| init_statuses?.get(i)),
        role: if container.restart_policy.as_deref() == Some("Always") {
            Role::Sidecar
        } else {
            Role::Init
        },
    });
    let app = spec.containers.iter().map(|container| ContainerView {
        pod,
        spec: container,
        status: find(statuses, &container.name).and_then(|i| statuses?.get(i)),
        role: Role::App,
    });
    init.chain(app).collect()
}

/// How long a probe lets a container fail before it acts: initial delay, plus failures times period (Kubernetes defaults where unset).
pub fn probe_budget(probe: &Probe) -> Duration {
    let seconds = |value: Option<i32>, default: i32| u64::try_from(value.unwrap_or(default)).unwrap_or_default();
    let period = seconds(probe.period_seconds, 10).max(1);
    Duration::from_secs(seconds(probe.initial_delay_seconds, 0) + period * seconds(probe.failure_threshold, 3).max(1))
}
