//! The codes of: ingress, Gateway API and network policies.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Ingress, Gateway API and network policies",
    entries: &[
        Entry {
            code: Code::IngressBackendMissing,
            title: "The Ingress points to a Service that does not exist",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Ingress",
            signs: &["services … not found", "503 from the ingress controller"],
            explanation: "A rule or the default backend of the Ingress names a Service that is not in the Ingress's own namespace. An Ingress cannot \
             refer to another namespace. podlife compares the backends with the complete list of Services. The ingress controller \
             answers such paths with 503 or 404, or with its own default page.",
            steps: &[
                Step {
                    text: "See the backends.",
                    command: "kubectl describe ingress INGRESS -n NAMESPACE",
                },
                Step {
                    text: "Compare them with the Services that exist.",
                    command: "kubectl get services -n NAMESPACE",
                },
                Step {
                    text: "Correct the name, or move the Ingress into the Service's namespace.",
                    command: "kubectl edit ingress INGRESS -n NAMESPACE",
                },
            ],
            related: &[Code::IngressBackendPortMissing, Code::ServiceMissing],
        },
        Entry {
            code: Code::IngressBackendPortMissing,
            title: "The Ingress uses a port that the Service does not have",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Ingress",
            signs: &[],
            explanation: "The Service exists, but none of its ports has the number or name that the Ingress uses. The Ingress must name the \
             Service's port, not the container's. podlife compares the two. A renamed Service port, or a targetPort put in place of the \
             port, are the usual reasons.",
            steps: &[
                Step {
                    text: "See the Service's ports.",
                    command: "kubectl get service SERVICE -n NAMESPACE -o jsonpath='{.spec.ports}'",
                },
                Step {
                    text: "Correct backend.service.port.",
                    command: "kubectl edit ingress INGRESS -n NAMESPACE",
                },
            ],
            related: &[Code::ServicePortMismatch, Code::IngressBackendMissing],
        },
        Entry {
            code: Code::IngressClassMissing,
            title: "The Ingress names a class that does not exist, or none at all",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Ingress",
            signs: &[],
            explanation: "ingressClassName names an IngressClass that is not in the cluster, or the Ingress names none and the cluster has no \
             default class. No controller then takes care of the Ingress, and nothing reports an error. podlife compares the name with \
             the list of classes. The old annotation kubernetes.io/ingress.class is still read by some controllers, so podlife accepts \
             it.",
            steps: &[
                Step {
                    text: "See the classes, and which one is the default.",
                    command: "kubectl get ingressclass",
                },
                Step {
                    text: "Set the class.",
                    command: "kubectl patch ingress INGRESS -n NAMESPACE -p '{\"spec\":{\"ingressClassName\":\"CLASS\"}}'",
                },
            ],
            related: &[Code::IngressWithoutAddress, Code::IngressBackendMissing],
        },
        Entry {
            code: Code::IngressTlsSecretMissing,
            title: "The certificate of the Ingress is missing or for another host",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Ingress",
            signs: &[],
            explanation: "spec.tls names a Secret that is not there, or clients get a certificate for another host, mostly the controller's \
             default certificate. podlife must know that the Secret is absent (it reads metadata only, and only with --with secrets), or an \
             event must say so. To see which certificate is served, it connects to port 443 of the Ingress's address with the host's name, as \
             every client does (not with --no-dial); it reads no Secret for this. Usually the component that issues certificates has not \
             finished, or the Secret is in another namespace.",
            steps: &[
                Step {
                    text: "Look for the Secret.",
                    command: "kubectl get secret SECRET -n NAMESPACE",
                },
                Step {
                    text: "If a certificate controller should create it, see its objects and events.",
                    command: "kubectl get events -n NAMESPACE --sort-by .lastTimestamp",
                },
                Step {
                    text: "Otherwise create it.",
                    command: "kubectl create secret tls SECRET --cert CERT_FILE --key KEY_FILE -n NAMESPACE",
                },
            ],
            related: &[Code::SecretMissing, Code::IngressWithoutAddress],
        },
        Entry {
            code: Code::IngressWithoutAddress,
            title: "No controller has given the Ingress an address",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Ingress",
            signs: &[],
            explanation: "The status of the Ingress has stayed without an address. Its class exists, but the controller behind it is not \
             running, does not watch this namespace, or refuses the object. podlife waits until the Ingress is old enough for a normal \
             controller before it says so. Some controllers never publish an address; then the Ingress works anyway.",
            steps: &[
                Step {
                    text: "See which controller the class belongs to.",
                    command: "kubectl get ingressclass -o wide",
                },
                Step {
                    text: "Check whether it runs.",
                    command: "kubectl get pods -A",
                },
                Step {
                    text: "Read events of the Ingress.",
                    command: "kubectl describe ingress INGRESS -n NAMESPACE",
                },
            ],
            related: &[Code::IngressClassMissing, Code::LoadBalancerPending],
        },
        Entry {
            code: Code::GatewayNotProgrammed,
            title: "The Gateway is not accepted or not programmed",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Gateway",
            signs: &[],
            explanation: "A condition Accepted or Programmed of the Gateway is False, or no controller has written any. podlife reads the \
             conditions of the Gateway and of its listeners, with their message. Reasons are a GatewayClass that does not exist, a certificate \
             that cannot be read, listeners in conflict, or no free address.",
            steps: &[
                Step {
                    text: "Read the conditions.",
                    command: "kubectl get gateway GATEWAY -n NAMESPACE -o jsonpath='{.status.conditions}{\"\\n\"}{.status.listeners}'",
                },
                Step {
                    text: "See whether its class exists and is accepted.",
                    command: "kubectl get gatewayclass",
                },
            ],
            related: &[Code::RouteNotAccepted, Code::LoadBalancerPending],
        },
        Entry {
            code: Code::RouteNotAccepted,
            title: "The route is not accepted, or its backend does not resolve",
            severity: Severity::Error,
            class: Class::Other,
            subject: "HTTPRoute",
            signs: &[],
            explanation: "A parent of the HTTPRoute says Accepted=False or ResolvedRefs=False, or no parent has answered at all. podlife reads \
             status.parents with reason and message. Usual reasons: the listener allows no routes from this namespace, the host names \
             do not intersect, the backend Service or port is missing, or a reference into another namespace lacks a ReferenceGrant.",
            steps: &[
                Step {
                    text: "Read what each parent says.",
                    command: "kubectl get httproute ROUTE -n NAMESPACE -o jsonpath='{.status.parents}'",
                },
                Step {
                    text: "Compare parentRefs, hostnames and backendRefs with the Gateway and the Services.",
                    command: "kubectl get gateways,services -n NAMESPACE",
                },
            ],
            related: &[Code::GatewayNotProgrammed, Code::IngressBackendMissing],
        },
        Entry {
            code: Code::NetworkPolicyBlocks,
            title: "A NetworkPolicy blocks a connection that is needed",
            severity: Severity::Error,
            class: Class::Other,
            subject: "NetworkPolicy",
            signs: &["i/o timeout", "connection timed out", "context deadline exceeded"],
            explanation: "A pod is selected by a NetworkPolicy of this direction, and no policy that selects it allows the connection; what is \
             not allowed is then dropped. Dropped packets make the client time out: policies never cause a refused connection. podlife \
             evaluates all policies for source, destination and port when something reports a timeout there, and `podlife trace` evaluates \
             them for any connection. Typical reasons are a default-deny policy without a rule for the new client, a rule with the Service's \
             port instead of the pod's port, and egress rules that forget DNS.",
            steps: &[
                Step {
                    text: "Trace the connection: which hop is closed, by which policy, and which rule is missing.",
                    command: "kubectl podlife trace -n NAMESPACE deployment/CLIENT service/SERVICE:PORT",
                },
                Step {
                    text: "See the policies of both namespaces.",
                    command: "kubectl get networkpolicy -A",
                },
                Step {
                    text: "Read how the named policy selects.",
                    command: "kubectl describe networkpolicy POLICY -n NAMESPACE",
                },
                Step {
                    text: "Add a rule for exactly this source and the pod's port; for DNS allow UDP and TCP 53 to kube-system.",
                    command: "kubectl edit networkpolicy POLICY -n NAMESPACE",
                },
            ],
            related: &[Code::DependencyUnreachable, Code::ClusterDnsFailing, Code::ReadinessProbeFailing],
        },
    ],
};
