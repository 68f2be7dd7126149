//! Records and pods as the watches show them, and the table that follows from them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::cluster::WatchEvent;
use crate::gateway::activity::Activity;
use crate::gateway::backend::Backend;
use crate::gateway::table::{Entry, Step, Table};
use crate::observe::session::pod_of;
use crate::session::SESSION;
use crate::session::decide::is_live;
use crate::session::record::{Phase, Record};
use crate::session::state::{has_started, is_scheduled};
use crate::session::warm::is_warm;

/// What is needed of a pod: there are a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PodFacts {
    name: String,
    uid: String,
    owners: Vec<String>,
    address: Option<IpAddr>,
    ports: Vec<u16>,
    step: Step,
    is_live: bool,
}

impl PodFacts {
    /// Facts of a pod, and the session that it belongs to; none where it waits for one.
    fn read(value: Value) -> Option<(String, Self)> {
        let pod = pod_of(value).filter(|pod| !is_warm(pod))?;
        let session = pod.metadata.labels.as_ref()?.get(SESSION)?.clone();
        let step = match &pod {
            pod if pod.metadata.deletion_timestamp.is_some() => Step::Ending,
            pod if has_started(pod) => Step::Running,
            pod if is_scheduled(pod) => Step::Starting,
            _ => Step::Unscheduled,
        };
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse().ok());
        let facts = Self {
            address,
            ports: ports(&pod),
            step,
            is_live: is_live(&pod),
            name: pod.metadata.name?,
            uid: pod.metadata.uid?,
            owners: pod
                .metadata
                .owner_references
                .unwrap_or_default()
                .into_iter()
                .map(|owner| owner.uid)
                .collect(),
        };
        Some((session, facts))
    }
}

/// The TCP ports that the containers of a pod declare.
fn ports(pod: &Pod) -> Vec<u16> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let all = containers.flat_map(|container| container.ports.iter().flatten());
    all.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
        .filter_map(|port| u16::try_from(port.container_port).ok())
        .collect()
}

/// What the watches have shown.
pub(super) struct Known {
    /// The port of `--port`.
    port: Option<u16>,
    /// Whether a pod that was warm has to be told its session.
    tells: bool,
    /// The API server's time.
    now: Timestamp,
    /// By name.
    records: BTreeMap<String, Record>,
    /// By the name of the session.
    pods: BTreeMap<String, Vec<PodFacts>>,
}

impl Known {
    pub(super) const fn new(port: Option<u16>, tells: bool, now: Timestamp) -> Self {
        Self {
            port,
            tells,
            now,
            records: BTreeMap::new(),
            pods: BTreeMap::new(),
        }
    }

    /// The same a little later.
    pub(super) const fn at(&mut self, now: Timestamp) -> &mut Self {
        self.now = now;
        self
    }

    /// Takes in what the watch of records shows. Returns what is wrong with Leases that are no records.
    pub(super) fn records(&mut self, event: WatchEvent, table: &Table) -> Vec<String> {
        match event {
            WatchEvent::Listed(list) => {
                let (records, unreadable) = Record::read_all(&list.items);
                let records = records.into_iter().map(|record| (record.name.clone(), record)).collect();
                let before = std::mem::replace(&mut self.records, records);
                for (name, record) in before.iter().filter(|(name, _)| !self.records.contains_key(*name)) {
                    self.refresh(name, Some(record), table);
                }
                for name in self.records.keys() {
                    self.refresh(name, None, table);
                }
                unreadable
            }
            WatchEvent::Applied(lease) => match Record::read(&lease) {
                Ok(record) => {
                    let name = record.name.clone();
                    self.records.insert(name.clone(), record);
                    self.refresh(&name, None, table);
                    Vec::new()
                }
                Err(why) => {
                    self.forget(&lease, table);
                    vec![why]
                }
            },
            WatchEvent::Deleted(lease) => {
                self.forget(&lease, table);
                Vec::new()
            }
            WatchEvent::Interrupted(_) | WatchEvent::Resumed => Vec::new(),
        }
    }

    fn forget(&mut self, lease: &Value, table: &Table) {
        let name = lease["metadata"]["name"].as_str().unwrap_or_default();
        let before = self.records.remove(name);
        self.refresh(name, before.as_ref(), table);
    }

    /// Takes in what the watch of pods shows.
    pub(super) fn pods(&mut self, event: WatchEvent, table: &Table) {
        match event {
            WatchEvent::Listed(list) => {
                let before: BTreeSet<String> = std::mem::take(&mut self.pods).into_keys().collect();
                for (session, facts) in list.items.into_iter().filter_map(PodFacts::read) {
                    self.pods.entry(session).or_default().push(facts);
                }
                let now: BTreeSet<String> = self.pods.keys().cloned().collect();
                for session in before.union(&now) {
                    self.refresh(session, None, table);
                }
            }
            WatchEvent::Applied(pod) => {
                if let Some((session, facts)) = PodFacts::read(pod) {
                    let all = self.pods.entry(session.clone()).or_default();
                    let is_known = all.contains(&facts);
                    all.retain(|known| known.uid != facts.uid);
                    all.push(facts);
                    if !is_known {
                        self.refresh(&session, None, table);
                    }
                }
            }
            WatchEvent::Deleted(pod) => {
                if let Some((session, facts)) = PodFacts::read(pod) {
                    if let Some(all) = self.pods.get_mut(&session) {
                        all.retain(|known| known.uid != facts.uid);
                        if all.is_empty() {
                            self.pods.remove(&session);
                        }
                    }
                    self.refresh(&session, None, table);
                }
            }
            WatchEvent::Interrupted(_) | WatchEvent::Resumed => {}
        }
    }

    /// Brings the table up to date for one session. `before`: its record, where that is gone.
    fn refresh(&self, name: &str, before: Option<&Record>, table: &Table) {
        match self.records.get(name) {
            Some(record) => table.put(self.entry(record, table.get(&record.id).as_deref())),
            None => {
                if let Some(record) = before {
                    table.remove(&record.id);
                }
            }
        }
    }

    fn entry(&self, record: &Record, before: Option<&Entry>) -> Entry {
        let before = before.filter(|before| before.record_uid == record.uid);
        let pods = self.pods.get(&record.name).map_or(&[][..], Vec::as_slice);
        let mut of_record = pods.iter().filter(|pod| pod.owners.contains(&record.uid));
        let pod = of_record.find(|pod| pod.name == record.pod());
        let is_wanted = !record.is_going && matches!(record.phase, Phase::Pending | Phase::Active);
        let backend = pod.filter(|_| is_wanted).and_then(|pod| self.backend(record, pod, before));
        let given_up =
            (record.phase == Phase::Failed).then(|| record.reason.clone().unwrap_or_else(|| "its pods failed too often".to_owned()));
        Entry {
            id: before.map_or_else(|| Arc::from(record.id.as_str()), |before| before.id.clone()),
            record_uid: record.uid.clone(),
            owner: record.owner.clone(),
            step: pod.map_or(Step::Absent, |pod| pod.step),
            backend,
            given_up,
            recorded: record.last_activity,
            idle_timeout: record.idle_timeout,
            kept: record.keep_until.map(|until| {
                let left = Duration::try_from(until.duration_since(self.now)).unwrap_or_default();
                Instant::now() + left.min(Duration::from_secs(u32::MAX.into()))
            }),
            end: record
                .max_lifetime
                .map(|limit| Instant::now() + limit.saturating_sub(self.age(record))),
            activity: before.map_or_else(Activity::new, |before| before.activity.clone()),
        }
    }

    fn age(&self, record: &Record) -> Duration {
        Duration::try_from(self.now.duration_since(record.created)).unwrap_or_default()
    }

    /// Who answers for a record; the same as before as long as it is the same pod.
    fn backend(&self, record: &Record, pod: &PodFacts, before: Option<&Entry>) -> Option<Arc<Backend>> {
        if !pod.is_live || pod.step == Step::Ending {
            return None;
        }
        let address = SocketAddr::new(pod.address?, self.port_of(pod)?);
        let before = before.and_then(|before| before.backend.clone());
        let same = before.filter(|before| before.is(&pod.uid, address));
        Some(same.unwrap_or_else(|| {
            let backend = Backend::new(&pod.name, &pod.uid, record.generation, address);
            let has_to_be_told = self.tells && record.warm.is_some();
            Arc::new(if has_to_be_told { backend.untold() } else { backend })
        }))
    }

    /// The port of `--port` where the pod declares it, or nothing; else the first one that it declares: other clients may make sessions too.
    fn port_of(&self, pod: &PodFacts) -> Option<u16> {
        let named = self.port.filter(|port| pod.ports.is_empty() || pod.ports.contains(port));
        named.or_else(|| pod.ports.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::backend::Dialer;
    use crate::session::name;
    use serde_json::json;

    fn lease(uid: &str, generation: u32, phase: &str) -> Value {
        json!({
            "metadata": {
                "name": name::of("a").unwrap(), "namespace": "n", "uid": uid, "resourceVersion": "1",
                "annotations": {
                    "podlife.dev/id": "a", "podlife.dev/phase": phase, "podlife.dev/template": "0123456789abcdef",
                    "podlife.dev/generation": generation.to_string(),
                },
            },
            "spec": {"acquireTime": "2026-01-01T12:00:00.000000Z", "renewTime": "2026-01-01T12:00:00.000000Z"},
        })
    }

    fn pod(owner: &str, uid: &str, generation: u32, ip: &str) -> Value {
        let name = name::of("a").unwrap();
        json!({
            "metadata": {
                "name": name::of_pod(&name, generation), "uid": uid, "labels": {SESSION: name},
                "ownerReferences": [{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": name, "uid": owner}],
            },
            "spec": {"containers": [{"name": "main", "ports": [{"containerPort": 8080}, {"containerPort": 9090}]}]},
            "status": {"phase": "Running", "podIP": ip},
        })
    }

    struct Seen {
        known: Known,
        table: Table,
    }

    impl Seen {
        fn new() -> Self {
            let (known, table) = (Known::new(None, true, Timestamp::UNIX_EPOCH), Table::new());
            Self { known, table }
        }

        fn lease(&mut self, lease: Value) {
            assert_eq!(self.known.records(WatchEvent::Applied(lease), &self.table), Vec::<String>::new());
        }

        fn pod(&mut self, pod: Value) {
            self.known.pods(WatchEvent::Applied(pod), &self.table);
        }

        fn backend(&self) -> Option<Arc<Backend>> {
            self.table.get("a").and_then(|entry| entry.backend.clone())
        }

        fn address(&self) -> Option<String> {
            self.backend().map(|backend| backend.address.to_string())
        }
    }

    #[test]
    fn a_pod_answers_for_its_own_record_only() {
        let mut seen = Seen::new();
        seen.lease(lease("record-1", 1, "Active"));
        seen.pod(pod("record-1", "pod-1", 1, "10.0.0.1"));
        assert_eq!(seen.address().as_deref(), Some("10.0.0.1:8080"));
        // Deleted and created again: the old pod may still be there.
        seen.lease(lease("record-2", 1, "Active"));
        assert_eq!(seen.address(), None);
        seen.pod(pod("record-2", "pod-2", 1, "10.0.0.1"));
        assert_eq!(seen.backend().map(|backend| backend.uid.clone()).as_deref(), Some("pod-2"));
    }

    #[test]
    fn a_pod_that_goes_and_one_of_an_earlier_generation_answer_no_more() {
        let mut seen = Seen::new();
        seen.lease(lease("record-1", 1, "Active"));
        let mut going = pod("record-1", "pod-1", 1, "10.0.0.1");
        seen.pod(going.clone());
        going["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z".into();
        seen.pod(going);
        assert_eq!(seen.address(), None);
        seen.lease(lease("record-1", 2, "Active"));
        assert_eq!(seen.address(), None);
        seen.pod(pod("record-1", "pod-2", 2, "10.0.0.2"));
        assert_eq!(seen.address().as_deref(), Some("10.0.0.2:8080"));
        seen.lease(lease("record-1", 2, "Paused"));
        assert_eq!(seen.address(), None);
    }

    #[test]
    fn a_pod_that_was_warm_is_told_its_session_before_it_answers() {
        let mut seen = Seen::new();
        let warm = name::of_warm(1);
        let mut record = lease("record-1", 1, "Pending");
        record["metadata"]["annotations"]["podlife.dev/pod"] = warm.as_str().into();
        seen.lease(record.clone());
        let mut of_session = pod("record-1", "pod-1", 1, "10.0.0.1");
        of_session["metadata"]["name"] = warm.as_str().into();
        let mut waiting = of_session.clone();
        waiting["metadata"]["labels"][SESSION] = "".into();
        seen.pod(waiting);
        assert_eq!(seen.address(), None);
        seen.pod(of_session);
        let backend = seen.backend().unwrap();
        assert!(!backend.is_told() && !backend.may_answer(&Dialer::Direct));
        backend.told();
        // What else becomes of record and pod does not change it.
        record["metadata"]["annotations"]["podlife.dev/phase"] = "Active".into();
        seen.lease(record);
        assert!(seen.backend().unwrap().may_answer(&Dialer::Direct));
        // A pod of the session's own has its id from the start.
        seen.lease(lease("record-1", 2, "Active"));
        seen.pod(pod("record-1", "pod-2", 2, "10.0.0.2"));
        assert!(seen.backend().unwrap().may_answer(&Dialer::Direct));
    }

    #[test]
    fn kept_connections_and_activity_last_as_long_as_the_pod_and_the_record() {
        let mut seen = Seen::new();
        seen.lease(lease("record-1", 1, "Active"));
        seen.pod(pod("record-1", "pod-1", 1, "10.0.0.1"));
        let (before, activity) = (seen.backend().unwrap(), seen.table.get("a").unwrap().activity.clone());
        activity.stamp();
        let mut touched = lease("record-1", 1, "Active");
        touched["spec"]["renewTime"] = "2026-01-01T12:01:00.000000Z".into();
        seen.lease(touched);
        assert!(Arc::ptr_eq(&before, &seen.backend().unwrap()));
        assert!(Arc::ptr_eq(&activity, &seen.table.get("a").unwrap().activity));
        seen.lease(lease("record-2", 1, "Active"));
        assert!(seen.table.get("a").unwrap().activity.idle().is_none());
    }

    #[test]
    fn a_session_ends_at_its_maximum_lifetime_used_or_not() {
        let mut seen = Seen::new();
        let mut record = lease("record-1", 1, "Active");
        record["spec"]["leaseDurationSeconds"] = 600.into();
        seen.known.at("2026-01-01T12:00:10Z".parse().unwrap());
        seen.lease(record.clone());
        assert_eq!(seen.table.get("a").unwrap().left(), Some(Duration::from_secs(600)));
        record["metadata"]["annotations"]["podlife.dev/keep-until"] = "2026-01-01T13:00:10.000000Z".into();
        seen.lease(record.clone());
        let left = seen.table.get("a").unwrap().left().unwrap();
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3500), "{left:?}");
        record["metadata"]["annotations"]["podlife.dev/max-lifetime-seconds"] = "60".into();
        seen.lease(record);
        let left = seen.table.get("a").unwrap().left().unwrap();
        assert!(left <= Duration::from_secs(50) && left > Duration::from_secs(20), "{left:?}");
    }

    #[test]
    fn what_is_not_in_a_list_is_gone() {
        let mut seen = Seen::new();
        seen.lease(lease("record-1", 1, "Active"));
        seen.pod(pod("record-1", "pod-1", 1, "10.0.0.1"));
        seen.known.pods(WatchEvent::Listed(Default::default()), &seen.table);
        assert_eq!(seen.address(), None);
        seen.known.records(WatchEvent::Listed(Default::default()), &seen.table);
        assert!(seen.table.get("a").is_none());
    }

    #[test]
    fn the_port_is_the_one_of_the_flag_where_the_pod_has_it() {
        let facts = |ports: &[u16]| PodFacts {
            name: String::new(),
            uid: String::new(),
            owners: Vec::new(),
            address: None,
            ports: ports.to_vec(),
            step: Step::Running,
            is_live: true,
        };
        let of = |flag, ports: &[u16]| Known::new(flag, false, Timestamp::UNIX_EPOCH).port_of(&facts(ports));
        assert_eq!(of(Some(80), &[]), Some(80));
        assert_eq!(of(Some(80), &[9090, 80]), Some(80));
        assert_eq!(of(Some(80), &[8888]), Some(8888));
        assert_eq!((of(None, &[8888]), of(None, &[])), (Some(8888), None));
    }
}
