//! Whether objects are ready: pure functions of a snapshot and its clock.
//!
//! Each file judges one kind of object. Nothing here reads from a cluster, and nothing knows why something is broken: that is what
//! [`crate::rules`] are for, which [`failfast`] asks.

pub(crate) mod check;
pub(crate) mod choose;
mod claim;
mod custom;
pub(crate) mod derive;
mod external;
pub(crate) mod failfast;
pub(crate) mod fault;
pub(crate) mod flaps;
mod gateway;
pub(crate) mod goal;
pub(crate) mod hops;
mod host;
pub(crate) mod judge;
mod judgement;
mod lasting;
pub(crate) mod prober;
pub(crate) mod progress;
mod related;
pub(crate) mod route;
pub(crate) mod service;
pub(crate) mod settle;
pub(crate) mod steady;
pub(crate) mod streak;
#[cfg(test)]
mod tests;
pub(crate) mod unasked;
pub(crate) mod untried;
pub(crate) mod verdict;
pub(crate) mod wait;
mod workload;

pub use goal::Goal;
pub use judge::judge;
