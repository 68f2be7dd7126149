//! What a command line says about the address and port that its program listens on. Purely textual.

mod names;
pub(crate) mod options;
mod settings;

use crate::facts::listening::command::names::{RUNNERS, RUNNERS_WITH_A_WORD};
use crate::facts::listening::command::options::read;
use crate::facts::listening::servers::Server;
use crate::facts::listening::told::Told;
use crate::facts::listening::{servers, variables};
use crate::text::{programs, shell};

/// What the words of a command tell. `ports` are those that the container declares or is probed on: who names one of them speaks of itself.
pub fn of_words(words: &[String], ports: &[u16]) -> Vec<Told> {
    let mut found = Vec::new();
    for words in shell::commands(words) {
        let (assignments, words) = shell::assignments(&words);
        for (name, value) in &assignments {
            found.extend(variables::of_value(name, value, &assignments, ports));
        }
        found.extend(of_command(&words, ports));
    }
    found
}

/// Whether a command runs one well-known server, and no other program that may listen: it opens what it was told, and nothing later.
pub fn is_one_server(words: &[String]) -> bool {
    let programs: Vec<Program> = shell::commands(words)
        .iter()
        .map(|words| shell::assignments(words).1)
        .filter(|words| !words.is_empty())
        .map(|words| program(&words.iter().map(String::as_str).collect::<Vec<_>>()).0)
        .filter(|program| !matches!(program, Program::Client))
        .collect();
    matches!(programs[..], [Program::Server(_)])
}

/// What a command runs.
enum Program {
    Server(&'static Server),
    /// Listens nowhere.
    Client,
    Unknown,
}

fn of_command(words: &[String], ports: &[u16]) -> Vec<Told> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match program(&words) {
        (Program::Server(server), at) => read(&words[at..], Some(server), ports),
        (Program::Client, _) => Vec::new(),
        (Program::Unknown, _) => {
            let options = words.get(1..).unwrap_or_default();
            read(
                if words.first().is_some_and(|word| word.starts_with('-')) {
                    &words
                } else {
                    options
                },
                None,
                ports,
            )
        }
    }
}

/// The program that a command runs in the end, and where its own words begin.
fn program(words: &[&str]) -> (Program, usize) {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let program = base(word);
        if let Some(server) = servers::by_command(program, &words[at + 1..]) {
            return (Program::Server(server), at + 1);
        }
        if programs::is_client(program.trim_end_matches(".sh")) {
            return (Program::Client, at + 1);
        }
        if RUNNERS_WITH_A_WORD.contains(&program) {
            at += 2;
        } else if RUNNERS.has(program) || (word.starts_with('-') && at > 0) {
            at += 1;
        } else {
            break;
        }
    }
    (Program::Unknown, at)
}

/// The file name of a program, without the ending of a script: `/usr/local/bin/node`, `node_modules/.bin/next`, `./manage.py`.
fn base(word: &str) -> &str {
    let name = shell::program(word);
    let script = [".js", ".mjs", ".cjs"].iter().find_map(|end| name.strip_suffix(end));
    script.unwrap_or(name)
}

#[cfg(test)]
mod tests;
