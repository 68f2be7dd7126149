//! Tests on a real cluster. `tests/run` starts one and names it in `PODLIFE_TEST_KUBECONFIG`.

mod connections;
mod contract;
mod dials;
mod documentation;
mod drill;
mod drill_suite;
mod examples;
mod harness;
mod objects;
mod own;
mod policies;
mod requests;
mod rights;
mod scenarios;
mod serve;
mod session;
mod traps;
mod wait_ready;
