//! A diagnosis for people: the verdict, then each root cause with its evidence and the next command; healthy things in one line.

use std::collections::BTreeSet;

use crate::model::code::Code;
use crate::model::finding::{Finding, ObjectRef};
use crate::model::kind;
use crate::model::report::{Diagnosis, Judged, LeftOut, NEVER_APPLIED, PortRow, Verdict};
use crate::model::snapshot::Unchecked;
use crate::render::finding::{Links, Names, heading, root_cause, root_causes, tone_of};
use crate::render::ports;
use crate::render::text_writer::{TextWriter, Tone, width};
use crate::render::unchecked::by_reason;
use crate::text::{command, few};

/// How much is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// Advice too.
    pub advice: bool,
    /// Symptoms in full, and every workload.
    pub wide: bool,
}

const LEFT_OUT_SHOWN: usize = 4;

/// Writes a diagnosis.
pub fn text(diagnosis: &Diagnosis, detail: Detail, writer: &mut TextWriter) {
    let names = Names::of(diagnosis.workloads.iter().map(|j| &j.object));
    let links = Links::of(
        &diagnosis.root_causes,
        &diagnosis.symptoms,
        &diagnosis.workloads,
        &diagnosis.targets,
    );
    header(diagnosis, writer);
    root_causes(&diagnosis.root_causes, Verdict::Degraded, &links, &names, detail.wide, writer);
    unexplained(diagnosis, &links, &names, writer);
    port_tables(diagnosis, detail, writer);
    under_way(diagnosis, &links, &names, detail.wide, writer);
    let (notes, hidden): (Vec<&Finding>, Vec<&Finding>) = diagnosis
        .advice
        .iter()
        .partition(|f| detail.advice || is_note_of_target(diagnosis, f));
    if !notes.is_empty() {
        writer.gap();
        for finding in notes {
            advice(finding, &names, writer);
        }
    }
    writer.gap();
    healthy(diagnosis, &names, detail, writer);
    never_applied(diagnosis, &names, writer);
    if !hidden.is_empty() && !diagnosis.root_causes.is_empty() {
        let count = hidden.len();
        let lead = writer.tone(Tone::Faint, "i ");
        writer.line(
            &lead,
            2,
            &format!(
                "{count} {} hidden, show with --advice",
                if count == 1 { "suggestion" } else { "suggestions" }
            ),
        );
    }
    left_out(&diagnosis.left_out, &names, writer);
    unchecked(&diagnosis.unchecked, writer);
}

/// Whether a suggestion tells the state of an object that the user asked for: that it rests, is held or cannot grow.
fn is_note_of_target(diagnosis: &Diagnosis, finding: &Finding) -> bool {
    let tells_state = matches!(
        finding.code,
        Code::ScaledToZero
            | Code::JobSuspended
            | Code::CronJobSuspended
            | Code::RolloutPaused
            | Code::UpdateOnDelete
            | Code::AutoscalerUnableToScale
            | Code::ClaimPending
            | Code::PodStuckTerminating
            | Code::PodEvicted
    );
    let is_target = |object: &ObjectRef| diagnosis.targets.contains(&object.to_string());
    tells_state && (is_target(&finding.subject.object) || finding.related.iter().any(|related| is_target(&related.object)))
}

/// The ports of what was named, or of everything with `wide`.
fn port_tables(diagnosis: &Diagnosis, detail: Detail, writer: &mut TextWriter) {
    let one = match diagnosis.targets.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let rows: Vec<PortRow> = diagnosis
        .ports
        .iter()
        .filter(|row| detail.wide || one.is_some_and(|one| is_named(row, one)))
        .cloned()
        .collect();
    ports::tables(&rows, writer);
}

/// Whether a row belongs to the workload, pod or Service that the user named.
fn is_named(row: &PortRow, target: &str) -> bool {
    let service = target.strip_prefix(&format!("service/{}/", row.workload.namespace));
    row.workload.to_string() == target
        || format!("pod/{}/{}", row.workload.namespace, row.pod) == target
        || service.is_some_and(|name| {
            row.targeted_by
                .iter()
                .any(|by| by.rsplit_once(':').map(|(by, _)| by) == Some(&format!("service/{name}")))
        })
}

fn header(diagnosis: &Diagnosis, writer: &mut TextWriter) {
    let word = diagnosis.verdict.as_str().to_uppercase();
    // Custom resources that run pods are workloads, too; a pod that has nothing but a fault of its own belongs to one.
    let is_part = |j: &Judged| j.object.is(&kind::POD) && j.state.is_empty();
    let is_workload = |j: &&Judged| j.wanted_pods.is_some() || (kind::RUN_PODS.iter().any(|kind| j.object.is(kind)) && !is_part(j));
    let workloads = diagnosis.workloads.iter().filter(is_workload).count();
    let of = diagnosis.workloads.len();
    let objects = if of == 1 { "object" } else { "objects" };
    // `2 broken, 1 degraded of 5 objects`; where all are alike, the word in front has said it.
    let share: Vec<String> = [Verdict::Broken, Verdict::Degraded, Verdict::Inconclusive, Verdict::Progressing]
        .into_iter()
        .filter_map(|verdict| {
            let count = diagnosis.workloads.iter().filter(|j| j.verdict == verdict).count();
            (count > 0 && count < of).then(|| format!("{count} {}", verdict.as_str()))
        })
        .collect();
    let share = match share.join(", ") {
        _ if of == 0 => String::new(),
        none if none.is_empty() => format!("{of} {objects}"),
        some => format!("{some} of {of} {objects}"),
    };
    let services = diagnosis.workloads.iter().filter(|j| j.object.is(&kind::SERVICE)).count();
    let mut facts = Vec::new();
    match diagnosis.targets.as_slice() {
        [] => facts.push("all namespaces".to_owned()),
        [one] => facts.push(match one.split('/').collect::<Vec<_>>().as_slice() {
            [kind, namespace, name] => format!("{kind}/{name} in namespace {namespace}"),
            ["namespace", name] => format!("namespace {name}"),
            _ => one.clone(),
        }),
        many => facts.push(format!("{} targets", many.len())),
    }
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    // Of a ConfigMap or a node nothing runs that could be counted.
    if workloads > 0 || of == 0 {
        facts.push(count(workloads, "workload"));
    }
    if workloads > 0 || of == 0 || diagnosis.pod_count > 0 {
        facts.push(count(diagnosis.pod_count, "pod"));
    }
    if services > 0 {
        facts.push(count(services, "Service"));
    }
    if diagnosis.elapsed_seconds > 0.0 {
        facts.push(format!("{:.1} s", diagnosis.elapsed_seconds));
    }
    let lead = format!("{}  ", writer.tone(tone_of(diagnosis.verdict), &word));
    let facts = facts.join(" · ");
    let words = if share.is_empty() { facts } else { format!("{share}   {facts}") };
    writer.line(&lead, width(&word) + 2, &words);
}

/// What is not right, and no root cause says why.
fn unexplained(diagnosis: &Diagnosis, links: &Links<'_>, names: &Names, writer: &mut TextWriter) {
    let shown: BTreeSet<&str> = diagnosis.root_causes.iter().map(|f| f.id.as_str()).collect();
    let alone = diagnosis.workloads.iter().filter(|j| {
        j.verdict <= Verdict::Inconclusive && j.state != NEVER_APPLIED && !j.causes.iter().any(|id| shown.contains(id.as_str()))
    });
    for judged in alone {
        writer.gap();
        heading(Some(judged), judged.verdict, &judged.object, names, writer);
        let symptoms = links.symptoms_of(&judged.object);
        for symptom in symptoms {
            root_cause(symptom, links, names, false, writer);
        }
        let is_hidden = |l: &&LeftOut| l.object == judged.object || judged.causes.contains(&l.id);
        let hidden: Vec<String> = diagnosis.left_out.iter().filter(is_hidden).map(|l| of_left_out(l, names)).collect();
        if !hidden.is_empty() {
            writer.line("  ", 2, &format!("left out: {}", hidden.join(", ")));
        } else if symptoms.is_empty() {
            let ObjectRef { kind, namespace, name, .. } = &judged.object;
            let kind = kind.to_lowercase();
            let describe = if namespace.is_empty() {
                command("kubectl describe {} {}", &[&kind, name])
            } else {
                command("kubectl describe {} {} -n {}", &[&kind, name, namespace])
            };
            writer.line("  ", 2, "no cause found");
            writer.command(2, "look", 6, Tone::Good, &describe.to_string());
        }
    }
}

/// What is still on its way, each object with what holds it now.
fn under_way(diagnosis: &Diagnosis, links: &Links<'_>, names: &Names, wide: bool, writer: &mut TextWriter) {
    let moving: Vec<&Judged> = diagnosis.workloads.iter().filter(|j| j.verdict == Verdict::Progressing).collect();
    let objects: BTreeSet<&ObjectRef> = moving.iter().map(|j| &j.object).collect();
    let of_others: Vec<&Finding> = diagnosis.pending.iter().filter(|f| !objects.contains(&f.subject.object)).collect();
    if moving.is_empty() && of_others.is_empty() {
        return;
    }
    writer.gap();
    for judged in moving {
        let words: Vec<&str> = [judged.state.as_str(), "still in progress"]
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect();
        let name = names.of_object(&judged.object);
        let lead = format!("{} {name}", writer.tone(Tone::Moving, "…"));
        writer.line(&lead, width(&name) + 2, &format!("   {}", words.join(", ")));
        let (own, others): (Vec<&Finding>, Vec<&Finding>) = diagnosis
            .pending
            .iter()
            .filter(|f| judged.pending.contains(&f.id))
            .partition(|f| f.subject.object == judged.object);
        for finding in others {
            let cause = format!("{} ({})", names.of_object(&finding.subject.object), finding.code);
            writer.labelled(2, "waits for", 0, Tone::Moving, &cause);
        }
        for finding in own {
            root_cause(finding, links, names, wide, writer);
            writer.gap();
        }
    }
    for finding in of_others {
        heading(None, Verdict::Progressing, &finding.subject.object, names, writer);
        root_cause(finding, links, names, wide, writer);
    }
}

fn advice(finding: &Finding, names: &Names, writer: &mut TextWriter) {
    let object = names.of_object(&finding.subject.object);
    let lead = format!("{} {object}  {}  ", writer.tone(Tone::Faint, "i"), finding.code);
    let seen = width(&object) + width(finding.code.as_str()) + 6;
    let lead_width = if writer.columns.is_some_and(|columns| seen > columns / 2) {
        4
    } else {
        seen
    };
    writer.line(&lead, lead_width, &finding.summary);
    for fix in &finding.fixes {
        writer.labelled(4, "", 0, Tone::Plain, &fix.text);
        if let Some(command) = &fix.command {
            writer.command(4, "", 0, Tone::Plain, command);
        }
    }
}

fn healthy(diagnosis: &Diagnosis, names: &Names, detail: Detail, writer: &mut TextWriter) {
    let well: Vec<&Judged> = diagnosis.workloads.iter().filter(|j| j.verdict == Verdict::Healthy).collect();
    if well.is_empty() {
        return;
    }
    if detail.wide {
        for judged in &well {
            let name = names.of_object(&judged.object);
            let lead = format!("{} {name}", writer.tone(Tone::Good, "✓"));
            let state = if judged.state.is_empty() {
                String::new()
            } else {
                format!("   {}", judged.state)
            };
            writer.line(&lead, width(&name) + 2, &state);
        }
        return;
    }
    let lead = format!("{} ", writer.tone(Tone::Good, "✓"));
    writer.line(&lead, 2, &format!("{} healthy: {}", well.len(), listed(&well, names)));
}

/// Manifests of which nothing but their text is known.
fn never_applied(diagnosis: &Diagnosis, names: &Names, writer: &mut TextWriter) {
    let plans: Vec<&Judged> = diagnosis
        .workloads
        .iter()
        .filter(|j| j.verdict == Verdict::Inconclusive && j.state == NEVER_APPLIED)
        .collect();
    if plans.is_empty() {
        return;
    }
    let lead = format!("{} ", writer.tone(Tone::Doubtful, "?"));
    let words = format!(
        "{} never applied: {} (they have no status that shows whether they work; no error was found in them)",
        plans.len(),
        listed(&plans, names)
    );
    writer.line(&lead, 2, &words);
}

/// Names of a list that are written out.
const LISTED: usize = 8;

/// The first names of a list.
fn listed(all: &[&Judged], names: &Names) -> String {
    let list: Vec<String> = all.iter().map(|j| names.of_object(&j.object)).collect();
    few(&list, LISTED)
}

/// Findings that flags hide: silence must not look like health.
fn left_out(left_out: &[LeftOut], names: &Names, writer: &mut TextWriter) {
    for flag in ["--container", "--ignore"] {
        let hidden: Vec<String> = left_out.iter().filter(|l| l.by == flag).map(|l| of_left_out(l, names)).collect();
        if hidden.is_empty() {
            continue;
        }
        let more = match hidden.len() {
            many if many > LEFT_OUT_SHOWN => format!(" and {} more", many - LEFT_OUT_SHOWN),
            _ => String::new(),
        };
        let some = hidden[..hidden.len().min(LEFT_OUT_SHOWN)].join(", ");
        let lead = writer.tone(Tone::Faint, "i ");
        writer.line(&lead, 2, &format!("left out by {flag}: {some}{more}"));
    }
}

fn of_left_out(left_out: &LeftOut, names: &Names) -> String {
    let container = left_out
        .container
        .as_ref()
        .map(|c| format!("container {c} of "))
        .unwrap_or_default();
    format!("{} ({container}{})", left_out.code, names.of_object(&left_out.object))
}

fn unchecked(unchecked: &[Unchecked], writer: &mut TextWriter) {
    for (what, why) in by_reason(unchecked, "diagnose") {
        let lead = format!("{} ", writer.tone(Tone::Doubtful, "?"));
        writer.line(&lead, 2, &format!("not checked: {what} ({why})"));
    }
}

/// `kind/name` of everything that is not healthy, the worst first.
pub fn names(diagnosis: &Diagnosis) -> String {
    diagnosis
        .workloads
        .iter()
        .filter(|j| j.verdict < Verdict::Progressing)
        .map(|j| j.object.with_group() + "\n")
        .collect()
}
