//! `--local`: judges the objects of files once.

use std::time::Duration;

use crate::cmd::Outcome;
use crate::cmd::wait_ready::plan::Plan;
use crate::cmd::wait_ready::report::{exit_of, finish, report};
use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::readiness::{Readiness, State};
use crate::model::snapshot::Snapshot;
use crate::model::{duration, kind};
use crate::observe::targets::{BARE, Wanted};
use crate::readiness;
use crate::readiness::{failfast, settle, verdict};
use crate::view::{Options, View};

/// Judges the objects of files once.
pub(crate) fn run(mut plan: Plan, io: &mut Io) -> Outcome {
    let start = (io.now)();
    let documents = plan.read_files(io)?;
    let namespace = plan.namespace.as_deref();
    let (snapshot, warnings) = documents
        .into_snapshot(namespace, plan.now, start)
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    for warning in &warnings {
        io.stderr.line(&format!("warning: left out {}", crate::text::sanitise(warning)));
    }
    plan.gate.targets = targets_of(&plan, &snapshot)?;
    if plan.gate.targets.is_empty() {
        let exit = if warnings.is_empty() { Exit::NotFound } else { Exit::Usage };
        return Err(Failure::new(exit, "the given files hold no object that can be waited for"));
    }
    let mut report = judge(&plan, &snapshot);
    report.elapsed_seconds = duration::rounded((io.now)().duration_since(start).as_secs_f64());
    finish(&plan, &report, &snapshot, io)?;
    Ok(exit_of(report.state))
}

fn judge(plan: &Plan, snapshot: &Snapshot) -> Readiness {
    let view = View::new(snapshot, Options::default());
    let mut judged = readiness::judge(&view, &plan.gate);
    // Without a clock, nobody can tell for how long it has been ready.
    let is_timed = snapshot.has_clock && !plan.stable_for.is_zero();
    if let Some(restless) = settle::restless(&view, &judged).filter(|_| is_timed) {
        for item in judged.iter_mut().filter(|j| j.state == State::Ready && j.wanted_pods.is_some()) {
            item.state = State::Progressing;
            item.reason.clone_from(&restless.reason);
        }
    }
    let question = Question {
        targets: Some(plan.gate.targets.clone()),
        ..Question::default()
    };
    let suspects = failfast::suspects(snapshot, &question, assess::run(snapshot, &question), &mut judged, false);
    let causes = verdict::condemn(&mut judged, &suspects, &plan.limits.grace, snapshot.taken_at, |_| {
        (!snapshot.has_clock).then_some(Duration::MAX)
    });
    let phases = verdict::phases(&judged, None);
    let targets = plan.gate.targets.iter().map(ToString::to_string).collect();
    let mut report = report(targets, phases, judged, &causes, snapshot);
    if report.state == State::Ready {
        "judged by the objects alone: the application was not checked".clone_into(&mut report.reason);
    }
    report.root_causes = suspects.into_iter().map(|s| s.finding).collect();
    report
}

/// The named objects, whether the files have them or not; without names, all objects of the files.
fn targets_of(plan: &Plan, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, Failure> {
    let view = View::new(snapshot, Options::default());
    let given = plan.namespace.as_deref();
    let known = snapshot.objects.references();
    let here = |object: &ObjectRef| given.is_none_or(|n| object.namespace.is_empty() || object.namespace == n);
    let mut found: Vec<ObjectRef> = Vec::new();
    if plan.wanted.is_empty() {
        found = readiness::judge::everything(&view);
        found.retain(here);
    }
    // A named object that the files do not have is expected in the namespace of the others.
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
                match BARE.iter().find_map(of) {
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
