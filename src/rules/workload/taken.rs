//! StatefulSets that cannot make a pod because another one has its name. The controller says nothing about it: no event, no condition.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::ending::create_service;
use crate::model::cause;
use crate::model::code::Code::ServiceMissing;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::text::command;
use crate::view::{View, WorkloadObject, controller, is_terminating, reference_of};

/// A pod of a set that was deleted and made anew may stay for a moment.
const TAKES_OVER: Duration = Duration::from_secs(30);

/// Names that are taken, and the Service that gives the pods their names.
pub(crate) fn check(view: &View<'_>) -> Vec<Finding> {
    let sets = view.workloads().filter_map(|workload| match workload.object {
        Some(WorkloadObject::StatefulSet(set)) if set.metadata.deletion_timestamp.is_none() => Some((&workload.reference, set)),
        _ => None,
    });
    sets.flat_map(|(reference, set)| [name_taken(view, reference, set), without_service(view, reference, set)])
        .flatten()
        .collect()
}

/// The first pod of the set whose name belongs to somebody else.
fn name_taken(view: &View<'_>, reference: &ObjectRef, set: &StatefulSet) -> Option<Finding> {
    let spec = set.spec.as_ref()?;
    let start = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or_default();
    let names = (start..start.saturating_add(spec.replicas.unwrap_or(1))).map(|ordinal| format!("{}-{ordinal}", reference.name));
    let pods = &view.snapshot.objects.pods;
    let here = |pod: &&Pod| pod.namespace().as_deref() == Some(&reference.namespace);
    let foreign = names
        .filter_map(|name| pods.iter().filter(here).find(|pod| pod.name_any() == name))
        .find(|pod| {
            // One without an owner whose labels fit is adopted.
            let is_own = match controller(&pod.metadata) {
                Some(owner) => owner.kind == "StatefulSet" && owner.name == reference.name,
                None => is_adopted(set, pod),
            };
            !is_own && !is_terminating(pod)
        })?;
    let name = foreign.name_any();
    let namespace = &reference.namespace;
    let owner = match controller(&foreign.metadata) {
        Some(owner) => format!("belongs to {} {}", owner.kind, owner.name),
        None => "has no owner".to_owned(),
    };
    Some(
        Finding::error(
            cause::ObjectCreationFailing::NameTaken,
            Subject::of(reference.clone()),
            format!(
                "{} cannot make its pod {name}: another pod has that name, and it {owner}",
                reference.short()
            ),
        )
        .settling(view.settles_from(set.metadata.creation_timestamp.as_ref(), TAKES_OVER))
        .evidence(
            format!("pod/{name}"),
            format!("{owner}, its labels are not those that the set selects"),
        )
        .related("in the way", reference_of(&kind::POD, &foreign.metadata))
        .breaking(Effect::NotReady(reference.clone()))
        .fix_command(
            "delete that pod (see first what it is for); the set then makes its own",
            command("kubectl delete pod {} -n {}", &[&name, &namespace]),
        ),
    )
}

fn is_adopted(set: &StatefulSet, pod: &Pod) -> bool {
    let selector = set.spec.as_ref().map(|spec| &spec.selector);
    selector.is_some_and(|selector| crate::view::selects(selector, pod.labels()))
}

/// Without the Service that it names, the pods of a set have no names of their own in the DNS.
fn without_service(view: &View<'_>, reference: &ObjectRef, set: &StatefulSet) -> Option<Finding> {
    let service = set.spec.as_ref()?.service_name.as_deref().filter(|name| !name.is_empty())?;
    if view.snapshot.presence(&kind::SERVICE, &reference.namespace, service) != Presence::Absent {
        return None;
    }
    let (name, namespace) = (&reference.name, &reference.namespace);
    Some(
        Finding::advice(
            ServiceMissing,
            Subject::of(reference.clone()),
            format!(
                "{} names Service {service}, which does not exist: its pods have no DNS names ({name}-0.{service})",
                reference.short()
            ),
        )
        .evidence("spec", format!("serviceName: {service}"))
        .related("missing", ObjectRef::new(&kind::SERVICE, namespace, service))
        .fix_command(
            "create it, headless, with the labels of the pods as its selector",
            create_service(view.workload(reference)?, service, None),
        ),
    )
}
