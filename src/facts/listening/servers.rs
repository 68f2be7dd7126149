//! Well-known servers: how they are started, where they bind by default, what they print, and how to make them bind to another address.
//! The table is data: `servers/table.yaml`.

mod template;

use std::sync::LazyLock;

use serde::Deserialize;

use crate::facts::listening::bind::{Bind, BindAddress};
pub use template::Seen;

/// A line that a server prints, by what it tells; `servers/table.yaml` describes the kinds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The address that the socket is bound to.
    Address(String),
    /// The address if it is written in numbers, else the port.
    Numeric(String),
    /// A port.
    Port(String),
    /// Only this pod reaches the server.
    Loopback(String),
    /// The server listens on every address.
    Everywhere(String),
}

/// A program that listens.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// `Uvicorn`
    pub name: String,
    /// Names of its command: the file name of the program, a script, or the module behind `python -m`.
    pub programs: Vec<String>,
    /// For a program that does other things too: the words of which the command line has one when it listens.
    pub subcommands: Vec<String>,
    /// Options that take an address, besides the common ones such as `--host` and `--bind`.
    pub address_options: Vec<String>,
    /// Options that take a port, besides `--port`.
    pub port_options: Vec<String>,
    /// The word before a plain address or port: `runserver 0.0.0.0:8000`.
    pub positional_after: String,
    /// Where it binds without any option; empty if that is not known.
    pub default: String,
    /// Whether images often change the default by a variable or a file.
    pub default_is_vague: bool,
    /// Variables that hold its address, each with the one for the port (or empty).
    pub variables: Vec<(String, String)>,
    /// The variable that holds options of its command line.
    pub options_variable: String,
    /// How paths in its configuration begin, in lower case: `net.bindip`.
    pub settings: Vec<String>,
    /// Parts of names of its configuration files, in lower case.
    pub files: Vec<String>,
    /// What it prints.
    pub lines: Vec<Line>,
    /// The option that makes it reachable: `--host 0.0.0.0`.
    pub option: String,
    /// The variable that makes it reachable: `UVICORN_HOST=0.0.0.0`.
    pub variable: String,
    /// The line of its configuration that makes it reachable: `listen_addresses = '*'`.
    pub directive: String,
    /// What to know before it is opened to the network.
    pub caution: String,
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Server {}

static SERVERS: LazyLock<Vec<Server>> = LazyLock::new(|| serde_saphyr::from_str(include_str!("servers/table.yaml")).unwrap_or_default());

/// Every server, the more particular before the more general.
pub fn all() -> impl Iterator<Item = &'static Server> {
    SERVERS.iter()
}

/// Whether a list of the table has a word.
pub fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|known| known == word)
}

/// The server that a command line starts, by its program and, for a program that does other things too, by a word that makes it listen.
pub fn by_command(program: &str, words: &[&str]) -> Option<&'static Server> {
    let starts = |server: &Server| server.subcommands.is_empty() || words.iter().any(|word| has(&server.subcommands, word));
    all().find(|server| has(&server.programs, program) && starts(server))
}

/// The server that prints a line of a log.
pub fn by_line(line: &str) -> Option<(&'static Server, &'static Line, Seen<'_>)> {
    all().find_map(|server| {
        server.lines.iter().find_map(|known| {
            let seen = template::read(known.template(), line)?;
            // A Unix socket in the place of an address tells nothing.
            known.told(&seen).map(|_| (server, known, seen))
        })
    })
}

impl Line {
    fn template(&self) -> &str {
        match self {
            Self::Address(template)
            | Self::Numeric(template)
            | Self::Port(template)
            | Self::Loopback(template)
            | Self::Everywhere(template) => template,
        }
    }

    /// The address or the port that the line tells; none if the text in its place is neither.
    pub fn told(&self, seen: &Seen<'_>) -> Option<BindAddress> {
        let bound = |bind| Some(BindAddress { bind, port: seen.port() });
        match self {
            Self::Address(_) => seen.address(),
            Self::Numeric(_) if seen.is_numeric() => seen.address(),
            Self::Numeric(_) | Self::Port(_) => seen.port().map(BindAddress::of_port),
            Self::Loopback(_) => bound(Bind::LoopbackV4),
            Self::Everywhere(_) => bound(Bind::AnyV4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn shown(line: &str) -> Option<String> {
        let (server, known, seen) = by_line(line)?;
        let what = match known {
            Line::Loopback(_) => seen.port().map_or_else(|| "loopback".to_owned(), |p| format!("loopback {p}")),
            Line::Everywhere(_) => "everywhere".to_owned(),
            _ => known.told(&seen).map(|a| a.to_string()).unwrap_or_default(),
        };
        Some(format!("{} {what}", server.name))
    }

    #[test]
    fn lines_as_they_are_printed() {
        let wrong: Vec<String> = include_str!("servers/printed.txt")
            .lines()
            .map(|case| case.split_once(" | ").unwrap())
            .map(|(expected, line)| (line, shown(line).unwrap_or_else(|| "none".to_owned()), expected))
            .filter(|(_, said, expected)| said != expected)
            .map(|(line, said, expected)| format!("{said:?}, not {expected:?}: {line}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_server_is_recognised_and_has_a_fix() {
        let names: Vec<&str> = all().map(|s| s.name.as_str()).collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), unique.len(), "duplicate name: {names:?}");
        assert!(!names.is_empty(), "table.yaml does not parse");
        for server in all() {
            assert!(
                !server.programs.is_empty() || !server.lines.is_empty(),
                "{} is never recognised",
                server.name
            );
            let fixes = [&server.option, &server.variable, &server.directive];
            assert!(fixes.iter().any(|fix| !fix.is_empty()), "{} has no fix", server.name);
            assert!(
                server.default.is_empty() || BindAddress::parse(&server.default).is_some(),
                "{}",
                server.name
            );
        }
    }
}
