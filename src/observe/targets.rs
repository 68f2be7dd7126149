//! What a user names: objects, all objects of a kind, a bare name, labels, files. Resolved to objects that exist.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use serde_json::Value;

use crate::cluster::{ApiErrorKind, Connection, ListQuery};
use crate::exit::{Exit, Failure};
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::snapshot::{Coverage, Presence, Snapshot, UncheckedKind};
use crate::model::{kind, near};
use crate::observe::named::must_exist;
use crate::observe::reads;
use crate::observe::reads::Rights;
use crate::view::{Need, Options, View, selects};

/// One thing that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A name of a kind as the user wrote it.
    Named(String, String),
    /// Every object of a kind.
    All(String),
    /// A name alone: a pod, else the one workload of that name.
    Bare(String),
}

/// Kinds that a bare name may mean, in the order in which they are tried: pods first, as everywhere in kubectl.
pub const BARE: &[Kind] = &[
    kind::POD,
    kind::DEPLOYMENT,
    kind::STATEFUL_SET,
    kind::DAEMON_SET,
    kind::JOB,
    kind::CRON_JOB,
    kind::REPLICA_SET,
    kind::SERVICE,
    kind::INGRESS,
];

/// Everything that was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) wanted: Vec<Wanted>,
    /// Labels of pods.
    pub(crate) labels: Option<LabelSelector>,
    /// A field selector of pods; the API server evaluates it.
    pub(crate) fields: Option<String>,
    pub(crate) all_namespaces: bool,
    /// Whether the first of two words may be a pod instead of a type.
    pub(crate) type_may_be_pod: bool,
}

impl Selection {
    /// Whether objects are named, so that the lists around them need not be readable.
    pub(crate) fn names_objects(&self) -> bool {
        self.wanted.iter().any(|w| matches!(w, Wanted::Named(..) | Wanted::Bare(_)))
    }

    /// Whether only objects without a namespace are named.
    pub(crate) fn is_cluster_wide(&self) -> bool {
        let without_namespace =
            |w: &Wanted| matches!(w, Wanted::Named(k, _) | Wanted::All(k) if kind::named(k).is_some_and(|k| !k.namespaced));
        !self.wanted.is_empty() && self.wanted.iter().all(without_namespace)
    }

    /// Whether nothing in particular was asked for.
    pub(crate) const fn is_whole(&self) -> bool {
        self.wanted.is_empty() && self.labels.is_none() && self.fields.is_none()
    }
}

/// Resolves a selection against a cluster.
pub(crate) struct Resolver<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) selection: &'a Selection,
    pub(crate) rights: &'a Rights,
    pub(crate) options: &'a Options,
}

impl Resolver<'_> {
    /// The objects that files name; each must exist.
    pub(crate) async fn named_in_files(&self, named: Vec<ObjectRef>, snapshot: &mut Snapshot) -> Result<Vec<ObjectRef>, Failure> {
        let mut found = Vec::new();
        for object in named {
            let kind = self.kind_of(&object).await?;
            let object = ObjectRef::new(&kind, &object.namespace, &object.name);
            must_exist(self.connection, &kind, &object, snapshot).await?;
            found.push(object);
        }
        Ok(found)
    }

    /// The kind of an object in a file: of the table, else as the server knows it, in the file's version or the one that the server prefers.
    async fn kind_of(&self, object: &ObjectRef) -> Result<Kind, Failure> {
        if let Some(kind) = kind::of_object(&object.api_version, &object.kind) {
            return Ok(kind.clone());
        }
        let name = object.kind.to_lowercase();
        let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
        for qualified in [format!("{name}.{version}.{group}"), format!("{name}.{group}")] {
            if let Some(kind) = self.connection.find_kind(qualified.trim_end_matches('.')).await? {
                return Ok(kind);
            }
        }
        Err(Failure::new(
            Exit::NotFound,
            format!("the server has no kind {} of {}", object.kind, object.api_version),
        )
        .hint("kubectl api-resources"))
    }

    /// The objects that the command line names.
    pub(crate) async fn resolve(&self, snapshot: &mut Snapshot, namespace: &str) -> Result<Vec<ObjectRef>, Failure> {
        let mut found = Vec::new();
        for wanted in &self.selection.wanted {
            match wanted {
                Wanted::Named(kind_name, name) => {
                    let kind = self.kind(kind_name).await?;
                    if kind == kind::SECRET && !self.rights.secrets {
                        return Err(Failure::usage("Secrets are not read").hint("--with secrets allows it; only their metadata is read"));
                    }
                    let object = ObjectRef::new(&kind, namespace, name);
                    must_exist(self.connection, &kind, &object, snapshot).await?;
                    found.push(object);
                }
                Wanted::All(kind_name) => {
                    let kind = self.kind(kind_name).await?;
                    found.extend(self.all(&kind, snapshot, namespace).await?);
                }
                Wanted::Bare(name) => match self.bare(name, namespace, snapshot).await {
                    Ok(object) => found.push(object),
                    // A word alone may be a type of the server that the table does not have.
                    Err(failure) if failure.exit == Exit::NotFound && self.selection.wanted.len() == 1 => {
                        let kind = self.connection.find_kind(name).await.ok().flatten().ok_or(failure)?;
                        found.extend(self.all(&kind, snapshot, namespace).await?);
                    }
                    Err(failure) => return Err(failure),
                },
            }
        }
        if self.selection.labels.is_some() || self.selection.fields.is_some() {
            found.extend(self.select(snapshot).await?);
        }
        Ok(found)
    }

    /// Every object of a kind; that the list may not be read is not the same as that it is empty.
    async fn all(&self, kind: &Kind, snapshot: &mut Snapshot, namespace: &str) -> Result<Vec<ObjectRef>, Failure> {
        // With -A the lists of a namespace are of all of them.
        let namespace = if self.selection.all_namespaces || !kind.namespaced {
            None
        } else {
            Some(namespace.to_owned())
        };
        if snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()).is_none() {
            let needs = BTreeSet::from([Need::List(kind.clone(), namespace.clone())]);
            reads::further_round(self.connection, snapshot, needs, self.rights).await;
        }
        if snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()) == Some(&Coverage::Unreadable) {
            let why = snapshot
                .unchecked
                .iter()
                .find(|u| u.kind == UncheckedKind::of(kind) && u.what == kind.plural)
                .map_or("forbidden", |u| u.why.as_str());
            let message = format!("listing {}: {why}", kind.plural);
            let sees_pods = snapshot.is_complete(&kind::POD, namespace.as_deref().unwrap_or_default());
            return Err(Failure::new(if sees_pods { Exit::CannotTell } else { Exit::NoAnswer }, message));
        }
        let known = snapshot.objects.references().into_iter().map(|(object, _)| object);
        Ok(known.filter(|o| o.is(kind)).collect())
    }

    async fn kind(&self, name: &str) -> Result<Kind, Failure> {
        if let Some(kind) = kind::named(name) {
            return Ok(kind.clone());
        }
        match self.connection.find_kind(name).await? {
            Some(kind) => Ok(kind),
            None => {
                let known = kind::KNOWN.iter().map(|(k, _)| k.plural.as_ref());
                let mut failure = Failure::new(Exit::NotFound, format!("the server has no resource type {name:?}"));
                failure.hint = match near::nearest(name, known) {
                    Some(near) => Some(format!("did you mean {near}?")),
                    None if self.selection.type_may_be_pod => Some("name pods as pod/NAME".to_owned()),
                    None => Some("kubectl api-resources".to_owned()),
                };
                Err(failure)
            }
        }
    }

    async fn bare(&self, name: &str, namespace: &str, snapshot: &mut Snapshot) -> Result<ObjectRef, Failure> {
        let of_kinds = BARE.iter();
        let present = of_kinds
            .clone()
            .find(|k| snapshot.presence(k, namespace, name) == Presence::Present);
        let pod = ObjectRef::new(&kind::POD, namespace, name);
        match present {
            Some(kind) => Ok(ObjectRef::new(kind, namespace, name)),
            None if snapshot.is_complete(&kind::POD, namespace) => {
                let known = snapshot.objects.references();
                let candidates = known
                    .iter()
                    .map(|(o, _)| o)
                    .filter(|o| o.namespace == namespace && of_kinds.clone().any(|k| o.is(k)))
                    .map(|o| o.name.as_str());
                let mut failure = Failure::new(
                    Exit::NotFound,
                    format!("there is no pod and no workload {name} in namespace {namespace}"),
                );
                failure.hint = near::nearest(name, candidates).map(|near| format!("there is {near}"));
                Err(failure)
            }
            None => must_exist(self.connection, &kind::POD, &pod, snapshot).await.map(|()| pod),
        }
    }

    /// The workloads of the pods that selectors take; the API server evaluates field selectors.
    async fn select(&self, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, Failure> {
        let view = View::new(snapshot, self.options.clone());
        let taken: Option<BTreeSet<(String, String)>> = match &self.selection.fields {
            None => None,
            Some(field_selector) => {
                let query = ListQuery {
                    field_selector: field_selector.clone(),
                    metadata_only: true,
                    ..ListQuery::default()
                };
                let namespace = snapshot.namespaces.first().map(String::as_str);
                let list = self
                    .connection
                    .list(&kind::POD, namespace, &query)
                    .await
                    .map_err(|error| match error.kind {
                        // The API server knows which fields can be selected by.
                        ApiErrorKind::Invalid => Failure::usage(format!("--field-selector {field_selector}: {}", error.message)),
                        _ => error.into(),
                    })?;
                let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                Some(
                    list.items
                        .iter()
                        .map(|i| (text(&i["metadata"]["namespace"]), text(&i["metadata"]["name"])))
                        .collect(),
                )
            }
        };
        let by_label = |labels: &BTreeMap<String, String>| self.selection.labels.as_ref().is_none_or(|s| selects(s, labels));
        let by_field = |pod: &Pod| {
            taken
                .as_ref()
                .is_none_or(|taken| taken.contains(&(pod.namespace().unwrap_or_default(), pod.name_any())))
        };
        let pods = snapshot.objects.pods.iter().filter(|pod| by_label(pod.labels()) && by_field(pod));
        let mut found: BTreeSet<ObjectRef> = pods.map(|pod| view.workload_of(pod)).collect();
        if self.selection.fields.is_none() {
            // A workload whose pods could not be made has labels in its template all the same.
            let unborn = view.workloads().filter(|w| w.object.is_some_and(|o| by_label(&o.pod_labels())));
            found.extend(unborn.map(|w| w.reference.clone()));
        }
        Ok(found.into_iter().collect())
    }
}
