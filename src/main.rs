//! The executable: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    ExitCode::from(podlife::run(&arguments, &mut podlife::io::Io::of_process()) as u8)
}
