//! `kubectl podlife`: why pods are broken, whether they work yet, and whether they survive.

pub mod cluster;
pub mod cmd;
pub mod gate;
pub mod io;
pub mod model;
pub mod render;
pub mod rules;

use cmd::exit::Exit;

/// Runs one command line (without the program's name) to its end, or until Ctrl-C or SIGTERM.
pub fn run(arguments: &[String], io: &mut io::Io) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            io.stderr.line(&format!("error: starting: {error}"));
            return Exit::Fault;
        }
    };
    let exit = runtime.block_on(async {
        tokio::select! {
            biased;
            interruption = io::interrupted() => match interruption {
                io::Interruption::Interrupt => Exit::Interrupted,
                io::Interruption::Terminate => Exit::Terminated,
            },
            exit = cmd::run(arguments, io) => exit,
        }
    });
    // A lookup of a name that hangs must not keep a finished run.
    runtime.shutdown_background();
    exit
}
