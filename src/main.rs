//! The executable: everything is in the library.

use std::process::ExitCode;

/// The gateway gives back what it needed for a moment, and the allocator of musl is slow with several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let mut io = podlife::io::Io::of_process();
    // With another character in the place of what is no text, two ids of sessions would be one.
    let words = match words.map(std::ffi::OsString::into_string).collect() {
        Ok(words) => words,
        Err(word) => {
            let word = podlife::text::sanitise(&word.to_string_lossy());
            io.stderr.line(&format!("error: an argument is not UTF-8: {word}"));
            return ExitCode::from(podlife::exit::Exit::Usage.code());
        }
    };
    let arguments = podlife::cmd::complete::arguments(&program.to_string_lossy(), words);
    ExitCode::from(podlife::run(&arguments, &mut io).code())
}
