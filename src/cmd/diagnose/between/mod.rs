//! `diagnose --from --to`: reads what an answer needs, and evaluates whether anything stops the connection.

mod parse;

use std::net::IpAddr;

use parse::Called;
pub use parse::{Between, BetweenArgs};

use super::reading::Reading;
use super::{DiagnoseArgs, offline, print, save};
use crate::cluster::ListQuery;
use crate::cmd::collect::{self, Rights};
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::{Outcome, warnings_as_errors};
use crate::io::Io;
use crate::model::duration;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::near;
use crate::model::snapshot::{Presence, Snapshot};
use crate::rules::network_policy::connection::{self, Ask, Target, Unanswerable};

/// How often the evaluation may ask for more: the lists of both ends, then the labels of a namespace and the DNS, then what those name.
const ROUNDS: usize = 5;

/// Answers from the cluster.
pub(super) async fn run(
    between: &Between,
    args: &DiagnoseArgs,
    reading: &Reading,
    connect: &crate::cmd::flags::ConnectFlags,
    io: &mut Io,
) -> Outcome {
    let connection = &reading.connection;
    let (start, before) = (std::time::Instant::now(), connection.request_count());
    let namespace = connection.default_namespace().to_owned();
    // The first request tells whether there is an API server at all that answers.
    if collect::namespace_exists(connection, &namespace).await? == Some(false) {
        return Err(Failure::new(Exit::NotFound, format!("namespace {namespace} does not exist")).hint("kubectl get namespaces"));
    }
    let mut snapshot = Snapshot::new((io.now)(), false);
    snapshot.namespaces = vec![namespace.clone()];
    let (kind, name) = &between.from;
    let from = ObjectRef::new(kind, &namespace, name);
    let searched = match between.to {
        Called::Address(ip) => search(reading, ip, &mut snapshot).await?,
        Called::Named(..) => true,
    };
    let mut candidates = between.to.candidates(&namespace).into_iter();
    let mut ask = ask(between, from.clone(), candidates.next(), searched);
    read(reading, &ask, &mut snapshot).await;
    reading.must_exist(kind, &from, &mut snapshot).await?;
    if let Target::Object(first) = ask.to.clone() {
        let of = kind::of_object(&first.api_version, &first.kind).cloned().unwrap_or(kind::SERVICE);
        let absent = |snapshot: &Snapshot, o: &ObjectRef| snapshot.presence(&of, &o.namespace, &o.name) == Presence::Absent;
        if let Some(second) = candidates.next().filter(|_| absent(&snapshot, &first)) {
            ask.to = Target::Object(second.clone());
            read(reading, &ask, &mut snapshot).await;
            if absent(&snapshot, &second) {
                ask.to = Target::Object(first);
            }
        }
        if let Target::Object(to) = &ask.to {
            reading.must_exist(&of, to, &mut snapshot).await?;
        }
    }
    // What had to be asked for by name may lead further.
    read(reading, &ask, &mut snapshot).await;
    let mut diagnosis = answer(&snapshot, &ask)?;
    diagnosis.requests = connection.request_count() - before;
    diagnosis.elapsed_seconds = duration::rounded(start.elapsed().as_secs_f64());
    save(args, &snapshot)?;
    warnings_as_errors(connect, connection)?;
    print(&diagnosis, args, Some(&namespace), io)
}

/// Answers from files.
pub(super) fn run_local(between: &Between, args: &DiagnoseArgs, connect: &crate::cmd::flags::ConnectFlags, io: &mut Io) -> Outcome {
    let snapshot = offline::snapshot(args, connect.namespace.as_deref(), io)?;
    let known: Vec<ObjectRef> = snapshot.objects.references().into_iter().map(|(object, _)| object).collect();
    let (kind, name) = &between.from;
    let missing = |shown: String, name: &str| {
        let failure = Failure::new(Exit::NotFound, format!("{shown} is not in the given files"));
        match near::nearest(name, known.iter().map(|o| o.name.as_str())) {
            Some(near) => failure.hint(format!("the files have {near}")),
            None => failure,
        }
    };
    let wanted = connect.namespace.as_deref();
    let is_from = |o: &&ObjectRef| o.is(kind) && o.name == *name && wanted.is_none_or(|n| o.namespace == n);
    let from = known.iter().find(is_from).cloned();
    let from = from.ok_or_else(|| missing(format!("{}/{name}", kind.singular()), name))?;
    let candidates = between.to.candidates(&from.namespace);
    let to = candidates.iter().find(|candidate| known.contains(candidate)).cloned();
    if let (None, Some(first)) = (&to, candidates.first()) {
        return Err(missing(first.to_string(), &first.name));
    }
    let diagnosis = answer(&snapshot, &ask(between, from, to, true))?;
    save(args, &snapshot)?;
    print(&diagnosis, args, wanted, io)
}

fn ask(between: &Between, from: ObjectRef, to: Option<ObjectRef>, searched: bool) -> Ask {
    Ask {
        to: match (&between.to, to) {
            (Called::Address(ip), _) => Target::Address(*ip),
            (Called::Named(..), to) => Target::Object(to.unwrap_or_default()),
        },
        from,
        port: between.port.clone(),
        protocol: between.protocol.clone(),
        searched,
    }
}

fn answer(snapshot: &Snapshot, ask: &Ask) -> Result<crate::model::report::Diagnosis, Failure> {
    connection::diagnose(snapshot, ask).map_err(|why| match why {
        Unanswerable::Usage(message) => Failure::usage(message),
        Unanswerable::Unread(message) => Failure::new(Exit::CannotTell, message),
    })
}

/// Reads what the evaluation asks for, until it asks for nothing more.
async fn read(reading: &Reading, ask: &Ask, snapshot: &mut Snapshot) {
    let needs = |seen: &Snapshot| connection::needs(seen, ask);
    collect::further_rounds(&reading.connection, snapshot, &Rights::default(), ROUNDS, needs).await;
}

/// Looks for an address among the pods and Services of every namespace; says whether all could be searched.
async fn search(reading: &Reading, ip: IpAddr, snapshot: &mut Snapshot) -> Result<bool, Failure> {
    let mut searched = true;
    for (kind, field) in [(kind::SERVICE, "spec.clusterIP"), (kind::POD, "status.podIP")] {
        let query = ListQuery {
            field_selector: format!("{field}={ip}"),
            ..ListQuery::default()
        };
        match reading.connection.list(&kind, None, &query).await {
            Ok(list) => {
                for item in list.items {
                    collect::note_bad(snapshot, item);
                }
            }
            Err(error) if error.is_fatal_for_api() => return Err(error.into()),
            Err(error) => {
                collect::note(snapshot, &format!("{} with the address {ip}", kind.plural), &error);
                searched = false;
            }
        }
    }
    snapshot.sort();
    Ok(searched)
}
