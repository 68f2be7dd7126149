//! The executable: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let arguments = podlife::cmd::complete::arguments(&program, words.collect());
    ExitCode::from(podlife::run(&arguments, &mut podlife::io::Io::of_process()).code())
}
