//! Plain data: what was read from a cluster, and what podlife says about it. Nothing here opens a file or a connection.

pub mod kind;
pub mod text;
