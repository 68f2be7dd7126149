//! Streams, environment, clock and terminal: the only place where podlife touches them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use jiff::Timestamp;

/// What a run sees of its process: built once in `main`, or by a test.
pub struct Io {
    /// Results.
    pub stdout: Stream,
    /// Everything that is not a result.
    pub stderr: Stream,
    /// Standard input, read only where `-f -` asks for it.
    pub stdin: Box<dyn io::Read + Send>,
    /// Environment variables.
    pub environment: Environment,
    /// The clock.
    pub now: fn() -> Timestamp,
}

impl Io {
    /// The process's own streams and environment.
    pub fn of_process() -> Self {
        let environment = Environment::of_process();
        let columns = environment.get("COLUMNS").and_then(|c| c.parse().ok());
        Self {
            stdout: Stream::new(Box::new(io::stdout()), io::stdout().is_terminal(), columns),
            stderr: Stream::new(Box::new(io::stderr()), io::stderr().is_terminal(), columns),
            stdin: Box::new(io::stdin()),
            environment,
            now: Timestamp::now,
        }
    }
}

/// Environment variables and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process; names or values that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        Self { variables }
    }

    /// An environment of exactly these variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").or_else(|| self.get("USERPROFILE")).map(PathBuf::from)
    }
}

/// One output stream. A closed pipe is remembered, and what is written after it is dropped, so that `| head` changes no verdict.
pub struct Stream {
    to: Box<dyn Write + Send>,
    terminal: bool,
    columns: Option<usize>,
    closed: bool,
    /// The first error that was not a closed pipe.
    pub failure: Option<io::Error>,
}

impl Stream {
    /// A stream; `columns` overrides the terminal's width.
    pub fn new(to: Box<dyn Write + Send>, terminal: bool, columns: Option<usize>) -> Self {
        Self {
            to,
            terminal,
            columns,
            closed: false,
            failure: None,
        }
    }

    /// Whether a person is looking.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Width to wrap at: `COLUMNS`, the terminal's, or none for pipes and files.
    pub fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Writes text as it is.
    pub fn write(&mut self, text: &str) {
        if self.closed || self.failure.is_some() {
            return;
        }
        match self.to.write_all(text.as_bytes()).and_then(|()| self.to.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => self.failure = Some(error),
        }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        self.write(&format!("{text}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let mut stream = Stream::new(Box::new(Closed), false, None);
        stream.line("a");
        stream.line("b");
        assert!(stream.failure.is_none());
    }
}
