//! Endpoints: none ready, none where the traffic policy looks for them, or not those that they should be.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::ResourceExt;

use crate::model::code::Code::{EndpointsStale, LocalTrafficPolicyWithoutEndpoint, ServiceHasNoReadyEndpoints};
use crate::model::finding::{Confidence, Effect, Finding, Severity};
use crate::model::kind;
use crate::rules::service::subject;
use crate::text::command;
use crate::view::endpoints::{self, Endpoints};
use crate::view::{Needs, View, WorkloadObject, condition, is_ready, ports, service_effect};

/// A start that takes longer than this is no start any more, even if nothing else explains it (the default progress deadline).
const START: Duration = Duration::from_secs(600);
/// The controllers write endpoints within a second or two; lists are read one after the other.
const LAG: Duration = Duration::from_secs(60);

/// What is wrong with the endpoints of a Service that selects something.
pub fn check(view: &View<'_>, needs: &mut Needs, service: &Service) -> Vec<Finding> {
    if !ports::has_selector(service) {
        return Vec::new();
    }
    [none_ready(view, service), local_policy(view, needs, service), stale(view, service)]
        .into_iter()
        .flatten()
        .collect()
}

fn none_ready(view: &View<'_>, service: &Service) -> Option<Finding> {
    let name = service.name_any();
    let behind = ports::workloads_behind(view, service);
    let lasting = behind.iter().any(|w| !w.object.is_some_and(WorkloadObject::is_finite));
    // A manifest has no status, and the pods of a Job come and go.
    let namespace = service.namespace().unwrap_or_default();
    let sees_pods = view.snapshot.is_complete_behind(&kind::POD, &namespace, &name);
    if !lasting || ports::publishes_unready(service) || !sees_pods {
        return None;
    }
    if !matches!(endpoints::by_pods(view, service), Endpoints::NoneReady) {
        return None;
    }
    let pods = ports::pods_behind(view, service);
    let names: Vec<String> = behind.iter().map(|w| w.reference.short()).collect();
    let to_zero = behind.iter().all(|w| w.object.and_then(WorkloadObject::wanted) == Some(0));
    let summary = if to_zero {
        format!("Service {name} has no endpoints: {} is scaled to zero", names.join(" and "))
    } else if pods.is_empty() {
        format!("Service {name} has no endpoints: {} has no pods", names.join(" and "))
    } else if pods.len() == 1 {
        format!("Service {name} has no ready endpoints: the one pod it selects is not ready")
    } else {
        format!(
            "Service {name} has no ready endpoints: none of the {} pods it selects is ready",
            pods.len()
        )
    };
    let youngest = pods
        .iter()
        .filter_map(|pod| view.age_of(pod.metadata.creation_timestamp.as_ref()))
        .min();
    let overdue = !to_zero && youngest.is_some_and(|age| age > START);
    let mut finding = Finding::new(
        ServiceHasNoReadyEndpoints,
        // Pods that are starting are no fault; what keeps them from it is found by others, and this tells what follows from that.
        if overdue { Severity::Error } else { Severity::Symptom },
        if overdue { Confidence::Proven } else { Confidence::Possible },
        subject(service),
        summary,
    )
    .breaking(service_effect(service));
    for workload in &behind {
        finding = finding
            .suffering(Effect::NotReady(workload.reference.clone()))
            .related("selected", workload.reference.clone());
    }
    if let Some(pod) = pods.first() {
        finding = match condition(pod, "Ready") {
            Some((_, reason, message)) if !reason.is_empty() || !message.is_empty() => {
                finding.evidence(format!("pod/{} condition Ready", pod.name_any()), format!("{reason}: {message}"))
            }
            // A pod that has no node yet has no such condition.
            _ => {
                let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending");
                finding.evidence(format!("pod/{}", pod.name_any()), format!("is {phase}, and not ready"))
            }
        };
    }
    Some(finding.fix_command(
        "make the pods behind it ready",
        command(
            "kubectl get pods -n {} -l {}",
            &[&service.namespace().unwrap_or_default(), &selector(service)],
        ),
    ))
}

fn selector(service: &Service) -> String {
    let pairs = service
        .spec
        .iter()
        .flat_map(|s| s.selector.iter().flatten())
        .map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// Nodes that load balancers leave out (service controller: `shouldIncludeNode` and its predicates).
fn is_left_out(node: &Node) -> bool {
    let labelled = node
        .labels()
        .contains_key("node.kubernetes.io/exclude-from-external-load-balancers");
    let tainted = node
        .spec
        .iter()
        .flat_map(|s| s.taints.iter().flatten())
        .any(|t| t.key == "ToBeDeletedByClusterAutoscaler");
    labelled || tainted
}

/// A load balancer sends to nodes with endpoints only; where all of these are nodes that it leaves out, it sends nowhere.
fn local_policy(view: &View<'_>, needs: &mut Needs, service: &Service) -> Option<Finding> {
    let spec = service.spec.as_ref()?;
    let external = spec.external_traffic_policy.as_deref() == Some("Local") && spec.type_.as_deref() == Some("LoadBalancer");
    let behind = ports::nodes_behind(view, service);
    if !external || behind.is_empty() {
        return None;
    }
    needs.list(view, &kind::NODE, "");
    let nodes: Vec<&Node> = view
        .snapshot
        .objects
        .nodes
        .iter()
        .filter(|node| behind.contains(node.name_any().as_str()))
        .collect();
    if nodes.len() != behind.len() || !nodes.iter().all(|node| is_left_out(node)) {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let list: Vec<&str> = behind.into_iter().collect();
    Some(
        Finding::error(
            LocalTrafficPolicyWithoutEndpoint,
            subject(service),
            format!(
                "Service {name} has externalTrafficPolicy Local, but its pods run only on nodes that load balancers leave out: {}",
                list.join(", ")
            ),
        )
        .evidence(
            format!("node/{}", list.join(", ")),
            "labelled node.kubernetes.io/exclude-from-external-load-balancers",
        )
        .fix_command(
            "set externalTrafficPolicy: Cluster, or let the pods run on nodes that the load balancer uses",
            command("kubectl edit service {} -n {}", &[&name, &namespace]),
        ),
    )
}

/// Pods that are ready for long and are not among the endpoints, or endpoints whose pods are gone: the controller is not at work.
fn stale(view: &View<'_>, service: &Service) -> Option<Finding> {
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let snapshot = view.snapshot;
    let is_unseen = |of: &kind::Kind| !snapshot.is_complete_behind(of, &namespace, &name);
    if is_unseen(&kind::POD) || is_unseen(&kind::ENDPOINT_SLICE) {
        return None;
    }
    let slices: Vec<_> = ports::slices(view, service)
        .into_iter()
        .filter(|slice| {
            slice
                .labels()
                .get("endpointslice.kubernetes.io/managed-by")
                .is_some_and(|by| by == "endpointslice-controller.k8s.io")
        })
        .collect();
    let listed: BTreeSet<&str> = slices
        .iter()
        .flat_map(|s| s.endpoints.iter())
        .flat_map(|e| e.addresses.iter().map(String::as_str))
        .collect();
    let old_service = view
        .age_of(service.metadata.creation_timestamp.as_ref())
        .is_some_and(|age| age > LAG);
    let left_out = ports::pods_behind(view, service).into_iter().find(|pod| {
        let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
        let since = pod
            .status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten())
            .find(|c| c.type_ == "Ready")
            .and_then(|c| view.age_of(c.last_transition_time.as_ref()));
        is_ready(pod) && old_service && ip.is_some_and(|ip| !listed.contains(ip)) && since.is_some_and(|age| age > LAG)
    });
    let gone = || {
        slices
            .iter()
            .filter(|slice| written(slice).is_some_and(|at| view.age(at) > LAG))
            .flat_map(|slice| slice.endpoints.iter())
            .filter(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))
            .filter_map(|e| e.target_ref.as_ref().filter(|r| r.kind.as_deref() == Some("Pod"))?.name.clone())
            .find(|pod| {
                !snapshot
                    .objects
                    .pods
                    .iter()
                    .any(|p| p.name_any() == *pod && p.namespace().as_deref() == Some(&namespace))
            })
    };
    let detail = match left_out {
        Some(pod) => format!("pod {} is ready and selected, but not among the endpoints", pod.name_any()),
        None => format!("its endpoints name pod {}, which does not exist any more", gone()?),
    };
    Some(
        Finding::error(
            EndpointsStale,
            subject(service),
            format!("The endpoints of Service {name} are out of date: {detail}"),
        )
        .confidence(Confidence::Likely)
        .evidence(format!("endpointslices of service/{name}"), detail)
        .fix_command(
            "see why the EndpointSlice controller (kube-controller-manager) does not update them; after they are deleted it writes them again",
            command("kubectl get endpointslices -n {} -l kubernetes.io/service-name={} -o yaml", &[&namespace, &name]),
        )
        .breaking(service_effect(service)),
    )
}

/// When a slice was last written: by anyone, or at the change of which the controller took note. The controller takes that note
/// away when it writes without a change of pods or Service.
fn written(slice: &k8s_openapi::api::discovery::v1::EndpointSlice) -> Option<Timestamp> {
    let noted = || {
        slice
            .annotations()
            .get("endpoints.kubernetes.io/last-change-trigger-time")?
            .parse()
            .ok()
    };
    let by_anyone = slice.managed_fields().iter().filter_map(|f| Some(f.time.as_ref()?.0)).max();
    by_anyone.or_else(noted)
}
