//! `diagnose`: why is it broken?

mod args;
mod containers;
mod offline;
mod plan;
mod report;

pub use args::DiagnoseArgs;
use plan::Plan;

use crate::cluster::{Connection, Log};
use crate::cmd::flags::ConnectFlags;
use crate::cmd::{Outcome, save};
use crate::exit::Exit;
use crate::io::Io;
use crate::model::report::Diagnosis;
use crate::observe::changes::Changes;
use crate::observe::diagnose::Engine;
use crate::render::changes::has_changed;

/// Runs the verb.
pub async fn run(args: &DiagnoseArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let plan = Plan::new(args, connect.namespace.as_deref())?;
    save::must_be_writable(plan.output.save.as_deref())?;
    if plan.is_local {
        return offline::run(&plan, io);
    }
    let documents = plan.read_files(io)?.map(|read| read.objects);
    let options = connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let engine = Engine { connection, documents };
    if plan.watch {
        return watch(&plan, &engine, io).await;
    }
    let answer = engine.diagnose(&plan.request, io).await?;
    containers::must_exist(&answer.question, &answer.snapshot)?;
    save::snapshot(plan.output.save.as_deref(), &answer.snapshot)?;
    crate::cmd::warnings_as_errors(connect, &engine.connection)?;
    report::print(&answer.diagnosis, &plan.output, engine.namespace(&plan.request.selection), io)
}

/// Prints a diagnosis, and what is different whenever something has changed, until it is interrupted.
async fn watch(plan: &Plan, engine: &Engine, io: &mut Io) -> Outcome {
    let namespace = engine.namespace(&plan.request.selection);
    let mut changes = Changes::open(&engine.connection, namespace);
    let mut last: Option<Diagnosis> = None;
    loop {
        let answer = engine.diagnose(&plan.request, io).await?;
        if last.is_none() {
            containers::must_exist(&answer.question, &answer.snapshot)?;
        }
        if last.as_ref().is_none_or(|last| has_changed(last, &answer.diagnosis)) {
            report::print_change(last.as_ref(), &answer.diagnosis, &plan.output, namespace, io)?;
            save::snapshot(plan.output.save.as_deref(), &answer.snapshot)?;
            last = Some(answer.diagnosis);
        }
        if io.stdout.is_closed() {
            return Ok(Exit::Unread);
        }
        changes.next().await?;
    }
}
