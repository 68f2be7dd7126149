//! The only module that talks to a cluster. It reads, watches and writes; it decides nothing.
//!
//! [`Connection`] is the way in. Requests are built here rather than through kube's typed API, so that one place
//! ([`request`]) holds time limits, retries, warnings and the meaning of a refusal.

mod ask;
mod attach;
mod certificate;
mod channels;
mod credential;
mod dial;
mod discovery;
mod error;
mod exec;
mod follow;
mod forward;
mod headers;
mod health;
mod http1;
mod kubeconfig;
mod options;
mod outcome;
mod page;
mod proxied;
mod proxy;
mod pulse;
mod read;
mod request;
mod trust;
mod watch;
mod write;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::OnceCell;

pub use ask::{Answer, Direct, Question};
pub use attach::{Ending, Ends, PodContainer, Process, Source};
pub use dial::PodPort;
pub use discovery::ServerVersion;
pub use error::{ApiError, ApiErrorKind, Problem};
pub use exec::Output;
pub use follow::{Follow, FollowQuery, LogPart};
pub use forward::Listeners;
pub use headers::Headers;
pub use http1::Kept;
pub use kubeconfig::{Names, names};
pub use options::{ConnectOptions, Log, no_log};
pub use outcome::{Health, Told};
pub use proxied::Proxied;
pub(crate) use read::escape;
pub use read::{List, ListQuery, LogQuery};
pub use trust::Trust;
pub use watch::WatchEvent;
pub use write::{Deletion, Patch, Preconditions, WriteOptions};

use crate::model::environment::Environment;

/// A way to one API server as one user. Cheap to clone; clones share the count of requests, warnings and the limit on requests at once.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    transport: request::Transport,
    chunk_size: u32,
    discovery: OnceCell<discovery::Resources>,
    pulse: pulse::Pulse,
}

impl Connection {
    /// Reads the kubeconfig, or a pod's own credentials, and gets a credential where a plugin provides it. Makes no
    /// request yet. `log` takes warnings of the API server and, from `-v 6` on, the requests.
    pub async fn open(options: &ConnectOptions, environment: &Environment, log: Log) -> Result<Self, ApiError> {
        Self::open_with(options, environment, log, Path::new(kubeconfig::SERVICE_ACCOUNT)).await
    }

    async fn open_with(options: &ConnectOptions, environment: &Environment, log: Log, service_account: &Path) -> Result<Self, ApiError> {
        let target = kubeconfig::resolve(options, environment, service_account)?;
        let credential = credential::Credential::new(&target, options, environment)?;
        let transport = request::Transport::new(target, credential, options, log).await?;
        let inner = Inner {
            transport,
            chunk_size: options.chunk_size,
            discovery: OnceCell::new(),
            pulse: pulse::Pulse::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The namespace that is meant where none is named: `--namespace`, the context's, the pod's own, `default`.
    pub fn default_namespace(&self) -> &str {
        self.inner.transport.namespace()
    }

    /// Name of the kubeconfig's context that is used, if one is.
    pub fn context(&self) -> Option<&str> {
        self.inner.transport.context()
    }

    /// URL of the API server, without credentials.
    pub fn server(&self) -> String {
        self.inner.transport.server()
    }

    /// The API server's clock, from the dates of its answers; none before the first one. Up to a second behind, never ahead.
    pub fn server_time(&self) -> Option<jiff::Timestamp> {
        self.inner.transport.server_time()
    }

    /// How many requests were made so far, retries included.
    pub fn request_count(&self) -> usize {
        self.inner.transport.request_count()
    }

    /// Warnings of the API server so far, each once.
    pub fn warnings(&self) -> Vec<String> {
        self.inner.transport.warnings()
    }
}
