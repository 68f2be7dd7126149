//! The codes of: node and lifecycle.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Node and lifecycle",
    entries: &[
        Entry {
            code: Code::NodeNotReady,
            title: "The pod's node is not ready",
            severity: Severity::Error,
            class: Class::Other,
            subject: "node",
            signs: &["NodeNotReady", "NodeLost", "node.kubernetes.io/unreachable", "NodeStatusUnknown"],
            explanation: "The kubelet of the node says that it is not ready, or has not reported for about a minute. Pods there lose readiness \
             at once and are evicted after five minutes by default. podlife reads the node's Ready condition if it may read nodes, otherwise \
             the events and conditions of the pods. Reasons are a lost machine or network, a kubelet or runtime that has stopped, and a \
             network plugin that is not up.",
            steps: &[
                Step {
                    text: "See the condition and its message.",
                    command: "kubectl describe node NODE",
                },
                Step {
                    text: "See which pods are affected.",
                    command: "kubectl get pods -A -o wide --field-selector spec.nodeName=NODE",
                },
                Step {
                    text: "Take it out of use while it is repaired.",
                    command: "kubectl cordon NODE",
                },
            ],
            related: &[Code::NodePressure, Code::PodStuckTerminating, Code::PodEvicted],
        },
        Entry {
            code: Code::NodePressure,
            title: "The node runs short of memory, disk or process ids",
            severity: Severity::Error,
            class: Class::Other,
            subject: "node",
            signs: &["MemoryPressure", "DiskPressure", "PIDPressure", "NodeHasDiskPressure"],
            explanation: "The kubelet reports that a resource of the node is below its eviction threshold. It takes no further pods of certain \
             kinds and evicts some that run. podlife reads the node's conditions if it may read nodes. Disk pressure mostly comes from images, \
             logs and emptyDir volumes; memory pressure from pods that use more than they request.",
            steps: &[
                Step {
                    text: "See the conditions and what is allocated.",
                    command: "kubectl describe node NODE",
                },
                Step {
                    text: "Find the largest users.",
                    command: "kubectl top pods -A --sort-by=memory",
                },
                Step {
                    text: "Set requests near the real usage, and limits for ephemeral storage.",
                    command: "kubectl set resources deployment DEPLOYMENT --requests=memory=512Mi -n NAMESPACE",
                },
            ],
            related: &[Code::PodEvicted, Code::OutOfMemory, Code::NodeNotReady],
        },
        Entry {
            code: Code::PodEvicted,
            title: "The pod was evicted",
            severity: Severity::Error,
            class: Class::Other,
            subject: "pod",
            signs: &[
                "Evicted",
                "The node was low on resource",
                "TaintManagerEviction",
                "DeletionByTaintManager",
                "EvictionByEvictionAPI",
                "TerminationByKubelet",
            ],
            explanation: "The kubelet or the eviction API ended the pod, not a fault of its own. Once its controller has replaced it this is \
             only advice; it is an error while nothing has taken its place, as for a bare pod. podlife reads the pod's reason and its \
             DisruptionTarget condition. Pods that use more memory than they request are evicted first.",
            steps: &[
                Step {
                    text: "Read why.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "For memory or disk, set requests near the real usage, and a limit for ephemeral storage.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Remove what remains of failed pods.",
                    command: "kubectl delete pod POD -n NAMESPACE",
                },
            ],
            related: &[Code::NodePressure, Code::PodPreempted, Code::NodeNotReady],
        },
        Entry {
            code: Code::PodPreempted,
            title: "The pod was removed for a pod of higher priority",
            severity: Severity::Error,
            class: Class::Other,
            subject: "pod",
            signs: &["Preempted", "PreemptionByScheduler"],
            explanation: "There was no room for a pod of higher priority, so the scheduler removed this one. Its controller creates a new one, \
             which may stay Pending for lack of room. podlife reads the DisruptionTarget condition or the Preempted event. Once a replacement \
             runs this is only advice.",
            steps: &[
                Step {
                    text: "See the priorities.",
                    command: "kubectl get pods -n NAMESPACE -o \
                     custom-columns=NAME:.metadata.name,PRIORITY:.spec.priority,CLASS:.spec.priorityClassName,NODE:.spec.nodeName",
                },
                Step {
                    text: "Add room, or give the workload a priority that matches its importance.",
                    command: "kubectl get priorityclasses",
                },
            ],
            related: &[Code::Unschedulable, Code::PodEvicted],
        },
        Entry {
            code: Code::PodStuckTerminating,
            title: "The pod is being deleted but does not go away",
            severity: Severity::Error,
            class: Class::Other,
            subject: "pod",
            signs: &["Terminating"],
            explanation: "The pod has had a deletion time for longer than its grace period, and it still exists. A StatefulSet does not start \
             the replacement before it is gone, and its volumes stay attached. podlife compares the deletion time with the snapshot's time and \
             looks at finalizers and the node. Deleting by force removes only the object: the processes may still run on a lost node.",
            steps: &[
                Step {
                    text: "See finalizers and times.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.metadata.finalizers}{\" \"}{.metadata.deletionTimestamp}{\" \
                     \"}{.metadata.deletionGracePeriodSeconds}'",
                },
                Step {
                    text: "Look at its node.",
                    command: "kubectl describe node NODE",
                },
                Step {
                    text: "Delete the object only if you know that the node is off.",
                    command: "kubectl delete pod POD -n NAMESPACE --grace-period=0 --force",
                },
            ],
            related: &[Code::NodeNotReady, Code::VolumeMountFailing, Code::NamespaceTerminating],
        },
    ],
};
