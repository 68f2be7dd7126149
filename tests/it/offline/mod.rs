//! Tests that need no cluster.

mod completion;
mod connection;
