//! The terminal of a person who types: as it comes from the keyboard, byte by byte, and its size.

use std::io;

use tokio::sync::watch;

/// Keys go through as they are while this lives; the terminal is as before afterwards, also after a panic.
pub struct Raw(());

impl Raw {
    /// Sets the terminal on standard input to raw mode.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut quit = signal(SignalKind::quit())?;
            // It ends the process at once, as by default; the keys that send it go through.
            tokio::spawn(async move {
                if quit.recv().await.is_some() {
                    mode::restore();
                    std::process::exit(131);
                }
            });
        }
        mode::set_raw()?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        mode::restore();
    }
}

/// Columns and lines of the terminal, now and whenever they change.
pub fn sizes() -> watch::Receiver<(u16, u16)> {
    let size = || terminal_size::terminal_size().map_or((80, 24), |(columns, rows)| (columns.0, rows.0));
    let (sender, receiver) = watch::channel(size());
    #[cfg(unix)]
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut changes) = signal(SignalKind::window_change()) else {
            return;
        };
        while !sender.is_closed() && changes.recv().await.is_some() {
            sender.send_replace(size());
        }
    });
    #[cfg(not(unix))]
    drop(sender);
    receiver
}

#[cfg(unix)]
mod mode {
    use std::io;
    use std::sync::{Mutex, Once, PoisonError};

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    /// As the terminal was before.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    pub(super) fn set_raw() -> io::Result<()> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            // A release does not unwind: nothing is dropped after a panic.
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        Ok(tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?)
    }

    pub(super) fn restore() {
        if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A terminal that is gone needs no mode.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

#[cfg(not(unix))]
mod mode {
    use std::io;

    pub(super) fn set_raw() -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a terminal is passed on only on Linux and macOS",
        ))
    }

    pub(super) fn restore() {}
}
