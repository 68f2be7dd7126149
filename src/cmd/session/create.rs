//! `session create`

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{ApiErrorKind, Log, WriteOptions};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::life::LifeFlags;
use crate::cmd::session::template::{TemplateFlags, warn};
use crate::cmd::session::{open, report};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::{duration, kind};
use crate::observe::session::create::{IfExists, Wanted};
use crate::observe::session::ready::Healer;
use crate::render::document::Format;
use crate::session::record::Record;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DryRun {
    None,
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Existing {
    /// Use it as it is
    Reuse,
    /// Exit with code 3
    Fail,
    /// Delete it with its volume, and create it again
    Replace,
}

/// Create the pod of a session, or use the existing one, and wait until it is ready.
///
/// However often you call it, a session has one record and at most one running pod. The pod is secure by default (Pod Security `restricted`, no
/// token, only a gateway may connect); podlife warns about what the template relaxes.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(super) struct CreateArgs {
    /// Session id: any text of 1 to 4096 bytes
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    template: TemplateFlags,
    #[command(flatten)]
    life: LifeFlags,
    /// What to do if the session exists: reuse, fail or replace
    #[arg(long, value_name = "WHAT", default_value = "reuse")]
    if_exists: Existing,
    /// Wait until the pod is ready (default)
    #[arg(long, conflicts_with = "no_wait")]
    wait: bool,
    /// Return as soon as the pod is created
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until the pod is ready; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    timeout: Duration,
    /// Only print the objects (client), or also have the API server validate them (server): none, client or server
    #[arg(long, value_name = "WHERE", default_value = "none", num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRun,
    /// Output format: text, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

const EXAMPLES: &str = "\
Examples:
  # a pod for session user-42; run it again to get the same pod
  kubectl podlife session create user-42 --image ide:3 --port 8080
  # limits, a variable, and a volume that lives as long as the session
  kubectl podlife session create user-42 --image ide:3 --cpu 200m:2 \\
    --memory 256Mi:2Gi --env LANG=C.UTF-8 --volume 5Gi:/home/user
  # like the pods of a Deployment, for two hours at most
  kubectl podlife session create user-42 --from deploy/ide --max-lifetime 2h
  # with another command
  kubectl podlife session create build-7 --image builder -- make watch";

const EXIT_CODES: &str = "\
Exit codes:
  0    the session exists, and its pod is ready unless --no-wait
  1    an internal error of podlife
  2    invalid usage
  3    no pod: it will not become ready, is rejected, or the maximum of sessions is reached
  5    the namespace, or the object of --from, does not exist
  6    the API server gave no usable answer
  124  not ready before the timeout";

/// What a session that exists has otherwise than it is wanted.
fn kept(record: &Record, wanted: &Wanted) -> Vec<&'static str> {
    let is_labelled = wanted.labels.iter().all(|(key, value)| record.labels.get(key) == Some(value));
    // A record counts whole seconds.
    let is_other = |of_record: Option<Duration>, wanted: Option<Duration>| of_record.map(|d| d.as_secs()) != wanted.map(|d| d.as_secs());
    let differs = [
        ("template", record.template != wanted.template.hash()),
        ("idle timeout", is_other(record.idle_timeout, wanted.idle_timeout)),
        ("maximum lifetime", is_other(record.max_lifetime, wanted.max_lifetime)),
        ("owner", wanted.owner.is_some() && wanted.owner != record.owner),
        ("labels", !is_labelled),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}

pub(super) async fn run(args: &CreateArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let begun = Instant::now();
    crate::session::name::of(&args.id).map_err(Failure::usage)?;
    let sessions = open("create", connect, io, log).await?;
    let template = args
        .template
        .template(&sessions.objects.connection, &sessions.namespace, io)
        .await?;
    warn(&template, io);
    let if_exists = match args.if_exists {
        Existing::Reuse => IfExists::Reuse,
        Existing::Fail => IfExists::Fail,
        Existing::Replace => IfExists::Replace,
    };
    let wanted = args.life.wanted(&args.id, template, args.template.policy(), if_exists);
    if args.dry_run != DryRun::None {
        let objects = sessions.objects_of(&wanted)?;
        if args.dry_run == DryRun::Server {
            let options = WriteOptions {
                dry_run: true,
                ..WriteOptions::default()
            };
            let connection = &sessions.objects.connection;
            for (kind, object) in &objects {
                match connection.create(kind, Some(&sessions.namespace), object, &options).await {
                    // Sessions share these.
                    Err(error) if error.kind == ApiErrorKind::Conflict && [kind::NETWORK_POLICY, kind::CONFIG_MAP].contains(kind) => {}
                    created => drop(created.map_err(|error| Failure {
                        exit: Exit::Bad,
                        message: error.to_string(),
                        hint: error.hint.clone(),
                    })?),
                }
            }
        }
        let mut documents: Vec<Value> = objects.into_iter().map(|(_, object)| object).collect();
        for object in &mut documents {
            object["metadata"]["namespace"] = sessions.namespace.as_str().into();
        }
        return report::objects(&documents, &args.output, io);
    }
    let late = |limit| format!("session {} has no pod after {limit}", report::shown(&args.id));
    let created = match report::within(args.timeout, sessions.create(&wanted), (&sessions, &mut io.stderr), late).await {
        Err(failure) if failure.exit == Exit::NotFound => {
            sessions.must_have_namespace().await?;
            return Err(failure);
        }
        created => created?,
    };
    if !created.is_new {
        let kept = kept(&created.record, &wanted);
        if !kept.is_empty() {
            io.stderr.line(&format!(
                "Warning: the session exists and keeps its {}; --if-exists=replace recreates it",
                kept.join(", ")
            ));
        }
    } else if let Some(size) = sessions.kept_size(&created.record, &wanted.template).await? {
        io.stderr.line(&format!(
            "Warning: the session keeps the {size} volume of an earlier session; --if-exists=replace creates a new one"
        ));
    }
    let wait = report::Wait {
        word: if created.is_new { "created" } else { "exists" },
        begun,
        timeout: (!args.no_wait).then_some(args.timeout),
        healer: Healer::This,
        output: &args.output,
    };
    report::until_ready(&sessions, created.record, &wait, io).await
}
