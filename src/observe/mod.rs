//! Reads, watches, dials and probes: everything that verbs learn about a cluster, or from files.

pub(crate) mod application;
pub(crate) mod changes;
mod debug_container;
pub(crate) mod diagnose;
pub(crate) mod dials;
pub(crate) mod drill;
pub(crate) mod ends;
pub(crate) mod expected;
pub mod files;
pub(crate) mod headers;
pub(crate) mod named;
pub(crate) mod neighbourhood;
pub(crate) mod patience;
pub(crate) mod plan;
pub(crate) mod prober;
pub(crate) mod reads;
pub(crate) mod rereads;
pub(crate) mod session;
mod sockets;
pub(crate) mod store;
pub(crate) mod targets;
pub(crate) mod trace;
mod unread;
pub(crate) mod wait;
pub(crate) mod why;
