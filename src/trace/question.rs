//! A connection to evaluate: its source, its destination and its port.

use std::net::IpAddr;

use crate::model::finding::ObjectRef;

/// The destination of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service, a pod or a workload.
    Object(ObjectRef),
    /// An address, of a Service, of a pod, or outside.
    Address(IpAddr),
    /// A host name outside the cluster.
    Name(String),
}

/// A port as the user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedPort {
    /// By number.
    Number(u16),
    /// By the name that it has in a Service or pod.
    Name(String),
}

/// A connection to evaluate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The pod or workload that opens it.
    pub from: ObjectRef,
    /// Its destination.
    pub to: Target,
    /// The destination port; none if the destination has only one.
    pub port: Option<AskedPort>,
    /// `TCP`, `UDP` or `SCTP`; none to take that of the port.
    pub protocol: Option<String>,
    /// Whether the pods of all namespaces were searched for the destination address.
    pub searched: bool,
}

/// Why a connection cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// The request is invalid.
    Usage(String),
    /// Its objects could not be read.
    Unread(String),
}
