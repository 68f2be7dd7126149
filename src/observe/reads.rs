//! Reads a cluster into a snapshot: lists first, then what rules ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::cluster::{ApiError, ApiErrorKind, Connection, ListQuery, LogQuery};
use crate::exit::{Exit, Failure};
use crate::model::certificate::Certificate;
use crate::model::dial::{Dial, Reply};
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::snapshot::{Coverage, LogKey, Presence, Snapshot, Unchecked, UncheckedKind};
use crate::model::sockets::PodSockets;
use crate::model::{duration, kind, near};
use crate::observe::dials as reach;
use crate::observe::dials::Reach;
use crate::observe::sockets::Unseen;
use crate::observe::unread::{leave_out, untried};
use crate::view::Need;

/// Kinds that are listed at once. ConfigMaps are listed as metadata: their content is read one by one, and only where a finding needs it.
pub const FIRST: &[Kind] = &[
    kind::POD,
    kind::SERVICE,
    kind::ENDPOINT_SLICE,
    kind::EVENT,
    kind::DEPLOYMENT,
    kind::REPLICA_SET,
    kind::STATEFUL_SET,
    kind::DAEMON_SET,
    kind::REPLICATION_CONTROLLER,
    kind::JOB,
    kind::CRON_JOB,
    kind::INGRESS,
    kind::NETWORK_POLICY,
    kind::CLAIM,
    kind::CONFIG_MAP,
    kind::AUTOSCALER,
    kind::DISRUPTION_BUDGET,
    kind::GATEWAY,
    kind::HTTP_ROUTE,
];

/// Kinds within a namespace that are listed only where a finding needs them.
pub const ON_DEMAND: &[Kind] = &[kind::SERVICE_ACCOUNT, kind::RESOURCE_QUOTA, kind::LIMIT_RANGE, kind::SECRET];

/// Kinds of the cluster as a whole that are listed only where a finding needs them.
pub const CLUSTER_WIDE: &[Kind] = &[
    kind::NODE,
    kind::VOLUME,
    kind::STORAGE_CLASS,
    kind::INGRESS_CLASS,
    kind::PRIORITY_CLASS,
    kind::RUNTIME_CLASS,
    kind::NAMESPACE,
];

/// Lines of a log that are read: what explains an end stands near the end.
const LOG_LINES: u64 = 100;
const LOG_BYTES: usize = 64 << 10;

/// Which rights a run may use.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Ask for the metadata of Secrets.
    pub secrets: bool,
    /// Dial ports and look into pods.
    pub reach: Reach,
}

/// Reads the first round: every kind of [`FIRST`] in these namespaces, or everywhere.
/// What may not be read becomes an `unchecked` entry; only an API that gives no usable answer at all is an error.
/// Where every list was refused, the snapshot comes with the first refusal: single objects may still be allowed.
pub async fn first_round(connection: &Connection, namespaces: &[String], now: Timestamp) -> Result<(Snapshot, Option<ApiError>), ApiError> {
    let mut snapshot = Snapshot::new(now, false);
    snapshot.namespaces = namespaces.to_vec();
    let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|n| Some(n.as_str())).collect()
    };
    let requests: Vec<(&Kind, Option<&str>)> = scopes
        .iter()
        .flat_map(|scope| FIRST.iter().map(move |kind| (kind, *scope)))
        .collect();
    // An API that does not answer one of them is not asked the rest: each would wait for its own time to run out.
    let answers = try_join_all(requests.iter().map(|(kind, namespace)| async {
        match list(connection, kind, *namespace, now).await {
            Err(error) if error.is_fatal_for_api() => Err(error),
            answer => Ok(answer),
        }
    }))
    .await?;
    let mut refused: Option<ApiError> = None;
    let mut read = 0;
    for ((kind, namespace), answer) in requests.into_iter().zip(answers) {
        match answer {
            Ok(part) => {
                read += 1;
                take(&mut snapshot, kind, namespace, part);
            }
            Err(error) => {
                // RBAC refuses before it is looked whether the type is installed; what is not there needs no right.
                let optional = kind.group == kind::GATEWAY.group && error.kind == ApiErrorKind::Forbidden;
                if optional && !connection.serves(kind).await.unwrap_or(true) {
                    snapshot.cover(kind, namespace, Coverage::NoSuchKind);
                    continue;
                }
                refuse(&mut snapshot, kind, namespace, &error);
                if error.kind != ApiErrorKind::NoSuchKind {
                    refused.get_or_insert(error);
                }
            }
        }
    }
    snapshot.sort();
    Ok((snapshot, refused.filter(|_| read == 0)))
}

/// How often rules may ask for more: the log of the last end, the present log where that is gone, and the Service elsewhere that the log
/// names. The second sample of a dial comes on the way.
pub const RULE_ROUNDS: usize = 3;

/// Runs the rules, fetches what they need and runs them again, in so many rounds at most; the result is that of the last run. Nothing is asked
/// for twice, whatever came of it.
pub async fn further_rounds<T>(
    connection: &Connection,
    snapshot: &mut Snapshot,
    rights: &Rights,
    rounds: usize,
    run: impl Fn(&Snapshot) -> (T, BTreeSet<Need>),
) -> T {
    let mut asked: BTreeSet<Need> = BTreeSet::new();
    let mut left = rounds;
    let mut dial_time = rights.reach.dial_time;
    loop {
        let (result, mut wanted) = run(snapshot);
        wanted.retain(|need| !is_answered(snapshot, need) && asked.insert(need.clone()));
        if wanted.is_empty() || left == 0 {
            return result;
        }
        left -= 1;
        let start = Instant::now();
        let dials = wanted.iter().any(|need| matches!(need, Need::Dial(_)));
        round(connection, snapshot, wanted, rights, dial_time).await;
        if dials {
            dial_time = dial_time.saturating_sub(start.elapsed());
        }
    }
}

/// Whether an answer to this need is in the snapshot, so that asking again is of no use.
fn is_answered(snapshot: &Snapshot, need: &Need) -> bool {
    match need {
        Need::Log(key) => snapshot.log(key).is_some(),
        Need::RecentLog(key) => snapshot.recent_log(key).is_some(),
        Need::Dial(key) => snapshot.dial(key).is_some(),
        Need::Certificate(key) => snapshot.certificate(key).is_some(),
        Need::Sockets(namespace, pod) => snapshot.sockets(namespace, pod).is_some(),
        Need::Object(object) => {
            kind::of_object(&object.api_version, &object.kind).is_none_or(|k| match snapshot.presence(k, &object.namespace, &object.name) {
                Presence::Present => k != &kind::CONFIG_MAP || snapshot.config_map_keys(&object.namespace, &object.name).is_some(),
                Presence::Absent => true,
                Presence::Unknown => false,
            })
        }
        Need::List(kind, namespace) => snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()).is_some(),
    }
}

/// Fetches what rules asked for. A failure is noted, never fatal: the rest is still worth saying.
pub async fn further_round(connection: &Connection, snapshot: &mut Snapshot, needs: BTreeSet<Need>, rights: &Rights) {
    round(connection, snapshot, needs, rights, rights.reach.dial_time).await;
}

/// `dial_time`: how long the dials of this round may take together; those that are not done by then are named as unchecked.
async fn round(connection: &Connection, snapshot: &mut Snapshot, needs: BTreeSet<Need>, rights: &Rights, dial_time: Duration) {
    let mut wanted: Vec<Need> = needs.into_iter().filter(|need| is_allowed(need, rights)).collect();
    leave_out(snapshot, &mut wanted);
    let seen: &Snapshot = snapshot;
    let until = Instant::now() + dial_time;
    let answers = join_all(wanted.iter().map(|need| fetch(connection, seen, need, rights, until))).await;
    let mut late = 0;
    for (need, answer) in wanted.into_iter().zip(answers) {
        match (need, answer) {
            (Need::Log(key), Fetched::Log(Ok(text))) => snapshot.put_log(key, Some(text)),
            (Need::Log(key), Fetched::Log(Err(error))) => {
                note_log(snapshot, &key, &error);
                snapshot.put_log(key, None);
            }
            (Need::RecentLog(key), Fetched::Log(Ok(text))) => snapshot.put_recent_log(key, Some(text)),
            (Need::RecentLog(key), Fetched::Log(Err(error))) => {
                note_log(snapshot, &key, &error);
                snapshot.put_recent_log(key, None);
            }
            (Need::Dial(_), Fetched::Dial(dial, errors)) => {
                for error in errors {
                    note_reach(snapshot, UncheckedKind::Dials, "ports by dialling", &error);
                }
                note_no_way(snapshot, &dial);
                snapshot.put_dial(dial);
            }
            (Need::Dial(key), Fetched::Late) => {
                late += 1;
                snapshot.put_dial(untried(&key, snapshot.taken_at));
            }
            (Need::Certificate(_), Fetched::Certificate(certificate)) => snapshot.put_certificate(certificate),
            (Need::Sockets(namespace, pod), Fetched::Sockets(answer)) => {
                let sockets = match answer {
                    Ok(sockets) => Some(sockets),
                    Err(unseen) => {
                        note_unseen(snapshot, &pod, unseen);
                        None
                    }
                };
                snapshot.put_sockets(&namespace, &pod, sockets);
            }
            (Need::Object(object), Fetched::Object(Ok(Some(value)))) => {
                let named = object.clone();
                note_bad(snapshot, value);
                snapshot.note_full(named);
            }
            (Need::Object(object), Fetched::Object(Ok(None))) => snapshot.note_absent(object),
            (Need::Object(object), Fetched::Object(Err(error))) => {
                if error.kind == ApiErrorKind::NoSuchKind {
                    snapshot.note_absent(object);
                } else {
                    note_object(snapshot, &object, &error);
                }
            }
            (Need::List(kind, namespace), Fetched::List(Ok(part))) => take(snapshot, &kind, namespace.as_deref(), *part),
            (Need::List(kind, namespace), Fetched::List(Err(error))) => refuse(snapshot, &kind, namespace.as_deref(), &error),
            _ => {}
        }
    }
    if late > 0 {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Dials,
            format!("{late} ports by dialling"),
            format!(
                "the {} s for all connections were over; --dial-time gives more, or name a workload to have its ports checked",
                duration::rounded(rights.reach.dial_time.as_secs_f64())
            ),
        ));
    }
    snapshot.sort();
}

/// Whether the user asked for it: Secrets and nodes are only read with --with.
fn is_allowed(need: &Need, rights: &Rights) -> bool {
    let of_secrets = match need {
        Need::Log(_) | Need::RecentLog(_) | Need::Dial(_) | Need::Certificate(_) | Need::Sockets(..) => false,
        Need::Object(object) => object.is(&kind::SECRET),
        Need::List(kind, _) => kind == &kind::SECRET,
    };
    !of_secrets || rights.secrets
}

enum Fetched {
    Log(Result<String, ApiError>),
    Dial(Dial, Vec<ApiError>),
    /// The time for dials was up.
    Late,
    Certificate(Certificate),
    Sockets(Result<PodSockets, Unseen>),
    Object(Result<Option<serde_json::Value>, ApiError>),
    List(Result<Box<Snapshot>, ApiError>),
}

async fn fetch(connection: &Connection, snapshot: &Snapshot, need: &Need, rights: &Rights, until: Instant) -> Fetched {
    match need {
        Need::Dial(key) => {
            let before = snapshot.dial(&key.first()).map(|dial| dial.at);
            // Ports that hang hold up those whose turn comes after them.
            match timeout_at(until, reach::dial(connection, key, &rights.reach, before, until)).await {
                Ok((dial, errors)) => Fetched::Dial(dial, errors),
                Err(_) => Fetched::Late,
            }
        }
        Need::Certificate(key) => Fetched::Certificate(Certificate {
            key: key.clone(),
            at: Timestamp::now(),
            served: connection
                .served_certificate(&key.address, key.port, &key.host, rights.reach.limit)
                .await,
        }),
        Need::Sockets(namespace, pod) => Fetched::Sockets(reach::pod_sockets(connection, snapshot, namespace, pod, &rights.reach).await),
        Need::Log(key) | Need::RecentLog(key) => {
            let query = LogQuery {
                previous: key.previous,
                tail_lines: Some(LOG_LINES),
                limit_bytes: Some(LOG_BYTES),
                since_seconds: None,
                timestamps: matches!(need, Need::RecentLog(_)),
            };
            Fetched::Log(connection.log(&key.namespace, &key.pod, &key.container, &query).await)
        }
        Need::Object(object) => match kind::of_object(&object.api_version, &object.kind) {
            Some(kind) => {
                let namespace = (!object.namespace.is_empty()).then_some(object.namespace.as_str());
                Fetched::Object(connection.get(kind, namespace, &object.name, kind == &kind::SECRET).await)
            }
            None => Fetched::Object(Ok(None)),
        },
        Need::List(kind, namespace) => {
            let part = list(connection, kind, namespace.as_deref(), snapshot.taken_at).await;
            Fetched::List(part.map(Box::new))
        }
    }
}

/// A snapshot of the objects of one kind alone.
async fn list(connection: &Connection, kind: &Kind, namespace: Option<&str>, now: Timestamp) -> Result<Snapshot, ApiError> {
    let query = ListQuery {
        metadata_only: kind == &kind::CONFIG_MAP || kind == &kind::SECRET,
        ..ListQuery::default()
    };
    let empty = || Snapshot::new(now, false);
    let (part, _) = connection.list_into(kind, namespace, &query, empty, note_bad).await?;
    Ok(part)
}

fn take(snapshot: &mut Snapshot, kind: &Kind, namespace: Option<&str>, part: Snapshot) {
    snapshot.absorb(part);
    snapshot.cover(kind, namespace, Coverage::Complete);
}

/// Takes an object in; one that is not as its version says is noted and left out.
pub fn note_bad(snapshot: &mut Snapshot, item: serde_json::Value) {
    if let Err(bad) = snapshot.insert(item) {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Objects,
            bad.object,
            format!("it does not match its API version: {}", bad.reason),
        ));
    }
}

/// Notes that a collection could not be read.
pub fn refuse(snapshot: &mut Snapshot, kind: &Kind, namespace: Option<&str>, error: &ApiError) {
    if error.kind == ApiErrorKind::NoSuchKind {
        snapshot.cover(kind, namespace, Coverage::NoSuchKind);
    } else {
        snapshot.cover(kind, namespace, Coverage::Unreadable);
        note(snapshot, UncheckedKind::of(kind), &kind.plural, error);
    }
}

/// Notes that an object could not be read.
pub(crate) fn note_object(snapshot: &mut Snapshot, object: &ObjectRef, error: &ApiError) {
    let kind = kind::of_object(&object.api_version, &object.kind);
    note(
        snapshot,
        kind.map_or(UncheckedKind::Objects, UncheckedKind::of),
        &object.to_string(),
        error,
    );
}

/// Notes that something could not be read, with the right that would help.
pub(crate) fn note(snapshot: &mut Snapshot, kind: UncheckedKind, what: &str, error: &ApiError) {
    snapshot.unchecked.insert(unchecked(kind, what, error));
}

/// Something that could not be read, with the right that would help.
pub(crate) fn unchecked(kind: UncheckedKind, what: &str, error: &ApiError) -> Unchecked {
    // Admission refuses with the same status; no right helps against it.
    let by_admission = ["violates PodSecurity", "denied the request", "denied request"];
    let forbidden = error.kind == ApiErrorKind::Forbidden && !by_admission.iter().any(|words| error.message.contains(words));
    let right = |text: &str| if forbidden { text.to_owned() } else { String::new() };
    Unchecked {
        kind,
        what: what.to_owned(),
        why: if forbidden { "forbidden".to_owned() } else { error.message.clone() },
        verb: right(&error.verb),
        resource: right(&error.resource),
        namespace: right(error.namespace.as_deref().unwrap_or_default()),
    }
}

/// A pod that has gone meanwhile is nothing to tell; a refusal and a broken way are.
fn note_reach(snapshot: &mut Snapshot, kind: UncheckedKind, what: &str, error: &ApiError) {
    if error.kind != ApiErrorKind::NotFound {
        note(snapshot, kind, what, error);
    }
}

/// The inside alone does not tell a listener on the loopback from a pod that the API server has no way to.
fn note_no_way(snapshot: &mut Snapshot, dial: &Dial) {
    if dial.address == Reply::TimedOut && matches!(dial.inside, Reply::Status(_) | Reply::Accepted) {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Dials,
            format!("whether port {} of pod/{} is open to other pods", dial.key.port, dial.key.pod),
            "it accepts inside the pod, and the pod's address does not answer the API server; --exec reads its listening sockets"
                .to_owned(),
        ));
    }
}

/// Notes why the sockets of a pod could not be seen: a right that lacks once for all pods, anything else with the pod.
fn note_unseen(snapshot: &mut Snapshot, pod: &str, unseen: Unseen) {
    let sockets = UncheckedKind::Sockets;
    let of_pod = format!("listening sockets of pod/{pod}");
    match unseen {
        Unseen::Api(error) if error.kind == ApiErrorKind::Forbidden => note(snapshot, sockets, "listening sockets", &error),
        Unseen::Api(error) => note_reach(snapshot, sockets, &of_pod, &error),
        Unseen::Because(why) => {
            snapshot.unchecked.insert(Unchecked::without_right(sockets, of_pod, why));
        }
    }
}

/// A log that is not there is nothing to grant a right for; a refusal is.
fn note_log(snapshot: &mut Snapshot, key: &LogKey, error: &ApiError) {
    if matches!(error.kind, ApiErrorKind::Forbidden) || error.is_fatal_for_api() {
        let what = if error.kind == ApiErrorKind::Forbidden {
            "logs".to_owned()
        } else {
            format!("log of pod/{} container {}", key.pod, key.container)
        };
        note(snapshot, UncheckedKind::Logs, &what, error);
    }
}

/// The failure for a namespace that does not exist, with the one that is nearest to it where namespaces may be listed.
pub async fn no_such_namespace(connection: &Connection, name: &str) -> Failure {
    let query = ListQuery {
        metadata_only: true,
        ..ListQuery::default()
    };
    let listed = connection.list(&kind::NAMESPACE, None, &query).await;
    let items = listed.map(|list| list.items).unwrap_or_default();
    let names = items.iter().filter_map(|item| item["metadata"]["name"].as_str());
    let hint = match near::nearest(name, names) {
        Some(near) => format!("there is namespace {near}: name it with -n {near}"),
        None => "name another one with -n; `kubectl get namespaces` lists them".to_owned(),
    };
    Failure::new(Exit::NotFound, format!("namespace {name} does not exist")).hint(hint)
}

/// A namespace: an empty answer where it does not exist, none where it may not be seen.
pub async fn namespace(connection: &Connection, name: &str) -> Result<Option<Option<serde_json::Value>>, ApiError> {
    match connection.get(&kind::NAMESPACE, None, name, false).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a namespace exists; none where that may not be seen.
pub async fn namespace_exists(connection: &Connection, name: &str) -> Result<Option<bool>, ApiError> {
    match connection.get(&kind::NAMESPACE, None, name, true).await {
        Ok(found) => Ok(Some(found.is_some())),
        Err(error) if error.kind == ApiErrorKind::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads one object that the lists do not hold: true where it exists, none where that may not be seen.
pub async fn add_object(
    connection: &Connection,
    snapshot: &mut Snapshot,
    kind: &Kind,
    object: &ObjectRef,
) -> Result<Option<bool>, ApiError> {
    let namespace = (!object.namespace.is_empty()).then_some(object.namespace.as_str());
    match connection
        .get(kind, namespace, &object.name, kind == &kind::SECRET || kind == &kind::CONFIG_MAP)
        .await
    {
        Ok(Some(value)) => {
            note_bad(snapshot, value);
            snapshot.sort();
            Ok(Some(true))
        }
        Ok(None) => {
            snapshot.note_absent(object.clone());
            Ok(Some(false))
        }
        Err(error) if error.kind == ApiErrorKind::Forbidden => {
            note_object(snapshot, object, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
