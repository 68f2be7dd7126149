//! Writes. None is ever repeated: only its caller can know whether it had its effect.

use http::Method;
use serde_json::{Value, json};

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError};
use crate::cluster::read::{about, collection, decode, escape, object_name, query};
use crate::cluster::request::{Call, JSON, Repeat};
use crate::model::kind;
use crate::model::kind::Kind;

/// What must still hold when a write takes effect; else it fails with [`crate::cluster::ApiErrorKind::Conflict`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The object is the same one, not another of the same name.
    pub uid: Option<String>,
    /// Nobody has changed it since.
    pub resource_version: Option<String>,
}

/// How to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Let the API server check and answer, and change nothing.
    pub dry_run: bool,
    /// Who owns the fields; empty means the User-Agent's name.
    pub field_manager: String,
    /// Refuse unknown fields rather than warn.
    pub strict: bool,
}

/// A change to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// RFC 7386; a `metadata.resourceVersion` or `metadata.uid` in it is a precondition.
    Merge(Value),
    /// RFC 6902; a `test` operation is a precondition.
    Json(Value),
    /// Kubernetes's own, for built-in kinds.
    Strategic(Value),
    /// Server-side apply; needs a field manager.
    Apply {
        /// The fields to own.
        object: Value,
        /// Take fields over from other managers.
        force: bool,
    },
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// What must still hold.
    pub preconditions: Preconditions,
    /// Seconds; none leaves it to the object.
    pub grace_period_seconds: Option<u32>,
    /// `Background`, `Foreground` or `Orphan`; none leaves it to the kind.
    pub propagation: Option<&'static str>,
    /// Let the API server check and answer, and change nothing.
    pub dry_run: bool,
}

impl Deletion {
    /// Deletes the object of this UID, and no other one of its name; without a UID, whatever has the name.
    pub fn of_uid(uid: Option<&str>) -> Self {
        Self {
            preconditions: Preconditions {
                uid: uid.map(str::to_owned),
                resource_version: None,
            },
            ..Self::default()
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        let mut preconditions = serde_json::Map::new();
        if let Some(uid) = &self.preconditions.uid {
            preconditions.insert("uid".to_owned(), json!(uid));
        }
        if let Some(version) = &self.preconditions.resource_version {
            preconditions.insert("resourceVersion".to_owned(), json!(version));
        }
        if !preconditions.is_empty() {
            body["preconditions"] = preconditions.into();
        }
        if let Some(seconds) = self.grace_period_seconds {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(policy) = self.propagation {
            body["propagationPolicy"] = json!(policy);
        }
        if self.dry_run {
            body["dryRun"] = json!(["All"]);
        }
        body
    }
}

impl WriteOptions {
    fn parameters(&self, force: bool) -> String {
        let word = |set: bool, word: &str| if set { word.to_owned() } else { String::new() };
        query(&[
            ("dryRun", word(self.dry_run, "All")),
            ("fieldManager", self.field_manager.clone()),
            ("fieldValidation", word(self.strict, "Strict")),
            ("force", word(force, "true")),
        ])
    }
}

/// `pods/eviction`
fn sub(about: About, subresource: Option<&str>) -> About {
    match subresource {
        Some(subresource) => About {
            resource: format!("{}/{subresource}", about.resource),
            ..about
        },
        None => about,
    }
}

impl Connection {
    async fn write(&self, method: Method, path: String, content_type: &'static str, body: &Value, about: About) -> Result<Value, ApiError> {
        let call = Call {
            method,
            path,
            accept: JSON,
            body: Some((content_type, body.to_string().into_bytes())),
            about: about.clone(),
            repeat: Repeat::Never,
            enough: None,
            headers: Vec::new(),
        };
        let answer = self.inner.transport.call(&call).await?;
        match answer.body.is_empty() {
            true => Ok(Value::Null),
            false => decode(&about, &answer.body),
        }
    }

    /// Creates an object and returns it as the API server stored it. The name is the object's own.
    pub async fn create(&self, kind: &Kind, namespace: Option<&str>, object: &Value, options: &WriteOptions) -> Result<Value, ApiError> {
        let name = object["metadata"]["name"].as_str().or(object["metadata"]["generateName"].as_str());
        let doing = format!("creating {}", object_name(kind, namespace, name.unwrap_or_default()));
        let path = collection(kind, namespace) + &options.parameters(false);
        self.write(Method::POST, path, JSON, object, about("create", doing, kind, namespace))
            .await
    }

    /// Creates a subresource of an object: `eviction`, `binding`, `token`.
    pub async fn create_subresource(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        object: &Value,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let doing = format!("creating the {subresource} of {}", object_name(kind, namespace, name));
        let about = sub(about("create", doing, kind, namespace), Some(subresource));
        let (path, parameters) = (collection(kind, namespace), options.parameters(false));
        let path = format!("{path}/{}/{}{parameters}", escape(name), escape(subresource));
        self.write(Method::POST, path, JSON, object, about).await
    }

    /// Replaces an object; a `metadata.resourceVersion` in it is a precondition.
    pub async fn replace(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        object: &Value,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let doing = format!("replacing {}", object_name(kind, namespace, name));
        let path = format!("{}/{}{}", collection(kind, namespace), escape(name), options.parameters(false));
        self.write(Method::PUT, path, JSON, object, about("update", doing, kind, namespace))
            .await
    }

    /// Changes an object, or a subresource of it such as `scale` or `status`, and returns the outcome.
    pub async fn patch(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Value, ApiError> {
        let (content_type, body, force) = match patch {
            Patch::Merge(body) => ("application/merge-patch+json", body, false),
            Patch::Json(body) => ("application/json-patch+json", body, false),
            Patch::Strategic(body) => ("application/strategic-merge-patch+json", body, false),
            Patch::Apply { object, force } => ("application/apply-patch+yaml", object, *force),
        };
        let doing = format!("changing {}", object_name(kind, namespace, name));
        let tail = subresource
            .map(|subresource| format!("/{}", escape(subresource)))
            .unwrap_or_default();
        let path = format!(
            "{}/{}{tail}{}",
            collection(kind, namespace),
            escape(name),
            options.parameters(force)
        );
        let about = sub(about("patch", doing, kind, namespace), subresource);
        self.write(Method::PATCH, path, content_type, body, about).await
    }

    /// Deletes an object. Returns what the API server says of it: the object while it goes, or a Status.
    pub async fn delete(&self, kind: &Kind, namespace: Option<&str>, name: &str, deletion: &Deletion) -> Result<Value, ApiError> {
        let doing = format!("deleting {}", object_name(kind, namespace, name));
        let path = format!("{}/{}", collection(kind, namespace), escape(name));
        self.write(
            Method::DELETE,
            path,
            JSON,
            &deletion.body(),
            about("delete", doing, kind, namespace),
        )
        .await
    }

    /// Evicts a pod, which respects its disruption budgets: a budget that forbids it is
    /// [`crate::cluster::ApiErrorKind::TooManyRequests`], at once.
    ///
    /// kube's `EvictParams` sends its options under a key that the API server does not read, so they would be lost.
    pub async fn evict(&self, namespace: &str, pod: &str, deletion: &Deletion) -> Result<(), ApiError> {
        let mut options = deletion.body();
        if let Some(options) = options.as_object_mut() {
            options.remove("apiVersion");
            options.remove("kind");
        }
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": options,
        });
        let write = WriteOptions {
            dry_run: deletion.dry_run,
            ..WriteOptions::default()
        };
        self.create_subresource(&kind::POD, Some(namespace), pod, "eviction", &eviction, &write)
            .await
            .map(drop)
    }
}
