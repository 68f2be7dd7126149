//! Every target and what belongs to it, each in its phases.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde_json::Value;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::readiness::{ObjectReadiness, Phase, State};
use crate::model::snapshot::Presence;
use crate::readiness::goal::Goal;
use crate::readiness::judgement::Judgement;
use crate::readiness::{claim, custom, related, service, workload};
use crate::text::shorten;
use crate::view::rollout::pod::{node_is_ready, node_of};
use crate::view::{View, WorkloadObject, ports, reference_of, revision};

/// Judges each target and what belongs to it: targets first, then by kind and name, each object once in each phase in which it counts.
pub fn judge(view: &View<'_>, goal: &Goal) -> Vec<ObjectReadiness> {
    let mut all = Vec::new();
    for target in &goal.targets {
        all.extend(of_object(view, target, goal).into_iter().map(|j| told(target, j, false)));
    }
    for object in related::of(view, &goal.targets) {
        all.extend(of_object(view, &object, goal).into_iter().map(|j| told(&object, j, true)));
    }
    all
}

fn told(object: &ObjectRef, judged: Judgement, related: bool) -> ObjectReadiness {
    ObjectReadiness {
        object: object.clone(),
        phase: judged.phase,
        state: judged.state,
        reason: judged.reason,
        related,
        suspended: judged.suspended,
        overdue: judged.overdue,
        ready_pods: judged.pods.map(|(ready, _)| ready),
        wanted_pods: judged.pods.map(|(_, wanted)| wanted),
        blocking: judged.blocking,
        causes: Vec::new(),
    }
}

/// The phase in which it counts that an object exists.
fn phase_of(object: &ObjectRef) -> Phase {
    if kind::RUN_PODS.iter().any(|k| object.is(k)) {
        Phase::Pods
    } else {
        Phase::Infrastructure
    }
}

fn of_object(view: &View<'_>, object: &ObjectRef, goal: &Goal) -> Vec<Judgement> {
    let Some(found) = find(view, object) else {
        let kind = kind::of_object(&object.api_version, &object.kind);
        let presence = kind.map(|k| view.snapshot.presence(k, &object.namespace, &object.name));
        let absent = match presence {
            Some(presence) => presence == Presence::Absent,
            None => view.snapshot.is_absent(object),
        };
        return vec![if absent || view.snapshot.local {
            Judgement::new(phase_of(object), State::NotFound, "does not exist")
        } else {
            Judgement::unknown(phase_of(object), "could not be read")
        }];
    };
    let serves = goal.check || related::is_served(view, object);
    match found {
        Found::Workload(found) => vec![workload::judge(view, found, goal, serves)],
        Found::Service(found) => {
            let address = service::address(found);
            std::iter::once(address).chain(service::endpoints(view, found, goal)).collect()
        }
        Found::Claim(found) => vec![claim::judge(view, found)],
        Found::Addresses(addresses) => vec![match addresses {
            Ok(addresses) => Judgement::ready(Phase::Infrastructure, format!("address {}", addresses.join(", "))),
            Err(reason) => Judgement::progressing(Phase::Infrastructure, reason),
        }],
        Found::Namespace(phase) => vec![match phase {
            "Active" => Judgement::ready(Phase::Infrastructure, "active"),
            _ => Judgement::progressing(Phase::Infrastructure, "is being deleted"),
        }],
        Found::Node(node) => vec![workload::node(node)],
        Found::Autoscaler(scaler) => vec![scale(scaler)],
        Found::Exists => vec![Judgement::ready(Phase::Infrastructure, "exists")],
        Found::Other(value) => vec![match value["kind"].as_str() {
            Some("Gateway") if is_of(object, &kind::GATEWAY) => custom::gateway(value),
            Some("HTTPRoute") if is_of(object, &kind::HTTP_ROUTE) => custom::route(value),
            Some(of) if group(&object.api_version) == kind::GATEWAY.group && custom::OTHER_ROUTES.contains(&of) => {
                custom::other_route(value)
            }
            Some("CustomResourceDefinition") if is_of(object, &kind::CUSTOM_RESOURCE_DEFINITION) => custom::definition(value),
            _ if only_exists(object) => Judgement::ready(Phase::Infrastructure, "exists"),
            _ => custom::conditions(value),
        }],
    }
}

fn is_of(object: &ObjectRef, kind: &Kind) -> bool {
    object.is(kind)
}

/// Kinds of Kubernetes itself that have no status to wait for.
fn only_exists(object: &ObjectRef) -> bool {
    let group = object.api_version.split_once('/').map_or("", |(group, _)| group);
    matches!(
        group,
        "rbac.authorization.k8s.io" | "admissionregistration.k8s.io" | "coordination.k8s.io" | "scheduling.k8s.io"
    ) || (group.is_empty() && matches!(object.kind.as_str(), "PodTemplate"))
}

/// Whether an autoscaler can do its work; one that its target at zero has switched off has none.
fn scale(scaler: &HorizontalPodAutoscaler) -> Judgement {
    let phase = Phase::Infrastructure;
    let conditions = || scaler.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let is_bad = |c: &&HorizontalPodAutoscalerCondition| {
        let counts = matches!(c.type_.as_str(), "AbleToScale" | "ScalingActive") && c.reason.as_deref() != Some("ScalingDisabled");
        counts && c.status != "True"
    };
    match conditions().find(is_bad) {
        Some(bad) => {
            let (reason, message) = (
                bad.reason.as_deref().unwrap_or_default(),
                bad.message.as_deref().unwrap_or_default(),
            );
            Judgement::progressing(
                phase,
                shorten(&format!("condition {} is {}: {reason} {message}", bad.type_, bad.status), 200),
            )
        }
        None => Judgement::ready(phase, "exists"),
    }
}

enum Found<'a> {
    Workload(WorkloadObject<'a>),
    Service(&'a k8s_openapi::api::core::v1::Service),
    Claim(&'a k8s_openapi::api::core::v1::PersistentVolumeClaim),
    Addresses(Result<Vec<String>, String>),
    Namespace(&'a str),
    Node(&'a Node),
    Autoscaler(&'a HorizontalPodAutoscaler),
    Other(&'a Value),
    Exists,
}

fn find<'a>(view: &View<'a>, object: &ObjectRef) -> Option<Found<'a>> {
    let all = &view.snapshot.objects;
    macro_rules! typed {
        ($($kind:ident $list:ident => $found:expr;)*) => {
            $(if object.is(&kind::$kind) {
                return all.$list.iter().find(|o| reference_of(&kind::$kind, &o.metadata) == *object).map($found);
            })*
        };
    }
    typed! {
        POD pods => |o| Found::Workload(WorkloadObject::Pod(o));
        DEPLOYMENT deployments => |o| Found::Workload(WorkloadObject::Deployment(o));
        STATEFUL_SET stateful_sets => |o| Found::Workload(WorkloadObject::StatefulSet(o));
        DAEMON_SET daemon_sets => |o| Found::Workload(WorkloadObject::DaemonSet(o));
        REPLICA_SET replica_sets => |o| Found::Workload(WorkloadObject::ReplicaSet(o));
        REPLICATION_CONTROLLER replication_controllers => |o| Found::Workload(WorkloadObject::ReplicationController(o));
        JOB jobs => |o| Found::Workload(WorkloadObject::Job(o));
        CRON_JOB cron_jobs => |o| Found::Workload(WorkloadObject::CronJob(o));
        SERVICE services => Found::Service;
        CLAIM claims => Found::Claim;
        NODE nodes => Found::Node;
        AUTOSCALER autoscalers => Found::Autoscaler;
        NAMESPACE namespaces => |o| Found::Namespace(o.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Active"));
    }
    if object.is(&kind::INGRESS) {
        let found = all
            .ingresses
            .iter()
            .find(|o| reference_of(&kind::INGRESS, &o.metadata) == *object)?;
        let entries = found
            .status
            .iter()
            .filter_map(|s| s.load_balancer.as_ref())
            .flat_map(|l| l.ingress.iter().flatten());
        let failed = entries
            .clone()
            .flat_map(|e| e.ports.iter().flatten())
            .find_map(|p| p.error.as_ref().filter(|e| !e.is_empty()).map(|e| (p.port, e)));
        return Some(Found::Addresses(match failed {
            Some((port, error)) => Err(format!("its load balancer reports an error for port {port}: {error}")),
            None => service::addresses(entries.map(|e| e.ip.as_deref().or(e.hostname.as_deref()))),
        }));
    }
    let is_it = |o: &&Value| {
        o["kind"] == *object.kind
            && group(o["apiVersion"].as_str().unwrap_or_default()) == group(&object.api_version)
            && o["metadata"]["name"] == *object.name
            && o["metadata"]["namespace"].as_str().unwrap_or_default() == object.namespace
    };
    if let Some(other) = all.other.iter().find(is_it) {
        return Some(Found::Other(other));
    }
    // A typed kind that has nothing to wait for: it is enough that it is there.
    let kind = kind::of_object(&object.api_version, &object.kind)?;
    (view.snapshot.presence(kind, &object.namespace, &object.name) == Presence::Present).then_some(Found::Exists)
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Everything of a snapshot that can be waited for: workloads that nothing else controls, Services, Ingresses, claims, and what tells by
/// conditions.
pub fn everything(view: &View<'_>) -> Vec<ObjectRef> {
    let all = &view.snapshot.objects;
    let mut found: Vec<ObjectRef> = view
        .workloads()
        .filter(|w| w.object.is_some())
        .map(|w| w.reference.clone())
        .collect();
    found.extend(all.services.iter().map(|o| reference_of(&kind::SERVICE, &o.metadata)));
    found.extend(all.ingresses.iter().map(|o| reference_of(&kind::INGRESS, &o.metadata)));
    found.extend(all.claims.iter().map(|o| reference_of(&kind::CLAIM, &o.metadata)));
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    found.extend(all.other.iter().map(|o| ObjectRef {
        api_version: text(&o["apiVersion"]),
        kind: text(&o["kind"]),
        namespace: text(&o["metadata"]["namespace"]),
        name: text(&o["metadata"]["name"]),
    }));
    found
}

/// The Services among the judged objects.
pub fn services<'a>(view: &View<'a>, judged: &[ObjectReadiness]) -> Vec<&'a k8s_openapi::api::core::v1::Service> {
    view.snapshot
        .objects
        .services
        .iter()
        .filter(|s| judged.iter().any(|j| j.object == related::service(s)))
        .collect()
}

/// The pods of the current revision of the judged workloads, by uid and restarts: what must not change while the application is asked.
pub fn identity(view: &View<'_>, judged: &[ObjectReadiness]) -> Vec<(String, String, i32)> {
    let mut identity = Vec::new();
    for workload in view.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference)) {
        for pod in workload.pods.iter().filter(|p| !revision::is_old(view, p)) {
            let restarts = crate::view::containers(pod).iter().map(|c| c.restarts()).sum();
            identity.push((
                workload.reference.to_string(),
                pod.uid().unwrap_or_else(|| pod.name_any()),
                restarts,
            ));
        }
    }
    identity.sort();
    identity
}

/// How long the pods of the judged workloads have been ready by now, by the youngest of them; none where none is.
pub fn ready_for(view: &View<'_>, judged: &[ObjectReadiness]) -> Option<Duration> {
    let workloads = view.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
    let pods = workloads.flat_map(|w| w.pods.iter()).filter(|p| !revision::is_old(view, p));
    let conditions = pods.flat_map(|p| p.status.iter()).flat_map(|s| s.conditions.iter().flatten());
    let since = conditions
        .filter(|c| c.type_ == "Ready" && c.status == "True")
        .filter_map(|c| c.last_transition_time.as_ref());
    // A clock that is ahead says nothing.
    since
        .map(|t| Duration::try_from(view.now().duration_since(t.0)).unwrap_or_default())
        .min()
}

/// The generations and UIDs of the judged workloads: after a change the judgement starts again.
pub fn generations(view: &View<'_>, judged: &[ObjectReadiness]) -> Vec<(ObjectRef, Option<String>, Option<i64>)> {
    view.workloads()
        .filter(|w| judged.iter().any(|j| j.object == w.reference))
        .filter_map(|w| {
            w.object
                .map(|o| (w.reference.clone(), o.metadata().uid.clone(), o.metadata().generation))
        })
        .collect()
}

/// The nodes that run pods of the judged workloads.
pub fn nodes(view: &View<'_>, judged: &[ObjectReadiness]) -> BTreeSet<String> {
    view.workloads()
        .filter(|w| judged.iter().any(|j| j.object == w.reference))
        .flat_map(|w| w.pods.iter())
        .filter_map(|p| p.spec.as_ref()?.node_name.clone())
        .filter(|name| !name.is_empty())
        .collect()
}

/// What the state of these objects depends on and was not read yet: the nodes of their pods, and the storage classes of unbound claims.
pub fn needs(view: &View<'_>, judged: &[ObjectReadiness]) -> BTreeSet<ObjectRef> {
    let is_judged = |object: &ObjectRef| judged.iter().any(|j| j.object == *object);
    let own = view
        .workloads()
        .filter(|w| is_judged(&w.reference))
        .flat_map(|w| w.pods.iter().copied());
    let behind = services(view, judged)
        .into_iter()
        .flat_map(|service| ports::pods_behind(view, service));
    let nodes = own
        .chain(behind)
        .filter_map(|pod| node_of(pod).map(|name| ObjectRef::new(&kind::NODE, "", name)));
    let claims = view.snapshot.objects.claims.iter();
    let unbound = claims.filter(|claim| {
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        !matches!(phase, Some("Bound" | "Lost")) && is_judged(&reference_of(&kind::CLAIM, &claim.metadata))
    });
    let classes = unbound
        .filter_map(|claim| claim.spec.as_ref()?.storage_class_name.as_deref())
        .map(|class| ObjectRef::new(&kind::STORAGE_CLASS, "", class));
    let is_unread = |object: &ObjectRef| {
        let of = kind::of_object(&object.api_version, &object.kind);
        of.is_some_and(|of| view.snapshot.presence(of, "", &object.name) == Presence::Unknown)
    };
    nodes.chain(classes).filter(is_unread).collect()
}

/// Those of these nodes that are known not to be ready, or not to exist: nobody tells when that changes.
pub fn lost_nodes(view: &View<'_>, names: &BTreeSet<String>) -> BTreeSet<String> {
    let is_lost = |name: &&String| match view.snapshot.objects.nodes.iter().find(|n| n.name_any() == **name) {
        Some(node) => !node_is_ready(node),
        None => view.snapshot.presence(&kind::NODE, "", name) == Presence::Absent,
    };
    names.iter().filter(is_lost).cloned().collect()
}
