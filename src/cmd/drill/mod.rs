//! `drill`: does it survive?

mod args;
mod clients;
mod files;
mod list;
mod report;
mod restore;
pub(crate) mod rights;
mod run;
mod run_args;
mod saved;
mod suite;
mod suite_file;

use clap::{Args, Subcommand};
use futures::future::{LocalBoxFuture, ready};

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::io::Io;

/// Break a workload on purpose, measure what its clients see, and restore it.
///
/// A drill changes the cluster. `plan` shows the requests that `run` would make. What must be restored is saved before the first change,
/// here and in the namespace: `restore` restores it after a drill that was killed, even from another machine.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES)]
pub struct DrillArgs {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  # which faults exist?
  kubectl podlife drill list
  # what would happen?
  kubectl podlife drill plan pod-delete deployment/api
  # delete one pod, and measure what a client sees
  kubectl podlife drill run pod-delete deployment/api --target http://ADDRESS/
  # scale two workloads to zero at once, for a minute
  kubectl podlife drill run scale-zero deployment/api sts/db --duration 1m
  # all drills of a file, the most important ones
  kubectl podlife drill suite examples/drills/shop.yaml --only P0
  # restore what a killed drill has changed
  kubectl podlife drill restore";

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::ListArgs),
    Plan(Box<args::PlanArgs>),
    Run(Box<run_args::RunArgs>),
    Suite(Box<suite::SuiteArgs>),
    Restore(restore::RestoreArgs),
    Report(saved::SavedArgs),
}

/// Runs the verb.
pub fn run<'a>(args: &'a DrillArgs, connect: &'a ConnectFlags, io: &'a mut Io, log: Log) -> LocalBoxFuture<'a, Outcome> {
    match &args.verb {
        Verb::List(args) => Box::pin(ready(list::run(args, io))),
        Verb::Plan(args) => Box::pin(run::plan(args, connect, io, log)),
        Verb::Run(args) => Box::pin(run::run(args, connect, io, log)),
        Verb::Suite(args) => Box::pin(suite::run(args, connect, io, log)),
        Verb::Restore(args) => Box::pin(restore::run(args, connect, io, log)),
        Verb::Report(args) => Box::pin(ready(saved::run(args, io))),
    }
}
