//! The journal of a drill: a file here, and a ConfigMap in the namespace that any machine can restore from.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cluster::{ApiError, ApiErrorKind, Connection, Deletion, WriteOptions};
use crate::drill::journal::{Journal, NAME};
use crate::exit::{Exit, Failure};
use crate::model::kind;

/// An open journal.
pub(crate) struct Open {
    pub(crate) journal: Journal,
    /// Of the ConfigMap.
    uid: Option<String>,
    file: Option<(File, PathBuf)>,
}

/// Where journals of this machine are: `$XDG_STATE_HOME/podlife`, or `~/.local/state/podlife`.
pub(crate) fn folder(environment: &crate::io::Environment) -> Option<PathBuf> {
    let state = environment
        .get("XDG_STATE_HOME")
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(environment.get("HOME")?).join(".local/state")));
    Some(state?.join("podlife"))
}

/// The text of the ConfigMap of a namespace, if there is one.
pub(crate) async fn find(connection: &Connection, namespace: &str) -> Result<Option<Open>, Failure> {
    let Some(object) = connection.get(&kind::CONFIG_MAP, Some(namespace), NAME, false).await? else {
        return Ok(None);
    };
    if object["metadata"]["labels"]["app.kubernetes.io/managed-by"] != "podlife" {
        return Err(Failure::new(
            Exit::NotInjected,
            format!("configmap/{NAME} in namespace {namespace} does not belong to podlife"),
        )
        .hint("rename it: drills keep their journal under that name"));
    }
    let journal = Journal::of_config_map(&object).map_err(|why| {
        Failure::new(
            Exit::Fault,
            format!("reading the journal in configmap/{NAME} of namespace {namespace}: {why}"),
        )
    })?;
    Ok(Some(Open {
        journal,
        uid: object["metadata"]["uid"].as_str().map(str::to_owned),
        file: None,
    }))
}

/// Journals of this machine for a namespace of an API server.
pub(crate) fn in_files(folder: Option<&Path>, server: &str, namespace: &str) -> Vec<Open> {
    let files = folder
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .flatten();
    let is_journal = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("drill-"));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        let journal = Journal::parse(text.lines().next()?).ok()?;
        let file = OpenOptions::new().append(true).open(&path).ok()?;
        (journal.server == server && journal.namespace == namespace).then_some(Open {
            journal,
            uid: None,
            file: Some((file, path)),
        })
    };
    files.map(|entry| entry.path()).filter(is_journal).filter_map(read).collect()
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Fault, format!("writing the journal {}: {error}", path.display()))
        .hint("set XDG_STATE_HOME to a folder that can be written to")
}

impl Open {
    /// Writes a journal, first here and then in the namespace; nothing has been changed before both are there.
    pub(crate) async fn begin(connection: &Connection, journal: Journal, folder: Option<PathBuf>) -> Result<Self, Failure> {
        let mut open = Self {
            journal,
            uid: None,
            file: None,
        };
        if let Some(folder) = folder {
            let path = folder.join(format!("drill-{}.jsonl", open.journal.id));
            let create = || {
                std::fs::create_dir_all(&folder)?;
                OpenOptions::new().write(true).create_new(true).open(&path)
            };
            let file = create().map_err(|error| failed(&path, &error))?;
            open.file = Some((file, path.clone()));
            let written = open.line(&open.journal.to_line());
            let synced = written.and_then(|()| open.file.as_ref().map_or(Ok(()), |(file, _)| file.sync_data()));
            synced.map_err(|error| failed(&path, &error))?;
        }
        let namespace = open.journal.namespace.clone();
        let made = connection
            .create(
                &kind::CONFIG_MAP,
                Some(&namespace),
                &open.journal.to_config_map(),
                &WriteOptions::default(),
            )
            .await;
        match made {
            Ok(object) => {
                open.uid = object["metadata"]["uid"].as_str().map(str::to_owned);
                Ok(open)
            }
            Err(error) => {
                open.remove_file();
                Err(match error.kind {
                    ApiErrorKind::Conflict => taken(&namespace),
                    _ => error.into(),
                })
            }
        }
    }

    /// Notes what has happened, in the file.
    pub(crate) fn note(&mut self, what: &str, detail: &str) {
        let line = json!({"at": jiff::Timestamp::now().to_string(), "what": what, "detail": detail}).to_string();
        // The journal itself is on disk and in the namespace by now; these lines only help people.
        let _ = self.line(&line);
    }

    fn line(&mut self, text: &str) -> std::io::Result<()> {
        match &mut self.file {
            Some((file, _)) => writeln!(file, "{text}"),
            None => Ok(()),
        }
    }

    fn remove_file(&mut self) {
        if let Some((_, path)) = self.file.take() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Closes it: everything is as before.
    pub(crate) async fn close(&mut self, connection: &Connection) -> Result<(), ApiError> {
        if self.uid.is_some() {
            let deletion = Deletion::of_uid(self.uid.as_deref());
            let namespace = self.journal.namespace.clone();
            match connection.delete(&kind::CONFIG_MAP, Some(&namespace), NAME, &deletion).await {
                Err(error) if !matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Conflict) => return Err(error),
                _ => {}
            }
        }
        self.remove_file();
        Ok(())
    }
}

/// Another drill has the namespace.
pub(crate) fn taken(namespace: &str) -> Failure {
    let restore = crate::text::command("kubectl podlife drill restore -n {}", &[&namespace]).to_string();
    Failure::new(
        Exit::NotInjected,
        format!("another drill is running in namespace {namespace}, or one was killed before it had restored everything"),
    )
    .hint(restore)
}
