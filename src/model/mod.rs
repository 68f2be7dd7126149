//! Plain data: what was read from a cluster, and what podlife says about it. Nothing here opens a file or a connection.

pub(crate) mod age;
pub(crate) mod bind;
pub(crate) mod cause;
pub(crate) mod certificate;
pub mod code;
pub(crate) mod dial;
pub(crate) mod directive;
pub mod drill;
pub mod drill_suite;
pub(crate) mod duration;
pub(crate) mod environment;
pub mod explanation;
pub(crate) mod finding;
pub mod kind;
pub(crate) mod near;
pub mod plan;
mod prune;
pub mod readiness;
pub(crate) mod redaction;
pub mod report;
pub(crate) mod security;
pub(crate) mod selector;
pub mod session;
pub mod snapshot;
pub(crate) mod sockets;
pub mod trace;
