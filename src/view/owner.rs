//! Who owns what.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::model::finding::{Effect, ObjectRef};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::Snapshot;

pub(crate) fn owners(snapshot: &Snapshot) -> HashMap<(&str, &str, &str), &ObjectMeta> {
    let sets = snapshot.objects.replica_sets.iter().map(|o| ("ReplicaSet", &o.metadata));
    let jobs = snapshot.objects.jobs.iter().map(|o| ("Job", &o.metadata));
    sets.chain(jobs)
        .map(|(kind, metadata)| {
            let namespace = metadata.namespace.as_deref().unwrap_or_default();
            ((kind, namespace, metadata.name.as_deref().unwrap_or_default()), metadata)
        })
        .collect()
}

/// The reference of an object of a known kind.
pub fn reference_of(kind: &Kind, metadata: &ObjectMeta) -> ObjectRef {
    ObjectRef::new(
        kind,
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// The owner that controls an object.
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

pub(crate) fn owner_reference(owner: &OwnerReference, namespace: &str) -> ObjectRef {
    let namespaced = kind::of_object(&owner.api_version, &owner.kind).is_none_or(|k| k.namespaced);
    ObjectRef {
        api_version: owner.api_version.clone(),
        kind: owner.kind.clone(),
        // A static pod is controlled by its node, which has no namespace.
        namespace: if namespaced { namespace.to_owned() } else { String::new() },
        name: owner.name.clone(),
    }
}

/// The reference of a Service.
pub fn service_reference(service: &Service) -> ObjectRef {
    reference_of(&kind::SERVICE, &service.metadata)
}

/// Nobody gets an answer from this Service.
pub fn service_effect(service: &Service) -> Effect {
    let reference = service_reference(service);
    Effect::Service(reference.namespace, reference.name)
}
