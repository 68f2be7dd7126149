//! `diagnose`: why is it broken?

mod between;
mod containers;
mod offline;
mod reading;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use reading::Reading;

use super::collect::Rights;
use super::exit::{Exit, Failure};
use super::flags::ConnectFlags;
use super::reach::Reach;
use super::targets::{self, Wanted};
use super::watching::Changes;
use super::{Outcome, local};
use crate::cluster::{Connection, Log};
use crate::io::Io;
use crate::model::code::Code;
use crate::model::kind;
use crate::model::report::{Diagnosis, Verdict};
use crate::model::snapshot::Snapshot;
use crate::model::{duration, selector};
use crate::render::diagnosis::{Detail, names, text};
use crate::render::document::{self, Format};
use crate::render::paper::Paper;
use crate::rules::{Options, assess};

/// Say why pods, Services and what belongs to them are broken.
///
/// Without a target the whole namespace is judged. A target is explained together with what it owns, what owns it and what leads traffic to it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::exit::HELP))]
pub struct DiagnoseArgs {
    /// What to explain: TYPE/NAME..., TYPE NAME..., TYPE, or a bare name
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Judge every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only pods with these labels, and what owns them
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = label_selector)]
    selector: Option<Selector>,
    /// Only pods that match, for example spec.nodeName=a, and what owns them
    #[arg(long, value_name = "SELECTOR", conflicts_with = "local")]
    field_selector: Option<String>,
    /// Files or folders that name the objects to explain (- is standard input); with --local, the objects themselves
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<String>,
    /// Read folders below the given ones too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Judge the objects in the files alone and ask no server
    #[arg(long, requires = "filename")]
    local: bool,
    #[command(flatten)]
    between: between::BetweenArgs,
    /// Only findings about these containers, and about their pods as a whole
    #[arg(short = 'c', long, value_name = "NAME")]
    container: Vec<String>,
    /// Output: text, wide (with the ports of every workload), json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Show advice too
    #[arg(long)]
    advice: bool,
    /// Count events and logs only as far back as this
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    since: Duration,
    /// Leave these codes out
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<Code>,
    /// The least severity that makes the exit code 3
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// Ask for more than the least rights give
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    with: Vec<With>,
    /// Only read: do not dial ports of pods and Ingresses
    #[arg(long)]
    no_dial: bool,
    /// How long one connection to a port of a pod may take
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration::parse)]
    dial_timeout: Duration,
    /// Run cat in containers to see which sockets listen
    #[arg(long, conflicts_with = "local")]
    exec: bool,
    /// Add an ephemeral container with this image (it needs cat) to see which sockets listen; it stays until the pod is replaced
    #[arg(long, value_name = "IMAGE", conflicts_with = "local")]
    debug_image: Option<String>,
    /// Write what was read to a file, without values of Secrets
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Go on, and print a diagnosis at each change
    #[arg(short = 'w', long, conflicts_with = "local")]
    watch: bool,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: super::Colour,
}

/// A longer wait for one connection would hold up all of the answer.
const LONGEST_DIAL: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  # everything in the namespace, the broken first
  kubectl podlife diagnose -n shop
  # one workload, and what leads traffic to it
  kubectl podlife diagnose deployment/api
  # whether anything stops a connection: names, the Service, NetworkPolicies, the port
  kubectl podlife diagnose --from deployment/web --to svc/db:5432
  # in a pipeline: exit code 3 and JSON where something is broken
  kubectl podlife diagnose -n shop -o json
  # keep what was read, and judge it again elsewhere
  kubectl podlife diagnose -n shop --save shop.json
  kubectl podlife diagnose --local -f shop.json";

/// Which severity fails a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// Errors.
    Error,
    /// Advice too.
    Advice,
}

/// A right beyond the least ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum With {
    /// Metadata of Secrets, to tell a missing one.
    Secrets,
}

/// A label selector.
#[derive(Clone, Debug)]
pub struct Selector {
    parsed: LabelSelector,
}

fn label_selector(text: &str) -> Result<Selector, String> {
    Ok(Selector {
        parsed: selector::parse(text)?,
    })
}

/// What a run does, with every default resolved.
struct Plan<'a> {
    args: &'a DiagnoseArgs,
    connect: &'a ConnectFlags,
    wanted: Vec<Wanted>,
    question: assess::Question,
    rights: Rights,
}

impl<'a> Plan<'a> {
    fn new(args: &'a DiagnoseArgs, connect: &'a ConnectFlags) -> Result<Self, Failure> {
        let wanted = targets::parse(&args.targets)?;
        let by_name = wanted.iter().any(|w| !matches!(w, Wanted::All(_)));
        if args.all_namespaces && by_name {
            return Err(Failure::usage("a target cannot be named across all namespaces").hint("name its namespace with -n"));
        }
        if args.dial_timeout.is_zero() && !args.no_dial {
            return Err(Failure::usage("--dial-timeout must be more than zero").hint("--no-dial dials nothing"));
        }
        if args.dial_timeout > LONGEST_DIAL {
            return Err(Failure::usage("--dial-timeout is at most 1m"));
        }
        if args.debug_image.is_some() && !by_name {
            return Err(
                Failure::usage("--debug-image needs a target: it changes pods").hint("name a workload or a pod, such as deployment/api")
            );
        }
        if args.all_namespaces && connect.namespace.is_some() {
            return Err(Failure::usage("-A and -n cannot be used together"));
        }
        if by_name && (args.selector.is_some() || args.field_selector.is_some()) {
            return Err(Failure::usage("a name and a selector cannot be used together"));
        }
        if !args.local && !args.filename.is_empty() && !args.targets.is_empty() {
            return Err(Failure::usage("targets cannot be named beside -f"));
        }
        if let Some(Wanted::Named(_, name)) = wanted
            .iter()
            .find(|w| matches!(w, Wanted::Named(k, _) if kind::named(k) == Some(&kind::NAMESPACE)))
        {
            return Err(Failure::usage("a namespace is judged as a whole").hint(format!("kubectl podlife diagnose -n {name}")));
        }
        let question = assess::Question {
            targets: None,
            containers: args.container.iter().cloned().collect(),
            ignore: args.ignore.iter().copied().collect(),
            options: Options {
                since: args.since,
                dial: !args.no_dial && !args.local,
                sockets: args.exec || args.debug_image.is_some(),
            },
        };
        let rights = Rights {
            secrets: args.with.contains(&With::Secrets),
            nodes: true,
            reach: Reach::new(args.dial_timeout, args.exec, args.debug_image.clone()),
        };
        Ok(Self {
            args,
            connect,
            wanted,
            question,
            rights,
        })
    }
}

/// Runs the verb.
pub async fn run(args: &DiagnoseArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let between = args.between.read()?;
    let mut plan = Plan::new(args, connect)?;
    if args.local {
        return match &between {
            Some(between) => between::run_local(between, args, connect, io),
            None => offline::run(&mut plan, io),
        };
    }
    if between.is_some() && !args.filename.is_empty() {
        return Err(Failure::usage("--from and --to cannot be used with -f, except with --local"));
    }
    let documents = match args.filename.is_empty() {
        true => Vec::new(),
        false => read_files(args, io)?.objects,
    };
    let options = connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let reading = Reading { connection, documents };
    if let Some(between) = &between {
        return between::run(between, args, &reading, connect, io).await;
    }
    if args.watch {
        return watch(&mut plan, &reading, io).await;
    }
    let (diagnosis, snapshot) = reading.diagnose(&mut plan, io).await?;
    containers::must_exist(&plan.question, &snapshot)?;
    save(args, &snapshot)?;
    super::warnings_as_errors(connect, &reading.connection)?;
    print(&diagnosis, args, reading.namespace(args), io)
}

fn read_files(args: &DiagnoseArgs, io: &mut Io) -> Result<local::Documents, Failure> {
    local::read(&args.filename, args.recursive, &mut io.stdin).map_err(|error| Failure::usage(format!("{error:#}")))
}

fn save(args: &DiagnoseArgs, snapshot: &Snapshot) -> Result<(), Failure> {
    let Some(path) = &args.save else { return Ok(()) };
    save_snapshot(path, snapshot)
}

/// Writes a snapshot to a file, as JSON.
pub fn save_snapshot(path: &std::path::Path, snapshot: &Snapshot) -> Result<(), Failure> {
    save_document(path, &snapshot.to_json())
}

/// Writes a snapshot that is a document already.
pub fn save_document(path: &std::path::Path, snapshot: &serde_json::Value) -> Result<(), Failure> {
    let document = serde_json::to_string_pretty(snapshot).map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    write_private(path, &(document + "\n"))
        .map_err(|error| Failure::new(Exit::Fault, format!("writing the snapshot to {}: {error}", path.display())))
}

/// What was read of a cluster is for its reader alone: the file is made for the user only, where the system knows such a thing.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, text.as_bytes())
}

/// Prints a diagnosis and says how the run ends. `namespace`: the one that was looked at, none for all.
fn print(diagnosis: &Diagnosis, args: &DiagnoseArgs, namespace: Option<&str>, io: &mut Io) -> Outcome {
    let document = document::print(diagnosis, &args.output).map_err(|e| Failure::new(Exit::Fault, e))?;
    match (&args.output, document) {
        (_, Some(document)) => io.stdout.write(&document),
        (Format::Name, None) => io.stdout.write(&names(diagnosis)),
        (_, None) if is_empty(diagnosis) => io.stderr.line(&match namespace {
            Some(namespace) => format!("No resources found in {namespace} namespace."),
            None => "No resources found".to_owned(),
        }),
        (format, None) => {
            let detail = Detail {
                advice: args.advice || args.fail_on == FailOn::Advice,
                wide: *format == Format::Wide,
            };
            let mut paper = Paper::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            text(diagnosis, detail, &mut paper);
            io.stdout.write(&paper.into_text());
        }
    }
    let advised = args.fail_on == FailOn::Advice && !diagnosis.advice.is_empty();
    Ok(match diagnosis.verdict {
        Verdict::Broken | Verdict::Degraded => Exit::Bad,
        _ if advised => Exit::Bad,
        Verdict::Inconclusive => Exit::CannotTell,
        Verdict::Progressing | Verdict::Healthy => Exit::Good,
    })
}

/// Whether there was nothing to judge, and nothing that could not be seen.
fn is_empty(diagnosis: &Diagnosis) -> bool {
    let has_findings = [&diagnosis.root_causes, &diagnosis.symptoms, &diagnosis.advice]
        .iter()
        .any(|list| !list.is_empty());
    diagnosis.workloads.is_empty() && diagnosis.pod_count == 0 && !has_findings && diagnosis.unchecked.is_empty()
}

/// Prints a diagnosis, and another one whenever the answer changes, until it is interrupted.
async fn watch(plan: &mut Plan<'_>, reading: &Reading, io: &mut Io) -> Outcome {
    let namespace = reading.connection.default_namespace().to_owned();
    let mut changes = Changes::open(&reading.connection, (!plan.args.all_namespaces).then_some(namespace.as_str()));
    let mut last: Option<serde_json::Value> = None;
    loop {
        let (diagnosis, snapshot) = reading.diagnose(plan, io).await?;
        let mut answer = serde_json::to_value(&diagnosis).unwrap_or_default();
        if let Some(fields) = answer.as_object_mut() {
            for of_this_moment in ["takenAt", "requests", "elapsedSeconds"] {
                fields.remove(of_this_moment);
            }
        }
        if last.is_none() {
            containers::must_exist(&plan.question, &snapshot)?;
        }
        if last.as_ref() != Some(&answer) {
            if last.is_some() && !plan.args.output.is_document() {
                io.stdout.line("");
            }
            print(&diagnosis, plan.args, reading.namespace(plan.args), io)?;
            save(plan.args, &snapshot)?;
            last = Some(answer);
        }
        if io.stdout.is_closed() {
            return Ok(Exit::Unread);
        }
        changes.next().await?;
    }
}
