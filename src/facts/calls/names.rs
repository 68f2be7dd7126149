//! Hosts and ports that text names: commands, environment, log lines. Purely textual; what they mean is in `places`.

use std::net::IpAddr;

use crate::model::environment::{HOST_KEYS, names_host};
use crate::text::{Url, Words, programs, shell};

/// A host that text names, and the port if it says one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// A name or an address, in lower case, without a dot at its end.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
    /// Whether it is surely meant as a host: `host:port`, a URL, the argument of a client, the object of "lookup". Other words may just look like one.
    pub is_certain: bool,
}

impl Mention {
    fn new(host: &str, port: Option<u16>, is_certain: bool) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        is_host(&host).then_some(Self { host, port, is_certain })
    }

    /// The address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether text may be a host: an address, or labels of letters, digits and hyphens that are not all digits.
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label) && text.chars().any(|c| c.is_ascii_alphabetic())
}

/// Default ports of schemes that clients write into URLs without one.
pub fn default_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "postgres" | "postgresql" => 5432,
        "mysql" | "mariadb" => 3306,
        "redis" | "rediss" => 6379,
        "amqp" => 5672,
        "amqps" => 5671,
        "mongodb" => 27017,
        "nats" => 4222,
        _ => return None,
    })
}

/// A URL or `host:port`; a bare host is taken where `bare` says so.
pub fn authority(text: &str, bare: bool) -> Option<Mention> {
    let url = Url::parse(text.trim_matches(|c: char| matches!(c, '"' | '\'' | ',' | ';')));
    let Some(scheme) = url.scheme else {
        let (host, port) = host_port(url.host)?;
        return if port.is_some() || bare {
            Mention::new(host, port, true)
        } else {
            None
        };
    };
    // `jdbc:postgresql://db:5432/app`
    let scheme = scheme.rsplit([':', '+']).next().unwrap_or_default().to_ascii_lowercase();
    // `mongodb://a:27017,b:27017` names the first of several.
    let (host, port) = host_port(url.host.split(',').next()?)?;
    Mention::new(host, port.or_else(|| default_port(&scheme)), true)
}

fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return Some((host, after.strip_prefix(':').and_then(|p| p.parse().ok())));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host, Some(port.parse().ok().filter(|p| *p > 0)?))),
        Some(_) => None,
        None => Some((text, None)),
    }
}

/// Variables of this name say where the container itself listens or who it is.
const OWN_KEYS: Words = Words("HOSTNAME, HOST, LISTEN_ADDR, LISTEN_ADDRESS, BIND_ADDR, BIND_ADDRESS, BIND_HOST, SERVER_HOST");

/// Hosts that an environment names, each with the variable that does.
pub fn in_environment(environment: &[(String, String)]) -> Vec<(String, Mention)> {
    let mut found = Vec::new();
    for (key, value) in environment {
        let upper = key.to_ascii_uppercase();
        if OWN_KEYS.has(&upper) || value.is_empty() || value.contains(char::is_whitespace) {
            continue;
        }
        let names_host = names_host(key);
        let first = value.split(',').next().unwrap_or_default();
        let mention = if value.contains("://") {
            authority(value, true)
        } else if names_host {
            authority(first, true)
        } else {
            authority(first, false)
        };
        if let Some(mut mention) = mention {
            mention.is_certain = names_host || value.contains("://");
            if mention.port.is_none() {
                mention.port = port_beside(&upper, environment);
            }
            found.push((key.clone(), mention));
        }
    }
    found
}

/// The port that stands beside a host: `DB_PORT` for `DB_HOST`, `PGPORT` for `PGHOST`.
fn port_beside(key: &str, environment: &[(String, String)]) -> Option<u16> {
    let stem = HOST_KEYS.iter().find_map(|end| key.strip_suffix(end))?;
    environment
        .iter()
        .find(|(other, _)| other.to_ascii_uppercase() == format!("{stem}PORT"))
        .and_then(|(_, value)| value.parse().ok())
}

/// Hosts that a command names. Variables are replaced by their values first, as the shell would.
pub fn in_command(command: &str, environment: &[(String, String)]) -> Vec<Mention> {
    let command = shell::expand(command, environment);
    let words = shell::fragments(&command);
    let mut found: Vec<Mention> = Vec::new();
    let mut add = |mention: Option<Mention>| {
        let known = |m: &Mention| found.iter().any(|f| f.host == m.host && (f.port == m.port || m.port.is_none()));
        if let Some(mention) = mention.filter(|m| !known(m)) {
            found.push(mention);
        }
    };
    for (at, word) in words.iter().enumerate() {
        let program = shell::program(word).trim_end_matches(".sh");
        let rest = &words[at + 1..];
        if let Some(target) = word.strip_prefix("/dev/tcp/").or_else(|| word.strip_prefix("/dev/udp/")) {
            if let Some((host, port)) = target.split_once('/') {
                add(Mention::new(host, port.parse().ok(), true));
            }
        } else if programs::DIALLERS.has(program) {
            add(dialled(rest));
        } else if programs::DATABASE_CLIENTS.has(program) {
            add(by_option(rest));
        } else if programs::LOOKERS.has(program) {
            let host = rest
                .iter()
                .find(|w| !w.starts_with('-') && !matches!(**w, "hosts" | "ahosts" | "ahostsv4" | "A"));
            add(host.and_then(|h| Mention::new(h, None, true)));
        } else if programs::FETCHERS.has(program) {
            let target = rest.iter().take(8).find_map(|w| {
                let plain = w.trim_start_matches("tcp://");
                (!w.starts_with('-') && (plain.contains('.') || plain.contains(':') || plain.contains('/')) && !plain.starts_with('/'))
                    .then(|| authority(w, true))
                    .flatten()
            });
            add(target);
        } else if word.contains("://") {
            add(authority(word, true));
        } else if let Some(mention) = authority(word, false) {
            // `db:5432` among other words may be an image or a time: it counts if such a Service exists.
            add(Some(Mention {
                is_certain: false,
                ..mention
            }));
        }
    }
    found
}

/// `-z -w1 db 5432`
fn dialled(rest: &[&str]) -> Option<Mention> {
    let mut words = rest.iter().take(12).copied();
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        if let Some(options) = word.strip_prefix('-') {
            // Who listens calls nobody.
            if options == "-listen" || (!options.starts_with('-') && options.contains('l') && plain.is_empty()) {
                return None;
            }
            // Options whose value may be a word of its own.
            if matches!(
                options,
                "w" | "W" | "i" | "s" | "p" | "e" | "c" | "x" | "X" | "q" | "G" | "zw" | "zvw" | "vzw"
            ) {
                words.next();
            }
            continue;
        }
        plain.push(word);
        if plain.len() == 2 {
            break;
        }
    }
    let host = plain.first()?;
    if let Some(both) = authority(host, false) {
        return Some(both);
    }
    Mention::new(host, plain.get(1).and_then(|p| p.parse().ok()), true)
}

/// `-h db -p 5432`, `--host=db --port=5432` (the `=` is gone already), `-hdb`.
fn by_option(rest: &[&str]) -> Option<Mention> {
    let rest = &rest[..rest.len().min(16)];
    let value = |names: &[&str]| rest.iter().position(|w| names.contains(w)).and_then(|i| rest.get(i + 1)).copied();
    let host = value(&["-h", "--host"]).or_else(|| rest.iter().find_map(|w| w.strip_prefix("-h").filter(|h| !h.is_empty())));
    let port = value(&["-p", "-P", "--port"]).and_then(|p| p.parse().ok());
    Mention::new(host?, port, true)
}

/// What stands before a host in the messages of known clients and resolvers.
const BEFORE_HOST: Words = Words(
    "enotfound, eai_again, unknownhostexception, bad address, in upstream, resolve host, resolve host address, resolve proxy, \
     host name, mysql server host, can't find, getaddrinfo for, resolve server",
);
/// Words before what may be a host: it counts if such a Service exists, or if the spec names it.
const BEFORE_WORD: Words = Words(
    "to, host, at, on, server, name, connecting, nc, lookup, of, for, address, resolve, resolving, find, upstream, hostname, service",
);
/// Words that stand where a host may stand, and before numbers as hosts do before ports: `lookup failed: …`, `errno:111`.
const NOT_HOSTS: Words = Words(
    "of, for, the, a, host, hostname, name, address, server, service, failed, failure, error, errno, timeout, code, status, port, line, \
     attempt, pid",
);

/// Hosts that a log line names, certain ones first.
pub fn in_line(line: &str) -> Vec<Mention> {
    let words = words(line);
    let port_after = |at: usize| {
        let rest = words.get(at..)?;
        let at = rest.iter().position(|w| w.text.eq_ignore_ascii_case("port"))?;
        rest.get(at + 1)?.text.parse::<u16>().ok()
    };
    let mut found: Vec<Mention> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Word { text, quoted, .. } = *word;
        let before = before(&words, at);
        let last = before.rsplit(' ').next().unwrap_or_default();
        let next = words.get(at + 1).map(|w| w.text);
        let mention = if text.contains("://") {
            authority(text, true)
        } else if let Some(both) = authority(text, false) {
            // Times (12:00) are no hosts; `main.go:42` is told from a host when it is looked up.
            (!NOT_HOSTS.has(&both.host)).then_some(both)
        } else if NOT_HOSTS.has(&text.to_ascii_lowercase()) && !quoted {
            None
        } else if is_object(&before)
            // Go: `lookup db on 10.96.0.10:53: no such host`, `lookup db: no such host`.
            || (last == "lookup" && (next == Some("on") || word.colon))
            // Python and Netty: `Failed to resolve 'db'`.
            || (last == "resolve" && quoted)
            // curl: `Failed to connect to db port 5432`.
            || (before.ends_with("connect to") && next == Some("port"))
        {
            Mention::new(text, port_after(0), true)
        } else if quoted || BEFORE_WORD.has(last) || text.parse::<IpAddr>().is_ok() || text.contains(".svc") {
            Mention::new(text, port_after(0), text.contains(".svc"))
        } else {
            None
        };
        if let Some(mention) = mention.filter(|m| !found.contains(m)) {
            found.push(mention);
        }
    }
    found.sort_by_key(|m| !m.is_certain);
    found
}

/// Whether the words before one end with what known messages have before a host.
fn is_object(before: &str) -> bool {
    let starts = before.match_indices([' ', '.', '!']).map(|(at, _)| at + 1);
    starts.chain([0]).any(|at| BEFORE_HOST.has(&before[at..]))
}

/// The three words before one, in lower case.
fn before(words: &[Word<'_>], at: usize) -> String {
    let all: Vec<String> = words[at.saturating_sub(3)..at]
        .iter()
        .map(|w| w.text.to_ascii_lowercase())
        .collect();
    all.join(" ")
}

/// A word of a line without punctuation around it.
#[derive(Clone, Copy)]
struct Word<'l> {
    text: &'l str,
    /// Whether it stood in quotes.
    quoted: bool,
    /// Whether a colon follows it.
    colon: bool,
}

/// The words of a line.
fn words(line: &str) -> Vec<Word<'_>> {
    let is_quote = |c: char| matches!(c, '"' | '\'' | '‘' | '’' | '`' | '“' | '”');
    let is_break =
        |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | '=' | '|') || is_quote(c);
    let mut found = Vec::new();
    let mut start = 0;
    let mut before = ' ';
    for (at, c) in line.char_indices().chain(Some((line.len(), ' '))) {
        // `couldn't`
        let within = c == '\'' && line[..at].ends_with(char::is_alphabetic) && line[at + 1..].starts_with(char::is_alphabetic);
        if is_break(c) && !within {
            let raw = &line[start..at];
            let text = raw.trim_matches(|c: char| matches!(c, ':' | '.' | '!' | '?' | '\\'));
            if !text.is_empty() {
                found.push(Word {
                    text,
                    quoted: is_quote(before) && is_quote(c),
                    colon: raw.ends_with(':'),
                });
            }
            before = c;
            start = at + c.len_utf8().min(line.len() - at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_and_port(mention: &Mention) -> String {
        let port = mention.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", mention.host)
    }

    fn shown(mentions: &[Mention]) -> Vec<String> {
        mentions.iter().map(host_and_port).collect()
    }

    #[test]
    fn commands_name_their_targets() {
        let environment = [("DB_HOST".to_owned(), "db".to_owned()), ("DB_PORT".to_owned(), "5432".to_owned())];
        for (command, expected) in [
            ("sh -c until nc -z -w1 db 5432; do echo waiting for db; sleep 1; done", "db:5432"),
            ("sh -c until nc -z -w 1 db 5432 </dev/null; do sleep 1; done", "db:5432"),
            ("sh -c until nc -z $DB_HOST ${DB_PORT}; do sleep 1; done", "db:5432"),
            ("sh -c until nc -z $(DB_HOST) ${MISSING:-5433}; do sleep 1; done", "db:5433"),
            ("until pg_isready -h db -p 5432; do sleep 2; done", "db:5432"),
            ("pg_isready --host=db --port=5432 -U app", "db:5432"),
            ("wait-for-it.sh db:5432 -t 30 -- app", "db:5432"),
            ("/scripts/wait-for db:5432", "db:5432"),
            ("dockerize -wait tcp://db:5432 app", "db:5432"),
            (
                "until nslookup db.shop.svc.cluster.local; do sleep 1; done",
                "db.shop.svc.cluster.local",
            ),
            ("until getent hosts db; do sleep 1; done", "db"),
            ("while ! timeout 1 bash -c '</dev/tcp/db/5432'; do sleep 1; done", "db:5432"),
            ("curl -fsS http://api/healthz", "api:80"),
            (
                "until wget -qO- http://api.shop.svc:8080/ready; do sleep 1; done",
                "api.shop.svc:8080",
            ),
            ("until mysqladmin ping -h mysql -P 3306 --silent; do sleep 1; done", "mysql:3306"),
            ("app --database postgres://user:pw@db/app", "db:5432"),
            ("redis-cli -h redis ping", "redis"),
            ("sh -c until nc -z db 5432; do echo waiting for db:5432; sleep 2; done", "db:5432"),
            ("until nc -w 2 -z db.prod.svc 5432", "db.prod.svc:5432"),
            ("curl -sf http://user:pw@api:8080/health", "api:8080"),
            ("wait-for-it.sh rabbit:5672 -t 0", "rabbit:5672"),
        ] {
            assert_eq!(shown(&in_command(command, &environment)), [expected], "{command}");
        }
        for silent in [
            "httpd -f -p 8080",
            "echo starting; nc -lk -p 5432 -s 127.0.0.1 -e cat",
            "nc -p 5432 -l -e cat",
            "ncat --listen 80",
            "sh -c sleep 3600",
            "sleep 1d",
            "12:00:01 starting",
            "python -m http.server --bind 0.0.0.0",
        ] {
            assert!(in_command(silent, &[]).is_empty(), "{silent}: {:?}", in_command(silent, &[]));
        }
    }

    #[test]
    fn variables_name_hosts_and_ports() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            in_environment(&pairs)
                .into_iter()
                .map(|(_, m)| host_and_port(&m))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&[("DATABASE_HOST", "db"), ("DATABASE_PORT", "5432")]), ["db:5432"]);
        assert_eq!(of(&[("PGHOST", "db"), ("PGPORT", "5433")]), ["db:5433"]);
        assert_eq!(of(&[("DATABASE_URL", "postgres://u:p@db/app")]), ["db:5432"]);
        assert_eq!(of(&[("JDBC_URL", "jdbc:postgresql://db:5432/app")]), ["db:5432"]);
        assert_eq!(of(&[("KAFKA_BROKERS", "kafka-0:9092,kafka-1:9092")]), ["kafka-0:9092"]);
        assert_eq!(of(&[("UPSTREAM", "api:8080")]), ["api:8080"]);
        assert!(
            of(&[
                ("HOST", "0.0.0.0"),
                ("LOG_LEVEL", "info"),
                ("HOSTNAME", "pod-1"),
                ("GREETING", "hello")
            ])
            .is_empty()
        );
    }

    #[test]
    fn lines_of_clients_name_their_targets() {
        for (line, expected) in [
            ("dial tcp: lookup db on 10.96.0.10:53: no such host", "db"),
            ("dial tcp 10.96.3.4:80: connect: connection refused", "10.96.3.4:80"),
            (
                "psycopg2.OperationalError: could not translate host name \"db\" to address: Name or service not known",
                "db",
            ),
            (
                "connection to server at \"db\" (10.96.1.2), port 5432 failed: Connection refused",
                "db:5432",
            ),
            ("Error: connect ECONNREFUSED 10.96.3.4:5432", "10.96.3.4:5432"),
            ("Error: getaddrinfo ENOTFOUND db", "db"),
            ("java.net.UnknownHostException: db", "db"),
            (
                "Connection to db:5432 refused. Check that the hostname and port are correct",
                "db:5432",
            ),
            ("nc: bad address 'db'", "db"),
            ("wget: can't connect to remote host (10.96.3.4): Connection refused", "10.96.3.4"),
            (
                "nginx: [emerg] host not found in upstream \"api:80\" in /etc/nginx/conf.d/default.conf:5",
                "api:80",
            ),
            ("curl: (6) Could not resolve host: db", "db"),
            (
                "curl: (7) Failed to connect to db port 5432 after 2 ms: Couldn't connect to server",
                "db:5432",
            ),
            (
                "redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.",
                "redis:6379",
            ),
            (
                "HTTPConnectionPool(host='api', port=80): Max retries exceeded with url: / (Caused by NewConnectionError)",
                "api:80",
            ),
            ("db:5432 - no response", "db:5432"),
            ("Unknown MySQL server host 'mysql' (-2)", "mysql"),
            (
                "curl: (7) Failed to connect to cache port 6379 after 2 ms: Could not connect to server",
                "cache:6379",
            ),
            ("wget: unable to resolve host address ‘db’", "db"),
            ("Failed to resolve 'db' ([Errno -2] Name or service not known)", "db"),
            ("php_network_getaddrinfo: getaddrinfo for db failed: Name does not resolve", "db"),
            (
                "** server can't find db.shop.svc.cluster.local: NXDOMAIN",
                "db.shop.svc.cluster.local",
            ),
            ("dial tcp: lookup db: no such host", "db"),
            ("wait-for-it.sh: timeout occurred after waiting 15 seconds for db:5432", "db:5432"),
        ] {
            let found = shown(&in_line(line));
            assert!(found.iter().any(|f| f == expected), "{line}: {found:?}");
        }
    }

    #[test]
    fn words_are_no_names() {
        for (line, possible) in [
            ("fatal: lookup of vault failed: [Errno -2] Name or service not known", "vault"),
            ("dns lookup failed: no such host", ""),
            ("curl: (6) Could not resolve host", ""),
            ("socket.gaierror: [Errno -5] No address associated with hostname", ""),
            ("failed to resolve dependencies: connection timed out", "dependencies"),
            ("connect error:111", ""),
            ("timed out waiting for 'migrations'", "migrations"),
            ("unable to find schema: connection refused", "schema"),
        ] {
            let found = in_line(line);
            assert!(found.iter().all(|m| !m.is_certain), "{line}: {found:?}");
            let hosts: Vec<&str> = found.iter().map(|m| m.host.as_str()).collect();
            assert!(possible.is_empty() || hosts.contains(&possible), "{line}: {hosts:?}");
        }
        let certain: Vec<Mention> = in_line("curl: (6) Could not resolve host: db");
        let certain: Vec<&str> = certain.iter().filter(|m| m.is_certain).map(|m| m.host.as_str()).collect();
        assert_eq!(certain, ["db"]);
    }
}
