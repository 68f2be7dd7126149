//! Tests that need no cluster.

mod architecture;
mod commands;
mod completion;
mod connection;
mod diagnose;
mod dials;
pub mod docs;
mod drill;
mod ends;
mod examples;
mod explain;
mod krew;
mod monitoring;
pub mod readme;
mod secured;
mod serve;
mod session;
mod trace;
mod wait_ready;
