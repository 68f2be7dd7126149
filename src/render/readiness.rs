//! A verdict of `wait-ready` for people: what stands in each phase, why something will not become ready, and in the last line the verdict.

use super::paper::{Paper, Tone, width};
use crate::model::finding::{Confidence, Finding};
use crate::model::readiness::{ObjectReadiness, Phase, Readiness, State, Trend};

/// Pods that are named one by one.
const BLOCKING_SHOWN: usize = 3;
/// Objects of a phase that are named although they are ready.
const READY_SHOWN: usize = 8;
const EVIDENCE_SHOWN: usize = 3;
const CAUSES_SHOWN: usize = 3;

/// Writes a report.
pub fn text(report: &Readiness, paper: &mut Paper) {
    for phase in Phase::ALL {
        objects(report, phase, paper);
    }
    for cause in report.root_causes.iter().take(CAUSES_SHOWN) {
        paper.gap();
        root_cause(cause, paper);
    }
    for unread in report.unchecked.iter().take(CAUSES_SHOWN) {
        paper.labelled(0, "unread", 6, Tone::Doubtful, &format!("{}: {}", unread.what, unread.why));
    }
    paper.gap();
    let word = report.state.as_str().to_uppercase();
    let lead = format!("{}  ", paper.tone(tone(report.state), &word));
    paper.line(&lead, width(&word) + 2, &verdict(report));
}

/// The verdict in one line, without its first word.
pub fn verdict(report: &Readiness) -> String {
    let what = match report.targets.as_slice() {
        [one] => one.clone(),
        many => format!("{} objects", many.len()),
    };
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
    if report.reason.is_empty() {
        format!("{what}{took}{trend}")
    } else {
        format!("{what}{took}{trend}: {}", report.reason)
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

fn objects(report: &Readiness, phase: Phase, paper: &mut Paper) {
    let mut of_phase: Vec<&ObjectReadiness> = report.objects.iter().filter(|o| o.phase == phase).collect();
    let Some(whole) = report.phases.iter().find(|p| p.phase == phase) else {
        return;
    };
    let name = phase.as_str();
    let lead = format!(
        "{} {}",
        paper.tone(tone(whole.state), sign(whole.state)),
        paper.tone(Tone::Strong, name)
    );
    // What its objects say is said below.
    let words = if of_phase.is_empty() { whole.reason.as_str() } else { "" };
    let spaced = if words.is_empty() { String::new() } else { format!("   {words}") };
    paper.line(&lead, width(name) + 2, &spaced);
    of_phase.sort_by_key(|o| o.state);
    let column = of_phase.iter().map(|o| width(&o.object.short())).max().unwrap_or_default().min(40);
    let hidden = of_phase
        .iter()
        .filter(|o| o.state == State::Ready)
        .count()
        .saturating_sub(READY_SHOWN);
    for item in of_phase.iter().take(of_phase.len() - hidden) {
        let lead = format!("  {} ", paper.tone(tone(item.state), sign(item.state)));
        let short = item.object.short();
        let pad = " ".repeat(column.saturating_sub(width(&short)));
        let reason = if item.reason.is_empty() {
            item.state.as_str()
        } else {
            &item.reason
        };
        paper.line(&format!("{lead}{short}{pad}  "), width(&short).max(column) + 6, reason);
        for blocking in item.blocking.iter().take(BLOCKING_SHOWN) {
            let lead = format!("      {}  ", paper.tone(Tone::Faint, &format!("pod/{}", blocking.pod)));
            paper.line(&lead, width(&blocking.pod) + 12, &blocking.reason);
        }
        if item.blocking.len() > BLOCKING_SHOWN {
            paper.line("      ", 6, &format!("and {} more pods", item.blocking.len() - BLOCKING_SHOWN));
        }
    }
    if hidden > 0 {
        paper.line("    ", 4, &format!("and {hidden} more that are ready"));
    }
}

fn root_cause(finding: &Finding, paper: &mut Paper) {
    let doubt = match finding.confidence {
        Confidence::Proven => "",
        Confidence::Likely => " (likely)",
        Confidence::Possible => " (possible)",
    };
    paper.labelled(0, finding.code.as_str(), 0, Tone::Bad, &format!("{}{doubt}", finding.summary));
    let shown: Vec<_> = finding.evidence.iter().take(EVIDENCE_SHOWN).collect();
    let column = shown.iter().map(|e| width(&e.source)).max().unwrap_or_default().min(46);
    for evidence in shown {
        paper.labelled(2, &evidence.source, column, Tone::Faint, &evidence.detail);
    }
    if let Some(fix) = finding.fixes.first() {
        paper.labelled(2, "fix", 3, Tone::Good, &fix.text);
        if let Some(command) = &fix.command {
            paper.command(2, "run", 3, Tone::Good, command);
        }
    }
}
