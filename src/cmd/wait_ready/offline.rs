//! One look at the objects of files.

use super::{Plan, exit_of, finish, read_files, report};
use crate::cmd::Outcome;
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::targets::{self, Wanted};
use crate::gate::{self, doom, settle, verdict};
use crate::io::Io;
use crate::model::duration;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::readiness::{Readiness, State};
use crate::model::snapshot::Snapshot;
use crate::rules::Options;
use crate::rules::assess::Question;
use crate::rules::context::Context;

/// Judges the objects of files once.
pub(super) fn run(mut plan: Plan<'_>, io: &mut Io) -> Outcome {
    let args = plan.args;
    let start = (io.now)();
    let documents = read_files(args, io)?;
    let namespace = plan.connect.namespace.as_deref();
    let (snapshot, warnings) = documents
        .into_snapshot(namespace, start)
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    for warning in &warnings {
        io.stderr
            .line(&format!("warning: left out {}", crate::model::text::sanitise(warning)));
    }
    plan.gate.targets = targets_of(&plan, &snapshot)?;
    if plan.gate.targets.is_empty() {
        let exit = if warnings.is_empty() { Exit::NotFound } else { Exit::Usage };
        return Err(Failure::new(exit, "the given files hold nothing that can be waited for"));
    }
    let mut report = judge(&plan, &snapshot);
    report.elapsed_seconds = duration::rounded((io.now)().duration_since(start).as_secs_f64());
    finish(&plan, &report, &snapshot, io)?;
    Ok(exit_of(report.state))
}

fn judge(plan: &Plan<'_>, snapshot: &Snapshot) -> Readiness {
    let context = Context::new(snapshot, Options::default());
    let mut judged = gate::judge(&context, &plan.gate);
    for item in judged
        .iter_mut()
        .filter(|j| j.object.is(&kind::SERVICE) && j.state == State::Unknown)
    {
        let mut slices = snapshot.objects.endpoint_slices.iter();
        if slices.all(|slice| slice.metadata.namespace.as_deref() != Some(item.object.namespace.as_str())) {
            "its endpoints are not in the files: add those that kubectl get endpointslices -o yaml prints".clone_into(&mut item.reason);
        }
    }
    if let Some(restless) = settle::restless(&context, &judged).filter(|_| !plan.span().is_zero()) {
        for item in judged.iter_mut().filter(|j| j.state == State::Ready && j.wanted_pods.is_some()) {
            item.state = State::Progressing;
            item.reason.clone_from(&restless.reason);
        }
    }
    let question = Question {
        targets: Some(plan.gate.targets.clone()),
        ..Question::default()
    };
    let suspects = doom::suspects(snapshot, &question, &mut judged, false);
    let causes = verdict::condemn(&mut judged, &suspects, &plan.grace, snapshot.taken_at, |_| None);
    let phases = verdict::phases(&judged, None);
    let targets = plan.gate.targets.iter().map(ToString::to_string).collect();
    let mut report = report(targets, phases, judged, &causes, snapshot);
    if report.state == State::Ready {
        "judged by the objects alone: nobody was asked whether it answers".clone_into(&mut report.reason);
    }
    report.root_causes = suspects.into_iter().map(|s| s.finding).collect();
    report
}

/// What was named, whether the files have it or not; else everything that they have.
fn targets_of(plan: &Plan<'_>, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, Failure> {
    let context = Context::new(snapshot, Options::default());
    let given = plan.connect.namespace.as_deref();
    let known = snapshot.objects.references();
    let here = |object: &ObjectRef| given.is_none_or(|n| object.namespace.is_empty() || object.namespace == n);
    let mut found: Vec<ObjectRef> = Vec::new();
    if plan.wanted.is_empty() {
        found = gate::judge::everything(&context);
        found.retain(here);
    }
    // Where a name is not among the objects, it is taken to be where they are.
    let usual = given
        .or_else(|| known.iter().map(|(o, _)| o.namespace.as_str()).find(|n| !n.is_empty()))
        .unwrap_or("default");
    for wanted in &plan.wanted {
        let named = |is_kind: &dyn Fn(&ObjectRef) -> bool, name: Option<&str>| -> Vec<ObjectRef> {
            let all = known.iter().map(|(o, _)| o);
            all.filter(|o| here(o) && is_kind(o) && name.is_none_or(|name| o.name == name))
                .cloned()
                .collect()
        };
        match wanted {
            Wanted::Named(kind_name, name) => {
                let kind = kind::named(kind_name);
                let is_kind = |o: &ObjectRef| kind.map_or_else(|| o.kind.eq_ignore_ascii_case(kind_name), |k| o.is(k));
                let matches = named(&is_kind, Some(name));
                match (matches.is_empty(), kind) {
                    (false, _) => found.extend(matches),
                    (true, Some(kind)) => found.push(ObjectRef::new(kind, usual, name)),
                    (true, None) => {
                        return Err(Failure::new(
                            Exit::NotFound,
                            format!("{kind_name}/{name} is not in the given files"),
                        ));
                    }
                }
            }
            Wanted::All(kind_name) => {
                let kind = kind::named(kind_name);
                found.extend(named(&|o: &ObjectRef| kind.is_some_and(|k| o.is(k)), None));
            }
            Wanted::Bare(name) => {
                let of = |kind: &Kind| named(&|o: &ObjectRef| o.is(kind), Some(name)).into_iter().next();
                match targets::BARE.iter().find_map(of) {
                    Some(object) => found.push(object),
                    None => found.push(ObjectRef::new(&kind::POD, usual, name)),
                }
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|o| seen.insert(o.clone()));
    Ok(found)
}
