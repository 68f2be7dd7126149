//! Logs of containers.

use kube::ResourceExt;

use crate::model::snapshot::LogKey;
use crate::view::container::ContainerView;

/// What our own requests call themselves: they are no evidence.
const USER_AGENT: &str = "kubectl-podlife";

/// A log, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogView<'a> {
    /// The text, or none where it could not be had.
    pub text: Option<&'a str>,
    /// Whether it is of the instance before the present one.
    pub previous: bool,
}

impl<'a> LogView<'a> {
    /// The lines that are not empty and not about our own requests, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
        self.text
            .unwrap_or_default()
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.trim().is_empty() && !line.contains(USER_AGENT))
    }

    /// `log` or `previous log`: where evidence was seen.
    pub fn source(&self) -> &'static str {
        if self.previous { "previous log" } else { "log" }
    }
}

/// Whether a log is only the kubelet's or the runtime's word that there is none: it comes with status 200.
pub(crate) fn is_gone(text: &str) -> bool {
    let only = text.trim();
    !only.contains('\n')
        && (only.starts_with("unable to retrieve container logs for ")
            || only.starts_with("failed to try resolving symlinks in path ")
            || only.starts_with("failed to create fsnotify watcher"))
}

pub(crate) fn log_key(container: &ContainerView<'_>, previous: bool) -> LogKey {
    LogKey {
        namespace: container.pod.namespace().unwrap_or_default(),
        pod: container.pod.name_any(),
        container: container.name().to_owned(),
        previous,
    }
}
