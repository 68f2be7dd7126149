//! What is waited for: named objects, which need not exist yet, and selections, which are evaluated at each look.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::readiness::{Phase, State};
use crate::model::snapshot::Presence;
use crate::model::{kind, near};
use crate::observe::reads;
use crate::observe::targets::{BARE, Wanted};
use crate::readiness::verdict::NoMatch;
use crate::text::{command, sanitise};
use crate::view::{View, selects};

/// Each namespace needs a connection for each kind that is watched in it.
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
pub(crate) struct Selection {
    namespace: String,
    choices: Vec<Choice>,
    /// Types that the files define and use: the API server may not serve them yet.
    defined: BTreeSet<Kind>,
}

impl Selection {
    /// Looks up the types of what was named.
    pub(crate) async fn resolve(
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
                        .hint(command("kubectl podlife wait-ready -f FILE -n {}", &[&of])),
                );
            }
            let object = ObjectRef::new(&kind, of.as_deref().unwrap_or(&namespace), &name);
            choices.push(Choice::Object(kind, object));
        }
        // An object may be named twice: by its name and in a file, or by two names of its type.
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
            .hint("wait for one namespace after the other, with -n"));
        }
        Ok(selection)
    }

    /// Kinds beyond those that every run watches, each with the one name that matters of a cluster-wide kind.
    pub(crate) fn kinds(&self) -> Vec<(Kind, Option<String>, Option<String>)> {
        let mut kinds = Vec::new();
        for choice in &self.choices {
            match choice {
                Choice::Object(kind, object) => {
                    let name = (!kind.namespaced).then(|| object.name.clone());
                    kinds.push((kind.clone(), kind.namespaced.then(|| object.namespace.clone()), name));
                }
                Choice::All(kind) => kinds.push((kind.clone(), kind.namespaced.then(|| self.namespace.clone()), None)),
                Choice::Bare(_) => {
                    kinds.extend(BARE.iter().map(|k| (k.clone(), Some(self.namespace.clone()), None)));
                }
                Choice::Labels(..) => {
                    kinds.extend([kind::JOB, kind::CRON_JOB].map(|k| (k, Some(self.namespace.clone()), None)));
                }
            }
        }
        kinds
    }

    /// The namespaces that anything is looked for in; none where everything is cluster-wide.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let of = |choice: &Choice| match choice {
            Choice::Object(kind, object) => kind.namespaced.then(|| object.namespace.clone()),
            Choice::All(kind) => kind.namespaced.then(|| self.namespace.clone()),
            Choice::Bare(_) | Choice::Labels(..) => Some(self.namespace.clone()),
        };
        let all: BTreeSet<String> = self.choices.iter().filter_map(of).collect();
        all.into_iter().collect()
    }

    /// Whether a namespace is itself waited for, so that it need not exist yet.
    pub(crate) fn waits_for_namespace(&self, name: &str) -> bool {
        let is_it = |choice: &Choice| matches!(choice, Choice::Object(kind, object) if *kind == kind::NAMESPACE && object.name == name);
        self.choices.iter().any(is_it)
    }

    /// Types that the API server may not serve yet, because the files define them.
    pub(crate) const fn defined(&self) -> &BTreeSet<Kind> {
        &self.defined
    }

    /// What was asked for, in words.
    pub(crate) fn in_words(&self) -> Vec<String> {
        self.choices.iter().map(|choice| choice.in_words(&self.namespace)).collect()
    }

    /// The objects that are waited for now; named ones whether they exist or not.
    pub(crate) fn targets(&self, view: &View<'_>) -> Vec<ObjectRef> {
        let found: BTreeSet<ObjectRef> = self.choices.iter().flat_map(|c| c.targets(view, &self.namespace)).collect();
        found.into_iter().collect()
    }

    /// A selection that nothing matches now: labels always, types where nothing else was asked for that is there.
    pub(crate) fn no_match(&self, view: &View<'_>) -> Option<NoMatch> {
        let is_empty = |choice: &&Choice| choice.targets(view, &self.namespace).is_empty();
        let empty: Vec<&Choice> = self.choices.iter().filter(is_empty).collect();
        let all_are = empty.len() == self.choices.len();
        empty.into_iter().find_map(|choice| match choice {
            Choice::Labels(selector, text) => Some(no_labels(view, &self.namespace, selector, text)),
            Choice::All(kind) if all_are => Some(no_object(view, &self.namespace, kind)),
            _ => None,
        })
    }

    /// The error where a namespace has to exist, and does not.
    pub(crate) async fn no_such_namespace(&self, connection: &Connection, name: &str) -> Failure {
        let failure = reads::no_such_namespace(connection, name).await;
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

    fn targets(&self, view: &View<'_>, namespace: &str) -> BTreeSet<ObjectRef> {
        match self {
            Self::Object(_, object) => BTreeSet::from([object.clone()]),
            Self::All(kind) => {
                let all = view.snapshot.objects.references().into_iter().map(|(object, _)| object);
                all.filter(|o| o.is(kind) && (!kind.namespaced || o.namespace == namespace))
                    .collect()
            }
            Self::Bare(name) => {
                let present = |k: &&Kind| view.snapshot.presence(k, namespace, name) == Presence::Present;
                let kind = BARE.iter().find(present).cloned().unwrap_or(kind::POD);
                BTreeSet::from([ObjectRef::new(&kind, namespace, name)])
            }
            Self::Labels(selector, _) => {
                let selected = pods(view, namespace).filter(|p| selects(selector, p.labels()));
                // A workload whose pods could not be created has the labels in its template.
                let by_template = view
                    .workloads()
                    .filter(|w| w.reference.namespace == namespace && w.object.is_some_and(|o| selects(selector, &o.pod_labels())));
                let by_template = by_template.map(|w| w.reference.clone());
                selected.map(|p| view.workload_of(p)).chain(by_template).collect()
            }
        }
    }
}

fn pods<'a>(view: &View<'a>, namespace: &str) -> impl Iterator<Item = &'a Pod> {
    let pods = view.snapshot.objects.pods.iter();
    pods.filter(move |p| p.metadata.namespace.as_deref() == Some(namespace))
}

/// No pod has these labels; shows which labels there are, so that a typo is seen at once.
fn no_labels(view: &View<'_>, namespace: &str, selector: &LabelSelector, text: &str) -> NoMatch {
    if !view.snapshot.is_complete(&kind::POD, namespace) {
        return NoMatch {
            phase: Phase::Pods,
            state: State::Unknown,
            reason: format!("cannot tell whether anything has the labels {text}: pods could not be read in namespace {namespace}"),
        };
    }
    let count = pods(view, namespace).count();
    let expressions = selector.match_expressions.iter().flatten().map(|e| &e.key);
    let keys: BTreeSet<&String> = selector.match_labels.iter().flat_map(|l| l.keys()).chain(expressions).collect();
    let known: BTreeSet<String> = pods(view, namespace)
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
    NoMatch {
        phase: Phase::Pods,
        state: State::NotFound,
        reason: sanitise(&format!(
            "nothing in namespace {namespace} has the labels {text}: {there} ({})",
            command("kubectl get pods -n {} --show-labels", &[&namespace])
        )),
    }
}

fn no_object(view: &View<'_>, namespace: &str, kind: &Kind) -> NoMatch {
    let runs_pods = kind::RUN_PODS.contains(kind);
    let phase = if runs_pods { Phase::Pods } else { Phase::Infrastructure };
    let place = if kind.namespaced {
        format!(" in namespace {namespace}")
    } else {
        String::new()
    };
    let of = if kind.namespaced { namespace } else { "" };
    let (state, reason) = if view.snapshot.is_complete(kind, of) {
        (State::NotFound, format!("there are no {}{place}", kind.plural))
    } else {
        (State::Unknown, format!("{} could not be read{place}", kind.plural))
    };
    NoMatch { phase, state, reason }
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
