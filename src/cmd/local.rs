//! Objects of `--local -f`.

use jiff::Timestamp;

use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::snapshot::Snapshot;
use crate::observe::files;
use crate::text::sanitise;

/// Reads the objects of files, or those of one namespace in them.
/// `taken_at`: when they were read, where the user says so.
pub(crate) fn snapshot(
    filename: &[String],
    recursive: bool,
    namespace: Option<&str>,
    taken_at: Option<Timestamp>,
    io: &mut Io,
) -> Result<Snapshot, Failure> {
    let documents = files::read(filename, recursive, &mut io.stdin).map_err(|error| Failure::usage(format!("{error:#}")))?;
    let (mut snapshot, warnings) = documents
        .into_snapshot(namespace, taken_at, (io.now)())
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    let left_out = !warnings.is_empty();
    for warning in warnings {
        io.stderr.line(&format!("warning: left out {}", sanitise(&warning)));
    }
    let known = snapshot.objects.references();
    if known.is_empty() {
        return Err(Failure::new(
            if left_out { Exit::Usage } else { Exit::NotFound },
            "the given files hold no object that can be judged",
        ));
    }
    if let Some(namespace) = namespace {
        if !snapshot.namespaces.iter().any(|n| n == namespace) && !known.iter().any(|(object, _)| object.namespace == namespace) {
            return Err(Failure::new(
                Exit::NotFound,
                format!("the given files hold nothing of namespace {namespace}"),
            ));
        }
        snapshot.namespaces = vec![namespace.to_owned()];
    }
    Ok(snapshot)
}
