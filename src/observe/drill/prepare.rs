//! Reads what a plan needs: the objects of the namespace, the targets as they are stored, and the rights of this user.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join, join_all};
use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::{Connection, ListQuery};
use crate::drill::fault::Fault;
use crate::drill::plan::{Plan, Request, plan};
use crate::exit::{Exit, Failure};
use crate::model::drill::Refusal;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::observe::drill::{inside, journal};
use crate::observe::named::must_exist;
use crate::observe::prober::denied;
use crate::observe::reads;
use crate::observe::store::Store;
use crate::observe::targets::Wanted;
use crate::view::{Options, View};

/// How long the lists of a namespace may take.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// A namespace that is watched, and what would be done in it.
pub(crate) struct Prepared {
    pub(crate) store: Store,
    pub(crate) plan: Plan,
}

/// What the flags say beside the fault.
pub(crate) struct Asked<'a> {
    pub(crate) wanted: &'a [Wanted],
    /// The workload that `--from` names.
    pub(crate) from: Option<&'a Wanted>,
    pub(crate) context: Option<&'a str>,
    /// The namespace that `--i-know-this-is-production` names.
    pub(crate) acknowledged: Option<&'a str>,
}

/// Waits until everything that is watched has been listed.
pub(crate) async fn listed(store: &mut Store) -> Result<(), Failure> {
    let all = async {
        while !store.is_complete() {
            store.changed().await?;
        }
        Ok::<_, Failure>(())
    };
    let late = |_| Failure::new(Exit::NoAnswer, "listing the namespace takes more than 30 s");
    tokio::time::timeout(LISTED_WITHIN, all).await.map_err(late)?
}

/// The namespace, watched.
pub(crate) async fn watch(connection: &Connection, now: Timestamp) -> Result<Store, Failure> {
    let namespace = connection.default_namespace().to_owned();
    let mut store = Store::open(connection, &[namespace], &BTreeSet::new(), now);
    listed(&mut store).await?;
    Ok(store)
}

/// Plans in a namespace that is watched.
pub(crate) async fn plan_in(connection: &Connection, store: &mut Store, mut request: Request, asked: &Asked<'_>) -> Result<Plan, Failure> {
    let namespace = connection.default_namespace().to_owned();
    let object = async { Ok::<_, Failure>(connection.get(&kind::NAMESPACE, None, &namespace, false).await?) };
    let (object, open) = join(object, journal::find(connection, &namespace)).await;
    let Some(object) = object? else {
        return Err(reads::no_such_namespace(connection, &namespace).await);
    };
    request.targets = targets(connection, store, &namespace, asked.wanted).await?;
    if let Some(from) = asked.from {
        request.from = Some(target(connection, store, &namespace, from).await?);
    }
    let raw = raw(connection, &namespace, &request).await?;
    store.snapshot.sort();
    let mut plan = {
        let view = View::new(&store.snapshot, Options::default());
        plan(&view, request, &raw).map_err(Failure::usage)?
    };
    plan.refuse_production(&object, asked.context, asked.acknowledged);
    if open?.is_some() {
        let open = journal::taken(&namespace);
        let why = open.hint.map_or(open.message.clone(), |hint| format!("{}: {hint}", open.message));
        plan.refusals.push(Refusal::never(why));
    }
    let rights = plan.rights();
    let denied = rights
        .iter()
        .map(|(verb, group, resource, sub)| denied(connection, &namespace, (verb, group, resource, sub)));
    for right in join_all(denied).await.into_iter().flatten() {
        let why = format!("you cannot {right} in namespace {namespace}");
        plan.refusals.push(Refusal::never(why));
    }
    if plan.refusals.is_empty() {
        inside::look(connection, &namespace, &mut plan).await;
    }
    Ok(plan)
}

/// The workloads that the user names.
pub(crate) async fn targets(
    connection: &Connection,
    store: &mut Store,
    namespace: &str,
    wanted: &[Wanted],
) -> Result<Vec<ObjectRef>, Failure> {
    let mut targets = Vec::new();
    for wanted in wanted {
        let object = target(connection, store, namespace, wanted).await?;
        if !targets.contains(&object) {
            targets.push(object);
        }
    }
    Ok(targets)
}

async fn target(connection: &Connection, store: &mut Store, namespace: &str, wanted: &Wanted) -> Result<ObjectRef, Failure> {
    let Wanted::Named(of, name) = wanted else {
        return Err(Failure::usage("name each target as TYPE/NAME, for example deployment/api"));
    };
    let kind = match kind::named(of) {
        Some(kind) => kind.clone(),
        None => match connection.find_kind(of).await? {
            Some(kind) => kind,
            None => {
                return Err(Failure::new(Exit::NotFound, format!("the server has no resource type {of:?}")).hint("kubectl api-resources"));
            }
        },
    };
    let object = ObjectRef::new(&kind, namespace, name);
    must_exist(connection, &kind, &object, &mut store.snapshot).await?;
    Ok(object)
}

/// The targets and, where they matter, the Services, pods or NetworkPolicies of the namespace, as the API server stores them.
async fn raw(connection: &Connection, namespace: &str, request: &Request) -> Result<Vec<Value>, Failure> {
    let mut raw = Vec::new();
    for target in &request.targets {
        let Some(kind) = kind::of_object(&target.api_version, &target.kind) else {
            continue;
        };
        raw.extend(connection.get(kind, Some(namespace), &target.name, false).await?);
    }
    let mut listed = Vec::new();
    if request.fault == Fault::NotReady {
        listed.push(kind::SERVICE);
    }
    if request.fault.evicts() {
        listed.push(kind::DISRUPTION_BUDGET);
    }
    if let Some(corruption) = &request.corruption {
        let map = connection.get(&kind::CONFIG_MAP, Some(namespace), &corruption.map, false).await?;
        let missing = || {
            Failure::new(
                Exit::NotFound,
                format!("configmap/{} does not exist in namespace {namespace}", corruption.map),
            )
        };
        raw.push(map.ok_or_else(missing)?);
    }
    if request.fault.cuts_off() {
        listed.push(kind::NETWORK_POLICY);
    }
    for kind in listed {
        raw.extend(connection.list(&kind, Some(namespace), &ListQuery::default()).await?.items);
    }
    if request.fault == Fault::CpuResize {
        raw.extend(connection.list(&kind::POD, Some(namespace), &ListQuery::default()).await?.items);
    }
    Ok(raw)
}
