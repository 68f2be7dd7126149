//! Puts back what a drill has changed, and nothing else.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::cluster::{ApiError, ApiErrorKind, Connection, Deletion, ListQuery, Patch, WriteOptions};
use crate::drill::change::{Change, Undo, by_object, patch};
use crate::drill::created::{Created, is_of};
use crate::model::drill::{Restored, RestoredHow};
use crate::model::kind;
use crate::text::shorten;
use crate::view::{is_ready, is_terminating};

/// How long the API server may give no usable answer while something is put back.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// Tells of what goes on.
type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Whether trying again may help: restoring is worth more than a quick end.
pub(super) fn passes(error: &ApiError) -> bool {
    error.kind.is_passing() || matches!(error.kind, ApiErrorKind::Conflict | ApiErrorKind::Unauthorized)
}

/// Puts back every change, those of the last object first; those of one object in one request.
pub(crate) async fn changes(connection: &Connection, namespace: &str, changes: &[Change], say: Say<'_>) -> Vec<Restored> {
    let mut restored = Vec::new();
    let mut objects = by_object(changes);
    objects.reverse();
    // What pods read when they start is put back before new ones are made.
    objects.sort_by_key(|changes| changes.first().is_none_or(|change| change.kind != kind::CONFIG_MAP));
    for changes in objects {
        let back = of_object(connection, namespace, changes, say).await;
        let is_back = back
            .iter()
            .all(|one| matches!(one.how, RestoredHow::Restored | RestoredHow::AsBefore));
        restored.extend(back);
        let of_set: Vec<&Change> = changes.iter().filter(|change| change.is_of_a_set()).collect();
        if let Some(first) = of_set.first().filter(|_| is_back) {
            restored.extend(left_behind(connection, namespace, first, &of_set, say).await);
        }
    }
    restored
}

/// Deletes the pods that a StatefulSet has made of the broken template and keeps although the template is back: one that makes its pods in order
/// waits until they are ready, which they never are (the documentation calls this a forced rollback).
async fn left_behind(connection: &Connection, namespace: &str, set: &Change, changes: &[&Change], say: Say<'_>) -> Vec<Restored> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let (mut restored, mut last) = (Vec::new(), String::new());
    loop {
        let error = match delete_broken(connection, namespace, set, changes, &mut restored).await {
            Ok(true) => return restored,
            // Its controller has not seen the template yet, and would make the same pods again.
            Ok(false) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(AGAIN / 4).await;
                continue;
            }
            Ok(false) => return restored,
            Err(error) => error,
        };
        let what = format!("pods of {}/{}", set.kind.singular(), set.name);
        if let Some(why) = again(&error, deadline, &what, &mut last, say).await {
            restored.push(Restored {
                what,
                how: RestoredHow::Failed,
                why: Some(format!("those of the broken template could not be deleted: {why}")),
            });
            return restored;
        }
    }
}

/// Deletes those that are there now; false where it is too early.
async fn delete_broken(
    connection: &Connection,
    namespace: &str,
    set: &Change,
    changes: &[&Change],
    restored: &mut Vec<Restored>,
) -> Result<bool, ApiError> {
    let object = connection.get(&set.kind, Some(namespace), &set.name, false).await?;
    let Some(object) = object.filter(|object| object["metadata"]["uid"] == set.uid.as_str()) else {
        return Ok(true);
    };
    if object["spec"]["podManagementPolicy"] == "Parallel" {
        return Ok(true);
    }
    if object["status"]["observedGeneration"].as_i64() < object["metadata"]["generation"].as_i64() {
        return Ok(false);
    }
    let pods = connection.list(&kind::POD, Some(namespace), &ListQuery::default()).await?.items;
    let is_its = |pod: &&Value| {
        let owners = pod["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == set.uid.as_str()))
    };
    for pod in pods.iter().filter(is_its) {
        let is_broken = changes.iter().any(|change| change.is_in_pod(pod));
        let is_live = serde_json::from_value::<Pod>(pod.clone()).is_ok_and(|pod| is_ready(&pod) || is_terminating(&pod));
        if !is_broken || is_live {
            continue;
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let deletion = Deletion::of_uid(pod["metadata"]["uid"].as_str());
        match connection.delete(&kind::POD, Some(namespace), name, &deletion).await {
            Ok(_) => restored.push(Restored {
                what: format!("pod/{name}"),
                how: RestoredHow::Restored,
                why: Some("deleted: it had the broken template, and its StatefulSet would have kept it".to_owned()),
            }),
            Err(error) if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

async fn of_object(connection: &Connection, namespace: &str, changes: &[Change], say: Say<'_>) -> Vec<Restored> {
    let Some(first) = changes.first() else { return Vec::new() };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut has_written = vec![false; changes.len()];
    let mut last = String::new();
    loop {
        let (error, undos) = match connection.get(&first.kind, Some(namespace), &first.name, false).await {
            Err(error) => (error, Vec::new()),
            Ok(object) => {
                let undos: Vec<Undo> = changes.iter().map(|change| change.undo(object.as_ref())).collect();
                // What was added last is removed first.
                let writes: Vec<Value> = undos
                    .iter()
                    .rev()
                    .filter_map(|undo| match undo {
                        Undo::Write(operation) => Some(operation.clone()),
                        _ => None,
                    })
                    .collect();
                let Some(object) = object.filter(|_| !writes.is_empty()) else {
                    let all = changes.iter().zip(undos).zip(has_written);
                    return all.map(|((change, undo), has_written)| told(change, undo, has_written)).collect();
                };
                for (undo, has_written) in undos.iter().zip(&mut has_written) {
                    *has_written |= matches!(undo, Undo::Write(_));
                }
                // The scale has a version of its own name; what it tests is the same.
                let (sub, write) = (first.subresource.as_deref(), WriteOptions::default());
                let patch = Patch::Json(patch(&object, writes));
                match connection
                    .patch(&first.kind, Some(namespace), &first.name, sub, &patch, &write)
                    .await
                {
                    Ok(_) => continue,
                    // Somebody has written in between; a patch whose test fails is 422.
                    Err(error) if error.kind == ApiErrorKind::Invalid && tokio::time::Instant::now() < deadline => {
                        last = error.to_string();
                        tokio::time::sleep(AGAIN / 4).await;
                        continue;
                    }
                    Err(error) => (error, undos),
                }
            }
        };
        if let Some(why) = again(&error, deadline, &first.what(), &mut last, say).await {
            let failed = |(at, change): (usize, &Change)| match undos.get(at) {
                None | Some(Undo::Write(_)) => Restored {
                    what: change.what(),
                    how: RestoredHow::Failed,
                    why: Some(why.clone()),
                },
                Some(undo) => told(change, undo.clone(), has_written[at]),
            };
            return changes.iter().enumerate().map(failed).collect();
        }
    }
}

/// What became of a change, where nothing is left to write.
fn told(change: &Change, undo: Undo, has_written: bool) -> Restored {
    let (how, why) = match undo {
        Undo::AsBefore if has_written => (RestoredHow::Restored, None),
        Undo::AsBefore | Undo::Write(_) => (RestoredHow::AsBefore, None),
        Undo::Gone => (
            RestoredHow::Gone,
            Some("the object is gone, or another one has its name".to_owned()),
        ),
        Undo::ChangedByOthers(now) => {
            let now = now.map_or_else(|| "removed".to_owned(), |now| shorten(&now.to_string(), 120));
            let why = format!("someone else has changed it: {now}");
            (RestoredHow::ChangedByOthers, Some(why))
        }
    };
    Restored {
        what: change.what(),
        how,
        why,
    }
}

/// Waits before another try; the reason where there is none.
async fn again(error: &ApiError, deadline: tokio::time::Instant, what: &str, last: &mut String, say: Say<'_>) -> Option<String> {
    if !passes(error) || tokio::time::Instant::now() > deadline {
        return Some(error.to_string());
    }
    if *last != error.to_string() {
        *last = error.to_string();
        say(&format!("{what}: {last}; trying again"));
    }
    tokio::time::sleep(AGAIN).await;
    None
}

/// Deletes what a drill has created, the last one first. What has its name and not its label is somebody else's.
pub(crate) async fn created(connection: &Connection, namespace: &str, id: &str, all: &[Created], say: Say<'_>) -> Vec<Restored> {
    let mut restored = Vec::new();
    for one in all.iter().rev() {
        let (how, why) = delete(connection, namespace, id, one, say).await;
        restored.push(Restored {
            what: one.what(),
            how,
            why,
        });
    }
    restored
}

async fn delete(connection: &Connection, namespace: &str, id: &str, one: &Created, say: Say<'_>) -> (RestoredHow, Option<String>) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let (mut has_deleted, mut last) = (false, String::new());
    loop {
        let error = match connection.get(&one.kind, Some(namespace), &one.name, false).await {
            Err(error) => error,
            Ok(None) if has_deleted => return (RestoredHow::Restored, None),
            Ok(None) => return (RestoredHow::AsBefore, Some("it does not exist".to_owned())),
            Ok(Some(object)) if !is_of(&object, id) => {
                return (
                    RestoredHow::Gone,
                    Some("the object of this name is not from the drill: it was left alone".to_owned()),
                );
            }
            Ok(Some(object)) => {
                let deletion = Deletion {
                    propagation: Some("Background"),
                    ..Deletion::of_uid(object["metadata"]["uid"].as_str())
                };
                match connection.delete(&one.kind, Some(namespace), &one.name, &deletion).await {
                    Ok(_) => {
                        // What has finalizers is there for a while.
                        if has_deleted {
                            tokio::time::sleep(AGAIN / 4).await;
                        }
                        has_deleted = true;
                        if tokio::time::Instant::now() > deadline {
                            return (RestoredHow::Failed, Some("it is being deleted, but still exists".to_owned()));
                        }
                        continue;
                    }
                    Err(error) if error.kind == ApiErrorKind::NotFound => continue,
                    Err(error) => error,
                }
            }
        };
        has_deleted |= error.kind.is_passing();
        if let Some(why) = again(&error, deadline, &one.what(), &mut last, say).await {
            return (RestoredHow::Failed, Some(why));
        }
    }
}
