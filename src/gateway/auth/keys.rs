//! The keys of tokens, read again when they change.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::caller::Caller;
use super::jwt::{Claims, Jwt, Source};

/// How often keys are read again.
const EVERY: Duration = Duration::from_secs(10);
/// The same for a URL, unless a token names a key that is not known.
const URL_EVERY: Duration = Duration::from_secs(300);
/// How long a request waits for a key that is not known yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Verifies tokens by keys that somebody keeps up to date.
pub(in crate::gateway) struct Keys {
    jwt: Jwt,
    source: Source,
    wanted: Notify,
    reads: watch::Sender<u64>,
}

impl Keys {
    /// Keys that have not been read.
    pub(in crate::gateway) fn new(claims: Claims, source: Source) -> Self {
        Self {
            jwt: Jwt::new(claims),
            source,
            wanted: Notify::new(),
            reads: watch::Sender::new(0),
        }
    }

    /// Who holds a token.
    pub(in crate::gateway) async fn caller(&self, token: &str) -> Result<Caller, String> {
        match self.jwt.caller(token) {
            Err(_) if matches!(self.source, Source::KeysUrl { .. }) && self.jwt.names_another_key(token) => {
                let mut reads = self.reads.subscribe();
                self.wanted.notify_one();
                // Where it does not come, the token is refused as before.
                let _ = timeout(PATIENCE, reads.changed()).await;
                self.jwt.caller(token)
            }
            known => known,
        }
    }

    /// Reads the keys once.
    pub(in crate::gateway) async fn read(&self, fetch: impl AsyncFn(&str, Option<&[u8]>) -> Result<Vec<u8>, String>) -> Result<(), String> {
        let file = |path: &PathBuf| fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()));
        let taken = match &self.source {
            Source::Secret(secret) => self.jwt.set_secret(secret),
            Source::SecretFile(path) => self.jwt.set_secret(trimmed(&file(path)?)),
            Source::KeysFile(path) => self.jwt.set_keys(&file(path)?),
            Source::KeysUrl { url, authorities } => {
                let authorities = authorities.as_ref().map(file).transpose()?;
                let fetched = fetch(url, authorities.as_deref()).await;
                self.jwt.set_keys(&fetched.map_err(|why| format!("reading {url}: {why}"))?)
            }
        };
        self.reads.send_modify(|reads| *reads += 1);
        taken
    }

    /// Keeps the keys up to date for as long as it runs. Keys that cannot be read leave those that are known.
    pub(in crate::gateway) async fn keep(&self, fetch: impl AsyncFn(&str, Option<&[u8]>) -> Result<Vec<u8>, String>, say: impl Fn(&str)) {
        loop {
            match &self.source {
                Source::Secret(_) => std::future::pending::<()>().await,
                Source::KeysUrl { .. } => {
                    // Not more often than this, whoever asks.
                    sleep(PATIENCE / 3).await;
                    let _ = timeout(URL_EVERY, self.wanted.notified()).await;
                }
                Source::SecretFile(_) | Source::KeysFile(_) => sleep(EVERY).await,
            }
            if let Err(why) = self.read(&fetch).await {
                say(&why);
            }
        }
    }
}

/// A file that was written by hand ends with a line end, which is no part of a secret.
fn trimmed(secret: &[u8]) -> &[u8] {
    secret.trim_ascii_end()
}
