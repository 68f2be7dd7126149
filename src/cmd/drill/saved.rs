//! `drill report`: saved reports, as text again or beside each other.

use clap::Args;

use crate::cmd::Outcome;
use crate::cmd::drill::files::{Report, ReportArgs};
use crate::drill::compare::compare;
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::render::document::{self, Format};
use crate::render::drill_suite;

/// Print saved reports as text, convert them, or compare two.
#[derive(Debug, Args)]
pub(super) struct SavedArgs {
    /// Files of --report FILE.json or -o json
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    files: Vec<String>,
    /// Compare two reports, and exit with code 3 if the second one is worse: verdict, downtime, error rate, recovery, restarts
    #[arg(long)]
    fail_on_regression: bool,
    /// How much worse a value may be
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = percent, requires = "fail_on_regression")]
    tolerance: f64,
    #[command(flatten)]
    reports: ReportArgs,
    /// Output format: text, json, yaml or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .map_err(|_| "expected a percentage, like 20%")?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err("expected 0% or more".to_owned())
    }
}

pub(super) fn run(args: &SavedArgs, io: &mut Io) -> Outcome {
    let reports: Vec<Report> = args.files.iter().map(|path| Report::read(path)).collect::<Result<_, _>>()?;
    match reports.as_slice() {
        [before, after] if args.fail_on_regression => {
            let comparison = compare(&before.drills(), &after.drills(), args.tolerance);
            match document::print(&comparison, &args.output).map_err(|error| Failure::new(Exit::Fault, error))? {
                Some(document) => io.stdout.write(&document),
                None => io.stdout.write(&drill_suite::comparison(&comparison, io.stdout.columns())),
            }
            Ok(if comparison.has_regressed { Exit::Bad } else { Exit::Good })
        }
        _ if args.fail_on_regression => Err(Failure::usage(
            "--fail-on-regression compares two reports: name the earlier one first",
        )),
        [one] => args.reports.print(one, &args.output, io).map(|()| Exit::Good),
        _ if args.reports.is_any() => Err(Failure::usage("--report converts one report")),
        several if args.output == Format::Text => {
            several.iter().for_each(|report| io.stdout.write(&report.text(io.stdout.columns())));
            Ok(Exit::Good)
        }
        _ => Err(Failure::usage("-o prints one report")),
    }
}
