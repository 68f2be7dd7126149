//! Flags of `diagnose`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cmd::Colour;
use crate::model::code::Code;
use crate::model::{duration, selector};
use crate::render::document::Format;

/// Explain why pods, Services and the objects around them are broken.
///
/// Without a target, the whole namespace is checked. A target is explained together with its owners, the objects that it owns and the objects
/// that route traffic to it.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_long_help = crate::exit::HELP)]
pub struct DiagnoseArgs {
    /// Objects to explain: TYPE/NAME..., TYPE NAME..., TYPE or NAME
    #[arg(value_name = "TARGET")]
    pub(super) targets: Vec<String>,
    /// Check all namespaces
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
    /// Only pods with these labels, and their owners
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = selector::parse)]
    pub(super) selector: Option<LabelSelector>,
    /// Only pods that match, for example spec.nodeName=a, and their owners
    #[arg(long, value_name = "SELECTOR", conflicts_with = "local")]
    pub(super) field_selector: Option<String>,
    /// Files or folders that name the objects (- for standard input); with --local, the objects themselves
    #[arg(short = 'f', long, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    pub(super) filename: Vec<String>,
    /// Read subfolders of -f too
    #[arg(short = 'R', long)]
    pub(super) recursive: bool,
    /// Check the objects in the files of -f, without a server
    #[arg(long, requires = "filename")]
    pub(super) local: bool,
    /// When the objects in the files were read, such as 2026-01-31T09:30:00Z; without it their state stands as it was saved
    #[arg(long, value_name = "TIME", requires = "local")]
    pub(crate) now: Option<jiff::Timestamp>,
    /// Only findings about these containers, and about their pods as a whole
    #[arg(short = 'c', long, value_name = "NAME")]
    pub(super) container: Vec<String>,
    /// Output format: text, wide (adds the port table of each workload), json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub(super) output: Format,
    /// Show suggestions about things that break nothing too
    #[arg(long)]
    pub(super) advice: bool,
    /// Ignore events and log lines that are older than this; status always counts
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    pub(super) since: Duration,
    /// Ignore findings with these codes; the report says which were ignored
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub(super) ignore: Vec<Code>,
    /// Lowest severity that makes the exit code 3
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    pub(super) fail_on: FailOn,
    /// Read more than the minimal rights allow: secrets (metadata and type only)
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    pub(super) with: Vec<With>,
    /// Read the last log lines of one pod of each revision even where all is ready; always done for named targets
    #[arg(long)]
    pub(super) logs: bool,
    /// Do not connect to ports of pods and Ingresses
    #[arg(long)]
    pub(super) no_dial: bool,
    /// Timeout for one connection to a port
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    pub(super) dial_timeout: Duration,
    /// Time limit for all connections to ports together; the report says which were left out
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    pub(super) dial_time: Duration,
    /// Run cat in containers to see which sockets listen
    #[arg(long, conflicts_with = "local")]
    pub(super) exec: bool,
    /// Add an ephemeral container with this image (it needs cat) to see which sockets listen; it stays until the pod is replaced
    #[arg(long, value_name = "IMAGE", conflicts_with = "local")]
    pub(super) debug_image: Option<String>,
    /// Write the objects that were read to a file, without values of Secrets
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Keep running and print the time and what has changed
    #[arg(short = 'w', long, conflicts_with = "local")]
    pub(super) watch: bool,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Colour,
}

const EXAMPLES: &str = "\
Examples:
  # everything in a namespace
  kubectl podlife diagnose -n shop
  # one workload, and the Services and Ingresses in front of it
  kubectl podlife diagnose deployment/api
  # for a program: JSON, and exit code 3 if something is broken
  kubectl podlife diagnose -n shop -o json
  # save what was read, and diagnose it again without the cluster
  kubectl podlife diagnose -n shop --save shop.json
  kubectl podlife diagnose --local -f shop.json";

/// Which severity fails a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// Errors.
    Error,
    /// Advice too.
    Advice,
}

/// A right beyond the least ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum With {
    /// Metadata of Secrets, to tell a missing one.
    Secrets,
}
