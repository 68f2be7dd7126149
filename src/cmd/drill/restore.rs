//! `drill restore`: puts back what a drill that was killed has changed.

use clap::Args;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::exit::Exit;
use crate::io::Io;
use crate::observe::drill::{inside, journal, restore};
use crate::observe::reads;
use crate::text::sanitise;

/// Restore what a killed drill has changed: every field that still has the value that the drill set.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// Only show what would be restored
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &RestoreArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let connection = super::run::open(connect, io, log).await?;
    let namespace = connection.default_namespace().to_owned();
    let folder = journal::folder(&io.environment);
    let mut open = journal::find(&connection, &namespace).await?.into_iter().collect::<Vec<_>>();
    open.extend(journal::in_files(folder.as_deref(), &connection.server(), &namespace));
    if open.is_empty() {
        if reads::namespace_exists(&connection, &namespace).await? == Some(false) {
            return Err(reads::no_such_namespace(&connection, &namespace).await);
        }
        io.stderr.line(&format!("nothing to restore in namespace {namespace}"));
        return Ok(Exit::Good);
    }
    let stderr = io.stderr.clone();
    let mut is_clean = true;
    for mut open in open {
        let journal = &open.journal;
        let head = format!("{} of {} by {}", journal.fault.name(), journal.targets.join(", "), journal.by);
        io.stdout.line(&sanitise(&format!("drill {}: {head}", journal.started_at)));
        if args.dry_run {
            for change in &journal.changes {
                io.stdout.line(&sanitise(&format!("  would undo  {}", change.request())));
            }
            for remedy in &journal.remedies {
                io.stdout
                    .line(&sanitise(&format!("  would run   {}: {}", remedy.place, remedy.words)));
            }
            for created in &journal.created {
                io.stdout.line(&sanitise(&format!("  would delete  {}", created.what())));
            }
            continue;
        }
        let say = |line: &str| stderr.line(&sanitise(line));
        let mut restored = restore::created(&connection, &namespace, &journal.id, &journal.created, &say).await;
        restored.extend(restore::changes(&connection, &namespace, &journal.changes, &say).await);
        restored.extend(inside::heal(&connection, &namespace, &journal.remedies, &say).await);
        for one in &restored {
            let why = one.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            io.stdout
                .line(&sanitise(&format!("  {:<9} {}{why}", crate::render::drill::how(one.how), one.what)));
        }
        match restored.iter().all(|one| one.how.is_clean()) {
            true => open.close(&connection).await?,
            false => is_clean = false,
        }
    }
    Ok(if is_clean { Exit::Good } else { Exit::NotRestored })
}
