//! Exit codes, and the error that a run ends with when it has no result.

use std::fmt;

use crate::io::Interruption;

/// Exit codes, the same for every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Healthy, progressing, ready, created, held and restored.
    Good,
    /// An internal error of podlife, or an error of the machine it runs on.
    Fault,
    /// Invalid usage.
    Usage,
    /// Broken or degraded, will not become ready, did not hold.
    Bad,
    /// Inconclusive, or unverified.
    CannotTell,
    /// The target, its kind or its namespace does not exist.
    NotFound,
    /// The API server gave no usable answer.
    NoAnswer,
    /// The fault of a drill was not made, or not proven.
    NotInjected,
    /// Something that a drill changed is not as it was.
    NotRestored,
    /// The timeout expired before the goal was reached.
    TimedOut,
    /// SIGHUP.
    HungUp,
    /// Ctrl-C.
    Interrupted,
    /// The output pipe was closed before the verdict: 128 + SIGPIPE, as in a shell.
    Unread,
    /// SIGTERM.
    Terminated,
    /// The one of a command in a container.
    OfCommand(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Fault => 1,
            Self::Usage => 2,
            Self::Bad => 3,
            Self::CannotTell => 4,
            Self::NotFound => 5,
            Self::NoAnswer => 6,
            Self::NotInjected => 7,
            Self::NotRestored => 8,
            Self::TimedOut => 124,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Unread => 141,
            Self::Terminated => 143,
            Self::OfCommand(code) => code,
        }
    }
}

/// The table of exit codes for `--help`.
pub const HELP: &str = "\
Exit codes:
  0    healthy or progressing; ready; done
  1    internal error
  2    invalid usage
  3    broken or degraded; will not become ready; the session gets no pod
  4    inconclusive: something important could not be read
  5    the target, its kind or its namespace does not exist
  6    the API server gave no usable answer: unreachable, TLS, not logged in, everything forbidden
  7    the fault of a drill was not injected
  8    what a drill changed is not restored
  124  not ready before the timeout
  130  interrupted (129: SIGHUP, 143: SIGTERM)
  141  output pipe closed before the verdict";

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

    /// Invalid usage.
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
    /// 128 plus the number of the signal, as in a shell.
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
