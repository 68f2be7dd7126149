//! Where a container listens: what it is told, what it says, and what is measured.

pub mod bind;
pub mod command;
pub mod config_lines;
pub mod environment;
pub mod fixes;
pub mod hints;
pub mod log_lines;
pub mod servers;
pub mod shell;
pub mod told;
pub mod variables;
