//! Which process listens on which address and port, and how that is known: command, environment, configuration, log, sockets and dials.

pub(crate) mod bind;
pub(crate) mod command;
pub(crate) mod config_lines;
pub(crate) mod dials;
pub(crate) mod environment;
pub(crate) mod fault;
pub(crate) mod hints;
pub(crate) mod log_lines;
pub(crate) mod look;
pub(crate) mod mesh;
pub(crate) mod pods;
pub(crate) mod servers;
pub(crate) mod told;
pub(crate) mod uses;
pub(crate) mod variables;
