//! The few operations on objects that sessions are made of.

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
    /// Creates an object; a conflict if the name is taken.
    async fn create(&self, kind: &Kind, object: &Value) -> Result<Value, ApiError>;
    /// Replaces an object; a conflict if it is not the version that the object names.
    async fn replace(&self, kind: &Kind, name: &str, object: &Value) -> Result<Value, ApiError>;
    /// Deletes an object; a conflict if a precondition does not hold.
    async fn delete(&self, kind: &Kind, name: &str, deletion: &Deletion) -> Result<(), ApiError>;
    /// The API server's time.
    fn now(&self) -> Timestamp;
    /// Gives the cluster time to do something.
    async fn wait(&self, duration: Duration);
}

/// The objects of one namespace of a cluster.
pub(crate) struct InCluster {
    pub(crate) connection: Connection,
    pub(crate) namespace: String,
}

impl Objects for InCluster {
    async fn get(&self, kind: &Kind, name: &str) -> Result<Option<Value>, ApiError> {
        self.connection.get(kind, Some(&self.namespace), name, false).await
    }

    async fn list(&self, kind: &Kind, labels: &str, metadata_only: bool) -> Result<Vec<Value>, ApiError> {
        let query = ListQuery {
            label_selector: labels.to_owned(),
            metadata_only,
            lean: true,
            ..ListQuery::default()
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

    async fn wait(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
