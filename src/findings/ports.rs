//! The codes of: bind address and ports.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Bind address and ports",
    entries: &[
        Entry {
            code: Code::ListenerOnLoopback,
            title: "The server listens on the loopback address only",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container and port",
            signs: &[
                "Readiness probe failed: … connect: connection refused",
                "503 error trying to reach service",
            ],
            explanation: "A server inside the container answers on 127.0.0.1 or ::1, which only processes of the same pod can reach. Probes of \
             the kubelet, Services and other pods all dial the pod's own address, and the kernel refuses them there. kubectl port-forward \
             still works, because it dials from inside the pod, so a test from a laptop is misleading. Many development servers listen like \
             this by default. podlife connects both ways and compares: through the API server's pod proxy to the pod's address, and by \
             port-forward from inside. Without these connections, the server's log or command line can make it likely.",
            steps: &[
                Step {
                    text: "See which address the server says it listens on.",
                    command: "kubectl logs POD -c CONTAINER -n NAMESPACE",
                },
                Step {
                    text: "Start it on 0.0.0.0, or on :: for dual stack: an argument such as --host 0.0.0.0 or --bind 0.0.0.0:8080, or the \
                     variable that this server reads.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Afterwards dial the pod's address from another pod, not through port-forward.",
                    command: "kubectl exec OTHER_POD -n NAMESPACE -- wget -qO- http://POD_IP:PORT/",
                },
            ],
            related: &[Code::NothingListening, Code::ListenerOnOtherPort, Code::ReadinessProbeFailing],
        },
        Entry {
            code: Code::NothingListening,
            title: "Nothing listens on a port that is used",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container and port",
            signs: &["connect: connection refused"],
            explanation: "A Service, a probe or an Ingress sends connections to this port, the container runs, and nothing accepts them there. \
             A refused connection means that the packet arrived and no socket was open, so neither DNS nor a NetworkPolicy is to blame. \
             podlife concludes it from connections that are refused at the pod's address and inside the pod after the container's start-up \
             budget; with --exec or --debug-image it reads the sockets themselves. A server on ::1 alone looks the same from outside if the \
             node does not know that address by name. Usual reasons: the server failed to start while its process lives on, it serves a Unix \
             socket, or a feature that opens this port is switched off.",
            steps: &[
                Step {
                    text: "Check whether the server ever logged that it listens.",
                    command: "kubectl logs POD -c CONTAINER -n NAMESPACE",
                },
                Step {
                    text: "List the listening sockets inside the pod (state 0A, port in hexadecimal).",
                    command: "kubectl exec POD -c CONTAINER -n NAMESPACE -- cat /proc/net/tcp /proc/net/tcp6",
                },
                Step {
                    text: "Enable what should open the port, or remove the port from the Service, probe or Ingress.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ListenerOnLoopback, Code::ListenerOnOtherPort, Code::ReadinessProbeFailing],
        },
        Entry {
            code: Code::ListenerOnOtherPort,
            title: "The server listens on another port than the one used",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container and port",
            signs: &["connect: connection refused"],
            explanation: "The container does serve, but on a different port than the one that the Service, probe or Ingress dials. containerPort in \
             the pod template opens nothing and closes nothing: only the application decides where it listens. podlife connects to \
             the declared ports as well, and reads the port that the server's log names or, with --exec, the sockets themselves. Typical reasons are a \
             changed default after an image update, a PORT variable that was set, or a number copied from another application.",
            steps: &[
                Step {
                    text: "See which port the server names.",
                    command: "kubectl logs POD -c CONTAINER -n NAMESPACE",
                },
                Step {
                    text: "Either make the server listen on the port in use, or change containerPort, probes and targetPort to the real one, \
                     all of them together.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "Give the port a name and use the name in probes and Services, so that the number is in one place only.",
                    command: "kubectl explain pod.spec.containers.ports",
                },
            ],
            related: &[Code::TargetPortMismatch, Code::NothingListening, Code::ListenerOnLoopback],
        },
        Entry {
            code: Code::ListenerAddressFamily,
            title: "The server listens on one address family, and is used over the other",
            severity: Severity::Error,
            class: Class::Probe,
            subject: "container and port",
            signs: &["connect: connection refused"],
            explanation: "The server's socket is IPv6-only while the Service and the kubelet use IPv4, or the reverse. A socket on :: takes \
             IPv4 connections as well only where the option IPV6_V6ONLY is off; some servers switch it on, and on hosts without IPv6 the bind \
             fails altogether. podlife sees that the pod's IPv4 address refuses connections while the server's log or its socket shows ::.",
            steps: &[
                Step {
                    text: "See the families of the Service and of the pod.",
                    command: "kubectl get service,pod -n NAMESPACE -o \
                     custom-columns=NAME:.metadata.name,FAMILIES:.spec.ipFamilies,IPS:.status.podIPs",
                },
                Step {
                    text: "Make the server listen on 0.0.0.0 and ::, or on the family that the cluster has.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::ListenerOnLoopback, Code::NothingListening],
        },
        Entry {
            code: Code::AddressInUse,
            title: "The port is already taken, so the server cannot start",
            severity: Severity::Error,
            class: Class::Crash,
            subject: "container and port",
            signs: &["bind: address already in use", "EADDRINUSE"],
            explanation: "The container's log says that the address is already in use. All containers of a pod share one network namespace, so two \
             of them cannot listen on the same port; with hostNetwork the pod shares the ports of the whole node. podlife reads the \
             line in the log of the crashed container and looks for the other user of the port in the pod. Typical reasons are a \
             sidecar on the same port, a metrics port that two containers share by default, and a server that starts itself twice.",
            steps: &[
                Step {
                    text: "Read the line, and see which port it names.",
                    command: "kubectl logs POD -c CONTAINER --previous -n NAMESPACE",
                },
                Step {
                    text: "Compare the ports of the pod's containers.",
                    command: "kubectl get pod POD -n NAMESPACE -o jsonpath='{range .spec.containers[*]}{.name}{\" \
                     \"}{.ports[*].containerPort}{\" \"}{.args}{\"\\n\"}{end}'",
                },
                Step {
                    text: "Give one of the two another port, or leave hostNetwork.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
            ],
            related: &[Code::HostPortConflict, Code::ContainerCrashing],
        },
        Entry {
            code: Code::HostPortConflict,
            title: "A host port is taken on the node",
            severity: Severity::Error,
            class: Class::Scheduling,
            subject: "pod",
            signs: &["NodePorts", "didn't have free ports for the requested pod ports"],
            explanation: "The pod needs a port of the node itself (hostPort, or hostNetwork with containerPort), and on the nodes where it could \
             run that port already belongs to another pod. Two pods of one Deployment conflict in the same way when they meet on one \
             node, most often during a rolling update with surge. podlife reads it in the scheduler's message or in the kubelet's \
             refusal to admit the pod. hostPort is seldom needed: a Service of type NodePort or LoadBalancer does not tie a pod to a \
             node.",
            steps: &[
                Step {
                    text: "Find the pods that hold host ports.",
                    command: "kubectl get pods -A -o \
                     custom-columns=NAMESPACE:.metadata.namespace,POD:.metadata.name,NODE:.spec.nodeName,HOSTPORTS:.spec.containers[*].ports[*].hostPort",
                },
                Step {
                    text: "Remove hostPort and use a Service, or choose another port.",
                    command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
                },
                Step {
                    text: "If it must stay, roll out without surge.",
                    command: "kubectl patch deployment DEPLOYMENT -n NAMESPACE -p \
                     '{\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":0,\"maxUnavailable\":1}}}}'",
                },
            ],
            related: &[Code::Unschedulable, Code::AddressInUse],
        },
    ],
};
