//! A command that fails by itself, whatever it asks for: a program that does not take its arguments, that is not there, or that wants too much.

use crate::facts::calls::failure::is_usage;
use crate::text::{redact, shell, shorten};

/// Within so many last lines a command that is run again and again has said all that it says.
const LAST_LINES: usize = 40;

/// What a command says against itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The program that fails; empty where the text does not name it.
    pub program: &'a str,
    /// The line that says so.
    pub line: &'a str,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its program does not take these arguments.
    Arguments,
    /// Its program is not in the image.
    Absent,
}

impl Refusal<'_> {
    /// `nc does not take its arguments (nc: invalid option -- 'z')`
    pub fn words(&self) -> String {
        let program = if self.program.is_empty() { "its program" } else { self.program };
        let what = match self.why {
            Why::Arguments => "does not take its arguments",
            Why::Absent => "is not in the image",
        };
        format!("{program} {what} ({})", shorten(&redact(self.line.trim()), 100))
    }

    /// What to do about it.
    pub fn fix(&self, command: &str) -> String {
        let program = if self.program.is_empty() { "the program" } else { self.program };
        match self.why {
            Why::Arguments if program == "nc" && asks_only(command) => {
                "connect without -z, which nc of this image does not know: nc -w 2 HOST PORT </dev/null".to_owned()
            }
            Why::Arguments => format!("write the command as {program} of this image expects it; its usage is in the log"),
            Why::Absent => format!("use an image that has {program}, or another program"),
        }
    }
}

/// Whether a command has `-z` among the options of nc, alone or with others: `-zv`.
fn asks_only(command: &str) -> bool {
    let mut options = command.split_whitespace().filter_map(|word| word.strip_prefix('-'));
    options.any(|options| options.contains('z') && options.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// Words of `getopt` and its like on an option that a program does not know.
const UNKNOWN_OPTION: [&str; 9] = [
    "invalid option",
    "unrecognized option",
    "unrecognised option",
    "unknown option",
    "illegal option",
    "unknown flag",
    "unknown shorthand flag",
    "flag provided but not defined",
    "unexpected argument",
];

/// What the last lines of a log say against the command; the words on the option before a usage text as such.
pub fn refusal<'a>(lines: &[&'a str]) -> Option<Refusal<'a>> {
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    let of_option = || last.iter().rev().find_map(|line| unknown_option(line));
    let of_usage = || last.iter().rev().find_map(|line| usage(line));
    let of_shell = || last.iter().rev().find_map(|line| absent(line));
    // Who only prints its usage at the end of all may have been asked for it.
    let ends_so = last.last().is_some_and(|line| is_usage(line));
    of_option().or_else(of_shell).or_else(|| if ends_so { of_usage() } else { None })
}

/// The full name that a look-up found and the line on another search domain, for which it failed all the same: the nslookup of busybox asks each
/// domain, and ends well only where all of them answer.
pub fn half_resolved<'a>(lines: &[&'a str], namespace: &str, service: &str) -> Option<(&'a str, &'a str)> {
    let full = format!("{service}.{namespace}.svc.");
    let found = lines.iter().find_map(|line| {
        let host = line.trim().strip_prefix("Name:")?.trim();
        host.starts_with(&full).then_some(host)
    })?;
    let refused = format!("can't find {service}.");
    let line = lines.iter().filter(|line| line.contains(&refused) && !line.contains(&full)).min()?;
    Some((found, *line))
}

fn unknown_option(line: &str) -> Option<Refusal<'_>> {
    let lower = line.to_ascii_lowercase();
    if !UNKNOWN_OPTION.iter().any(|words| lower.contains(words)) {
        return None;
    }
    Some(Refusal {
        program: program(line.split(':').next()),
        line,
        why: Why::Arguments,
    })
}

fn usage(line: &str) -> Option<Refusal<'_>> {
    let rest = line.trim().strip_prefix("Usage:").or_else(|| line.trim().strip_prefix("usage:"))?;
    Some(Refusal {
        program: program(rest.split_whitespace().next()),
        line,
        why: Why::Arguments,
    })
}

/// `sh: nc: not found`, `/bin/bash: line 1: nc: command not found`
fn absent(line: &str) -> Option<Refusal<'_>> {
    let parts: Vec<&str> = line.trim().split(": ").collect();
    let [speaker, .., name, what] = parts.as_slice() else {
        return None;
    };
    (shell::is_shell(speaker) && matches!(*what, "not found" | "command not found")).then(|| Refusal {
        program: program(Some(*name)),
        line,
        why: Why::Absent,
    })
}

/// The name of a program without its folder; empty where the text is none.
fn program(text: Option<&str>) -> &str {
    let name = shell::program(text.unwrap_or_default().trim());
    let is_name = !["error", "fatal", "panic"].contains(&name.to_ascii_lowercase().as_str())
        && name.len() <= 40
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_name { name } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_flags_of_a_command_are_understood() {
        for (log, words) in [
            (
                "nc: invalid option -- 'z'\nBusyBox v1.35.0 (Debian) multi-call binary.\nUsage: nc [-wN] [IPADDR PORT]\n\t-e PROG\tRun PROG after connect",
                "nc does not take its arguments (nc: invalid option -- 'z')",
            ),
            (
                "Usage: nc [-wN] [IPADDR PORT]\n\t-w SEC\tConnect timeout",
                "nc does not take its arguments (Usage: nc [-wN] [IPADDR PORT])",
            ),
            (
                "sh: pg_isready: not found",
                "pg_isready is not in the image (sh: pg_isready: not found)",
            ),
            (
                "/bin/bash: line 1: nc: command not found\nwaiting",
                "nc is not in the image (/bin/bash: line 1: nc: command not found)",
            ),
            (
                "Error: unknown flag: --wait",
                "its program does not take its arguments (Error: unknown flag: --wait)",
            ),
        ] {
            let lines: Vec<&str> = log.lines().collect();
            assert_eq!(refusal(&lines).map(|r| r.words()).as_deref(), Some(words), "{log}");
        }
        for silent in [
            "waiting for db",
            "nc: timed out",
            "ERROR: relation \"users\" not found",
            "usage: 12% of disk\nmigrating",
            "curl: (6) Could not resolve host: db",
        ] {
            let lines: Vec<&str> = silent.lines().collect();
            assert_eq!(refusal(&lines), None, "{silent}");
        }
    }

    #[test]
    fn a_name_that_resolves_and_is_refused_all_the_same() {
        let log = "Server:\t\t10.96.0.10\nName:\tredis.shop.svc.cluster.local\nAddress: 10.96.0.7\n\
                   ** server can't find redis.svc.cluster.local: NXDOMAIN\n** server can't find redis.cluster.local: NXDOMAIN";
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            half_resolved(&lines, "shop", "redis"),
            Some(("redis.shop.svc.cluster.local", "** server can't find redis.cluster.local: NXDOMAIN"))
        );
        assert_eq!(half_resolved(&lines, "data", "redis"), None);
        assert_eq!(half_resolved(&lines[..3], "shop", "redis"), None);
    }

    #[test]
    fn a_check_that_only_connects_is_written_anew() {
        let lines = ["nc: invalid option -- 'z'"];
        let refusal = refusal(&lines).unwrap();
        assert!(refusal.fix("sh -c until nc -zv db 80; do sleep 2; done").contains("without -z"));
        assert!(refusal.fix("nc --wait db 80").contains("its usage is in the log"));
    }
}
