//! Waits between the drills of a suite.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::drill::proof::at_goal;
use crate::exit::{Exit, Failure};
use crate::io::Stop;
use crate::model::finding::ObjectRef;
use crate::observe::store::Store;
use crate::view::{Options, View};

/// Waits until all workloads are at their goal; the failure says what is missing. Once is always looked.
pub(crate) async fn settled(
    store: &mut Store,
    workloads: &[ObjectRef],
    limit: Duration,
    stop: &Stop,
    clock: fn() -> Timestamp,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    loop {
        store.snapshot.taken_at = clock();
        store.snapshot.sort();
        let missing = {
            let view = View::new(&store.snapshot, Options::default());
            workloads.iter().find_map(|workload| at_goal(&view, workload).err())
        };
        let Some(missing) = missing else { return Ok(()) };
        tokio::select! {
            interruption = stop.told() => return Err(Failure::new(interruption.into(), "interrupted between two drills")),
            changed = store.changed() => changed?,
            () = tokio::time::sleep_until(deadline) => {
                return Err(Failure::new(Exit::NotInjected, format!("not started: {missing}")));
            }
        }
    }
}

/// Waits for a time; the signal that cut it short.
pub(crate) async fn pause(time: Duration, stop: &Stop) -> Option<crate::io::Interruption> {
    tokio::select! {
        interruption = stop.told() => Some(interruption),
        () = tokio::time::sleep(time) => None,
    }
}
