//! The codes of: workload.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Workload",
    entries: &[
        Entry {
            code: Code::RolloutStuck,
            title: "The rollout makes no progress",
            severity: Severity::Symptom,
            class: Class::Other,
            subject: "workload",
            signs: &["ProgressDeadlineExceeded"],
            explanation: "The new revision has not become available within progressDeadlineSeconds (600 by default), or has stopped short of its \
             goal. It is a symptom of what keeps the new pods from being ready, and podlife shows it below that cause. The old pods \
             keep serving as far as the strategy allows. A condition of an older generation does not count.",
            steps: &[
                Step {
                    text: "See old and new ReplicaSets and their pods.",
                    command: "kubectl get replicasets,pods -n NAMESPACE -l SELECTOR",
                },
                Step {
                    text: "Roll back while you look for the reason.",
                    command: "kubectl rollout undo deployment/DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[
                Code::ReadinessProbeFailing,
                Code::ImagePullFailing,
                Code::QuotaExceeded,
                Code::Unschedulable,
            ],
        },
        Entry {
            code: Code::RolloutPaused,
            title: "The Deployment is paused",
            severity: Severity::Error,
            class: Class::Other,
            subject: "workload",
            signs: &["DeploymentPaused"],
            explanation: "spec.paused is true, so changes to the template do not reach the pods. It is advice if no change is pending, and an \
             error if one is. podlife compares the template with the newest ReplicaSet. It was paused on purpose, or someone forgot to resume \
             it.",
            steps: &[
                Step {
                    text: "See what is pending.",
                    command: "kubectl rollout status deployment/DEPLOYMENT -n NAMESPACE --watch=false",
                },
                Step {
                    text: "Resume.",
                    command: "kubectl rollout resume deployment/DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::UpdateOnDelete, Code::RolloutStuck],
        },
        Entry {
            code: Code::ScaledToZero,
            title: "The workload is scaled to zero",
            severity: Severity::Error,
            class: Class::Other,
            subject: "workload",
            signs: &[],
            explanation: "The workload is scaled to zero, so no pod can be ready. It is advice if nothing depends on it, and an error if an \
             Ingress or a running workload sends traffic to it, if its Service is the target of the diagnosis, or if it disables an \
             autoscaler. podlife sees it in the spec. A HorizontalPodAutoscaler does nothing while its target is scaled to zero.",
            steps: &[
                Step {
                    text: "See who changed the replicas.",
                    command: "kubectl get deployment DEPLOYMENT -n NAMESPACE --show-managed-fields -o yaml",
                },
                Step {
                    text: "Scale up.",
                    command: "kubectl scale deployment/DEPLOYMENT --replicas=1 -n NAMESPACE",
                },
            ],
            related: &[Code::ServiceSelectsNothing, Code::AutoscalerUnableToScale],
        },
        Entry {
            code: Code::UpdateOnDelete,
            title: "Changes reach the pods only when they are deleted",
            severity: Severity::Error,
            class: Class::Other,
            subject: "workload",
            signs: &[],
            explanation: "The update strategy of the StatefulSet or DaemonSet is OnDelete, or a partition holds the update back. It is advice \
             as long as all pods have the newest revision, and an error if a change is pending. podlife compares the pods' revision with the \
             newest one.",
            steps: &[
                Step {
                    text: "See the revisions of the pods.",
                    command: "kubectl get pods -n NAMESPACE -l SELECTOR -L controller-revision-hash",
                },
                Step {
                    text: "Delete the pods one by one, or use RollingUpdate.",
                    command: "kubectl patch statefulset STATEFULSET -n NAMESPACE -p \
                     '{\"spec\":{\"updateStrategy\":{\"type\":\"RollingUpdate\"}}}'",
                },
            ],
            related: &[Code::RolloutPaused, Code::OrderedStartBlocked],
        },
        Entry {
            code: Code::OrderedStartBlocked,
            title: "One pod of the StatefulSet stops all later ones",
            severity: Severity::Error,
            class: Class::Other,
            subject: "StatefulSet",
            signs: &[],
            explanation: "A StatefulSet with the pod management OrderedReady starts and updates one pod after the other, and an earlier one is not \
             ready. A bad revision keeps blocking even after the template has been corrected, because the controller waits for the \
             broken pod to become ready before it replaces it. podlife names the pod that blocks and compares its revision with the \
             newest one.",
            steps: &[
                Step {
                    text: "See which ordinal is not ready, and its revision.",
                    command: "kubectl get pods -n NAMESPACE -l SELECTOR -L controller-revision-hash",
                },
                Step {
                    text: "If the template is correct by now, delete the broken pod: it comes back with the newest revision.",
                    command: "kubectl delete pod POD -n NAMESPACE",
                },
                Step {
                    text: "Otherwise repair what keeps that pod from being ready.",
                    command: "kubectl podlife diagnose pod/POD -n NAMESPACE",
                },
            ],
            related: &[Code::ReadinessProbeFailing, Code::ContainerCrashing, Code::UpdateOnDelete],
        },
        Entry {
            code: Code::JobFailing,
            title: "The Job's pods fail",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "Job or CronJob",
            signs: &["BackoffLimitExceeded", "PodFailurePolicy", "MaxFailedIndexesExceeded"],
            explanation: "Pods of the Job have failed, and the Job has given up or is about to. podlife reads the Job's conditions and counts, \
             and the last pod's exit code and log. If a container's own fault is known, such as a missing ConfigMap, that is the cause and \
             this is its symptom. A failed Job stays failed: its template cannot be changed, so it has to be created again.",
            steps: &[
                Step {
                    text: "Read the log of a failed pod.",
                    command: "kubectl logs job/JOB -n NAMESPACE --all-containers",
                },
                Step {
                    text: "See conditions and counts.",
                    command: "kubectl describe job JOB -n NAMESPACE",
                },
                Step {
                    text: "Delete the Job, correct it and create it again.",
                    command: "kubectl delete job JOB -n NAMESPACE",
                },
            ],
            related: &[Code::JobDeadlineExceeded, Code::ContainerCrashing, Code::OutOfMemory],
        },
        Entry {
            code: Code::JobDeadlineExceeded,
            title: "The Job exceeded its deadline",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "Job or CronJob",
            signs: &["DeadlineExceeded"],
            explanation: "activeDeadlineSeconds of the Job has passed, so its pods were ended and the Job has failed. The deadline counts from the \
             Job's start, including time spent Pending and in retries. podlife reads the Job's condition. Either the work takes longer \
             than planned, or it could not run for most of the time.",
            steps: &[
                Step {
                    text: "See when it started, and what happened until the end.",
                    command: "kubectl describe job JOB -n NAMESPACE",
                },
                Step {
                    text: "Raise the deadline, or remove what held it up, and create the Job again.",
                    command: "kubectl get job JOB -n NAMESPACE -o jsonpath='{.spec.activeDeadlineSeconds}'",
                },
            ],
            related: &[Code::JobFailing, Code::Unschedulable],
        },
        Entry {
            code: Code::JobKeptOpen,
            title: "A container keeps the Job's pod open",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Job or CronJob",
            signs: &["1/2 Running", "NotReady"],
            explanation: "A container of the Job's pod has done its work and ended with exit code 0, but another one keeps running: a proxy, \
             an agent, a log shipper. podlife sees it in the containers' statuses. A pod completes only when all its containers have ended, so \
             the Job never does. An init container with restartPolicy: Always is a sidecar: Kubernetes ends it when the other containers are \
             done.",
            steps: &[
                Step {
                    text: "See which container still runs.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.status.containerStatuses}'",
                },
                Step {
                    text: "Make it a sidecar, or end it when the work is done, and create the Job again.",
                    command: "kubectl delete job JOB -n NAMESPACE",
                },
            ],
            related: &[Code::JobFailing, Code::JobDeadlineExceeded],
        },
        Entry {
            code: Code::CronJobInvalid,
            title: "The CronJob cannot create Jobs",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "CronJob",
            signs: &[
                "UnparseableSchedule",
                "UnknownTimeZone",
                "TooManyMissedTimes",
                "MissSchedule",
                "FailedCreate",
            ],
            explanation: "The schedule or time zone of the CronJob cannot be parsed, its start times are missed again and again, or its Jobs \
             are refused. No Job appears, so there is nothing else to look at. podlife reads the events of the CronJob and its spec. Without \
             timeZone the schedule follows the clock of the controller manager, mostly UTC.",
            steps: &[
                Step {
                    text: "Read its events.",
                    command: "kubectl describe cronjob CRONJOB -n NAMESPACE",
                },
                Step {
                    text: "Correct the schedule; start a run manually.",
                    command: "kubectl create job MANUAL_RUN --from=cronjob/CRONJOB -n NAMESPACE",
                },
            ],
            related: &[Code::CronJobSuspended, Code::JobFailing],
        },
        Entry {
            code: Code::JobSuspended,
            title: "The Job is suspended",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "Job",
            signs: &["Suspended"],
            explanation: "spec.suspend is true, so the Job runs no pods and ended those that ran. Queueing controllers suspend Jobs until there is \
             room for them, so it can be intended. podlife sees it in the spec.",
            steps: &[
                Step {
                    text: "See who set it.",
                    command: "kubectl get job JOB -n NAMESPACE --show-managed-fields -o yaml",
                },
                Step {
                    text: "Resume it.",
                    command: "kubectl patch job JOB -n NAMESPACE -p '{\"spec\":{\"suspend\":false}}'",
                },
            ],
            related: &[Code::CronJobSuspended, Code::JobFailing],
        },
        Entry {
            code: Code::CronJobSuspended,
            title: "The CronJob is suspended",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "CronJob",
            signs: &[],
            explanation: "spec.suspend is true, so no further Jobs are started; running ones continue. It is often set during maintenance and \
             forgotten. podlife sees it in the spec. Without startingDeadlineSeconds, a run that was missed meanwhile starts at once after \
             resuming.",
            steps: &[Step {
                text: "Resume.",
                command: "kubectl patch cronjob CRONJOB -n NAMESPACE -p '{\"spec\":{\"suspend\":false}}'",
            }],
            related: &[Code::JobSuspended, Code::CronJobInvalid],
        },
        Entry {
            code: Code::AutoscalerUnableToScale,
            title: "The autoscaler cannot do its work",
            severity: Severity::Error,
            class: Class::Other,
            subject: "HorizontalPodAutoscaler",
            signs: &[
                "FailedGetResourceMetric",
                "FailedGetScale",
                "FailedComputeMetricsReplicas",
                "ScalingActive=False",
            ],
            explanation: "The HorizontalPodAutoscaler reports that it cannot read its target or its metrics, so the number of replicas stays \
             where it is. podlife reads its conditions AbleToScale, ScalingActive and ScalingLimited. Utilisation is a percentage of the \
             request, so every container of the pod needs one, sidecars included. In the first minute after a start, missing metrics are \
             normal.",
            steps: &[
                Step {
                    text: "Read the conditions.",
                    command: "kubectl describe hpa AUTOSCALER -n NAMESPACE",
                },
                Step {
                    text: "Check whether metrics are available at all.",
                    command: "kubectl top pods -n NAMESPACE",
                },
                Step {
                    text: "Set requests where they are missing, or correct scaleTargetRef.",
                    command: "kubectl set resources deployment DEPLOYMENT --requests=cpu=100m -n NAMESPACE",
                },
            ],
            related: &[Code::ScaledToZero, Code::QuotaExceeded],
        },
        Entry {
            code: Code::DisruptionBudgetBlocks,
            title: "A disruption budget allows no eviction at all",
            severity: Severity::Advice,
            class: Class::Other,
            subject: "PodDisruptionBudget",
            signs: &["Cannot evict pod as it would violate the pod's disruption budget"],
            explanation: "The PodDisruptionBudget does not allow even one voluntary eviction, so draining a node stops at its pods. It is \
             normal while pods are unready; it lasts when minAvailable equals the number of replicas or maxUnavailable is 0. podlife compares \
             the budget with the number of replicas. It breaks nothing at the moment.",
            steps: &[
                Step {
                    text: "See the allowed disruptions.",
                    command: "kubectl get poddisruptionbudget -n NAMESPACE",
                },
                Step {
                    text: "Allow one pod to go, and run at least two.",
                    command: "kubectl patch poddisruptionbudget BUDGET -n NAMESPACE --type merge -p \
                     '{\"spec\":{\"minAvailable\":null,\"maxUnavailable\":1}}'",
                },
            ],
            related: &[Code::PodEvicted, Code::RolloutStuck],
        },
    ],
};
