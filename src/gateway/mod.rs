//! The gateway of sessions: requests that name a session reach its pod, which is made ready first where it is not.
//!
//! Requests run on threads of their own, and need a table in memory ([`table`]) and nothing else. One more thread ([`control`]) keeps the table,
//! makes sessions and notes their use, all through the session core of `observe`. Nothing here is stored: any number of gateways may run at once.

mod activity;
pub(crate) mod auth;
mod backend;
mod control;
mod flights;
mod flush;
mod gate;
mod guard;
mod headers;
mod inbound;
mod known;
mod leader;
pub(crate) mod log;
mod making;
pub(crate) mod manifests;
mod metrics;
pub(crate) mod naming;
mod objects;
mod openapi;
mod outbound;
mod owners;
pub(crate) mod plan;
mod pool;
mod problem;
mod proxy;
mod route;
mod server;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod tls;
mod upkeep;
mod websocket;

pub(crate) use control::run;
