//! From judged objects to one verdict.

use std::time::Duration;

use super::doom::{Grace, Suspect};
use super::progress::Lack;
use crate::model::finding::Finding;
use crate::model::readiness::{ObjectReadiness, Phase, PhaseReadiness, State};
use crate::model::text::shorten;
use jiff::Timestamp;

/// Marks what will not become ready as failed, and returns the causes that are final, most important first.
/// `seen_for` says how long this run has seen a cause; none stands for a single look.
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

/// Each phase as a whole. `application` is the third one's own word, where there is one.
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

/// Puts a selection that nothing matches into its phase, unless that stands as bad already.
pub fn note_lack(phases: &mut Vec<PhaseReadiness>, lack: Lack) {
    match phases.iter_mut().find(|p| p.phase == lack.phase) {
        Some(phase) if phase.state <= lack.state => {}
        Some(phase) => {
            phase.state = lack.state;
            phase.reason = lack.reason;
        }
        None => {
            let place = phases.iter().position(|p| p.phase > lack.phase).unwrap_or(phases.len());
            let phase = PhaseReadiness {
                phase: lack.phase,
                state: lack.state,
                reason: lack.reason,
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

/// One line: the first root cause where it has failed, else what is in the way.
pub fn reason(state: State, phases: &[PhaseReadiness], causes: &[Finding]) -> String {
    if let (State::Failed, Some(cause)) = (state, causes.first()) {
        return format!("{}: {}", cause.code, cause.summary);
    }
    // Where all is ready, the last phase says what that rests on.
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
