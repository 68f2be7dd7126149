//! How a question to an application went.

use crate::model::dial::Reply;

/// What a server says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// `SERVING`
    Serving,
    /// `NOT_SERVING`
    NotServing,
    /// `UNKNOWN`: it does not say.
    Unknown,
    /// It does not know the service: `SERVICE_UNKNOWN`, or the code NOT_FOUND.
    NoSuchService,
    /// It has no health service: the code UNIMPLEMENTED.
    NotOffered,
    /// Another code of gRPC.
    Code(u16),
}

/// How a question went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// HTTP with this status.
    Status(u16),
    /// The gRPC health protocol.
    Health(Health),
    /// The connection was accepted; what came back, if anything, is not in the protocol that was spoken.
    Accepted,
    /// It was accepted, and no answer came in time.
    Silent,
    /// Nobody listens.
    Refused,
    /// No connection in time, or no route.
    TimedOut,
    /// The name has no address.
    Unresolved,
    /// The certificate is not one to trust for that host.
    Untrusted(String),
    /// No TLS connection for another reason.
    NoTls(String),
    /// It could not be tried.
    Untried,
}

impl Told {
    /// `200 OK`, `refused`: the result of a request, for a log line.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Status(status) => http::StatusCode::from_u16(*status).map_or_else(|_| status.to_string(), |status| status.to_string()),
            Self::Health(health) => format!("{health:?}"),
            Self::Accepted => "accepted".to_owned(),
            Self::Silent => "accepted, no answer".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::TimedOut => "no answer".to_owned(),
            Self::Unresolved => "no address".to_owned(),
            Self::Untrusted(why) => format!("certificate not trusted: {why}"),
            Self::NoTls(why) => format!("no TLS: {why}"),
            Self::Untried => "not tried".to_owned(),
        }
    }
}

impl From<Reply> for Told {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Status(status) => Self::Status(status),
            Reply::Accepted => Self::Accepted,
            Reply::Silent => Self::Silent,
            Reply::Refused => Self::Refused,
            Reply::TimedOut => Self::TimedOut,
            Reply::Untried => Self::Untried,
        }
    }
}
