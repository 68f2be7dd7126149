//! Traces a connection: reads what the evaluation needs, dials the port, and evaluates.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::io::Stream;
use crate::model::finding::ObjectRef;
use crate::model::snapshot::Snapshot;
use crate::model::trace::Trace;
use crate::model::{duration, near};
use crate::observe::dials::Reach;
use crate::observe::ends::{Resolver, search};
use crate::observe::reads::Rights;
use crate::observe::{patience, reads};
use crate::trace;
use crate::trace::parse::{Destination, Request};
use crate::trace::{Ask, Target, Unanswerable};
use crate::view::Options;

/// Rounds of reads: the lists of both ends, the labels of a namespace and the DNS, what those name, one for each Service of type ExternalName,
/// and two for the port.
const ROUNDS: usize = 12;

/// A connection to trace.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) request: Request,
    pub(crate) options: Options,
    /// Timeout for one connection to the port.
    pub(crate) dial_timeout: Duration,
}

/// Traces a connection in a cluster.
pub(crate) async fn in_cluster(
    connection: &Connection,
    question: &Question,
    now: Timestamp,
    stderr: &Stream,
) -> Result<(Trace, Snapshot), Failure> {
    let (start, before) = (Instant::now(), connection.request_count());
    let namespace = connection.default_namespace().to_owned();
    // The first request shows whether an API server answers.
    if reads::namespace_exists(connection, &namespace).await? == Some(false) {
        return Err(reads::no_such_namespace(connection, &namespace).await);
    }
    let mut snapshot = Snapshot::new(now, false);
    snapshot.namespaces = vec![namespace];
    let searched = match question.request.to {
        Destination::Address(ip) => search(connection, ip, &mut snapshot).await?,
        Destination::Named(..) | Destination::Bare { .. } => true,
    };
    let rights = Rights {
        reach: Reach::new(question.dial_timeout, false, None),
        ..Rights::default()
    };
    let resolver = Resolver {
        connection,
        rights: &rights,
    };
    let ask = resolver.resolve(&question.request, searched, &mut snapshot).await?;
    let needs = |seen: &Snapshot| {
        let needs = trace::needs(seen, &ask, &question.options);
        patience::announce(stderr, seen, &needs);
        ((), needs)
    };
    reads::further_rounds(connection, &mut snapshot, &rights, ROUNDS, needs).await;
    let mut trace = evaluate(&snapshot, &ask, &question.options)?;
    trace.requests = connection.request_count() - before;
    trace.elapsed_seconds = duration::rounded(start.elapsed().as_secs_f64());
    Ok((trace, snapshot))
}

/// Traces a connection between objects of files. Without a namespace, the source may be in any.
pub(crate) fn in_files(snapshot: &Snapshot, question: &Question, namespace: Option<&str>) -> Result<Trace, Failure> {
    let request = &question.request;
    let known: Vec<ObjectRef> = snapshot.objects.references().into_iter().map(|(object, _)| object).collect();
    let missing = |object: &ObjectRef| {
        let failure = Failure::new(Exit::NotFound, format!("{object} is not in the given files"));
        let is_here = |o: &&ObjectRef| object.namespace.is_empty() || o.namespace == object.namespace;
        match near::nearest(&object.name, known.iter().filter(is_here).map(|o| o.name.as_str())) {
            Some(near) => failure.hint(format!("the files have {near}")),
            None => failure,
        }
    };
    let alike = |a: &ObjectRef, b: &ObjectRef| a.kind == b.kind && a.api_version == b.api_version && a.name == b.name;
    let sources = request.from.candidates(namespace.unwrap_or_default());
    let from = sources.iter().find_map(|source| {
        let mut named = known.iter().filter(|o| alike(o, source));
        named.find(|o| namespace.is_none_or(|namespace| o.namespace == namespace))
    });
    let from = from
        .cloned()
        .ok_or_else(|| missing(&sources.first().cloned().unwrap_or_default()))?;
    let targets = request.to.candidates(&from.namespace);
    let is_inside = |name: &str| {
        known
            .iter()
            .any(|o| name.split('.').any(|label| label == o.namespace || label == o.name))
    };
    let is_known = |target: &&Target| match target {
        Target::Object(object) => known.contains(object),
        Target::Name(name) => request.to.is_host() || targets.len() == 1 || !is_inside(name),
        Target::Address(_) => true,
    };
    let to = match (targets.iter().find(is_known), targets.first()) {
        (Some(to), _) => to.clone(),
        (None, Some(Target::Object(object))) => return Err(missing(object)),
        (None, _) => return Err(Failure::usage("TO names no object of the given files")),
    };
    let ask = Ask {
        from,
        to,
        port: request.port.clone(),
        protocol: request.protocol.clone(),
        searched: true,
    };
    evaluate(snapshot, &ask, &question.options)
}

fn evaluate(snapshot: &Snapshot, ask: &Ask, options: &Options) -> Result<Trace, Failure> {
    trace::trace(snapshot, ask, options).map_err(|why| match why {
        Unanswerable::Usage(message) => Failure::usage(message),
        Unanswerable::Unread(message) => Failure::new(Exit::CannotTell, message),
    })
}
