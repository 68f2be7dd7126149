//! Addresses that a server binds to; they are read where configuration enters a snapshot, too.

pub use crate::model::bind::{Bind, BindAddress, opened, port, shown, without_kind};
