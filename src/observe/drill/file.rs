//! Reads a file in containers again and again: what a ConfigMap says gets there only after a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cluster::{ApiErrorKind, Connection};
use crate::text::shorten;

const AGAIN: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

/// A file of a pod: pod, container and path.
pub(crate) type Place = (String, String, String);

/// What each file says, or why it cannot be read.
type Contents = BTreeMap<Place, Result<String, String>>;

/// A reader at work.
pub(crate) struct Reader {
    seen: Arc<Mutex<Contents>>,
    task: JoinHandle<()>,
}

impl Reader {
    pub(crate) fn start(connection: &Connection, places: Vec<Place>) -> Self {
        let unread = places.into_iter().map(|place| (place, Err("not read yet".to_owned())));
        let seen = Arc::new(Mutex::new(unread.collect::<Contents>()));
        let (connection, shared) = (connection.clone(), seen.clone());
        let task = tokio::spawn(async move {
            let namespace = connection.default_namespace().to_owned();
            loop {
                let places: Vec<Place> = lock(&shared).keys().cloned().collect();
                for place in places {
                    let (pod, container, path) = &place;
                    let read = connection.exec(&namespace, pod, container, &["cat", path], LIMIT).await;
                    let read = match read {
                        Ok(output) if output.succeeded => Ok(output.stdout),
                        Ok(output) => Err(shorten(&output.why, 160)),
                        // The pod is gone, and its file with it.
                        Err(error) if error.kind == ApiErrorKind::NotFound => {
                            lock(&shared).remove(&place);
                            continue;
                        }
                        Err(error) => Err(error.to_string()),
                    };
                    lock(&shared).insert(place, read);
                }
                sleep(AGAIN).await;
            }
        });
        Self { seen, task }
    }

    /// Whether no pod is left that could show it.
    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.seen).is_empty()
    }

    /// Whether every file of the pods that are left says this; the error says which does not.
    pub(crate) fn says(&self, value: &str) -> Result<String, String> {
        let seen = lock(&self.seen);
        if seen.is_empty() {
            return Err("the pods with the files are gone".to_owned());
        }
        for ((pod, container, path), read) in seen.iter() {
            match read {
                Ok(text) if text == value => {}
                Ok(_) => return Err(format!("{path} in container {container} of pod/{pod} does not have the value yet")),
                Err(why) => return Err(format!("{path} in container {container} of pod/{pod} could not be read: {why}")),
            }
        }
        Ok(crate::text::counted(i64::try_from(seen.len()).unwrap_or(i64::MAX), "file") + " in containers: the value is there")
    }
}

fn lock(seen: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
