//! Findings for people: the object, then each root cause with its evidence, its consequences and its fixes.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::finding::{Confidence, Evidence, Finding, ObjectRef, Settles};
use crate::model::report::{Judged, Verdict};
use crate::model::{age, kind};
use crate::render::text_writer::{TextWriter, Tone, width};

const EVIDENCE_SHOWN: usize = 4;
/// Sources of evidence that are longer than this push their detail aside.
const EVIDENCE_COLUMN: usize = 46;
const CONSEQUENCES_SHOWN: usize = 4;

/// Writes the root causes, grouped by object. `verdict`: of an object that has none of its own.
pub(super) fn root_causes(findings: &[Finding], verdict: Verdict, links: &Links<'_>, names: &Names, wide: bool, writer: &mut TextWriter) {
    for finding in findings {
        let object = &finding.subject.object;
        let of_object = links.root_causes(object);
        // The first finding of an object writes the heading and the others.
        if of_object.first().is_some_and(|first| first.id == finding.id) {
            writer.gap();
            let judged = links.judged.get(object).copied();
            heading(judged, judged.map_or(verdict, |j| j.verdict), object, names, writer);
            for same in of_object {
                root_cause(same, links, names, wide, writer);
            }
        }
    }
}

/// Indexes over the findings and objects of a report, which may have thousands of each.
pub(super) struct Links<'a> {
    judged: BTreeMap<&'a ObjectRef, &'a Judged>,
    root_causes: BTreeMap<&'a ObjectRef, Vec<&'a Finding>>,
    symptoms: BTreeMap<&'a str, &'a Finding>,
    symptoms_of: BTreeMap<&'a ObjectRef, Vec<&'a Finding>>,
    suffering: BTreeMap<&'a str, Vec<&'a Judged>>,
    targets: &'a [String],
}

impl<'a> Links<'a> {
    pub(super) fn of(root_causes: &'a [Finding], symptoms: &'a [Finding], workloads: &'a [Judged], targets: &'a [String]) -> Self {
        let by_object = |findings: &'a [Finding]| {
            let mut by_object: BTreeMap<&ObjectRef, Vec<&Finding>> = BTreeMap::new();
            for finding in findings {
                by_object.entry(&finding.subject.object).or_default().push(finding);
            }
            by_object
        };
        let mut suffering: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
        for judged in workloads {
            for cause in &judged.causes {
                suffering.entry(cause).or_default().push(judged);
            }
        }
        Self {
            judged: workloads.iter().map(|j| (&j.object, j)).collect(),
            root_causes: by_object(root_causes),
            symptoms: symptoms.iter().map(|s| (s.id.as_str(), s)).collect(),
            symptoms_of: by_object(symptoms),
            suffering,
            targets,
        }
    }

    /// The symptoms of an object.
    pub(super) fn symptoms_of(&self, object: &ObjectRef) -> &[&'a Finding] {
        self.symptoms_of.get(object).map_or(&[], Vec::as_slice)
    }

    fn root_causes(&self, object: &ObjectRef) -> &[&'a Finding] {
        self.root_causes.get(object).map_or(&[], Vec::as_slice)
    }

    /// The objects that suffer from a root cause.
    fn suffering(&self, id: &str) -> impl Iterator<Item = &'a Judged> {
        self.suffering.get(id).into_iter().flatten().copied()
    }
}

/// How objects are named: with their namespace if the report shows more than one.
pub(super) struct Names {
    with_namespace: bool,
}

impl Names {
    pub(super) fn of<'a>(objects: impl Iterator<Item = &'a ObjectRef>) -> Self {
        let mut namespaces = objects.map(|o| &o.namespace).filter(|n| !n.is_empty());
        let first = namespaces.next();
        Self {
            with_namespace: namespaces.any(|n| Some(n) != first),
        }
    }

    pub(super) fn of_object(&self, object: &ObjectRef) -> String {
        if self.with_namespace && !object.namespace.is_empty() {
            format!("{}/{} (in {})", object.kind.to_lowercase(), object.name, object.namespace)
        } else {
            object.short()
        }
    }
}

pub(super) fn tone_of(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Broken => Tone::Bad,
        Verdict::Degraded | Verdict::Inconclusive => Tone::Doubtful,
        Verdict::Progressing => Tone::Moving,
        Verdict::Healthy => Tone::Good,
    }
}

pub(super) fn sign_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Broken => "✗",
        Verdict::Degraded => "!",
        Verdict::Inconclusive => "?",
        Verdict::Progressing => "…",
        Verdict::Healthy => "✓",
    }
}

pub(super) fn heading(judged: Option<&Judged>, verdict: Verdict, object: &ObjectRef, names: &Names, writer: &mut TextWriter) {
    let name = names.of_object(object);
    let lead = format!(
        "{} {}",
        writer.tone(tone_of(verdict), sign_of(verdict)),
        writer.tone(Tone::Strong, &name)
    );
    let state = judged.map(|j| j.state.as_str()).filter(|s| !s.is_empty());
    let words = state.map(|s| format!("   {s}")).unwrap_or_default();
    writer.line(&lead, width(&name) + 2, &words);
}

pub(super) fn root_cause(finding: &Finding, links: &Links<'_>, names: &Names, wide: bool, writer: &mut TextWriter) {
    let code = finding.code.as_str();
    let doubt = match finding.confidence {
        Confidence::Proven => "",
        Confidence::Likely => " (likely)",
        Confidence::Possible => " (possible)",
    };
    let settles = match finding.settles {
        Settles::Never => String::new(),
        Settles::Within(left) => format!(" (may settle within {})", age::short(left)),
        Settles::Sometime => " (may still settle)".to_owned(),
    };
    let tone = if finding.settles.is_pending() { Tone::Moving } else { Tone::Bad };
    writer.labelled(2, code, 0, tone, &format!("{}{doubt}{settles}", finding.summary));
    let shown = if wide { usize::MAX } else { EVIDENCE_SHOWN };
    // The summary has named the container already.
    let container = finding.subject.container.as_ref().map(|name| format!(" container {name}"));
    let source = |e: &Evidence| {
        container
            .as_ref()
            .map_or_else(|| e.source.clone(), |known| e.source.replace(known.as_str(), ""))
    };
    let sources: Vec<String> = finding.evidence.iter().take(shown).map(source).collect();
    // A long source stands alone on a narrow terminal, and the others keep their column.
    let widest = writer.columns.map_or(EVIDENCE_COLUMN, |columns| EVIDENCE_COLUMN.min(columns / 3));
    let fitting = sources.iter().map(|s| width(s)).filter(|width| *width <= widest);
    let column = fitting.max().unwrap_or_default();
    for (evidence, source) in finding.evidence.iter().zip(&sources) {
        writer.labelled(4, source, column, Tone::Faint, &evidence.detail);
    }
    if let Some(count) = finding.subject.pod_count.filter(|count| *count > 1) {
        let names = finding.subject.pods.join(", ");
        let more = if count > finding.subject.pods.len() { ", …" } else { "" };
        writer.labelled(4, &format!("{count} pods"), column, Tone::Faint, &format!("{names}{more}"));
    }
    consequences(finding, links, names, wide, writer);
    for (at, fix) in finding.fixes.iter().enumerate() {
        if !fix.text.is_empty() {
            let words = fix.text.strip_prefix("or ").filter(|_| at > 0).unwrap_or(&fix.text);
            writer.labelled(2, if at == 0 { "fix" } else { "or" }, 6, Tone::Good, words);
        }
        if let Some(command) = &fix.command {
            writer.command(2, "run", 6, Tone::Good, command);
        }
    }
}

/// The consequences of a root cause, nearest first, without those for its own object.
fn consequences(finding: &Finding, links: &Links<'_>, names: &Names, wide: bool, writer: &mut TextWriter) {
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
    if !wide {
        // One line for each object: the first of its symptoms is the nearest to the cause.
        let mut objects = BTreeSet::from([&finding.subject.object]);
        order.retain(|s| objects.insert(&s.subject.object));
    }
    let line = |object: &ObjectRef, words: &str| {
        let is_target = links.targets.contains(&object.to_string());
        (is_target, format!("{}: {words}", names.of_object(object)))
    };
    let mut lines: Vec<(bool, String)> = order.iter().map(|s| line(&s.subject.object, &s.summary)).collect();
    // Objects that suffer and have no symptom of their own.
    let told: BTreeSet<&ObjectRef> = order.iter().map(|s| &s.subject.object).chain([&finding.subject.object]).collect();
    let state = |j: &'_ Judged| match j.verdict {
        Verdict::Broken if j.state.is_empty() && j.object.is(&kind::SERVICE) => "reaches no pod".to_owned(),
        _ => j.state.clone(),
    };
    let silent = links.suffering(&finding.id).filter(|j| !told.contains(&j.object));
    lines.extend(
        silent
            .map(|j| (j, state(j)))
            .filter(|(_, s)| !s.is_empty())
            .map(|(j, s)| line(&j.object, &s)),
    );
    let shown = if wide { usize::MAX } else { CONSEQUENCES_SHOWN };
    // Targets are always shown.
    let targets = lines.iter().filter(|(is_target, _)| *is_target).count();
    let mut room = shown.saturating_sub(targets);
    let all = lines.len();
    lines.retain(|(is_target, _)| {
        let fits = room > 0;
        room = room.saturating_sub(usize::from(!is_target));
        *is_target || fits
    });
    for (at, (_, line)) in lines.iter().enumerate() {
        writer.labelled(2, if at == 0 { "breaks" } else { "" }, 6, Tone::Doubtful, line);
    }
    if all > lines.len() {
        writer.labelled(2, "", 6, Tone::Doubtful, &format!("and {} more", all - lines.len()));
    }
}
