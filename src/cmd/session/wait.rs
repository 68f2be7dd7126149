//! `session wait`

use std::time::Duration;

use clap::{Args, ValueEnum};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Goal {
    /// Its pod is ready
    Ready,
    /// All of it is deleted
    Deleted,
}

/// Wait until a session is ready, or until all of it is deleted.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// Session id
    #[arg(value_name = "ID")]
    id: String,
    /// What to wait for: ready or deleted
    #[arg(long = "for", value_name = "GOAL", default_value = "ready")]
    goal: Goal,
    /// How long to wait; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    timeout: Duration,
    /// Output format: text, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) async fn run(args: &WaitArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("wait", connect, io, log).await?;
    let begun = Instant::now();
    if args.goal == Goal::Ready {
        let record = sessions.existing(&args.id).await?;
        let wait = report::Wait {
            word: "exists",
            begun,
            timeout: Some(args.timeout),
            healer: Healer::Another,
            output: &args.output,
        };
        return report::until_ready(&sessions, record, &wait, io).await;
    }
    let late = |limit| format!("session {} still exists after {limit}", report::shown(&args.id));
    let gone = sessions.until_gone(&args.id, None);
    report::within(args.timeout, gone, (&sessions, &mut io.stderr), late).await?;
    sessions.must_have_namespace().await?;
    io.stdout.line(&format!("session {} is gone", report::shown(&args.id)));
    Ok(Exit::Good)
}
