//! Pods that became ready during a run and did not stay so: no single look shows that.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::duration::short;
use crate::model::readiness::ObjectReadiness;
use crate::text::sanitise;
use crate::view::{View, revision, rollout};

/// What was seen of each pod, by its UID.
#[derive(Clone, Debug, Default)]
pub struct Flaps {
    pods: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    name: String,
    /// When it was seen ready for the first time.
    first: Timestamp,
    /// Since when it has been ready; none while it is not.
    since: Option<Timestamp>,
    times: u32,
    longest: Duration,
}

impl Seen {
    fn longest(&self, now: Timestamp) -> Duration {
        self.longest.max(self.since.map(|since| between(since, now)).unwrap_or_default())
    }
}

impl Flaps {
    /// Notes the pods of the judged workloads' current revisions.
    pub fn note(&mut self, view: &View<'_>, judged: &[ObjectReadiness]) {
        let now = view.snapshot.taken_at;
        let workloads = view.workloads().filter(|w| judged.iter().any(|j| j.object == w.reference));
        let pods: Vec<&Pod> = workloads.flat_map(|w| w.pods.iter().copied()).collect();
        // Pods of replaced revisions do not matter any more.
        let is_current = |uid: &String| {
            pods.iter()
                .any(|p| p.metadata.uid.as_ref() == Some(uid) && !revision::is_old(view, p))
        };
        self.pods.retain(|uid, _| is_current(uid));
        for found in pods.into_iter().filter(|p| !revision::is_old(view, p)) {
            let Some(uid) = found.metadata.uid.clone() else { continue };
            let is_ready = rollout::pod::state(view, found).is_ready();
            match self.pods.get_mut(&uid) {
                None if is_ready => {
                    let seen = Seen {
                        name: found.name_any(),
                        first: now,
                        since: Some(now),
                        times: 1,
                        longest: Duration::ZERO,
                    };
                    self.pods.insert(uid, seen);
                }
                Some(seen) if is_ready && seen.since.is_none() => {
                    seen.times += 1;
                    seen.since = Some(now);
                }
                Some(seen) if !is_ready => {
                    seen.longest = seen.longest(now);
                    seen.since = None;
                }
                _ => {}
            }
        }
    }

    /// The pod that flapped most often: `pod web-7c9f8-x was ready 4 times, for 3s at the longest`.
    pub fn in_words(&self, now: Timestamp) -> Option<String> {
        let restless = self.pods.values().filter(|seen| seen.times > 1 || seen.since.is_none());
        let seen = restless.max_by_key(|seen| (seen.times, &seen.name))?;
        let longest = short(seen.longest(now));
        Some(sanitise(&match seen.times {
            1 => format!("pod {} was ready once, for {longest}", seen.name),
            times => format!("pod {} was ready {times} times, for {longest} at the longest", seen.name),
        }))
    }

    /// When a pod that has been ready more than once was so for the first time.
    pub fn first_ready(&self, uid: &str) -> Option<Timestamp> {
        self.pods.get(uid).filter(|seen| seen.times > 1).map(|seen| seen.first)
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ObjectRef;
    use crate::model::kind;
    use crate::model::snapshot::Snapshot;
    use crate::readiness::{Goal, judge};
    use crate::testing::{noon, snapshot};
    use crate::view::Options;

    fn at(second: i64, is_ready: bool) -> Snapshot {
        let status = if is_ready { "True" } else { "False" };
        let mut seen = snapshot(&format!(
            "{{kind: Pod, apiVersion: v1, metadata: {{name: web, namespace: shop, uid: u}}, spec: {{containers: [{{name: app}}]}}, \
             status: {{phase: Running, conditions: [{{type: Ready, status: '{status}'}}], containerStatuses: [{{name: app, image: a, imageID: a, \
             ready: {is_ready}, restartCount: 0, state: {{running: {{}}}}}}]}}}}"
        ));
        seen.taken_at = noon().checked_add(jiff::SignedDuration::from_secs(second)).unwrap();
        seen
    }

    fn says(looks: &[(i64, bool)]) -> (Option<String>, bool) {
        let mut flaps = Flaps::default();
        let mut now = noon();
        for (second, is_ready) in looks {
            let seen = at(*second, *is_ready);
            let view = View::new(&seen, Options::default());
            let goal = Goal {
                targets: vec![ObjectRef::new(&kind::POD, "shop", "web")],
                ..Goal::default()
            };
            flaps.note(&view, &judge(&view, &goal));
            now = seen.taken_at;
        }
        (flaps.in_words(now), flaps.first_ready("u").is_some())
    }

    #[test]
    fn flapping_is_counted() {
        assert_eq!(says(&[(0, false), (5, false)]), (None, false));
        assert_eq!(says(&[(0, false), (5, true), (9, true)]), (None, false), "it stays");
        let once = "pod web was ready once, for 3s".to_owned();
        assert_eq!(says(&[(0, false), (5, true), (8, false), (90, false)]), (Some(once), false));
        let often = "pod web was ready 3 times, for 4s at the longest".to_owned();
        let looks = [(0, true), (2, false), (10, true), (12, true), (14, false), (20, true), (21, true)];
        assert_eq!(says(&looks), (Some(often), true));
    }
}
