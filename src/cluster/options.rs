//! How to reach a cluster, as the flags of kubectl say it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

/// Where to connect, as whom, and how patiently. Every field left at its default means what the kubeconfig says.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// `--kubeconfig`: the one file to read; `KUBECONFIG` is ignored then.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--cluster`: a cluster of the kubeconfig by name.
    pub cluster: Option<String>,
    /// `--user`: a user of the kubeconfig by name.
    pub user: Option<String>,
    /// `--namespace`
    pub namespace: Option<String>,
    /// `--server`: URL of the API server.
    pub server: Option<String>,
    /// `--token`
    pub token: Option<SecretString>,
    /// `--username`
    pub username: Option<String>,
    /// `--password`
    pub password: Option<SecretString>,
    /// `--as`: the user to act as.
    pub as_user: Option<String>,
    /// `--as-group`
    pub as_groups: Vec<String>,
    /// `--as-uid`
    pub as_uid: Option<String>,
    /// `--as-user-extra`: key and value.
    pub as_user_extra: Vec<(String, String)>,
    /// `--client-certificate`: PEM file.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`: PEM file.
    pub client_key: Option<PathBuf>,
    /// `--certificate-authority`: PEM file.
    pub certificate_authority: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`; none leaves it to the kubeconfig.
    pub insecure_skip_tls_verify: Option<bool>,
    /// `--tls-server-name`
    pub tls_server_name: Option<String>,
    /// `--request-timeout`: none means 5 s to connect and 30 s per request, zero means no limit.
    pub request_timeout: Option<Duration>,
    /// `--disable-compression`
    pub disable_compression: bool,
    /// `--chunk-size`: objects per page of a list, 0 for all at once.
    pub chunk_size: u32,
    /// `-v`: from 6 on requests are logged, from 8 on headers too.
    pub verbosity: u8,
    /// Whether a person can answer what a credential plugin asks.
    pub interactive: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            cluster: None,
            user: None,
            namespace: None,
            server: None,
            token: None,
            username: None,
            password: None,
            as_user: None,
            as_groups: Vec::new(),
            as_uid: None,
            as_user_extra: Vec::new(),
            client_certificate: None,
            client_key: None,
            certificate_authority: None,
            insecure_skip_tls_verify: None,
            tls_server_name: None,
            request_timeout: None,
            disable_compression: false,
            chunk_size: 500,
            verbosity: 0,
            interactive: false,
        }
    }
}

/// Takes one line that belongs on stderr: a warning of the API server, or a request where `-v 6` asks for them.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// A log that drops every line.
pub fn no_log() -> Log {
    Arc::new(|_| {})
}
