//! What is waited for: named objects, which need not exist yet, and selections, which are made anew at each look.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cluster::Connection;
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::targets::{self, Wanted};
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::near;
use crate::model::snapshot::Presence;
use crate::rules::context::{Context, selects};

/// Each namespace takes a connection for each kind that is watched in it.
const MOST_NAMESPACES: usize = 8;

/// One thing that was asked for.
#[derive(Clone, Debug)]
enum Choice {
    Object(Kind, ObjectRef),
    /// Every object of a kind.
    All(Kind),
    /// A pod, else the workload of this name.
    Bare(String),
    /// Workloads whose pods have these labels, and what they are in words.
    Labels(LabelSelector, String),
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    namespace: String,
    choices: Vec<Choice>,
}

impl Selection {
    /// Looks up the types of what was named.
    pub(super) async fn resolve(
        connection: &Connection,
        wanted: &[Wanted],
        selector: Option<&(LabelSelector, String)>,
        documents: &[serde_json::Value],
        given: Option<&str>,
    ) -> Result<Self, Failure> {
        let namespace = connection.default_namespace().to_owned();
        let mut choices = Vec::new();
        for wanted in wanted {
            choices.push(match wanted {
                Wanted::Named(kind_name, name) => {
                    let kind = find_kind(connection, kind_name).await?;
                    let object = ObjectRef::new(&kind, &namespace, name);
                    Choice::Object(kind, object)
                }
                Wanted::All(kind_name) => Choice::All(find_kind(connection, kind_name).await?),
                Wanted::Bare(name) => Choice::Bare(name.clone()),
            });
        }
        choices.extend(selector.map(|(parsed, text)| Choice::Labels(parsed.clone(), text.clone())));
        for document in documents {
            let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
            let (api_version, kind_name) = (text(&document["apiVersion"]), text(&document["kind"]));
            let kind = match kind::of_object(&api_version, &kind_name) {
                Some(kind) => kind.clone(),
                None => {
                    let qualified = match api_version.split_once('/') {
                        Some((group, version)) => format!("{kind_name}.{version}.{group}"),
                        None => kind_name,
                    };
                    find_kind(connection, &qualified).await?
                }
            };
            let name = text(&document["metadata"]["name"]);
            let of = Some(text(&document["metadata"]["namespace"])).filter(|of| !of.is_empty());
            // As kubectl does: a file may name several namespaces, unless one was asked for.
            if let (true, Some(of), Some(given)) = (kind.namespaced, &of, given)
                && of != given
            {
                return Err(
                    Failure::usage(format!("{}/{name} is in namespace {of}, not in {given}", kind.singular()))
                        .hint(format!("kubectl podlife wait-ready -f FILE -n {of}")),
                );
            }
            let object = ObjectRef::new(&kind, of.as_deref().unwrap_or(&namespace), &name);
            choices.push(Choice::Object(kind, object));
        }
        let selection = Self { namespace, choices };
        let count = selection.namespaces().len();
        if count > MOST_NAMESPACES {
            return Err(Failure::usage(format!(
                "the files name {count} namespaces; at most {MOST_NAMESPACES} can be watched at once"
            ))
            .hint("wait for the objects of one namespace after the other, with -n"));
        }
        Ok(selection)
    }

    /// Kinds beyond those that every run watches, each with the one name that matters of a cluster-wide kind.
    pub(super) fn kinds(&self) -> Vec<(Kind, Option<String>, Option<String>)> {
        let mut kinds = Vec::new();
        for choice in &self.choices {
            match choice {
                Choice::Object(kind, object) => {
                    let name = (!kind.namespaced).then(|| object.name.clone());
                    kinds.push((kind.clone(), kind.namespaced.then(|| object.namespace.clone()), name));
                }
                Choice::All(kind) => kinds.push((kind.clone(), kind.namespaced.then(|| self.namespace.clone()), None)),
                Choice::Bare(_) => {
                    kinds.extend(targets::BARE.iter().map(|k| (k.clone(), Some(self.namespace.clone()), None)));
                }
                Choice::Labels(..) => {
                    kinds.extend([kind::JOB, kind::CRON_JOB].map(|k| (k, Some(self.namespace.clone()), None)));
                }
            }
        }
        kinds
    }

    /// The namespaces that anything is looked for in; none where everything is cluster-wide.
    pub(super) fn namespaces(&self) -> Vec<String> {
        let of = |choice: &Choice| match choice {
            Choice::Object(kind, object) => kind.namespaced.then(|| object.namespace.clone()),
            Choice::All(kind) => kind.namespaced.then(|| self.namespace.clone()),
            Choice::Bare(_) | Choice::Labels(..) => Some(self.namespace.clone()),
        };
        let all: BTreeSet<String> = self.choices.iter().filter_map(of).collect();
        all.into_iter().collect()
    }

    /// Whether a namespace is itself waited for, so that it need not exist yet.
    pub(super) fn waits_for_namespace(&self, name: &str) -> bool {
        let is_it = |choice: &Choice| matches!(choice, Choice::Object(kind, object) if *kind == kind::NAMESPACE && object.name == name);
        self.choices.iter().any(is_it)
    }

    /// What was asked for, in words.
    pub(super) fn in_words(&self) -> Vec<String> {
        self.choices
            .iter()
            .map(|c| match c {
                Choice::Object(_, object) => object.to_string(),
                Choice::All(kind) => format!("{} in {}", kind.plural, self.namespace),
                Choice::Bare(name) => format!("{}/{name}", self.namespace),
                Choice::Labels(_, text) => format!("{text} in {}", self.namespace),
            })
            .collect()
    }

    /// The objects that are meant now. Those that were named are meant whether they exist or not.
    pub(super) fn targets(&self, context: &Context<'_>) -> Vec<ObjectRef> {
        let mut found = BTreeSet::new();
        for choice in &self.choices {
            match choice {
                Choice::Object(_, object) => {
                    found.insert(object.clone());
                }
                Choice::All(kind) => {
                    let all = context.snapshot.objects.references().into_iter().map(|(object, _)| object);
                    found.extend(all.filter(|o| o.is(kind) && (!kind.namespaced || o.namespace == self.namespace)));
                }
                Choice::Bare(name) => {
                    let present = |k: &&Kind| context.snapshot.presence(k, &self.namespace, name) == Presence::Present;
                    let kind = targets::BARE.iter().find(present).cloned().unwrap_or(kind::POD);
                    found.insert(ObjectRef::new(&kind, &self.namespace, name));
                }
                Choice::Labels(selector, _) => {
                    let pods = context.snapshot.objects.pods.iter().filter(|p| {
                        p.metadata.namespace.as_deref() == Some(self.namespace.as_str())
                            && selects(selector, p.metadata.labels.as_ref().unwrap_or(&Default::default()))
                    });
                    found.extend(pods.map(|p| context.workload_of(p)));
                    // A workload whose pods could not be made has labels in its template all the same.
                    let by_template = context.workloads().filter(|w| {
                        w.reference.namespace == self.namespace && w.object.is_some_and(|o| selects(selector, &o.pod_labels()))
                    });
                    found.extend(by_template.map(|w| w.reference.clone()));
                }
            }
        }
        found.into_iter().collect()
    }
}

async fn find_kind(connection: &Connection, name: &str) -> Result<Kind, Failure> {
    if let Some(kind) = kind::named(name) {
        return Ok(kind.clone());
    }
    match connection.find_kind(name).await? {
        Some(kind) => Ok(kind),
        None => {
            let known = kind::KNOWN.iter().map(|(k, _)| k.plural.as_ref());
            let mut failure = Failure::new(Exit::NotFound, format!("the server has no resource type {name:?}"));
            failure.hint = Some(match near::nearest(name, known) {
                Some(near) => format!("did you mean {near}?"),
                None => "kubectl api-resources".to_owned(),
            });
            Err(failure)
        }
    }
}
