//! Who podlife is to the API server: a header on every request, renewed when its time has come.
//!
//! kube runs a credential plugin three times per client and blocks its thread meanwhile, so it never gets to see one.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::cluster::error::{ApiError, ApiErrorKind};
use crate::cluster::kubeconfig::{Identity, Target};
use crate::cluster::options::ConnectOptions;
use crate::model::environment::Environment;
use crate::text::redact;

/// How long a token read from a file counts as fresh; client-go's period.
const TOKEN_FILE_PERIOD: Duration = Duration::from_secs(60);
/// How long a plugin may take that nobody can answer.
const PLUGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a renewed credential that is refused again is not renewed once more.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);
const DOING: &str = "getting a credential";

enum Source {
    /// Nothing, or something that never changes.
    Fixed,
    File {
        path: PathBuf,
    },
    Plugin(Box<Plugin>),
}

struct Plugin {
    exec: ExecConfig,
    variables: Vec<(String, String)>,
    cluster: Value,
    interactive: bool,
    timeout: Option<Duration>,
}

#[derive(Default)]
struct State {
    header: Option<HeaderValue>,
    identity: Option<Identity>,
    expires: Option<Timestamp>,
    read_at: Option<Instant>,
    /// When the API server's refusal last made us ask again.
    renewed_at: Option<Instant>,
    /// Counts the credentials had so far, so that of many requests refused at once only the first renews.
    generation: u64,
}

/// The present credential and where the next one comes from.
pub(super) struct Credential {
    source: Source,
    state: RwLock<State>,
    renewing: Mutex<()>,
}

fn failed(message: impl Into<String>) -> ApiError {
    ApiError::before(ApiErrorKind::Credential, DOING, message)
}

impl Credential {
    /// Works out where the credential comes from; runs and reads nothing yet.
    pub(super) fn new(target: &Target, options: &ConnectOptions, environment: &Environment) -> Result<Self, ApiError> {
        let user: &AuthInfo = &target.user;
        let mut state = State {
            identity: target.identity.clone(),
            ..State::default()
        };
        let token = user
            .token
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .filter(|token| !token.is_empty());
        let file = user.token_file.as_ref().filter(|file| !file.is_empty());
        if let Some(token) = token {
            state.header = Some(bearer(token)?);
        }
        let name = user.username.as_deref().filter(|name| !name.is_empty());
        if let Some(name) = name {
            if token.is_some() || file.is_some() {
                return Err(ApiError::before(
                    ApiErrorKind::Config,
                    DOING,
                    "the user has both a name with a password and a token; only one can be used",
                ));
            }
            let password = user.password.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
            state.header = Some(header(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))?);
        }
        let source = if let Some(file) = file {
            Source::File { path: PathBuf::from(file) }
        } else if state.header.is_some() {
            Source::Fixed
        } else if let Some(exec) = &user.exec {
            Source::Plugin(Box::new(Plugin {
                exec: checked(exec)?,
                variables: environment.all().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
                cluster: target.cluster_info.clone(),
                interactive: options.interactive,
                timeout: options.request_timeout,
            }))
        } else if let Some(provider) = &user.auth_provider {
            return Err(ApiError::before(
                ApiErrorKind::Config,
                DOING,
                format!(
                    "the auth-provider {:?} is not supported; kubectl itself dropped most of them in 1.26",
                    provider.name
                ),
            )
            .hint(match provider.name.as_str() {
                "gcp" => "use the plugin gke-gcloud-auth-plugin",
                "azure" => "use the plugin kubelogin",
                "oidc" => "use a credential plugin for OIDC, or pass --token",
                _ => "use a credential plugin (`users[].user.exec`), or pass --token",
            }));
        } else {
            Source::Fixed
        };
        Ok(Self {
            source,
            state: RwLock::new(state),
            renewing: Mutex::new(()),
        })
    }

    fn read<T>(&self, of: impl FnOnce(&State) -> T) -> T {
        of(&self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn write(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// The `Authorization` header of this moment.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.read(|state| state.header.clone())
    }

    /// Client certificate and key of this moment.
    pub(super) fn identity(&self) -> Option<Identity> {
        self.read(|state| state.identity.clone())
    }

    /// Sees to it that there is a credential which has not expired; returns its generation.
    pub(super) async fn prepare(&self) -> Result<u64, ApiError> {
        if self.is_due() {
            let _alone = self.renewing.lock().await;
            if self.is_due() {
                self.fetch().await?;
            }
        }
        Ok(self.read(|state| state.generation))
    }

    /// Gets a new credential after the API server refused the one of `generation`. False if there is no other.
    pub(super) async fn renew(&self, generation: u64) -> Result<bool, ApiError> {
        if matches!(self.source, Source::Fixed) {
            return Ok(false);
        }
        let _alone = self.renewing.lock().await;
        if self.read(|state| state.generation) != generation {
            return Ok(true);
        }
        // A credential that is refused right after it was renewed will be refused again: the plugin, which may ask a person, is left alone.
        if self.read(|state| state.renewed_at.is_some_and(|at| at.elapsed() < RENEWAL_PAUSE)) {
            return Ok(false);
        }
        let before = self.header();
        self.write(|state| state.renewed_at = Some(Instant::now()));
        self.fetch().await?;
        // A file that still says the same will be refused again.
        Ok(matches!(self.source, Source::Plugin(_)) || self.header() != before)
    }

    fn is_due(&self) -> bool {
        self.read(|state| match &self.source {
            Source::Fixed => false,
            Source::File { .. } => state.read_at.is_none_or(|at| at.elapsed() >= TOKEN_FILE_PERIOD),
            Source::Plugin(_) => state.read_at.is_none() || state.expires.is_some_and(|expires| Timestamp::now() >= expires),
        })
    }

    async fn fetch(&self) -> Result<(), ApiError> {
        match &self.source {
            Source::Fixed => Ok(()),
            Source::File { path } => {
                let text = tokio::fs::read_to_string(path).await;
                let header = match text {
                    Ok(text) if !text.trim().is_empty() => Some(bearer(text.trim())?),
                    // A token once read outlives its file (kubernetes/kubernetes#68164).
                    _ if self.header().is_some() => None,
                    Ok(_) => return Err(failed(format!("the token file {} is empty", path.display()))),
                    Err(error) => {
                        return Err(failed(format!("cannot read the token file {}: {error}", path.display())).caused_by(error));
                    }
                };
                self.write(|state| {
                    state.read_at = Some(Instant::now());
                    if header.is_some() && header != state.header {
                        state.header = header;
                        state.generation += 1;
                    }
                });
                Ok(())
            }
            Source::Plugin(plugin) => {
                let status = plugin.run().await?;
                let header = status.token.as_deref().filter(|token| !token.is_empty()).map(bearer).transpose()?;
                self.write(|state| {
                    state.header = header;
                    if let (Some(certificate), Some(key)) = (status.client_certificate_data, status.client_key_data) {
                        state.identity = Some(Identity {
                            certificate: certificate.into_bytes(),
                            key: SecretString::from(key),
                        });
                    }
                    state.expires = status.expiration_timestamp;
                    state.read_at = Some(Instant::now());
                    state.generation += 1;
                });
                Ok(())
            }
        }
    }
}

fn header(value: String) -> Result<HeaderValue, ApiError> {
    let mut value = HeaderValue::try_from(value).map_err(|_| failed("the credential has characters that a header must not have"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn bearer(token: &str) -> Result<HeaderValue, ApiError> {
    header(format!("Bearer {}", token.trim()))
}

fn checked(exec: &ExecConfig) -> Result<ExecConfig, ApiError> {
    let bad = |message: String| ApiError::before(ApiErrorKind::Config, DOING, message);
    if exec.command.as_deref().unwrap_or_default().is_empty() {
        return Err(bad("the credential plugin of the user has no command".to_owned()));
    }
    match exec.api_version.as_deref() {
        Some("client.authentication.k8s.io/v1" | "client.authentication.k8s.io/v1beta1") => Ok(exec.clone()),
        Some(other) => Err(bad(format!(
            "the credential plugin speaks {other}, which is not supported; client.authentication.k8s.io/v1 and v1beta1 are"
        ))
        .hint("update the plugin and its entry in the kubeconfig")),
        None => Err(bad("the credential plugin of the user has no apiVersion".to_owned())),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    kind: Option<String>,
    status: Option<ExecStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecStatus {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

impl Plugin {
    fn name(&self) -> &str {
        self.exec.command.as_deref().unwrap_or_default()
    }

    fn error(&self, message: impl std::fmt::Display) -> ApiError {
        let error = failed(format!("credential plugin {}: {message}", self.name()));
        match self.exec.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty()) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    async fn run(&self) -> Result<ExecStatus, ApiError> {
        let interactive = match self.exec.interactive_mode {
            Some(ExecInteractiveMode::Never) => false,
            Some(ExecInteractiveMode::Always) if !self.interactive => {
                return Err(self.error("it must ask the user, and standard input is not a terminal"));
            }
            _ => self.interactive,
        };
        let mut spec = json!({"interactive": interactive});
        if self.exec.provide_cluster_info {
            spec["cluster"] = self.cluster.clone();
        }
        let info = json!({"apiVersion": self.exec.api_version, "kind": "ExecCredential", "spec": spec});
        let named = |entry: &std::collections::HashMap<String, String>| {
            Some((entry.get("name")?.clone(), entry.get("value").cloned().unwrap_or_default()))
        };
        let mut command = Command::new(self.name());
        command
            .args(self.exec.args.iter().flatten())
            .env_clear()
            .envs(self.variables.iter().map(|(k, v)| (k, v)))
            .envs(self.exec.env.iter().flatten().filter_map(named))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(if interactive { Stdio::inherit() } else { Stdio::piped() })
            .kill_on_drop(true);
        let run = async { command.spawn()?.wait_with_output().await };
        let output = match interactive {
            // A person may take their time over a password or a browser.
            true => run.await,
            false => {
                let limit = self.timeout.filter(|limit| !limit.is_zero()).unwrap_or(PLUGIN_TIMEOUT);
                tokio::time::timeout(limit, run)
                    .await
                    .map_err(|_| self.error(format!("no answer within {} s", limit.as_secs_f32())))?
            }
        };
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.error("executable not found").caused_by(error),
            _ => self.error(format!("cannot be run: {error}")).caused_by(error),
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            // What it complains about may be the credential itself.
            let last = redact(said.trim().lines().last().unwrap_or_default());
            let separator = if last.is_empty() { "" } else { ": " };
            return Err(self.error(format!("failed with {}{separator}{last}", output.status)));
        }
        self.parse(&output.stdout)
    }

    fn parse(&self, output: &[u8]) -> Result<ExecStatus, ApiError> {
        // client-go reads YAML here too, and JSON is YAML. What the parser quotes may be the token, so it stays unsaid.
        let text = String::from_utf8_lossy(output);
        let credential: ExecCredential = serde_saphyr::from_str(&text).map_err(|_| self.error("its output is not an ExecCredential"))?;
        if credential.kind.as_deref() != Some("ExecCredential") {
            return Err(self.error("its output is not an ExecCredential"));
        }
        if credential.api_version != self.exec.api_version {
            return Err(self.error(format!(
                "it answers in {}, although the kubeconfig says {}",
                credential.api_version.as_deref().unwrap_or("no version"),
                self.exec.api_version.as_deref().unwrap_or("none"),
            )));
        }
        let status = credential.status.ok_or_else(|| self.error("it gave no credential"))?;
        let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let pair = (has(&status.client_certificate_data), has(&status.client_key_data));
        if pair.0 != pair.1 {
            return Err(self.error("it gave a client certificate without a key, or a key without a certificate"));
        }
        if !pair.0 && !has(&status.token) {
            return Err(self.error("it gave neither a token nor a client certificate"));
        }
        Ok(status)
    }
}
