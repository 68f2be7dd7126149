//! `session run`

use std::pin::pin;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::life::LifeFlags;
use crate::cmd::session::template::{TemplateFlags, warn};
use crate::cmd::session::{open, report};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::duration;
use crate::observe::session::Sessions;
use crate::observe::session::create::{IfExists, Making};
use crate::observe::session::objects::InCluster;
use crate::observe::session::ready::{Ending, Healer};
use crate::observe::session::stream::exec::Command;
use crate::observe::session::stream::run::has_begun;
use crate::session::decide;
use crate::text::{command, sanitise};

/// How long is waited until nothing is left of a session that --rm deletes.
const GONE: Duration = Duration::from_secs(30);

/// Create a session that runs a command once, and attach to it; in an existing session, run the command beside what already runs.
///
/// On a terminal, the command gets a TTY. Otherwise all its output goes to standard output, as with kubectl logs.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_help = EXIT_CODES, mut_group("source", |group| group.required(false)))]
pub(super) struct RunArgs {
    /// Session id: any text of 1 to 4096 bytes
    #[arg(value_name = "ID")]
    id: String,
    /// Delete the session when the command ends or this run is interrupted
    #[arg(long)]
    rm: bool,
    /// Pass stdin to the container (default on a terminal)
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Stdin is a TTY (default on a terminal)
    #[arg(short = 't', long)]
    tty: bool,
    /// How long to wait until the command starts; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    life: LifeFlags,
    #[command(flatten)]
    template: TemplateFlags,
}

const EXAMPLES: &str = "\
Examples:
  # a shell in a pod of its own, deleted at the end
  kubectl podlife session run scratch --rm --image busybox:1.36 -- sh
  # a script that reads standard input
  kubectl podlife session run job-7 --rm -i --image python:3 -- python <job.py
  # in session user-42, alongside what it already runs
  kubectl podlife session run user-42 -- ps";

const EXIT_CODES: &str = "\
Exit codes:
  that of the command; otherwise, with `error:` on standard error:
  2    invalid usage
  3    the session gets no pod, or the pod went away while the command ran
  5    the namespace, or the object of --from, does not exist
  6    the API server gave no usable answer
  124  the command did not start before the timeout
  126, 127  the command could not be started, or is not in the image
  130  interrupted (129: SIGHUP, 143: SIGTERM)
  141  output pipe closed";

pub(super) async fn run(args: &RunArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    crate::session::name::of(&args.id).map_err(Failure::usage)?;
    let sessions = open("run", connect, io, log).await?;
    let making = Making::default();
    let stop = io.stop.told();
    let (outcome, is_interrupted) = {
        let mut whole = pin!(whole(&sessions, args, &making, io));
        tokio::select! {
            biased;
            interruption = stop => {
                making.until_known(whole).await;
                (Ok(Exit::from(interruption)), true)
            }
            outcome = &mut whole => (outcome, false),
        }
    };
    // What another client has made under the same id is not this run's.
    if let Some(record) = making.record().filter(|_| args.rm) {
        match sessions.take_back(&record).await {
            // The cluster does the rest by itself.
            Ok(()) if !is_interrupted => {
                let _ = tokio::time::timeout(GONE, sessions.until_gone(&args.id, Some(&record))).await;
            }
            Ok(()) => {}
            Err(failure) => io
                .stderr
                .line(&format!("Warning: the session was not deleted: {}", sanitise(&failure.message))),
        }
    }
    outcome
}

/// From the first look to the end of the command.
async fn whole(sessions: &Sessions<InCluster>, args: &RunArgs, making: &Making, io: &mut Io) -> Outcome {
    let begun = Instant::now();
    let is_terminal = io.stdin_is_terminal && io.stdout.is_terminal();
    let is_chosen = args.stdin || args.tty;
    let stdin = args.stdin || (!is_chosen && is_terminal);
    let tty = (args.tty && (io.stdin_is_terminal || !args.stdin)) || (!is_chosen && is_terminal);
    if let Some(record) = sessions.record(&args.id).await?.filter(|record| !record.is_going) {
        if args.rm {
            let message = format!("session {} exists, and --rm would delete it", report::shown(&args.id));
            return Err(Failure::new(Exit::Bad, message).hint("run the command without --rm, or choose another id"));
        }
        return beside(sessions, args, &record.id, (stdin, tty), io).await;
    }
    if !args.template.has_source() {
        let message = format!(
            "session {} does not exist: create it with --image, -f or --from",
            report::shown(&args.id)
        );
        return Err(Failure::usage(message));
    }
    let template = args
        .template
        .template(&sessions.objects.connection, &sessions.namespace, io)
        .await?;
    warn(&template, io);
    let wanted = args
        .life
        .wanted(&args.id, template.once(stdin, tty), args.template.policy(), IfExists::Fail);
    let deadline = (!args.timeout.is_zero()).then(|| begun + args.timeout);
    let late = || {
        let message = format!("the command did not start within {}", duration::short(args.timeout));
        Failure::new(Exit::TimedOut, message)
    };
    let mut creation = pin!(sessions.make(&wanted, making));
    let record = match deadline {
        None => creation.await?.record,
        Some(deadline) => match tokio::time::timeout_at(deadline, &mut creation).await {
            Ok(created) => created?.record,
            Err(_) => {
                making.until_known(creation).await;
                return Err(late());
            }
        },
    };
    match sessions.until_ready(record, has_begun, (begun, deadline), Healer::This, io).await? {
        Ending::Ready { record, pod, .. } => sessions.run_once(&(record, *pod).into(), (stdin, tty), io).await,
        Ending::Broken { diagnosis, .. } => {
            io.stderr.write(&report::diagnosed(&diagnosis, io));
            let message = format!("the command of session {} does not start", report::shown(&args.id));
            Err(Failure::new(Exit::Bad, message))
        }
        Ending::TimedOut { diagnosis } => {
            if let Some(diagnosis) = diagnosis {
                io.stderr.write(&report::diagnosed(&diagnosis, io));
            }
            Err(late())
        }
        Ending::Ended | Ending::Gone => {
            let message = format!(
                "session {} was deleted or paused before the command started",
                report::shown(&args.id)
            );
            Err(Failure::new(Exit::Bad, message))
        }
    }
}

/// In a session that is there.
async fn beside(sessions: &Sessions<InCluster>, args: &RunArgs, id: &str, (stdin, tty): (bool, bool), io: &mut Io) -> Outcome {
    let words = args.template.command();
    if words.is_empty() {
        let message = format!("session {} exists: name a command to run in it", report::shown(id));
        return Err(Failure::usage(message).hint("session exec -it ID -- sh opens a shell in it"));
    }
    let live = sessions.live(id).await?;
    if decide::is_done(&live.pod) {
        let message = format!("the command of session {} has ended, and its pod with it", report::shown(id));
        return Err(
            Failure::new(Exit::Bad, message).hint(command("kubectl podlife session delete -n {} -- {}", &[&sessions.namespace, &id]))
        );
    }
    let container = None;
    let beside = Command {
        words,
        container,
        stdin,
        tty,
    };
    sessions.run_in(&live, &beside, io).await
}
