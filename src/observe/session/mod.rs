//! Sessions in a cluster: their records, pods and slots, and what is done about them.
//!
//! Every step is one write that either is atomic by the object's name or has the record's version as precondition, and every client drives a
//! session forward from whatever state it finds it in. So it does not matter which client dies when.

pub(crate) mod create;
pub(crate) mod gc;
pub(crate) mod life;
pub(crate) mod objects;
pub(crate) mod ready;
mod settle;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod warm;

use std::cell::RefCell;
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::cluster::{ApiError, ApiErrorKind, Deletion, ListQuery, WatchEvent};
use crate::exit::{Exit, Failure};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::reads;
use crate::observe::session::objects::{InCluster, Objects};
use crate::session::record::Record;
use crate::session::slots::Slots;
use crate::session::{MANAGED_BY, SESSION, SLOT, name, slots};
use crate::text::command;

/// How often is looked whether something that goes is gone.
const AGAIN: Duration = Duration::from_millis(200);

/// Sessions of one namespace.
pub(crate) struct Sessions<O> {
    pub(crate) objects: O,
    pub(crate) namespace: String,
    /// Who stamps activity: `touch on laptop`.
    pub(crate) agent: String,
    /// The slots that are taken, where a watch tells: a list for each new session would grow with their number.
    pub(crate) slots: RefCell<Option<Slots>>,
}

/// A session and its pods, of all generations.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) pods: Vec<Pod>,
}

impl Found {
    /// The pod of the present generation.
    pub(crate) fn pod(&self) -> Option<&Pod> {
        self.pods.iter().find(|pod| is_present(&self.record, pod))
    }
}

/// The selector of the records of a namespace, without slots.
pub(crate) fn records_selector() -> String {
    format!("{SESSION},!{SLOT},{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The selector of what belongs to one session.
fn selector(name: &str) -> String {
    format!("{SESSION}={name},{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// The selector of all that belongs to any session.
pub(crate) fn all_selector() -> String {
    format!("{SESSION},{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// A pod as the API server sent it; none where it does not look like one.
pub(crate) fn pod_of(value: Value) -> Option<Pod> {
    serde_json::from_value(value).ok()
}

/// Whether a pod was made for a record, and not for an earlier one of the same name.
fn is_pod_of(record: &Record, pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.uid == record.uid)
}

/// Whether a pod is the one of a record's present generation.
pub(crate) fn is_present(record: &Record, pod: &Pod) -> bool {
    is_pod_of(record, pod) && pod.metadata.name.as_deref() == Some(&record.pod())
}

/// Whether an object is a claim that no record owns: one that was left on purpose.
fn is_kept_claim(kind: &Kind, object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    kind == &kind::CLAIM && owners.is_none_or(Vec::is_empty)
}

/// The name of an object of podlife is taken by one that is not podlife's.
fn not_ours(kind: &Kind, name: &str, namespace: &str) -> Failure {
    let message = format!("{}/{name} in namespace {namespace} does not belong to podlife", kind.singular());
    Failure::new(Exit::Bad, message).hint("rename or delete it: sessions need this name")
}

/// Reads a record that a client of this version has just found or written.
fn record_of(lease: &Value) -> Result<Record, Failure> {
    Record::read(lease).map_err(|error| Failure::new(Exit::Fault, error))
}

/// A pod as a watch shows it.
enum PodSeen {
    /// It is there.
    Now(Pod),
    /// It is gone; this was its last state.
    Last(Pod),
    /// There is none, or none that looks like a pod.
    Nothing,
}

impl<O: Objects> Sessions<O> {
    /// The API server's time as of its last answer.
    pub(crate) fn now(&self) -> Timestamp {
        self.objects.now()
    }

    /// The record of an id.
    pub(crate) async fn record(&self, id: &str) -> Result<Option<Record>, Failure> {
        let name = name::of(id).map_err(Failure::usage)?;
        let Some(lease) = self.objects.get(&kind::LEASE, &name).await? else {
            return Ok(None);
        };
        if lease["metadata"]["labels"][MANAGED_BY.0] != MANAGED_BY.1 {
            return Err(not_ours(&kind::LEASE, &name, &self.namespace));
        }
        let record = Record::read(&lease).map_err(|error| {
            let delete = command("kubectl delete lease {} -n {}", &[&name, &self.namespace]);
            Failure::new(Exit::Bad, error).hint(format!("{delete} deletes the session"))
        })?;
        if record.id != id {
            let message = format!("lease {name} is the record of another id, {:?}", record.id);
            return Err(Failure::new(Exit::Fault, message).hint("choose another id: the hashes of these two are the same"));
        }
        Ok(Some(record))
    }

    /// The record of an id, which must exist.
    pub(crate) async fn existing(&self, id: &str) -> Result<Record, Failure> {
        let record = self.record(id).await?.filter(|record| !record.is_going);
        record.ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                format!("session {id:?} does not exist in namespace {}", self.namespace),
            )
            .hint(crate::text::command("kubectl podlife session list -n {}", &[&self.namespace]))
        })
    }

    /// The pods of a session, of all generations, and of an earlier record of the same name.
    pub(crate) async fn pods(&self, name: &str) -> Result<Vec<Pod>, ApiError> {
        let pods = self.objects.list(&kind::POD, &selector(name), false).await?;
        Ok(pods.into_iter().filter_map(pod_of).collect())
    }

    /// A session with its pods.
    pub(crate) async fn find(&self, id: &str) -> Result<Found, Failure> {
        let record = self.existing(id).await?;
        let pods = self.pods(&record.name).await?;
        let pods = pods.into_iter().filter(|pod| is_pod_of(&record, pod)).collect();
        Ok(Found { record, pods })
    }

    /// Writes a record where nobody else did in the meantime. None: somebody did, or it is gone.
    async fn write(&self, record: &Record) -> Result<Option<Record>, Failure> {
        let written = self.objects.replace(&kind::LEASE, &record.name, &record.lease()).await;
        let written = unless(written, &[ApiErrorKind::Conflict, ApiErrorKind::NotFound])?;
        written.map(|lease| record_of(&lease)).transpose()
    }

    /// Deletes an object. False: it is gone, or not the one that the deletion names.
    async fn delete_object(&self, kind: &Kind, name: &str, deletion: &Deletion) -> Result<bool, Failure> {
        let deleted = self.objects.delete(kind, name, deletion).await;
        Ok(unless(deleted, &[ApiErrorKind::Conflict, ApiErrorKind::NotFound])?.is_some())
    }
}

impl<O> Sessions<O> {
    /// Notes the slots of what a watch of all Leases of sessions shows, and returns the rest, if there is any.
    pub(crate) fn without_slots(&self, event: WatchEvent) -> Option<WatchEvent> {
        let mut known = self.slots.borrow_mut();
        let number = match &event {
            WatchEvent::Applied(lease) | WatchEvent::Deleted(lease) => slots::number(lease),
            _ => None,
        };
        match (event, number) {
            (WatchEvent::Listed(mut list), _) => {
                let (taken, rest): (Vec<Value>, _) = list.items.into_iter().partition(|lease| slots::number(lease).is_some());
                *known = Some(Slots::read(&taken));
                list.items = rest;
                return Some(WatchEvent::Listed(list));
            }
            (WatchEvent::Applied(lease), Some(number)) => known.get_or_insert_default().note(number, &lease),
            (WatchEvent::Deleted(_), Some(number)) => known.get_or_insert_default().forget(number),
            (event, _) => return Some(event),
        }
        None
    }
}

impl Sessions<InCluster> {
    /// Watches one pod, from its present state on.
    fn watch_pod(&self, name: &str) -> BoxStream<'static, Result<PodSeen, ApiError>> {
        let query = ListQuery {
            field_selector: format!("metadata.name={name}"),
            ..ListQuery::default()
        };
        let events = self.objects.connection.watch(&kind::POD, Some(&self.namespace), &query, None);
        let seen = |pod: Option<Value>, seen: fn(Pod) -> PodSeen| Some(Ok(pod.and_then(pod_of).map_or(PodSeen::Nothing, seen)));
        let seen = events.filter_map(move |event| {
            std::future::ready(match event {
                Ok(WatchEvent::Listed(list)) => seen(list.items.into_iter().next(), PodSeen::Now),
                Ok(WatchEvent::Applied(pod)) => seen(Some(pod), PodSeen::Now),
                Ok(WatchEvent::Deleted(pod)) => seen(Some(pod), PodSeen::Last),
                Ok(WatchEvent::Interrupted(_) | WatchEvent::Resumed) => None,
                Err(error) => Some(Err(error)),
            })
        });
        seen.boxed()
    }

    /// Fails where the namespace does not exist: then no list of sessions means anything. Who may not read it cannot know.
    pub(crate) async fn must_have_namespace(&self) -> Result<(), Failure> {
        let connection = &self.objects.connection;
        match reads::namespace_exists(connection, &self.namespace).await? {
            Some(false) => Err(reads::no_such_namespace(connection, &self.namespace).await),
            _ => Ok(()),
        }
    }
}

/// The answer; none for an error of one of these kinds.
fn unless<T>(answer: Result<T, ApiError>, kinds: &[ApiErrorKind]) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if kinds.contains(&error.kind) => Ok(None),
        Err(error) => Err(error),
    }
}
