//! What decides who may make requests is kept up to date: keys, certificate, and the API server's word about tokens. So is the file of the template.

use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::{Direct, Told, Trust, WriteOptions};
use crate::exit::Failure;
use crate::gateway::auth::{Auth, Inquiry};
use crate::gateway::control::Control;
use crate::gateway::problem::Problem;
use crate::gateway::tls::Tls;
use crate::model::kind;

/// How often is looked whether the certificate has changed.
const CERTIFICATE: Duration = Duration::from_secs(10);
/// How long the keys of tokens may take to come.
const FETCH: Duration = Duration::from_secs(10);

impl Control<'_> {
    /// Reads the keys of tokens for the first time. Without any, no token could be accepted.
    pub(super) async fn read_keys(&self) -> Result<(), Failure> {
        match &self.gate.auth {
            Auth::Jwt(keys) => keys
                .read(async |url, authorities| self.fetch(url, authorities).await)
                .await
                .map_err(Failure::usage),
            _ => Ok(()),
        }
    }

    pub(super) async fn keep_keys(&self) {
        match &self.gate.auth {
            Auth::Jwt(keys) => {
                keys.keep(async |url, authorities| self.fetch(url, authorities).await, |why| self.say(why))
                    .await
            }
            _ => std::future::pending().await,
        }
    }

    /// Reads the keys at a URL.
    async fn fetch(&self, url: &str, authorities: Option<&[u8]>) -> Result<Vec<u8>, String> {
        let (to, question) = Direct::of_url(url)?;
        let connection = &self.sessions.objects.connection;
        let trust = Trust::of_authorities(authorities, "--jwks-ca-file")?;
        let answer = connection.ask_directly(&to, &question, &trust, FETCH).await;
        match answer.told {
            Told::Status(200) => Ok(answer.body),
            told => Err(told.shown()),
        }
    }

    /// Reads the certificate again when its files have changed.
    pub(super) async fn keep_certificate(&self) {
        let Some(tls) = self.tls else { return std::future::pending().await };
        loop {
            self.gate.metrics.certificate_ends(tls.ends());
            sleep(CERTIFICATE).await;
            self.refresh(tls);
        }
    }

    fn refresh(&self, tls: &Tls) {
        match tls.refresh() {
            Ok(true) => tracing::info!("the certificate has been read again"),
            Ok(false) => {}
            Err(why) => self.say(&why),
        }
    }

    /// Reads all files again on SIGHUP. One that cannot be read leaves what is known.
    pub(super) async fn read_again(&self) {
        loop {
            self.io.stop.hung_up().await;
            if let Some(tls) = self.tls {
                self.refresh(tls);
            }
            if let Err(failure) = self.read_keys().await {
                self.say(&failure.message);
            }
            match self.reread.as_ref().map(|reread| reread()) {
                Some(Ok(template)) => {
                    for warning in template.warnings() {
                        self.say(&warning);
                    }
                    self.pool.borrow_mut().set_template(template.hash());
                    self.wanted.borrow_mut().template = template;
                }
                Some(Err(failure)) => self.say(&failure.message),
                None => {}
            }
            tracing::info!("files have been read again");
        }
    }

    /// Asks the API server who holds a token.
    pub(super) async fn review(&self, inquiry: Inquiry) {
        let connection = &self.sessions.objects.connection;
        let reviewed = connection
            .create(&kind::TOKEN_REVIEW, None, &inquiry.review, &WriteOptions::default())
            .await;
        // Who asked may have gone.
        let _ = inquiry.answer.send(reviewed.map_err(|error| Problem::of(error.into())));
    }
}
