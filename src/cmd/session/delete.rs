//! `session delete`

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::cluster::{ListQuery, Log};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::{open, report, selector};
use crate::exit::Exit;
use crate::io::Io;
use crate::model::{duration, kind};
use crate::observe::session::records_selector;
use crate::session::record::Record;
use crate::text::{command, sanitise};

/// Delete sessions with their pods, Services and volumes, and wait until everything is gone.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = "\
Examples:
  # one session; not an error if it does not exist
  kubectl podlife session delete user-42
  # keep its volume for the next session of this id
  kubectl podlife session delete user-42 --keep-volume
  # every session of the namespace
  kubectl podlife session delete --all")]
pub(super) struct DeleteArgs {
    /// Session ids
    #[arg(value_name = "ID", required_unless_present_any = ["all", "selector"])]
    ids: Vec<String>,
    /// Delete every session of the namespace
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Delete the sessions whose records have these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with_all = ["ids", "all"], value_parser = selector)]
    selector: Option<String>,
    /// Keep volumes for the next sessions of these ids
    #[arg(long)]
    keep_volume: bool,
    /// Return without waiting until everything is gone
    #[arg(long)]
    no_wait: bool,
    /// How long to wait; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    timeout: Duration,
}

pub(super) async fn run(args: &DeleteArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("delete", connect, io, log).await?;
    let (ids, unreadable) = if args.ids.is_empty() {
        let more = args.selector.as_ref().map_or_else(String::new, |selector| format!(",{selector}"));
        let query = ListQuery {
            label_selector: records_selector() + &more,
            ..ListQuery::default()
        };
        let connection = &sessions.objects.connection;
        let leases = connection.list(&kind::LEASE, Some(&sessions.namespace), &query).await?;
        let (records, unreadable) = Record::read_all(&leases.items);
        (records.into_iter().map(|record| record.id).collect(), unreadable)
    } else {
        (args.ids.clone(), Vec::new())
    };
    for why in &unreadable {
        io.stderr.line(&format!("error: not deleted: {}", sanitise(why)));
    }
    let rest = if unreadable.is_empty() { Exit::Good } else { Exit::Bad };
    if ids.is_empty() && rest == Exit::Bad {
        return Ok(rest);
    }
    if ids.is_empty() {
        sessions.must_have_namespace().await?;
        io.stderr.line(&format!("No sessions found in {} namespace.", sessions.namespace));
        return Ok(Exit::Good);
    }
    // All go at once; then all are waited for.
    let mut deleted = Vec::new();
    let told = report::each(&ids, io, async |id, _| {
        deleted.push((id.to_owned(), sessions.delete(id, args.keep_volume).await?));
        Ok(Exit::Good)
    })
    .await?;
    if told != Exit::Good {
        return Ok(told);
    }
    let begun = Instant::now();
    for (id, record) in &deleted {
        if !args.no_wait {
            // One that was slow leaves the others a moment to be found gone.
            let left = args.timeout.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
            let limit = if args.timeout.is_zero() { Duration::ZERO } else { left };
            let late = |_| format!("not everything is gone after {}", duration::short(args.timeout));
            let gone = sessions.until_gone(id, record.as_ref());
            let waited = report::within(limit, gone, (&sessions, &mut io.stderr), late).await;
            waited.map_err(|failure| match failure.exit {
                Exit::TimedOut => {
                    let name = crate::session::name::of(id).unwrap_or_default();
                    let selector = format!("podlife.dev/session={name}");
                    failure.hint(command(
                        "kubectl get pods,leases,services,pvc -n {} -l {}",
                        &[&sessions.namespace, &selector],
                    ))
                }
                _ => failure,
            })?;
        }
        let shown = report::shown(id);
        match record {
            Some(_) => io.stdout.line(&format!("session {shown} deleted")),
            None => io.stderr.line(&format!("session {shown} does not exist")),
        }
    }
    if deleted.iter().any(|(_, record)| record.is_none()) {
        sessions.must_have_namespace().await?;
    }
    Ok(rest)
}
