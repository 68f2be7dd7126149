//! The codes of: probes.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Probes",
    entries: &[
        Entry {
            code: Code::StartupProbeFailing,
            title: "The startup probe fails",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container",
            signs: &["Unhealthy", "Startup probe failed"],
            explanation: "The kubelet's startup probe has not succeeded yet, and liveness and readiness probes wait for it. After \
             failureThreshold failures the kubelet kills the container and starts it again. podlife uses the kubelet's message about the last \
             failure, as long as the container has not started. The cause says whether nothing listens, the answer is too slow, the answer is \
             wrong, or the probe itself cannot be run.",
            steps: &[
                Step {
                    text: "Read the container's log from its start.",
                    command: "kubectl logs POD -c CONTAINER -n NAMESPACE",
                },
                Step {
                    text: "See the probe, its port, path and budget (initialDelaySeconds + periodSeconds × failureThreshold).",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.containers[?(@.name==\"CONTAINER\")].startupProbe}'",
                },
                Step {
                    text: "Correct the probe or the application; if it only needs longer, raise failureThreshold.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ProbeBudgetTooShort, Code::LivenessKilled, Code::NothingListening],
        },
        Entry {
            code: Code::LivenessProbeFailing,
            title: "The liveness probe fails, and the kubelet restarts the container",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container",
            signs: &[
                "Unhealthy",
                "Liveness probe failed",
                "Container … failed liveness probe, will be restarted",
            ],
            explanation: "The kubelet's liveness probe fails, and after failureThreshold failures in a row the kubelet kills the container. A \
             restart helps only if the process hangs: if the probe uses the wrong port or path, or the application is just slow, it makes \
             things worse. podlife uses the kubelet's message about the last failure and the restarts. Typical reasons are a timeoutSeconds of \
             one second under load, a probe that checks a database, and a path or port that has changed.",
            steps: &[
                Step {
                    text: "Compare the probe with what the application serves.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.containers[?(@.name==\"CONTAINER\")].livenessProbe}'",
                },
                Step {
                    text: "Read what the container wrote before it was killed.",
                    command: "kubectl logs POD -c CONTAINER --previous -n NAMESPACE",
                },
                Step {
                    text: "Correct port, path or scheme; raise timeoutSeconds and failureThreshold; keep dependencies out of a liveness \
                     probe.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::LivenessKilled, Code::ProbeBudgetTooShort, Code::LivenessSameAsReadiness],
        },
        Entry {
            code: Code::ReadinessProbeFailing,
            title: "The readiness probe fails, so the pod gets no traffic",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container",
            signs: &["Unhealthy", "Readiness probe failed", "ContainersNotReady"],
            explanation: "The container runs, but its readiness probe fails, so the pod is left out of the endpoints of every Service. The \
             container is not restarted for it. podlife uses the kubelet's message about the last failure, and only while the container is \
             still not ready. The cause tells where to look: refused means that nothing listens on that port, timeout that the answer is slow \
             or the path to it blocked, http-status that the application itself reports a problem.",
            steps: &[
                Step {
                    text: "See what the probe requests.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.containers[?(@.name==\"CONTAINER\")].readinessProbe}'",
                },
                Step {
                    text: "Send the same request from inside the pod.",
                    command: "kubectl exec POD -c CONTAINER -n NAMESPACE -- wget -qO- http://127.0.0.1:PORT/PATH",
                },
                Step {
                    text: "Read the application's log for why it is not ready.",
                    command: "kubectl logs POD -c CONTAINER -n NAMESPACE",
                },
            ],
            related: &[
                Code::ListenerOnLoopback,
                Code::DependencyUnreachable,
                Code::ServiceHasNoReadyEndpoints,
            ],
        },
        Entry {
            code: Code::ProbeBudgetTooShort,
            title: "The container is killed before it had time to start",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container",
            signs: &[
                "Container … failed liveness probe, will be restarted",
                "Container … failed startup probe, will be restarted",
            ],
            explanation: "The startup or liveness probe gives up earlier than the application needs to start, so the kubelet kills it again \
             and again in the middle of its start. The budget is initialDelaySeconds plus periodSeconds times failureThreshold. podlife \
             computes it and compares it with how long the container lived each time, and with the start time that its log shows. Without \
             that, the finding is likely only if nothing listened in any run on a port that the container declares or a Service uses; \
             otherwise it is mentioned with the probe that fails. Usual reasons: a liveness probe without a startup probe, migrations or \
             caches that have grown, and a CPU limit that slows the start down.",
            steps: &[
                Step {
                    text: "See how long each instance lived.",
                    command: "kubectl get pod POD -n NAMESPACE -o \
                     jsonpath='{.status.containerStatuses[?(@.name==\"CONTAINER\")].lastState.terminated}'",
                },
                Step {
                    text: "Add a startupProbe whose periodSeconds × failureThreshold is well above the slowest start; the liveness probe can \
                     then stay strict.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Raise the CPU limit if the start is starved.",
                    command: "kubectl top pod POD --containers -n NAMESPACE",
                },
            ],
            related: &[Code::LivenessKilled, Code::StartupProbeFailing, Code::LivenessProbeFailing],
        },
        Entry {
            code: Code::ReadinessGateUnmet,
            title: "A readiness gate of the pod is not met",
            severity: Severity::Error,
            class: Class::Other,
            subject: "pod",
            signs: &[
                "ReadinessGatesNotReady",
                "corresponding condition of pod readiness gate … does not exist",
            ],
            explanation: "The pod lists readinessGates: conditions that a controller outside of the kubelet must set to True before the pod \
             counts as ready. All containers are ready, but one such condition is missing or False. Load balancer and service mesh controllers \
             use gates to wait for registration on their side. podlife names the gate and its state. Usually that controller is not running, \
             is not allowed to patch the pod status, or its own health check of the pod fails.",
            steps: &[
                Step {
                    text: "See the gates and conditions of the pod.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.readinessGates}{\"\\n\"}{.status.conditions}'",
                },
                Step {
                    text: "Look at the controller that owns this condition; its name is in the condition's prefix.",
                    command: "kubectl get pods -A",
                },
                Step {
                    text: "If no controller sets it any more, remove the gate; if it was injected, remove the label that causes the injection.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ServiceHasNoReadyEndpoints, Code::RolloutStuck],
        },
        Entry {
            code: Code::ReadinessBudgetOverDeadline,
            title: "The readiness probe may take longer than the rollout's deadline",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "workload",
            signs: &[],
            explanation: "The probes allow a pod more time to become ready than progressDeadlineSeconds allows the rollout to make progress. A slow \
             but normal start is then reported as a failed rollout. podlife computes both from the spec; nothing needs to be broken at \
             the moment.",
            steps: &[
                Step {
                    text: "Compare the two.",
                    command: "kubectl get deployment DEPLOYMENT -n NAMESPACE -o \
                     jsonpath='{.spec.progressDeadlineSeconds}{\"\\n\"}{.spec.template.spec.containers[*].readinessProbe}'",
                },
                Step {
                    text: "Raise progressDeadlineSeconds above the longest start that you accept, or lower the probe's initial delay.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::RolloutStuck, Code::ProbeBudgetTooShort],
        },
        Entry {
            code: Code::ReadinessProbeMissing,
            title: "No readiness probe: traffic arrives as soon as the process has started",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "container",
            signs: &[],
            explanation: "A Service sends traffic to this container, and it has no readiness probe. Kubernetes then treats it as ready as soon \
             as its process has started, so rollouts finish too early and the first requests fail. podlife sees it in the spec of the pods \
             that the Service selects.",
            steps: &[
                Step {
                    text: "Add a readinessProbe on the port that the Service uses, with a path that answers only when requests can be served.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Read about its fields.",
                    command: "kubectl explain pod.spec.containers.readinessProbe",
                },
            ],
            related: &[Code::LivenessProbeMissing, Code::ServiceHasNoReadyEndpoints],
        },
        Entry {
            code: Code::LivenessProbeMissing,
            title: "No liveness probe: a process that hangs is never restarted",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "container",
            signs: &[],
            explanation: "The container has no liveness probe, so the kubelet restarts it only when its process ends. A deadlock then stays \
             until someone notices it. That can be the right choice for a process that exits when it fails; it is advice, not an error. \
             podlife sees it in the spec.",
            steps: &[
                Step {
                    text: "Add a livenessProbe that checks the process itself and no dependency, with a generous timeout.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Read about its fields.",
                    command: "kubectl explain pod.spec.containers.livenessProbe",
                },
            ],
            related: &[Code::ReadinessProbeMissing, Code::LivenessSameAsReadiness],
        },
        Entry {
            code: Code::LivenessSameAsReadiness,
            title: "Liveness and readiness probe are the same",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "container",
            signs: &[],
            explanation: "Both probes make the same check with the same thresholds. If the application is only overloaded, it is then killed \
             instead of being removed from the endpoints, and the load of the killed pod moves to the others. podlife compares the two probes \
             in the spec.",
            steps: &[
                Step {
                    text: "Let the liveness probe check less (that the process answers at all) and wait longer (a higher failureThreshold).",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Keep dependencies such as databases in the readiness probe only.",
                    command: "kubectl explain pod.spec.containers.readinessProbe",
                },
            ],
            related: &[Code::LivenessProbeFailing, Code::LivenessProbeMissing],
        },
        Entry {
            code: Code::ProbeTimeoutTight,
            title: "A probe has very little time to answer",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "container",
            signs: &[],
            explanation: "timeoutSeconds of the probe is at or near the default of one second, while there are signs that answers take about that \
             long. Under load such a probe fails although the application works. podlife compares the probe's timeout with the failures \
             and restarts that it has seen.",
            steps: &[
                Step {
                    text: "Raise timeoutSeconds to several times what the endpoint normally takes.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "See whether the container is at its CPU limit.",
                    command: "kubectl top pod POD --containers -n NAMESPACE",
                },
            ],
            related: &[Code::LivenessProbeFailing, Code::ReadinessProbeFailing],
        },
    ],
};
