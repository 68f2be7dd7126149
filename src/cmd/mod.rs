//! One file per verb: its flags, its plan, and how it is run.

pub mod complete;
pub(crate) mod completion;
pub(crate) mod diagnose;
mod drill;
pub(crate) mod explain;
pub(crate) mod flags;
mod local;
mod rbac;
mod save;
mod session;
pub(crate) mod targets;
mod trace;
pub(crate) mod version;
pub mod wait_ready;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use futures::future::{LocalBoxFuture, ready};

use crate::cluster::Log;
use crate::exit::{self, Exit, Failure};
use crate::io::{Environment, Io, Stream};
use crate::text::{redact, sanitise};

/// How a verb ends: with an exit code after it has printed its result, or with a failure and no result.
pub type Outcome = Result<Exit, Failure>;

/// Order of `--help`: what the verb does, examples, usage, flags, exit codes.
const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  # why is something broken in namespace shop?
  kubectl podlife diagnose -n shop
  # wait until a deployment really works
  kubectl podlife wait-ready deployment/api -n shop --timeout 3m
  # does anything stop a connection?
  kubectl podlife trace deployment/web svc/db:5432 -n shop
  # a pod for session user-42; run it again to get the same pod
  kubectl podlife session create user-42 --image ide:3 --port 8080
  # what would happen if a pod were lost?
  kubectl podlife drill plan pod-delete deployment/api
  # what does a finding mean, and what fixes it?
  kubectl podlife explain ImagePullFailing";

/// Explain why pods are broken, wait until they work, trace connections, keep a pod for each session, and test whether they survive.
#[derive(Debug, Parser)]
#[command(name = "kubectl-podlife", bin_name = "kubectl podlife", version, args_override_self = true, help_template = HELP, before_help = EXAMPLES, after_help = exit::HELP)]
pub struct Cli {
    #[command(flatten)]
    connect: flags::ConnectFlags,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Diagnose(Box<diagnose::DiagnoseArgs>),
    WaitReady(Box<wait_ready::WaitReadyArgs>),
    Trace(Box<trace::TraceArgs>),
    Session(Box<session::SessionArgs>),
    Drill(Box<drill::DrillArgs>),
    Explain(explain::ExplainArgs),
    Rbac(rbac::RbacArgs),
    Version(version::VersionArgs),
    Completion(completion::CompletionArgs),
}

/// When colour is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Whether colour is written: on a terminal, unless NO_COLOR or TERM=dumb say otherwise.
    pub fn is_on(self, stream: &Stream, environment: &Environment) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => stream.is_terminal() && environment.get("NO_COLOR").is_none() && environment.get("TERM") != Some("dumb"),
        }
    }
}

/// Runs one command line, without the name of the program, and says how it ended. A failure has been printed by then.
pub async fn run(arguments: &[String], io: &mut Io) -> Exit {
    if let Some((complete::VERB, words)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let mut command = Cli::command();
        command.build();
        io.stdout.write(&complete::complete(&command, words, &io.environment).await);
        return Exit::Good;
    }
    let arguments = &session::serve::with_environment(arguments, &io.environment)[..];
    let named = std::iter::once("kubectl-podlife".to_owned()).chain(arguments.iter().cloned());
    let cli = match Cli::try_parse_from(named) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && is_document(arguments).is_some() => {
            let message = error.to_string();
            // What is missing stands on lines of its own; usage and tips come behind an empty one.
            let lines: Vec<&str> = message.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
            let told = lines.join(" ");
            let failure = Failure::usage(told.strip_prefix("error: ").unwrap_or(&told)).hint("kubectl podlife --help");
            explain(&failure, is_document(arguments), io);
            return Exit::Usage;
        }
        Err(error) => return no_command(&error, io),
    };
    let stderr = io.stderr.clone();
    let log: Log = std::sync::Arc::new(move |line: &str| stderr.line(&sanitise(line)));
    let outcome = act(&cli, io, log).await;
    match outcome {
        Ok(exit) => written(io, exit),
        Err(failure) => {
            explain(&failure, is_document(arguments), io);
            failure.exit
        }
    }
}

/// What a verb does, on the heap: on the stack, the frames of all of them would add up.
fn act<'a>(cli: &'a Cli, io: &'a mut Io, log: Log) -> LocalBoxFuture<'a, Outcome> {
    match &cli.verb {
        Verb::Diagnose(args) => Box::pin(diagnose::run(args, &cli.connect, io, log)),
        Verb::WaitReady(args) => Box::pin(wait_ready::run(args, &cli.connect, io, log)),
        Verb::Trace(args) => Box::pin(trace::run(args, &cli.connect, io, log)),
        Verb::Session(args) => session::run(args, &cli.connect, io, log),
        Verb::Drill(args) => drill::run(args, &cli.connect, io, log),
        Verb::Explain(args) => Box::pin(ready(explain::run(args, io))),
        Verb::Rbac(args) => Box::pin(ready(rbac::run(args, &cli.connect, io))),
        Verb::Version(args) => Box::pin(version::run(args, cli.connect.clone(), io, log)),
        Verb::Completion(args) => {
            io.stdout.write(&completion::script(args.shell, Cli::command()));
            Box::pin(ready(Ok(Exit::Good)))
        }
    }
}

/// With `--warnings-as-errors`, a warning of the API server is a failure, as in kubectl.
fn warnings_as_errors(connect: &flags::ConnectFlags, connection: &crate::cluster::Connection) -> Result<(), Failure> {
    match connection.warnings().len() {
        count if count > 0 && connect.warnings_as_errors == Some(true) => Err(Failure::new(
            Exit::Fault,
            format!("{count} {} received", if count == 1 { "warning" } else { "warnings" }),
        )),
        _ => Ok(()),
    }
}

/// A result that could not be written is none: a full disk, for example.
fn written(io: &Io, exit: Exit) -> Exit {
    match io.stdout.failure() {
        Some(why) => {
            io.stderr.line(&format!("error: writing the result: {why}"));
            Exit::Fault
        }
        None => exit,
    }
}

/// `--help` and `--version` are results; anything else is invalid usage.
fn no_command(error: &clap::Error, io: &Io) -> Exit {
    if error.use_stderr() {
        let text = error.to_string();
        io.stderr.write(&text);
        Exit::Usage
    } else {
        io.stdout.write(&error.to_string());
        written(io, Exit::Good)
    }
}

/// Whether a program asked: then the error is a document on stderr.
fn is_document(arguments: &[String]) -> Option<&'static str> {
    let mut values = arguments.iter().zip(arguments.iter().skip(1).map(String::as_str).chain([""]));
    values.find_map(|(flag, next)| {
        let value = match flag.as_str() {
            "-o" | "--output" => next,
            flag => flag
                .strip_prefix("--output=")
                .or_else(|| flag.strip_prefix("-o"))
                .map(|v| v.trim_start_matches('='))
                .unwrap_or_default(),
        };
        ["json", "yaml"].into_iter().find(|known| *known == value)
    })
}

fn explain(failure: &Failure, document: Option<&'static str>, io: &Io) {
    let message = sanitise(&redact(&failure.message));
    match document {
        None => {
            io.stderr.line(&format!("error: {message}"));
            if let Some(hint) = &failure.hint {
                io.stderr.line(&format!("hint: {}", sanitise(hint)));
            }
        }
        Some(format) => {
            let mut error = serde_json::json!({
                "apiVersion": crate::model::report::API_VERSION,
                "kind": "Error",
                "message": message,
                "exitCode": failure.exit.code(),
            });
            if let Some(hint) = &failure.hint {
                error["hint"] = sanitise(hint).into();
            }
            let text = if format == "json" {
                serde_json::to_string_pretty(&error).ok().map(|t| t + "\n")
            } else {
                serde_saphyr::to_string(&error).ok()
            };
            io.stderr.write(&text.unwrap_or_default());
        }
    }
}
