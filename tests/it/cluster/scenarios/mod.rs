//! Broken and healthy workloads, each in a namespace of its own: what is applied is real, and so is the answer.

mod admission;
mod autoscale;
mod basics;
mod node;
mod probes;
mod scheduling;
mod workload;
