//! Pods that are refused when they are created. No pod exists, so only its controller tells: a ReplicaFailure condition, FailedCreate events.

mod refusal;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use crate::model::cause;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::Presence;
use crate::text::{command, shorten};
use crate::view::{Needs, Out, View, reference_of};
use refusal::Refusal;

/// Quota, limits, policy and references that admission refuses.
pub fn check(view: &View<'_>, out: &mut Out) {
    out.findings.extend(
        refused(view)
            .into_iter()
            .flat_map(|creator| finding(view, &mut out.needs, &creator)),
    );
    out.findings.extend(terminating_namespaces(view, &mut out.needs));
}

/// A controller that lacks pods because they are refused.
struct Creator {
    object: ObjectRef,
    source: String,
    message: String,
    lacks: i32,
}

fn refused(view: &View<'_>) -> Vec<Creator> {
    let objects = &view.snapshot.objects;
    let mut creators = Vec::new();
    for set in &objects.replica_sets {
        let status = set.status.as_ref();
        let lacks = wanted(set.spec.as_ref().and_then(|s| s.replicas)) - status.map_or(0, |s| s.replicas);
        let condition = failure(status.and_then(|s| s.conditions.as_ref()), |c| {
            (&c.type_, &c.status, c.message.as_ref(), c.last_transition_time.as_ref())
        });
        creators.extend(creator(view, &kind::REPLICA_SET, &set.metadata, lacks, condition));
    }
    for set in &objects.replication_controllers {
        let status = set.status.as_ref();
        let lacks = wanted(set.spec.as_ref().and_then(|s| s.replicas)) - status.map_or(0, |s| s.replicas);
        let condition = failure(status.and_then(|s| s.conditions.as_ref()), |c| {
            (&c.type_, &c.status, c.message.as_ref(), c.last_transition_time.as_ref())
        });
        creators.extend(creator(view, &kind::REPLICATION_CONTROLLER, &set.metadata, lacks, condition));
    }
    for deployment in &objects.deployments {
        // Where ReplicaSets could not be read, the Deployment repeats what they say.
        let has_sets = objects.replica_sets.iter().any(|set| {
            set.metadata
                .owner_references
                .iter()
                .flatten()
                .any(|owner| Some(&owner.uid) == deployment.metadata.uid.as_ref())
        });
        let Some(status) = deployment.status.as_ref().filter(|_| !has_sets) else {
            continue;
        };
        let lacks = wanted(deployment.spec.as_ref().and_then(|s| s.replicas)) - status.updated_replicas.unwrap_or(0);
        let condition = failure(status.conditions.as_ref(), |c| {
            (&c.type_, &c.status, c.message.as_ref(), c.last_transition_time.as_ref())
        });
        creators.extend(creator(view, &kind::DEPLOYMENT, &deployment.metadata, lacks, condition));
    }
    for set in &objects.stateful_sets {
        let lacks = wanted(set.spec.as_ref().and_then(|s| s.replicas)) - set.status.as_ref().map_or(0, |s| s.replicas);
        creators.extend(creator(view, &kind::STATEFUL_SET, &set.metadata, lacks, None));
    }
    for set in &objects.daemon_sets {
        let lacks = set
            .status
            .as_ref()
            .map_or(0, |s| s.desired_number_scheduled - s.current_number_scheduled);
        creators.extend(creator(view, &kind::DAEMON_SET, &set.metadata, lacks, None));
    }
    for job in &objects.jobs {
        let status = job.status.as_ref();
        let is_over = status.and_then(|s| s.conditions.as_ref()).is_some_and(|c| {
            c.iter()
                .any(|c| matches!(c.type_.as_str(), "Complete" | "Failed" | "Suspended") && c.status == "True")
        });
        let active = status.and_then(|s| s.active).unwrap_or(0);
        let lacks = if is_over || active > 0 { 0 } else { 1 };
        creators.extend(creator(view, &kind::JOB, &job.metadata, lacks, None));
    }
    creators
}

/// How many pods are asked for: one where nothing is written.
fn wanted(replicas: Option<i32>) -> i32 {
    replicas.unwrap_or(1)
}

/// What a condition says and since when.
type Said = (String, Option<jiff::Timestamp>);

/// The condition `ReplicaFailure` that holds. `parts` takes type, status, message and time from a condition: each kind has a type of its own.
fn failure<C>(conditions: Option<&Vec<C>>, parts: impl Fn(&C) -> (&String, &String, Option<&String>, Option<&Time>)) -> Option<Said> {
    conditions
        .into_iter()
        .flatten()
        .map(parts)
        .find_map(|(type_, status, message, since)| {
            let holds = type_ == "ReplicaFailure" && status == "True";
            holds.then(|| Some((message?.clone(), since.map(|t| t.0))))?
        })
}

/// A controller that lacks pods, with the newest refusal; none where the newest attempt went well.
fn creator(view: &View<'_>, kind: &Kind, metadata: &ObjectMeta, lacks: i32, condition: Option<Said>) -> Option<Creator> {
    if lacks <= 0 || metadata.deletion_timestamp.is_some() {
        return None;
    }
    let object = reference_of(kind, metadata);
    let events = view.events_of(kind, metadata);
    let newest = |reason: &str| events.iter().find(|e| e.reason() == reason);
    let failed = newest("FailedCreate");
    let (source, message) = match (failed, condition) {
        // The condition keeps the text of the first refusal; a newer event tells the present one.
        (Some(event), Some((_, since))) if event.last_seen > since => {
            (format!("{} event FailedCreate", object.short()), event.message().to_owned())
        }
        (_, Some((message, _))) => (format!("{} condition ReplicaFailure", object.short()), message),
        (Some(event), None) => {
            let made = newest("SuccessfulCreate").and_then(|e| e.last_seen);
            if made > event.last_seen {
                return None;
            }
            (format!("{} event FailedCreate", object.short()), event.message().to_owned())
        }
        (None, None) => return None,
    };
    Some(Creator {
        object,
        source,
        message,
        lacks,
    })
}

fn finding(view: &View<'_>, needs: &mut Needs, creator: &Creator) -> Option<Finding> {
    let workload = view.climb(&creator.object);
    let namespace = workload.namespace.clone();
    let refusal = refusal::parse(&creator.message);
    let code = refusal.code();
    let edit = command("kubectl edit {} -n {}", &[&workload.short(), &namespace]);
    let subject = Subject::of(workload.clone());
    let pods = if creator.lacks == 1 {
        "1 pod".to_owned()
    } else {
        format!("{} pods", creator.lacks)
    };
    let object = |kind: &Kind, name: &str| ObjectRef::new(kind, &namespace, name);
    let lead = format!("{pods} of {} cannot be created", workload.short());
    let finding = match &refusal {
        Refusal::Exhausted {
            quota,
            requested,
            used,
            limited,
        } => {
            let value = |list: &[(String, String)], key: &str| {
                list.iter()
                    .find(|(k, _)| k == key)
                    .map_or_else(|| "?".to_owned(), |(_, v)| v.clone())
            };
            let numbers: Vec<String> = requested
                .iter()
                .map(|(key, asked)| format!("{key}: requests {asked}, {} of {} used", value(used, key), value(limited, key)))
                .collect();
            Finding::error(
                cause::QuotaExceeded::Exhausted,
                subject,
                format!("{lead}: quota {quota} is used up ({})", numbers.join("; ")),
            )
            .related("quota", object(&kind::RESOURCE_QUOTA, quota))
            .fix_command(
                "see what uses the quota",
                command("kubectl describe resourcequota {} -n {}", &[&quota, &namespace]),
            )
            .fix_command("request less, run fewer replicas, or have the quota raised", edit)
        }
        Refusal::MustSpecify { quota, values } => {
            let what: Vec<String> = values
                .iter()
                .map(|(value, containers)| {
                    if containers.is_empty() {
                        value.clone()
                    } else {
                        format!("{value} for {containers}")
                    }
                })
                .collect();
            let container = match values.first() {
                Some((_, first)) if !first.is_empty() && !first.contains(',') && values.iter().all(|(_, c)| c == first) => {
                    Some(first.clone())
                }
                _ => None,
            };
            let subject = match &container {
                Some(container) => subject.container(container),
                None => subject,
            };
            Finding::error(
                cause::QuotaExceeded::MustSpecify,
                subject,
                format!("{lead}: quota {quota} requires that containers set {}", what.join(" and ")),
            )
            .related("quota", object(&kind::RESOURCE_QUOTA, quota))
            .fix_command(format!("set resources: {}", what.join(", ")), edit)
            .fix("or give the namespace a LimitRange with defaults")
        }
        Refusal::LimitRange(text) => {
            let ranges = view.snapshot.objects.limit_ranges.iter();
            let of_namespace: Vec<String> = ranges
                .filter(|r| r.namespace().as_deref() == Some(&namespace))
                .map(ResourceExt::name_any)
                .collect();
            let mut finding = Finding::error(
                code,
                subject,
                format!(
                    "{lead}: the namespace's LimitRange does not allow its resources: {}",
                    shorten(text, 160)
                ),
            );
            if let [only] = of_namespace.as_slice() {
                finding = finding.related("limits", object(&kind::LIMIT_RANGE, only));
            }
            finding
                .fix_command("see the limits", command("kubectl describe limitrange -n {}", &[&namespace]))
                .fix_command("change requests and limits to fit", edit)
        }
        Refusal::PodSecurity { level, violations } => Finding::error(
            code,
            subject,
            format!(
                "{lead}: the pod violates the namespace's Pod Security level {level}: {}",
                shorten(&refusal::titles(violations), 160)
            ),
        )
        .related("namespace", ObjectRef::new(&kind::NAMESPACE, "", &namespace))
        .fix_command(
            format!("set the securityContext that {level} requires: {}", shorten(violations, 2000)),
            edit,
        ),
        Refusal::Denied { by, reason } => Finding::error(code, subject, format!("{lead}: {by} denies it: {}", shorten(reason, 160)))
            .fix_command("change the pod template as the policy requires", edit),
        Refusal::WebhookDown { webhook, service, reason } => {
            let mut finding = Finding::error(
                code,
                subject,
                format!("{lead}: the admission webhook {webhook} does not answer: {}", shorten(reason, 160)),
            );
            if let Some((namespace, name)) = service {
                finding = finding
                    .related("webhook", ObjectRef::new(&kind::SERVICE, namespace, name))
                    .suffering(Effect::Service(namespace.clone(), name.clone()))
                    .fix_command(
                        "repair the Service behind the webhook",
                        command("kubectl podlife diagnose service/{} -n {}", &[&name, &namespace]),
                    );
            }
            finding.fix_command(
                "or remove the webhook's configuration, or set its failurePolicy to Ignore",
                "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            )
        }
        Refusal::ServiceAccount(name) => reference(
            view,
            needs,
            subject,
            code,
            &kind::SERVICE_ACCOUNT,
            (&namespace, name),
            &format!("{lead}: service account {name} does not exist in namespace {namespace}"),
        )?
        .fix_command("create it", command("kubectl create serviceaccount {} -n {}", &[&name, &namespace]))
        .fix_command("or correct serviceAccountName", edit),
        Refusal::PriorityClass(name) => reference(
            view,
            needs,
            subject,
            code,
            &kind::PRIORITY_CLASS,
            ("", name),
            &format!("{lead}: priority class {name} does not exist"),
        )?
        .fix_command("see which exist", "kubectl get priorityclasses")
        .fix_command("correct priorityClassName", edit),
        Refusal::RuntimeClass(name) => reference(
            view,
            needs,
            subject,
            code,
            &kind::RUNTIME_CLASS,
            ("", name),
            &format!("{lead}: runtime class {name} does not exist"),
        )?
        .fix_command("see which exist", "kubectl get runtimeclasses")
        .fix_command("correct runtimeClassName", edit),
        Refusal::Invalid(text) => Finding::error(code, subject, format!("{lead}: the pod is not valid: {}", shorten(text, 160)))
            .fix_command("correct the pod template (defaults of a LimitRange count too)", edit),
        // The namespace's own finding says it for everything in it.
        Refusal::Terminating => {
            ask_for_namespace(view, needs, &namespace);
            return None;
        }
        Refusal::Other(text) => Finding::error(code, subject, format!("{lead}: {}", shorten(text, 160))).fix_command(
            "see what the controller says",
            command("kubectl describe {} -n {}", &[&creator.object.short(), &namespace]),
        ),
    };
    Some(
        finding
            .evidence(&creator.source, shorten(refusal::bare(&creator.message), 200))
            .breaking(Effect::NotReady(workload)),
    )
}

/// A reference that does not resolve; none where the object has come into being since the last attempt.
fn reference(
    view: &View<'_>,
    needs: &mut Needs,
    subject: Subject,
    code: Code,
    kind: &Kind,
    (namespace, name): (&str, &str),
    summary: &str,
) -> Option<Finding> {
    match view.snapshot.presence(kind, namespace, name) {
        Presence::Present => return None,
        // The refusal is of an earlier time: its controller tries again after ever longer pauses.
        Presence::Unknown => needs.need(crate::view::Need::Object(ObjectRef::new(kind, namespace, name))),
        Presence::Absent => {}
    }
    Some(Finding::error(code, subject, summary).related("missing", ObjectRef::new(kind, namespace, name)))
}

fn ask_for_namespace(view: &View<'_>, needs: &mut Needs, name: &str) {
    if view.snapshot.presence(&kind::NAMESPACE, "", name) == Presence::Unknown {
        needs.need(crate::view::Need::Object(ObjectRef::new(&kind::NAMESPACE, "", name)));
    }
}

fn terminating_namespaces(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let objects = &view.snapshot.objects;
    for name in &view.snapshot.namespaces {
        // A namespace is worth a request where nothing in it is meant to stay.
        let mut here = view.workloads().filter(|w| w.reference.namespace == *name).filter_map(|w| w.object);
        if here.all(|object| object.metadata().deletion_timestamp.is_some()) {
            ask_for_namespace(view, needs, name);
        }
    }
    objects
        .namespaces
        .iter()
        .filter_map(|namespace| {
            let since = namespace.metadata.deletion_timestamp.as_ref()?;
            let name = namespace.name_any();
            let reference = reference_of(&kind::NAMESPACE, &namespace.metadata);
            let remains: Vec<&str> = namespace
                .status
                .iter()
                .flat_map(|s| s.conditions.iter().flatten())
                .filter(|c| c.status == "True")
                .filter_map(|c| c.message.as_deref())
                .collect();
            let mut finding = Finding::error(
                Code::NamespaceTerminating,
                Subject::of(reference),
                format!(
                    "namespace {name} is being deleted (since {}): nothing new can be created in it",
                    crate::model::age::short(view.age(since.0))
                ),
            )
            .evidence(
                format!("namespace/{name} status"),
                format!("Terminating; {}", shorten(&remains.join("; "), 300)),
            );
            for workload in view.workloads().filter(|w| w.reference.namespace == name) {
                finding = finding.breaking(Effect::NotReady(workload.reference.clone()));
            }
            Some(finding.fix_command(
                "wait until it is gone and create it again; if it stays, see what holds it (finalizers, API services that do not answer)",
                command("kubectl get namespace {} -o yaml", &[&name]),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests;
