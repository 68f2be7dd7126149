//! Integration tests, one binary: `offline` needs nothing, `cluster` a Kubernetes cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking too")]

mod cluster;
mod fake_api;
mod offline;
mod process;
