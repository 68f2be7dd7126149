//! Reads beside the watches, without holding the run up: what a verdict rests on is read again, because watches may lag, and so is what is
//! not watched at all.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all, join3};
use serde_json::Value;

use super::contact::Trouble;
use super::prober::is_prober;
use crate::cluster::{ApiError, ApiErrorKind, Connection, ListQuery};
use crate::cmd::collect;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::snapshot::Snapshot;

/// How long it may take: whoever is asked for longer cannot be reached.
const LIMIT: Duration = Duration::from_secs(10);
/// More nodes than this are read by one list.
const SINGLE_NODES: usize = 10;

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Namespaces whose pods are listed.
    pub(super) namespaces: Vec<String>,
    /// Objects that are read one by one, all at the same time.
    pub(super) objects: BTreeSet<ObjectRef>,
    /// Nodes by name.
    pub(super) nodes: BTreeSet<String>,
}

type Got = Result<Option<Value>, ApiError>;

/// What was read.
pub(super) struct Read {
    pods: Vec<(String, Result<Vec<Value>, ApiError>)>,
    single: Vec<(&'static Kind, ObjectRef, Got)>,
    nodes: Option<Result<Vec<Value>, ApiError>>,
}

/// Begins to read. An API server that gives no answer is an error.
pub(super) fn begin(connection: Connection, wanted: Wanted) -> BoxFuture<'static, Result<Read, Trouble>> {
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
    pub(super) fn into_snapshot(self, snapshot: &mut Snapshot) {
        for (namespace, pods) in self.pods {
            if let Ok(pods) = pods {
                take_pods(snapshot, &namespace, pods);
            }
        }
        for (kind, object, got) in self.single {
            match got {
                Ok(Some(value)) => collect::note_bad(snapshot, value),
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
