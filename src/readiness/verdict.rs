//! From judged objects to one verdict.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::finding::Finding;
use crate::model::readiness::{ObjectReadiness, Phase, PhaseReadiness, State};
use crate::readiness::failfast::{Grace, Suspect};
use crate::text::shorten;

/// A selection that nothing matches, though it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoMatch {
    /// The phase of the missing objects.
    pub phase: Phase,
    /// Not found, or unknown where that could not be read.
    pub state: State,
    /// What there is instead, and what to try.
    pub reason: String,
}

/// Marks what will not become ready as failed, and returns the causes that are final, most important first.
/// `seen_for` says for how long this run has seen a cause; none in a single look.
pub fn condemn(
    judged: &mut [ObjectReadiness],
    suspects: &[Suspect],
    grace: &Grace,
    now: Timestamp,
    seen_for: impl Fn(&Finding) -> Option<Duration>,
) -> Vec<Finding> {
    let mut causes = Vec::new();
    for suspect in suspects {
        let is_final = match seen_for(&suspect.finding) {
            Some(seen_for) => suspect.is_final(grace, now, seen_for),
            None => suspect.is_final_at_once(grace, now),
        };
        if !is_final {
            continue;
        }
        for item in judged
            .iter_mut()
            .filter(|j| j.state == State::Progressing && suspect.of.contains(&j.object))
        {
            item.state = State::Failed;
        }
        causes.push(suspect.finding.clone());
    }
    causes
}

/// The state of each phase. `application` is that of the third one, where there is one.
pub fn phases(judged: &[ObjectReadiness], application: Option<(State, String)>) -> Vec<PhaseReadiness> {
    let mut phases: Vec<PhaseReadiness> = [Phase::Infrastructure, Phase::Pods]
        .into_iter()
        .filter_map(|phase| {
            let of_phase = || judged.iter().filter(|j| j.phase == phase);
            let worst = of_phase().min_by_key(|j| (j.state, j.related))?;
            Some(PhaseReadiness {
                phase,
                state: worst.state,
                reason: match worst.state {
                    State::Ready => String::new(),
                    _ => about(worst),
                },
                ready_after_seconds: None,
            })
        })
        .collect();
    phases.extend(application.map(|(state, reason)| PhaseReadiness {
        phase: Phase::Application,
        state,
        reason,
        ready_after_seconds: None,
    }));
    phases
}

/// Adds a selection that nothing matches to its phase, unless the phase is in a worse state already.
pub fn note_no_match(phases: &mut Vec<PhaseReadiness>, no_match: NoMatch) {
    match phases.iter_mut().find(|p| p.phase == no_match.phase) {
        Some(phase) if phase.state <= no_match.state => {}
        Some(phase) => {
            phase.state = no_match.state;
            phase.reason = no_match.reason;
        }
        None => {
            let place = phases.iter().position(|p| p.phase > no_match.phase).unwrap_or(phases.len());
            let phase = PhaseReadiness {
                phase: no_match.phase,
                state: no_match.state,
                reason: no_match.reason,
                ready_after_seconds: None,
            };
            phases.insert(place, phase);
        }
    }
}

/// The verdict on all phases.
pub fn state(phases: &[PhaseReadiness]) -> State {
    phases.iter().map(|p| p.state).min().unwrap_or(State::Unknown)
}

/// One line: the first root cause of a failure, else what is not ready.
pub fn reason(state: State, phases: &[PhaseReadiness], causes: &[Finding]) -> String {
    if let (State::Failed, Some(cause)) = (state, causes.first()) {
        return format!("{}: {}", cause.code, cause.summary);
    }
    // Where all is ready, the last phase says how that is proven.
    let mut of_state = phases.iter().filter(|p| p.state == state);
    let telling = if state == State::Ready {
        of_state.next_back()
    } else {
        of_state.next()
    };
    telling.map(|p| p.reason.clone()).unwrap_or_default()
}

/// `deployment/web: 1 of 3 pods ready, pod web-7c9f8-x: container web: does not pass its readiness probe`
pub fn about(item: &ObjectReadiness) -> String {
    let name = item.object.short();
    let pod = item.blocking.first().filter(|b| !item.reason.contains(&b.pod));
    match pod {
        Some(blocking) => shorten(&format!("{name}: {}, pod {}: {}", item.reason, blocking.pod, blocking.reason), 300),
        None => shorten(&format!("{name}: {}", item.reason), 300),
    }
}
