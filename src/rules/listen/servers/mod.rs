//! Well-known servers as data: how they are started, where they bind unless told otherwise, what they print, and how to tell them another address.
//!
//! The lines are the programs' own wording. `<at>` stands for an address with its port (or a URL), `<host>` and `<port>` for one of them, `<*>` for
//! anything. A line that prints a link to click on says nothing about the address, however much it looks like one.

mod dotnet_and_more;
mod go;
mod jvm;
mod node;
mod proxies;
mod python;
mod ruby;
mod rust_and_native;
mod stores;
mod template;

pub use template::Seen;

#[cfg(test)]
use self::tests::holds;
use super::bind::{Bind, BindAddress};

/// What a line of a log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// The address that the socket is bound to.
    Address,
    /// The address where it is written in numbers; a name in its place is a link for the reader.
    Numeric,
    /// A port. Where an address stands beside it, it is a link for the reader.
    Port,
    /// That only this pod gets there, whatever else is printed.
    Loopback,
    /// That every address is listened on, whatever else is printed.
    Everywhere,
}

/// A line that a server prints.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its wording.
    pub template: &'static str,
    /// What it tells.
    pub says: Says,
}

const fn address(template: &'static str) -> Line {
    Line {
        template,
        says: Says::Address,
    }
}

const fn numeric(template: &'static str) -> Line {
    Line {
        template,
        says: Says::Numeric,
    }
}

const fn port(template: &'static str) -> Line {
    Line {
        template,
        says: Says::Port,
    }
}

const fn loopback(template: &'static str) -> Line {
    Line {
        template,
        says: Says::Loopback,
    }
}

const fn everywhere(template: &'static str) -> Line {
    Line {
        template,
        says: Says::Everywhere,
    }
}

/// A program that listens.
#[derive(Debug)]
pub struct Server {
    /// `Uvicorn`
    pub name: &'static str,
    /// What its command is called: the file name of the program, a script, or the module behind `python -m`.
    pub programs: &'static [&'static str],
    /// Words of the command line of which one must be there, because the program does other things too; none: any.
    pub subcommands: &'static [&'static str],
    /// Short or odd options that take an address, beside the common ones such as `--host` and `--bind`.
    pub address_options: &'static [&'static str],
    /// The same for ports, beside `--port`.
    pub port_options: &'static [&'static str],
    /// The word after which a plain address or port stands: `runserver 0.0.0.0:8000`.
    pub positional_after: &'static str,
    /// Where it binds if the command line says nothing; empty where that is not known.
    pub default: &'static str,
    /// Whether an image may well hold another default, in a variable or a file of its own.
    pub default_is_vague: bool,
    /// Variables that hold its address, each with the one for the port (or empty).
    pub variables: &'static [(&'static str, &'static str)],
    /// What it prints.
    pub lines: &'static [Line],
    /// The option that makes it reachable: `--host 0.0.0.0`.
    pub option: &'static str,
    /// The variable that makes it reachable: `UVICORN_HOST=0.0.0.0`.
    pub variable: &'static str,
    /// The line of its configuration that makes it reachable: `listen_addresses = '*'`.
    pub directive: &'static str,
    /// What else to know before it is opened to the network.
    pub caution: &'static str,
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Server {}

/// What most servers have: nothing beyond the common options.
const SERVER: Server = Server {
    name: "",
    programs: &[],
    subcommands: &[],
    address_options: &[],
    port_options: &[],
    positional_after: "",
    default: "",
    default_is_vague: false,
    variables: &[],
    lines: &[],
    option: "",
    variable: "",
    directive: "",
    caution: "",
};

/// Every server, the more particular before the more general.
pub fn all() -> impl Iterator<Item = &'static Server> {
    [
        python::SERVERS,
        node::SERVERS,
        jvm::SERVERS,
        ruby::SERVERS,
        go::SERVERS,
        rust_and_native::SERVERS,
        dotnet_and_more::SERVERS,
        stores::SERVERS,
        proxies::SERVERS,
    ]
    .into_iter()
    .flatten()
}

/// The server that a command line starts: its program and, where it does other things too, one of the words that make it listen.
pub fn by_command(program: &str, words: &[&str]) -> Option<&'static Server> {
    all().find(|server| server.programs.contains(&program) && server.starts(words))
}

/// What a line of a log says, by the server that prints it.
pub fn by_line(line: &str) -> Option<(&'static Server, &'static Line, Seen<'_>)> {
    all().find_map(|server| {
        server.lines.iter().find_map(|known| {
            let seen = template::read(known.template, line)?;
            // A Unix socket in the place of an address tells nothing.
            known.told(&seen).map(|_| (server, known, seen))
        })
    })
}

impl Line {
    /// The address or the port that the line tells; none where the text in its place is neither.
    pub fn told(&self, seen: &Seen<'_>) -> Option<BindAddress> {
        let of_port = || seen.port().map(BindAddress::of_port);
        match self.says {
            Says::Address => seen.address(),
            Says::Numeric if seen.is_numeric() => seen.address(),
            Says::Numeric | Says::Port => of_port(),
            Says::Loopback => Some(BindAddress {
                bind: Bind::LoopbackV4,
                port: seen.port(),
            }),
            Says::Everywhere => Some(BindAddress {
                bind: Bind::AnyV4,
                port: seen.port(),
            }),
        }
    }
}

impl Server {
    fn starts(&self, words: &[&str]) -> bool {
        self.subcommands.is_empty() || words.iter().any(|word| self.subcommands.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn shown(line: &str) -> Option<String> {
        let (server, known, seen) = by_line(line)?;
        let loopback = || seen.port().map_or_else(|| "loopback".to_owned(), |p| format!("loopback {p}"));
        let what = match known.says {
            Says::Loopback => Some(loopback()),
            Says::Everywhere => Some("everywhere".to_owned()),
            _ => known.told(&seen).map(|a| a.to_string()),
        };
        Some(format!("{} {}", server.name, what.unwrap_or_default()))
    }

    /// Holds a table of lines to what each is to say: `Uvicorn 127.0.0.1:8000`.
    pub(super) fn holds(cases: &[(&str, &str)]) {
        let wrong: Vec<String> = cases
            .iter()
            .map(|(line, expected)| (line, shown(line).unwrap_or_default(), expected))
            .filter(|(_, said, expected)| said != *expected)
            .map(|(line, said, expected)| format!("{said:?}, not {expected:?}: {line}"))
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn every_server_that_prints_something_is_tested_where_it_stands() {
        let names: Vec<&str> = all().map(|s| s.name).collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), unique.len(), "a name stands twice: {names:?}");
        for server in all() {
            assert!(
                !server.programs.is_empty() || !server.lines.is_empty(),
                "{} is never recognised",
                server.name
            );
            let fixes = [server.option, server.variable, server.directive];
            assert!(fixes.iter().any(|fix| !fix.is_empty()), "{} has no way out", server.name);
            assert!(
                server.default.is_empty() || crate::rules::listen::bind::BindAddress::parse(server.default).is_some(),
                "{}",
                server.name
            );
        }
    }
}
