//! The names of findings: a public contract. What each one means is in `rules::codes`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($name:ident),* $(,)?) => {
        /// A stable code in the style of a Kubernetes condition reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $(#[doc = concat!("`", stringify!($name), "`")] $name),*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),*
                }
            }
        }
    };
}

codes! {
    ListenerOnLoopback, NothingListening, ListenerOnOtherPort, ListenerAddressFamily, AddressInUse, HostPortConflict,
    StartupProbeFailing, LivenessProbeFailing, ReadinessProbeFailing, ProbeBudgetTooShort, ReadinessGateUnmet,
    ReadinessBudgetOverDeadline, ReadinessProbeMissing, LivenessProbeMissing, LivenessSameAsReadiness, ProbeTimeoutTight,
    ServiceSelectsNothing, ServiceHasNoReadyEndpoints, TargetPortNameUnresolved, TargetPortMismatch, ServiceProtocolMismatch,
    ServicePortMismatch, LoadBalancerPending, LocalTrafficPolicyWithoutEndpoint, EndpointsStale, ServiceMissing,
    ServiceSelectsForeignPods, ClusterDnsFailing, IngressBackendMissing, IngressBackendPortMissing, IngressClassMissing,
    IngressTlsSecretMissing, IngressWithoutAddress, GatewayNotProgrammed, RouteNotAccepted, NetworkPolicyBlocks,
    Unschedulable, QuotaExceeded, LimitRangeViolated, PodSecurityViolated, AdmissionDenied, WebhookUnavailable,
    ServiceAccountMissing, PriorityClassMissing, RuntimeClassMissing, InvalidPodSpec, RunAsNonRootViolated,
    ObjectCreationFailing, NamespaceTerminating,
    ImagePullFailing, ImagePullSecretMissing,
    InitContainerFailing, InitContainerStuck, ContainerCrashing, ContainerCompletes, OutOfMemory, ContainerCreateFailing,
    LivenessKilled, LifecycleHookFailing, DependencyUnreachable, ApiAccessForbidden, PodSandboxFailing,
    ConfigMapMissing, SecretMissing, ConfigMapKeyMissing, SecretKeyMissing, VolumeMountFailing, ClaimMissing, ClaimPending, ClaimLost,
    NodeNotReady, NodePressure, PodEvicted, PodPreempted, PodStuckTerminating,
    RolloutStuck, RolloutPaused, ScaledToZero, UpdateOnDelete, OrderedStartBlocked, JobFailing, JobDeadlineExceeded,
    JobKeptOpen,
    CronJobInvalid, JobSuspended, CronJobSuspended, AutoscalerUnableToScale, DisruptionBudgetBlocks,
    ApplicationError,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = String;

    /// Accepts any case, as a user types it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("{text} is not a finding code; kubectl podlife explain lists them"))
    }
}
