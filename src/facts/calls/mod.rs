//! Failed calls to other applications: who calls, what is called and how it fails, told by logs, messages and the spec.

pub(crate) mod callers;
pub(crate) mod failure;
pub(crate) mod names;
pub(crate) mod places;
pub(crate) mod repeated;
pub(crate) mod search;
pub(crate) mod stopped;
pub(crate) mod trouble;
