//! Tests that need no cluster.

mod completion;
mod connection;
mod docs;
mod explain;
mod krew;
mod readme;
