//! Who may use a gateway, and how connections to it are secured.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::exit::Failure;
use crate::gateway::auth::jwt::{Claims, Source};
use crate::gateway::plan::Access;
use crate::gateway::tls::{Tls, TlsFiles};
use crate::io::Environment;

/// Who may use sessions.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub(super) struct AccessFlags {
    /// Who may use sessions: none (anyone on this machine), jwt (holders of a signed token) or token-review (users and service accounts of the cluster)
    #[arg(long, value_name = "HOW", default_value = "none")]
    auth: Auth,
    /// File with the secret of HMAC tokens, instead of AUTH_TOKEN_SECRET
    #[arg(long, value_name = "FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// File or https URL with the public keys of tokens (JWKS)
    #[arg(long, value_name = "FILE|URL", conflicts_with = "jwt_secret_file")]
    jwks: Option<String>,
    /// Certificate authorities (PEM) to trust for --jwks, in addition to the system's
    #[arg(long, value_name = "FILE", requires = "jwks")]
    jwks_ca_file: Option<PathBuf>,
    /// Audience that tokens must name; can be repeated
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// Issuer that tokens must name; can be repeated
    #[arg(long, value_name = "NAME")]
    issuer: Vec<String>,
    /// Claim with the owner of sessions
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    claim_owner: String,
    /// Claim with the ids that a token may use: one, or a list; a* matches all that begin with a [default: any that nobody else owns]
    #[arg(long, value_name = "CLAIM")]
    claim_ids: Option<String>,
    /// File with the certificate of the gateway, instead of TLS_CERT_PATH; read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert_file: Option<PathBuf>,
    /// File with its key, instead of TLS_KEY_PATH
    #[arg(long, value_name = "FILE")]
    tls_key_file: Option<PathBuf>,
    /// Certificate authorities (PEM) of clients, which then need a certificate
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Auth {
    /// Anyone, from this machine only
    None,
    /// Holders of a signed token
    Jwt,
    /// Users and service accounts of the cluster
    TokenReview,
}

impl AccessFlags {
    /// The flags again, for a gateway in a cluster, which has other files.
    pub(super) fn words(&self) -> Result<Vec<String>, Failure> {
        let mut words = match self.auth {
            Auth::None => {
                let message = "a gateway in the cluster serves others, so it needs --auth";
                return Err(Failure::usage(message).hint("for example --auth token-review"));
            }
            Auth::Jwt => vec!["--auth=jwt".to_owned(), format!("--claim-owner={}", self.claim_owner)],
            Auth::TokenReview => vec!["--auth=token-review".to_owned()],
        };
        match &self.jwks {
            Some(url) if url.contains("://") && self.jwks_ca_file.is_none() => words.push(format!("--jwks={url}")),
            Some(_) => {
                let message = "--print-manifests does not support files for --jwks and --jwks-ca-file";
                return Err(Failure::usage(message).hint("use a URL, or mount the files yourself"));
            }
            None => {}
        }
        words.extend(self.audience.iter().map(|name| format!("--audience={name}")));
        words.extend(self.issuer.iter().map(|name| format!("--issuer={name}")));
        words.extend(self.claim_ids.iter().map(|claim| format!("--claim-ids={claim}")));
        Ok(words)
    }

    /// Whether tokens are signed with a secret, and whether the API server is asked about them.
    pub(super) fn secret_and_review(&self) -> (bool, bool) {
        (self.auth == Auth::Jwt && self.jwks.is_none(), self.auth == Auth::TokenReview)
    }

    /// Whether a certificate is named.
    pub(super) fn has_certificate(&self) -> bool {
        self.tls_cert_file.is_some()
    }

    /// Who may use sessions that are served on these addresses.
    pub(super) fn access(&self, addresses: &[SocketAddr], environment: &Environment) -> Result<Access, Failure> {
        match self.auth {
            Auth::None if addresses.iter().all(|address| address.ip().is_loopback()) => Ok(Access::Everybody),
            Auth::None => {
                let message = "without --auth, the gateway listens only on loopback addresses";
                Err(Failure::usage(message).hint("for example --listen 127.0.0.1:8080, or --auth token-review"))
            }
            Auth::TokenReview => Ok(Access::TokenReview(self.audience.clone())),
            Auth::Jwt => Ok(Access::Jwt(
                Claims {
                    audiences: self.audience.clone(),
                    issuers: self.issuer.clone(),
                    owner: self.claim_owner.clone(),
                    ids: self.claim_ids.clone(),
                },
                self.source(environment)?,
            )),
        }
    }

    fn source(&self, environment: &Environment) -> Result<Source, Failure> {
        if let Some(jwks) = &self.jwks {
            if jwks.starts_with("https://") {
                let (url, authorities) = (jwks.clone(), self.jwks_ca_file.clone());
                return Ok(Source::KeysUrl { url, authorities });
            }
            return match jwks.contains("://") {
                true => Err(Failure::usage(format!("--jwks {jwks}: expected an https URL or a file"))),
                false => Ok(Source::KeysFile(jwks.into())),
            };
        }
        if let Some(file) = &self.jwt_secret_file {
            return Ok(Source::SecretFile(file.clone()));
        }
        match environment.get("AUTH_TOKEN_SECRET").filter(|secret| !secret.is_empty()) {
            Some(secret) => Ok(Source::Secret(secret.as_bytes().to_vec())),
            None => Err(Failure::usage("--auth jwt needs keys").hint("--jwks FILE|URL, --jwt-secret-file FILE, or AUTH_TOKEN_SECRET")),
        }
    }

    /// How connections are secured; none: they are not.
    pub(super) fn tls(&self, environment: &Environment) -> Result<Option<Tls>, Failure> {
        let file = |flag: &Option<PathBuf>, name: &str| flag.clone().or_else(|| environment.get(name).map(PathBuf::from));
        let files = (file(&self.tls_cert_file, "TLS_CERT_PATH"), file(&self.tls_key_file, "TLS_KEY_PATH"));
        let (certificate, key) = match files {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) if self.client_ca_file.is_none() => return Ok(None),
            _ => return Err(Failure::usage("TLS needs a certificate and its key").hint("--tls-cert-file FILE --tls-key-file FILE")),
        };
        let client_authority = self.client_ca_file.clone();
        let files = TlsFiles {
            certificate,
            key,
            client_authority,
        };
        Tls::open(files).map(Some).map_err(Failure::usage)
    }
}
