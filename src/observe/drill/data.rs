//! Whether the data of a workload survives: the same question gets the same answer before and after.

use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use crate::cluster::{Answer, Connection, Direct, Question, Told, Trust};
use crate::exit::{Exit, Failure};
use crate::model::drill::DataCheck;
use crate::model::finding::ObjectRef;
use crate::observe::store::Store;
use crate::text::shorten;
use crate::view::{Options, View, is_ready};

/// How long a command or an answer may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the answer may differ after the recovery: what is behind catches up.
const CATCHES_UP: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(1);
/// Letters of an answer that are reported.
const SHOWN: usize = 200;

/// How something is asked or written.
#[derive(Clone, Debug)]
pub(crate) enum Means {
    /// A command of a shell, in the first container of a ready pod.
    Command(String),
    /// A path, with GET from here.
    Http(Direct, Question),
}

impl Means {
    /// A URL of the scheme http or https, or else a command.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            let (to, question) = Direct::of_url(text)?;
            return Ok(Self::Http(to, question));
        }
        Ok(Self::Command(text.to_owned()))
    }
}

/// What is written before the fault, and asked before and after it.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) write: Option<Means>,
    pub(crate) verify: Option<Means>,
    /// In whose pods commands run.
    pub(crate) pods_of: ObjectRef,
}

impl Data {
    /// Writes the marker and asks for the data: the answer that has to come again. The error is what failed.
    pub(crate) async fn before(&self, connection: &Connection, view: &View<'_>) -> Result<Option<String>, Failure> {
        let failed = |doing: &str, why: String| Failure::new(Exit::NotInjected, format!("{doing} before the fault: {why}"));
        if let Some(write) = &self.write {
            self.ask(connection, view, write)
                .await
                .map_err(|why| failed("writing the marker", why))?;
        }
        match &self.verify {
            Some(verify) => self
                .ask(connection, view, verify)
                .await
                .map(Some)
                .map_err(|why| failed("reading the data", why)),
            None => Ok(None),
        }
    }

    /// Asks again after the recovery, until the answer is the one from before. The store is followed meanwhile: pods come and go.
    pub(crate) async fn after(&self, connection: &Connection, store: &mut Store, before: &str) -> Option<DataCheck> {
        let verify = self.verify.as_ref()?;
        let deadline = Instant::now() + CATCHES_UP;
        loop {
            let again = Instant::now() + AGAIN;
            let after = {
                let view = View::new(&store.snapshot, Options::default());
                self.ask(connection, &view, verify).await
            };
            let is_same = after.as_deref() == Ok(before);
            if is_same || Instant::now() > deadline {
                return Some(DataCheck {
                    is_same,
                    before: shorten(before.trim(), SHOWN),
                    after: shorten(after.unwrap_or_else(|why| why).trim(), SHOWN),
                });
            }
            while let Ok(Ok(())) = tokio::time::timeout_at(again, store.changed()).await {}
            tokio::time::sleep_until(again).await;
        }
    }

    async fn ask(&self, connection: &Connection, view: &View<'_>, means: &Means) -> Result<String, String> {
        match means {
            Means::Command(command) => {
                let pods = view
                    .workload(&self.pods_of)
                    .map(|workload| workload.pods.clone())
                    .unwrap_or_default();
                let pod = pods.into_iter().find(|pod| is_ready(pod));
                let pod = pod.ok_or_else(|| format!("{} has no ready pod", self.pods_of.short()))?;
                let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
                let container = container.map(|container| container.name.as_str()).unwrap_or_default();
                let output = connection
                    .exec(&self.pods_of.namespace, &pod.name_any(), container, &["sh", "-c", command], LIMIT)
                    .await
                    .map_err(|error| error.to_string())?;
                match output.succeeded {
                    true => Ok(output.stdout),
                    false => {
                        let said = output.stderr.trim().lines().last().unwrap_or(output.why.trim());
                        Err(format!("the command failed in pod/{}: {said}", pod.name_any()))
                    }
                }
            }
            Means::Http(to, question) => {
                let trust = Trust::of_anybody()?;
                match connection.ask_directly(to, question, &trust, LIMIT).await {
                    Answer {
                        told: Told::Status(200..=299),
                        body,
                    } => Ok(String::from_utf8_lossy(&body).into_owned()),
                    answer => Err(format!("{} answers {}", to.address, answer.told.shown())),
                }
            }
        }
    }
}
