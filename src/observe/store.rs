//! The present objects of namespaces, kept up to date by watches of one connection each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::{ApiError, ApiErrorKind, Connection, ListQuery, WatchEvent};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::{Coverage, Snapshot};
use crate::observe::prober::is_prober;
use crate::observe::reads;
use crate::readiness::wait::api_health::Trouble;
use crate::view::rollout::was_cleaned_up;

/// What every run watches: workloads, their pods, what leads to them, and events, by which the rules tell why.
pub const WATCHED: &[Kind] = &[
    kind::POD,
    kind::SERVICE,
    kind::ENDPOINT_SLICE,
    kind::EVENT,
    kind::DEPLOYMENT,
    kind::REPLICA_SET,
    kind::STATEFUL_SET,
    kind::DAEMON_SET,
    kind::INGRESS,
    kind::CLAIM,
    kind::AUTOSCALER,
];

/// What is watched beside that where it is named, or where the cluster has it.
pub const WATCHED_WHERE_NAMED: &[Kind] = &[
    kind::JOB,
    kind::CRON_JOB,
    kind::REPLICATION_CONTROLLER,
    kind::HTTP_ROUTE,
    kind::GATEWAY,
];

/// Changes that come in a burst are looked at together: after a pause of this length, ...
const QUIET: Duration = Duration::from_millis(20);
/// ... or after this time without a pause.
const PATIENCE: Duration = Duration::from_millis(100);

/// A watch that could not begin, while others could, is repeated after this time.
const BEGIN_AGAIN: Duration = Duration::from_secs(1);

/// One collection that is watched: a kind in the namespace, or a single object of it.
struct Source {
    kind: Kind,
    namespace: Option<String>,
    /// The one object that is watched; none for all.
    name: Option<String>,
    /// The objects of the last list, to see what is gone after a gap.
    known: BTreeSet<(String, String)>,
    listed: bool,
}

/// Watches, and the objects that they have shown.
pub(crate) struct Store {
    /// The objects as they are now.
    pub(crate) snapshot: Snapshot,
    sources: Vec<Source>,
    streams: SelectAll<BoxStream<'static, (usize, Result<WatchEvent, ApiError>)>>,
    connection: Connection,
    /// Types that the API server may not serve yet.
    awaited: BTreeSet<Kind>,
    /// What cannot be watched, by its place among the sources: the first ones matter most.
    failures: BTreeMap<usize, ApiError>,
    /// Watches that are cut off now, and why.
    interrupted: BTreeMap<usize, Trouble>,
}

impl Store {
    /// Opens the watches of these namespaces. Objects of an awaited type do not exist as long as the API server does not serve the type.
    pub(crate) fn open(connection: &Connection, namespaces: &[String], awaited: &BTreeSet<Kind>, now: Timestamp) -> Self {
        let mut snapshot = Snapshot::new(now, false);
        snapshot.namespaces = namespaces.to_vec();
        let mut store = Self {
            snapshot,
            sources: Vec::new(),
            streams: SelectAll::new(),
            connection: connection.clone(),
            awaited: awaited.clone(),
            failures: BTreeMap::new(),
            interrupted: BTreeMap::new(),
        };
        for namespace in namespaces {
            for kind in WATCHED {
                store.watch(kind.clone(), Some(namespace), None);
            }
        }
        store
    }

    /// Watches a kind of the namespace, or one object of a cluster-wide kind, unless it is watched already.
    pub(crate) fn watch(&mut self, kind: Kind, namespace: Option<&str>, name: Option<&str>) {
        let same = |s: &Source| s.kind == kind && s.namespace.as_deref() == namespace && (s.name.is_none() || s.name.as_deref() == name);
        if self.sources.iter().any(same) {
            return;
        }
        let index = self.sources.len();
        self.sources.push(Source {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            known: BTreeSet::new(),
            listed: false,
        });
        self.open_stream(index, Duration::ZERO);
    }

    fn open_stream(&mut self, index: usize, after: Duration) {
        let Source { kind, namespace, name, .. } = &self.sources[index];
        let query = ListQuery {
            field_selector: name.as_ref().map(|name| format!("metadata.name={name}")).unwrap_or_default(),
            // Only their names matter; the values are not read.
            metadata_only: *kind == kind::CONFIG_MAP || *kind == kind::SECRET,
            ..ListQuery::default()
        };
        let stream = self.connection.watch(kind, namespace.as_deref(), &query, None);
        let later = futures::stream::once(tokio::time::sleep(after)).filter_map(|()| std::future::ready(None));
        let stream = later.chain(stream);
        self.streams.push(stream.map(move |event| (index, event)).boxed());
    }

    /// Objects of a kind that are not watched.
    pub(crate) fn not_watched<'o>(&self, kind: &Kind, objects: impl Iterator<Item = &'o ObjectRef>) -> BTreeSet<ObjectRef> {
        let is_watched = |object: &ObjectRef| {
            let covers = |s: &Source| {
                s.kind == *kind
                    && s.namespace.as_deref().is_none_or(|of| of == object.namespace)
                    && s.name.as_ref().is_none_or(|name| *name == object.name)
            };
            self.sources.iter().any(covers)
        };
        objects.filter(|o| o.is(kind) && !is_watched(o)).cloned().collect()
    }

    /// Whether everything has been seen once, so that what is not there does not exist.
    pub(crate) fn is_complete(&self) -> bool {
        self.sources.iter().all(|s| s.listed)
    }

    /// Why a watch is cut off now, where one is: its objects may be out of date.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.interrupted.values().next()
    }

    /// Waits for changes and applies them. Fails with the error of a required watch.
    pub(crate) async fn changed(&mut self) -> Result<(), ApiError> {
        let Some((index, event)) = self.streams.next().await else {
            return match self.failures.values().next() {
                Some(error) => Err(error.clone()),
                None => std::future::pending().await,
            };
        };
        self.take(index, event)?;
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            let next = tokio::select! {
                () = &mut patience => break,
                next = tokio::time::timeout(QUIET, self.streams.next()) => next,
            };
            match next {
                Ok(Some((index, event))) => self.take(index, event)?,
                _ => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, index: usize, event: Result<WatchEvent, ApiError>) -> Result<(), ApiError> {
        match event {
            Ok(WatchEvent::Listed(list)) => {
                self.interrupted.remove(&index);
                let now: BTreeSet<(String, String)> = list.items.iter().map(name_of).collect();
                let source = &mut self.sources[index];
                let gone: Vec<(String, String)> = source.known.difference(&now).cloned().collect();
                source.known = now;
                source.listed = true;
                let kind = source.kind.clone();
                let namespace = source.namespace.clone();
                match &source.name {
                    None => self.snapshot.cover(&kind, namespace.as_deref(), Coverage::Complete),
                    Some(name) if list.items.is_empty() => {
                        let absent = ObjectRef::new(&kind, namespace.as_deref().unwrap_or_default(), name);
                        self.snapshot.note_absent(absent);
                    }
                    Some(_) => {}
                }
                for (namespace, name) in gone {
                    if !was_cleaned_up(&self.snapshot, &kind, &namespace, &name) {
                        self.snapshot.remove(&kind, &namespace, &name);
                    }
                }
                for item in list.items.into_iter().filter(|item| !is_prober(item)) {
                    reads::note_bad(&mut self.snapshot, item);
                }
            }
            Ok(WatchEvent::Applied(object) | WatchEvent::Deleted(object)) if is_prober(&object) => {}
            Ok(WatchEvent::Applied(object)) => {
                self.sources[index].known.insert(name_of(&object));
                reads::note_bad(&mut self.snapshot, object);
            }
            Ok(WatchEvent::Deleted(object)) => {
                let (namespace, name) = name_of(&object);
                let source = &mut self.sources[index];
                source.known.remove(&(namespace.clone(), name.clone()));
                let kind = source.kind.clone();
                if was_cleaned_up(&self.snapshot, &kind, &namespace, &name) {
                    return Ok(());
                }
                if source.name.is_some() {
                    self.snapshot.note_absent(ObjectRef::new(&kind, &namespace, &name));
                }
                self.snapshot.remove(&kind, &namespace, &name);
            }
            Ok(WatchEvent::Interrupted(error)) => {
                self.interrupted.insert(index, trouble(&error));
            }
            Ok(WatchEvent::Resumed) => {
                self.interrupted.remove(&index);
            }
            Err(error) => self.lost(index, error)?,
        }
        Ok(())
    }

    /// A watch that cannot go on. The others go on where the user may not read the kind, or the cluster does not have it.
    fn lost(&mut self, index: usize, error: ApiError) -> Result<(), ApiError> {
        use ApiErrorKind::{Conflict, Gone, Server, Timeout, TooManyRequests, Unreachable};
        // Others have worked: it was only the last one to begin when the way was cut.
        let passes = matches!(error.kind, Unreachable | Timeout | TooManyRequests | Server | Conflict | Gone);
        if passes && self.sources.iter().any(|source| source.listed) {
            self.interrupted.insert(index, trouble(&error));
            self.open_stream(index, BEGIN_AGAIN);
            return Ok(());
        }
        self.interrupted.remove(&index);
        let source = &mut self.sources[index];
        source.listed = true;
        let (kind, namespace) = (source.kind.clone(), source.namespace.clone());
        match error.kind {
            ApiErrorKind::NoSuchKind if self.awaited.contains(&kind) => {
                reads::refuse(&mut self.snapshot, &kind, namespace.as_deref(), &error);
                self.open_stream(index, BEGIN_AGAIN);
                Ok(())
            }
            ApiErrorKind::Forbidden | ApiErrorKind::NoSuchKind => {
                reads::refuse(&mut self.snapshot, &kind, namespace.as_deref(), &error);
                self.failures.insert(index, error);
                match self.failures.values().next() {
                    Some(error) if self.failures.len() == self.sources.len() => Err(error.clone()),
                    _ => Ok(()),
                }
            }
            _ => Err(error),
        }
    }
}

/// What an error says about the API server.
pub(crate) fn trouble(error: &ApiError) -> Trouble {
    match error.kind {
        ApiErrorKind::Forbidden | ApiErrorKind::Unauthorized => Trouble::refusal(error.message.clone()),
        _ => Trouble::silence(error.message.clone()),
    }
}

fn name_of(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
