//! Where the time went: the way of the slowest pod from its creation to the first answer, by what its conditions, events and containers say,
//! and by what the run itself has seen. What neither tells is left out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::model::readiness::{Hop, HopName, Hops, ObjectReadiness, Phase, State};
use crate::model::{duration, kind};
use crate::readiness::flaps::Flaps;
use crate::view::{View, condition, containers, has_ended, is_terminating, revision};

/// A pod that was created at most this long before the run is one that the run is about.
const YOUNG: SignedDuration = SignedDuration::from_secs(60);

/// What the run has seen come about; what was so at its first look came before it, and nobody knows when.
#[derive(Clone, Debug)]
pub struct Milestones {
    begun: Timestamp,
    looked: bool,
    endpoints: BTreeMap<String, Option<Timestamp>>,
    addresses: BTreeMap<ObjectRef, Option<Timestamp>>,
    flaps: Flaps,
}

impl Milestones {
    /// Nothing yet, at the start of a run.
    pub fn new(begun: Timestamp) -> Self {
        Self {
            begun,
            looked: false,
            endpoints: BTreeMap::new(),
            addresses: BTreeMap::new(),
            flaps: Flaps::default(),
        }
    }

    /// When the run began.
    pub fn begun(&self) -> Timestamp {
        self.begun
    }

    /// Pods that were ready and did not stay so.
    pub fn flaps(&self) -> &Flaps {
        &self.flaps
    }

    /// Notes what a look shows.
    pub fn note(&mut self, view: &View<'_>, judged: &[ObjectReadiness]) {
        self.flaps.note(view, judged);
        let now = self.looked.then_some(view.snapshot.taken_at);
        self.looked = true;
        let slices = view.snapshot.objects.endpoint_slices.iter();
        let ready = slices
            .flat_map(|s| s.endpoints.iter())
            .filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
        for uid in ready.filter_map(|e| e.target_ref.as_ref()?.uid.clone()) {
            self.endpoints.entry(uid).or_insert(now);
        }
        for item in judged.iter().filter(|j| j.phase == Phase::Infrastructure && has_address(j)) {
            if item.state == State::Ready {
                self.addresses.entry(item.object.clone()).or_insert(now);
            } else {
                self.addresses.remove(&item.object);
            }
        }
    }
}

/// Objects that wait for an address.
fn has_address(item: &ObjectReadiness) -> bool {
    let given = [kind::INGRESS, kind::GATEWAY].iter().any(|k| item.object.is(k));
    given || (item.object.is(&kind::SERVICE) && (item.state != State::Ready || item.reason.starts_with("load balancer")))
}

/// The steps of the slowest pod of the judged workloads' current revision; none where there is no such pod. `answered` is the time of the first
/// answer of the present streak.
pub fn of(view: &View<'_>, judged: &[ObjectReadiness], marks: &Milestones, answered: Option<Timestamp>) -> Option<Hops> {
    let workloads = view.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
    let pods = workloads
        .flat_map(|w| w.pods.iter().copied())
        .filter(|p| !is_terminating(p) && !has_ended(p) && !revision::is_old(view, p));
    let has_failed = |pod: &Pod| {
        let workload = view.workload_of(pod);
        judged.iter().any(|j| j.state == State::Failed && j.object == workload)
    };
    // A pod that is not ready yet is slower than a ready one, and one that has failed is slowest.
    let slowest = pods.max_by_key(|p| {
        let ready = since(p, "Ready");
        (
            has_failed(p),
            ready.is_none(),
            ready,
            p.metadata.creation_timestamp.as_ref().map(|t| t.0),
            p.name_any(),
        )
    })?;
    let created = slowest.metadata.creation_timestamp.as_ref()?.0;
    let ready = since(slowest, "Ready");
    let uid = slowest.metadata.uid.clone().unwrap_or_default();
    let after_ready = |at: Option<Timestamp>| at.filter(|_| ready.is_some());
    // What came and went did not take until now to be ready; it takes until now to stay so.
    let first_ready = marks
        .flaps
        .first_ready(&uid)
        .filter(|first| ready.is_some_and(|ready| *first < ready));
    // Of a pod that is much older than the run nobody knows whether it had been ready before that.
    let knows_all = marks.begun.duration_since(created) < YOUNG;
    let address = marks.addresses.values().flatten().max().copied();
    let times = [
        (HopName::Scheduled, since(slowest, "PodScheduled")),
        (HopName::Pulled, pulled(view, slowest)),
        (HopName::Started, started(slowest)),
        (HopName::Ready, first_ready.map_or(ready, |first| knows_all.then_some(first))),
        (HopName::ReadyAgain, first_ready.and(ready)),
        (HopName::Endpoint, after_ready(marks.endpoints.get(&uid).copied().flatten())),
        (HopName::Address, address),
        (HopName::Answered, answered),
    ];
    let mut hops = Vec::new();
    let mut last = created;
    for (hop, at) in times {
        let Some(at) = at else { continue };
        // Nobody asked before the run began, and nobody saw how it came and went.
        let is_seen = matches!(hop, HopName::Answered | HopName::ReadyAgain);
        let from = if is_seen { last.max(marks.begun) } else { last };
        let took = at.duration_since(from).as_secs_f64().max(0.0);
        hops.push(Hop {
            hop,
            at: at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            took_seconds: duration::rounded(took),
        });
        last = last.max(at);
    }
    Some(Hops {
        pod: slowest.name_any(),
        namespace: slowest.namespace().unwrap_or_default(),
        created: created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        hops,
    })
}

/// Since when a condition of the pod is true.
fn since(pod: &Pod, type_: &str) -> Option<Timestamp> {
    condition(pod, type_).filter(|(status, ..)| *status == "True")?;
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|c| c.type_ == type_)?;
    condition.last_transition_time.as_ref().map(|t| t.0)
}

/// When the last of its containers had its image for the first time.
fn pulled(view: &View<'_>, pod: &Pod) -> Option<Timestamp> {
    let mut first: BTreeMap<String, Timestamp> = BTreeMap::new();
    for event in view.snapshot.objects.events.iter() {
        let is_of = event.reason.as_deref() == Some("Pulled") && event.involved_object.uid == pod.metadata.uid;
        let at = event.first_timestamp.as_ref().map(|t| t.0);
        let at = at.or_else(|| event.event_time.as_ref().map(|t| t.0));
        if let (true, Some(at)) = (is_of, at) {
            let of = event.involved_object.field_path.clone().unwrap_or_default();
            first.entry(of).and_modify(|known| *known = at.min(*known)).or_insert(at);
        }
    }
    let wanted = pod.spec.as_ref()?.containers.len();
    let all = first.iter().filter(|(of, _)| of.starts_with("spec.containers{"));
    (all.clone().count() >= wanted).then(|| all.map(|(_, at)| *at).max()).flatten()
}

/// When the last of its containers was started.
fn started(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let running = statuses
        .iter()
        .map(|s| Some(s.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0))
        .collect::<Option<Vec<_>>>()?;
    running
        .into_iter()
        .max()
        .filter(|_| containers(pod).iter().all(|c| c.restarts() == 0))
}
