//! What is derived once from a view and used by many rules: listeners, failed calls, container exits.

pub(crate) mod awaited;
pub(crate) mod calls;
pub(crate) mod ending;
pub(crate) mod listening;
pub(crate) mod log_line;
pub(crate) mod mount;
pub(crate) mod node;
pub(crate) mod placement;
pub(crate) mod policy;
pub(crate) mod probe;
pub(crate) mod provided;
pub(crate) mod references;
pub(crate) mod requests;
pub(crate) mod runtime;
pub(crate) mod unready;
