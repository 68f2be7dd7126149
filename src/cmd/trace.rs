//! `trace`: does anything stop a connection?

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::cluster::{ConnectOptions, Connection, Log};
use crate::cmd::flags::{ConnectFlags, check_dial_timeout};
use crate::cmd::{Colour, Outcome, local, save, warnings_as_errors};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::duration;
use crate::model::trace::{Passage, Trace};
use crate::observe::trace;
use crate::observe::trace::Question;
use crate::render::document;
use crate::render::document::Format;
use crate::render::text_writer::TextWriter;
use crate::render::trace::{names, text};
use crate::trace::parse::Request;
use crate::view::Options;

/// Find out whether anything stops a connection: DNS, the Service, NetworkPolicies or the port.
///
/// The report names each hop of the connection, what stops it and how to fix that. NetworkPolicies are evaluated from their rules. The port is
/// dialled from outside of them.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub struct TraceArgs {
    /// Pod or workload that opens the connection: TYPE/NAME or NAME
    #[arg(value_name = "FROM")]
    from: String,
    /// Destination: svc/NAME:PORT, NAME.NAMESPACE:PORT, pod/NAME:PORT, ADDRESS:PORT or a URL; /UDP or /SCTP may follow the port
    #[arg(value_name = "TO")]
    to: String,
    /// Files or folders with the objects (- for standard input); needs --local
    #[arg(short = 'f', long, value_name = "FILE", value_hint = clap::ValueHint::AnyPath, requires = "local")]
    filename: Vec<String>,
    /// Read subfolders of -f too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Use the objects in the files of -f, without a server
    #[arg(long, requires = "filename")]
    local: bool,
    /// When the objects in the files were read, such as 2026-01-31T09:30:00Z; without it their state stands as it was saved
    #[arg(long, value_name = "TIME", requires = "local")]
    now: Option<Timestamp>,
    /// Output format: text, wide (with all evidence), json, yaml, name (objects that have to change) or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Ignore events and log lines that are older than this; status always counts
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    since: Duration,
    /// Do not connect to the port
    #[arg(long)]
    no_dial: bool,
    /// Timeout for one connection to the port
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    dial_timeout: Duration,
    /// Write the objects that were read to a file, without values of Secrets
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

const EXAMPLES: &str = "\
Examples:
  # can the pods of a Deployment reach a Service?
  kubectl podlife trace deployment/web svc/db:5432
  # a port by its name, in another namespace
  kubectl podlife trace -n shop pod/import-0 orders.data:sql
  # as the client writes it
  kubectl podlife trace -n shop web http://api.data:8080/v1
  # an address outside the cluster, only from policies
  kubectl podlife trace deployment/web 192.0.2.7:443 --no-dial
  # saved objects, without a cluster
  kubectl podlife trace --local -f shop.json deployment/web svc/api:80";

const EXIT_CODES: &str = "\
Exit codes:
  0    allowed
  1    an internal error of podlife
  2    invalid usage, or a port that cannot be determined
  3    stopped for some or all pods, or the application answers with errors
  4    cannot tell: something that matters could not be read
  5    FROM, TO or a namespace does not exist
  6    the API server gave no usable answer";

/// A run, with every default resolved.
struct Plan {
    question: Question,
    source: Source,
    output: Format,
    colour: Colour,
    save: Option<PathBuf>,
}

/// Where the objects are read from.
enum Source {
    Cluster(Box<ConnectOptions>),
    Files {
        names: Vec<String>,
        recursive: bool,
        namespace: Option<String>,
        now: Option<Timestamp>,
    },
}

impl Plan {
    fn new(args: &TraceArgs, connect: &ConnectFlags, is_interactive: bool) -> Result<Self, Failure> {
        check_dial_timeout(args.dial_timeout, args.no_dial)?;
        let request = Request::parse(&args.from, &args.to).map_err(|invalid| Failure::usage(invalid.message).hint(invalid.hint))?;
        let question = Question {
            request,
            options: Options {
                since: args.since,
                dial: !args.no_dial && !args.local,
                ..Options::default()
            },
            dial_timeout: args.dial_timeout,
        };
        let source = if args.local {
            Source::Files {
                names: args.filename.clone(),
                recursive: args.recursive,
                namespace: connect.namespace.clone(),
                now: args.now,
            }
        } else {
            Source::Cluster(Box::new(connect.clone().complete(is_interactive)))
        };
        Ok(Self {
            question,
            source,
            output: args.output.clone(),
            colour: args.color,
            save: args.save.clone(),
        })
    }
}

/// Runs the verb.
pub async fn run(args: &TraceArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let plan = Plan::new(args, connect, io.stdin_is_terminal)?;
    save::must_be_writable(plan.save.as_deref())?;
    let report = match &plan.source {
        Source::Files {
            names,
            recursive,
            namespace,
            now,
        } => {
            let namespace = namespace.as_deref();
            let snapshot = local::snapshot(names, *recursive, namespace, *now, io)?;
            let report = trace::in_files(&snapshot, &plan.question, namespace)?;
            save::snapshot(plan.save.as_deref(), &snapshot)?;
            report
        }
        Source::Cluster(options) => {
            let connection = Connection::open(options, &io.environment, log).await?;
            let (report, snapshot) = trace::in_cluster(&connection, &plan.question, (io.now)(), &io.stderr).await?;
            save::snapshot(plan.save.as_deref(), &snapshot)?;
            warnings_as_errors(connect, &connection)?;
            report
        }
    };
    print(&report, &plan, io)
}

fn print(report: &Trace, plan: &Plan, io: &mut Io) -> Outcome {
    let document = document::print(report, &plan.output).map_err(|e| Failure::new(Exit::Fault, e))?;
    let output = document.unwrap_or_else(|| match plan.output {
        Format::Name => names(report),
        _ => {
            let mut writer = TextWriter::new(plan.colour.is_on(&io.stdout, &io.environment), io.stdout.columns());
            text(report, plan.output == Format::Wide, &mut writer);
            writer.into_text()
        }
    });
    io.stdout.write(&output);
    Ok(match report.passage {
        Passage::Allowed if report.root_causes.is_empty() => Exit::Good,
        Passage::Allowed | Passage::Blocked | Passage::Partly => Exit::Bad,
        Passage::Unknown => Exit::CannotTell,
    })
}
