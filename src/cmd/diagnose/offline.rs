//! Diagnoses of files: the same rules, and no server.

use kube::ResourceExt;

use super::{DiagnoseArgs, Plan, containers, print, read_files, save};
use crate::cmd::Outcome;
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::targets::{self, Wanted};
use crate::io::Io;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::near;
use crate::model::snapshot::Snapshot;
use crate::rules::assess;
use crate::rules::context::{Context, selects};

/// The objects of the files; those of one namespace where it is named.
pub(super) fn snapshot(args: &DiagnoseArgs, namespace: Option<&str>, io: &mut Io) -> Result<Snapshot, Failure> {
    let documents = read_files(args, io)?;
    let (mut snapshot, warnings) = documents
        .into_snapshot(namespace, (io.now)())
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    let left_out = !warnings.is_empty();
    for warning in warnings {
        io.stderr
            .line(&format!("warning: left out {}", crate::model::text::sanitise(&warning)));
    }
    let known = snapshot.objects.references();
    if known.is_empty() {
        return Err(Failure::new(
            if left_out { Exit::Usage } else { Exit::NotFound },
            "the given files hold no object that can be judged",
        ));
    }
    if let Some(namespace) = namespace {
        if !snapshot.namespaces.iter().any(|n| n == namespace) && !known.iter().any(|(object, _)| object.namespace == namespace) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("the given files hold nothing of namespace {namespace}"),
            ));
        }
        snapshot.namespaces = vec![namespace.to_owned()];
    }
    Ok(snapshot)
}

/// Judges the objects of files.
pub(super) fn run(plan: &mut Plan<'_>, io: &mut Io) -> Outcome {
    let args = plan.args;
    let namespace = plan.connect.namespace.as_deref();
    let snapshot = snapshot(args, namespace, io)?;
    plan.question.targets = resolve_local(plan, &snapshot)?;
    containers::must_exist(&plan.question, &snapshot)?;
    let diagnosis = assess::assess(&snapshot, &plan.question);
    save(args, &snapshot)?;
    print(&diagnosis, args, namespace, io)
}

/// What the command line takes of the objects in files; none where it takes them all.
fn resolve_local(plan: &Plan<'_>, snapshot: &Snapshot) -> Result<Option<Vec<ObjectRef>>, Failure> {
    let mut found = Vec::new();
    let known = snapshot.objects.references();
    let namespace = plan.connect.namespace.as_deref();
    let here = |object: &ObjectRef| namespace.is_none_or(|n| object.namespace.is_empty() || object.namespace == n);
    for wanted in &plan.wanted {
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
                let object = targets::BARE.iter().find_map(of);
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
    if let Some(selector) = &plan.args.selector {
        let context = Context::new(snapshot, plan.question.options.clone());
        let pods = snapshot.objects.pods.iter().filter(|pod| selects(&selector.parsed, pod.labels()));
        found.extend(pods.map(|pod| context.workload_of(pod)));
    }
    let is_all = plan.wanted.is_empty() && plan.args.selector.is_none();
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
