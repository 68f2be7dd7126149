//! The codes of: image.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Image",
    entries: &[
        Entry {
            code: Code::ImagePullFailing,
            title: "The image cannot be pulled",
            severity: Severity::Error,
            class: Class::Image,
            subject: "container",
            signs: &[
                "ErrImagePull",
                "ImagePullBackOff",
                "BackOff",
                "InvalidImageName",
                "ErrImageNeverPull",
                "ImageInspectError",
                "RegistryUnavailable",
            ],
            explanation: "The kubelet cannot get the image onto the node, so the container has never started, and it retries with a back-off \
             of up to five minutes. ImagePullBackOff only means that it is waiting to retry: podlife looks for the message of the last real \
             attempt, in the container's status or the events, and classifies it by what has to be done. A tag that was never pushed and a \
             missing pull secret are the most common reasons. Pods on nodes that already have the image may run, while others fail.",
            steps: &[
                Step {
                    text: "Read the last real message.",
                    command: "kubectl describe pod POD -n NAMESPACE",
                },
                Step {
                    text: "Correct the image; a rollout goes back with kubectl rollout undo.",
                    command: "kubectl set image deployment/DEPLOYMENT CONTAINER=IMAGE -n NAMESPACE",
                },
                Step {
                    text: "For unauthorized, see which pull secrets the pod uses.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.imagePullSecrets}'",
                },
            ],
            related: &[Code::ImagePullSecretMissing, Code::RolloutStuck],
        },
        Entry {
            code: Code::ImagePullSecretMissing,
            title: "The pull secret that the pod names does not exist",
            severity: Severity::Error,
            class: Class::Image,
            subject: "pod",
            signs: &["FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets"],
            explanation: "imagePullSecrets of the pod, or of its ServiceAccount, names a Secret that is not in the namespace. The kubelet \
             continues without it, so public images still work and private ones are refused. podlife reads the kubelet's event, and only while \
             an image cannot be pulled. Secrets are not shared between namespaces.",
            steps: &[
                Step {
                    text: "See which names are used.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{.spec.imagePullSecrets}'",
                },
                Step {
                    text: "Create the Secret in this namespace.",
                    command: "kubectl create secret docker-registry SECRET --docker-server=REGISTRY --docker-username=USER \
                     --docker-password=PASSWORD -n NAMESPACE",
                },
                Step {
                    text: "Or attach an existing one to the ServiceAccount.",
                    command: "kubectl patch serviceaccount default -n NAMESPACE -p '{\"imagePullSecrets\":[{\"name\":\"SECRET\"}]}'",
                },
            ],
            related: &[Code::ImagePullFailing, Code::SecretMissing],
        },
    ],
};
