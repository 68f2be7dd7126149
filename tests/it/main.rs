//! Integration tests, one binary: `offline` needs nothing, `cluster` a Kubernetes cluster.

mod cluster;
