//! Finds the line of a log that explains why a program ended, and what kind of fault it speaks of. Pure text.

use crate::model::cause::ContainerCrashing;
use crate::text::{Words, sanitise};

/// How many of the last lines are read: the explanation is close to the end.
const TAIL: usize = 80;

/// The line that most likely explains the end, and whether it names a fault at all (else it is just the last line).
pub fn explaining_line(lines: &[&str]) -> Option<(String, bool)> {
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    let found = traceback(tail)
        .or_else(|| panic(tail))
        .or_else(|| caused_by(tail))
        .or_else(|| by_words(tail));
    match found {
        Some(line) => Some((line, true)),
        None => tail.last().map(|line| (line.trim().to_owned(), false)),
    }
}

/// The last line of the last Python traceback: `KeyError: 'DATABASE_URL'`.
fn traceback(lines: &[&str]) -> Option<String> {
    let start = lines.iter().rposition(|l| l.contains("Traceback (most recent call last)"))?;
    let end = lines[start + 1..].iter().find(|l| {
        let first = l.split([':', ' ']).next().unwrap_or_default();
        !l.starts_with([' ', '\t']) && first.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_')) && !first.is_empty()
    })?;
    Some(end.trim().to_owned())
}

/// Go's `panic: …` and `fatal error: …`, Rust's `panicked at …`.
fn panic(lines: &[&str]) -> Option<String> {
    let at = lines.iter().rposition(|l| {
        l.starts_with("panic:") || l.starts_with("fatal error:") || l.contains("' panicked at ") || l.contains(") panicked at ")
    })?;
    let line = lines[at].trim();
    // Rust puts the message behind the place, on a line of its own.
    match lines.get(at + 1) {
        Some(next) if line.contains("panicked at") && line.ends_with(':') => Some(format!("{line} {}", next.trim())),
        _ => Some(line.to_owned()),
    }
}

/// The deepest cause of a Java exception, else the exception itself.
fn caused_by(lines: &[&str]) -> Option<String> {
    let last = |test: fn(&str) -> bool| lines.iter().rev().map(|l| l.trim()).find(|l| test(l)).map(str::to_owned);
    last(|l| l.starts_with("Caused by: ")).or_else(|| last(|l| l.starts_with("Exception in thread ")))
}

/// Words that name a fault, strongest first; within a group the newest line wins.
const WORDS: [Words; 3] = [
    Words(
        "address already in use, eaddrinuse, address in use, already in use, no space left on device, enospc, \
         read-only file system, erofs, exec format error, cannot execute binary file, executable file not found, \
         command not found, out of memory, outofmemoryerror, is not set, missing required, unknown flag, unrecognized argument, \
         unrecognized option, flag provided but not defined, cannot find module, modulenotfounderror",
    ),
    Words("fatal, panic, critical, [emerg], [crit], \"level\":\"error\", level=error, typeerror:, referenceerror:, syntaxerror:"),
    Words(
        "error, exception, permission denied, no such file, not found, can't , cannot , unable to , failed, refused, invalid, \
         missing, unhealthy, killed, denied, is a directory, not a directory, not permitted, is locked",
    ),
];

/// Looks like a fault but is not one.
const HARMLESS: Words =
    Words("0 errors, no error, errors: 0, error: null, \"error\":null, without error, error_log, errors=0, failed: 0, failed=0");

fn by_words(lines: &[&str]) -> Option<String> {
    WORDS.iter().find_map(|words| {
        lines.iter().rev().find_map(|line| {
            let lower = line.to_lowercase();
            // Frames of a stack name classes such as `…Exception.java`.
            let frame = line.starts_with([' ', '\t']) && line.trim_start().starts_with("at ");
            let named = !frame && words.occur_in(&lower) && !HARMLESS.occur_in(&lower);
            named.then(|| line.trim().to_owned())
        })
    })
}

/// Whether the line says that a port is taken already.
pub fn is_address_in_use(line: &str) -> bool {
    let lower = line.to_lowercase();
    let port_taken =
        lower.contains("port") && (lower.contains("already in use") || lower.contains("already allocated") || lower.contains("is in use"));
    Words("address already in use, eaddrinuse, address in use, only one usage of each socket address, errno 98, error 98").occur_in(&lower)
        || port_taken
}

/// The port that a line about listening names: the last number that can be one, after a colon or the word port.
pub fn port_in(line: &str) -> Option<u16> {
    let lower = line.to_lowercase();
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port > 0 && digits.len() >= 2)
    };
    let after_word = lower.match_indices("port").find_map(|(i, _)| {
        let rest = lower[i + 4..].trim_start_matches([' ', ':', '=', '#', '\'', '"']);
        number(rest)
    });
    // `('0.0.0.0', 8080)` of Python, `:::3000` of Node, `0.0.0.0:80` of most others.
    let after_mark = || {
        lower
            .match_indices([':', ','])
            .filter_map(|(i, _)| {
                let rest = lower[i + 1..].trim_start();
                let digits = rest.chars().take_while(char::is_ascii_digit).count();
                // `12:03:44` and `main.go:12: …` are no addresses.
                let mut after = rest[digits..].chars();
                let follows = match (after.next(), after.next()) {
                    (Some(':'), Some(next)) if !next.is_ascii_digit() => None,
                    (follows, _) => follows,
                };
                let before = &lower[..i];
                let address_before =
                    before.ends_with(|c: char| c.is_ascii_digit() || matches!(c, ' ' | ':' | ']' | '*' | '\'' | '"' | 't'));
                let time = before.len() > 2
                    && before
                        .get(before.len() - 3..)
                        .is_some_and(|b| b.starts_with(':') && b[1..].bytes().all(|c| c.is_ascii_digit()));
                (address_before && !time && !matches!(follows, Some(':' | '.' | '/')))
                    .then(|| number(rest))
                    .flatten()
            })
            .next_back()
    };
    after_word.or_else(after_mark)
}

/// Which kind of fault a line speaks of; none where it is the program's own.
pub fn cause_of_line(line: &str) -> Option<ContainerCrashing> {
    // A shell that runs a binary as a script quotes its first bytes, some of them unprintable.
    let lower = sanitise(line).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if has(&["exec format error", "cannot execute binary file"]) || (lower.contains(": elf") && lower.contains("not found")) {
        Some(ContainerCrashing::ExecFormat)
    } else if has(&["no space left on device", "enospc", "disk quota exceeded"]) {
        Some(ContainerCrashing::NoSpace)
    } else if has(&["read-only file system", "erofs", "read-only filesystem"]) {
        Some(ContainerCrashing::ReadOnlyFilesystem)
    } else if has(&["executable file not found", "command not found"]) || is_loader_missing(&lower) {
        Some(ContainerCrashing::CommandNotFound)
    } else if is_file_permission(&lower) {
        Some(ContainerCrashing::PermissionDenied)
    } else if is_configuration(line, &lower) {
        Some(ContainerCrashing::Config)
    } else {
        None
    }
}

/// `exec /app: no such file or directory`, in crun's words "exec container process `/app`: No such file or directory": a command that is missing itself is refused before the start, so what is missing here is
/// the interpreter that its first line names, or the loader of a dynamic program.
pub fn is_loader_missing(lower: &str) -> bool {
    let is_of_runc = lower.starts_with("exec /") && lower.ends_with(": no such file or directory");
    is_of_runc || (lower.contains("exec container process") && lower.contains("`: no such file or directory"))
}

/// Whether a line says that the program does not know an option that it was started with.
pub fn is_unknown_option(line: &str) -> bool {
    UNKNOWN_OPTION.occur_in(&line.to_lowercase())
}

/// Whether a line says that a file for the configuration is not there.
pub fn is_configuration_missing(line: &str) -> bool {
    let lower = line.to_lowercase();
    (lower.contains("no such file") || lower.contains("enoent") || lower.contains("filenotfound"))
        && Words(".yaml, .yml, .conf, .json, .toml, .ini, .properties, .cfg, .env, /config, /etc/").occur_in(&lower)
}

fn is_file_permission(lower: &str) -> bool {
    let denied = Words("permission denied, eacces, operation not permitted, eperm, permissionerror").occur_in(lower);
    // A database and an API deny as well.
    let elsewhere =
        Words("for table, for relation, for schema, for database, for function, (publickey, forbidden, rpc error").occur_in(lower);
    denied && !elsewhere
}

/// What programs say about their flags, variables and files.
const CONFIGURATION: Words = Words(
    "missing required, is required but, must be set, is not set, not set in environment, environment variable, env var, \
     invalid configuration, configuration error, config error, configerror, could not load config, \
     failed to load config, failed to parse config, cannot load config, error parsing config, no configuration file, \
     unknown directive, yaml:, error unmarshal, improperlyconfigured",
);

const UNKNOWN_OPTION: Words = Words(
    "unknown flag, unknown option, unrecognized argument, unrecognized option, flag provided but not defined, invalid option, \
     unexpected argument",
);

fn is_configuration(line: &str, lower: &str) -> bool {
    // `KeyError: 'DATABASE_URL'` and `panic: required key DB_HOST missing value` name a variable in capitals.
    let variable = |text: &str| {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .any(|w| w.len() >= 4 && w.contains('_') && w.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
    };
    let unset = line.starts_with("KeyError:")
        || Words("missing, undefined, not defined, required, unset, not provided, parameter null or not set").occur_in(lower);
    CONFIGURATION.occur_in(lower)
        || is_unknown_option(line)
        || is_configuration_missing(line)
        || (unset && variable(line))
        || (lower.contains("[emerg]") && !is_address_in_use(line))
}

/// The name of the signal behind an exit code above 128.
pub fn signal_name(exit_code: i32) -> Option<&'static str> {
    Some(match exit_code {
        129 => "SIGHUP",
        130 => "SIGINT",
        131 => "SIGQUIT",
        132 => "SIGILL",
        133 => "SIGTRAP",
        134 => "SIGABRT",
        135 => "SIGBUS",
        136 => "SIGFPE",
        137 => "SIGKILL",
        138 => "SIGUSR1",
        139 => "SIGSEGV",
        140 => "SIGUSR2",
        141 => "SIGPIPE",
        143 => "SIGTERM",
        159 => "SIGSYS",
        _ => return None,
    })
}

/// Whether the line says that a process inside the container was killed, as the kernel does when memory runs out.
pub fn is_child_killed(line: &str) -> bool {
    let lower = line.trim().to_lowercase();
    lower == "killed"
        || lower.ends_with(": killed")
        || Words(
            "perhaps out of memory, signal: killed, exited on signal 9, killed by signal 9, terminated by signal 9, was sent sigkill, \
         oom-kill, signal 9 (sigkill), signal=sigkill",
        )
        .occur_in(&lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_explains_is_found() {
        for (log, wanted) in [
            (
                "Traceback (most recent call last):\n  File \"app.py\", line 3, in <module>\n    x\nKeyError: 'DATABASE_URL'",
                "KeyError: 'DATABASE_URL'",
            ),
            ("starting\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()", "panic: boom"),
            (
                "thread 'main' panicked at src/main.rs:2:5:\nno port\nnote: run with `RUST_BACKTRACE=1`",
                "thread 'main' panicked at src/main.rs:2:5: no port",
            ),
            (
                "Exception in thread \"main\" a.B: x\n\tat a.b(C.java:1)\nCaused by: c.D: no driver\n\tat d.e(F.java:2)",
                "Caused by: c.D: no driver",
            ),
            ("Error: bad flag --foo\nstarting", "Error: bad flag --foo"),
            (
                "node:internal\nError: Cannot find module '/app/x.js'\n    at Module._resolve (node:1)\n\nNode.js v20",
                "Error: Cannot find module '/app/x.js'",
            ),
            ("loaded 3 items, 0 errors\nshutting down", "shutting down"),
        ] {
            let lines: Vec<&str> = log.lines().filter(|l| !l.trim().is_empty()).collect();
            assert_eq!(explaining_line(&lines).unwrap().0, wanted);
        }
        assert!(explaining_line(&[]).is_none());
    }

    #[test]
    fn a_line_names_its_kind_of_fault() {
        for (line, cause) in [
            ("exec /app: exec format error", Some("exec-format")),
            ("exec /run.sh: no such file or directory", Some("command-not-found")),
            ("open /etc/app.conf: no such file or directory", Some("config")),
            ("/tmp/x: line 1: ELF: not found", Some("exec-format")),
            ("write /data/x: no space left on device", Some("no-space")),
            ("sh: can't create /data/x: Read-only file system", Some("read-only-filesystem")),
            ("bash: foo: command not found", Some("command-not-found")),
            ("open /data/db: permission denied", Some("permission-denied")),
            ("ERROR: permission denied for table orders", None),
            ("KeyError: 'DATABASE_URL'", Some("config")),
            ("panic: required key DB_HOST missing value", Some("config")),
            (
                "nginx: [emerg] unknown directive \"liste\" in /etc/nginx/nginx.conf:3",
                Some("config"),
            ),
            ("Error: unknown flag: --foo", Some("config")),
            ("panic: boom", None),
            ("KeyError: 'user'", None),
        ] {
            assert_eq!(cause_of_line(line).map(ContainerCrashing::as_str), cause, "{line}");
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        for (line, port) in [
            ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", Some(80)),
            ("Error: listen EADDRINUSE: address already in use :::3000", Some(3000)),
            ("panic: listen tcp :8080: bind: address already in use", Some(8080)),
            (
                "[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
                Some(8000),
            ),
            ("Web server failed to start. Port 8080 was already in use.", Some(8080)),
            ("Port 5000 is in use by another program.", Some(5000)),
            ("nc: bind: Address already in use", None),
            ("2026/01/01 12:00:01 main.go:12: address already in use", None),
        ] {
            assert!(is_address_in_use(line), "{line}");
            assert_eq!(port_in(line), port, "{line}");
        }
        assert!(!is_address_in_use("dial tcp 10.0.0.1:80: connection refused"));
    }

    #[test]
    fn a_killed_child_is_seen() {
        assert!(is_child_killed("Killed"));
        assert!(is_child_killed("[ERROR] Worker (pid:7) was sent SIGKILL! Perhaps out of memory?"));
        assert!(!is_child_killed("job killed by user"));
    }
}
