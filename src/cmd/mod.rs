//! One file per verb: its flags, its plan, its wiring.

pub mod collect;
pub mod complete;
pub mod completion;
mod debug_container;
pub mod diagnose;
pub mod exit;
pub mod explain;
pub mod flags;
mod left_out;
pub mod local;
pub mod patience;
mod rbac;
pub mod reach;
pub mod targets;
pub mod version;
pub mod wait_ready;
pub mod watching;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use exit::{Exit, Failure};

use crate::cluster::Log;
use crate::io::{Environment, Io, Stream};
use crate::model::text::{redact, sanitise};

/// How a verb ends: with an exit code after it has printed its result, or with a failure and no result.
pub type Outcome = Result<Exit, Failure>;

/// Say why pods are broken.
#[derive(Debug, Parser)]
#[command(name = "kubectl-podlife", bin_name = "kubectl podlife", version, disable_version_flag = false, args_override_self = true, after_help = exit::HELP)]
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
    let outcome = match &cli.verb {
        Verb::Diagnose(args) => diagnose::run(args, &cli.connect, io, log).await,
        Verb::WaitReady(args) => wait_ready::run(args, &cli.connect, io, log).await,
        Verb::Explain(args) => explain::run(args, io),
        Verb::Rbac(args) => rbac::run(args, &cli.connect, io),
        Verb::Version(args) => version::run(args, cli.connect.clone(), io, log).await,
        Verb::Completion(args) => {
            io.stdout.write(&completion::script(args.shell, Cli::command()));
            Ok(Exit::Good)
        }
    };
    match outcome {
        Ok(exit) => written(io, exit),
        Err(failure) => {
            explain(&failure, is_document(arguments), io);
            failure.exit
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

/// `--help` and `--version` are results; anything else is a command line that makes no sense.
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
                "exitCode": failure.exit as u8,
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
