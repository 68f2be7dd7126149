//! Warm pods as the watch shows them, and what is to be done about them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::WatchEvent;
use crate::observe::session::pod_of;
use crate::session::decide::is_live;
use crate::session::state::is_ready;
use crate::session::warm::ReadyPods;
use crate::session::{SESSION, TEMPLATE};

/// The pause between two warm pods that are made, and the longest one while they do not become ready.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// A pod that was handed out and is still warm after this long has not been claimed.
const UNCLAIMED: Duration = Duration::from_secs(30);

/// A warm pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Warm {
    uid: String,
    version: String,
    template: String,
    is_ready: bool,
    is_live: bool,
    is_going: bool,
}

impl Warm {
    /// Its name and what is needed of it; none where the pod is not a warm one.
    fn read(pod: &Value) -> Option<(String, Self)> {
        if pod["metadata"]["labels"][SESSION] != "" {
            return None;
        }
        let pod = pod_of(pod.clone())?;
        let warm = Self {
            is_ready: is_ready(&pod),
            is_live: is_live(&pod),
            is_going: pod.metadata.deletion_timestamp.is_some(),
            template: pod.metadata.labels?.remove(TEMPLATE).unwrap_or_default(),
            uid: pod.metadata.uid?,
            version: pod.metadata.resource_version.unwrap_or_default(),
        };
        Some((pod.metadata.name?, warm))
    }
}

/// A warm pod, since when it has been as ready as it is, and when it was last handed out.
#[derive(Debug)]
struct Seen {
    warm: Warm,
    since: Instant,
    offered: Option<Instant>,
}

/// What the leader is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Make,
    Remove(Removal),
}

/// A warm pod that is to be removed, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) why: &'static str,
}

/// All warm pods of the namespace.
pub(super) struct Pool {
    pods: BTreeMap<String, Seen>,
    /// Those that sessions may take.
    ready: ReadyPods,
    /// The hash of the template that they are made from.
    template: String,
    /// How many there are to be.
    size: usize,
    /// How long one may take to become ready.
    patience: Duration,
    /// The pause behind the next one that is made, and when that may be.
    pause: Duration,
    next: Instant,
}

impl Pool {
    pub(super) fn new(size: usize, patience: Duration, template: String, ready: ReadyPods) -> Self {
        Self {
            pods: BTreeMap::new(),
            ready,
            template,
            size,
            patience,
            pause: PAUSE.0,
            next: Instant::now(),
        }
    }

    /// Whether there are to be any.
    pub(super) const fn is_wanted(&self) -> bool {
        self.size > 0
    }

    /// From now on they are made from another template.
    pub(super) fn set_template(&mut self, template: String) {
        self.template = template;
        self.offer();
    }

    /// Takes in what the watch of pods shows.
    pub(super) fn see(&mut self, event: &WatchEvent) {
        match event {
            WatchEvent::Listed(list) => {
                let all: Vec<(String, Warm)> = list.items.iter().filter_map(Warm::read).collect();
                let names: BTreeSet<&String> = all.iter().map(|(name, _)| name).collect();
                self.pods.retain(|name, _| names.contains(name));
                for (name, warm) in all {
                    self.put(name, warm);
                }
            }
            WatchEvent::Applied(pod) => match Warm::read(pod) {
                Some((name, warm)) => self.put(name, warm),
                None => self.forget(pod),
            },
            WatchEvent::Deleted(pod) => self.forget(pod),
            WatchEvent::Interrupted(_) | WatchEvent::Resumed => return,
        }
        self.offer();
    }

    fn forget(&mut self, pod: &Value) {
        self.pods.remove(pod["metadata"]["name"].as_str().unwrap_or_default());
    }

    fn put(&mut self, name: String, warm: Warm) {
        let now = Instant::now();
        let before = self.pods.remove(&name);
        let same = before.filter(|before| before.warm.uid == warm.uid && before.warm.is_ready == warm.is_ready);
        if same.is_none() && warm.is_ready {
            self.pause = PAUSE.0;
        }
        let (since, offered) = same.map_or((now, None), |before| (before.since, before.offered));
        self.pods.insert(name, Seen { warm, since, offered });
    }

    /// Hands out those that are ready, and no others. One that nobody has claimed in time is handed out again.
    pub(super) fn offer(&mut self) {
        let (now, template) = (Instant::now(), &self.template);
        let is_free = |seen: &Seen| seen.warm.is_ready && seen.warm.template == *template;
        let pods = &self.pods;
        self.ready.retain(|name| pods.get(name).is_some_and(is_free));
        for (name, seen) in &mut self.pods {
            let is_due = seen.offered.is_none_or(|at| now.duration_since(at) >= UNCLAIMED);
            if is_free(seen) && is_due && !self.ready.has(name) {
                self.ready.put(name);
                seen.offered = Some(now);
            }
        }
    }

    /// How many are ready, and how many are not yet.
    pub(super) fn counts(&self) -> (usize, usize) {
        let here = || self.pods.values().filter(|seen| !seen.warm.is_going);
        let ready = here().filter(|seen| seen.warm.is_ready).count();
        (ready, here().count() - ready)
    }

    /// What the leader is to do now.
    pub(super) fn act(&self) -> Act {
        let now = Instant::now();
        let here = || self.pods.iter().filter(|(_, seen)| !seen.warm.is_going);
        let why = |seen: &Seen| match &seen.warm {
            _ if self.size == 0 => Some("--warm is 0"),
            warm if warm.template != self.template => Some("it has another template"),
            warm if !warm.is_live => Some("it has ended"),
            warm if !warm.is_ready && now.duration_since(seen.since) >= self.patience => Some("it does not become ready"),
            _ => None,
        };
        let wrong = here().find_map(|(name, seen)| Some((name, seen, why(seen)?)));
        // The last one to be of use goes first.
        let surplus = || {
            let last = here().max_by_key(|(_, seen)| (!seen.warm.is_ready, seen.since))?;
            (here().count() > self.size).then_some((last.0, last.1, "there are more than --warm"))
        };
        match wrong.or_else(surplus) {
            Some((name, seen, why)) => Act::Remove(Removal {
                name: name.clone(),
                uid: seen.warm.uid.clone(),
                version: seen.warm.version.clone(),
                why,
            }),
            None if here().count() < self.size && now >= self.next => Act::Make,
            None => Act::Nothing,
        }
    }

    /// Notes that one has been made.
    pub(super) fn made(&mut self, pod: Value) {
        self.see(&WatchEvent::Applied(pod));
        self.next = Instant::now() + self.pause;
    }

    /// Notes that one could not be made, or has not become ready: the next ones come later.
    pub(super) fn failed(&mut self) {
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.next = Instant::now() + self.pause;
    }

    /// Notes that one is being removed.
    pub(super) fn removed(&mut self, removal: &Removal) {
        let seen = self.pods.get_mut(&removal.name).filter(|seen| seen.warm.version == removal.version);
        let Some(seen) = seen else { return };
        seen.warm.is_going = true;
        let has_failed = !seen.warm.is_ready && (!seen.warm.is_live || seen.since.elapsed() >= self.patience);
        if has_failed && self.size > 0 {
            self.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session::warm;

    const PATIENCE: Duration = Duration::from_mins(2);

    fn pool(size: usize) -> (Pool, ReadyPods) {
        let ready = ReadyPods::default();
        (Pool::new(size, PATIENCE, "t".to_owned(), ready.clone()), ready)
    }

    fn pod(name: &str, template: &str, is_ready: bool) -> Value {
        let ready = if is_ready { "True" } else { "False" };
        json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1", "labels": warm::labels(template)},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T12:00:00Z"}],
            },
        })
    }

    fn removed(act: Act) -> (String, &'static str) {
        match act {
            Act::Remove(removal) => (removal.name, removal.why),
            act => panic!("{act:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_as_are_wanted_are_made_one_after_the_other() {
        let (mut pool, ready) = pool(2);
        assert_eq!(pool.act(), Act::Make);
        pool.made(pod("a", "t", false));
        assert_eq!(pool.act(), Act::Nothing);
        tokio::time::advance(PAUSE.0).await;
        assert_eq!(pool.act(), Act::Make);
        pool.made(pod("b", "t", false));
        tokio::time::advance(PAUSE.0).await;
        // Those that start count, too.
        assert_eq!((pool.act(), pool.counts()), (Act::Nothing, (0, 2)));
        assert_eq!(ready.take(), None);
        pool.see(&WatchEvent::Applied(pod("a", "t", true)));
        assert_eq!((ready.take().as_deref(), ready.take()), (Some("a"), None));
        // A session has taken it.
        let mut claimed = pod("a", "t", true);
        claimed["metadata"]["labels"][SESSION] = "user-42".into();
        pool.see(&WatchEvent::Applied(claimed));
        assert_eq!((pool.act(), pool.counts()), (Act::Make, (0, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_is_handed_out_once_and_again_where_nobody_claims_it() {
        let (mut pool, ready) = pool(1);
        let mut one = pod("a", "t", true);
        pool.see(&WatchEvent::Applied(one.clone()));
        assert_eq!(ready.take().as_deref(), Some("a"));
        // What the kubelet writes does not make it free again.
        one["metadata"]["resourceVersion"] = "2".into();
        pool.see(&WatchEvent::Applied(one.clone()));
        assert_eq!(ready.take(), None);
        tokio::time::advance(UNCLAIMED).await;
        pool.offer();
        assert!(ready.has("a"));
        // It is taken back when it is not ready any more, goes, or was made from another template.
        pool.see(&WatchEvent::Applied(pod("a", "t", false)));
        assert!(!ready.has("a"));
        pool.see(&WatchEvent::Applied(one));
        assert!(ready.has("a"));
        pool.set_template("other".to_owned());
        assert!(!ready.has("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_of_no_use_is_removed() {
        let (mut pool, _) = pool(2);
        for (name, template, is_ready) in [("a", "t", true), ("b", "t", false), ("c", "other", true), ("d", "t", true)] {
            pool.see(&WatchEvent::Applied(pod(name, template, is_ready)));
        }
        for expected in [("c", "it has another template"), ("b", "there are more than --warm")] {
            let act = pool.act();
            let Act::Remove(removal) = act.clone() else { panic!("{act:?}") };
            pool.removed(&removal);
            assert_eq!(removed(act), (expected.0.to_owned(), expected.1));
        }
        assert_eq!(pool.act(), Act::Nothing);
        pool.size = 0;
        assert_eq!(removed(pool.act()).1, "--warm is 0");
    }

    #[tokio::test(start_paused = true)]
    async fn while_they_do_not_become_ready_they_come_ever_more_slowly() {
        let (mut pool, _) = pool(1);
        let mut pauses = Vec::new();
        for _ in 0..3 {
            let begun = Instant::now();
            while pool.act() != Act::Make {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            pauses.push(begun.elapsed().as_secs());
            pool.made(pod("a", "t", false));
            tokio::time::advance(PATIENCE).await;
            let Act::Remove(removal) = pool.act() else { panic!("it stays") };
            assert_eq!(removal.why, "it does not become ready");
            pool.removed(&removal);
        }
        assert_eq!(pauses, [0, 2, 4]);
        pool.see(&WatchEvent::Applied(pod("b", "t", true)));
        assert_eq!(pool.pause, PAUSE.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_counts_alone() {
        let (mut pool, ready) = pool(2);
        pool.see(&WatchEvent::Applied(pod("a", "t", true)));
        let items = vec![pod("b", "t", true)];
        pool.see(&WatchEvent::Listed(crate::cluster::List {
            items,
            ..Default::default()
        }));
        assert_eq!((ready.take().as_deref(), ready.take()), (Some("b"), None));
    }
}
