//! What all requests share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hyper::body::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::gateway::auth::{Auth, Caller};
use crate::gateway::backend::Dialer;
use crate::gateway::flights::Flights;
use crate::gateway::headers::RequestIds;
use crate::gateway::metrics::{Metrics, Moment};
use crate::gateway::naming::Naming;
use crate::gateway::owners::Owners;
use crate::gateway::plan::Limits;
use crate::gateway::table::Table;

/// What all requests share.
pub(super) struct Gate {
    pub(super) table: Arc<Table>,
    pub(super) flights: Arc<Flights>,
    pub(super) dialer: Dialer,
    pub(super) limits: Limits,
    pub(super) naming: Naming,
    pub(super) owners: Owners,
    /// Questions about sessions as objects.
    pub(super) asks: UnboundedSender<Ask>,
    pub(super) auth: Auth,
    pub(super) metrics: Metrics,
    pub(super) ids: RequestIds,
    /// Whether records and pods have been read, and the gateway does not end yet.
    pub(super) is_ready: AtomicBool,
    /// Whether clients are to look for another gateway.
    pub(super) is_ending: AtomicBool,
}

impl Gate {
    /// All that is counted, as Prometheus reads it.
    pub(super) fn counted(&self) -> String {
        let entries = self.table.all();
        let pods = entries.iter().filter(|entry| entry.backend.is_some()).count();
        self.metrics.text(&Moment {
            pods,
            sessions: entries.len(),
            waiters: self.flights.waiting(),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        })
    }
}

/// A question that the API server answers.
pub(super) struct Ask {
    pub(super) about: About,
    pub(super) caller: Caller,
    pub(super) answer: oneshot::Sender<http::Response<Bytes>>,
}

/// What is asked about sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    One(String),
    All,
    Delete(String),
}
