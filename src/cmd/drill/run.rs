//! `drill plan` and `drill run`.

use crate::cluster::{Connection, Log};
use crate::cmd::drill::args::{FaultArgs, PlanArgs};
use crate::cmd::drill::clients::Clients;
use crate::cmd::drill::files::Report;
use crate::cmd::drill::report;
use crate::cmd::drill::run_args::RunArgs;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::{Outcome, targets};
use crate::drill::plan::Plan;
use crate::exit::{Exit, Failure};
use crate::io::{Interruption, Io};
use crate::model::drill::{DrillReport, DrillVerdict, Refusal};
use crate::observe::drill::data::Data;
use crate::observe::drill::journal::folder;
use crate::observe::drill::meter::Target;
use crate::observe::drill::prepare::{Asked, Prepared, prepare};
use crate::observe::drill::run as engine;
use crate::observe::drill::run::Settings;
use crate::observe::store::Store;
use crate::render::document;
use crate::render::document::Format;

/// Reads the cluster and plans.
async fn prepared(args: &FaultArgs, connection: &Connection, io: &Io) -> Result<Prepared, Failure> {
    let request = args.request()?;
    let wanted = targets::parse(&args.targets)?;
    let from = targets::parse(args.from.as_slice())?;
    let asked = Asked {
        wanted: &wanted,
        from: from.first(),
        context: connection.context(),
        acknowledged: args.i_know_this_is_production.as_deref(),
    };
    prepare(connection, request, &asked, (io.now)()).await
}

pub(super) async fn open(connect: &ConnectFlags, io: &Io, log: Log) -> Result<Connection, Failure> {
    let options = connect.clone().complete(io.stdin_is_terminal);
    Ok(Connection::open(&options, &io.environment, log).await?)
}

pub(super) async fn plan(args: &PlanArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    args.fault.request()?;
    let connection = open(connect, io, log).await?;
    let prepared = prepared(&args.fault, &connection, io).await?;
    show(&prepared, &connection, &args.output, io)
}

/// Prints the plan; exit code 7 where it would be refused.
fn show(prepared: &Prepared, connection: &Connection, format: &Format, io: &mut Io) -> Outcome {
    let plan = report::plan(&prepared.plan, connection.default_namespace());
    match document::print(&plan, format).map_err(|error| Failure::new(Exit::Fault, error))? {
        Some(document) => io.stdout.write(&document),
        None => io.stdout.write(&crate::render::drill::plan(&plan, io.stdout.columns())),
    }
    Ok(if plan.refusals.is_empty() { Exit::Good } else { Exit::NotInjected })
}

/// The refusals as one error.
fn refused(refusals: &[Refusal]) -> Failure {
    let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    Failure::new(Exit::NotInjected, format!("refused: {}", reasons.join("; ")))
}

pub(super) async fn run(args: &RunArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    check(args)?;
    let connection = open(connect, io, log).await?;
    let prepared = prepared(&args.fault, &connection, io).await?;
    if args.dry_run {
        return show(&prepared, &connection, &args.output, io);
    }
    let name = report::plan(&prepared.plan, connection.default_namespace()).name();
    args.reports.open(&name)?;
    let made = make(args, &connection, prepared, io).await;
    let (report, interruption) = made.inspect_err(|failure| args.reports.without_verdict(&name, failure))?;
    let verdict = report.verdict;
    args.reports.print(&Report::Drill(Box::new(report)), &args.output, io)?;
    Ok(exit(verdict, interruption))
}

/// Whether the flags fit together.
pub(super) fn check(args: &RunArgs) -> Result<(), Failure> {
    args.fault.request()?;
    Clients::new(&args.clients)?;
    Ok(())
}

/// What the options name in the cluster beside the workloads: where data is asked for, and where clients make requests.
pub(super) fn looked_up(
    args: &RunArgs,
    plan: &Plan,
    store: &Store,
    connection: &Connection,
) -> Result<(Option<Data>, Vec<Target>), Failure> {
    let targets = Clients::new(&args.clients)?.targets(&store.snapshot, connection.default_namespace())?;
    Ok((args.data(&plan.request.targets)?, targets))
}

/// Makes a drill that is planned; a failure has changed nothing.
pub(super) async fn make(
    args: &RunArgs,
    connection: &Connection,
    prepared: Prepared,
    io: &Io,
) -> Result<(DrillReport, Option<Interruption>), Failure> {
    if !prepared.plan.refusals.is_empty() {
        return Err(refused(&prepared.plan.refusals));
    }
    let (data, targets) = looked_up(args, &prepared.plan, &prepared.store, connection)?;
    let settings = Settings {
        limits: args.limits(prepared.plan.expects_outage),
        data,
        targets,
        folder: folder(&io.environment),
        by: report::by(&io.environment),
        stderr: io.stderr.clone(),
        clock: io.now,
    };
    let shown = report::plan(&prepared.plan, connection.default_namespace());
    io.stderr.write(&crate::render::drill::plan(&shown, io.stderr.columns()));
    let stderr = io.stderr.clone();
    let say = move |line: &str| stderr.line(&crate::text::sanitise(line));
    engine::run(connection, prepared, settings, &io.stop, &say).await
}

/// What a verdict ends with.
pub(super) fn exit(verdict: DrillVerdict, interruption: Option<Interruption>) -> Exit {
    match verdict {
        DrillVerdict::NotRestored => Exit::NotRestored,
        _ if interruption.is_some() => interruption.map_or(Exit::Interrupted, Exit::from),
        DrillVerdict::Held => Exit::Good,
        DrillVerdict::DidNotHold => Exit::Bad,
        DrillVerdict::Inconclusive => Exit::CannotTell,
        DrillVerdict::NotInjected => Exit::NotInjected,
    }
}
