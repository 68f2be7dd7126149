//! What podlife looks up when a message names something: the object or field that provides it.

use crate::model::code::Code;

/// One look-up: from what a message names to what provides it.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    /// The codes whose findings make it.
    pub codes: &'static [Code],
    /// What the message names.
    pub names: &'static str,
    /// The objects and fields that are compared.
    pub with: &'static str,
    /// What the finding says then.
    pub says: &'static str,
}

/// Codes of containers that end with a message.
const ENDS: &[Code] = &[Code::ContainerCrashing, Code::InitContainerFailing];

/// Codes of probes that fail.
const PROBES: &[Code] = &[Code::StartupProbeFailing, Code::LivenessProbeFailing, Code::ReadinessProbeFailing];

/// Every look-up.
pub(crate) const JOINS: &[Join] = &[
    Join {
        codes: &[Code::DependencyUnreachable, Code::InitContainerStuck],
        names: "A host that is called.",
        with: "Services, their endpoints and workloads, and network policies, also for hosts outside.",
        says: "The fault of what is called.",
    },
    Join {
        codes: &[Code::DependencyUnreachable, Code::InitContainerStuck],
        names: "A file or Job that a loop at the start of a command waits for.",
        with: "Keys of the ConfigMap that the volume shows, other containers that mount an emptyDir, Jobs of the namespace.",
        says: "Why it never comes. A loop behind other commands, or for what may still come, is left alone.",
    },
    Join {
        codes: ENDS,
        names: "A path that is denied, read-only or full.",
        with: "volumeMounts, the type and limit of the volume, readOnlyRootFilesystem, runAsUser, fsGroup, capabilities.",
        says: "Which volume it is, what that volume cannot do, and the one change that helps.",
    },
    Join {
        codes: &[Code::ContainerCrashing, Code::InitContainerFailing, Code::ContainerCreateFailing],
        names: "A path that is a directory, is no directory, or does not exist.",
        with: "subPath and items of ConfigMap and Secret volumes, and the keys of the ConfigMap.",
        says: "The key that is not there, and those that are.",
    },
    Join {
        codes: ENDS,
        names: "A call that is refused: chown, setuid, bind, mount.",
        with: "capabilities, runAsUser, ports below 1024.",
        says: "The capability or the user that the call needs.",
    },
    Join {
        codes: ENDS,
        names: "A variable or its value: tcp://…, $(NAME), empty, padded, not set.",
        with: "env and its order, envFrom, service links, keys of ConfigMaps.",
        says: "Where the value comes from, or why there is none.",
    },
    Join {
        codes: ENDS,
        names: "A command that cannot be executed.",
        with: "command and args, the first line and mode of a script from a ConfigMap, mounts over its folder, the node's architecture.",
        says: "Which of these it is.",
    },
    Join {
        codes: &[
            Code::ContainerCrashing,
            Code::InitContainerFailing,
            Code::VolumeMountFailing,
            Code::Unschedulable,
            Code::HostPortConflict,
            Code::AddressInUse,
        ],
        names: "A lock, port or claim that is held.",
        with: "Other pods with the same claim or port of the node, their workload, and the strategy.",
        says: "The pod that holds it, and what lets only one of them run.",
    },
    Join {
        codes: &[Code::PodEvicted],
        names: "An emptyDir volume over its limit.",
        with: "sizeLimit of the volume, and how long later pods have run.",
        says: "The volume and its limit, until a later pod outlives the evicted one.",
    },
    Join {
        codes: &[Code::JobFailing, Code::ContainerCrashing],
        names: "Pods or logs that are gone.",
        with: "restartPolicy, events, terminationMessagePolicy.",
        says: "That the log is lost, and how to keep it next time.",
    },
    Join {
        codes: &[Code::DependencyUnreachable, Code::ServiceMissing],
        names: "A name that does not resolve.",
        with: "dnsPolicy, hostNetwork, dnsConfig, egress policies, externalName, a headless Service and its pods, cluster DNS.",
        says: "The field to set. A word of a message counts only if the message is known, or if such a Service exists or the spec names it.",
    },
    Join {
        codes: &[
            Code::DependencyUnreachable,
            Code::ServiceMissing,
            Code::ServicePortMismatch,
            Code::ApiAccessForbidden,
        ],
        names: "A call that keeps failing in a ready pod.",
        with: "The timed last lines of one pod of each revision: for named targets, and with --logs.",
        says: "The call, and the fault of the Service that it is for. Single and old lines and calls that succeeded are ignored.",
    },
    Join {
        codes: &[
            Code::ListenerOnLoopback,
            Code::ListenerOnOtherPort,
            Code::ListenerAddressFamily,
            Code::NothingListening,
        ],
        names: "A port that refuses connections.",
        with: "command and args, variables, mounted configuration and log of the container that should listen there.",
        says: "Where it listens instead, and what sets that. A port that a starting program may still open is given time.",
    },
    Join {
        codes: PROBES,
        names: "Status 400, 401, 403 or 421 for a probe.",
        with: "Host and Authorization headers of the probe, the log line that rejects a host, hosts of Ingresses and variables.",
        says: "The header or path to set.",
    },
    Join {
        codes: PROBES,
        names: "A refusal at an address that the probe does not name.",
        with: "The URL in the kubelet's message, the probe's host, and the address that the application listens on.",
        says: "The redirect, the host to remove, or the address to call instead of localhost.",
    },
    Join {
        codes: PROBES,
        names: "A probe that fails while its container is ready.",
        with: "failureThreshold, the count and time of the event, and since when the container is ready.",
        says: "That the threshold hides the failures.",
    },
    Join {
        codes: &[Code::ImagePullFailing, Code::ImagePullSecretMissing],
        names: "An image that is refused or not on the node.",
        with: "imagePullSecrets, their type (--with secrets), Secrets of other pods that pull there, imagePullPolicy, images of the nodes.",
        says: "The Secret or the policy to change.",
    },
    Join {
        codes: &[Code::Unschedulable],
        names: "A label that no node has, or a volume that is tied to nodes.",
        with: "nodeSelector, topologySpreadConstraints, labels of the nodes, claims and the node affinity of their volumes.",
        says: "The label with what the nodes have, or the claim, the volume and its nodes.",
    },
    Join {
        codes: &[Code::ClaimPending],
        names: "A volume that is bound to a different claim.",
        with: "claimRef of the PersistentVolume, and the claim that it names.",
        says: "What holds the volume, and what frees it.",
    },
    Join {
        codes: &[Code::ServiceHasNoReadyEndpoints, Code::ServiceSelectsNothing],
        names: "EndpointSlices of a Service without a selector.",
        with: "Label, address type, names and protocols of ports, and readiness of endpoints.",
        says: "The field that differs from the Service.",
    },
    Join {
        codes: &[Code::ServiceSelectsForeignPods],
        names: "A Service whose pods answer and refuse.",
        with: "The workloads behind its selector, what listens in them, and their labels.",
        says: "The workload that does not belong, and the label that separates them.",
    },
];
