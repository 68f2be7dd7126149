//! Integration tests, one binary: `offline` needs nothing, `cluster` a Kubernetes cluster.

mod cluster;
mod fake_api;
mod offline;
