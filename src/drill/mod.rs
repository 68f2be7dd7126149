//! The decisions of `drill`: what a fault changes, what proves it, how it is undone, and how the outcome is judged. Nothing here reads or
//! writes a cluster.

pub(crate) mod budget;
pub(crate) mod change;
pub(crate) mod choose;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod created;
pub(crate) mod fault;
pub(crate) mod inside;
pub(crate) mod journal;
pub(crate) mod judge;
pub(crate) mod label;
pub(crate) mod lanes;
pub(crate) mod logs;
pub(crate) mod meter;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod plan;
pub(crate) mod proof;
pub(crate) mod scripts;
pub(crate) mod suite;
