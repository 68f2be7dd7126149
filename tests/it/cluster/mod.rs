//! Tests on a real cluster. `tests/run` starts one and names it in `PODLIFE_TEST_KUBECONFIG`.

mod harness;
mod scenarios;
