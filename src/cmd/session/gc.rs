//! `session gc`

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cluster::{ApiErrorKind, Log};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::{open, report};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::duration;
use crate::observe::session::Sessions;
use crate::observe::session::gc::{Act, Pass, beginnings};
use crate::observe::session::objects::InCluster;
use crate::text::{counted, sanitise};

/// Clean up sessions that are idle or too old, and replace pods that failed or are gone.
///
/// A session that was just used stays. gc prints a line for each action; --audit also writes it as a line of JSON. Sessions that are cleaned up,
/// healed or given up, and objects that are removed, get an Event too.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = "\
Examples:
  # what would be done?
  kubectl podlife session gc --once --dry-run
  # one pass that also removes objects without a record
  kubectl podlife session gc --once --orphans
  # every minute, until interrupted
  kubectl podlife session gc --every 1m --audit gc.jsonl")]
pub(super) struct GcArgs {
    /// Make one pass (default)
    #[arg(long, conflicts_with = "every")]
    once: bool,
    /// Make a pass this often, until interrupted
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    every: Option<Duration>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Also remove pods, Services, volume claims, slots and templates that no session uses; only those that podlife created
    #[arg(long)]
    orphans: bool,
    /// Add a line of JSON to this file for each action
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

pub(super) async fn run(args: &GcArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    if args.every.is_some_and(|every| every.is_zero()) {
        return Err(Failure::usage("--every needs a duration above 0"));
    }
    let mut audit = match &args.audit {
        Some(path) => {
            let opened = File::options().create(true).append(true).open(path);
            let file = opened.map_err(|error| Failure::new(Exit::Fault, format!("opening {}: {error}", path.display())))?;
            Some((file, path))
        }
        None => None,
    };
    let sessions = open("gc", connect, io, log).await?;
    let pass = Pass {
        dry_run: args.dry_run,
        orphans: args.orphans,
    };
    let mut may_write_events = !args.dry_run;
    let mut beginnings = args.every.map(beginnings);
    loop {
        if let Some(beginnings) = &mut beginnings {
            beginnings.tick().await;
        }
        if io.stdout.is_closed() {
            return Ok(Exit::Unread);
        }
        let mut number = 0;
        let mut unwritten = None;
        let made = sessions
            .pass(pass, async |act| {
                io.stdout.line(&line(&act, args.dry_run));
                if let Some((file, path)) = &mut audit
                    && let Err(error) = writeln!(file, "{}", entry(&act, &sessions, args.dry_run))
                {
                    unwritten = Some(format!("writing {}: {error}", path.display()));
                }
                number += 1;
                if may_write_events && let Err(error) = sessions.tell(&act, number).await {
                    io.stderr.line(&format!("Warning: {error}"));
                    may_write_events = error.kind != ApiErrorKind::Forbidden;
                }
            })
            .await;
        if let Some(unwritten) = unwritten {
            return Err(Failure::new(Exit::Fault, unwritten));
        }
        match (made, args.every) {
            (made, None) => {
                let count = made?;
                if count == 0 {
                    sessions.must_have_namespace().await?;
                }
                if number == 0 {
                    io.stderr.line(&format!(
                        "nothing to do for {} in namespace {}",
                        counted(i64::try_from(count).unwrap_or(i64::MAX), "session"),
                        sessions.namespace
                    ));
                }
                return Ok(Exit::Good);
            }
            (Ok(_), Some(_)) => {}
            (Err(failure), Some(_)) => io
                .stderr
                .line(&format!("Warning: {}; the next pass tries again", sanitise(&failure.message))),
        }
    }
}

fn line(act: &Act, dry_run: bool) -> String {
    let would = if dry_run { " (dry run)" } else { "" };
    let of = act.id.as_ref().map_or_else(
        || act.object.clone(),
        |id| match act.object.starts_with("session/") {
            true => format!("session {}", report::shown(id)),
            false => format!("{} of session {}", act.object, report::shown(id)),
        },
    );
    format!("{} {of}: {}{would}", act.what.as_str(), sanitise(&act.why))
}

fn entry(act: &Act, sessions: &Sessions<InCluster>, dry_run: bool) -> String {
    json!({
        "time": sessions.now().to_string(),
        "action": act.what.as_str(),
        "namespace": sessions.namespace,
        "id": act.id,
        "object": act.object,
        "reason": act.why,
        "dryRun": dry_run,
    })
    .to_string()
}
