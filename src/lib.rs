//! `kubectl podlife`: why pods are broken, whether they work yet, and whether they survive.

pub mod cluster;
pub mod cmd;
pub mod diagnosis;
mod drill;
pub mod exit;
mod facts;
pub mod findings;
mod gateway;
pub mod io;
pub mod model;
pub mod observe;
mod readiness;
pub mod render;
mod rules;
mod session;
#[cfg(test)]
mod testing;
pub mod text;
mod trace;
mod view;

use std::time::Duration;

use exit::Exit;

/// How long a run may take to end after the first signal.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Waits for the second Ctrl-C or SIGTERM, which ends a run at once. A SIGHUP is none: where a terminal goes, the shell sends one and the kernel
/// another, and a service manager sends one behind its SIGTERM.
async fn cut_short(first: io::Interruption, stop: &io::Stop) {
    if first == io::Interruption::HangUp {
        return std::future::pending().await;
    }
    while io::interrupted().await == io::Interruption::HangUp || stop.is_held() {}
}

/// Waits until a run has had its time to end.
async fn last_words(stop: &io::Stop) {
    tokio::time::sleep(LAST_WORDS).await;
    while stop.is_held() || stop.lingers() {
        tokio::time::sleep(LAST_WORDS / 10).await;
    }
}

/// Runs one command line (without the program's name) to its end, or until Ctrl-C, SIGTERM or SIGHUP.
pub fn run(arguments: &[String], io: &mut io::Io) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            io.stderr.line(&format!("error: starting: {error}"));
            return Exit::Fault;
        }
    };
    let stop = io.stop.clone();
    let exit = runtime.block_on(async {
        let run = cmd::run(arguments, io);
        tokio::pin!(run);
        let interruption = tokio::select! {
            biased;
            interruption = stop.interrupted() => interruption,
            exit = &mut run => return exit,
        };
        let exit = Exit::from(interruption);
        if !stop.tell(interruption) {
            return exit;
        }
        tokio::select! {
            biased;
            () = cut_short(interruption, &stop) => exit,
            exit = run => exit,
            () = last_words(&stop) => exit,
        }
    });
    // A lookup of a name that hangs must not keep a finished run.
    runtime.shutdown_background();
    exit
}
