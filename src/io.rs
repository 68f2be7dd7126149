//! Streams, environment, clock and terminal: the only place where podlife touches them.

pub mod terminal;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;

pub use crate::model::environment::Environment;

/// What a run sees of its process: built once in `main`, or by a test.
pub struct Io {
    /// Results.
    pub stdout: Stream,
    /// Everything that is not a result.
    pub stderr: Stream,
    /// Standard input, read only where `-f -` or `-i` asks for it.
    pub stdin: Box<dyn io::Read + Send>,
    /// Whether a person can type on standard input.
    pub stdin_is_terminal: bool,
    /// Environment variables.
    pub environment: Environment,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// How a verb that has something to say in the end learns that the process is to end.
    pub stop: Stop,
}

impl Io {
    /// The process's own streams and environment.
    pub fn of_process() -> Self {
        let environment = environment_of_process();
        let chosen = environment.get("COLUMNS").and_then(|c| c.parse().ok());
        let stream = |to: Box<dyn Write + Send>, is_terminal: bool| {
            let size = if is_terminal { Size::Terminal(chosen) } else { Size::Columns(None) };
            Stream::of_size(to, is_terminal, size)
        };
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let mut stdout = stream(Box::new(io::stdout()), out);
        stdout.is_stdout = true;
        let mut stderr = stream(Box::new(io::stderr()), err);
        // With 2>&1 both streams share one reader: when it closes one, the other is closed too.
        if !out && !err && are_one(&io::stdout(), &io::stderr()) {
            stderr.closed = stdout.closed.clone();
        }
        Self {
            stdout,
            stderr,
            stdin: Box::new(io::stdin()),
            stdin_is_terminal: io::stdin().is_terminal(),
            environment,
            now: Timestamp::now,
            stop: Stop::default(),
        }
    }
}

/// Reads standard input piece by piece, on a thread of its own. A piece is read ahead at most.
pub fn read_aside(mut from: Box<dyn io::Read + Send>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; 32 << 10];
        loop {
            match from.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) if count > 0 && sender.blocking_send(buffer[..count].to_vec()).is_ok() => {}
                _ => return,
            }
        }
    });
    receiver
}

/// The variables of this process; names or values that are not UTF-8 are left out.
pub fn environment_of_process() -> Environment {
    Environment::of(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))))
}

/// The name of this machine, if it is known.
pub(crate) fn host(environment: &Environment) -> Option<String> {
    let host = environment.get("HOSTNAME").map(str::to_owned);
    let host = host.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())?;
    Some(host.trim().to_owned()).filter(|host| !host.is_empty())
}

/// One output stream; clones write to the same place. A closed pipe is remembered, and what is written after it is dropped, so that `| head` changes no verdict.
#[derive(Clone)]
pub struct Stream {
    state: Arc<Mutex<State>>,
    closed: Arc<AtomicBool>,
    terminal: bool,
    size: Size,
    /// Whether it is the process's own standard output.
    is_stdout: bool,
}

/// How wide and high a stream is.
#[derive(Clone, Copy)]
enum Size {
    /// So many columns, or no end of them; lines have no end.
    Columns(Option<usize>),
    /// As the process's terminal is now, unless the user has chosen a width.
    Terminal(Option<usize>),
}

struct State {
    to: Box<dyn Write + Send>,
    failure: Option<String>,
}

impl Stream {
    /// A stream; `columns` is the width to wrap at, none for pipes and files.
    pub fn new(to: Box<dyn Write + Send>, terminal: bool, columns: Option<usize>) -> Self {
        Self::of_size(to, terminal, Size::Columns(columns))
    }

    fn of_size(to: Box<dyn Write + Send>, terminal: bool, size: Size) -> Self {
        Self {
            state: Arc::new(Mutex::new(State { to, failure: None })),
            closed: Arc::default(),
            terminal,
            size,
            is_stdout: false,
        }
    }

    /// Whether a person is looking.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Width to wrap at; a terminal may have changed its own since it was asked last.
    pub fn columns(&self) -> Option<usize> {
        match self.size {
            Size::Columns(columns) => columns,
            Size::Terminal(chosen) => chosen.or_else(|| Some(usize::from(terminal_size::terminal_size()?.0.0))),
        }
    }

    /// How many lines are seen at once; none where there is no end of them.
    pub fn rows(&self) -> Option<usize> {
        match self.size {
            Size::Columns(_) => None,
            Size::Terminal(_) => terminal_size::terminal_size().map(|(_, rows)| usize::from(rows.0)),
        }
    }

    /// Writes text as it is.
    pub fn write(&self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    /// Writes bytes as they are. False where what is written is lost: the reader has gone, or there was an error.
    fn write_bytes(&self, bytes: &[u8]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() || state.failure.is_some() {
            return false;
        }
        let written = state.to.write_all(bytes).and_then(|()| state.to.flush());
        match written {
            Ok(()) => return true,
            Err(error) if is_gone(&error, self.terminal) => self.closed.store(true, Ordering::Relaxed),
            Err(error) => state.failure = Some(error.to_string()),
        }
        false
    }

    /// Writes bytes on a thread of its own: a reader who takes his time holds nothing else up. False where what is written is lost.
    pub async fn write_aside(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> bool {
        let stream = self.clone();
        tokio::task::spawn_blocking(move || stream.write_bytes(bytes.as_ref()))
            .await
            .unwrap_or(false)
    }

    /// Writes a line.
    pub fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// The first error that was not a closed pipe: a full disk, for example.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }

    /// Waits until the reader has gone; for ever where only a write shows it.
    pub async fn unread(&self) {
        #[cfg(unix)]
        if self.is_stdout {
            use rustix::event::{PollFd, PollFlags, poll};
            let is_gone = tokio::task::spawn_blocking(|| {
                let stdout = io::stdout();
                // Asked for nothing, it tells errors only.
                let mut pipe = [PollFd::new(&stdout, PollFlags::empty())];
                loop {
                    match poll(&mut pipe, None) {
                        Err(rustix::io::Errno::INTR) => {}
                        // macOS cannot tell of a terminal.
                        _ => return pipe[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
                    }
                }
            });
            if is_gone.await.unwrap_or(false) {
                self.closed.store(true, Ordering::Relaxed);
                return;
            }
        }
        std::future::pending().await
    }

    /// Whether the reader has gone.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// Whether two descriptors are of one file or pipe.
#[cfg(unix)]
fn are_one(one: &impl std::os::fd::AsFd, other: &impl std::os::fd::AsFd) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let file = |of: std::os::fd::BorrowedFd<'_>| {
        let metadata = std::fs::File::from(of.try_clone_to_owned().ok()?).metadata().ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    file(one.as_fd()).is_some_and(|first| Some(first) == file(other.as_fd()))
}

#[cfg(not(unix))]
fn are_one<A, B>(_: &A, _: &B) -> bool {
    false
}

/// Whether the reader is gone: a closed pipe, or a terminal that was hung up, which answers EIO (5 everywhere) from then on.
fn is_gone(error: &io::Error, terminal: bool) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || (terminal && cfg!(unix) && error.raw_os_error() == Some(5))
}

/// What asked the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// Ctrl-C, or SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal was closed, or the connection to it was lost.
    HangUp,
}

/// Lets a verb that asks for it end a run itself after Ctrl-C, SIGTERM or SIGHUP; all others are ended where they are. Clones belong together.
#[derive(Clone)]
pub struct Stop {
    told: Arc<tokio::sync::watch::Sender<Option<Interruption>>>,
    held: Arc<AtomicBool>,
    lingers: Arc<AtomicBool>,
    outlives_hang_up: Arc<AtomicBool>,
    hung_up: Arc<tokio::sync::Notify>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            told: Arc::new(tokio::sync::watch::Sender::new(None)),
            held: Arc::default(),
            lingers: Arc::default(),
            outlives_hang_up: Arc::default(),
            hung_up: Arc::default(),
        }
    }
}

impl Stop {
    /// Waits until the run is to end. While somebody waits, the run is given time to do so.
    pub fn told(&self) -> impl Future<Output = Interruption> + use<> {
        let mut receiver = self.told.subscribe();
        async move {
            match receiver.wait_for(Option::is_some).await.map(|told| *told) {
                Ok(Some(interruption)) => interruption,
                _ => std::future::pending().await,
            }
        }
    }

    /// From now on the run is given all the time that it takes to end, until it is released: it has something to put back.
    pub fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// Takes back [`Self::hold`].
    pub fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
    }

    /// Whether the run must not be cut short.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// From now on the run is given all the time that it takes to end, unless it is told a second time.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// Whether the run ends by itself.
    pub fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// From now on SIGHUP does not end the run, which waits for it itself.
    pub fn outlive_hang_up(&self) {
        self.outlives_hang_up.store(true, Ordering::Relaxed);
    }

    /// Waits for the next SIGHUP that the run outlives.
    pub async fn hung_up(&self) {
        self.hung_up.notified().await;
    }

    /// What ends the run.
    pub(crate) async fn interrupted(&self) -> Interruption {
        loop {
            match interrupted().await {
                Interruption::HangUp if self.outlives_hang_up.load(Ordering::Relaxed) => self.hung_up.notify_one(),
                interruption => return interruption,
            }
        }
    }

    /// Wakes the waiter; false if there is none.
    pub fn tell(&self, interruption: Interruption) -> bool {
        self.told.send(Some(interruption)).is_ok()
    }
}

/// Waits for Ctrl-C, SIGTERM or SIGHUP. What was started with SIGHUP ignored (nohup) goes on ignoring it.
pub async fn interrupted() -> Interruption {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            let mut hang_up = if ignores_hang_up() {
                None
            } else {
                signal(SignalKind::hangup()).ok()
            };
            let hung_up = async {
                match &mut hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            return tokio::select! {
                _ = terminate.recv() => Interruption::Terminate,
                _ = tokio::signal::ctrl_c() => Interruption::Interrupt,
                _ = hung_up => Interruption::HangUp,
            };
        }
    }
    // Without a handler the wait never ends, and the system's own way of ending the process holds.
    match tokio::signal::ctrl_c().await {
        Ok(()) => Interruption::Interrupt,
        Err(_) => std::future::pending().await,
    }
}

/// Whether this process ignores SIGHUP; its own handler is no ignoring.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    match std::fs::read_to_string("/proc/self/status") {
        Ok(status) => ignores_first_signal(&status),
        Err(_) => child_ignores_hang_up(),
    }
}

/// What Linux says of the signals that a process ignores (proc_pid_status(5), `SigIgn`): SIGHUP is the first one.
#[cfg(unix)]
fn ignores_first_signal(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// Where no file says it a child does: it ignores what its parent ignores.
#[cfg(unix)]
fn child_ignores_hang_up() -> bool {
    let child = std::process::Command::new("/bin/sh").args(["-c", "kill -s HUP $$"]).status();
    child.is_ok_and(|status| status.success())
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

    #[cfg(unix)]
    #[test]
    fn ignoring_sighup_is_reported() {
        let status = |mask: &str| format!("SigBlk:\t0000000000000000\nSigIgn:\t{mask}\nSigCgt:\t0000000000000001\n");
        assert!(ignores_first_signal(&status("0000000000001001")));
        assert!(!ignores_first_signal(&status("0000000000001000")));
        assert!(!ignores_first_signal(""));
        let is_told = std::fs::read_to_string("/proc/self/status").is_ok();
        assert!(!is_told || child_ignores_hang_up() == ignores_hang_up(), "a child ignores the same");
    }

    #[test]
    fn a_terminal_that_is_gone_is_no_failure_and_a_disk_is() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(5))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let [terminal, file] = [true, false].map(|terminal| Stream::new(Box::new(Broken), terminal, None));
        terminal.line("a");
        file.line("a");
        assert!(terminal.is_closed() && terminal.failure().is_none());
        assert!(!file.is_closed() && file.failure().is_some());
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let stream = Stream::new(Box::new(Closed), false, None);
        stream.line("a");
        stream.line("b");
        assert!(stream.failure().is_none() && stream.is_closed());
    }
}
