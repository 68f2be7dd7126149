//! What a command line says about the address and port that its program listens on. Purely textual.

mod names;
pub(crate) mod options;
mod settings;

use crate::facts::listening::command::names::{RUNNERS, RUNNERS_WITH_A_WORD};
use crate::facts::listening::command::options::read;
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

fn of_command(words: &[String], ports: &[u16]) -> Vec<Told> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let program = base(word);
        let rest = &words[at + 1..];
        if let Some(server) = servers::by_command(program, rest) {
            return read(rest, Some(server), ports);
        }
        if programs::is_client(program.trim_end_matches(".sh")) {
            return Vec::new();
        }
        if RUNNERS_WITH_A_WORD.contains(&program) {
            at += 2;
        } else if RUNNERS.has(program) || (word.starts_with('-') && at > 0) {
            at += 1;
        } else {
            break;
        }
    }
    read(
        words
            .get(1..)
            .map_or(&[], |rest| if words[0].starts_with('-') { &words } else { rest }),
        None,
        ports,
    )
}

/// The file name of a program, without the ending of a script: `/usr/local/bin/node`, `node_modules/.bin/next`, `./manage.py`.
fn base(word: &str) -> &str {
    let name = shell::program(word);
    let script = [".js", ".mjs", ".cjs"].iter().find_map(|end| name.strip_suffix(end));
    script.unwrap_or(name)
}

#[cfg(test)]
mod tests;
