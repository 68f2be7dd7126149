//! What can go wrong between podlife and an API server.

use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// What kind of failure it was; decides exit codes and whether a verb goes on without the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiErrorKind {
    /// A flag names something that is not there: an unknown context, cluster or user.
    Usage,
    /// The kubeconfig is missing, unreadable or incomplete.
    Config,
    /// A credential could not be had: plugin, token file, client key.
    Credential,
    /// No connection: refused, no route, no such host, or cut off.
    Unreachable,
    /// The connection could not be secured.
    Tls,
    /// No whole answer within the request timeout.
    Timeout,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404 of an object, or of the namespace that was to hold it.
    NotFound,
    /// 404 of the resource type itself.
    NoSuchKind,
    /// 409: it exists already, or a precondition did not hold.
    Conflict,
    /// 410: the resource version is too old.
    Gone,
    /// 400, 405, 413, 415, 422: the API server does not take the request as it is.
    Invalid,
    /// 429 after retries.
    TooManyRequests,
    /// 5xx after retries, or an answer that makes no sense.
    Server,
    /// The answer is not what the API promises.
    Decode,
}

impl ApiErrorKind {
    /// Whether trying again may help; a kubelet that restarts makes the API server answer 500.
    pub(crate) const fn is_passing(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::TooManyRequests | Self::Server)
    }
}

/// A failed request, or one that could not be made. Boxed, because it travels in every result; read [`Problem`]'s fields as if they were its own.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Problem>);

/// What an [`ApiError`] holds.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind of failure.
    pub kind: ApiErrorKind,
    /// What was being done: `listing pods in namespace shop`.
    pub doing: String,
    /// What came of it, mostly in the API server's words.
    pub message: String,
    /// A command or step that helps.
    pub hint: Option<String>,
    /// Verb of the rule that would allow it: `list`.
    pub verb: String,
    /// Resource of the rule that would allow it: `pods`, `pods/log`, `deployments.apps`.
    pub resource: String,
    /// Namespace of the rule that would allow it; none for cluster-wide.
    pub namespace: Option<String>,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// `reason` of the API server's Status: `AlreadyExists`, `Expired`.
    pub reason: Option<String>,
    /// How long the API server wants to be left alone.
    pub retry_after: Option<Duration>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a request is about, for its error.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub doing: String,
    pub verb: &'static str,
    pub resource: String,
    pub namespace: Option<String>,
}

impl ApiError {
    /// An error before any request.
    pub(super) fn before(kind: ApiErrorKind, doing: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            kind,
            doing: doing.into(),
            message: message.into(),
            hint: None,
            verb: String::new(),
            resource: String::new(),
            namespace: None,
            status: None,
            reason: None,
            retry_after: None,
            source: None,
        }))
    }

    /// An error as an API server in memory makes it.
    #[cfg(test)]
    pub(crate) fn in_test(kind: ApiErrorKind) -> Self {
        Self::before(kind, "testing", format!("{kind:?}"))
    }

    /// An error of a request.
    pub(super) fn of(about: &About, kind: ApiErrorKind, message: impl Into<String>) -> Self {
        let mut error = Self::before(kind, about.doing.clone(), message);
        error.verb = about.verb.to_owned();
        error.resource = about.resource.clone();
        error.namespace = about.namespace.clone();
        error
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Whether the API server does not take the object as it is, rather than the user: a quota, Pod Security, a webhook, an invalid value. It names
    /// the user where a right is missing.
    pub fn is_about_the_object(&self) -> bool {
        let says = |words: &str| self.message.contains(words);
        let is_of_admission = || !says("forbidden: User ") && (says(" is forbidden: ") || says("denied the request"));
        self.kind == ApiErrorKind::Invalid || (self.kind == ApiErrorKind::Forbidden && is_of_admission())
    }

    /// Whether this says something about the API or the way to it rather than about one object or right: other requests will fare no better.
    pub fn is_fatal_for_api(&self) -> bool {
        use ApiErrorKind::*;
        matches!(
            self.kind,
            Unreachable | Tls | Unauthorized | Timeout | TooManyRequests | Server | Credential | Decode
        )
    }
}

impl Deref for ApiError {
    type Target = Problem;

    fn deref(&self) -> &Problem {
        &self.0
    }
}

impl DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Problem {
        &mut self.0
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.doing.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.doing, self.message)
        }
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
