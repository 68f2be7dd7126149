//! A diagnosis for people: the verdict, then each root cause with its evidence and the next command; healthy things in one line.

use std::collections::{BTreeMap, BTreeSet};

use super::connection;
use super::paper::{Paper, Tone, width};
use super::ports;
use super::unchecked::by_reason;
use crate::model::finding::{Confidence, Evidence, Finding, ObjectRef};
use crate::model::kind;
use crate::model::report::{Diagnosis, Judged, LeftOut, NEVER_APPLIED, PortRow, Verdict};
use crate::model::snapshot::Unchecked;
use crate::model::text::few;

/// How much is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// Advice too.
    pub advice: bool,
    /// Symptoms in full, and every workload.
    pub wide: bool,
}

const EVIDENCE_SHOWN: usize = 4;
/// Sources of evidence that are longer than this push their detail aside.
const EVIDENCE_COLUMN: usize = 46;
const CONSEQUENCES_SHOWN: usize = 4;
const LEFT_OUT_SHOWN: usize = 4;

/// Writes a diagnosis.
pub fn text(diagnosis: &Diagnosis, detail: Detail, paper: &mut Paper) {
    let names = Names::of(diagnosis);
    match &diagnosis.connection {
        Some(asked) => connection::header(asked, diagnosis, paper),
        None => header(diagnosis, paper),
    }
    let links = Links::of(diagnosis);
    for finding in &diagnosis.root_causes {
        let object = &finding.subject.object;
        let of_object = links.root_causes(object);
        // The first one speaks for the object.
        if of_object.first().is_some_and(|first| first.id == finding.id) {
            paper.gap();
            let judged = links.judged.get(object).copied();
            let verdict = judged.map_or(Verdict::Degraded, |j| j.verdict);
            heading(judged, verdict, object, &names, paper);
            for same in of_object {
                root_cause(same, &links, &names, detail, paper);
            }
        }
    }
    unexplained(diagnosis, &links, &names, paper);
    port_tables(diagnosis, detail, paper);
    if let Some(asked) = &diagnosis.connection {
        connection::hops(asked, paper);
    }
    under_way(diagnosis, &names, paper);
    if detail.advice && !diagnosis.advice.is_empty() {
        paper.gap();
        for finding in &diagnosis.advice {
            advice(finding, &names, paper);
        }
    }
    paper.gap();
    healthy(diagnosis, &names, detail, paper);
    never_applied(diagnosis, &names, paper);
    if !detail.advice && !diagnosis.advice.is_empty() && !diagnosis.root_causes.is_empty() {
        let count = diagnosis.advice.len();
        let lead = paper.tone(Tone::Faint, "i ");
        paper.line(
            &lead,
            2,
            &format!("{count} {} with --advice", if count == 1 { "remark" } else { "remarks" }),
        );
    }
    left_out(&diagnosis.left_out, &names, paper);
    unchecked(&diagnosis.unchecked, paper);
}

/// The ports of what was named, or of everything with `wide`.
fn port_tables(diagnosis: &Diagnosis, detail: Detail, paper: &mut Paper) {
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
    ports::tables(&rows, paper);
}

/// Whether a row is of the workload or the pod that the user named, or of what stands behind the Service.
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

/// What belongs together in a diagnosis, looked up once: there may be thousands of each.
struct Links<'a> {
    judged: BTreeMap<&'a ObjectRef, &'a Judged>,
    root_causes: BTreeMap<&'a ObjectRef, Vec<&'a Finding>>,
    symptoms: BTreeMap<&'a str, &'a Finding>,
    symptoms_of: BTreeMap<&'a ObjectRef, Vec<&'a Finding>>,
    suffering: BTreeMap<&'a str, Vec<&'a Judged>>,
    targets: &'a [String],
}

impl<'a> Links<'a> {
    fn of(diagnosis: &'a Diagnosis) -> Self {
        let by_object = |findings: &'a [Finding]| {
            let mut by_object: BTreeMap<&ObjectRef, Vec<&Finding>> = BTreeMap::new();
            for finding in findings {
                by_object.entry(&finding.subject.object).or_default().push(finding);
            }
            by_object
        };
        let mut suffering: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        for judged in &diagnosis.workloads {
            for cause in &judged.causes {
                suffering.entry(cause).or_default().push(judged);
            }
        }
        Self {
            judged: diagnosis.workloads.iter().map(|j| (&j.object, j)).collect(),
            root_causes: by_object(&diagnosis.root_causes),
            symptoms: diagnosis.symptoms.iter().map(|s| (s.id.as_str(), s)).collect(),
            symptoms_of: by_object(&diagnosis.symptoms),
            suffering,
            targets: &diagnosis.targets,
        }
    }

    fn root_causes(&self, object: &ObjectRef) -> &[&'a Finding] {
        self.root_causes.get(object).map_or(&[], Vec::as_slice)
    }

    /// What suffers from a root cause.
    fn suffering(&self, id: &str) -> impl Iterator<Item = &'a Judged> {
        self.suffering.get(id).into_iter().flatten().copied()
    }
}

/// How objects are named: with their namespace where several are shown.
struct Names {
    with_namespace: bool,
}

impl Names {
    fn of(diagnosis: &Diagnosis) -> Self {
        let mut namespaces = diagnosis.workloads.iter().map(|j| &j.object.namespace).filter(|n| !n.is_empty());
        let first = namespaces.next();
        Self {
            with_namespace: namespaces.any(|n| Some(n) != first),
        }
    }

    fn of_object(&self, object: &ObjectRef) -> String {
        if self.with_namespace && !object.namespace.is_empty() {
            format!("{}/{} (in {})", object.kind.to_lowercase(), object.name, object.namespace)
        } else {
            object.short()
        }
    }
}

fn tone_of(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Broken => Tone::Bad,
        Verdict::Degraded | Verdict::Inconclusive => Tone::Doubtful,
        Verdict::Progressing => Tone::Moving,
        Verdict::Healthy => Tone::Good,
    }
}

fn sign_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Broken => "✗",
        Verdict::Degraded => "!",
        Verdict::Inconclusive => "?",
        Verdict::Progressing => "…",
        Verdict::Healthy => "✓",
    }
}

fn header(diagnosis: &Diagnosis, paper: &mut Paper) {
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
    let lead = format!("{}  ", paper.tone(tone_of(diagnosis.verdict), &word));
    let facts = facts.join(" · ");
    let words = if share.is_empty() { facts } else { format!("{share}   {facts}") };
    paper.line(&lead, width(&word) + 2, &words);
}

fn heading(judged: Option<&Judged>, verdict: Verdict, object: &ObjectRef, names: &Names, paper: &mut Paper) {
    let name = names.of_object(object);
    let lead = format!(
        "{} {}",
        paper.tone(tone_of(verdict), sign_of(verdict)),
        paper.tone(Tone::Strong, &name)
    );
    let state = judged.map(|j| j.state.as_str()).filter(|s| !s.is_empty());
    let words = state.map(|s| format!("   {s}")).unwrap_or_default();
    paper.line(&lead, width(&name) + 2, &words);
}

fn root_cause(finding: &Finding, links: &Links<'_>, names: &Names, detail: Detail, paper: &mut Paper) {
    let code = finding.code.as_str();
    let doubt = match finding.confidence {
        Confidence::Proven => "",
        Confidence::Likely => " (likely)",
        Confidence::Possible => " (possible)",
    };
    paper.labelled(2, code, 0, Tone::Bad, &format!("{}{doubt}", finding.summary));
    let shown = if detail.wide { usize::MAX } else { EVIDENCE_SHOWN };
    // The summary has named the container already.
    let container = finding.subject.container.as_ref().map(|name| format!(" container {name}"));
    let source = |e: &Evidence| {
        container
            .as_ref()
            .map_or_else(|| e.source.clone(), |known| e.source.replace(known.as_str(), ""))
    };
    let sources: Vec<String> = finding.evidence.iter().take(shown).map(source).collect();
    // A long source stands alone on a narrow terminal, and the others keep their column.
    let widest = paper.columns.map_or(EVIDENCE_COLUMN, |columns| EVIDENCE_COLUMN.min(columns / 3));
    let fitting = sources.iter().map(|s| width(s)).filter(|width| *width <= widest);
    let column = fitting.max().unwrap_or_default();
    for (evidence, source) in finding.evidence.iter().zip(&sources) {
        paper.labelled(4, source, column, Tone::Faint, &evidence.detail);
    }
    if let Some(count) = finding.subject.pod_count.filter(|count| *count > 1) {
        let names = finding.subject.pods.join(", ");
        let more = if count > finding.subject.pods.len() { ", …" } else { "" };
        paper.labelled(4, &format!("{count} pods"), column, Tone::Faint, &format!("{names}{more}"));
    }
    consequences(finding, links, names, detail, paper);
    for (at, fix) in finding.fixes.iter().enumerate() {
        if !fix.text.is_empty() {
            let words = fix.text.strip_prefix("or ").filter(|_| at > 0).unwrap_or(&fix.text);
            paper.labelled(2, if at == 0 { "fix" } else { "or" }, 6, Tone::Good, words);
        }
        if let Some(command) = &fix.command {
            paper.command(2, "run", 6, Tone::Good, command);
        }
    }
}

/// What a root cause brings about, nearest first; what its own controller reports is no news.
fn consequences(finding: &Finding, links: &Links<'_>, names: &Names, detail: Detail, paper: &mut Paper) {
    let mut order: Vec<&Finding> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = finding.breaks.iter().map(String::as_str).collect();
    while !open.is_empty() {
        let mut next = Vec::new();
        for id in open {
            let Some(symptom) = links.symptoms.get(id) else {
                continue;
            };
            if seen.insert(&symptom.id) {
                order.push(symptom);
                next.extend(symptom.breaks.iter().map(String::as_str));
            }
        }
        open = next;
    }
    if !detail.wide {
        // One line for each object: the first of its symptoms is the nearest to the cause.
        let mut objects = BTreeSet::from([&finding.subject.object]);
        order.retain(|s| objects.insert(&s.subject.object));
    }
    let line = |object: &ObjectRef, words: &str| {
        let is_target = links.targets.contains(&object.to_string());
        (is_target, format!("{}: {words}", names.of_object(object)))
    };
    let mut lines: Vec<(bool, String)> = order.iter().map(|s| line(&s.subject.object, &s.summary)).collect();
    // What suffers without a symptom of its own to tell.
    let told: BTreeSet<&ObjectRef> = order.iter().map(|s| &s.subject.object).chain([&finding.subject.object]).collect();
    let state = |j: &'_ Judged| match j.verdict {
        Verdict::Broken if j.state.is_empty() && j.object.is(&kind::SERVICE) => "reaches nobody".to_owned(),
        _ => j.state.clone(),
    };
    let silent = links.suffering(&finding.id).filter(|j| !told.contains(&j.object));
    lines.extend(
        silent
            .map(|j| (j, state(j)))
            .filter(|(_, s)| !s.is_empty())
            .map(|(j, s)| line(&j.object, &s)),
    );
    let shown = if detail.wide { usize::MAX } else { CONSEQUENCES_SHOWN };
    // What was asked about is never among those that are left out.
    let targets = lines.iter().filter(|(is_target, _)| *is_target).count();
    let mut room = shown.saturating_sub(targets);
    let all = lines.len();
    lines.retain(|(is_target, _)| {
        let fits = room > 0;
        room = room.saturating_sub(usize::from(!is_target));
        *is_target || fits
    });
    for (at, (_, line)) in lines.iter().enumerate() {
        paper.labelled(2, if at == 0 { "breaks" } else { "" }, 6, Tone::Doubtful, line);
    }
    if all > lines.len() {
        paper.labelled(2, "", 6, Tone::Doubtful, &format!("and {} more", all - lines.len()));
    }
}

/// What is not right, and no root cause says why.
fn unexplained(diagnosis: &Diagnosis, links: &Links<'_>, names: &Names, paper: &mut Paper) {
    let shown: BTreeSet<&str> = diagnosis.root_causes.iter().map(|f| f.id.as_str()).collect();
    let alone = diagnosis.workloads.iter().filter(|j| {
        j.verdict <= Verdict::Inconclusive && j.state != NEVER_APPLIED && !j.causes.iter().any(|id| shown.contains(id.as_str()))
    });
    for judged in alone {
        paper.gap();
        heading(Some(judged), judged.verdict, &judged.object, names, paper);
        let symptoms = links.symptoms_of.get(&judged.object).map_or(&[][..], Vec::as_slice);
        for symptom in symptoms {
            root_cause(symptom, links, names, Detail::default(), paper);
        }
        let is_hidden = |l: &&LeftOut| l.object == judged.object || judged.causes.contains(&l.id);
        let hidden: Vec<String> = diagnosis.left_out.iter().filter(is_hidden).map(|l| of_left_out(l, names)).collect();
        if !hidden.is_empty() {
            paper.line("  ", 2, &format!("left out: {}", hidden.join(", ")));
        } else if symptoms.is_empty() {
            let command = if judged.object.namespace.is_empty() {
                format!("kubectl describe {} {}", judged.object.kind.to_lowercase(), judged.object.name)
            } else {
                format!(
                    "kubectl describe {} {} -n {}",
                    judged.object.kind.to_lowercase(),
                    judged.object.name,
                    judged.object.namespace
                )
            };
            paper.line("  ", 2, "nothing that was read says why");
            paper.labelled(2, "look", 6, Tone::Good, &command);
        }
    }
}

fn under_way(diagnosis: &Diagnosis, names: &Names, paper: &mut Paper) {
    let moving: Vec<&Judged> = diagnosis.workloads.iter().filter(|j| j.verdict == Verdict::Progressing).collect();
    if moving.is_empty() {
        return;
    }
    paper.gap();
    for judged in moving {
        let state = if judged.state.is_empty() {
            String::new()
        } else {
            format!("   {}", judged.state)
        };
        let name = names.of_object(&judged.object);
        let lead = format!("{} {name}", paper.tone(Tone::Moving, "…"));
        paper.line(&lead, width(&name) + 2, &format!("{state}, still under way"));
    }
}

fn advice(finding: &Finding, names: &Names, paper: &mut Paper) {
    let object = names.of_object(&finding.subject.object);
    let lead = format!("{} {object}  {}  ", paper.tone(Tone::Faint, "i"), finding.code);
    let seen = width(&object) + width(finding.code.as_str()) + 6;
    let lead_width = if paper.columns.is_some_and(|columns| seen > columns / 2) {
        4
    } else {
        seen
    };
    paper.line(&lead, lead_width, &finding.summary);
    for fix in &finding.fixes {
        paper.labelled(4, "", 0, Tone::Plain, &fix.text);
        if let Some(command) = &fix.command {
            paper.labelled(4, "", 0, Tone::Plain, command);
        }
    }
}

fn healthy(diagnosis: &Diagnosis, names: &Names, detail: Detail, paper: &mut Paper) {
    let well: Vec<&Judged> = diagnosis.workloads.iter().filter(|j| j.verdict == Verdict::Healthy).collect();
    if well.is_empty() {
        return;
    }
    if detail.wide {
        for judged in &well {
            let name = names.of_object(&judged.object);
            let lead = format!("{} {name}", paper.tone(Tone::Good, "✓"));
            let state = if judged.state.is_empty() {
                String::new()
            } else {
                format!("   {}", judged.state)
            };
            paper.line(&lead, width(&name) + 2, &state);
        }
        return;
    }
    let lead = format!("{} ", paper.tone(Tone::Good, "✓"));
    paper.line(&lead, 2, &format!("{} healthy: {}", well.len(), listed(&well, names)));
}

/// Manifests of which nothing but their text is known.
fn never_applied(diagnosis: &Diagnosis, names: &Names, paper: &mut Paper) {
    let plans: Vec<&Judged> = diagnosis
        .workloads
        .iter()
        .filter(|j| j.verdict == Verdict::Inconclusive && j.state == NEVER_APPLIED)
        .collect();
    if plans.is_empty() {
        return;
    }
    let lead = format!("{} ", paper.tone(Tone::Doubtful, "?"));
    let words = format!(
        "{} never applied: {} (without status nothing shows whether they work; nothing wrong was seen in what they say)",
        plans.len(),
        listed(&plans, names)
    );
    paper.line(&lead, 2, &words);
}

/// Names of a list that are written out.
const LISTED: usize = 8;

/// The first names of a list.
fn listed(all: &[&Judged], names: &Names) -> String {
    let list: Vec<String> = all.iter().map(|j| names.of_object(&j.object)).collect();
    few(&list, LISTED)
}

/// What the flags hide, so that nobody takes silence for health.
fn left_out(left_out: &[LeftOut], names: &Names, paper: &mut Paper) {
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
        let lead = paper.tone(Tone::Faint, "i ");
        paper.line(&lead, 2, &format!("left out by {flag}: {some}{more}"));
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

fn unchecked(unchecked: &[Unchecked], paper: &mut Paper) {
    for (what, why) in by_reason(unchecked, "diagnose") {
        let lead = format!("{} ", paper.tone(Tone::Doubtful, "?"));
        paper.line(&lead, 2, &format!("not checked: {what} ({why})"));
    }
}

/// `kind/name` of everything that is not healthy, the worst first.
pub fn names(diagnosis: &Diagnosis) -> String {
    diagnosis
        .workloads
        .iter()
        .filter(|j| j.verdict < Verdict::Progressing)
        .map(|j| {
            let group = j
                .object
                .api_version
                .split_once('/')
                .map(|(group, _)| format!(".{group}"))
                .unwrap_or_default();
            format!("{}{group}/{}\n", j.object.kind.to_lowercase(), j.object.name)
        })
        .collect()
}
