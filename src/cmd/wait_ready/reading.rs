//! What is read beside the watches, without holding the run up: what a verdict rests on is read again, because watches may lag, and so is what
//! is not watched at all.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all, join3};
use serde_json::Value;

use super::contact::Trouble;
use super::prober::is_prober;
use crate::cluster::{ApiError, ApiErrorKind, Connection, ListQuery};
use crate::cmd::collect;
use crate::gate::was_cleaned_up;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::snapshot::Snapshot;

/// How long it may take: whoever is asked for longer cannot be reached.
const LIMIT: Duration = Duration::from_secs(10);
/// More nodes than this are read by one list.
const SINGLE_NODES: usize = 10;
/// Until the API server is asked again after it gave no answer.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// How often a node that is not ready is looked at again.
const LOST_NODES: Duration = Duration::from_secs(5);

/// One reading at a time, and what has come of them.
pub(super) struct Readings {
    connection: Connection,
    namespaces: Vec<String>,
    under_way: Option<Reading>,
    /// Objects beside the watched ones that were asked for; what may not be read is not asked for again.
    asked: BTreeSet<ObjectRef>,
    /// Why the API server gave no answer to what was read last, and when to try again.
    unread: Option<(Trouble, Duration)>,
    next_nodes: Duration,
    is_confirmed: bool,
}

/// A reading that is under way.
struct Reading {
    confirms: bool,
    objects: BTreeSet<ObjectRef>,
    answer: BoxFuture<'static, Result<Read, Trouble>>,
}

impl Readings {
    /// Of these namespaces.
    pub(super) fn new(connection: &Connection, namespaces: &[String]) -> Self {
        Self {
            connection: connection.clone(),
            namespaces: namespaces.to_vec(),
            under_way: None,
            asked: BTreeSet::new(),
            unread: None,
            next_nodes: Duration::ZERO,
            is_confirmed: false,
        }
    }

    /// Begins to read what was never read, lost nodes now and then, or once more what gave no answer; true where objects are read that
    /// were not known.
    pub(super) fn see_to(&mut self, mut objects: BTreeSet<ObjectRef>, lost_nodes: BTreeSet<String>, at: Duration) -> bool {
        objects.retain(|object| !self.asked.contains(object));
        if self.under_way.is_some() {
            return false;
        }
        if !objects.is_empty() {
            self.asked.extend(objects.iter().cloned());
            self.begin(objects, BTreeSet::new(), false);
            return true;
        }
        if !lost_nodes.is_empty() && at >= self.next_nodes {
            self.next_nodes = at + LOST_NODES;
            self.begin(BTreeSet::new(), lost_nodes, false);
        } else if self.unread.as_ref().is_some_and(|(_, again)| at >= *again) {
            self.begin(BTreeSet::new(), BTreeSet::new(), false);
        }
        false
    }

    /// Reads again all that a verdict rests on, unless that is under way or the API server does not answer. Says whether it is under way.
    pub(super) fn confirm(&mut self, objects: BTreeSet<ObjectRef>, nodes: BTreeSet<String>) -> bool {
        let is_confirming = self.under_way.as_ref().is_some_and(|reading| reading.confirms);
        if !is_confirming && self.unread.is_none() {
            self.begin(objects, nodes, true);
        }
        self.under_way.as_ref().is_some_and(|reading| reading.confirms)
    }

    /// Whether all that the verdict rests on was read again since everything looked ready.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// It does not look ready any more: what was read to confirm it does not count.
    pub(super) fn forget_confirmation(&mut self) {
        self.is_confirmed = false;
        if self.under_way.as_ref().is_some_and(|reading| reading.confirms) {
            self.under_way = None;
        }
    }

    /// What came of the reading that is under way; never, where none is.
    pub(super) async fn ended(&mut self) -> Result<Read, Trouble> {
        match &mut self.under_way {
            Some(reading) => (&mut reading.answer).await,
            None => std::future::pending().await,
        }
    }

    /// Takes in what came.
    pub(super) fn take(&mut self, read: Result<Read, Trouble>, now: Duration, snapshot: &mut Snapshot) {
        let Some(reading) = self.under_way.take() else { return };
        match read {
            Ok(read) => {
                read.into_snapshot(snapshot);
                self.is_confirmed = reading.confirms;
                self.unread = None;
            }
            Err(why) => {
                self.asked.retain(|object| !reading.objects.contains(object));
                self.unread = Some((why, now + READ_AGAIN));
            }
        }
    }

    /// Why the last reading gave no answer.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.unread.as_ref().map(|(why, _)| why)
    }

    /// When to try again what gave no answer.
    pub(super) fn due(&self) -> Option<Duration> {
        self.unread.as_ref().filter(|_| self.under_way.is_none()).map(|(_, again)| *again)
    }

    /// Reads these objects and nodes; to confirm, or where there are none, the pods.
    fn begin(&mut self, objects: BTreeSet<ObjectRef>, nodes: BTreeSet<String>, confirms: bool) {
        let with_pods = confirms || (objects.is_empty() && nodes.is_empty());
        let wanted = Wanted {
            namespaces: if with_pods { self.namespaces.clone() } else { Vec::new() },
            objects: objects.iter().filter(|o| !o.is(&kind::POD)).cloned().collect(),
            nodes,
        };
        self.under_way = Some(Reading {
            confirms,
            objects,
            answer: begin(self.connection.clone(), wanted),
        });
    }
}

/// What is to be read.
#[derive(Clone, Debug, Default)]
struct Wanted {
    /// Namespaces whose pods are listed.
    namespaces: Vec<String>,
    /// Objects that are read one by one, all at the same time.
    objects: BTreeSet<ObjectRef>,
    /// Nodes by name.
    nodes: BTreeSet<String>,
}

type Got = Result<Option<Value>, ApiError>;

/// What was read.
pub(super) struct Read {
    pods: Vec<(String, Result<Vec<Value>, ApiError>)>,
    single: Vec<(&'static Kind, ObjectRef, Got)>,
    nodes: Option<Result<Vec<Value>, ApiError>>,
}

/// Begins to read. An API server that gives no answer is an error.
fn begin(connection: Connection, wanted: Wanted) -> BoxFuture<'static, Result<Read, Trouble>> {
    async move {
        let all = tokio::time::timeout(LIMIT, read(&connection, wanted)).await;
        let read = all.map_err(|_| Trouble::silence(format!("no answer within {} s", LIMIT.as_secs())))?;
        let errors = read.pods.iter().filter_map(|(_, r)| r.as_ref().err());
        let errors = errors.chain(read.single.iter().filter_map(|(_, _, r)| r.as_ref().err()));
        let mut errors = errors.chain(read.nodes.iter().filter_map(|r| r.as_ref().err()));
        match errors.find(|error| error.is_fatal_for_api()) {
            Some(error) => Err(Trouble::of(error)),
            None => Ok(read),
        }
    }
    .boxed()
}

async fn read(connection: &Connection, wanted: Wanted) -> Read {
    let Wanted {
        namespaces,
        objects,
        nodes,
    } = wanted;
    let list_nodes = nodes.len() > SINGLE_NODES;
    let single_nodes = nodes
        .iter()
        .filter(|_| !list_nodes)
        .map(|name| ObjectRef::new(&kind::NODE, "", name));
    let objects: Vec<(&'static Kind, ObjectRef)> = objects
        .into_iter()
        .chain(single_nodes)
        .filter_map(|object| Some((kind::of_object(&object.api_version, &object.kind)?, object)))
        .collect();
    let list = |kind: Kind, namespace: Option<String>| async move {
        let list = connection.list(&kind, namespace.as_deref(), &ListQuery::default()).await;
        list.map(|list| list.items)
    };
    let pods = join_all(namespaces.iter().map(|namespace| list(kind::POD, Some(namespace.clone()))));
    let single = join_all(objects.iter().map(|(kind, object)| {
        let namespace = (!object.namespace.is_empty()).then_some(object.namespace.as_str());
        connection.get(kind, namespace, &object.name, false)
    }));
    let all_nodes = async { if list_nodes { Some(list(kind::NODE, None).await) } else { None } };
    let (pods, single, nodes) = join3(pods, single, all_nodes).await;
    let single = objects.into_iter().zip(single).map(|((kind, object), got)| (kind, object, got));
    Read {
        single: single.collect(),
        pods: namespaces.into_iter().zip(pods).collect(),
        nodes,
    }
}

impl Read {
    /// Takes in what came. What may not be read this way was told by the watch, which has the last word then.
    fn into_snapshot(self, snapshot: &mut Snapshot) {
        for (namespace, pods) in self.pods {
            if let Ok(pods) = pods {
                take_pods(snapshot, &namespace, pods);
            }
        }
        for (kind, object, got) in self.single {
            match got {
                Ok(Some(value)) => collect::note_bad(snapshot, value),
                Ok(None) if was_cleaned_up(snapshot, kind, &object.namespace, &object.name) => {}
                Ok(None) => {
                    snapshot.remove(kind, &object.namespace, &object.name);
                    snapshot.note_absent(object);
                }
                Err(error) if error.kind == ApiErrorKind::Forbidden && !kind.namespaced => {
                    collect::note(snapshot, &object.to_string(), &error);
                }
                Err(_) => {}
            }
        }
        match self.nodes {
            Some(Ok(nodes)) => nodes.into_iter().for_each(|node| collect::note_bad(snapshot, node)),
            Some(Err(error)) => collect::note(snapshot, "nodes", &error),
            None => {}
        }
        snapshot.sort();
    }
}

fn take_pods(snapshot: &mut Snapshot, namespace: &str, now: Vec<Value>) {
    let names: BTreeSet<&str> = now.iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
    let pods = snapshot
        .objects
        .pods
        .iter()
        .filter(|p| p.metadata.namespace.as_deref() == Some(namespace));
    let gone: Vec<String> = pods
        .filter_map(|p| p.metadata.name.clone())
        .filter(|name| !names.contains(name.as_str()))
        .collect();
    for name in gone {
        snapshot.remove(&kind::POD, namespace, &name);
    }
    for pod in now.into_iter().filter(|pod| !is_prober(pod)) {
        collect::note_bad(snapshot, pod);
    }
}
