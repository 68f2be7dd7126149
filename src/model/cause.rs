//! The causes of findings: a public contract, like the codes. Each cause is declared once, with its text and its meaning.

use serde::{Serialize, Serializer};

use crate::model::code::Code;

macro_rules! variants {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal: $meaning:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $name {
            /// Each cause as it is written, with its meaning in one sentence.
            pub const ALL: &[(&str, &str)] = &[$(($text, $meaning)),+];

            /// The cause as it is written.
            pub const fn as_str(self) -> &'static str {
                Self::ALL[self as usize].0
            }
        }
    };
}

macro_rules! causes {
    ($($code:ident { $($variants:tt)+ })+) => {
        $(
            variants! { #[doc = concat!("Causes of `", stringify!($code), "`.")] $code { $($variants)+ } }

            impl From<$code> for Cause {
                fn from(cause: $code) -> Self {
                    Self::$code(cause)
                }
            }

            impl From<Option<$code>> for Cause {
                fn from(cause: Option<$code>) -> Self {
                    cause.map_or(Self::Only(Code::$code), Self::$code)
                }
            }
        )+

        /// A code, with its cause where one is known.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            /// The code alone.
            Only(Code),
            /// The startup probe fails.
            StartupProbeFailing(ProbeFailure),
            /// The liveness probe fails.
            LivenessProbeFailing(ProbeFailure),
            /// The readiness probe fails.
            ReadinessProbeFailing(ProbeFailure),
            $(#[doc = concat!("`", stringify!($code), "`")] $code($code),)+
        }

        impl Cause {
            /// The code.
            pub const fn code(self) -> Code {
                match self {
                    Self::Only(code) => code,
                    Self::StartupProbeFailing(_) => Code::StartupProbeFailing,
                    Self::LivenessProbeFailing(_) => Code::LivenessProbeFailing,
                    Self::ReadinessProbeFailing(_) => Code::ReadinessProbeFailing,
                    $(Self::$code(_) => Code::$code,)+
                }
            }

            /// The cause as it is written; empty for a code alone.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Only(_) => "",
                    Self::StartupProbeFailing(cause) | Self::LivenessProbeFailing(cause) | Self::ReadinessProbeFailing(cause) => cause.as_str(),
                    $(Self::$code(cause) => cause.as_str(),)+
                }
            }

            /// Why a probe fails, where this is about one.
            pub const fn of_probe(self) -> Option<ProbeFailure> {
                match self {
                    Self::StartupProbeFailing(cause) | Self::LivenessProbeFailing(cause) | Self::ReadinessProbeFailing(cause) => Some(cause),
                    _ => None,
                }
            }

            /// The causes of a code as they are written, each with its meaning.
            pub const fn of(code: Code) -> &'static [(&'static str, &'static str)] {
                match code {
                    Code::StartupProbeFailing | Code::LivenessProbeFailing | Code::ReadinessProbeFailing => ProbeFailure::ALL,
                    $(Code::$code => $code::ALL,)+
                    _ => &[],
                }
            }
        }
    };
}

variants! {
    /// Why a probe fails: the same causes for the three probes.
    ProbeFailure {
        Refused = "refused": "Nothing listens on the probed port of the pod's address.",
        Timeout = "timeout": "No answer came within timeoutSeconds.",
        HttpStatus = "http-status": "The answer has a status outside of 200 to 399.",
        Redirected = "redirected": "The application redirects the probe to a place where it fails.",
        HttpSentToHttps = "http-sent-to-https": "The probe speaks HTTP, and the port expects TLS: scheme HTTPS is missing.",
        HttpsSentToHttp = "https-sent-to-http": "The probe speaks TLS, and the port answers in plain HTTP.",
        Tls = "tls": "The TLS handshake fails.",
        Dns = "dns": "The probe names a host that does not resolve.",
        ExecExit = "exec-exit": "The probe's command ended with an exit code other than 0.",
        ExecMissing = "exec-missing": "The probe's command is not in the image, or may not be executed.",
        Grpc = "grpc": "The gRPC health service is not there, or does not answer SERVING.",
        Reset = "reset": "The connection was closed before an answer came.",
        NamedPortMissing = "named-port-missing": "The probe names a port that the container does not declare.",
    }
}

causes! {
    ServiceHasNoReadyEndpoints {
        PortName = "slice-port": "No EndpointSlice of the Service has a port with the name and protocol of the Service's port.",
        Family = "slice-family": "The EndpointSlices of the Service have addresses of another family.",
        Unready = "slice-unready": "The EndpointSlices of the Service have no ready endpoint.",
    }
    ListenerOnLoopback {
        Ipv4 = "ipv4": "It listens on 127.0.0.1.",
        Ipv6 = "ipv6": "It listens on ::1.",
        Mapped = "mapped": "It listens on ::ffff:127.0.0.1, the IPv4 loopback written as an IPv6 address.",
    }
    AddressInUse {
        SamePod = "same-pod": "Another container of the same pod, or another process of the container, holds the port.",
        HostPort = "host-port": "The pod uses the node's network, and another process of the node holds the port.",
    }
    ServiceSelectsNothing {
        LabelDiffers = "label-differs": "A workload is close to the selector, but one label differs; the finding names both.",
        WrongNamespace = "wrong-namespace": "Pods with these labels exist, but in another namespace; a Service selects only in its own.",
        NoWorkload = "no-workload": "Nothing in the namespace comes near the selector.",
        NoSelector = "no-selector": "The Service has neither a selector nor endpoints that are maintained for it.",
    }
    TargetPortMismatch {
        Declared = "declared": "The number differs from the ports that the containers declare; a hint, since declaring ports is voluntary.",
        Proven = "proven": "The application was seen to serve another port, and nothing answers on this one.",
    }
    LoadBalancerPending {
        NoController = "no-controller": "Nothing in the cluster gives addresses to Services of type LoadBalancer.",
        ClassUnknown = "class-unknown":
            "spec.loadBalancerClass names an implementation that is not there, so all others ignore the Service.",
        ProviderError = "provider-error": "The controller tried, and its event says what went wrong.",
        Waiting = "waiting": "The controller is still at work.",
    }
    IngressTlsSecretMissing {
        Missing = "missing": "The Secret that spec.tls names does not exist in the Ingress's namespace.",
        HostMismatch = "host-mismatch": "The certificate that is served is not valid for the host.",
    }
    NetworkPolicyBlocks {
        Ingress = "ingress": "No rule of the destination's policies admits the source on this port.",
        Egress = "egress": "No rule of the source's policies allows this destination and port.",
        Dns = "dns": "The source's policies allow no egress to the cluster's DNS, so that no name resolves.",
    }
    Unschedulable {
        Cpu = "cpu": "No node has enough unrequested CPU left.",
        Memory = "memory": "No node has enough unrequested memory left.",
        EphemeralStorage = "ephemeral-storage": "No node has enough unrequested local storage left.",
        ExtendedResource = "extended-resource": "No node offers enough of a device or other extended resource, such as a GPU.",
        PodsPerNode = "pods-per-node": "Every suitable node already runs as many pods as it can.",
        NodeSelector = "node-selector": "No node has the labels of the nodeSelector.",
        NodeAffinity = "node-affinity": "No node satisfies the required node affinity.",
        PodAffinity = "pod-affinity": "No node has the pods that the required pod affinity needs.",
        PodAntiAffinity = "pod-anti-affinity": "Every suitable node already runs a pod that the anti-affinity rules out.",
        Taint = "taint": "The nodes have a taint that the pod does not tolerate.",
        Cordoned = "cordoned": "The nodes that would do are cordoned.",
        Volume = "volume": "The pod's volume ties it to nodes that cannot take it, or its claim is not bound.",
        HostPort = "host-port": "The host port of the pod is taken on every suitable node.",
        TopologySpread = "topology-spread": "Any placement would break a required topology spread constraint.",
        NodeMissing = "node-missing": "nodeName gives the pod to a node that does not exist; no scheduler looks at it.",
        NoNodes = "no-nodes": "The cluster has no node at all, or none that is ready.",
        Gated = "gated": "The pod has scheduling gates that have not been removed.",
        ResourceClaim = "resource-claim": "A ResourceClaim for a device cannot be allocated.",
        SchedulerMissing = "scheduler-missing": "No scheduler has tried: schedulerName names a scheduler that does not run.",
    }
    QuotaExceeded {
        Exhausted = "exhausted": "The request plus the use exceeds the limit; the finding has the three numbers.",
        MustSpecify = "must-specify": "The quota counts a resource for which the pod sets no request or limit.",
    }
    ObjectCreationFailing {
        NameTaken = "name-taken": "A pod without an owner, or of another owner, has the name that a StatefulSet must give its own.",
    }
    ImagePullFailing {
        NotFound = "not-found": "The registry knows no such repository or tag.",
        Unauthorized = "unauthorized":
            "The registry requires credentials, or rejects those that it got; several registries also say this for names that do not exist.",
        RegistryUnreachable = "registry-unreachable": "The registry's name does not resolve, or nothing answers there.",
        Tls = "tls": "The registry's certificate is not trusted, or it speaks HTTP where HTTPS is expected.",
        RateLimited = "rate-limited": "The registry has answered too many requests.",
        InvalidName = "invalid-name": "The image reference cannot be parsed.",
        NeverPull = "never-pull": "imagePullPolicy is Never and the node does not have the image.",
        Architecture = "architecture": "The image exists, but not for the node's operating system and architecture.",
        RegistryError = "registry-error": "The registry returned another error.",
        Timeout = "timeout": "The pull took too long.",
        NoSpace = "no-space": "The node has no room for the image.",
        Unknown = "unknown": "The container runtime gives another reason; the finding quotes it.",
    }
    InitContainerStuck {
        WaitsFor = "waits-for": "It waits for something that can be named, such as a Service; the finding follows that to its own cause.",
        CommandFails = "command-fails":
            "It waits for nothing, or for something healthy, and its command cannot succeed: a program that does not take its arguments or is not in the image, a look-up that fails for a name that resolves.",
    }
    ContainerCrashing {
        ExitCode = "exit-code": "The process ended with this code; the log line that explains it is quoted where there is one.",
        CommandNotFound = "command-not-found":
            "The command or its interpreter is not in the image (exit code 127, or the runtime cannot find the file).",
        PermissionDenied = "permission-denied": "The process may not execute, read or write something that it needs.",
        ExecFormat = "exec-format":
            "The program is built for another architecture, or is a script without a first line that names its interpreter.",
        Signal = "signal": "A signal ended the process: exit code 128 plus the signal's number.",
        Config = "config": "The log says that the configuration is missing or wrong.",
        NoSpace = "no-space": "A file system is full.",
        ReadOnlyFilesystem = "read-only-filesystem": "It writes to a file system that is mounted read-only.",
        Unknown = "unknown": "Neither exit code nor log says why.",
    }
    OutOfMemory {
        Limit = "limit": "The container reached its own memory limit.",
        Node = "node": "The node itself ran out of memory.",
        ChildProcess = "child-process": "The kernel killed a process within the container, and the container keeps running.",
    }
    DependencyUnreachable {
        Stopped = "stopped": "What is called has no pod that could answer.",
    }
    PodSandboxFailing {
        NetworkPlugin = "network-plugin": "The network plugin reports an error or is not installed.",
        AddressExhausted = "address-exhausted": "The node or subnet has no free address for the pod.",
        Runtime = "runtime": "The container runtime fails.",
        MemoryLimit = "memory-limit": "The memory limit is too small for a container to start at all.",
    }
    VolumeMountFailing {
        Timeout = "timeout": "The kubelet waits for the volume and nothing says why.",
        Permission = "permission": "The storage refuses access, or the mount ends with permission denied.",
        Path = "path": "A path, file or subPath does not exist, or has the wrong type.",
        Attach = "attach": "The volume cannot be attached to the node.",
        MultiAttach = "multi-attach": "The volume is still attached to another node and allows only one.",
        Unknown = "unknown": "The kubelet gives another reason; the finding quotes it.",
    }
    ClaimPending {
        StorageClassMissing = "storage-class-missing": "The claim names a StorageClass that does not exist, or none is the default.",
        NoProvisioner = "no-provisioner": "The class exists, but the provisioner that it names does not answer.",
        NoMatchingVolume = "no-matching-volume":
            "Nothing provisions volumes for the claim, and no existing volume fits its size, access mode, class and selector.",
        ProvisioningFailed = "provisioning-failed": "The provisioner tried and reports an error.",
        Terminating = "terminating": "The claim is being deleted: no new pod may use it, and it is deleted once no pod uses it.",
    }
    PodEvicted {
        Memory = "memory": "The node was low on memory.",
        Disk = "disk": "The node was low on disk, or the pod exceeded its ephemeral storage.",
        Taint = "taint": "A taint that the pod does not tolerate was put on the node.",
        Api = "api": "The eviction was requested, for instance to drain the node.",
    }
    PodPreempted {
        Preempted = "preempted": "The scheduler removed it so that a pod of higher priority could be placed.",
    }
    PodStuckTerminating {
        Finalizer = "finalizer": "A finalizer of the pod has not been removed by its controller.",
        NodeLost = "node-lost": "The pod's node does not answer, so nothing can confirm that its containers have ended.",
        GracePeriod = "grace-period": "The grace period is over and the containers have not ended, or the period is very long.",
    }
    AutoscalerUnableToScale {
        NoMetrics = "no-metrics": "No metrics are available: the metrics API is not installed or does not answer for these pods.",
        NoRequests = "no-requests": "A container has no request for the resource that the autoscaler measures as a percentage.",
        TargetMissing = "target-missing": "scaleTargetRef names an object that does not exist.",
        AtMaximum = "at-maximum": "It wants more replicas than maxReplicas allows; advice.",
    }
}

impl From<Code> for Cause {
    fn from(code: Code) -> Self {
        Self::Only(code)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
