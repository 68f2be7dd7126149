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
use crate::model::snapshot::Snapshot;
use crate::observe::drill::data::Data;
use crate::observe::drill::journal::folder;
use crate::observe::drill::meter::{Ask, Meter, Target};
use crate::observe::drill::prepare;
use crate::observe::drill::prepare::{Asked, Prepared, plan_in, watch};
use crate::observe::drill::run as engine;
use crate::observe::drill::run::Settings;
use crate::observe::store::Store;
use crate::render::document;
use crate::render::document::Format;

/// Plans in a namespace that is watched.
async fn planned(args: &FaultArgs, connection: &Connection, store: &mut Store) -> Result<Plan, Failure> {
    let request = args.request()?;
    let wanted = targets::parse(&args.targets)?;
    let from = targets::parse(args.from.as_slice())?;
    let asked = Asked {
        wanted: &wanted,
        from: from.first(),
        context: connection.context(),
        acknowledged: args.i_know_this_is_production.as_deref(),
    };
    plan_in(connection, store, request, &asked).await
}

pub(super) async fn open(connect: &ConnectFlags, io: &Io, log: Log) -> Result<Connection, Failure> {
    let options = connect.clone().complete(io.stdin_is_terminal);
    Ok(Connection::open(&options, &io.environment, log).await?)
}

pub(super) async fn plan(args: &PlanArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    args.fault.request()?;
    let connection = open(connect, io, log).await?;
    let mut store = watch(&connection, (io.now)()).await?;
    let plan = planned(&args.fault, &connection, &mut store).await?;
    show(&plan, &connection, &args.output, io)
}

/// Prints the plan; exit code 7 where it would be refused.
fn show(plan: &Plan, connection: &Connection, format: &Format, io: &mut Io) -> Outcome {
    let plan = report::plan(plan, connection.default_namespace());
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
    let mut early = Vec::new();
    if !args.dry_run && Clients::new(args)?.are_known() {
        early = begin(args, &Snapshot::new((io.now)(), false), &connection).await;
    }
    let mut store = watch(&connection, (io.now)()).await?;
    if !args.dry_run && early.is_empty() {
        early = begin(args, &store.snapshot, &connection).await;
    }
    let plan = planned(&args.fault, &connection, &mut store).await?;
    if args.dry_run {
        return show(&plan, &connection, &args.output, io);
    }
    let name = report::plan(&plan, connection.default_namespace()).name();
    args.reports.open(&name)?;
    let made = make(args, &connection, Prepared { store, plan }, early, io).await;
    let (report, interruption) = made.inspect_err(|failure| args.reports.without_verdict(&name, failure))?;
    let verdict = report.verdict;
    args.reports.print(&Report::Drill(Box::new(report)), &args.output, io)?;
    Ok(exit(verdict, interruption))
}

/// Whether the flags fit together.
pub(super) fn check(args: &RunArgs) -> Result<(), Failure> {
    args.fault.request()?;
    Clients::new(args)?;
    Ok(())
}

/// What the options name in the cluster beside the workloads: where data is asked for, and where clients make requests.
pub(super) async fn looked_up(
    args: &RunArgs,
    plan: &Plan,
    store: &mut Store,
    connection: &Connection,
) -> Result<(Option<Data>, Vec<Target>), Failure> {
    let data = data(args, plan, store, connection).await?;
    Ok((data, Clients::new(args)?.targets(connection, &store.snapshot).await?))
}

async fn data(args: &RunArgs, plan: &Plan, store: &mut Store, connection: &Connection) -> Result<Option<Data>, Failure> {
    let wanted = targets::parse(args.data_in.as_slice())?;
    let named = prepare::targets(connection, store, connection.default_namespace(), &wanted).await?;
    args.data(named.into_iter().chain(plan.request.targets.iter().cloned()).next())
}

/// Starts clients while a drill is planned, so that nobody waits for their first answers. What their requests may change is not asked for a
/// drill that may yet be refused; what cannot be asked is said when the plan is there.
pub(super) async fn begin(args: &RunArgs, snapshot: &Snapshot, connection: &Connection) -> Vec<Meter> {
    let Ok(clients) = Clients::new(args) else { return Vec::new() };
    match clients.targets(connection, snapshot).await {
        Ok(targets) if targets.iter().all(Target::is_early) => start(connection, targets),
        _ => Vec::new(),
    }
}

fn start(connection: &Connection, targets: Vec<Target>) -> Vec<Meter> {
    targets.into_iter().map(|target| Meter::start(connection, target)).collect()
}

/// Makes a drill that is planned; a failure has changed nothing. `early` are its clients, where they have begun.
pub(super) async fn make(
    args: &RunArgs,
    connection: &Connection,
    mut prepared: Prepared,
    early: Vec<Meter>,
    io: &Io,
) -> Result<(DrillReport, Option<Interruption>), Failure> {
    if !prepared.plan.refusals.is_empty() {
        return Err(refused(&prepared.plan.refusals));
    }
    let data = data(args, &prepared.plan, &mut prepared.store, connection).await?;
    let (meters, inside) = match early.is_empty() {
        true => {
            let targets = Clients::new(args)?.targets(connection, &prepared.store.snapshot).await?;
            let (inside, from_here) = targets.into_iter().partition(|target| matches!(target.ask, Ask::Inside(_)));
            (start(connection, from_here), inside)
        }
        false => (early, Vec::new()),
    };
    let settings = Settings {
        limits: args.limits(prepared.plan.expects_outage),
        data,
        meters,
        inside,
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
