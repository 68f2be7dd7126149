//! What can be wrong with pods: one file per area, each rule a pure function of the snapshot.

pub(crate) mod admission;
pub(crate) mod autoscale;
pub(crate) mod config;
pub(crate) mod container;
pub(crate) mod dependency;
pub(crate) mod image;
pub(crate) mod ingress;
pub(crate) mod init;
pub(crate) mod listen;
pub(crate) mod network_policy;
pub(crate) mod node;
pub(crate) mod probes;
pub(crate) mod scheduling;
pub(crate) mod service;
pub(crate) mod volume;
pub(crate) mod workload;

use crate::view::{Out, View};

/// A rule looks at everything in the view and adds what it finds, and what it lacks to find more.
pub type Rule = fn(&View<'_>, &mut Out);

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
