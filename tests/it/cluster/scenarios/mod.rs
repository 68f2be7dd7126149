//! Broken and healthy workloads, each in a namespace of its own: what is applied is real, and so is the answer.

mod admission;
mod autoscale;
mod basics;
mod config;
mod container;
mod dependency;
mod image;
mod ingress;
mod init;
mod later;
mod listener;
mod network_policy;
mod node;
pub mod probes;
mod rare;
mod reference;
mod scheduling;
mod service;
mod starting;
mod volume;
mod waiting;
mod workload;
