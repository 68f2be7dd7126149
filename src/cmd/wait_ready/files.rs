//! The files that a run writes: they are tried first, and hold nothing of an earlier run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cmd::save::{self, is_stream, refused};
use crate::cmd::wait_ready::args::WaitReadyArgs;
use crate::exit::Failure;
use crate::render::readiness_junit::junit_without_verdict;
use crate::text::redact;

/// The files of a run.
pub(crate) struct Files<'a> {
    junit: Option<&'a Path>,
    save: Option<&'a Path>,
    /// The targets, for a report without a verdict.
    targets: String,
}

impl<'a> Files<'a> {
    /// Tries and empties the files before anything is read: a run that is killed must not leave the verdict of an earlier one. Pipes and devices
    /// are left alone until there is something to write.
    pub(crate) fn open(args: &'a WaitReadyArgs) -> Result<Self, Failure> {
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
        // Files that are read too keep their content.
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
            fs::write(path, unfinished).map_err(|error| refused("--junit", path, &error))?;
        }
        if let Some(path) = files.save {
            save::private(path, "").map_err(|error| refused("--save", path, &error))?;
        }
        Ok(files)
    }

    /// Writes a report that says why there is no verdict, and removes the file of the judged objects.
    pub(crate) fn without_verdict(&self, failure: &Failure) {
        if let Some(path) = self.junit {
            let report = junit_without_verdict(&self.targets, &redact(&failure.message), failure.hint.as_deref());
            if fs::write(path, report).is_err() {
                let _ = fs::remove_file(path);
            }
        }
        // Where it may not be removed, it is emptied.
        if let Some(path) = self.save
            && fs::remove_file(path).is_err()
        {
            let _ = save::private(path, "");
        }
    }
}

/// Whether a file is one of those that are read, or is in one of their folders.
fn is_read(path: &Path, read: &[String]) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let read = read.iter().filter_map(|r| fs::canonicalize(r).ok());
    read.into_iter().any(|r: PathBuf| path.starts_with(r))
}
