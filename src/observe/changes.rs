//! Tells when something in a namespace has changed.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, select_all};

use crate::cluster::{ApiError, Connection, ListQuery, WatchEvent};
use crate::model::kind;
use crate::model::kind::Kind;

/// What a diagnosis mostly follows from: five connections, whatever the size of the namespace.
pub const WATCHED: &[Kind] = &[kind::POD, kind::EVENT, kind::ENDPOINT_SLICE, kind::SERVICE, kind::DEPLOYMENT];

/// Changes mostly come in bunches: an answer is given when it has been quiet for so long, ...
const QUIET: Duration = Duration::from_millis(500);
/// ... or when this has passed although it is not.
const PATIENCE: Duration = Duration::from_secs(5);

/// Watches over the kinds that matter, opened before the first reading so that no change falls between.
pub struct Changes {
    stream: futures::stream::SelectAll<BoxStream<'static, Result<WatchEvent, ApiError>>>,
    lists_to_come: usize,
}

impl Changes {
    /// Opens the watches, in one namespace or (none) everywhere.
    pub fn open(connection: &Connection, namespace: Option<&str>) -> Self {
        let query = ListQuery::default();
        let streams: Vec<_> = WATCHED.iter().map(|kind| connection.watch(kind, namespace, &query, None)).collect();
        Self {
            lists_to_come: streams.len(),
            stream: select_all(streams),
        }
    }

    /// Waits for a change, then until it is quiet. The error of a watch that cannot go on is returned when none is left.
    pub async fn next(&mut self) -> Result<(), ApiError> {
        let mut last_error = None;
        loop {
            match self.stream.next().await {
                // What was there at the beginning is no change.
                Some(Ok(WatchEvent::Listed(_))) if self.lists_to_come > 0 => self.lists_to_come -= 1,
                Some(Ok(WatchEvent::Interrupted(_) | WatchEvent::Resumed)) => {}
                Some(Ok(_)) => break,
                Some(Err(error)) => {
                    self.lists_to_come = self.lists_to_come.saturating_sub(1);
                    last_error = Some(error);
                }
                None => return last_error.map_or(Ok(()), Err),
            }
        }
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = &mut patience => return Ok(()),
                next = tokio::time::timeout(QUIET, self.stream.next()) => if next.is_err() { return Ok(()) },
            }
        }
    }
}
