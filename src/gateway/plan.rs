//! What a gateway is to do.

use std::net::TcpListener;
use std::time::Duration;

use crate::exit::Failure;
use crate::gateway::auth::jwt::{Claims, Source};
use crate::gateway::naming::Naming;
use crate::gateway::tls::Tls;
use crate::observe::session::create::Wanted;
use crate::session::template::Template;

/// Reads a template.
pub(crate) type Reread = Box<dyn Fn() -> Result<Template, Failure>>;

/// What a gateway is to do.
pub(crate) struct Plan {
    /// Where it listens already.
    pub(crate) listener: TcpListener,
    /// How connections are secured; none: they are not.
    pub(crate) tls: Option<Tls>,
    pub(crate) access: Access,
    /// Where metrics are read.
    pub(crate) metrics: Option<TcpListener>,
    /// The session of an id that is asked for first; without the id.
    pub(crate) wanted: Wanted,
    /// Reads the template again; none where it comes from no file.
    pub(crate) reread: Option<Reread>,
    /// The port of the application, where it is said.
    pub(crate) port: Option<u16>,
    /// Reaches pods through the API server.
    pub(crate) is_local: bool,
    /// How often idle sessions are cleaned up, and those healed whose pod failed.
    pub(crate) cleanup_interval: Duration,
    pub(crate) limits: Limits,
    pub(crate) naming: Naming,
    pub(crate) warm: Warm,
}

/// Pods that wait for sessions.
pub(crate) struct Warm {
    /// How many there are to be.
    pub(crate) size: usize,
    /// Path of the application that is told which session it gets.
    pub(crate) request: Option<String>,
}

/// Who may use sessions.
pub(crate) enum Access {
    /// Everybody.
    Everybody,
    /// Who has a signed token.
    Jwt(Claims, Source),
    /// Whom the API server knows by a token, for one of these audiences; none: its own.
    TokenReview(Vec<String>),
}

/// What requests may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a request waits for its session.
    pub(crate) ready_timeout: Duration,
    /// How many requests may wait at once for one session, ...
    pub(crate) waiters_of_session: usize,
    /// ... and for all.
    pub(crate) waiters: usize,
    /// How many requests an owner may have at once, and how many sessions; none: any number.
    pub(crate) requests_of_owner: Option<usize>,
    pub(crate) sessions_of_owner: Option<u32>,
    /// Bytes of a request's body; none: any number.
    pub(crate) body: Option<u64>,
    /// How long requests and streams are given to end when the gateway ends.
    pub(crate) drain: Duration,
}

impl Limits {
    /// How long clients are still taken that have not learned yet that the gateway ends.
    pub(super) fn notice(&self) -> Duration {
        (self.drain / 6).min(Duration::from_secs(5))
    }
}
