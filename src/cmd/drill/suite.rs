//! `drill suite`: the drills of a file, one after the other.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::cluster::{Connection, Log};
use crate::cmd::Outcome;
use crate::cmd::drill::files::{Report, ReportArgs};
use crate::cmd::drill::suite_file::{Drill, Suite, read};
use crate::cmd::drill::{report, run as single};
use crate::cmd::flags::ConnectFlags;
use crate::drill::plan::Allow;
use crate::exit::{Exit, Failure};
use crate::io::{Interruption, Io};
use crate::model::drill::{DrillReport, DrillVerdict};
use crate::model::drill_suite::{DrillSuitePlan, DrillSuiteReport, PlannedDrill, Priority, SuiteDrill};
use crate::model::duration::rounded;
use crate::model::finding::ObjectRef;
use crate::observe::drill::prepare::{Asked, Prepared, plan_in, targets, watch};
use crate::observe::drill::settle::{pause, settled};
use crate::render::document;
use crate::render::document::Format;
use crate::text::sanitise;

/// Run the drills of a file one after another: each starts when all workloads of the suite are at their goal.
///
/// The file names faults and workloads, with the options of `drill run` as keys. All drills are planned before anything is changed. The suite
/// stops if something could not be restored. The exit code is that of the worst verdict.
#[derive(Debug, Args)]
pub(super) struct SuiteArgs {
    /// YAML file with the drills (- for standard input)
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Only drills of these priorities
    #[arg(long, value_name = "P0,P1", value_delimiter = ',', value_parser = PossibleValuesParser::new(Priority::ALL.map(Priority::as_str)).map(|word| priority(&word)))]
    only: Vec<Priority>,
    /// How often to run the whole suite
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Stop at the first drill that is not HELD
    #[arg(long)]
    fail_fast: bool,
    /// Allow the drills in this namespace although it is production
    #[arg(long, value_name = "NAMESPACE")]
    i_know_this_is_production: Option<String>,
    /// Only show the plans
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reports: ReportArgs,
    /// Output format: text, json, yaml or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

fn priority(word: &str) -> Priority {
    Priority::ALL
        .into_iter()
        .find(|priority| priority.as_str() == word)
        .unwrap_or(Priority::P0)
}

pub(super) async fn run(args: &SuiteArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", args.file));
    let text = match args.file.as_str() {
        "-" => std::io::read_to_string(&mut io.stdin),
        path => std::fs::read_to_string(path),
    };
    let mut suite = read(&text.map_err(|error| wrong(error.to_string()))?).map_err(wrong)?;
    suite
        .drills
        .retain(|drill| args.only.is_empty() || args.only.contains(&drill.priority));
    if suite.drills.is_empty() {
        return Err(wrong("no drill has one of the priorities of --only".to_owned()));
    }
    let connection = single::open(connect, io, log).await?;
    let run = Run {
        args,
        connection: &connection,
        suite: &suite,
        io,
    };
    let (plan, workloads) = run.plan().await?;
    let is_refused = plan.drills.iter().any(|drill| !drill.plan.refusals.is_empty());
    if args.dry_run {
        match document::print(&plan, &args.output).map_err(|error| Failure::new(Exit::Fault, error))? {
            Some(document) => io.stdout.write(&document),
            None => io.stdout.write(&crate::render::drill_suite::plan(&plan, io.stdout.columns())),
        }
        return Ok(if is_refused { Exit::NotInjected } else { Exit::Good });
    }
    args.reports.open(&suite.name)?;
    let (report, interruption) = run.make(&plan, &workloads).await;
    let verdict = report.verdict;
    args.reports.print(&Report::Suite(Box::new(report)), &args.output, io)?;
    Ok(single::exit(verdict, interruption))
}

/// A suite that is made.
struct Run<'a> {
    args: &'a SuiteArgs,
    connection: &'a Connection,
    suite: &'a Suite,
    io: &'a Io,
}

impl Run<'_> {
    fn say(&self, line: &str) {
        self.io.stderr.line(&sanitise(line));
    }

    fn asked<'d>(&'d self, drill: &'d Drill) -> Asked<'d> {
        Asked {
            wanted: &drill.wanted,
            from: drill.from.as_ref(),
            context: self.connection.context(),
            acknowledged: self.args.i_know_this_is_production.as_deref(),
        }
    }

    /// Plans all drills, and says what is refused. Also the workloads that have to be at their goal before each of them.
    async fn plan(&self) -> Result<(DrillSuitePlan, Vec<ObjectRef>), Failure> {
        let namespace = self.connection.default_namespace();
        let mut store = watch(self.connection, (self.io.now)()).await?;
        let mut drills = Vec::new();
        for drill in &self.suite.drills {
            let planned = plan_in(self.connection, &mut store, drill.args.fault.request()?, &self.asked(drill)).await;
            let looked_up = match planned {
                Ok(plan) => {
                    let looked_up = single::looked_up(&drill.args, &plan, &mut store, self.connection).await;
                    looked_up.map(|_| plan)
                }
                Err(failure) => Err(failure),
            };
            let plan = looked_up.map_err(|failure| Failure {
                message: format!("drill {}: {}", drill.name, failure.message),
                ..failure
            })?;
            for refusal in &plan.refusals {
                self.say(&format!("{}: refused: {}", drill.name, refusal.why));
            }
            drills.push(PlannedDrill {
                name: drill.name.clone(),
                priority: drill.priority,
                plan: report::plan(&plan, namespace),
            });
        }
        let mut workloads = targets(self.connection, &mut store, namespace, &self.suite.dependants).await?;
        workloads.extend(drills.iter().flat_map(|drill| drill.plan.targets.clone()));
        workloads.sort();
        workloads.dedup();
        let plan = DrillSuitePlan {
            api_version: "podlife/v1",
            kind: "DrillSuitePlan",
            name: self.suite.name.clone(),
            namespace: namespace.to_owned(),
            drills,
        };
        Ok((plan, workloads))
    }

    /// Makes the drills.
    async fn make(&self, plan: &DrillSuitePlan, workloads: &[ObjectRef]) -> (DrillSuiteReport, Option<Interruption>) {
        // While somebody listens, a signal leaves time for the report of what was made.
        let _listening = self.io.stop.told();
        let (started_at, begun) = ((self.io.now)(), tokio::time::Instant::now());
        let repeated = (1..=self.args.repeat).flat_map(|repetition| {
            let drills = self.suite.drills.iter().zip(&plan.drills);
            drills.map(move |(drill, planned)| (repetition, drill, planned))
        });
        let count = self.suite.drills.len() * self.args.repeat as usize;
        let (mut drills, mut stopped, mut interruption): (Vec<SuiteDrill>, Option<String>, Option<Interruption>) = (Vec::new(), None, None);
        let mut patience = true;
        for (number, (repetition, drill, planned)) in (1..).zip(repeated) {
            let mut report = None;
            if stopped.is_none() {
                self.say(&format!("drill {number} of {count}: {}", drill.name));
                let at = (self.io.now)();
                let (made, cut) = match self.one(drill, workloads, patience).await {
                    Ok(made) => made,
                    Err(failure) => {
                        self.say(&format!("{:<10} {}", "refused", failure.message));
                        (DrillReport::not_begun(&planned.plan, at, failure.message), signal(failure.exit))
                    }
                };
                interruption = cut;
                // What is not at its goal is waited for once; after that, it is looked at.
                patience = !made.events.is_empty();
                stopped = match made.verdict {
                    _ if cut.is_some() => Some("the suite was interrupted".to_owned()),
                    DrillVerdict::NotRestored => Some(format!("{} was not restored", drill.name)),
                    verdict if self.args.fail_fast && verdict != DrillVerdict::Held => Some(format!("--fail-fast after {}", drill.name)),
                    _ => None,
                };
                self.say(&format!("{:<10} {}", "verdict", made.verdict.as_str()));
                if stopped.is_none() && patience && number < count {
                    interruption = pause(self.suite.cool_down, &self.io.stop).await;
                    stopped = interruption.map(|_| "the suite was interrupted".to_owned());
                }
                report = Some(made);
            }
            drills.push(SuiteDrill {
                name: drill.name.clone(),
                priority: drill.priority,
                repetition,
                skipped: stopped.clone().filter(|_| report.is_none()),
                report,
            });
        }
        let verdicts = drills.iter().filter_map(|drill| drill.report.as_ref()).map(|report| report.verdict);
        let report = DrillSuiteReport {
            api_version: "podlife/v1".into(),
            kind: "DrillSuiteReport".into(),
            name: plan.name.clone(),
            namespace: plan.namespace.clone(),
            verdict: verdicts.max().unwrap_or(DrillVerdict::NotInjected),
            started_at,
            elapsed_seconds: rounded(begun.elapsed().as_secs_f64()),
            drills,
        };
        (report, interruption)
    }

    /// One drill, as `drill run` makes it. A failure has changed nothing.
    async fn one(&self, drill: &Drill, workloads: &[ObjectRef], patience: bool) -> Result<(DrillReport, Option<Interruption>), Failure> {
        let request = drill.args.fault.request()?;
        let mut store = watch(self.connection, (self.io.now)()).await?;
        if !request.allow.contains(&Allow::Degraded) {
            let limit = if patience { request.timeout } else { Duration::ZERO };
            settled(&mut store, workloads, limit, &self.io.stop, self.io.now).await?;
        }
        let early = single::begin(&drill.args, &store.snapshot, self.connection).await;
        let plan = plan_in(self.connection, &mut store, request, &self.asked(drill)).await?;
        single::make(&drill.args, self.connection, Prepared { store, plan }, early, self.io).await
    }
}

/// The signal that a failure ends with.
fn signal(exit: Exit) -> Option<Interruption> {
    let all = [Interruption::Interrupt, Interruption::Terminate, Interruption::HangUp];
    all.into_iter().find(|interruption| Exit::from(*interruption) == exit)
}
