//! What can be wrong with pods: one file per area, each rule a pure function of the snapshot that returns findings and notes what else it needs to see.

pub mod about;
pub mod admission;
pub mod assess;
pub mod autoscale;
pub mod causes;
pub mod codes;
pub mod config;
pub mod container;
pub mod context;
pub mod custom;
pub mod dependency;
pub mod image;
pub mod ingress;
pub mod init;
pub mod labelled;
pub mod listen;
pub mod network_policy;
pub mod node;
pub mod ports;
pub mod probes;
pub mod revision;
pub mod scheduling;
pub mod scope;
pub mod service;
#[cfg(test)]
pub mod testing;
pub mod verdict;
pub mod volume;
pub mod workload;

pub use context::{Context, Need, Options};

use crate::model::finding::Finding;

/// A rule looks at everything in the context and says what it finds.
pub type Rule = fn(&Context<'_>) -> Vec<Finding>;

/// Every rule, in no particular order: causes are ranked afterwards.
pub const RULES: &[Rule] = &[
    admission::check,
    autoscale::check,
    config::check,
    container::check,
    dependency::check,
    image::check,
    ingress::check,
    init::check,
    listen::check,
    network_policy::check,
    node::check,
    probes::check,
    scheduling::check,
    service::check,
    volume::check,
    workload::check,
];
