//! Reads what surrounds one object instead of its whole namespace, where the namespace is large.
//!
//! Rules that prove that something is missing need complete lists. Of each Service around the target all pods and EndpointSlices are read, and
//! the snapshot says which Services these are ([`Snapshot::is_complete_behind`]). Where that is not enough for the same answer as the whole namespace
//! gives, nothing is returned and the whole namespace has to be read.

use std::collections::BTreeSet;

use futures::future::{join, try_join, try_join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::Value;

use crate::cluster::{ApiError, Connection, ListQuery};
use crate::model::finding::{Effect, Related};
use crate::model::kind::Kind;
use crate::model::report::Diagnosis;
use crate::model::snapshot::{Coverage, Snapshot};
use crate::model::{kind, selector};
use crate::observe::reads::note_bad;
use crate::view::near_miss::meant_for;
use crate::view::ports::has_selector;
use crate::view::{Options, View, controller, selects, service_selects};

/// Kinds that are listed completely: a namespace has few of them, whatever its number of pods.
const SMALL: &[Kind] = &[
    kind::SERVICE,
    kind::INGRESS,
    kind::NETWORK_POLICY,
    kind::AUTOSCALER,
    kind::DISRUPTION_BUDGET,
];

/// Names of Services that fit into a selector; where there are more, all EndpointSlices are listed.
const MOST_NAMES: usize = 50;

/// Events that no rule needs here and that every pod has.
const USUAL_EVENTS: &str = "reason!=Scheduled,reason!=Pulling,reason!=Pulled,reason!=Created,reason!=Started,\
    reason!=ScalingReplicaSet,reason!=SuccessfulCreate";

/// Reads the neighbourhood of an object; none where the namespace is small or only the whole namespace can tell.
pub(crate) async fn read(
    connection: &Connection,
    target: &Kind,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Option<Snapshot>, ApiError> {
    if ![kind::POD, kind::SERVICE, kind::DEPLOYMENT, kind::DAEMON_SET, kind::REPLICA_SET].contains(target) {
        return Ok(None);
    }
    let (is_large, found) = try_join(
        connection.has_more_than_a_page(&kind::POD, namespace),
        connection.get(target, Some(namespace), name, false),
    )
    .await?;
    let Some(found) = found.filter(|_| is_large) else { return Ok(None) };
    let reading = Reading {
        connection,
        namespace,
        now,
    };
    let Some(mut snapshot) = reading.workload(target, found).await? else {
        return Ok(None);
    };
    let (small, events) = join(
        try_join_all(SMALL.iter().map(|kind| reading.list(kind, ListQuery::default()))),
        reading.list(
            &kind::EVENT,
            ListQuery {
                field_selector: USUAL_EVENTS.to_owned(),
                ..ListQuery::default()
            },
        ),
    )
    .await;
    small?.into_iter().for_each(|part| snapshot.absorb(part));
    snapshot.absorb(events?);
    SMALL
        .iter()
        .for_each(|kind| snapshot.cover(kind, Some(namespace), Coverage::Complete));
    for of in [
        kind::POD,
        kind::DEPLOYMENT,
        kind::REPLICA_SET,
        kind::DAEMON_SET,
        kind::EVENT,
        kind::ENDPOINT_SLICE,
    ] {
        snapshot.cover(&of, Some(namespace), Coverage::Partial);
    }
    snapshot.sort();
    if !is_enough(&snapshot) {
        return Ok(None);
    }
    let Some((seen, near)) = services(&snapshot) else { return Ok(None) };
    if target == &kind::SERVICE && !seen.iter().any(|service| service == name) {
        return Ok(None);
    }
    let names: Vec<&str> = seen.iter().chain(&near).map(String::as_str).collect();
    if !names.is_empty() {
        let query = match names.len() <= MOST_NAMES {
            true => labelled(format!("kubernetes.io/service-name in ({})", names.join(","))),
            false => ListQuery::default(),
        };
        snapshot.absorb(reading.list(&kind::ENDPOINT_SLICE, query).await?);
        snapshot.sort();
    }
    let has_endpoints = |service: &String| {
        let of = snapshot.objects.endpoint_slices.iter();
        let mut of = of.filter(|slice| slice.labels().get("kubernetes.io/service-name") == Some(service));
        of.any(|slice| !slice.endpoints.is_empty())
    };
    // A Service that leads nowhere and may have been meant for the target is judged by all workloads of the namespace.
    if !near.iter().all(has_endpoints) {
        return Ok(None);
    }
    snapshot.note_seen_behind(seen.into_iter().map(|service| (namespace.to_owned(), service)).collect());
    if mentions_config_maps(&snapshot) {
        let query = ListQuery {
            metadata_only: true,
            ..ListQuery::default()
        };
        snapshot.absorb(reading.list(&kind::CONFIG_MAP, query).await?);
        snapshot.cover(&kind::CONFIG_MAP, Some(namespace), Coverage::Complete);
        snapshot.sort();
    }
    Ok(Some(snapshot))
}

/// Whether a finding is about a Service whose pods were not read.
pub(crate) fn leads_beyond(diagnosis: &Diagnosis, snapshot: &Snapshot) -> bool {
    let errors = diagnosis.root_causes.iter().chain(&diagnosis.pending);
    let mut findings = errors.chain(&diagnosis.symptoms).chain(&diagnosis.advice);
    findings.any(|finding| {
        let awaited = finding
            .suffers
            .iter()
            .any(|effect| matches!(effect, Effect::Service(of, name) if snapshot.is_left_out(of, name)));
        let related = |r: &Related| r.object.is(&kind::SERVICE) && snapshot.is_left_out(&r.object.namespace, &r.object.name);
        awaited || finding.related.iter().any(related)
    })
}

struct Reading<'c> {
    connection: &'c Connection,
    namespace: &'c str,
    now: Timestamp,
}

impl Reading<'_> {
    async fn list(&self, of: &Kind, query: ListQuery) -> Result<Snapshot, ApiError> {
        let empty = || Snapshot::new(self.now, false);
        let listed = self.connection.list_into(of, Some(self.namespace), &query, empty, note_bad).await;
        listed.map(|(part, _)| part)
    }

    /// The workload that an object belongs to, with its ReplicaSets and pods. None where no single selector selects them.
    async fn workload(&self, of: &Kind, object: Value) -> Result<Option<Snapshot>, ApiError> {
        let mut snapshot = Snapshot::new(self.now, false);
        snapshot.namespaces = vec![self.namespace.to_owned()];
        let (mut of, mut object) = (of.clone(), object);
        let mut listed = None;
        if of == kind::SERVICE {
            let Some(labels) = object["spec"]["selector"].as_object().filter(|s| !s.is_empty()) else {
                return Ok(None);
            };
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            let part = self.list(&kind::POD, labelled(pairs.join(","))).await?;
            let Some(first) = part.objects.pods.first() else { return Ok(None) };
            (of, object) = (kind::POD, serde_json::to_value(first).unwrap_or_default());
            snapshot.absorb(part);
            listed = Some(pairs.join(","));
        }
        while let Some((owner_kind, name)) = owner(&object) {
            let Some(owner_kind) = owner_kind else { return Ok(None) };
            let read = self.connection.get(&owner_kind, Some(self.namespace), &name, false).await?;
            let Some(above) = read else { return Ok(None) };
            note_bad(&mut snapshot, std::mem::replace(&mut object, above));
            of = owner_kind;
        }
        if ![kind::DEPLOYMENT, kind::DAEMON_SET, kind::REPLICA_SET].contains(&of) {
            return Ok(None);
        }
        let of_workload: Option<LabelSelector> = serde_json::from_value(object["spec"]["selector"].clone()).ok();
        let Some(labels) = of_workload.as_ref().and_then(selector::to_text) else {
            return Ok(None);
        };
        note_bad(&mut snapshot, object);
        let sets = async {
            match of == kind::DEPLOYMENT {
                true => self.list(&kind::REPLICA_SET, labelled(labels.clone())).await.map(Some),
                false => Ok(None),
            }
        };
        let pods = async {
            match listed.as_ref() == Some(&labels) {
                true => Ok(None),
                false => self.list(&kind::POD, labelled(labels.clone())).await.map(Some),
            }
        };
        let (pods, sets) = try_join(pods, sets).await?;
        pods.into_iter().for_each(|part| snapshot.absorb(part));
        sets.into_iter().for_each(|part| snapshot.absorb(part));
        snapshot.sort();
        Ok(Some(snapshot))
    }
}

/// The controller of an object: its kind, if podlife knows it, and its name. A ReplicaSet that is named after its Deployment is skipped: it is
/// listed with the others of the Deployment, and [`is_enough`] sees whether it is among them.
fn owner(object: &Value) -> Option<(Option<Kind>, String)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|o| o["controller"] == true)?;
    let text = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
    let kind = kind::of_object(&text("apiVersion"), &text("kind"));
    let hash = object["metadata"]["labels"]["pod-template-hash"].as_str();
    let name = text("name");
    let deployment = hash.and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
    let of_deployment = deployment.filter(|_| kind == Some(&kind::REPLICA_SET)).map(str::to_owned);
    Some(match of_deployment {
        Some(deployment) => (Some(kind::DEPLOYMENT), deployment),
        None => (kind.cloned(), name),
    })
}

fn labelled(label_selector: String) -> ListQuery {
    ListQuery {
        label_selector,
        ..ListQuery::default()
    }
}

/// Whether what was read answers as well as the whole namespace would.
fn is_enough(snapshot: &Snapshot) -> bool {
    let objects = &snapshot.objects;
    let known: BTreeSet<String> = objects.references().into_iter().filter_map(|(_, uid)| uid).collect();
    let is_known = |pod: &Pod| controller(&pod.metadata).is_some_and(|owner| known.contains(&owner.uid));
    // What keeps a pod from a node, or holds its volumes, may be any other pod.
    let is_placed = |pod: &Pod| {
        let spec = pod.spec.as_ref();
        spec.is_some_and(|s| s.node_name.is_some() && s.volumes.iter().flatten().all(|v| v.persistent_volume_claim.is_none()))
    };
    let is_bounded = objects.network_policies.iter().any(|policy| {
        let taken = policy.spec.as_ref().and_then(|s| s.pod_selector.as_ref());
        objects
            .pods
            .iter()
            .any(|pod| taken.is_none_or(|taken| selects(taken, pod.labels())))
    });
    let is_refused = objects.events.iter().any(|event| {
        event.reason.as_deref() == Some("FailedCreate") && event.involved_object.uid.as_ref().is_some_and(|uid| known.contains(uid))
    });
    !objects.pods.is_empty() && objects.pods.iter().all(|pod| is_known(pod) && is_placed(pod)) && !is_bounded && !is_refused
}

/// The Services all of whose pods were read, and those that may have been meant for the workload. None where a Service of the pods selects others
/// too.
fn services(snapshot: &Snapshot) -> Option<(Vec<String>, Vec<String>)> {
    let view = View::new(snapshot, Options::default());
    let mut own: Vec<&LabelSelector> = Vec::new();
    own.extend(snapshot.objects.deployments.iter().filter_map(|o| Some(&o.spec.as_ref()?.selector)));
    own.extend(snapshot.objects.daemon_sets.iter().filter_map(|o| Some(&o.spec.as_ref()?.selector)));
    own.extend(
        snapshot
            .objects
            .replica_sets
            .iter()
            .filter_map(|o| Some(&o.spec.as_ref()?.selector)),
    );
    let (mut seen, mut near) = (Vec::new(), Vec::new());
    for service in snapshot.objects.services.iter().filter(|service| has_selector(service)) {
        let labels = service.spec.as_ref().and_then(|s| s.selector.clone()).unwrap_or_default();
        // Whatever the Service selects, one of the lists by selector had to have it.
        if own.iter().any(|selector| selects(selector, &labels)) {
            seen.push(service.name_any());
        } else if snapshot.objects.pods.iter().any(|pod| service_selects(service, pod.labels())) {
            return None;
        } else if meant_for(&view, service).is_some() {
            near.push(service.name_any());
        }
    }
    Some((seen, near))
}

fn mentions_config_maps(snapshot: &Snapshot) -> bool {
    snapshot.objects.pods.iter().filter_map(|pod| pod.spec.as_ref()).any(|spec| {
        let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let from = containers()
            .flat_map(|c| c.env_from.iter().flatten())
            .any(|e| e.config_map_ref.is_some());
        let keys = containers()
            .flat_map(|c| c.env.iter().flatten())
            .any(|e| e.value_from.as_ref().is_some_and(|v| v.config_map_key_ref.is_some()));
        let projected = |v: &Volume| {
            let sources = v.projected.iter().flat_map(|p| p.sources.iter().flatten());
            sources
                .filter_map(|s| s.config_map.as_ref())
                .any(|map| map.name != "kube-root-ca.crt")
        };
        let volumes = spec.volumes.iter().flatten().any(|v| v.config_map.is_some() || projected(v));
        from || keys || volumes
    })
}
