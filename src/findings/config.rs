//! The codes of: config and volumes.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Config and volumes",
    entries: &[
        Entry {
            code: Code::ConfigMapMissing,
            title: "A ConfigMap that the pod needs does not exist",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "container or volume",
            signs: &["CreateContainerConfigError", "configmap \"…\" not found", "FailedMount"],
            explanation: "An environment variable, envFrom or a volume refers to a ConfigMap that is not in the pod's namespace, and the \
             reference is not optional. The container cannot be created until it exists; the kubelet tries again by itself. podlife reads the \
             kubelet's message, or compares the name with the complete list of ConfigMaps. Usual reasons are a typo, a missing manifest, the \
             wrong namespace, or a generated name with a hash that no longer matches.",
            steps: &[
                Step {
                    text: "See which ConfigMaps exist.",
                    command: "kubectl get configmaps -n NAMESPACE",
                },
                Step {
                    text: "Create it, or correct the name.",
                    command: "kubectl create configmap NAME --from-literal=KEY=VALUE -n NAMESPACE",
                },
                Step {
                    text: "If the application can do without it, mark the reference optional: true.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ConfigMapKeyMissing, Code::SecretMissing, Code::VolumeMountFailing],
        },
        Entry {
            code: Code::SecretMissing,
            title: "A Secret that the pod needs does not exist",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "container or volume",
            signs: &["CreateContainerConfigError", "secret \"…\" not found", "FailedMount"],
            explanation: "An environment variable, envFrom or a volume refers to a Secret that is not in the pod's namespace, and the \
             reference is not optional. The kubelet's message names it, so podlife needs no right to read Secrets. If a controller creates the \
             Secret from another store, look there first: it usually reports why it cannot. The kubelet tries again by itself once the Secret \
             exists.",
            steps: &[
                Step {
                    text: "See which Secrets exist.",
                    command: "kubectl get secrets -n NAMESPACE",
                },
                Step {
                    text: "Look for errors of the controller that should create it.",
                    command: "kubectl get events -n NAMESPACE --field-selector type=Warning",
                },
                Step {
                    text: "Create it, or correct the name.",
                    command: "kubectl create secret generic NAME --from-file=KEY=FILE -n NAMESPACE",
                },
            ],
            related: &[Code::SecretKeyMissing, Code::ImagePullSecretMissing, Code::VolumeMountFailing],
        },
        Entry {
            code: Code::ConfigMapKeyMissing,
            title: "The ConfigMap exists, but not the key that the pod needs",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "container or volume",
            signs: &[
                "CreateContainerConfigError",
                "couldn't find key … in ConfigMap",
                "references non-existent config key",
            ],
            explanation: "The pod refers to a key that the ConfigMap does not have. For an environment variable the container cannot be \
             created; for a volume with items the mount fails. podlife takes key and ConfigMap from the kubelet's message, or compares the \
             keys if it may read the ConfigMap. Keys are case sensitive, and a file name becomes the key when a ConfigMap is made from files.",
            steps: &[
                Step {
                    text: "See which keys exist.",
                    command: "kubectl get configmap NAME -n NAMESPACE -o go-template='{{range $key, $value := .data}}{{$key}}{{\"\\n\"}}{{end}}'",
                },
                Step {
                    text: "Add the key, or correct it in the pod template.",
                    command: "kubectl edit configmap NAME -n NAMESPACE",
                },
                Step {
                    text: "Pods that already run keep their old environment: restart them after a change.",
                    command: "kubectl rollout restart deployment/DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ConfigMapMissing, Code::SecretKeyMissing],
        },
        Entry {
            code: Code::SecretKeyMissing,
            title: "The Secret exists, but not the key that the pod needs",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "container or volume",
            signs: &[
                "CreateContainerConfigError",
                "couldn't find key … in Secret",
                "references non-existent secret key",
            ],
            explanation: "The pod refers to a key that the Secret does not have. For an environment variable the container cannot be created; for a \
             volume with items the mount fails. podlife takes key and Secret from the kubelet's message and never reads values. Typical \
             reasons are another spelling, such as password for PASSWORD, and a Secret of a type whose keys are fixed, such as tls.crt \
             and tls.key.",
            steps: &[
                Step {
                    text: "See the keys and their sizes, without the values.",
                    command: "kubectl describe secret NAME -n NAMESPACE",
                },
                Step {
                    text: "Add the key, or correct it in the pod template.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::SecretMissing, Code::ConfigMapKeyMissing],
        },
        Entry {
            code: Code::VolumeMountFailing,
            title: "A volume cannot be attached or mounted",
            severity: Severity::Error,
            class: Class::Other,
            subject: "pod",
            signs: &["FailedMount", "FailedAttachVolume", "FailedMapVolume", "ContainerCreating"],
            explanation: "The pod is scheduled and waits in ContainerCreating for a volume. podlife reads the kubelet's and the attach controller's \
             latest event, and only while containers have not started: the same message is harmless in the first seconds of a pod's \
             life. A missing ConfigMap, Secret or claim has a code of its own. Multi-attach follows when a pod moves between nodes \
             while the old one is not gone: rolling updates with a ReadWriteOnce volume, or a lost node.",
            steps: &[
                Step {
                    text: "Read the event.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "See the claim and its volume.",
                    command: "kubectl get pvc,pv -n NAMESPACE",
                },
                Step {
                    text: "For multi-attach, see where the volume is attached; use the strategy Recreate for single-writer volumes.",
                    command: "kubectl get volumeattachments",
                },
            ],
            related: &[
                Code::ClaimPending,
                Code::ClaimMissing,
                Code::PodStuckTerminating,
                Code::NodeNotReady,
            ],
        },
        Entry {
            code: Code::ClaimMissing,
            title: "The pod uses a PersistentVolumeClaim that does not exist",
            severity: Severity::Error,
            class: Class::Scheduling,
            subject: "PersistentVolumeClaim",
            signs: &["persistentvolumeclaim \"…\" not found", "FailedScheduling"],
            explanation: "A volume of the pod names a claim that is not in the namespace, so the scheduler leaves the pod Pending. podlife reads the \
             scheduler's message, or compares the name with the complete list of claims. Unlike the claim templates of a StatefulSet, a \
             Deployment's claim must be created on its own.",
            steps: &[
                Step {
                    text: "See which claims exist.",
                    command: "kubectl get pvc -n NAMESPACE",
                },
                Step {
                    text: "Create the claim, or correct claimName.",
                    command: "kubectl apply -f CLAIM_FILE -n NAMESPACE",
                },
            ],
            related: &[Code::ClaimPending, Code::Unschedulable],
        },
        Entry {
            code: Code::ClaimPending,
            title: "The claim is not bound to a volume, or is being deleted",
            severity: Severity::Error,
            class: Class::Scheduling,
            subject: "PersistentVolumeClaim",
            signs: &[
                "ProvisioningFailed",
                "ExternalProvisioning",
                "FailedBinding",
                "WaitForFirstConsumer",
                "unbound immediate PersistentVolumeClaims",
            ],
            explanation: "The claim has no volume yet, so pods that use it cannot be scheduled. podlife reads the claim's phase and events and its \
             StorageClass. A class whose binding mode is WaitForFirstConsumer leaves the claim Pending until a pod is scheduled; that \
             alone is normal. Sizes, access modes and zones that the storage does not have are frequent reasons of failed provisioning.",
            steps: &[
                Step {
                    text: "Read the claim's events.",
                    command: "kubectl describe pvc CLAIM -n NAMESPACE",
                },
                Step {
                    text: "See the classes, their provisioners and the default.",
                    command: "kubectl get storageclass",
                },
                Step {
                    text: "See volumes that could fit.",
                    command: "kubectl get pv",
                },
            ],
            related: &[Code::ClaimMissing, Code::Unschedulable, Code::VolumeMountFailing],
        },
        Entry {
            code: Code::ClaimLost,
            title: "The claim has lost its volume",
            severity: Severity::Error,
            class: Class::Permanent,
            subject: "PersistentVolumeClaim",
            signs: &["ClaimLost", "Lost"],
            explanation: "The claim was bound to a PersistentVolume that no longer exists, or that now belongs to another claim. Kubernetes does not \
             bind it again by itself, and the data may be gone. podlife reads the phase Lost and the claim's event. Usually someone \
             deleted the volume, or restored the claim from a backup without it.",
            steps: &[
                Step {
                    text: "See which volume it was.",
                    command: "kubectl get pvc CLAIM -n NAMESPACE -o jsonpath='{.spec.volumeName}'",
                },
                Step {
                    text: "Check whether the storage still has the data before you delete anything.",
                    command: "kubectl get pv",
                },
                Step {
                    text: "Restore the PersistentVolume, or delete the claim and create it again.",
                    command: "kubectl delete pvc CLAIM -n NAMESPACE",
                },
            ],
            related: &[Code::ClaimPending, Code::ClaimMissing],
        },
    ],
};
