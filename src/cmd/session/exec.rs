//! `session exec`

use clap::Args;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::open;
use crate::io::Io;
use crate::observe::session::stream::exec::Command;

/// Run a command in the pod of a session; the session counts as used while it runs.
///
/// The flags are those of kubectl exec. If the pod goes away, the command ends with it.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(super) struct ExecArgs {
    /// Session id
    #[arg(value_name = "ID")]
    id: String,
    /// Container name; if omitted, the one that kubectl would use
    #[arg(short = 'c', long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Pass stdin to the container
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Stdin is a TTY
    #[arg(short = 't', long)]
    tty: bool,
    /// The command, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  # a command
  kubectl podlife session exec user-42 -- python -V
  # a shell
  kubectl podlife session exec -it user-42 -- sh
  # copy a folder into the pod
  kubectl podlife session exec -i user-42 -- tar xf - -C /tmp < work.tar";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  that of the command; otherwise, with `error:` on standard error:
  2    invalid usage
  3    the session has no running pod, or the pod went away while the command ran
  5    the session does not exist
  6    the API server gave no usable answer, or the connection ended
  126, 127  the command could not be started, or is not in the container
  130  interrupted (129: SIGHUP, 143: SIGTERM)
  141  output pipe closed";

pub(super) async fn run(args: &ExecArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("exec", connect, io, log).await?;
    let live = sessions.live(&args.id).await?;
    if args.tty && args.stdin && !io.stdin_is_terminal {
        io.stderr
            .line("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    let command = Command {
        words: &args.command,
        container: args.container.as_deref(),
        stdin: args.stdin,
        tty: args.tty && (io.stdin_is_terminal || !args.stdin),
    };
    sessions.run_in(&live, &command, io).await
}
