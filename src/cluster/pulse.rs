//! Whether the API server is still there while nothing is heard of it. Where packets vanish no connection is reset: who only listens would never
//! notice. kube speaks HTTP/1.1, which has no pings of its own (client-go's, over HTTP/2, come after 30 s and are given 15 s).

use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::request::{Call, Repeat};

/// How long a watch may be silent before the API server is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(15);
/// How long that answer may take: nothing else is as cheap, and nothing else waits for it.
const LIMIT: Duration = Duration::from_secs(10);
/// How long an answer counts, so that many watches that are silent ask once.
const COUNTS_FOR: Duration = Duration::from_secs(5);
/// What is asked for: everybody may (system:public-info-viewer), and a busy API server does not let it wait (the flow schema `probes`).
const PATH: &str = "/livez";

/// What was found out last.
#[derive(Default)]
pub(super) struct Pulse {
    last: Mutex<Option<(Instant, Result<(), ApiError>)>>,
    /// Told to all who wait in silence when there was no answer.
    lost: Notify,
}

impl Connection {
    /// Whether the API server answers at all, whatever it says. An error where it does not.
    pub async fn answers(&self) -> Result<(), ApiError> {
        let pulse = &self.inner.pulse;
        // Concurrent callers wait for the same answer.
        let mut last = pulse.last.lock().await;
        if let Some((_, outcome)) = last.as_ref().filter(|(at, _)| at.elapsed() < COUNTS_FOR) {
            return outcome.clone();
        }
        let outcome = self.ask_for_life().await;
        *last = Some((Instant::now(), outcome.clone()));
        drop(last);
        if outcome.is_err() {
            pulse.lost.notify_waiters();
        }
        outcome
    }

    async fn ask_for_life(&self) -> Result<(), ApiError> {
        let about = About {
            doing: "seeing whether the API server answers".to_owned(),
            verb: "get",
            ..About::default()
        };
        let call = Call {
            accept: "*/*",
            repeat: Repeat::Never,
            ..Call::get(PATH.to_owned(), about)
        };
        match self.inner.transport.exchange_at_once(&call, LIMIT).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                let why = format!("{} is silent, and gives no answer within {} s", self.server(), LIMIT.as_secs());
                Err(ApiError::of(&call.about, ApiErrorKind::Timeout, why))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits while nothing is heard; ends with an error when the API server does not answer any more.
    pub(super) async fn listen(&self) -> ApiError {
        loop {
            let lost = self.inner.pulse.lost.notified();
            tokio::select! {
                () = lost => {}
                () = tokio::time::sleep(SILENCE) => {}
            }
            if let Err(error) = self.answers().await {
                return error;
            }
        }
    }
}
