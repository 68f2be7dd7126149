//! Files of `--save`.

use std::path::Path;

use crate::exit::{Exit, Failure};
use crate::model::snapshot::Snapshot;

/// Writes a snapshot to the file of `--save`, if there is one.
pub(crate) fn snapshot(path: Option<&Path>, snapshot: &Snapshot) -> Result<(), Failure> {
    path.map_or(Ok(()), |path| document(path, &snapshot.to_json()))
}

/// Writes a snapshot that is a document already.
pub(crate) fn document(path: &Path, snapshot: &serde_json::Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(snapshot).map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    private(path, &(text + "\n")).map_err(|error| Failure::new(Exit::Fault, format!("writing the snapshot to {}: {error}", path.display())))
}

/// Writes a file that only the user may read, on systems with such permissions.
pub(crate) fn private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, text.as_bytes())
}
