//! The text report of `wait-ready`: the objects of each phase, why something will not become ready, and the verdict in the last line.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::code::Code;
use crate::model::duration;
use crate::model::finding::{Confidence, Finding, Fix, ObjectRef};
use crate::model::readiness::{Hops, ObjectReadiness, Phase, Readiness, ReadinessEvent, State, Trend};
use crate::render::text_writer::{TextWriter, Tone, width};
use crate::render::unchecked::by_reason;
use crate::text::shorten;

/// Pods that are named one by one.
const BLOCKING_SHOWN: usize = 3;
/// Objects of a phase that are named although they are ready.
const READY_SHOWN: usize = 8;
/// Targets that the verdict names one by one.
const TARGETS_SHOWN: usize = 3;
/// Longer names are not aligned.
const WIDEST_COLUMN: usize = 40;
const EVIDENCE_SHOWN: usize = 3;
const CAUSES_SHOWN: usize = 3;

/// Writes a report.
pub fn text(report: &Readiness, writer: &mut TextWriter) {
    for phase in Phase::ALL {
        objects(report, phase, writer);
    }
    for cause in report.root_causes.iter().take(CAUSES_SHOWN) {
        writer.gap();
        root_cause(cause, writer);
    }
    for (what, why) in by_reason(&report.unchecked, "wait-ready").iter().take(CAUSES_SHOWN) {
        writer.labelled(0, "unread", 6, Tone::Doubtful, &format!("{what}: {why}"));
    }
    if let Some(hops) = report.hops.as_ref().filter(|hops| !hops.hops.is_empty()) {
        writer.gap();
        writer.labelled(0, "time", 4, Tone::Faint, &hop_times(hops));
    }
    writer.gap();
    if let Some(undo) = report.root_causes.iter().flat_map(|cause| &cause.fixes).find_map(undo) {
        writer.command(0, "undo", 4, Tone::Good, undo);
    }
    let word = word(report);
    let lead = format!("{}  ", writer.tone(tone(report.state), &word));
    writer.line(&lead, width(&word) + 2, &verdict(report));
}

/// The command of a fix that rolls back.
fn undo(fix: &Fix) -> Option<&str> {
    fix.command
        .as_deref()
        .filter(|command| command.starts_with("kubectl rollout undo "))
}

/// `pod/web-7c9f8-x: scheduled 0s, pulled 2s, started 1s, ready 4s, endpoint 0.1s, first answer 0.3s`
fn hop_times(hops: &Hops) -> String {
    let took = |seconds: f64| {
        if seconds >= 10.0 || seconds.fract() == 0.0 {
            duration::short(Duration::from_secs_f64(seconds.floor()))
        } else {
            format!("{seconds:.1}s")
        }
    };
    let each: Vec<String> = hops
        .hops
        .iter()
        .map(|hop| format!("{} {}", hop.hop.as_str(), took(hop.took_seconds)))
        .collect();
    format!("pod/{}: {}", hops.pod, each.join(", "))
}

/// The first word of the verdict.
fn word(report: &Readiness) -> String {
    match report.exit_code {
        129 | 130 | 141 | 143 => "INTERRUPTED".to_owned(),
        124 if report.trend.is_some() => "TIMED OUT".to_owned(),
        _ => report.state.as_str().to_uppercase(),
    }
}

/// The state of a run that goes on: each phase, and what is found to keep it.
pub fn tree(report: &Readiness, writer: &mut TextWriter) {
    for phase in Phase::ALL {
        objects(report, phase, writer);
    }
    if let Some(cause) = report.root_causes.first() {
        writer.labelled(0, cause.code.as_str(), 0, Tone::Doubtful, &cause.summary);
    }
}

/// How a run ends if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It fails at this time, because a root cause with this code is final then.
    Fails(Timestamp, Code),
    /// Its time is up.
    GivesUp(Timestamp),
}

impl Ends {
    /// Whether another end is the same: times move by seconds from one run of the rules to the next.
    pub fn is_same(self, other: Self) -> bool {
        let near = |a: Timestamp, b: Timestamp| a.duration_since(b).abs() <= SignedDuration::from_secs(5);
        match (self, other) {
            (Self::Fails(a, code), Self::Fails(b, of)) => code == of && near(a, b),
            (Self::GivesUp(a), Self::GivesUp(b)) => near(a, b),
            _ => false,
        }
    }

    /// `fails at 12:04:10: ListenerOnLoopback`, `gives up at 12:05:00`
    fn in_words(self) -> String {
        match self {
            Self::Fails(at, code) => format!("fails at {}: {code}", at.strftime("%H:%M:%S")),
            Self::GivesUp(at) => format!("gives up at {}", at.strftime("%H:%M:%S")),
        }
    }
}

/// A line for logs that says how a run ends if nothing changes.
pub fn ends(report: &Readiness, ends: Ends, clock: &str) -> String {
    let clock = clock.get(11..19).unwrap_or_default();
    format!("{clock} +{:.1}s  {}", report.elapsed_seconds, ends.in_words())
}

/// What a run that goes on waits for, for how long it has, and how it ends if nothing changes.
pub fn waits(report: &Readiness, timeout: Duration, ends: Ends, writer: &mut TextWriter) {
    let waited = duration::short(Duration::from_secs(report.elapsed_seconds as u64));
    let lead = writer.tone(Tone::Faint, "waiting ");
    let words = format!("{waited} of {}: {}", duration::short(timeout), report.reason);
    // The tree above says it whole.
    let room = writer.columns.map_or(usize::MAX, |columns| (2 * columns.saturating_sub(8)).max(40));
    writer.line(&lead, 8, &shorten(&words, room));
    writer.line("", 0, &ends.in_words());
}

/// `12:00:07 +7.3s  pods  deployment/web  progressing  1 of 3 pods ready`
pub fn change(event: &ReadinessEvent, report: &Readiness) -> String {
    let clock = event.at.get(11..19).unwrap_or_default();
    let object = event.object.as_ref().map(|o| format!("  {}", name(report, o))).unwrap_or_default();
    let reason = if event.reason.is_empty() {
        String::new()
    } else {
        format!("  {}", event.reason)
    };
    format!(
        "{clock} +{:.1}s  {}{object}  {}{reason}",
        event.elapsed_seconds,
        event.phase.as_str(),
        event.state.as_str()
    )
}

/// A line for logs when nothing has changed for a while.
pub fn heartbeat(report: &Readiness, ends: Ends, clock: &str) -> String {
    let cause = report.root_causes.first().filter(|f| !report.reason.contains(f.code.as_str()));
    let cause = cause.map(|f| format!("; {}: {}", f.code, f.summary)).unwrap_or_default();
    format!(
        "{} +{:.1}s  still waiting, {}; {}{cause}",
        clock.get(11..19).unwrap_or_default(),
        report.elapsed_seconds,
        ends.in_words(),
        report.reason
    )
}

/// `deployment/web`; with its namespace where the report speaks of several.
fn name(report: &Readiness, object: &ObjectRef) -> String {
    let namespaces = report.objects.iter().map(|o| o.object.namespace.as_str()).filter(|n| !n.is_empty());
    if namespaces.collect::<BTreeSet<_>>().len() > 1 {
        object.to_string()
    } else {
        object.short()
    }
}

/// One line for readers who only see standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Annotations {
    /// Workflow commands of GitHub Actions.
    Github,
    /// A line as the GitLab runner writes its own, red unless colour is unwanted.
    Gitlab {
        /// Whether it is red.
        colour: bool,
    },
    /// A line for any other log.
    Plain,
}

/// A root cause for those who search or group by it: `SecretMissing (env) deployment/web: container app needs ...`
pub fn in_one_line(cause: &Finding) -> String {
    let variant = if cause.cause.as_str().is_empty() {
        String::new()
    } else {
        format!(" ({})", cause.cause)
    };
    format!("{}{variant} {}: {}", cause.code, cause.subject.object.short(), cause.summary)
}

/// The verdict as annotations, one per line; none for what is ready.
pub fn annotations(report: &Readiness, style: Annotations) -> Vec<String> {
    if report.state == State::Ready {
        return Vec::new();
    }
    let title = format!("{} {}", word(report), what(report));
    let reason = match report.root_causes.first() {
        Some(cause) if report.reason.contains(cause.code.as_str()) => {
            report
                .reason
                .replacen(&format!("{}: {}", cause.code, cause.summary), &in_one_line(cause), 1)
        }
        Some(cause) => format!("{}; {}", report.reason, in_one_line(cause)),
        None => report.reason.clone(),
    };
    match style {
        Annotations::Github => {
            // Data and properties have escapes of their own (actions/toolkit `command.ts`).
            let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
            let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
            vec![format!("::error title={}::{}", property(&title), data(&reason))]
        }
        Annotations::Gitlab { colour: true } => vec![format!("\u{1b}[31;1mERROR: {title}: {reason}\u{1b}[0;m")],
        Annotations::Gitlab { colour: false } => vec![format!("ERROR: {title}: {reason}")],
        Annotations::Plain => vec![format!("{title}: {reason}")],
    }
}

/// The verdict in one line, without its first word.
pub fn verdict(report: &Readiness) -> String {
    let what = what(report);
    let trend = match report.trend {
        Some(Trend::Progressing) => " (it was still progressing)",
        Some(Trend::Stuck) => " (it was stuck)",
        None => "",
    };
    let took = if report.requests > 0 {
        format!(" after {:.1} s", report.elapsed_seconds)
    } else {
        String::new()
    };
    // What the only target is called is said already.
    let only = match report.targets.as_slice() {
        [only] => format!("{}: ", split(only).1),
        _ => String::new(),
    };
    let reason = report.reason.strip_prefix(&only).unwrap_or(&report.reason);
    if reason.is_empty() {
        format!("{what}{took}{trend}")
    } else {
        format!("{what}{took}{trend}: {reason}")
    }
}

/// What was waited for, with its namespace said once: `deployment/web -n shop`, `3 objects -n shop`.
fn what(report: &Readiness) -> String {
    let named: Vec<(Option<&str>, String)> = report.targets.iter().map(|target| split(target)).collect();
    let namespaces: BTreeSet<&str> = named.iter().filter_map(|(namespace, _)| *namespace).collect();
    let name = match named.as_slice() {
        few if few.len() <= TARGETS_SHOWN => few.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", "),
        many => format!("{} objects", many.len()),
    };
    match namespaces.into_iter().collect::<Vec<_>>().as_slice() {
        [namespace] => format!("{name} -n {namespace}"),
        _ => name,
    }
}

/// Namespace and `TYPE/NAME` of a target.
fn split(target: &str) -> (Option<&str>, String) {
    match target.split('/').collect::<Vec<_>>().as_slice() {
        [kind, namespace, name] => (Some(*namespace), format!("{kind}/{name}")),
        _ => (None, target.to_owned()),
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::Ready => Tone::Good,
        State::Progressing => Tone::Moving,
        State::Unknown | State::NotFound => Tone::Doubtful,
        State::Failed => Tone::Bad,
    }
}

fn sign(state: State) -> &'static str {
    match state {
        State::Ready => "✓",
        State::Progressing => "…",
        State::Unknown | State::NotFound => "?",
        State::Failed => "✗",
    }
}

fn objects(report: &Readiness, phase: Phase, writer: &mut TextWriter) {
    let mut of_phase: Vec<&ObjectReadiness> = report.objects.iter().filter(|o| o.phase == phase).collect();
    let Some(whole) = report.phases.iter().find(|p| p.phase == phase) else {
        return;
    };
    let title = phase.as_str();
    let lead = format!(
        "{} {}",
        writer.tone(tone(whole.state), sign(whole.state)),
        writer.tone(Tone::Strong, title)
    );
    // What its objects say is said below.
    let is_told = of_phase.iter().any(|o| o.state == whole.state);
    let words = if is_told { "" } else { whole.reason.as_str() };
    let spaced = if words.is_empty() { String::new() } else { format!("   {words}") };
    writer.line(&lead, width(title) + 2, &spaced);
    of_phase.sort_by_key(|o| o.state);
    let column = of_phase
        .iter()
        .map(|o| width(&name(report, &o.object)))
        .filter(|width| *width <= WIDEST_COLUMN)
        .max()
        .unwrap_or_default();
    let hidden = of_phase
        .iter()
        .filter(|o| o.state == State::Ready)
        .count()
        .saturating_sub(READY_SHOWN);
    for item in of_phase.iter().take(of_phase.len() - hidden) {
        let lead = format!("  {} ", writer.tone(tone(item.state), sign(item.state)));
        let short = name(report, &item.object);
        let pad = " ".repeat(column.saturating_sub(width(&short)));
        let reason = if item.reason.is_empty() {
            item.state.as_str()
        } else {
            &item.reason
        };
        writer.beside(4, &format!("{lead}{short}{pad}  "), width(&short).max(column) + 6, reason);
        for blocking in item.blocking.iter().take(BLOCKING_SHOWN) {
            let lead = format!("      {}  ", writer.tone(Tone::Faint, &format!("pod/{}", blocking.pod)));
            writer.beside(6, &lead, width(&blocking.pod) + 12, &blocking.reason);
        }
        if item.blocking.len() > BLOCKING_SHOWN {
            writer.line("      ", 6, &format!("and {} more pods", item.blocking.len() - BLOCKING_SHOWN));
        }
    }
    if hidden > 0 {
        writer.line("    ", 4, &format!("and {hidden} more that are ready"));
    }
}

fn root_cause(finding: &Finding, writer: &mut TextWriter) {
    let doubt = match finding.confidence {
        Confidence::Proven => "",
        Confidence::Likely => " (likely)",
        Confidence::Possible => " (possible)",
    };
    writer.labelled(0, finding.code.as_str(), 0, Tone::Bad, &format!("{}{doubt}", finding.summary));
    let shown: Vec<_> = finding.evidence.iter().take(EVIDENCE_SHOWN).collect();
    let column = shown.iter().map(|e| width(&e.source)).max().unwrap_or_default().min(46);
    for evidence in shown {
        writer.labelled(2, &evidence.source, column, Tone::Faint, &evidence.detail);
    }
    if let Some(fix) = finding.fixes.first() {
        writer.labelled(2, "fix", 3, Tone::Good, &fix.text);
        if let Some(command) = &fix.command {
            writer.command(2, "run", 3, Tone::Good, command);
        }
    }
}
