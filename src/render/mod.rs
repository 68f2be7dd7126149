//! Every output format of every report: text for people, and documents for programs.

pub(crate) mod changes;
pub(crate) mod diagnosis;
pub(crate) mod document;
pub(crate) mod drill;
pub(crate) mod drill_html;
pub(crate) mod drill_junit;
mod drill_lanes;
pub(crate) mod drill_suite;
mod drill_timeline;
pub mod explanation;
mod finding;
mod jsonpath;
mod junit;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod readiness;
pub(crate) mod readiness_junit;
pub(crate) mod session;
pub(crate) mod text_writer;
pub(crate) mod trace;
mod unchecked;
pub(crate) mod xml;
