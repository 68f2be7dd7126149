//! What is read beside the watches, without delaying the run.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join_all, join3};
use serde_json::Value;

use crate::cluster::{ApiError, ApiErrorKind, Connection, ListQuery};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::{Snapshot, UncheckedKind};
use crate::observe::prober::is_prober;
use crate::observe::reads;
use crate::observe::store::trouble;
use crate::readiness::wait::api_health::Trouble;
use crate::readiness::wait::rereads::Reread;
use crate::view::rollout::was_cleaned_up;

/// An API server that takes longer does not answer.
const LIMIT: Duration = Duration::from_secs(10);
/// More nodes than this are read by one list.
const SINGLE_NODES: usize = 10;

type Got = Result<Option<Value>, ApiError>;

/// What was read.
pub(crate) struct Read {
    pods: Vec<(String, Result<Vec<Value>, ApiError>)>,
    single: Vec<(&'static Kind, ObjectRef, Got)>,
    nodes: Option<Result<Vec<Value>, ApiError>>,
}

/// Reads objects, and the pods of these namespaces where that is asked for. An API server that does not answer is an error.
pub(crate) async fn read(connection: Connection, namespaces: Vec<String>, wanted: Reread) -> Result<Read, Trouble> {
    let all = tokio::time::timeout(LIMIT, read_all(&connection, namespaces, wanted)).await;
    let read = all.map_err(|_| Trouble::silence(format!("no answer within {} s", LIMIT.as_secs())))?;
    let errors = read.pods.iter().filter_map(|(_, r)| r.as_ref().err());
    let errors = errors.chain(read.single.iter().filter_map(|(_, _, r)| r.as_ref().err()));
    let mut errors = errors.chain(read.nodes.iter().filter_map(|r| r.as_ref().err()));
    match errors.find(|error| error.is_fatal_for_api()) {
        Some(error) => Err(trouble(error)),
        None => Ok(read),
    }
}

async fn read_all(connection: &Connection, mut namespaces: Vec<String>, wanted: Reread) -> Read {
    let Reread { objects, nodes, pods } = wanted;
    if !pods {
        namespaces.clear();
    }
    let list_nodes = nodes.len() > SINGLE_NODES;
    let single_nodes = nodes
        .iter()
        .filter(|_| !list_nodes)
        .map(|name| ObjectRef::new(&kind::NODE, "", name));
    let objects: Vec<(&'static Kind, ObjectRef)> = objects
        .into_iter()
        .filter(|object| !object.is(&kind::POD))
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
    /// Puts what was read into a snapshot. What may not be read this way is known from its watch.
    pub(crate) fn into_snapshot(self, snapshot: &mut Snapshot) {
        for (namespace, pods) in self.pods {
            if let Ok(pods) = pods {
                take_pods(snapshot, &namespace, pods);
            }
        }
        for (kind, object, got) in self.single {
            match got {
                Ok(Some(value)) => reads::note_bad(snapshot, value),
                Ok(None) if was_cleaned_up(snapshot, kind, &object.namespace, &object.name) => {}
                Ok(None) => {
                    snapshot.remove(kind, &object.namespace, &object.name);
                    snapshot.note_absent(object);
                }
                Err(error) if error.kind == ApiErrorKind::Forbidden && !kind.namespaced => {
                    reads::note_object(snapshot, &object, &error);
                }
                Err(_) => {}
            }
        }
        match self.nodes {
            Some(Ok(nodes)) => nodes.into_iter().for_each(|node| reads::note_bad(snapshot, node)),
            Some(Err(error)) => reads::note(snapshot, UncheckedKind::Nodes, "nodes", &error),
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
        reads::note_bad(snapshot, pod);
    }
}
