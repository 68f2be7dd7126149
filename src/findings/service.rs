//! The codes of: services, endpoints, load balancers.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Services, endpoints, load balancers",
    entries: &[
        Entry {
            code: Code::ServiceSelectsNothing,
            title: "The Service selects no pods",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &["<none> in ENDPOINTS"],
            explanation: "No pod carries all the labels of the Service's selector, so the Service has no endpoints and every connection to it \
             is refused or times out. podlife compares the selector with the labels of all pods and pod templates of the namespace, and names \
             the closest one. Whether pods are ready does not matter here. Usual reasons: a label was renamed on one side, a chart was \
             installed under another release name, or the workload lives in another namespace or was never deployed.",
            steps: &[
                Step {
                    text: "See the selector.",
                    command: "kubectl get service SERVICE -n NAMESPACE -o jsonpath='{.spec.selector}'",
                },
                Step {
                    text: "Compare it with the labels that pods have.",
                    command: "kubectl get pods -n NAMESPACE --show-labels",
                },
                Step {
                    text: "Change the Service's selector; the selector of a Deployment cannot be changed, its template's labels must match \
                     it.",
                    command: "kubectl set selector service SERVICE KEY=VALUE -n NAMESPACE",
                },
            ],
            related: &[
                Code::ServiceHasNoReadyEndpoints,
                Code::ServiceSelectsForeignPods,
                Code::ScaledToZero,
            ],
        },
        Entry {
            code: Code::ServiceHasNoReadyEndpoints,
            title: "The Service selects pods, but none of them is ready",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &[],
            explanation: "The selector matches, but every selected pod is unready, so the Service has no pod to send traffic to. It is nearly \
             always the symptom of what keeps the pods from being ready, and podlife then shows it below that cause. It is shown alone if \
             nothing that was read explains why the pods are unready.",
            steps: &[
                Step {
                    text: "See which pods are selected, and their state.",
                    command: "kubectl get pods -n NAMESPACE -l SELECTOR",
                },
                Step {
                    text: "Diagnose the workload behind the Service.",
                    command: "kubectl podlife diagnose service/SERVICE -n NAMESPACE",
                },
            ],
            related: &[Code::ReadinessProbeFailing, Code::ContainerCrashing, Code::ServiceSelectsNothing],
        },
        Entry {
            code: Code::TargetPortNameUnresolved,
            title: "The Service's targetPort is a name that no container port has",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &[],
            explanation: "targetPort names a port, and the selected pods declare no port of that name. The endpoints then hold the pods' addresses \
             but leave this port out, so that kubectl shows ready pods while every connection fails. podlife compares the name with the \
             ports of the pods' containers. Names must match exactly, have at most 15 characters, and belong to the same protocol.",
            steps: &[
                Step {
                    text: "Compare the names.",
                    command: "kubectl get service SERVICE -n NAMESPACE -o jsonpath='{.spec.ports}'",
                },
                Step {
                    text: "See which ports the pods declare.",
                    command: "kubectl get pods -n NAMESPACE -l SELECTOR -o jsonpath='{.items[*].spec.containers[*].ports}'",
                },
                Step {
                    text: "Name the container's port, or use the number as targetPort.",
                    command: "kubectl edit service SERVICE -n NAMESPACE",
                },
            ],
            related: &[Code::TargetPortMismatch, Code::ServiceProtocolMismatch],
        },
        Entry {
            code: Code::TargetPortMismatch,
            title: "The Service's targetPort is a port that the container does not serve",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &[],
            explanation: "The Service forwards to a port number on which the application does not listen, so clients get connection refused although \
             all pods are ready. Declared ports are documentation only, so a difference alone is a hint; it becomes an error when the \
             application was seen to listen elsewhere. podlife compares targetPort with the declared ports, and connects to both. \
             When targetPort is left out it equals port, which is a common reason for this fault.",
            steps: &[
                Step {
                    text: "See port and targetPort.",
                    command: "kubectl get service SERVICE -n NAMESPACE -o jsonpath='{range .spec.ports[*]}{.port} -> \
                     {.targetPort}{\"\\n\"}{end}'",
                },
                Step {
                    text: "See the port that the application listens on.",
                    command: "kubectl logs POD -c CONTAINER -n NAMESPACE",
                },
                Step {
                    text: "Set targetPort to it.",
                    command: "kubectl patch service SERVICE -n NAMESPACE --type json -p \
                     '[{\"op\":\"replace\",\"path\":\"/spec/ports/0/targetPort\",\"value\":8080}]'",
                },
            ],
            related: &[Code::ListenerOnOtherPort, Code::TargetPortNameUnresolved, Code::ServicePortMismatch],
        },
        Entry {
            code: Code::ServiceProtocolMismatch,
            title: "The Service forwards another protocol than the container serves",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &[],
            explanation: "The port's protocol (TCP, UDP or SCTP) differs between the Service and the container, and the two are separate number \
             spaces. A DNS or syslog server that declares UDP behind a TCP Service port is the classic case. podlife compares the \
             Service's ports with the declared ports of the pods. The default is TCP wherever protocol is left out.",
            steps: &[
                Step {
                    text: "See both sides.",
                    command: "kubectl get service SERVICE -n NAMESPACE -o jsonpath='{.spec.ports}'",
                },
                Step {
                    text: "Set the protocol; a server that needs both gets two ports with different names.",
                    command: "kubectl edit service SERVICE -n NAMESPACE",
                },
            ],
            related: &[Code::TargetPortMismatch, Code::TargetPortNameUnresolved],
        },
        Entry {
            code: Code::ServicePortMismatch,
            title: "A caller uses a port number that the Service does not have",
            severity: Severity::Error,
            class: Class::Other,
            subject: "caller",
            signs: &[],
            explanation: "A container or an Ingress names a Service together with a port that this Service does not offer, most often the targetPort \
             instead of the port. Connections to a port that a ClusterIP Service does not have are refused or dropped, depending on the \
             proxy of the cluster. podlife reads host and port in the caller's arguments, environment or log, or in the Ingress, and \
             compares them with the Service. For a headless Service the caller reaches the pods directly, so there the container's port \
             is the right one.",
            steps: &[
                Step {
                    text: "See which ports the Service has.",
                    command: "kubectl get service SERVICE -n NAMESPACE",
                },
                Step {
                    text: "Correct the number at the caller, or add the port to the Service.",
                    command: "kubectl edit deployment CALLER -n NAMESPACE",
                },
            ],
            related: &[Code::TargetPortMismatch, Code::ServiceMissing, Code::IngressBackendPortMissing],
        },
        Entry {
            code: Code::LoadBalancerPending,
            title: "The LoadBalancer Service has no external address",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &["<pending>", "EnsuringLoadBalancer", "SyncLoadBalancerFailed"],
            explanation: "A Service of type LoadBalancer waits for a controller to write an address into its status. podlife looks at the status, \
             the Service's events and its loadBalancerClass. Clusters outside of a cloud have no such controller until one is \
             installed. In a cloud, typical reasons are quotas, missing rights of the controller, wrong annotations and subnets without \
             free addresses.",
            steps: &[
                Step {
                    text: "Read the events of the Service.",
                    command: "kubectl describe service SERVICE -n NAMESPACE",
                },
                Step {
                    text: "Check whether any LoadBalancer Service has an address.",
                    command: "kubectl get services -A",
                },
                Step {
                    text: "Install a load balancer for the cluster, or use NodePort or an Ingress instead.",
                    command: "kubectl patch service SERVICE -n NAMESPACE -p '{\"spec\":{\"type\":\"NodePort\"}}'",
                },
            ],
            related: &[Code::LocalTrafficPolicyWithoutEndpoint, Code::IngressWithoutAddress],
        },
        Entry {
            code: Code::LocalTrafficPolicyWithoutEndpoint,
            title: "Traffic is kept on the node, but nodes that receive it run no ready pod",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &[],
            explanation: "With externalTrafficPolicy or internalTrafficPolicy set to Local, a node forwards only to pods that run on itself, and \
             drops the connection where there is none. podlife compares the nodes of the ready endpoints with the nodes that clients or \
             the load balancer use. It happens when replicas are fewer than nodes, or when all pods land on the same node.",
            steps: &[
                Step {
                    text: "See on which nodes the pods run.",
                    command: "kubectl get pods -n NAMESPACE -l SELECTOR -o wide",
                },
                Step {
                    text: "Set the policy to Cluster, unless you need client addresses or locality.",
                    command: "kubectl patch service SERVICE -n NAMESPACE -p '{\"spec\":{\"internalTrafficPolicy\":\"Cluster\"}}'",
                },
                Step {
                    text: "Otherwise run a pod on every such node: a DaemonSet, or topologySpreadConstraints.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::LoadBalancerPending, Code::ServiceHasNoReadyEndpoints],
        },
        Entry {
            code: Code::EndpointsStale,
            title: "The endpoints do not match the pods",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &["FailedToUpdateEndpointSlices"],
            explanation: "The Service's EndpointSlices name pods or addresses that are gone, or lack pods that have been ready for a while. The \
             endpoint slice controller normally follows within a second, so something has stopped it, or the endpoints are written by \
             hand or by another controller. podlife compares the slices with the ready pods of the selector.",
            steps: &[
                Step {
                    text: "Compare the endpoints with the pods.",
                    command: "kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=SERVICE -o yaml",
                },
                Step {
                    text: "See who maintains the slices (label endpointslice.kubernetes.io/managed-by) and whether it reports errors.",
                    command: "kubectl describe service SERVICE -n NAMESPACE",
                },
                Step {
                    text: "Look at the controller manager if the slices are its own.",
                    command: "kubectl get pods -n kube-system",
                },
            ],
            related: &[Code::ServiceHasNoReadyEndpoints, Code::ServiceSelectsNothing],
        },
        Entry {
            code: Code::ServiceMissing,
            title: "Something names a Service that does not exist",
            severity: Severity::Error,
            class: Class::Other,
            subject: "caller",
            signs: &["no such host", "NXDOMAIN", "could not resolve host"],
            explanation: "A container, an Ingress or another object refers to a Service by name, and there is no such Service in the namespace \
             that the name refers to. A name without dots is looked up in the caller's own namespace. podlife takes the name from arguments, \
             environment, probes and log lines that say that it does not resolve, and checks it against a complete list of Services. Usual \
             reasons are a typo, another namespace, or an application that is not deployed yet.",
            steps: &[
                Step {
                    text: "Look for the Service in all namespaces.",
                    command: "kubectl get services -A",
                },
                Step {
                    text: "If it lives elsewhere, use NAME.NAMESPACE as host name; otherwise create it.",
                    command: "kubectl edit deployment CALLER -n NAMESPACE",
                },
                Step {
                    text: "Try the name from inside.",
                    command: "kubectl exec POD -n NAMESPACE -- nslookup SERVICE",
                },
            ],
            related: &[Code::ServicePortMismatch, Code::DependencyUnreachable, Code::ClusterDnsFailing],
        },
        Entry {
            code: Code::ServiceSelectsForeignPods,
            title: "The Service also selects pods of another application",
            severity: Severity::Error,
            class: Class::Other,
            subject: "Service",
            signs: &[],
            explanation: "The selector matches pods of more than one application, so that part of the requests reaches the wrong one. The \
             failure looks random, because it depends on the endpoint that each connection gets. podlife groups the selected pods by their \
             controller and labels, and reports the Service if their ports or purposes differ. Usually the selector holds one broad label such \
             as app: web, which a second Deployment or a Job carries as well.",
            steps: &[
                Step {
                    text: "See which pods are selected.",
                    command: "kubectl get pods -n NAMESPACE -l SELECTOR -o wide --show-labels",
                },
                Step {
                    text: "Narrow the selector with a label that only the right pods carry.",
                    command: "kubectl set selector service SERVICE KEY=VALUE,OTHER=VALUE -n NAMESPACE",
                },
            ],
            related: &[Code::ServiceSelectsNothing, Code::ApplicationError],
        },
        Entry {
            code: Code::ClusterDnsFailing,
            title: "Names do not resolve, although the Services exist",
            severity: Severity::Error,
            class: Class::Other,
            subject: "cluster DNS",
            signs: &[
                "Temporary failure in name resolution",
                "server misbehaving",
                "i/o timeout on port 53",
            ],
            explanation: "Containers report that names of existing Services cannot be resolved, or that the DNS server does not answer. \
             podlife reads such lines in their logs, checks that the Service exists, and looks at the DNS Service and its pods if it is \
             allowed to. Reasons are DNS pods that are down or overloaded, a NetworkPolicy that forbids egress to port 53, a dnsPolicy or \
             dnsConfig that names another server, and a node whose proxy rules are broken.",
            steps: &[
                Step {
                    text: "Look at the DNS pods.",
                    command: "kubectl get pods -n kube-system -l k8s-app=kube-dns -o wide",
                },
                Step {
                    text: "Look the name up from inside a pod.",
                    command: "kubectl exec POD -n NAMESPACE -- nslookup kubernetes.default",
                },
                Step {
                    text: "See which server the pod uses.",
                    command: "kubectl exec POD -n NAMESPACE -- cat /etc/resolv.conf",
                },
            ],
            related: &[Code::NetworkPolicyBlocks, Code::ServiceMissing, Code::DependencyUnreachable],
        },
    ],
};
