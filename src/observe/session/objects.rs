//! The few operations on objects that sessions are made of.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::{ApiError, Connection, Deletion, ListQuery, WriteOptions};
use crate::model::kind::Kind;

/// Objects of one namespace, as an API server keeps them.
pub(crate) trait Objects {
    /// Reads one object.
    async fn get(&self, kind: &Kind, name: &str) -> Result<Option<Value>, ApiError>;
    /// Lists by labels.
    async fn list(&self, kind: &Kind, labels: &str, metadata_only: bool) -> Result<Vec<Value>, ApiError>;
    /// Lists by labels and keeps what `read` takes of each object, so that a thousand of them are never held as a whole.
    async fn list_with<T>(&self, kind: &Kind, labels: &str, read: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, ApiError> {
        Ok(self.list(kind, labels, false).await?.into_iter().filter_map(read).collect())
    }
    /// The metadata of what a list by labels was at a resource version.
    async fn list_at(&self, kind: &Kind, labels: &str, version: &str) -> Result<Vec<Value>, ApiError>;
    /// Creates an object; a conflict if the name is taken.
    async fn create(&self, kind: &Kind, object: &Value) -> Result<Value, ApiError>;
    /// Replaces an object; a conflict if it is not the version that the object names.
    async fn replace(&self, kind: &Kind, name: &str, object: &Value) -> Result<Value, ApiError>;
    /// Deletes an object; a conflict if a precondition does not hold.
    async fn delete(&self, kind: &Kind, name: &str, deletion: &Deletion) -> Result<(), ApiError>;
    /// The API server's time.
    fn now(&self) -> Timestamp;
    /// Notes what is being waited for.
    fn notice(&self, _: &str) {}
    /// Gives the cluster time to do something.
    async fn wait(&self, duration: Duration);
}

/// The objects of one namespace of a cluster.
pub(crate) struct InCluster {
    pub(crate) connection: Connection,
    pub(crate) namespace: String,
    waits_for: Mutex<Option<String>>,
}

impl InCluster {
    pub(crate) fn new(connection: Connection, namespace: String) -> Self {
        let waits_for = Mutex::default();
        Self {
            connection,
            namespace,
            waits_for,
        }
    }

    /// What was last waited for.
    pub(crate) fn waits_for(&self) -> Option<String> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn labelled(labels: &str, metadata_only: bool) -> ListQuery {
    ListQuery {
        label_selector: labels.to_owned(),
        metadata_only,
        lean: true,
        ..ListQuery::default()
    }
}

impl Objects for InCluster {
    async fn get(&self, kind: &Kind, name: &str) -> Result<Option<Value>, ApiError> {
        self.connection.get(kind, Some(&self.namespace), name, false).await
    }

    async fn list(&self, kind: &Kind, labels: &str, metadata_only: bool) -> Result<Vec<Value>, ApiError> {
        let query = labelled(labels, metadata_only);
        Ok(self.connection.list(kind, Some(&self.namespace), &query).await?.items)
    }

    async fn list_with<T>(&self, kind: &Kind, labels: &str, read: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, ApiError> {
        let query = labelled(labels, false);
        let add = |all: &mut Vec<T>, object| all.extend(read(object));
        let listed = self.connection.list_into(kind, Some(&self.namespace), &query, Vec::new, add);
        Ok(listed.await?.0)
    }

    async fn list_at(&self, kind: &Kind, labels: &str, version: &str) -> Result<Vec<Value>, ApiError> {
        let query = ListQuery {
            at: version.to_owned(),
            ..labelled(labels, true)
        };
        Ok(self.connection.list(kind, Some(&self.namespace), &query).await?.items)
    }

    async fn create(&self, kind: &Kind, object: &Value) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        self.connection.create(kind, Some(&self.namespace), object, &options).await
    }

    async fn replace(&self, kind: &Kind, name: &str, object: &Value) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        self.connection.replace(kind, Some(&self.namespace), name, object, &options).await
    }

    async fn delete(&self, kind: &Kind, name: &str, deletion: &Deletion) -> Result<(), ApiError> {
        self.connection.delete(kind, Some(&self.namespace), name, deletion).await.map(drop)
    }

    fn now(&self) -> Timestamp {
        self.connection.server_time().unwrap_or_else(Timestamp::now)
    }

    fn notice(&self, what: &str) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
    }

    async fn wait(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
