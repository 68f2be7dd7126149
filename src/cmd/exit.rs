//! How a run ends: its exit code, and what stderr says where there is no result.

use std::fmt;

use crate::io::Interruption;

/// Exit codes, the same for every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Healthy, progressing, ready, created, held and restored.
    Good = 0,
    /// A fault of podlife itself, or of the machine it runs on.
    Fault = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Broken or degraded, will not become ready, did not hold.
    Bad = 3,
    /// Inconclusive, or unverified.
    CannotTell = 4,
    /// The target, its kind or its namespace does not exist.
    NotFound = 5,
    /// The API server gave no usable answer.
    NoAnswer = 6,
    /// The time was up before the goal was reached.
    TimedOut = 124,
    /// SIGHUP.
    HungUp = 129,
    /// Ctrl-C.
    Interrupted = 130,
    /// Whoever read the output has gone before the verdict: what a shell says of a filter that SIGPIPE ended.
    Unread = 141,
    /// SIGTERM.
    Terminated = 143,
}

/// The table of exit codes for `--help`.
pub const HELP: &str = "\
Exit codes:
  0    healthy or progressing; ready
  1    a fault of podlife itself
  2    the command line makes no sense
  3    broken or degraded; will not become ready
  4    cannot tell: something that matters could not be read
  5    the target, its kind or its namespace does not exist
  6    the API server gave no usable answer
  124  not ready when the time was up
  130  interrupted (129: hung up, 143: terminated)
  141  nobody reads the lines any more that it prints as it goes on";

/// Why a run has no result.
#[derive(Debug)]
pub struct Failure {
    /// The exit code it asks for.
    pub exit: Exit,
    /// What went wrong, in lower case, with what was being done.
    pub message: String,
    /// A command or step that helps.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with its exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// A command line that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds a command or step that helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Interruption> for Exit {
    /// As a shell says it: 128 and the number of the signal.
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::HangUp => Self::HungUp,
            Interruption::Interrupt => Self::Interrupted,
            Interruption::Terminate => Self::Terminated,
        }
    }
}

impl From<crate::cluster::ApiError> for Failure {
    fn from(error: crate::cluster::ApiError) -> Self {
        use crate::cluster::ApiErrorKind::{NoSuchKind, NotFound, Usage};
        let exit = match error.kind {
            Usage => Exit::Usage,
            // A server without these is no Kubernetes API.
            NoSuchKind if matches!(error.resource.as_str(), "namespaces" | "pods") => Exit::NoAnswer,
            NotFound | NoSuchKind => Exit::NotFound,
            _ => Exit::NoAnswer,
        };
        Self {
            exit,
            message: error.to_string(),
            hint: error.hint.clone(),
        }
    }
}
