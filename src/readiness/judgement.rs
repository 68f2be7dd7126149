//! What the judges return.

use crate::model::readiness::{BlockingPod, Phase, State};
use crate::text::sanitise;

/// The state of an object in one phase, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// In which phase it counts.
    pub phase: Phase,
    /// How ready it is.
    pub state: State,
    /// Why, in a few words that are safe to show.
    pub reason: String,
    /// Pods that are ready, and pods that are wanted.
    pub pods: Option<(usize, usize)>,
    /// Pods that are in the way.
    pub blocking: Vec<BlockingPod>,
    /// Whether it rests until somebody lets it go on.
    pub suspended: bool,
    /// Whether it has failed by the clock alone.
    pub overdue: bool,
}

impl Judgement {
    /// A judgement without pods.
    pub fn new(phase: Phase, state: State, reason: impl AsRef<str>) -> Self {
        Self {
            phase,
            state,
            reason: sanitise(reason.as_ref()),
            pods: None,
            blocking: Vec::new(),
            suspended: false,
            overdue: false,
        }
    }

    pub(crate) fn ready(phase: Phase, reason: impl AsRef<str>) -> Self {
        Self::new(phase, State::Ready, reason)
    }

    pub(crate) fn progressing(phase: Phase, reason: impl AsRef<str>) -> Self {
        Self::new(phase, State::Progressing, reason)
    }

    pub(crate) fn failed(phase: Phase, reason: impl AsRef<str>) -> Self {
        Self::new(phase, State::Failed, reason)
    }

    /// It will not go on by itself; somebody else may let it.
    pub(crate) fn suspended(phase: Phase, reason: impl AsRef<str>) -> Self {
        Self {
            suspended: true,
            ..Self::failed(phase, reason)
        }
    }

    /// It was not done in time; what kept it may be mended by now.
    pub(crate) fn overdue(phase: Phase, reason: impl AsRef<str>) -> Self {
        Self {
            overdue: true,
            ..Self::failed(phase, reason)
        }
    }

    pub(crate) fn unknown(phase: Phase, reason: impl AsRef<str>) -> Self {
        Self::new(phase, State::Unknown, reason)
    }

    #[must_use]
    pub(crate) fn blocking(mut self, pods: Vec<BlockingPod>) -> Self {
        self.blocking = pods;
        self
    }
}
