//! Plain data: what was read from a cluster, and what podlife says about it. Nothing here opens a file or a connection.

pub mod age;
pub mod bind;
pub mod certificate;
pub mod code;
pub mod connection;
pub mod dial;
pub mod directive;
pub mod duration;
pub mod environment;
pub mod explanation;
pub mod finding;
pub mod kind;
pub mod near;
pub mod readiness;
pub mod redaction;
pub mod report;
pub mod selector;
pub mod snapshot;
pub mod sockets;
pub mod text;
