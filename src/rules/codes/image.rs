//! The codes of: image.

use super::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(super) const AREA: Area = Area {
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
                "InvalidImageName",
                "ErrImageNeverPull",
                "ImageInspectError",
                "RegistryUnavailable",
            ],
            causes: &[
                ("not-found", "The registry knows no such repository or tag."),
                (
                    "unauthorized",
                    "The registry wants credentials, or refuses those that it got; several registries say this for names that do not exist.",
                ),
                (
                    "registry-unreachable",
                    "The registry's name does not resolve, or nobody answers there.",
                ),
                (
                    "tls",
                    "The registry's certificate is not trusted, or it speaks HTTP where HTTPS is expected.",
                ),
                ("rate-limited", "The registry has answered too many requests."),
                ("invalid-name", "The image reference cannot be parsed."),
                ("never-pull", "imagePullPolicy is Never and the node does not have the image."),
                (
                    "architecture",
                    "The image exists, but not for the node's operating system and architecture.",
                ),
                ("registry-error", "The registry answered with an error of its own."),
                ("timeout", "The pull took too long."),
                ("no-space", "The node has no room for the image."),
                ("unknown", "The container runtime gives another reason; the finding quotes it."),
            ],
            explanation: "The kubelet cannot get the image onto the node, so the container has never started, and it tries again with growing pauses \
             of up to five minutes. ImagePullBackOff only says that it is pausing: podlife looks for the message of the last real \
             attempt, in the container's status or the events, and sorts it by what has to be done about it. A tag that was never \
             pushed and a missing pull secret are the most common reasons. Pods on nodes that have the image from before may run, while \
             new ones fail.",
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
            causes: &[],
            explanation: "imagePullSecrets of the pod, or of its ServiceAccount, names a Secret that is not in the namespace. The kubelet goes on \
             without it, so that public images still work and private ones are refused. podlife takes it from the kubelet's event, and \
             counts it only while an image fails to be pulled. Secrets are not shared between namespaces.",
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
