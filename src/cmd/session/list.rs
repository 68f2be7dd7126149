//! `session list`

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::future::try_join;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::cluster::{ListQuery, Log, WatchEvent};
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::{open, selector};
use crate::cmd::{Colour, Outcome};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::kind::Kind;
use crate::model::report::API_VERSION;
use crate::model::session::{Session, SessionList, SessionState};
use crate::model::{duration, kind};
use crate::observe::session::objects::InCluster;
use crate::observe::session::{Sessions, all_selector, pod_of, records_selector};
use crate::render::document;
use crate::render::document::Format;
use crate::render::session::table;
use crate::render::text_writer::TextWriter;
use crate::session::record::Record;
use crate::session::state;
use crate::text::sanitise;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SortBy {
    Id,
    State,
    Idle,
    Expires,
    Owner,
    Age,
}

fn session_state(text: &str) -> Result<SessionState, String> {
    let is_meant = |state: &SessionState| state.as_str().eq_ignore_ascii_case(text);
    SessionState::ALL.into_iter().find(is_meant).ok_or_else(|| {
        let all = SessionState::ALL.map(SessionState::as_str).join(", ");
        format!("expected one of {all}")
    })
}

/// List sessions: their state, how long they have been idle, and when they end.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// List the sessions of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only sessions whose records have these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = selector)]
    selector: Option<String>,
    /// Only sessions in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = session_state)]
    state: Vec<SessionState>,
    /// Only sessions that have been idle for at least this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    idle_for: Option<Duration>,
    /// Order: id, state, idle (longest first), expires, owner or age (youngest first)
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    sort_by: SortBy,
    /// Print the table again whenever something has changed
    #[arg(short = 'w', long)]
    watch: bool,
    /// Do not print the column names
    #[arg(long)]
    no_headers: bool,
    /// Output format: text, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

pub(super) async fn run(args: &ListArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    if args.all_namespaces && connect.namespace.is_some() {
        return Err(Failure::usage("-A and -n cannot be used together"));
    }
    let sessions = open("list", connect, io, log).await?;
    let namespace = (!args.all_namespaces).then_some(sessions.namespace.as_str());
    let (items, unreadable) = read(args, &sessions, namespace).await?;
    for why in unreadable {
        io.stderr.line(&format!("Warning: {}", sanitise(&why)));
    }
    if items.is_empty() && namespace.is_some() {
        sessions.must_have_namespace().await?;
    }
    print(args, &items, sessions.now(), namespace, io)?;
    if !args.watch {
        return Ok(Exit::Good);
    }
    let connection = &sessions.objects.connection;
    let watch = |kind: Kind, selector| {
        let query = ListQuery {
            label_selector: selector,
            ..ListQuery::default()
        };
        connection.watch(&kind, namespace, &query, None)
    };
    let records = watch(kind::LEASE, records_selector());
    let mut changes = stream::select(records, watch(kind::POD, all_selector()));
    let shown = |items: &[Session]| -> Vec<_> {
        let row = |s: &Session| {
            (
                s.namespace.clone(),
                s.id.clone(),
                s.state,
                s.pod.clone(),
                s.ready.clone(),
                s.last_activity_at,
            )
        };
        items.iter().map(row).collect()
    };
    let mut last = shown(&items);
    while let Some(event) = changes.next().await {
        if let WatchEvent::Interrupted(error) = event? {
            io.stderr.line(&format!("Warning: {error}"));
            continue;
        }
        let (items, _) = read(args, &sessions, namespace).await?;
        if shown(&items) != last {
            last = shown(&items);
            print(args, &items, sessions.now(), namespace, io)?;
        }
        if io.stdout.is_closed() {
            return Ok(Exit::Unread);
        }
    }
    Ok(Exit::Good)
}

/// The sessions, and what is wrong with Leases that are no records that this version understands.
async fn read(args: &ListArgs, sessions: &Sessions<InCluster>, namespace: Option<&str>) -> Result<(Vec<Session>, Vec<String>), Failure> {
    let connection = &sessions.objects.connection;
    let query = |selector: String| ListQuery {
        label_selector: selector,
        lean: true,
        ..ListQuery::default()
    };
    let more = args.selector.as_ref().map_or_else(String::new, |selector| format!(",{selector}"));
    let (of_records, of_pods) = (query(records_selector() + &more), query(all_selector()));
    let (leases, pods) = try_join(
        connection.list(&kind::LEASE, namespace, &of_records),
        connection.list(&kind::POD, namespace, &of_pods),
    )
    .await?;
    let now = sessions.now();
    let key = |pod: &Pod| Some((pod.metadata.namespace.clone()?, pod.metadata.name.clone()?));
    let pods: BTreeMap<_, Pod> = pods
        .items
        .into_iter()
        .filter_map(pod_of)
        .filter_map(|pod| Some((key(&pod)?, pod)))
        .collect();
    let (records, unreadable) = Record::read_all(&leases.items);
    let mut items: Vec<Session> = records
        .into_iter()
        .map(|record| state::report(&record, pods.get(&(record.namespace.clone(), record.pod())), now))
        .filter(|session| args.state.is_empty() || args.state.contains(&session.state))
        .filter(|session| args.idle_for.is_none_or(|limit| session.idle_seconds >= limit.as_secs()))
        .collect();
    items.sort_by(|a, b| (&a.namespace, &a.id).cmp(&(&b.namespace, &b.id)));
    match args.sort_by {
        SortBy::Id => {}
        SortBy::State => items.sort_by_key(|session| session.state),
        SortBy::Idle => items.sort_by_key(|session| std::cmp::Reverse(session.idle_seconds)),
        SortBy::Expires => items.sort_by_key(|session| session.expires_at.unwrap_or(Timestamp::MAX)),
        SortBy::Owner => items.sort_by(|a, b| a.owner.cmp(&b.owner)),
        SortBy::Age => items.sort_by_key(|session| std::cmp::Reverse(session.created_at)),
    }
    Ok((items, unreadable))
}

fn print(args: &ListArgs, items: &[Session], now: Timestamp, namespace: Option<&str>, io: &mut Io) -> Result<(), Failure> {
    let list = SessionList {
        api_version: API_VERSION,
        kind: "SessionList",
        items: items.to_vec(),
    };
    if let Some(document) = document::print(&list, &args.output).map_err(|error| Failure::new(Exit::Fault, error))? {
        io.stdout.write(&document);
    } else if args.output == Format::Name {
        for session in items {
            io.stdout.line(&format!("session/{}", session.name));
        }
    } else if items.is_empty() {
        io.stderr.line(&match namespace {
            Some(namespace) => format!("No sessions found in {namespace} namespace."),
            None => "No sessions found".to_owned(),
        });
    } else {
        let mut writer = TextWriter::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
        table(items, now, namespace.is_none(), !args.no_headers, &mut writer);
        io.stdout.write(&writer.into_text());
    }
    Ok(())
}
