//! The codes of: containers.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Containers",
    entries: &[
        Entry {
            code: Code::InitContainerFailing,
            title: "An init container fails, so the application never starts",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "init container",
            signs: &["Init:Error", "Init:CrashLoopBackOff"],
            explanation: "Init containers run one after the other before the application's containers, and one of them ends with an error again and \
             again. The application has not started, so its own log is empty. podlife reads the init container's exit code and the log \
             line that explains it. Migrations that cannot reach the database, and permissions on volumes, are frequent reasons.",
            steps: &[
                Step {
                    text: "Read the init container's log.",
                    command: "kubectl logs POD -c INIT_CONTAINER --previous -n NAMESPACE",
                },
                Step {
                    text: "See its exit code and message.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.status.initContainerStatuses}'",
                },
                Step {
                    text: "Correct the init container, or what it depends on.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::InitContainerStuck, Code::ContainerCrashing, Code::DependencyUnreachable],
        },
        Entry {
            code: Code::InitContainerStuck,
            title: "An init container does not end",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "init container",
            signs: &["Init:0/1", "PodInitializing"],
            explanation: "An init container has been running for longer than such a container should, and nothing after it can start. Most wait in a \
             loop for a database, a Service or a file. podlife reads its command, arguments and last log lines to see what it waits \
             for, and where that is a Service it looks for the fault there.",
            steps: &[
                Step {
                    text: "Read its log.",
                    command: "kubectl logs POD -c INIT_CONTAINER -n NAMESPACE",
                },
                Step {
                    text: "See what it runs.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.initContainers[*].command}{.spec.initContainers[*].args}'",
                },
                Step {
                    text: "Repair what it waits for.",
                    command: "kubectl podlife diagnose service/SERVICE -n NAMESPACE",
                },
            ],
            related: &[Code::InitContainerFailing, Code::DependencyUnreachable, Code::ServiceMissing],
        },
        Entry {
            code: Code::ContainerCrashing,
            title: "The container ends with an error again and again",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container",
            signs: &[
                "CrashLoopBackOff",
                "BackOff",
                "Error",
                "BackOff restarting failed container",
                "StartError",
                "ContainerStatusUnknown",
            ],
            explanation: "The container's process ends with an error, and the kubelet restarts it with a back-off of up to five minutes; \
             CrashLoopBackOff is that back-off, not the fault. podlife looks at the exit code of the last run and at the end of its log. 126 \
             means that a command cannot be executed, 127 that it does not exist, 137 a kill, 139 a memory fault, 143 a termination. Between \
             two crashes the pod can look Running and Ready for a moment: check the restart count.",
            steps: &[
                Step {
                    text: "Read the log of the run that failed.",
                    command: "kubectl logs POD -c CONTAINER --previous -n NAMESPACE",
                },
                Step {
                    text: "See exit code, reason and times.",
                    command: "kubectl get pod POD -n NAMESPACE -o \
                     jsonpath='{.status.containerStatuses[?(@.name==\"CONTAINER\")].lastState.terminated}'",
                },
                Step {
                    text: "If it began with a rollout, go back.",
                    command: "kubectl rollout undo deployment/DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[
                Code::OutOfMemory,
                Code::LivenessKilled,
                Code::DependencyUnreachable,
                Code::ContainerCompletes,
            ],
        },
        Entry {
            code: Code::ContainerCompletes,
            title: "The container ends without an error, though it should keep running",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container",
            signs: &["Completed", "CrashLoopBackOff with exit code 0"],
            explanation: "The process ends with exit code 0, and the controller of the pod expects it to run forever, so the kubelet restarts \
             it with a growing back-off. podlife says this only for controllers whose pods should not end, never for Jobs. Usual reasons: the \
             image's default command is a shell without input, the server puts itself into the background, or a one-time task was deployed as \
             a Deployment.",
            steps: &[
                Step {
                    text: "See what the container runs.",
                    command: "kubectl get pod POD -n NAMESPACE -o \
                     jsonpath='{.spec.containers[?(@.name==\"CONTAINER\")].command}{.spec.containers[?(@.name==\"CONTAINER\")].args}'",
                },
                Step {
                    text: "Start the server in the foreground.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "If it is a task that ends, make it a Job or a CronJob.",
                    command: "kubectl create job NAME --image=IMAGE -n NAMESPACE",
                },
            ],
            related: &[Code::ContainerCrashing, Code::JobFailing],
        },
        Entry {
            code: Code::OutOfMemory,
            title: "The kernel killed the container for its memory",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container",
            signs: &["OOMKilled", "exit code 137"],
            explanation: "The kernel ended a process because memory ran out: within the container's limit, or on the whole node. podlife reads \
             OOMKilled in the present or the last state of the container, and names the limit. After a restart the pod may look healthy until \
             it happens again. Typical reasons are a limit below what the runtime takes by default, a heap size that ignores the limit, a \
             leak, and files in an emptyDir of medium Memory, which count as memory.",
            steps: &[
                Step {
                    text: "See limit and usage.",
                    command: "kubectl top pod POD --containers -n NAMESPACE",
                },
                Step {
                    text: "See when it was killed last.",
                    command: "kubectl get pod POD -n NAMESPACE -o \
                     jsonpath='{.status.containerStatuses[?(@.name==\"CONTAINER\")].lastState.terminated}'",
                },
                Step {
                    text: "Raise the limit, or bound the application's memory below it.",
                    command: "kubectl set resources deployment DEPLOYMENT -c CONTAINER --limits=memory=512Mi -n NAMESPACE",
                },
            ],
            related: &[Code::ContainerCrashing, Code::NodePressure, Code::PodEvicted],
        },
        Entry {
            code: Code::ContainerCreateFailing,
            title: "The container cannot be created or started",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container",
            signs: &[
                "CreateContainerError",
                "RunContainerError",
                "CreateContainerConfigError",
                "StartError",
            ],
            explanation: "Kubelet and container runtime could not create or start the container, for a reason that no other code names. podlife \
             quotes the message of the container's waiting state. Typical reasons are a mount path or subPath that does not fit the \
             image, a device that is not there, and a container name that is still in use after a runtime restart.",
            steps: &[
                Step {
                    text: "Read the whole message.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.status.containerStatuses[*].state.waiting.message}'",
                },
                Step {
                    text: "Look at the mounts and the command of the container.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
            ],
            related: &[Code::ConfigMapMissing, Code::RunAsNonRootViolated, Code::VolumeMountFailing],
        },
        Entry {
            code: Code::LivenessKilled,
            title: "The kubelet restarted the container because of a probe",
            severity: Severity::Symptom,
            class: Class::Crash,
            subject: "container",
            signs: &["Killing", "failed liveness probe, will be restarted"],
            explanation: "The container did not end by itself: the kubelet ended it after its liveness or startup probe had failed often enough. Its \
             exit code (143, or 137 when it did not stop in time) says nothing about the application. podlife sees it in the kubelet's \
             event and shows it below the probe that failed. It is always a symptom.",
            steps: &[
                Step {
                    text: "Look at the probe's failure.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "Read what the application did before.",
                    command: "kubectl logs POD -c CONTAINER --previous -n NAMESPACE",
                },
            ],
            related: &[Code::LivenessProbeFailing, Code::ProbeBudgetTooShort, Code::StartupProbeFailing],
        },
        Entry {
            code: Code::LifecycleHookFailing,
            title: "A lifecycle hook of the container fails",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container",
            signs: &["FailedPostStartHook", "FailedPreStopHook", "PostStartHookError"],
            explanation: "The container's postStart or preStop hook ended with an error. If a postStart hook fails, the container is killed, \
             even if the application is fine; if a preStop hook fails, the graceful shutdown is cut short. podlife reads the kubelet's event. \
             Since a hook starts together with the process, a postStart hook often fails only because the application is not up yet.",
            steps: &[
                Step {
                    text: "Read the event.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "Try the hook's command.",
                    command: "kubectl exec POD -c CONTAINER -n NAMESPACE -- COMMAND",
                },
                Step {
                    text: "Let the hook wait and retry, or do its work in an init container or in the entry point.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ContainerCrashing, Code::ContainerCreateFailing],
        },
        Entry {
            code: Code::DependencyUnreachable,
            title: "The application cannot reach something that it depends on",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container",
            signs: &["connection refused", "no such host", "i/o timeout", "ECONNREFUSED"],
            explanation: "The container crashes or is not ready, and its log says that a connection to another host failed. podlife takes the \
             host and port from the log and, where they belong to a Service of the cluster, looks for that Service's own fault, which is then \
             the root cause. If the log says nothing, podlife also follows Services that are named in the command or environment and that \
             reach no pod. If workloads wait for each other, that is the root cause, and the finding names them all. A refusal means that \
             nothing listens there, a timeout that packets are dropped on the way, and an unknown host that the name is wrong or DNS does not \
             work. For hosts outside the cluster podlife can only name them.",
            steps: &[
                Step {
                    text: "Read the line.",
                    command: "kubectl logs POD -c CONTAINER --previous -n NAMESPACE",
                },
                Step {
                    text: "Diagnose the dependency.",
                    command: "kubectl podlife diagnose service/SERVICE -n NAMESPACE",
                },
                Step {
                    text: "Try the connection from the same pod.",
                    command: "kubectl exec POD -c CONTAINER -n NAMESPACE -- nc -zv -w 3 HOST PORT",
                },
            ],
            related: &[
                Code::ServiceMissing,
                Code::ServiceHasNoReadyEndpoints,
                Code::NetworkPolicyBlocks,
                Code::ClusterDnsFailing,
            ],
        },
        Entry {
            code: Code::ApiAccessForbidden,
            title: "The application lacks rights for its requests to the API server",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "ServiceAccount and container",
            signs: &["is forbidden: User \"system:serviceaccount:…\" cannot list resource"],
            explanation: "The application uses the Kubernetes API, and its own requests are refused: its ServiceAccount lacks a rule. podlife reads \
             the refusal in the container's log, with verb, resource, group and namespace, and names the rule that is missing. It is \
             about the rights of the application, not about yours. Often the pod runs as the account default, because \
             serviceAccountName was forgotten.",
            steps: &[
                Step {
                    text: "Check the right.",
                    command: "kubectl auth can-i VERB RESOURCE --as=system:serviceaccount:NAMESPACE:ACCOUNT -n NAMESPACE",
                },
                Step {
                    text: "See which account the pod uses.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.serviceAccountName}'",
                },
                Step {
                    text: "Grant exactly this.",
                    command: "kubectl create role NAME --verb=VERB --resource=RESOURCE -n NAMESPACE",
                },
                Step {
                    text: "Bind it.",
                    command: "kubectl create rolebinding NAME --role=NAME --serviceaccount=NAMESPACE:ACCOUNT -n NAMESPACE",
                },
            ],
            related: &[Code::ServiceAccountMissing, Code::ContainerCrashing],
        },
        Entry {
            code: Code::PodSandboxFailing,
            title: "The pod's sandbox, which holds its network, cannot be created",
            severity: Severity::Error,
            class: Class::Other,
            subject: "pod",
            signs: &["FailedCreatePodSandBox", "ContainerCreating", "SandboxChanged"],
            explanation: "Before any container starts, the runtime creates a sandbox with the pod's network, and that fails. The pod stays in \
             ContainerCreating, and only an event of the kubelet shows why. podlife reads that event while no container of the pod has \
             started. It is mostly a problem of the node or of the network plugin, so check whether other pods of that node are affected too.",
            steps: &[
                Step {
                    text: "Read the event.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "Look at other pods of that node, and at the network plugin's own.",
                    command: "kubectl get pods -A -o wide --field-selector spec.nodeName=NODE",
                },
                Step {
                    text: "If it is only this node, drain it and have it repaired.",
                    command: "kubectl cordon NODE",
                },
            ],
            related: &[Code::NodeNotReady, Code::RuntimeClassMissing],
        },
    ],
};
