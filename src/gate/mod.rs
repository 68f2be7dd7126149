//! Whether objects are ready: pure functions of a snapshot and its clock.
//!
//! Each file judges one kind of object. Nothing here reads from a cluster, and nothing knows why something is broken: that is what
//! [`crate::rules`] are for, which [`doom`] asks.

mod batch;
pub mod check;
mod claim;
mod custom;
mod daemon_set;
mod deployment;
pub mod doom;
mod external;
pub mod flaps;
mod gateway;
pub mod hops;
pub mod judge;
mod judgement;
pub mod pod;
pub mod prober;
pub mod progress;
mod related;
mod revision;
pub mod route;
mod service;
pub mod settle;
mod stateful_set;
pub mod steady;
pub mod streak;
#[cfg(test)]
mod tests;
pub mod unasked;
pub mod untried;
pub mod verdict;

pub use batch::was_cleaned_up;
pub use judge::{Plan, judge};
pub use judgement::Judgement;
