//! kubectl's connection flags, with its names, short forms and meanings.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueHint};
use secrecy::SecretString;

use crate::cluster::ConnectOptions;
use crate::exit::Failure;
use crate::model::duration;

/// kubectl's flags for cluster, user and timeouts. They are global: every verb accepts them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection (as in kubectl)")]
pub struct ConnectFlags {
    /// If present, the namespace scope for this request
    #[arg(short = 'n', long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Path to the kubeconfig file to use for requests
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
    /// The name of the kubeconfig context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The name of the kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The name of the kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The address and port of the Kubernetes API server
    #[arg(short = 's', long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The length of time to wait before giving up on a single request: 1m30s, 500ms, a bare number is seconds, 0 means no limit [default: 5s to connect, 30s per request]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration::parse)]
    pub request_timeout: Option<Duration>,
    /// Return large lists in chunks rather than all at once; 0 to disable
    #[arg(long, global = true, value_name = "N", default_value_t = 500)]
    pub chunk_size: u32,
    /// Username to impersonate for the operation; a user or a service account in a namespace
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Group to impersonate for the operation; can be repeated
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub as_groups: Vec<String>,
    /// UID to impersonate for the operation
    #[arg(long, global = true, value_name = "UID")]
    pub as_uid: Option<String>,
    /// User extra to impersonate for the operation; can be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub as_user_extra: Vec<(String, String)>,
    /// Bearer token for authentication to the API server
    #[arg(long, global = true, hide_short_help = true)]
    pub token: Option<SecretString>,
    /// Username for basic authentication to the API server
    #[arg(long, global = true, hide_short_help = true)]
    pub username: Option<String>,
    /// Password for basic authentication to the API server
    #[arg(long, global = true, hide_short_help = true)]
    pub password: Option<SecretString>,
    /// Path to a client certificate file for TLS
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub client_certificate: Option<PathBuf>,
    /// Path to a client key file for TLS
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub client_key: Option<PathBuf>,
    /// Path to a cert file for the certificate authority
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub certificate_authority: Option<PathBuf>,
    /// If true, the server's certificate will not be checked for validity; this will make your HTTPS connections insecure
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub insecure_skip_tls_verify: Option<bool>,
    /// Server name to use for server certificate validation; if it is not provided, the hostname used to contact the server is used
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// If true, opt-out of response compression for all requests to the server
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub disable_compression: Option<bool>,
    /// Default cache directory; accepted for compatibility with kubectl, podlife has no cache
    #[arg(long = "cache-dir", global = true, hide_short_help = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    _cache_dir: Option<PathBuf>,
    /// Require server version to match client version; accepted for compatibility with kubectl, podlife works with every supported version
    #[arg(long = "match-server-version", global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    _match_server_version: Option<bool>,
    /// Treat warnings received from the server as errors and exit with a non-zero exit code
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub warnings_as_errors: Option<bool>,
    /// Number for the log level verbosity; 6 shows the requests, 8 their headers
    #[arg(short = 'v', long = "v", global = true, value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
}

/// A longer timeout for one connection would delay the whole report.
const LONGEST_DIAL: Duration = Duration::from_secs(60);

/// Checks `--dial-timeout`.
pub(crate) fn check_dial_timeout(timeout: Duration, no_dial: bool) -> Result<(), Failure> {
    if timeout.is_zero() && !no_dial {
        return Err(Failure::usage("--dial-timeout must be more than zero").hint("--no-dial dials nothing"));
    }
    if timeout > LONGEST_DIAL {
        return Err(Failure::usage("--dial-timeout is at most 1m"));
    }
    Ok(())
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

impl ConnectFlags {
    /// The options of these flags. `interactive`: standard input is a terminal, so a credential plugin may prompt.
    pub fn complete(self, interactive: bool) -> ConnectOptions {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let file = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        ConnectOptions {
            kubeconfig: file(self.kubeconfig),
            context: given(self.context),
            cluster: given(self.cluster),
            user: given(self.user),
            namespace: given(self.namespace),
            server: given(self.server),
            token: self.token,
            username: given(self.username),
            password: self.password,
            as_user: given(self.as_user),
            as_groups: self.as_groups,
            as_uid: given(self.as_uid),
            as_user_extra: self.as_user_extra,
            client_certificate: file(self.client_certificate),
            client_key: file(self.client_key),
            certificate_authority: file(self.certificate_authority),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            tls_server_name: given(self.tls_server_name),
            request_timeout: self.request_timeout,
            disable_compression: self.disable_compression.unwrap_or_default(),
            chunk_size: self.chunk_size,
            verbosity: self.verbosity,
            interactive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use secrecy::ExposeSecret as _;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        connect: ConnectFlags,
    }

    fn options(arguments: &[&str]) -> ConnectOptions {
        let words = std::iter::once("podlife").chain(arguments.iter().copied());
        Line::try_parse_from(words).unwrap().connect.complete(false)
    }

    #[test]
    fn kubectls_spellings_are_understood() {
        assert_eq!(options(&["-n", "a"]).namespace.as_deref(), Some("a"));
        assert_eq!(options(&["-na"]).namespace.as_deref(), Some("a"));
        assert_eq!(options(&["--namespace=a"]).namespace.as_deref(), Some("a"));
        assert_eq!(options(&["-s", "https://h"]).server.as_deref(), Some("https://h"));
        for level in [&["-v", "6"][..], &["-v=6"], &["-v6"], &["--v=6"], &["--v", "6"]] {
            assert_eq!(options(level).verbosity, 6, "{level:?}");
        }
        for (flag, value) in [("", true), ("=true", true), ("=false", false), ("=0", false)] {
            let flag = format!("--insecure-skip-tls-verify{flag}");
            assert_eq!(options(&[&flag]).insecure_skip_tls_verify, Some(value), "{flag}");
        }
        let options = options(&[
            "--as",
            "jane",
            "--as-group=a",
            "--as-group",
            "b",
            "--as-uid=7",
            "--as-user-extra=scopes=x=y",
        ]);
        assert_eq!(options.as_groups, ["a", "b"]);
        assert_eq!(options.as_user_extra, [("scopes".to_owned(), "x=y".to_owned())]);
    }

    #[test]
    fn a_timeout_that_is_not_given_is_not_zero() {
        assert_eq!(options(&[]).request_timeout, None);
        assert_eq!(options(&["--request-timeout=0"]).request_timeout, Some(Duration::ZERO));
        assert_eq!(options(&["--request-timeout", "7"]).request_timeout, Some(Duration::from_secs(7)));
        assert_eq!(options(&["--request-timeout=1m30s"]).request_timeout, Some(Duration::from_secs(90)));
        assert!(Line::try_parse_from(["podlife", "--request-timeout=1M"]).is_err());
    }

    #[test]
    fn a_token_is_not_shown() {
        let options = options(&["--token=hunter2"]);
        assert!(!format!("{options:?}").contains("hunter2"));
        assert_eq!(options.token.unwrap().expose_secret(), "hunter2");
    }
}
