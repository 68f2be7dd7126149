//! Works out which workload each pod belongs to, and which object each event is about.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::view::event::EventKey;
use crate::view::owner::owner_reference;
use crate::view::{EventView, View, Workload, WorkloadObject, controller, phase, reference_of};

impl<'a> View<'a> {
    pub(crate) fn index_workloads(&mut self) {
        let objects = &self.snapshot.objects;
        let mut all: Vec<WorkloadObject<'a>> = Vec::new();
        all.extend(objects.deployments.iter().map(WorkloadObject::Deployment));
        all.extend(objects.stateful_sets.iter().map(WorkloadObject::StatefulSet));
        all.extend(objects.daemon_sets.iter().map(WorkloadObject::DaemonSet));
        all.extend(objects.cron_jobs.iter().map(WorkloadObject::CronJob));
        all.extend(objects.jobs.iter().map(WorkloadObject::Job));
        all.extend(objects.replica_sets.iter().map(WorkloadObject::ReplicaSet));
        all.extend(objects.replication_controllers.iter().map(WorkloadObject::ReplicationController));
        for object in all {
            let metadata = object.metadata();
            let reference = reference_of(&object.kind(), metadata);
            // What another workload controls is no workload of its own; what a custom resource or a node controls is.
            let is_owned = controller(metadata).is_some_and(|owner| kind::of_object(&owner.api_version, &owner.kind).is_some());
            if !is_owned {
                self.workloads.insert(
                    reference.clone(),
                    Workload {
                        reference,
                        object: Some(object),
                        pods: Vec::new(),
                    },
                );
            }
        }
        for pod in &objects.pods {
            let top = self.top_of(&kind::POD, &pod.metadata, pod.labels());
            let is_bare = top.is(&kind::POD);
            self.workload_of_pod
                .insert((pod.namespace().unwrap_or_default(), pod.name_any()), top.clone());
            self.workloads
                .entry(top.clone())
                .or_insert_with(|| Workload {
                    reference: top,
                    object: is_bare.then_some(WorkloadObject::Pod(pod)),
                    pods: Vec::new(),
                })
                .pods
                .push(pod);
        }
    }

    /// Climbs controller references as far as they can be followed.
    fn top_of(&self, kind: &Kind, metadata: &ObjectMeta, labels: &BTreeMap<String, String>) -> ObjectRef {
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let Some(owner) = controller(metadata) else {
            return reference_of(kind, metadata);
        };
        // A static pod is controlled by its node, and the pod of a session by its record, which make no pods: it stands for itself.
        if matches!(owner.kind.as_str(), "Node" | "Lease")
            || (kind != &kind::POD && kind::of_object(&owner.api_version, &owner.kind).is_none())
        {
            return reference_of(kind, metadata);
        }
        let owner_kind = kind::of_object(&owner.api_version, &owner.kind);
        let above = match owner_kind {
            Some(k) if k == &kind::REPLICA_SET || k == &kind::JOB => self
                .owners
                .get(&(k.kind.as_ref(), namespace.as_str(), owner.name.as_str()))
                .copied(),
            _ => None,
        };
        match (owner_kind, above) {
            (Some(k), Some(above)) => self.top_of(k, above, labels),
            // The ReplicaSet could not be read: the template hash that a Deployment puts on its pods still names the Deployment.
            (Some(k), None) if k == &kind::REPLICA_SET => labels
                .get("pod-template-hash")
                .and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")))
                .map_or_else(
                    || owner_reference(owner, &namespace),
                    |name| ObjectRef::new(&kind::DEPLOYMENT, &namespace, name),
                ),
            _ => owner_reference(owner, &namespace),
        }
    }

    /// The top controller of a pod, ReplicaSet or Job, as far as owners were read; any other object is its own.
    pub fn climb(&self, object: &ObjectRef) -> ObjectRef {
        let objects = &self.snapshot.objects;
        let same = |kind: &Kind, metadata: &ObjectMeta| object.is(kind) && reference_of(kind, metadata) == *object;
        let pods = objects.pods.iter().map(|o| (kind::POD, &o.metadata));
        let sets = objects.replica_sets.iter().map(|o| (kind::REPLICA_SET, &o.metadata));
        let jobs = objects.jobs.iter().map(|o| (kind::JOB, &o.metadata));
        pods.chain(sets)
            .chain(jobs)
            .find(|(kind, metadata)| same(kind, metadata))
            .map_or_else(
                || object.clone(),
                |(kind, metadata)| self.top_of(&kind, metadata, metadata.labels.as_ref().unwrap_or(&BTreeMap::new())),
            )
    }

    /// Whether a bare pod that failed has a successor: a younger bare pod with the same labels that has not failed. Nothing removes the old
    /// one.
    pub fn is_replaced(&self, pod: &Pod) -> bool {
        let is_bare = |pod: &Pod| controller(&pod.metadata).is_none();
        let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
        let succeeds = |other: &Pod| {
            other.namespace() == pod.namespace()
                && other.labels() == pod.labels()
                && is_bare(other)
                && made(other) > made(pod)
                && phase(other) != "Failed"
        };
        phase(pod) == "Failed" && is_bare(pod) && !pod.labels().is_empty() && self.snapshot.objects.pods.iter().any(succeeds)
    }

    pub(crate) fn index_events(&mut self) {
        for event in &self.snapshot.objects.events {
            let times = [
                event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0),
                event.last_timestamp.as_ref().map(|t| t.0),
                event.event_time.as_ref().map(|t| t.0),
                event.first_timestamp.as_ref().map(|t| t.0),
                event.metadata.creation_timestamp.as_ref().map(|t| t.0),
            ];
            let view = EventView {
                event,
                last_seen: times.into_iter().flatten().max(),
            };
            if view.last_seen.is_some_and(|seen| self.age(seen) > self.options.since) {
                continue;
            }
            let about = &event.involved_object;
            let key = match &about.uid {
                Some(uid) => EventKey::Uid(uid.clone()),
                None => EventKey::Name(
                    about.kind.clone().unwrap_or_default(),
                    about.namespace.clone().unwrap_or_default(),
                    about.name.clone().unwrap_or_default(),
                ),
            };
            self.events.entry(key).or_default().push(view);
        }
        for list in self.events.values_mut() {
            list.sort_by_key(|view| std::cmp::Reverse(view.last_seen));
        }
    }
}
