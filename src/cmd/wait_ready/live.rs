//! A run against a cluster: connects, resolves what is waited for, and drives the waiting loop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{Connection, Log, Trust};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::wait_ready::account::Account;
use crate::cmd::wait_ready::plan::Plan;
use crate::cmd::wait_ready::progress::ProgressReporter;
use crate::cmd::wait_ready::report::{exit_of, finish};
use crate::cmd::wait_ready::selection::Selection;
use crate::cmd::wait_ready::values::Output;
use crate::exit::{Exit, Failure};
use crate::io::{Interruption, Io};
use crate::model::{duration, kind};
use crate::observe::application::AppProber;
use crate::observe::prober::{self, Prober};
use crate::observe::reads;
use crate::observe::store::Store;
use crate::observe::wait::{Driver, Means};
use crate::readiness::check::ProbePath;
use crate::readiness::hops::Milestones;
use crate::readiness::wait::{End, Terms, Wait};

/// A shorter `--timeout` leaves this time for the first answers of the API server.
const LEAST_TO_CONNECT: Duration = Duration::from_secs(1);

/// Waits for a cluster.
pub(crate) async fn run(plan: Plan, flags: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let documents = if plan.has_files() {
        plan.read_files(io)?.objects
    } else {
        Vec::new()
    };
    if plan.wanted.is_empty() && documents.is_empty() && plan.selector.is_none() {
        return Err(Failure::usage("no target to wait for").hint("name it as TYPE/NAME, with -l SELECTOR or with -f FILE"));
    }
    let trust = plan.trust()?;
    let connecting = connect(&plan, flags, &documents, io, log);
    let (connection, selection) = if plan.is_one_look() {
        connecting.await?
    } else {
        let limit = plan.limits.timeout.max(LEAST_TO_CONNECT);
        tokio::time::timeout(limit, connecting).await.map_err(|_| {
            let within = duration::short(limit);
            Failure::new(Exit::NoAnswer, format!("the API server has not answered within {within}"))
        })??
    };
    let namespaces = selection.namespaces();
    let mut store = Store::open(&connection, &namespaces, selection.defined(), (io.now)());
    for (kind, namespace, name) in selection.kinds() {
        store.watch(kind, namespace.as_deref(), name.as_deref());
    }
    if plan.selector.is_none() && !namespaces.is_empty() && connection.serves(&kind::HTTP_ROUTE).await.unwrap_or(false) {
        for namespace in &namespaces {
            store.watch(kind::HTTP_ROUTE, Some(namespace), None);
            store.watch(kind::GATEWAY, Some(namespace), None);
        }
    }
    let prober = AppProber {
        connection: connection.clone(),
        expected: plan.expected.clone(),
        sent: plan.sent.clone(),
        host: plan.checks.host.clone(),
        trust,
        chooses: plan.checks.via == ProbePath::Auto,
        anybody: Trust::of_anybody().map_err(|why| Failure::new(Exit::Fault, why))?,
        prober: plan.probe_image.as_deref().map(|image| {
            Prober::new(prober::Means {
                connection: connection.clone(),
                image: image.to_owned(),
                with_body: plan.expected.body.is_some(),
                every: None,
                ends: (!plan.is_one_look()).then(|| Instant::now() + plan.limits.timeout),
                scheduling: plan.limits.grace.scheduling,
                stderr: io.stderr.clone(),
                labels: BTreeMap::new(),
            })
        }),
    };
    let reporter = ProgressReporter::new(&plan.output, plan.limits.timeout, io);
    let wait = Wait::new(Terms {
        limits: plan.limits.clone(),
        successes: plan.successes,
        stable_for: plan.stable_for,
        report_every: reporter.period(),
    });
    let means = Means {
        connection: connection.clone(),
        namespaces,
        prober: Arc::new(prober),
        may_dial: plan.may_dial,
        clock: io.now,
    };
    let mut account = Account {
        marks: Milestones::new((io.now)()),
        plan,
        selection,
        connection,
        reporter,
        last: None,
    };
    let mut driver = Driver::new(wait, store, means);
    let mut interruption = Interruption::Interrupt;
    // Until the end of this function an interruption leaves time for it.
    let stopped = io.stop.told();
    tokio::pin!(stopped);
    let interrupted = stopped.as_mut().map(|told| interruption = told);
    let ended = driver.run(&mut account, interrupted).await;
    let now = driver.now();
    account.reporter.clear();
    driver.close().await;
    let (wait, snapshot) = (&driver.wait, &driver.store.snapshot);
    let (report, mut exit) = match ended? {
        End::Decided(state) => (account.decided(wait, snapshot, state), exit_of(state)),
        End::TimedOut(phase, trend) => (account.timed_out(wait, snapshot, phase, trend), Exit::TimedOut),
        End::NotListed => {
            let waited = duration::short(account.plan.limits.timeout);
            let why = format!("the API server has not listed everything within {waited}");
            return Err(Failure::new(Exit::NoAnswer, why));
        }
        End::Interrupted => {
            let exit = Exit::from(interruption);
            (account.stopped(wait, snapshot, now, exit), exit)
        }
        End::OutputClosed => (account.stopped(wait, snapshot, now, Exit::Unread), Exit::Unread),
    };
    crate::cmd::warnings_as_errors(flags, &account.connection)?;
    finish(&account.plan, &report, snapshot, io)?;
    // A program that reads line by line may have gone without the verdict.
    let has_ended = matches!(exit, Exit::HungUp | Exit::Interrupted | Exit::Terminated);
    if account.plan.output.output == Output::NdJson && !has_ended && io.stdout.is_closed() {
        exit = Exit::Unread;
    }
    Ok(exit)
}

/// Opens the connection and finds out what is meant.
async fn connect(plan: &Plan, flags: &ConnectFlags, documents: &[Value], io: &Io, log: Log) -> Result<(Connection, Selection), Failure> {
    let options = flags.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let given = plan.namespace.as_deref();
    let selection = Selection::resolve(&connection, &plan.wanted, plan.selector.as_ref(), documents, given).await?;
    for namespace in selection.namespaces().iter().filter(|name| !selection.waits_for_namespace(name)) {
        if reads::namespace_exists(&connection, namespace).await? == Some(false) {
            return Err(selection.no_such_namespace(&connection, namespace).await);
        }
    }
    Ok((connection, selection))
}
