//! Diagnoses of a cluster: finds what the user named, reads it, asks the rules, and reads what they lack.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::{DiagnoseArgs, Plan};
use crate::cluster::{ApiErrorKind, Connection, ListQuery};
use crate::cmd::collect;
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::patience;
use crate::cmd::targets::{self, Wanted};
use crate::io::Io;
use crate::model::duration;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::near;
use crate::model::report::Diagnosis;
use crate::model::snapshot::{Coverage, Presence, Snapshot};
use crate::rules::context::{Context, selects};
use crate::rules::{assess, listen};

/// A way to the cluster, and what the command line names in files.
pub(super) struct Reading {
    pub(super) connection: Connection,
    /// What the files of `-f` hold.
    pub(super) documents: Vec<serde_json::Value>,
}

impl Reading {
    /// The namespace that is looked at; none for all.
    pub(super) fn namespace(&self, args: &DiagnoseArgs) -> Option<&str> {
        (!args.all_namespaces).then(|| self.connection.default_namespace())
    }

    /// Reads, asks the rules, reads what they lack, and answers.
    pub(super) async fn diagnose(&self, plan: &mut Plan<'_>, io: &mut Io) -> Result<(Diagnosis, Snapshot), Failure> {
        let args = plan.args;
        let start = std::time::Instant::now();
        let before = self.connection.request_count();
        let namespace = self.connection.default_namespace().to_owned();
        let namespaces = if args.all_namespaces { Vec::new() } else { vec![namespace.clone()] };
        let named = self.named_objects()?;
        let (snapshot, exists) = futures::future::join(collect::first_round(&self.connection, &namespaces, (io.now)()), async {
            if args.all_namespaces {
                Ok(Some(true))
            } else {
                collect::namespace_exists(&self.connection, &namespace).await
            }
        })
        .await;
        let cluster_wide = !plan.wanted.is_empty()
            && plan
                .wanted
                .iter()
                .all(|w| matches!(w, Wanted::Named(k, _) | Wanted::All(k) if kind::named(k).is_some_and(|k| !k.namespaced)));
        if exists? == Some(false) && !cluster_wide {
            return Err(collect::no_such_namespace(&self.connection, &namespace).await);
        }
        let (mut snapshot, refused) = snapshot?;
        let names_objects = !named.is_empty() || plan.wanted.iter().any(|w| matches!(w, Wanted::Named(..) | Wanted::Bare(_)));
        if let Some(refused) = refused.filter(|_| !names_objects) {
            return Err(refused.into());
        }
        let mut wanted = self.resolve(plan, &mut snapshot, &namespace).await?;
        wanted.extend(self.add_named(named, &mut snapshot).await?);
        let is_whole = plan.wanted.is_empty() && args.filename.is_empty() && args.selector.is_none() && args.field_selector.is_none();
        plan.question.targets = (!is_whole).then_some(wanted);
        let needs = |seen: &Snapshot| {
            let needs = assess::needs(seen, &plan.question);
            patience::tell(&io.stderr, seen, &needs);
            needs
        };
        collect::further_rounds(&self.connection, &mut snapshot, &plan.rights, collect::RULE_ROUNDS, needs).await;
        for added in plan.rights.reach.take_added() {
            io.stderr.line(&format!(
                "Warning: added ephemeral container {added}; it cannot be taken away until the pod is replaced"
            ));
        }
        if plan.question.options.dial {
            let context = assess::context(&snapshot, &plan.question);
            let scope = assess::scope(&context, &plan.question);
            let unsaid = listen::unsettled(&context, |workload| scope.has(workload));
            snapshot.unchecked.extend(unsaid);
        }
        let mut diagnosis = assess::assess(&snapshot, &plan.question);
        diagnosis.requests = self.connection.request_count() - before;
        diagnosis.elapsed_seconds = duration::rounded(start.elapsed().as_secs_f64());
        Ok((diagnosis, snapshot))
    }

    /// The objects that files name.
    fn named_objects(&self) -> Result<Vec<ObjectRef>, Failure> {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let mut objects = Vec::new();
        for document in &self.documents {
            let (api_version, kind_name) = (text(&document["apiVersion"]), text(&document["kind"]));
            let namespaced = kind::of_object(&api_version, &kind_name).is_none_or(|k| k.namespaced);
            let namespace = Some(text(&document["metadata"]["namespace"]))
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| self.connection.default_namespace().to_owned());
            objects.push(ObjectRef {
                api_version,
                kind: kind_name,
                namespace: if namespaced { namespace } else { String::new() },
                name: text(&document["metadata"]["name"]),
            });
        }
        let here = self.connection.default_namespace();
        if let Some(elsewhere) = objects.iter().find(|o| !o.namespace.is_empty() && o.namespace != here) {
            return Err(Failure::usage(format!("{elsewhere} is in another namespace than {here}"))
                .hint(format!("kubectl podlife diagnose -f FILE -n {}", elsewhere.namespace)));
        }
        Ok(objects)
    }

    /// What files name; each must exist.
    async fn add_named(&self, named: Vec<ObjectRef>, snapshot: &mut Snapshot) -> Result<Vec<ObjectRef>, Failure> {
        let mut found = Vec::new();
        for object in named {
            let kind = self.kind_of(&object).await?;
            let object = ObjectRef::new(&kind, &object.namespace, &object.name);
            self.must_exist(&kind, &object, snapshot).await?;
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

    async fn resolve(&self, plan: &Plan<'_>, snapshot: &mut Snapshot, namespace: &str) -> Result<Vec<ObjectRef>, Failure> {
        let mut found = Vec::new();
        for wanted in &plan.wanted {
            match wanted {
                Wanted::Named(kind_name, name) => {
                    let kind = self.kind(kind_name, plan).await?;
                    if kind == kind::SECRET && !plan.rights.secrets {
                        return Err(
                            Failure::usage("Secrets are not asked for").hint("--with secrets allows it; only their metadata is read")
                        );
                    }
                    let object = ObjectRef::new(&kind, namespace, name);
                    self.must_exist(&kind, &object, snapshot).await?;
                    found.push(object);
                }
                Wanted::All(kind_name) => {
                    let kind = self.kind(kind_name, plan).await?;
                    found.extend(self.all(&kind, plan, snapshot, namespace).await?);
                }
                Wanted::Bare(name) => match self.bare(name, namespace, snapshot).await {
                    Ok(object) => found.push(object),
                    // A word alone may be a type of the server that the table does not have.
                    Err(failure) if failure.exit == Exit::NotFound && plan.wanted.len() == 1 => {
                        let kind = self.connection.find_kind(name).await.ok().flatten().ok_or(failure)?;
                        found.extend(self.all(&kind, plan, snapshot, namespace).await?);
                    }
                    Err(failure) => return Err(failure),
                },
            }
        }
        if plan.args.selector.is_some() || plan.args.field_selector.is_some() {
            found.extend(self.select(plan, snapshot).await?);
        }
        Ok(found)
    }

    /// Every object of a kind; that the list may not be read is not the same as that it is empty.
    async fn all(&self, kind: &Kind, plan: &Plan<'_>, snapshot: &mut Snapshot, namespace: &str) -> Result<Vec<ObjectRef>, Failure> {
        // With -A the lists of a namespace are of all of them.
        let namespace = if plan.args.all_namespaces || !kind.namespaced {
            None
        } else {
            Some(namespace.to_owned())
        };
        if snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()).is_none() {
            let needs = BTreeSet::from([crate::rules::Need::List(kind.clone(), namespace.clone())]);
            collect::further_round(&self.connection, snapshot, needs, &plan.rights).await;
        }
        if snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()) == Some(&Coverage::Unreadable) {
            let why = snapshot
                .unchecked
                .iter()
                .find(|u| u.what == kind.plural)
                .map_or("forbidden", |u| u.why.as_str());
            let message = format!("listing {}: {why}", kind.plural);
            let sees_pods = snapshot.is_complete(&kind::POD, namespace.as_deref().unwrap_or_default());
            return Err(Failure::new(if sees_pods { Exit::CannotTell } else { Exit::NoAnswer }, message));
        }
        let known = snapshot.objects.references().into_iter().map(|(object, _)| object);
        Ok(known.filter(|o| o.is(kind)).collect())
    }

    async fn kind(&self, name: &str, plan: &Plan<'_>) -> Result<Kind, Failure> {
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
                    None if plan.args.targets.len() > 1 => Some("name pods as pod/NAME".to_owned()),
                    None => Some("kubectl api-resources".to_owned()),
                };
                Err(failure)
            }
        }
    }

    pub(super) async fn must_exist(&self, kind: &Kind, object: &ObjectRef, snapshot: &mut Snapshot) -> Result<(), Failure> {
        let exists = match snapshot.presence(kind, &object.namespace, &object.name) {
            Presence::Present => Some(true),
            Presence::Absent => Some(false),
            Presence::Unknown => collect::add_object(&self.connection, snapshot, kind, object).await?,
        };
        match exists {
            Some(true) => Ok(()),
            Some(false) => Err(self.not_found(kind, object, snapshot)),
            None if snapshot.is_complete(&kind::POD, &object.namespace) => {
                Err(Failure::new(Exit::CannotTell, format!("reading {object}: forbidden")))
            }
            None => Err(Failure::new(Exit::NoAnswer, format!("reading {object}: forbidden")).hint(format!(
                "kubectl auth can-i get {} -n {}",
                kind.qualified_plural(),
                object.namespace
            ))),
        }
    }

    fn not_found(&self, kind: &Kind, object: &ObjectRef, snapshot: &Snapshot) -> Failure {
        let others = snapshot.objects.references();
        // What another namespace has is not to be had by this name here.
        let is_here = |o: &&ObjectRef| o.is(kind) && o.namespace == object.namespace;
        let names = others.iter().map(|(o, _)| o).filter(is_here).map(|o| o.name.as_str());
        let place = if object.namespace.is_empty() {
            String::new()
        } else {
            format!(" in namespace {}", object.namespace)
        };
        let mut failure = Failure::new(Exit::NotFound, format!("{} does not exist{place}", object.short()));
        failure.hint = near::nearest(&object.name, names).map(|near| format!("there is {}/{near}", kind.singular()));
        failure
    }

    async fn bare(&self, name: &str, namespace: &str, snapshot: &mut Snapshot) -> Result<ObjectRef, Failure> {
        let of_kinds = targets::BARE.iter();
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
            None => self.must_exist(&kind::POD, &pod, snapshot).await.map(|()| pod),
        }
    }

    /// The workloads of the pods that selectors take; the API server evaluates field selectors.
    async fn select(&self, plan: &Plan<'_>, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, Failure> {
        let context = Context::new(snapshot, plan.question.options.clone());
        let taken: Option<BTreeSet<(String, String)>> = match &plan.args.field_selector {
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
                let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
                Some(
                    list.items
                        .iter()
                        .map(|i| (text(&i["metadata"]["namespace"]), text(&i["metadata"]["name"])))
                        .collect(),
                )
            }
        };
        let by_label =
            |labels: &std::collections::BTreeMap<String, String>| plan.args.selector.as_ref().is_none_or(|s| selects(&s.parsed, labels));
        let by_field = |pod: &k8s_openapi::api::core::v1::Pod| {
            taken
                .as_ref()
                .is_none_or(|taken| taken.contains(&(pod.namespace().unwrap_or_default(), pod.name_any())))
        };
        let pods = snapshot.objects.pods.iter().filter(|pod| by_label(pod.labels()) && by_field(pod));
        let mut found: BTreeSet<ObjectRef> = pods.map(|pod| context.workload_of(pod)).collect();
        if plan.args.field_selector.is_none() {
            // A workload whose pods could not be made has labels in its template all the same.
            let unborn = context.workloads().filter(|w| w.object.is_some_and(|o| by_label(&o.pod_labels())));
            found.extend(unborn.map(|w| w.reference.clone()));
        }
        Ok(found.into_iter().collect())
    }
}
