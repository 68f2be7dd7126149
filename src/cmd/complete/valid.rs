//! Values that a verb takes for a flag.

use clap::error::ErrorKind;
use clap::{Arg, Command};

/// Formats and network paths that some verb takes.
pub(super) const OUTPUTS: &[&str] = &["text", "wide", "json", "yaml", "ndjson", "name", "jsonpath="];
pub(super) const PATHS: &[&str] = &[
    "auto",
    "load-balancer",
    "ingress",
    "node-port",
    "in-cluster",
    "service-proxy",
    "port-forward",
];

/// Those of the values that the verb takes for a flag.
pub(super) fn of(root: &Command, verb: &Command, flag: &Arg, values: &[&str]) -> Vec<String> {
    let option = format!("--{}", flag.get_long().unwrap_or_default());
    let is_refused = |value: &&str| {
        let tried = root.clone().try_get_matches_from(["podlife", verb.get_name(), &option, value]);
        tried.is_err_and(|error| matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation))
    };
    values
        .iter()
        .filter(|value| !is_refused(value))
        .map(|value| (*value).to_owned())
        .collect()
}
