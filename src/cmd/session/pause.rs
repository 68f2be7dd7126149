//! `session pause` and `session resume`: without a pod for a while.

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::{open, report};
use crate::exit::Exit;
use crate::io::Io;
use crate::model::duration;
use crate::observe::session::ready::Healer;
use crate::render::document::Format;

/// Delete the pods of sessions and keep their records and volumes. Paused sessions count against the maximum, and are cleaned up when idle.
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// Session ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// Create the pods of paused or failed sessions again.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Session ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Return as soon as the pods are created
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for each pod; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    timeout: Duration,
    /// Output format: text, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) async fn pause(args: &PauseArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("pause", connect, io, log).await?;
    report::each(&args.ids, io, async |id, io| {
        let record = sessions.pause(id).await?;
        io.stdout.line(&format!(
            "session {} paused, {}",
            report::shown(id),
            report::ends(&record, sessions.now())
        ));
        Ok(Exit::Good)
    })
    .await
}

pub(super) async fn resume(args: &ResumeArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("resume", connect, io, log).await?;
    report::each(&args.ids, io, async |id, io| {
        let begun = Instant::now();
        let late = |limit| format!("session {} has no pod after {limit}", report::shown(id));
        let limit = if args.no_wait { Duration::ZERO } else { args.timeout };
        let record = report::within(limit, sessions.resume(id), (&sessions, &mut io.stderr), late).await?;
        let wait = report::Wait {
            word: "resumed",
            begun,
            timeout: (!args.no_wait).then_some(args.timeout),
            healer: Healer::This,
            output: &args.output,
        };
        report::until_ready(&sessions, record, &wait, io).await
    })
    .await
}
