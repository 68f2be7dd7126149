//! Files of `--save`.

use std::io::ErrorKind;
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

/// Whether the file of `--save` can be written, before anything is asked of a cluster: what it holds is kept.
pub(crate) fn must_be_writable(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path.filter(|path| !is_stream(path)) else {
        return Ok(());
    };
    let is_new = !path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| refused("--save", path, &error))?;
    if is_new {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Writes a file that only the user may read, on systems with such permissions.
pub(crate) fn private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, text.as_bytes())
}

/// Whether it is a pipe, a device, or a stream of this process.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc") || std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// A file that was named for a result, and that cannot be written.
pub(crate) fn refused(flag: &str, path: &Path, error: &std::io::Error) -> Failure {
    let shown = path.display();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let hint = match error.kind() {
        ErrorKind::NotFound => format!("mkdir -p {}", folder.display()),
        ErrorKind::IsADirectory => format!("name a file in it, as {flag} {}", path.join("ready").display()),
        _ => "name a file that you may write".to_owned(),
    };
    Failure::usage(format!("{flag} {shown}: {error}")).hint(hint)
}
