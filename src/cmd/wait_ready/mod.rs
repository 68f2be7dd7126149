//! `wait-ready`: does it really work yet?

mod account;
mod args;
mod files;
mod live;
mod offline;
mod plan;
mod progress;
mod report;
mod selection;
mod values;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
pub use crate::cmd::wait_ready::args::WaitReadyArgs;
use crate::cmd::wait_ready::files::Files;
use crate::cmd::wait_ready::plan::Plan;
pub(crate) use crate::cmd::wait_ready::values::image;
use crate::io::Io;
pub(crate) use crate::observe::prober::RIGHTS as PROBER_RIGHTS;
pub use crate::observe::store::{WATCHED, WATCHED_WHERE_NAMED};

/// Runs the verb.
pub async fn run(args: &WaitReadyArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let files = Files::open(args)?;
    let outcome = match Plan::new(args, connect.namespace.as_deref()) {
        Ok(plan) if args.local => offline::run(plan, io),
        Ok(plan) => {
            if let Some(warning) = values::too_short(plan.limits.timeout, plan.stable_for) {
                io.stderr.line(&warning);
            }
            live::run(plan, connect, io, log).await
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &outcome {
        files.without_verdict(failure);
    }
    outcome
}
