//! `session logs`

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::cluster::{FollowQuery, Log};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::open;
use crate::io::Io;
use crate::model::duration;
use crate::observe::session::stream::logs::Logs;

/// Print the log of a session's pod.
///
/// The flags are those of kubectl logs. With -f the session counts as used, and the log continues with the next pod when this one ends.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(super) struct LogsArgs {
    /// Session id
    #[arg(value_name = "ID")]
    id: String,
    /// Specify if the logs should be streamed
    #[arg(short = 'f', long, conflicts_with = "previous")]
    follow: bool,
    /// Print the logs of this container; if omitted, of the one that kubectl would use
    #[arg(short = 'c', long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Get all containers' logs in the pod
    #[arg(long, conflicts_with = "container")]
    all_containers: bool,
    /// Print the logs for the previous instance of the container, if it exists
    #[arg(short = 'p', long)]
    previous: bool,
    /// Lines of recent log file to display; -1 shows all
    #[arg(long, value_name = "LINES", default_value_t = -1, allow_negative_numbers = true)]
    tail: i64,
    /// Only return logs newer than a relative duration like 5s, 2m, or 3h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "since_time")]
    since: Option<Duration>,
    /// Only return logs after a specific date (RFC3339)
    #[arg(long, value_name = "TIME")]
    since_time: Option<Timestamp>,
    /// Include timestamps on each line
    #[arg(long)]
    timestamps: bool,
    /// Maximum bytes of logs to return
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<usize>,
    /// Prefix each line with the container name
    #[arg(long)]
    prefix: bool,
}

const EXAMPLES: &str = "\
Examples:
  # everything so far
  kubectl podlife session logs user-42
  # from now on, whichever pod the session has
  kubectl podlife session logs -f --tail=0 user-42";

const EXIT_CODES: &str = "\
Exit codes:
  0    the log has ended
  2    invalid usage
  3    the session has no pod
  5    the session does not exist
  6    the API server gave no usable answer
  130  interrupted (129: SIGHUP, 143: SIGTERM)
  141  output pipe closed";

pub(super) async fn run(args: &LogsArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("logs", connect, io, log).await?;
    let live = sessions.live(&args.id).await?;
    let since = args.since.filter(|since| !since.is_zero());
    let logs = Logs {
        query: FollowQuery {
            follow: args.follow,
            previous: args.previous,
            tail_lines: u64::try_from(args.tail).ok(),
            // Part of a second is a second, as in kubectl.
            since_seconds: since.map(|since| since.as_secs() + u64::from(since.subsec_nanos() > 0)),
            since_time: args.since_time,
            timestamps: args.timestamps,
        },
        container: args.container.as_deref(),
        all_containers: args.all_containers,
        limit_bytes: args.limit_bytes.filter(|limit| *limit > 0),
        next_pods: true,
        prefix: args.prefix,
    };
    sessions.logs(live, &logs, io).await
}
