//! What each pod of the targets goes through while a drill is made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::drill::plan::{PodBefore, restarts};
use crate::model::drill::{DependantRestarts, PodLife, PodState, PodStateAt, Replacement};
use crate::model::duration::rounded;
use crate::model::finding::ObjectRef;
use crate::view::{View, has_ended, is_ready, is_terminating, phase};

/// The states of every pod that was seen, by uid.
#[derive(Default)]
pub(crate) struct Lanes {
    pods: BTreeMap<String, Lane>,
}

struct Lane {
    pod: String,
    workload: ObjectRef,
    /// When each state was first seen, from the start of the drill.
    states: Vec<(Duration, PodState)>,
    /// Of its containers, as last seen.
    restarts: u32,
}

fn state(pod: &Pod) -> PodState {
    match pod {
        pod if is_terminating(pod) => PodState::Terminating,
        pod if has_ended(pod) => PodState::Gone,
        pod if is_ready(pod) => PodState::Ready,
        pod if phase(pod) == "Running" => PodState::Running,
        _ => PodState::Pending,
    }
}

impl Lane {
    fn enter(&mut self, at: Duration, state: PodState) {
        if self.states.last().is_none_or(|(_, last)| *last != state) {
            self.states.push((at, state));
        }
    }
}

impl Lanes {
    /// Notes the pods of the targets as they are now.
    pub(crate) fn note(&mut self, view: &View<'_>, targets: &[ObjectRef], at: Duration) {
        let mut living = BTreeSet::new();
        for target in targets {
            for pod in view.workload(target).iter().flat_map(|workload| &workload.pods) {
                let uid = pod.uid().unwrap_or_default();
                let lane = self.pods.entry(uid.clone()).or_insert_with(|| Lane {
                    pod: pod.name_any(),
                    workload: target.clone(),
                    states: Vec::new(),
                    restarts: 0,
                });
                lane.enter(at, state(pod));
                lane.restarts = restarts(pod);
                living.insert(uid);
            }
        }
        let gone = self.pods.iter_mut().filter(|(uid, _)| !living.contains(*uid));
        gone.for_each(|(_, lane)| lane.enter(at, PodState::Gone));
    }

    /// Restarts of the pods that were there before, since then.
    pub(crate) fn restarts<'p>(&self, before: impl IntoIterator<Item = &'p PodBefore>) -> u32 {
        let of = |pod: &PodBefore| Some(self.pods.get(&pod.uid)?.restarts.saturating_sub(pod.restarts));
        before.into_iter().filter_map(of).sum()
    }

    /// The same of each workload that they belong to.
    pub(crate) fn restarts_of_each(&self, before: &[PodBefore]) -> Vec<DependantRestarts> {
        let workloads: BTreeSet<&ObjectRef> = before.iter().map(|pod| &pod.workload).collect();
        let of = |workload: &ObjectRef| DependantRestarts {
            workload: workload.clone(),
            restarts: self.restarts(before.iter().filter(|pod| pod.workload == *workload)),
        };
        workloads.into_iter().map(of).collect()
    }

    /// The pods that were not there before, and were not on their way out when they were first seen.
    pub(crate) fn replacements(&self, before: &[PodBefore]) -> Vec<Replacement> {
        let is_new = |uid: &str| !before.iter().any(|pod| pod.uid == uid);
        let of = |lane: &Lane| {
            let (first, _) = *lane.states.first().filter(|(_, state)| *state != PodState::Terminating)?;
            let ready = lane.states.iter().find(|(_, state)| *state == PodState::Ready);
            Some(Replacement {
                pod: lane.pod.clone(),
                workload: lane.workload.clone(),
                ready_seconds: ready.map(|(at, _)| rounded((*at - first).as_secs_f64())),
                restarts: lane.restarts,
            })
        };
        let new = self.pods.iter().filter(|(uid, _)| is_new(uid));
        new.filter_map(|(_, lane)| of(lane)).collect()
    }

    /// The lives of all pods, by workload and in the order in which they were seen; seconds count from `fault`.
    pub(crate) fn lives(&self, fault: Duration) -> Vec<PodLife> {
        let mut lanes: Vec<&Lane> = self.pods.values().collect();
        lanes.sort_by_key(|lane| (&lane.workload, lane.states.first().map(|(at, _)| *at), &lane.pod));
        let at = |(at, state): &(Duration, PodState)| PodStateAt {
            at_seconds: rounded(at.as_secs_f64() - fault.as_secs_f64()),
            state: *state,
        };
        let life = |lane: &Lane| PodLife {
            pod: lane.pod.clone(),
            workload: lane.workload.clone(),
            states: lane.states.iter().map(at).collect(),
        };
        lanes.into_iter().map(life).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind;
    use crate::testing;
    use crate::view::Options;

    fn note(lanes: &mut Lanes, pods: &str, at: u64) {
        let snapshot = testing::snapshot(&format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db, namespace: shop, uid: s}}\nspec: {{selector: {{matchLabels: {{app: db}}}}}}\n{pods}"
        ));
        let view = View::new(&snapshot, Options::default());
        let target = ObjectRef::new(&kind::STATEFUL_SET, "shop", "db");
        lanes.note(&view, &[target], Duration::from_secs(at));
    }

    fn pod(uid: &str, metadata: &str, status: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: db-0, namespace: shop, uid: {uid}, labels: {{app: db}}, {metadata} ownerReferences: \
             [{{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: s, controller: true}}]}}\nspec: {{containers: []}}\nstatus: {status}\n"
        )
    }

    #[test]
    fn two_pods_of_one_name_have_two_lives() {
        const READY: &str = "{phase: Running, conditions: [{type: Ready, status: 'True'}]}";
        let mut lanes = Lanes::default();
        note(&mut lanes, &pod("a", "", READY), 0);
        note(&mut lanes, &pod("a", "", READY), 1);
        note(&mut lanes, &pod("a", "deletionTimestamp: '2026-01-01T00:00:00Z',", READY), 3);
        note(&mut lanes, &pod("b", "", "{phase: Pending}"), 4);
        note(&mut lanes, &pod("b", "", "{phase: Running}"), 5);
        note(&mut lanes, &pod("b", "", READY), 7);
        let told: Vec<Vec<(f64, PodState)>> = lanes
            .lives(Duration::from_secs(3))
            .iter()
            .map(|life| life.states.iter().map(|at| (at.at_seconds, at.state)).collect())
            .collect();
        use PodState::{Gone, Pending, Ready, Running, Terminating};
        assert_eq!(
            told,
            [
                vec![(-3.0, Ready), (0.0, Terminating), (1.0, Gone)],
                vec![(1.0, Pending), (2.0, Running), (4.0, Ready)]
            ]
        );
        let before = PodBefore {
            uid: "a".to_owned(),
            name: "db-0".to_owned(),
            workload: ObjectRef::new(&kind::STATEFUL_SET, "shop", "db"),
            restarts: 0,
        };
        let new = lanes.replacements(std::slice::from_ref(&before));
        assert_eq!((new.len(), new[0].ready_seconds), (1, Some(3.0)), "from when it was first seen");
        assert_eq!(lanes.replacements(&[]).len(), 2);
        let of_each = lanes.restarts_of_each(std::slice::from_ref(&before));
        assert_eq!(
            (of_each.len(), of_each[0].workload.name.as_str(), of_each[0].restarts),
            (1, "db", 0)
        );
        assert_eq!(lanes.restarts(&[before]), 0);
    }
}
