//! Tests that need no cluster.

mod architecture;
mod between;
mod completion;
mod connection;
mod diagnose;
mod dials;
mod docs;
mod ends;
mod examples;
mod explain;
mod krew;
mod readme;
mod wait_ready;
