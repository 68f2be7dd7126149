//! The files that a run writes beside its output: never one that an earlier run has left, never a verdict that is lost for want of a place.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::WaitReadyArgs;
use crate::cmd::exit::Failure;
use crate::model::text::redact;
use crate::render::readiness_junit::junit_without_verdict;

/// Where a run writes to.
pub(super) struct Files<'a> {
    junit: Option<&'a Path>,
    save: Option<&'a Path>,
    /// What a report without a verdict is about.
    targets: String,
}

impl<'a> Files<'a> {
    /// Tries the files before anything is asked, and takes away what an earlier run has left in them: a run that is killed must not leave
    /// the verdict of another one. What is no file of its own, as a pipe, is left alone until there is something to write.
    pub(super) fn open(args: &'a WaitReadyArgs) -> Result<Self, Failure> {
        let named = || {
            args.targets
                .iter()
                .cloned()
                .chain(args.selector.iter().map(|(_, text)| text.clone()))
        };
        let mut targets = named().collect::<Vec<_>>().join(", ");
        if targets.is_empty() {
            targets = args.filename.join(", ");
        }
        // What is read too is there for its content.
        let is_ours = |path: &&Path| !is_read(path, &args.filename) && !is_stream(path);
        let junit = args.junit.as_deref();
        let save = args.save.as_deref();
        let files = Self {
            junit: junit.filter(is_ours),
            save: save.filter(is_ours),
            targets,
        };
        if let Some(path) = files.junit {
            let unfinished = junit_without_verdict(&files.targets, "wait-ready was killed before it had a verdict", None);
            empty(path, false)
                .and_then(|()| fs::write(path, unfinished))
                .map_err(|error| refused("--junit", path, &error))?;
        }
        if let Some(path) = files.save {
            empty(path, true).map_err(|error| refused("--save", path, &error))?;
        }
        Ok(files)
    }

    /// The run has ended without a verdict: the report says why, and there is nothing that was judged.
    pub(super) fn without_verdict(&self, failure: &Failure) {
        if let Some(path) = self.junit {
            let report = junit_without_verdict(&self.targets, &redact(&failure.message), failure.hint.as_deref());
            if fs::write(path, report).is_err() {
                let _ = fs::remove_file(path);
            }
        }
        // Where it may not be removed, it is empty.
        if let Some(path) = self.save
            && fs::remove_file(path).is_err()
        {
            let _ = empty(path, true);
        }
    }
}

/// Whether a file is one of those that are read, or lies in one of their folders.
fn is_read(path: &Path, read: &[String]) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let read = read.iter().filter_map(|r| fs::canonicalize(r).ok());
    read.into_iter().any(|r: PathBuf| path.starts_with(r))
}

/// Whether it is no file that could be old: a pipe, a device, or a stream of this process, whatever that leads to.
fn is_stream(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc") || fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// Makes an empty file; what was read of a cluster is for its reader alone.
fn empty(path: &Path, is_private: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if is_private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    options.open(path)?.flush()
}

fn refused(flag: &str, path: &Path, error: &std::io::Error) -> Failure {
    let shown = path.display();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let hint = match error.kind() {
        ErrorKind::NotFound => format!("mkdir -p {}", folder.display()),
        ErrorKind::IsADirectory => format!("name a file in it, as {flag} {}", path.join("ready").display()),
        _ => "name a file that you may write".to_owned(),
    };
    Failure::usage(format!("{flag} {shown}: {error}")).hint(hint)
}
