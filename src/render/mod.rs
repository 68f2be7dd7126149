//! Every output format of every report: text for people, and documents for programs.

pub mod connection;
pub mod diagnosis;
pub mod document;
pub mod explanation;
pub mod paper;
pub mod ports;
pub mod readiness;
pub mod readiness_junit;
mod unchecked;
