//! The codes of: scheduling and admission.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Scheduling and admission",
    entries: &[
        Entry {
            code: Code::Unschedulable,
            title: "No node can take the pod",
            severity: Severity::Error,
            class: Class::Scheduling,
            subject: "pod",
            signs: &[
                "FailedScheduling",
                "Pending",
                "Insufficient cpu",
                "SchedulingGated",
                "OutOfcpu",
                "OutOfmemory",
                "NodeAffinity",
            ],
            explanation: "The scheduler has looked at every node and found none that satisfies the pod, so the pod stays Pending. podlife reads the \
             scheduler's latest message on a pod that is still not scheduled; older messages no longer count. The scheduler compares \
             requests, not real usage: a node can be idle and full at the same time. The message counts nodes for each reason, and the \
             finding leads with the reason that keeps out most of the nodes that the pod could otherwise use.",
            steps: &[
                Step {
                    text: "Read the scheduler's message.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "See what is already requested on the nodes, their labels and their taints.",
                    command: "kubectl describe nodes",
                },
                Step {
                    text: "Lower the requests, correct the selector or affinity, tolerate the taint, or add a node.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ClaimPending, Code::HostPortConflict, Code::NodeNotReady, Code::PodPreempted],
        },
        Entry {
            code: Code::QuotaExceeded,
            title: "A ResourceQuota forbids more pods",
            severity: Severity::Error,
            class: Class::Scheduling,
            subject: "workload",
            signs: &["FailedCreate", "exceeded quota", "failed quota … must specify"],
            explanation: "The API server refused to create the pod, because a ResourceQuota of the namespace would be exceeded, or because it \
             demands a request or limit that the pod does not have. No pod exists then, so only the event of the ReplicaSet, Job or \
             StatefulSet shows it. podlife takes the quota, the request, the use and the limit from that message and compares it with the \
             quota's present state. A rolling update with surge needs room for the additional pods.",
            steps: &[
                Step {
                    text: "See what is used.",
                    command: "kubectl describe resourcequota -n NAMESPACE",
                },
                Step {
                    text: "Lower requests or replicas, remove what is not needed, or have the quota raised.",
                    command: "kubectl get pods -n NAMESPACE -o \
                     custom-columns=NAME:.metadata.name,CPU:.spec.containers[*].resources.requests.cpu,MEMORY:.spec.containers[*].resources.requests.memory",
                },
                Step {
                    text: "For must-specify, set the value in the pod template, or a default in a LimitRange.",
                    command: "kubectl set resources deployment DEPLOYMENT --requests=cpu=100m,memory=128Mi --limits=cpu=500m,memory=256Mi -n \
                     NAMESPACE",
                },
            ],
            related: &[Code::LimitRangeViolated, Code::Unschedulable, Code::RolloutStuck],
        },
        Entry {
            code: Code::LimitRangeViolated,
            title: "A LimitRange forbids the pod's resources",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &[
                "FailedCreate",
                "maximum memory usage per Container is …",
                "minimum cpu usage per Container is …",
            ],
            explanation: "The API server refused the pod, because a container requests more or less than a LimitRange of the namespace allows, or \
             its limit is too many times its request. LimitRanges also set defaults, so that a request that is not in the manifest can be the \
             one that is too high. podlife takes the refusal from the controller's event.",
            steps: &[
                Step {
                    text: "See the bounds and defaults.",
                    command: "kubectl describe limitrange -n NAMESPACE",
                },
                Step {
                    text: "Set requests and limits within them.",
                    command: "kubectl set resources deployment DEPLOYMENT --requests=cpu=100m,memory=128Mi --limits=cpu=500m,memory=256Mi -n \
                     NAMESPACE",
                },
            ],
            related: &[Code::QuotaExceeded, Code::InvalidPodSpec],
        },
        Entry {
            code: Code::PodSecurityViolated,
            title: "Pod Security admission forbids the pod",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &["FailedCreate", "violates PodSecurity \"restricted:latest\""],
            explanation: "The namespace enforces a Pod Security Standard (baseline or restricted), and the pod does not meet it. The API \
             server refuses the pod while the Deployment itself is accepted, so only the event of its ReplicaSet shows it. podlife takes the \
             list of violations from that message. restricted asks for runAsNonRoot, no privilege escalation, all capabilities dropped and a \
             seccomp profile.",
            steps: &[
                Step {
                    text: "See which level the namespace enforces.",
                    command: "kubectl get namespace NAMESPACE --show-labels",
                },
                Step {
                    text: "Add what the message lists to the securityContext of pod and containers.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Try a change without applying it; the server warns of violations.",
                    command: "kubectl apply --dry-run=server -f FILE -n NAMESPACE",
                },
            ],
            related: &[Code::RunAsNonRootViolated, Code::AdmissionDenied],
        },
        Entry {
            code: Code::AdmissionDenied,
            title: "An admission webhook or policy refuses the pod",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &[
                "FailedCreate",
                "admission webhook … denied the request",
                "ValidatingAdmissionPolicy … denied request",
            ],
            explanation: "A validating webhook, a mutating webhook or a ValidatingAdmissionPolicy answered no. The refusal concerns the pod, \
             so the workload object looks fine and only its controller's event shows it. podlife quotes the webhook or policy and its reason. \
             The rule belongs to the owner of the cluster's policies: the message usually says what would be accepted.",
            steps: &[
                Step {
                    text: "Read the refusal.",
                    command: "kubectl get events -n NAMESPACE --field-selector reason=FailedCreate",
                },
                Step {
                    text: "Change the pod template to comply, or ask the owners of the policy for an exception.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "List the webhooks and policies.",
                    command: "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies",
                },
            ],
            related: &[Code::WebhookUnavailable, Code::PodSecurityViolated],
        },
        Entry {
            code: Code::WebhookUnavailable,
            title: "An admission webhook does not answer, so nothing can be created",
            severity: Severity::Error,
            class: Class::Other,
            subject: "workload",
            signs: &["FailedCreate", "failed calling webhook", "no endpoints available for service"],
            explanation: "The API server has to ask a webhook before it creates the pod and gets no usable answer, and the webhook's failurePolicy \
             is Fail. The workload itself is not at fault. podlife takes the webhook and the error from the controller's event: no \
             endpoints, a timeout, or a certificate that does not match. Often the webhook's own pods are down, or were removed while \
             its configuration stayed.",
            steps: &[
                Step {
                    text: "Find the configuration, and the Service that it calls.",
                    command: "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
                },
                Step {
                    text: "Look at the pods behind that Service.",
                    command: "kubectl podlife diagnose service/WEBHOOK_SERVICE -n WEBHOOK_NAMESPACE",
                },
                Step {
                    text: "If the webhook is gone for good, delete its configuration.",
                    command: "kubectl delete validatingwebhookconfiguration NAME",
                },
            ],
            related: &[Code::AdmissionDenied, Code::ServiceHasNoReadyEndpoints],
        },
        Entry {
            code: Code::ServiceAccountMissing,
            title: "The pod's ServiceAccount does not exist",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &["FailedCreate", "error looking up service account", "serviceaccount … not found"],
            explanation: "spec.serviceAccountName names an account that the namespace does not have, and the API server creates no pod for an \
             unknown account. podlife reads the refusal in the controller's event, or compares the name with a complete list of \
             accounts. Usually the account is created by another manifest that was not applied, or in another namespace.",
            steps: &[
                Step {
                    text: "See which accounts exist.",
                    command: "kubectl get serviceaccounts -n NAMESPACE",
                },
                Step {
                    text: "Create the account, with the roles that the application needs.",
                    command: "kubectl create serviceaccount NAME -n NAMESPACE",
                },
                Step {
                    text: "Or name one that exists.",
                    command: "kubectl set serviceaccount deployment DEPLOYMENT NAME -n NAMESPACE",
                },
            ],
            related: &[Code::ApiAccessForbidden, Code::ObjectCreationFailing],
        },
        Entry {
            code: Code::PriorityClassMissing,
            title: "The pod's PriorityClass does not exist",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &["FailedCreate", "no PriorityClass with name … was found"],
            explanation: "spec.priorityClassName names a class that the cluster does not have, so the API server refuses the pod. PriorityClasses \
             are cluster-wide. podlife reads the refusal in the controller's event. It happens when manifests move between clusters.",
            steps: &[
                Step {
                    text: "See which classes exist.",
                    command: "kubectl get priorityclasses",
                },
                Step {
                    text: "Use one of them, leave the field out, or have the class created.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::RuntimeClassMissing, Code::PodPreempted],
        },
        Entry {
            code: Code::RuntimeClassMissing,
            title: "The pod's RuntimeClass does not exist, or the node lacks its handler",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &["FailedCreate", "RuntimeClass … not found", "no runtime for … is configured"],
            explanation: "spec.runtimeClassName names a class that is not in the cluster, or the container runtime of the node has no handler \
             for it. In the first case the pod is refused, in the second it is scheduled and its sandbox cannot be created. podlife reads the \
             message of the API server or of the kubelet.",
            steps: &[
                Step {
                    text: "See which classes exist, and their handlers.",
                    command: "kubectl get runtimeclasses",
                },
                Step {
                    text: "Correct the name, or keep the pod to nodes that have the handler.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::PodSandboxFailing, Code::PriorityClassMissing],
        },
        Entry {
            code: Code::InvalidPodSpec,
            title: "The pod template is not valid",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &["FailedCreate", "is invalid", "Invalid value", "FailedValidation"],
            explanation: "The API server or the kubelet says that the pod is not valid, so this template can never produce a pod. The \
             controller's own object was accepted, because not everything in a template is checked before pods are created from it. podlife \
             quotes the field and the reason from the event. A common case is a value that is valid alone but not together with another, such \
             as a request above its limit, or a duplicate mount path.",
            steps: &[
                Step {
                    text: "Read the field that is named.",
                    command: "kubectl get events -n NAMESPACE --field-selector type=Warning",
                },
                Step {
                    text: "Correct it, and let the server check the result first.",
                    command: "kubectl apply --dry-run=server -f FILE -n NAMESPACE",
                },
            ],
            related: &[Code::LimitRangeViolated, Code::ObjectCreationFailing],
        },
        Entry {
            code: Code::RunAsNonRootViolated,
            title: "The container must not run as root, but its image does",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "container",
            signs: &[
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
                "image has non-numeric user",
            ],
            explanation: "securityContext.runAsNonRoot is set, and the image runs as root, or its user is a name, which the kubelet cannot \
             compare with 0. The kubelet then refuses to create the container. podlife takes it from the container's waiting message. Setting \
             a numeric user solves both cases, if that user can read the files in the image.",
            steps: &[
                Step {
                    text: "Set a numeric user other than 0.",
                    command: "kubectl patch deployment DEPLOYMENT -n NAMESPACE -p \
                     '{\"spec\":{\"template\":{\"spec\":{\"securityContext\":{\"runAsUser\":1000,\"runAsGroup\":1000}}}}}'",
                },
                Step {
                    text: "Better, build the image with a numeric USER.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.containers[*].image}'",
                },
            ],
            related: &[Code::PodSecurityViolated, Code::ContainerCreateFailing],
        },
        Entry {
            code: Code::ObjectCreationFailing,
            title: "The controller cannot create its pods",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "workload",
            signs: &["FailedCreate", "ReplicaFailure"],
            explanation: "The API server refuses the objects that the controller wants to create, for a reason that no other code names. \
             podlife quotes the refusal from the controller's latest event or from its ReplicaFailure condition, as long as pods are still \
             missing. No pod exists, so there is no log to read.",
            steps: &[
                Step {
                    text: "Read the events of the controller, in full.",
                    command: "kubectl get events -n NAMESPACE --field-selector reason=FailedCreate",
                },
                Step {
                    text: "See the condition.",
                    command: "kubectl describe replicaset -n NAMESPACE",
                },
            ],
            related: &[Code::AdmissionDenied, Code::QuotaExceeded, Code::InvalidPodSpec],
        },
        Entry {
            code: Code::NamespaceTerminating,
            title: "The namespace is being deleted",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "namespace",
            signs: &["NamespaceTerminating", "because it is being terminated"],
            explanation: "The namespace has a deletion time, so nothing can be created in it and everything in it is being deleted. podlife \
             reads its phase and conditions. If this never finishes, objects with finalizers remain, or an aggregated API that must list its \
             objects does not respond. The conditions of the namespace say which.",
            steps: &[
                Step {
                    text: "See what keeps it.",
                    command: "kubectl get namespace NAMESPACE -o jsonpath='{.status.conditions}'",
                },
                Step {
                    text: "Let the controllers of the named finalizers finish, and repair API services that are unavailable.",
                    command: "kubectl get apiservices",
                },
                Step {
                    text: "Deploy again once the namespace is gone, or into another one.",
                    command: "kubectl get namespace NAMESPACE -w",
                },
            ],
            related: &[Code::PodStuckTerminating, Code::ObjectCreationFailing],
        },
    ],
};
