//! `session touch`: it is still used.

use std::time::Duration;

use clap::Args;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::{open, report};
use crate::exit::Exit;
use crate::io::Io;
use crate::model::duration;

/// Mark sessions as used now, so that they are not cleaned up.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = "\
Examples:
  # used now: its idle timeout starts again
  kubectl podlife session touch user-42
  # keep it for at least 30 minutes
  kubectl podlife session touch user-42 --by 30m")]
pub(super) struct TouchArgs {
    /// Session ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Keep them for at least this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    by: Duration,
}

pub(super) async fn run(args: &TouchArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("touch", connect, io, log).await?;
    report::each(&args.ids, io, async |id, io| {
        let record = sessions.touch(id, args.by).await?;
        io.stdout.line(&format!(
            "session {} touched, {}",
            report::shown(id),
            report::ends(&record, sessions.now())
        ));
        Ok(Exit::Good)
    })
    .await
}
