//! What is waited for: named objects, which need not exist yet, and selections, which are made anew at each look.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;

use crate::cluster::Connection;
use crate::cmd::collect;
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::targets::{self, Wanted};
use crate::gate::progress::Lack;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::near;
use crate::model::readiness::{Phase, State};
use crate::model::snapshot::Presence;
use crate::model::text::sanitise;
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

/// Values of labels that are named where a selection matches nothing.
const KNOWN_SHOWN: usize = 3;

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    namespace: String,
    choices: Vec<Choice>,
    /// Types that the files define and use: the API server may not serve them yet.
    defined: BTreeSet<Kind>,
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
        let mut defined = BTreeSet::new();
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
            let by_files = || documents.iter().find_map(|d| kind::defined_by(d, &api_version, &kind_name));
            let kind = if let Some(kind) = kind::of_object(&api_version, &kind_name) {
                kind.clone()
            } else if let Some(kind) = by_files() {
                defined.insert(kind.clone());
                kind
            } else {
                let qualified = match api_version.split_once('/') {
                    Some((group, version)) => format!("{kind_name}.{version}.{group}"),
                    None => kind_name,
                };
                find_kind(connection, &qualified).await?
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
        // What is named twice is meant once: by its name and in a file, or by two names of its type.
        let mut seen = BTreeSet::new();
        choices.retain(|choice| seen.insert(choice.in_words(&namespace)));
        let selection = Self {
            namespace,
            choices,
            defined,
        };
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

    /// Types that the API server may not serve yet, because the files define them.
    pub(super) const fn defined(&self) -> &BTreeSet<Kind> {
        &self.defined
    }

    /// What was asked for, in words.
    pub(super) fn in_words(&self) -> Vec<String> {
        self.choices.iter().map(|choice| choice.in_words(&self.namespace)).collect()
    }

    /// The objects that are meant now. Those that were named are meant whether they exist or not.
    pub(super) fn targets(&self, context: &Context<'_>) -> Vec<ObjectRef> {
        let found: BTreeSet<ObjectRef> = self.choices.iter().flat_map(|c| c.targets(context, &self.namespace)).collect();
        found.into_iter().collect()
    }

    /// A selection that nothing matches now: labels always, types where nothing else was asked for that is there.
    pub(super) fn lack(&self, context: &Context<'_>) -> Option<Lack> {
        let is_empty = |choice: &&Choice| choice.targets(context, &self.namespace).is_empty();
        let empty: Vec<&Choice> = self.choices.iter().filter(is_empty).collect();
        let all_are = empty.len() == self.choices.len();
        empty.into_iter().find_map(|choice| match choice {
            Choice::Labels(selector, text) => Some(no_labels(context, &self.namespace, selector, text)),
            Choice::All(kind) if all_are => Some(no_object(context, &self.namespace, kind)),
            _ => None,
        })
    }

    /// What to say of a namespace that has to exist, and does not.
    pub(super) async fn no_such_namespace(&self, connection: &Connection, name: &str) -> Failure {
        let failure = collect::no_such_namespace(connection, name).await;
        let hint = failure.hint.clone().unwrap_or_default();
        failure.hint(format!("{hint}; to wait for it as well, name it: namespace/{name}"))
    }
}

impl Choice {
    fn in_words(&self, namespace: &str) -> String {
        match self {
            Self::Object(_, object) => object.to_string(),
            Self::All(kind) => format!("{} in {namespace}", kind.plural),
            Self::Bare(name) => format!("{namespace}/{name}"),
            Self::Labels(_, text) => format!("{text} in {namespace}"),
        }
    }

    fn targets(&self, context: &Context<'_>, namespace: &str) -> BTreeSet<ObjectRef> {
        match self {
            Self::Object(_, object) => BTreeSet::from([object.clone()]),
            Self::All(kind) => {
                let all = context.snapshot.objects.references().into_iter().map(|(object, _)| object);
                all.filter(|o| o.is(kind) && (!kind.namespaced || o.namespace == namespace))
                    .collect()
            }
            Self::Bare(name) => {
                let present = |k: &&Kind| context.snapshot.presence(k, namespace, name) == Presence::Present;
                let kind = targets::BARE.iter().find(present).cloned().unwrap_or(kind::POD);
                BTreeSet::from([ObjectRef::new(&kind, namespace, name)])
            }
            Self::Labels(selector, _) => {
                let selected = pods(context, namespace).filter(|p| selects(selector, p.labels()));
                // A workload whose pods could not be made has labels in its template all the same.
                let by_template = context
                    .workloads()
                    .filter(|w| w.reference.namespace == namespace && w.object.is_some_and(|o| selects(selector, &o.pod_labels())));
                let by_template = by_template.map(|w| w.reference.clone());
                selected.map(|p| context.workload_of(p)).chain(by_template).collect()
            }
        }
    }
}

fn pods<'a>(context: &Context<'a>, namespace: &str) -> impl Iterator<Item = &'a Pod> {
    let pods = context.snapshot.objects.pods.iter();
    pods.filter(move |p| p.metadata.namespace.as_deref() == Some(namespace))
}

/// What the labels of a selection are instead, so that a slip of the pen is seen at once.
fn no_labels(context: &Context<'_>, namespace: &str, selector: &LabelSelector, text: &str) -> Lack {
    if !context.snapshot.is_complete(&kind::POD, namespace) {
        return Lack {
            phase: Phase::Pods,
            state: State::Unknown,
            reason: format!("whether anything has the labels {text} cannot be told: pods could not be read in namespace {namespace}"),
        };
    }
    let count = pods(context, namespace).count();
    let expressions = selector.match_expressions.iter().flatten().map(|e| &e.key);
    let keys: BTreeSet<&String> = selector.match_labels.iter().flat_map(|l| l.keys()).chain(expressions).collect();
    let known: BTreeSet<String> = pods(context, namespace)
        .flat_map(|p| p.labels().iter())
        .filter(|(key, _)| keys.contains(key))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let more = if known.len() > KNOWN_SHOWN { " and others" } else { "" };
    let known: Vec<String> = known.into_iter().take(KNOWN_SHOWN).collect();
    let there = match (count, known.is_empty()) {
        (0, _) => "it has no pods".to_owned(),
        (1, true) => "its only pod has no such label".to_owned(),
        (_, true) => format!("none of its {count} pods has such a label"),
        (_, false) => format!("its pods have {}{more}", known.join(", ")),
    };
    Lack {
        phase: Phase::Pods,
        state: State::NotFound,
        reason: sanitise(&format!(
            "nothing in namespace {namespace} has the labels {text}: {there} (kubectl get pods -n {namespace} --show-labels)"
        )),
    }
}

fn no_object(context: &Context<'_>, namespace: &str, kind: &Kind) -> Lack {
    let runs_pods = kind::RUN_PODS.contains(kind);
    let phase = if runs_pods { Phase::Pods } else { Phase::Infrastructure };
    let place = if kind.namespaced {
        format!(" in namespace {namespace}")
    } else {
        String::new()
    };
    let of = if kind.namespaced { namespace } else { "" };
    let (state, reason) = if context.snapshot.is_complete(kind, of) {
        (State::NotFound, format!("there are no {}{place}", kind.plural))
    } else {
        (State::Unknown, format!("{} could not be read{place}", kind.plural))
    };
    Lack { phase, state, reason }
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
