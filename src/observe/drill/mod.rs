//! Makes a drill on a cluster: journal, faults, meter, and the way back.

pub(crate) mod canary;
pub(crate) mod data;
pub(crate) mod file;
pub(crate) mod inside;
pub(crate) mod journal;
mod logs;
pub(crate) mod meter;
pub(crate) mod prepare;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod settle;
