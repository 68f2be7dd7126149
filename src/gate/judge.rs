//! Every target and what belongs to it, each in its phases.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, ServicePort};
use kube::ResourceExt;
use serde_json::Value;

use super::judgement::{Judgement, pods};
use super::{batch, claim, custom, daemon_set, deployment, pod, related, revision, service, stateful_set};
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::readiness::{ObjectReadiness, Phase, State};
use crate::model::snapshot::Presence;
use crate::rules::autoscale;
use crate::rules::context::{Context, WorkloadObject, reference_of};

/// What is waited for, with every default resolved.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What was asked for.
    pub targets: Vec<ObjectRef>,
    /// Whether an answer of the application was asked for.
    pub check: bool,
    /// The port of the Services that is to answer; none means all.
    pub port: Option<String>,
    /// Whether pods of older revisions must be gone, not only out of the endpoints.
    pub old_gone: bool,
    /// The image that the template must have.
    pub expect_image: Option<String>,
    /// The revision that the workload must be at.
    pub expect_revision: Option<u64>,
}

impl Plan {
    /// Whether a port of a Service is one that is to answer.
    pub fn uses(&self, port: &ServicePort) -> bool {
        self.port
            .as_ref()
            .is_none_or(|wanted| port.name.as_ref() == Some(wanted) || port.port.to_string() == *wanted)
    }
}

/// Judges each target and what belongs to it: targets first, then by kind and name, each object once in each phase in which it counts.
pub fn judge(context: &Context<'_>, plan: &Plan) -> Vec<ObjectReadiness> {
    let mut all = Vec::new();
    for target in &plan.targets {
        all.extend(of_object(context, target, plan).into_iter().map(|j| told(target, j, false)));
    }
    for object in related::of(context, &plan.targets) {
        all.extend(of_object(context, &object, plan).into_iter().map(|j| told(&object, j, true)));
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

fn of_object(context: &Context<'_>, object: &ObjectRef, plan: &Plan) -> Vec<Judgement> {
    let Some(found) = find(context, object) else {
        let kind = kind::of_object(&object.api_version, &object.kind);
        let presence = kind.map(|k| context.snapshot.presence(k, &object.namespace, &object.name));
        let absent = match presence {
            Some(presence) => presence == Presence::Absent,
            None => context.snapshot.is_absent(object),
        };
        return vec![if absent || context.snapshot.local {
            Judgement::new(phase_of(object), State::NotFound, "does not exist")
        } else {
            Judgement::unknown(phase_of(object), "could not be read")
        }];
    };
    let serves = plan.check || related::is_served(context, object);
    match found {
        Found::Workload(workload) => {
            let judged = of_workload(context, workload, plan, serves);
            vec![scaled(context, object, expected(workload, plan, judged))]
        }
        Found::Service(found) => {
            let address = service::address(found);
            std::iter::once(address).chain(service::endpoints(context, found, plan)).collect()
        }
        Found::Claim(found) => vec![claim::judge(context, found)],
        Found::Addresses(addresses) => vec![match addresses {
            Ok(addresses) => Judgement::ready(Phase::Infrastructure, format!("address {}", addresses.join(", "))),
            Err(reason) => Judgement::progressing(Phase::Infrastructure, reason),
        }],
        Found::Namespace(phase) => vec![match phase {
            "Active" => Judgement::ready(Phase::Infrastructure, "active"),
            _ => Judgement::progressing(Phase::Infrastructure, "is being deleted"),
        }],
        Found::Node(node) => vec![pod::node(node)],
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

fn of_workload(context: &Context<'_>, workload: WorkloadObject<'_>, plan: &Plan, serves: bool) -> Judgement {
    let is_deleted = workload.metadata().deletion_timestamp.is_some();
    let may_go = match workload {
        WorkloadObject::Pod(_) => true,
        WorkloadObject::Job(job) => batch::goes_after_its_end(job),
        _ => false,
    };
    if is_deleted && !may_go {
        return Judgement::progressing(Phase::Pods, "is being deleted");
    }
    match workload {
        WorkloadObject::Deployment(o) => deployment::deployment(context, o, plan, serves),
        WorkloadObject::StatefulSet(o) => stateful_set::judge(context, o, serves),
        WorkloadObject::DaemonSet(o) => daemon_set::judge(context, o, serves),
        WorkloadObject::ReplicaSet(o) => deployment::replica_set(context, o, serves),
        WorkloadObject::ReplicationController(o) => deployment::replication_controller(context, o, serves),
        WorkloadObject::Job(o) => batch::job(o),
        WorkloadObject::CronJob(o) => batch::cron_job(o),
        WorkloadObject::Pod(o) => {
            let judged = pod::judge(context, o);
            let ready = usize::from(judged.state == State::Ready);
            judged.pods(ready, 1)
        }
    }
}

/// A workload that is ready as it was before is not ready yet where another image or revision is to come.
fn expected(workload: WorkloadObject<'_>, plan: &Plan, judged: Judgement) -> Judgement {
    let waits = |reason: String| {
        let pods = judged.pods;
        let mut waiting = Judgement::progressing(Phase::Pods, reason);
        waiting.pods = pods;
        waiting
    };
    if let Some(image) = &plan.expect_image {
        let spec = workload.pod_spec();
        let images: Vec<&str> = spec
            .into_iter()
            .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
            .filter_map(|c| c.image.as_deref())
            .collect();
        if !images.contains(&image.as_str()) {
            return waits(format!("its image is {}, not {image}", images.join(", ")));
        }
    }
    if let (Some(expected), WorkloadObject::Deployment(o)) = (plan.expect_revision, workload) {
        let number = crate::rules::revision::number(&o.metadata);
        if number.is_none_or(|n| n < expected) {
            let is = number.map_or_else(|| "none".to_owned(), |n| n.to_string());
            return waits(format!("its revision is {is}, not {expected} yet"));
        }
    }
    judged
}

/// A workload that has what it asks for is not ready yet where its autoscaler is about to ask for more.
fn scaled(context: &Context<'_>, workload: &ObjectRef, judged: Judgement) -> Judgement {
    let replicas = judged.pods.map_or(0, |(_, wanted)| wanted);
    match autoscale::of(context, workload) {
        Some(scaler) if judged.state == State::Ready && autoscale::asks_for(scaler, replicas) > replicas => {
            let asked = autoscale::asks_for(scaler, replicas);
            let name = scaler.name_any();
            Judgement::progressing(
                Phase::Pods,
                format!("autoscaler {name} asks for {}, it has {replicas}", pods(asked)),
            )
            .pods(replicas, asked)
        }
        _ => judged,
    }
}

enum Found<'a> {
    Workload(WorkloadObject<'a>),
    Service(&'a k8s_openapi::api::core::v1::Service),
    Claim(&'a k8s_openapi::api::core::v1::PersistentVolumeClaim),
    Addresses(Result<Vec<String>, String>),
    Namespace(&'a str),
    Node(&'a Node),
    Other(&'a Value),
    Exists,
}

fn find<'a>(context: &Context<'a>, object: &ObjectRef) -> Option<Found<'a>> {
    let all = &context.snapshot.objects;
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
    (context.snapshot.presence(kind, &object.namespace, &object.name) == Presence::Present).then_some(Found::Exists)
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Everything of a snapshot that can be waited for: workloads that nothing else controls, Services, Ingresses, claims, and what tells by
/// conditions.
pub fn everything(context: &Context<'_>) -> Vec<ObjectRef> {
    let all = &context.snapshot.objects;
    let mut found: Vec<ObjectRef> = context
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
pub fn services<'a>(context: &Context<'a>, judged: &[ObjectReadiness]) -> Vec<&'a k8s_openapi::api::core::v1::Service> {
    context
        .snapshot
        .objects
        .services
        .iter()
        .filter(|s| judged.iter().any(|j| j.object == related::service(s)))
        .collect()
}

/// The pods of the current revision of the judged workloads, by uid and restarts: what must not change while the application is asked.
pub fn identity(context: &Context<'_>, judged: &[ObjectReadiness]) -> Vec<(String, String, i32)> {
    let mut identity = Vec::new();
    for workload in context.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference)) {
        for pod in workload.pods.iter().filter(|p| !revision::is_old(context, p)) {
            let restarts = crate::rules::context::containers(pod).iter().map(|c| c.restarts()).sum();
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
pub fn ready_for(context: &Context<'_>, judged: &[ObjectReadiness]) -> Option<Duration> {
    let workloads = context.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
    let pods = workloads.flat_map(|w| w.pods.iter()).filter(|p| !revision::is_old(context, p));
    let conditions = pods.flat_map(|p| p.status.iter()).flat_map(|s| s.conditions.iter().flatten());
    let since = conditions
        .filter(|c| c.type_ == "Ready" && c.status == "True")
        .filter_map(|c| c.last_transition_time.as_ref());
    // A clock that is ahead says nothing.
    since
        .map(|t| Duration::try_from(context.now().duration_since(t.0)).unwrap_or_default())
        .min()
}

/// What the judged workloads are told to run: another generation or another object of the same name is another matter.
pub fn orders(context: &Context<'_>, judged: &[ObjectReadiness]) -> Vec<(ObjectRef, Option<String>, Option<i64>)> {
    context
        .workloads()
        .filter(|w| judged.iter().any(|j| j.object == w.reference))
        .filter_map(|w| {
            w.object
                .map(|o| (w.reference.clone(), o.metadata().uid.clone(), o.metadata().generation))
        })
        .collect()
}

/// The nodes that run pods of the judged workloads.
pub fn nodes(context: &Context<'_>, judged: &[ObjectReadiness]) -> BTreeSet<String> {
    context
        .workloads()
        .filter(|w| judged.iter().any(|j| j.object == w.reference))
        .flat_map(|w| w.pods.iter())
        .filter_map(|p| p.spec.as_ref()?.node_name.clone())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Those of these nodes that are known not to be ready, or not to exist: nobody tells when that changes.
pub fn lost_nodes(context: &Context<'_>, names: &BTreeSet<String>) -> BTreeSet<String> {
    let is_lost = |name: &&String| match context.snapshot.objects.nodes.iter().find(|n| n.name_any() == **name) {
        Some(node) => !pod::node_is_ready(node),
        None => context.snapshot.presence(&kind::NODE, "", name) == Presence::Absent,
    };
    names.iter().filter(is_lost).cloned().collect()
}
