//! Puts back what a drill has changed, and nothing else.

use std::time::Duration;

use crate::cluster::{ApiError, ApiErrorKind, Connection, Patch, WriteOptions};
use crate::drill::change::{Change, Undo};
use crate::model::drill::{Restored, RestoredHow};
use crate::text::shorten;

/// How long the API server may give no usable answer while something is put back.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// Whether trying again may help: restoring is worth more than a quick end.
pub(super) fn passes(error: &ApiError) -> bool {
    error.kind.is_passing() || matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::Unauthorized)
}

/// Puts back every change, the last one first.
pub(crate) async fn changes(connection: &Connection, namespace: &str, changes: &[Change], mut say: impl FnMut(&str)) -> Vec<Restored> {
    let mut restored = Vec::new();
    for change in changes.iter().rev() {
        restored.push(one(connection, namespace, change, &mut say).await);
    }
    restored
}

async fn one(connection: &Connection, namespace: &str, change: &Change, say: &mut impl FnMut(&str)) -> Restored {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let told = |how, why| Restored {
        what: change.what(),
        how,
        why,
    };
    let mut has_written = false;
    let mut last = String::new();
    loop {
        let error = match connection.get(&change.kind, Some(namespace), &change.name, false).await {
            Err(error) => error,
            Ok(object) => match change.undo(object.as_ref()) {
                Undo::AsBefore if has_written => return told(RestoredHow::Restored, None),
                Undo::AsBefore => return told(RestoredHow::AsBefore, None),
                Undo::Gone => {
                    return told(
                        RestoredHow::Gone,
                        Some("the object is gone, or another one has its name".to_owned()),
                    );
                }
                Undo::ChangedByOthers(now) => {
                    let now = now.map_or_else(|| "removed".to_owned(), |now| shorten(&now.to_string(), 120));
                    return told(
                        RestoredHow::ChangedByOthers,
                        Some(format!("somebody else has changed it meanwhile: {now}")),
                    );
                }
                Undo::Patch(patch) => {
                    // The scale has a version of its own name; what it tests is the same.
                    let sub = change.subresource.as_deref();
                    let write = WriteOptions::default();
                    let patched = connection
                        .patch(&change.kind, Some(namespace), &change.name, sub, &Patch::Json(patch), &write)
                        .await;
                    match patched {
                        Ok(_) => {
                            has_written = true;
                            continue;
                        }
                        // Somebody has written in between; a patch whose test fails is 422.
                        Err(error) if error.kind == ApiErrorKind::Invalid && tokio::time::Instant::now() < deadline => {
                            last = error.to_string();
                            tokio::time::sleep(AGAIN / 4).await;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
            },
        };
        if !passes(&error) || tokio::time::Instant::now() > deadline {
            return told(RestoredHow::Failed, Some(error.to_string()));
        }
        // A write that timed out may have had its effect: the next look tells.
        has_written = true;
        if last != error.to_string() {
            last = error.to_string();
            say(&format!("{}: {last}; trying again", change.what()));
        }
        tokio::time::sleep(AGAIN).await;
    }
}
