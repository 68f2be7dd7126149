//! `drill list`: the faults.

use clap::Args;

use crate::cmd::Outcome;
use crate::drill::fault::Fault;
use crate::exit::Exit;
use crate::io::Io;

/// List the faults: what each one does, how it is undone, and what proves it.
#[derive(Debug, Args)]
pub(super) struct ListArgs {}

pub(super) fn run(_: &ListArgs, io: &mut Io) -> Outcome {
    for (at, fault) in Fault::ALL.into_iter().enumerate() {
        // Variants of a fault, made by flags, stand beside each other.
        if at == 0 || Fault::ALL[at - 1].name() != fault.name() {
            io.stdout.line(fault.name());
        }
        io.stdout.line(&format!("  does   {}", fault.does()));
        io.stdout.line(&format!("  proof  {}", fault.proof()));
        io.stdout.line(&format!("  undo   {}", fault.undo()));
    }
    Ok(Exit::Good)
}
