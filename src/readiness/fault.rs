//! Why a check of the application proves nothing.

use std::collections::BTreeSet;

use crate::view::FailingPod;

/// Why a round of checks proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something does not answer as it should.
    Failing(String),
    /// These pods do not answer as they should.
    OfPods(String, BTreeSet<FailingPod>),
    /// It cannot be checked now.
    Impossible(String),
    /// It can never be checked in the way that was asked for.
    Never(String),
    /// Nothing was asked: the prober is not ready yet, or the connection to the API server was cut.
    Pending(String),
}

impl Fault {
    /// The same fault with its text rewritten.
    #[must_use]
    pub fn map(self, rewrite: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Failing(why) => Self::Failing(rewrite(&why)),
            Self::OfPods(why, pods) => Self::OfPods(rewrite(&why), pods),
            Self::Impossible(why) => Self::Impossible(rewrite(&why)),
            Self::Never(why) => Self::Never(rewrite(&why)),
            Self::Pending(why) => Self::Pending(rewrite(&why)),
        }
    }
}
