//! Diagnoses of files: the same rules, and no server.

use kube::ResourceExt;

use crate::cmd::diagnose::containers;
use crate::cmd::diagnose::plan::Plan;
use crate::cmd::diagnose::report::print;
use crate::cmd::{Outcome, local, save};
use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::snapshot::Snapshot;
use crate::model::{kind, near};
use crate::observe::targets::{BARE, Wanted};
use crate::view::{View, selects};

/// Judges the objects of files.
pub(crate) fn run(plan: &Plan, io: &mut Io) -> Outcome {
    let (files, recursive) = &plan.files;
    let namespace = plan.namespace.as_deref();
    let snapshot = local::snapshot(files, *recursive, namespace, plan.now, io)?;
    let question = Question {
        targets: resolve_local(plan, &snapshot)?,
        ..plan.request.question.clone()
    };
    containers::must_exist(&question, &snapshot)?;
    let diagnosis = assess::assess(&snapshot, &question);
    save::snapshot(plan.output.save.as_deref(), &snapshot)?;
    print(&diagnosis, &plan.output, namespace, io)
}

/// What the command line takes of the objects in files; none where it takes them all.
fn resolve_local(plan: &Plan, snapshot: &Snapshot) -> Result<Option<Vec<ObjectRef>>, Failure> {
    let selection = &plan.request.selection;
    let mut found = Vec::new();
    let known = snapshot.objects.references();
    let namespace = plan.namespace.as_deref();
    let here = |object: &ObjectRef| namespace.is_none_or(|n| object.namespace.is_empty() || object.namespace == n);
    for wanted in &selection.wanted {
        let matches: Vec<ObjectRef> = match wanted {
            Wanted::Named(kind_name, name) => {
                let kind = kind::named(kind_name);
                let is_kind = |o: &ObjectRef| kind.map_or_else(|| is_named(o, kind_name), |k| o.is(k));
                known
                    .iter()
                    .map(|(o, _)| o)
                    .filter(|o| here(o) && is_kind(o) && &o.name == name)
                    .cloned()
                    .collect()
            }
            Wanted::All(kind_name) => {
                let kind = kind::named(kind_name);
                known
                    .iter()
                    .map(|(o, _)| o)
                    .filter(|o| here(o) && kind.map_or_else(|| is_named(o, kind_name), |k| o.is(k)))
                    .cloned()
                    .collect()
            }
            Wanted::Bare(name) => {
                let of = |kind: &Kind| {
                    known
                        .iter()
                        .map(|(o, _)| o)
                        .find(|o| here(o) && o.is(kind) && &o.name == name)
                        .cloned()
                };
                let object = BARE.iter().find_map(of);
                // A word alone may be a type that the table does not have.
                let of_type = || {
                    known
                        .iter()
                        .map(|(o, _)| o)
                        .filter(|o| here(o) && is_named(o, name))
                        .cloned()
                        .collect()
                };
                object.map_or_else(of_type, |object| vec![object])
            }
        };
        if matches.is_empty() && !matches!(wanted, Wanted::All(_)) {
            let (Wanted::Named(_, name) | Wanted::Bare(name) | Wanted::All(name)) = wanted;
            let names: Vec<&str> = known.iter().map(|(o, _)| o.name.as_str()).collect();
            let mut failure = Failure::new(Exit::NotFound, format!("{} is not in the given files", describe(wanted)));
            if let Some(near) = near::nearest(name, names) {
                failure = failure.hint(format!("the files have {near}"));
            }
            return Err(failure);
        }
        found.extend(matches);
    }
    if let Some(selector) = &selection.labels {
        let view = View::new(snapshot, plan.request.question.options.clone());
        let pods = snapshot.objects.pods.iter().filter(|pod| selects(selector, pod.labels()));
        found.extend(pods.map(|pod| view.workload_of(pod)));
    }
    let is_all = selection.is_whole();
    Ok((!is_all).then_some(found))
}

/// Whether a type as the user wrote it is the kind of this object: no server is there to tell plurals and short names.
fn is_named(object: &ObjectRef, type_name: &str) -> bool {
    let (plural, rest) = type_name.split_once('.').unwrap_or((type_name, ""));
    let (plural, kind) = (plural.to_lowercase(), object.kind.to_lowercase());
    let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
    let of_y = kind.strip_suffix('y').map(|stem| format!("{stem}ies"));
    let of_kind = plural == kind || plural == format!("{kind}s") || plural == format!("{kind}es") || of_y == Some(plural);
    of_kind && (rest.is_empty() || rest == group || rest == format!("{version}.{group}"))
}

fn describe(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Named(kind, name) => format!("{kind}/{name}"),
        Wanted::All(kind) => kind.clone(),
        Wanted::Bare(name) => format!("pod/{name}"),
    }
}
