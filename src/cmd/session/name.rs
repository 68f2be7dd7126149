//! `session name`: which objects belong to an id.

use clap::Args;

use crate::cmd::Outcome;
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::session::name;

/// Print the name of the record, Service and claim of a session; its pods are called NAME-g1, NAME-g2 and so on.
#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Session id: any text of 1 to 4096 bytes
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn run(args: &NameArgs, io: &mut Io) -> Outcome {
    let name = name::of(&args.id).map_err(Failure::usage)?;
    io.stdout.line(&name);
    Ok(Exit::Good)
}
