//! Reads what limits the number of sessions in a namespace.

use serde::de::DeserializeOwned;

use crate::cluster::{ApiErrorKind, Connection, ListQuery};
use crate::exit::Failure;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::plan::SessionPlan;
use crate::model::snapshot::{Unchecked, UncheckedKind};
use crate::observe::reads::unchecked;
use crate::observe::session::records_selector;
use crate::session::capacity;
use crate::session::capacity::{Room, Unit};

/// Whether a namespace can hold this many sessions.
pub(crate) async fn plan(connection: &Connection, namespace: &str, max: u64, unit: &Unit) -> Result<SessionPlan, Failure> {
    let reads = Reads { connection };
    let own = Some(namespace);
    let query = ListQuery {
        label_selector: records_selector(),
        metadata_only: true,
        ..ListQuery::default()
    };
    let sessions = connection.list(&kind::LEASE, own, &query).await?.items.len() as u64;
    let mut missed = Vec::new();
    let (nodes, pods, quotas, limit_ranges) = futures::join!(
        async { reads.list(&kind::NODE, None).await },
        async { reads.list(&kind::POD, None).await },
        async { reads.list(&kind::RESOURCE_QUOTA, own).await },
        async { reads.list(&kind::LIMIT_RANGE, own).await },
    );
    let pods = match pods {
        // Without those of other namespaces, nodes have more room than they really have.
        Err(error) => {
            missed.push(error);
            reads.list(&kind::POD, own).await
        }
        pods => pods,
    };
    let mut room = Room {
        nodes: noted(nodes, &mut missed),
        pods: noted(pods, &mut missed).unwrap_or_default(),
        quotas: noted(quotas, &mut missed).unwrap_or_default(),
        limit_ranges: noted(limit_ranges, &mut missed).unwrap_or_default(),
        ..Room::default()
    };
    if unit.claim.is_some() {
        room.storage_classes = noted(reads.list(&kind::STORAGE_CLASS, None).await, &mut missed);
        room.csi_nodes = noted(reads.list(&kind::CSI_NODE, None).await, &mut missed).unwrap_or_default();
        room.attachments = noted(reads.list(&kind::VOLUME_ATTACHMENT, None).await, &mut missed).unwrap_or_default();
    }
    let mut plan = capacity::fill(SessionPlan::new(namespace, max, sessions), unit, &room);
    plan.unchecked = missed;
    Ok(plan)
}

struct Reads<'a> {
    connection: &'a Connection,
}

impl Reads<'_> {
    /// All objects of a kind; an object that cannot be read as one is left out.
    async fn list<T: DeserializeOwned>(&self, kind: &Kind, namespace: Option<&str>) -> Result<Vec<T>, Unchecked> {
        match self.connection.list(kind, namespace, &ListQuery::default()).await {
            Ok(list) => Ok(list
                .items
                .into_iter()
                .filter_map(|item| serde_json::from_value(item).ok())
                .collect()),
            Err(error) => {
                let of = if error.kind == ApiErrorKind::Forbidden && kind == &kind::NODE {
                    UncheckedKind::Nodes
                } else {
                    UncheckedKind::Objects
                };
                let everywhere = if namespace.is_none() && kind.namespaced {
                    " of all namespaces"
                } else {
                    ""
                };
                Err(unchecked(of, &format!("{}{everywhere}", kind.plural), &error))
            }
        }
    }
}

/// What was read, or a note that it could not be.
fn noted<T>(read: Result<T, Unchecked>, missed: &mut Vec<Unchecked>) -> Option<T> {
    read.map_err(|why| missed.push(why)).ok()
}
