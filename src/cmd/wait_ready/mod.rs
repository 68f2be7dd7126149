//! `wait-ready`: does it really work yet?

mod offline;

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::{Exit, Failure};
use super::flags::ConnectFlags;
use super::targets::{self, Wanted};
use super::{Outcome, local};
use crate::gate;
use crate::gate::doom::Grace;
use crate::io::Io;
use crate::model::duration;
use crate::model::readiness::{Readiness, State};
use crate::model::snapshot::Snapshot;
use crate::render::document::{self, Format};
use crate::render::paper::Paper;
use crate::render::readiness;

/// Say whether objects, and what belongs to them, are ready.
///
/// Infrastructure (claims, addresses) and pods (all of the current revision, and the endpoints that they become) are judged by what proves
/// them, not by conditions alone. What will not become ready fails at once, with the same root causes as diagnose.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::exit::HELP))]
pub struct WaitReadyArgs {
    /// What must be ready: TYPE/NAME..., TYPE NAME..., TYPE, or a bare name; none means everything in the files
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Files or folders with the objects, as kubectl prints them or as --save wrote them (- is standard input)
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<String>,
    /// Read folders below the given ones too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Judge the objects in the files once, as they are, and ask no server
    #[arg(long, requires = "filename", required = true)]
    local: bool,
    /// Wait until pods of older revisions are gone, not only out of the endpoints
    #[arg(long)]
    old_gone: bool,
    /// The image that a container of each workload must have
    #[arg(long, value_name = "IMAGE")]
    expect_image: Option<String>,
    /// The revision (kubectl rollout history) that each Deployment must have reached
    #[arg(long, value_name = "N")]
    expect_revision: Option<u64>,
    /// How long faults of a class may last before they are final: permanent=20s, image=90s, crash=DURATION (else three restarts), scheduling=3m, probe=3m, other=2m
    #[arg(long, value_name = "CLASS=DURATION", value_delimiter = ',', value_parser = grace)]
    grace: Vec<(String, std::time::Duration)>,
    /// Output: text, json, yaml or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text", value_parser = output)]
    output: Format,
    /// Write what was judged to a file, without values of Secrets
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: super::Colour,
}

const EXAMPLES: &str = "\
Examples:
  # what kubectl printed, judged as of then
  kubectl get all,endpointslices,ingresses,persistentvolumeclaims -n shop -o yaml > shop.yaml
  kubectl podlife wait-ready --local -f shop.yaml
  # one workload of it, for a program
  kubectl podlife wait-ready deployment/api --local -f shop.yaml -o json";

fn output(text: &str) -> Result<Format, String> {
    match text.parse()? {
        Format::Name | Format::Wide => Err("expected text, json, yaml or jsonpath=TEMPLATE".to_owned()),
        format => Ok(format),
    }
}

fn grace(text: &str) -> Result<(String, std::time::Duration), String> {
    let (class, time) = text.split_once('=').ok_or_else(|| format!("{text:?} is not CLASS=DURATION"))?;
    let time = duration::parse(time)?;
    Grace::default().set(class, time)?;
    Ok((class.to_owned(), time))
}

/// What a run does, with every default resolved.
struct Plan<'a> {
    args: &'a WaitReadyArgs,
    connect: &'a ConnectFlags,
    wanted: Vec<Wanted>,
    gate: gate::Plan,
    grace: Grace,
}

impl<'a> Plan<'a> {
    fn new(args: &'a WaitReadyArgs, connect: &'a ConnectFlags) -> Result<Self, Failure> {
        let mut grace = Grace::default();
        for (class, time) in &args.grace {
            grace.set(class, *time).map_err(Failure::usage)?;
        }
        Ok(Self {
            args,
            connect,
            wanted: targets::parse(&args.targets)?,
            gate: gate::Plan {
                old_gone: args.old_gone,
                expect_image: args.expect_image.clone(),
                expect_revision: args.expect_revision,
                ..gate::Plan::default()
            },
            grace,
        })
    }
}

/// Runs the verb.
pub fn run(args: &WaitReadyArgs, connect: &ConnectFlags, io: &mut Io) -> Outcome {
    let plan = Plan::new(args, connect)?;
    offline::run(plan, io)
}

/// The exit code of a verdict; one look at what is still on its way is a time that was up at once.
const fn exit_of(state: State) -> Exit {
    match state {
        State::Ready => Exit::Good,
        State::Failed => Exit::Bad,
        State::Unknown => Exit::CannotTell,
        State::NotFound => Exit::NotFound,
        State::Progressing => Exit::TimedOut,
    }
}

fn print(report: &Readiness, args: &WaitReadyArgs, io: &Io) -> Result<(), Failure> {
    match document::print(report, &args.output).map_err(|e| Failure::new(Exit::Fault, e))? {
        Some(document) => io.stdout.write(&document),
        None => {
            let mut paper = Paper::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            readiness::text(report, &mut paper);
            io.stdout.write(&paper.into_text());
        }
    }
    Ok(())
}

fn save(path: Option<&Path>, snapshot: &Snapshot) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    super::diagnose::save_snapshot(path, snapshot)
}

fn read_files(args: &WaitReadyArgs, io: &mut Io) -> Result<local::Documents, Failure> {
    local::read(&args.filename, args.recursive, &mut io.stdin).map_err(|error| Failure::usage(format!("{error:#}")))
}
