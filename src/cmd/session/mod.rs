//! `session`: a pod for each session id.

mod access;
mod create;
mod delete;
mod exec;
mod forward;
mod gc;
mod life;
mod list;
mod logs;
mod manifests;
mod name;
mod pause;
mod plan;
mod report;
mod requests;
pub(crate) mod rights;
mod run;
pub(crate) mod serve;
mod status;
mod template;
mod touch;
mod wait;
mod warm;

use std::cell::RefCell;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures::future::{LocalBoxFuture, ready};

use crate::cluster::{Connection, Log};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::exit::Failure;
use crate::io::Io;
use crate::model::{duration, selector};
use crate::observe::session::Sessions;
use crate::observe::session::objects::InCluster;

/// Create a pod for each session id, find it by the id, and clean it up when it is idle.
///
/// A session is a Lease (its record), a pod, and optionally a Service and a volume claim. Only the pods run in the cluster: run `session gc`
/// regularly, for example as a CronJob.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES)]
pub struct SessionArgs {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  # a pod for session user-42; run it again to get the same pod
  kubectl podlife session create user-42 --image ide:3 --port 8080
  # which sessions exist, and when does each one end?
  kubectl podlife session list
  # mark it as used
  kubectl podlife session touch user-42
  # delete idle sessions, and replace pods that failed
  kubectl podlife session gc --once";

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Box<create::CreateArgs>),
    Run(Box<run::RunArgs>),
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Status(status::StatusArgs),
    Touch(touch::TouchArgs),
    Wait(wait::WaitArgs),
    Exec(exec::ExecArgs),
    Logs(logs::LogsArgs),
    Forward(forward::ForwardArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Delete(delete::DeleteArgs),
    Gc(gc::GcArgs),
    Name(name::NameArgs),
    Plan(Box<plan::PlanArgs>),
    Serve(Box<serve::ServeArgs>),
    Template(Box<template::TemplateArgs>),
}

/// Runs the verb.
pub fn run<'a>(args: &'a SessionArgs, connect: &'a ConnectFlags, io: &'a mut Io, log: Log) -> LocalBoxFuture<'a, Outcome> {
    match &args.verb {
        Verb::Create(args) => Box::pin(create::run(args, connect, io, log)),
        Verb::Run(args) => Box::pin(run::run(args, connect, io, log)),
        Verb::List(args) => Box::pin(list::run(args, connect, io, log)),
        Verb::Status(args) => Box::pin(status::run(args, connect, io, log)),
        Verb::Touch(args) => Box::pin(touch::run(args, connect, io, log)),
        Verb::Wait(args) => Box::pin(wait::run(args, connect, io, log)),
        Verb::Exec(args) => Box::pin(exec::run(args, connect, io, log)),
        Verb::Logs(args) => Box::pin(logs::run(args, connect, io, log)),
        Verb::Forward(args) => Box::pin(forward::run(args, connect, io, log)),
        Verb::Pause(args) => Box::pin(pause::pause(args, connect, io, log)),
        Verb::Resume(args) => Box::pin(pause::resume(args, connect, io, log)),
        Verb::Delete(args) => Box::pin(delete::run(args, connect, io, log)),
        Verb::Gc(args) => Box::pin(gc::run(args, connect, io, log)),
        Verb::Plan(args) => Box::pin(plan::run(args, connect, io, log)),
        Verb::Serve(args) => Box::pin(serve::run(args, connect, io, log)),
        Verb::Name(args) => Box::pin(ready(name::run(args, io))),
        Verb::Template(args) => Box::pin(template::run(args, connect, io, log)),
    }
}

/// The sessions of the namespace that the flags name. `verb` is what the records show as the client.
async fn open(verb: &str, connect: &ConnectFlags, io: &Io, log: Log) -> Result<Sessions<InCluster>, Failure> {
    let options = connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let namespace = connection.default_namespace().to_owned();
    let agent = match crate::io::host(&io.environment) {
        Some(host) => format!("{verb} on {host}"),
        None => verb.to_owned(),
    };
    Ok(Sessions {
        objects: InCluster::new(connection, namespace.clone()),
        namespace,
        agent,
        slots: RefCell::default(),
    })
}

/// The labels of records, in the words of the user.
fn selector(text: &str) -> Result<String, String> {
    selector::parse(text).map(|_| text.to_owned())
}

/// A limit in whole seconds; `0` and `never` mean none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(Option<Duration>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "never" {
        return Ok(Limit(None));
    }
    let limit = duration::parse(text).map_err(|error| format!("{error}, or never"))?;
    match limit {
        limit if limit.is_zero() => Ok(Limit(None)),
        limit if limit.subsec_nanos() != 0 => Err("expected whole seconds".to_owned()),
        limit if limit.as_secs() > i32::MAX as u64 => Err("longer than 68 years; use never".to_owned()),
        limit => Ok(Limit(Some(limit))),
    }
}

/// How many sessions; `0` and `never` mean any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Maximum(Option<u32>);

fn maximum(text: &str) -> Result<Maximum, String> {
    match text {
        "never" | "0" => Ok(Maximum(None)),
        text => text
            .parse::<u32>()
            .map(|number| Maximum(Some(number)))
            .map_err(|_| "expected a number, or never for no maximum".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_never_are_the_same() {
        assert_eq!(limit("0"), Ok(Limit(None)));
        assert_eq!(limit("never"), Ok(Limit(None)));
        assert_eq!(limit("0s"), Ok(Limit(None)));
        assert_eq!(limit("90"), Ok(Limit(Some(Duration::from_secs(90)))));
        assert_eq!((maximum("0"), maximum("never")), (Ok(Maximum(None)), Ok(Maximum(None))));
        assert!(selector("team=a,!old").is_ok() && selector("").is_err() && selector("a in").is_err());
        assert!(limit("1500ms").is_err() && limit("-1s").is_err() && maximum("-1").is_err());
    }
}
