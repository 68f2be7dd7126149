//! The lines of a configuration that say where a server listens: all that a snapshot keeps of a ConfigMap.
//!
//! What is kept has one form, `path = value`, and the value is an address or a port and nothing else: no credential has that shape. A path leads through
//! the sections of the file, because `host` means one thing under `server` and another under `database`.

use serde_json::Value;

use super::bind::{self, BindAddress};

/// Files beyond this are not configuration.
const LONGEST: usize = 512 << 10;
/// How deep and how wide a document is followed.
const DEPTH: usize = 16;
const LINES: usize = 200;

/// A setting of an address or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Where it stands: `server.address`, `static_resources.listeners.0.address.socket_address.address`.
    pub path: String,
    /// An address, several of them, or a port.
    pub value: String,
}

/// How surely a path means the listener of the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// `listen`, `server.address`.
    Sure,
    /// `host` at the top of a file.
    Vague,
}

/// What is kept of one key of a ConfigMap; empty where nothing says where a server listens.
pub fn kept(key: &str, text: &str) -> String {
    if text.len() > LONGEST {
        return String::new();
    }
    // A variable: the key is its name and the value an address, or a port.
    let whole = text.trim();
    if !whole.contains('\n') && is_kept(key, whole) {
        return whole.to_owned();
    }
    let lines: Vec<String> = directives(text)
        .iter()
        .take(LINES)
        .map(|d| format!("{} = {}", d.path, d.value))
        .collect();
    lines.join("\n")
}

/// Every setting of an address or a port that a server listens on, in the order of the text.
pub fn directives(text: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(fields)) if !fields.is_empty() => flatten(&Value::Object(fields), &mut String::new(), 0, &mut found),
        _ => by_line(text, &mut found),
    }
    found.retain(|directive| is_kept(&directive.path, &directive.value));
    found
}

/// What a path means; none where it leads to something else than a listener.
pub fn meaning(path: &str) -> Option<Meaning> {
    let lower = path.to_ascii_lowercase();
    let joined: String = lower.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let segments: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|s| !s.is_empty())
        .collect();
    let sections: Vec<&str> = lower.split('.').map(|s| s.trim_matches('"')).collect();
    if segments.iter().any(|s| OTHERS.contains(s)) || sections.iter().any(|s| OTHERS.contains(&s.replace(['_', '-'], "").as_str())) {
        return None;
    }
    if joined.starts_with("listenerstcp") || joined.starts_with("listenersssl") || SURE_ENDS.iter().any(|end| joined.ends_with(end)) {
        return Some(Meaning::Sure);
    }
    let (last, before) = segments.split_last()?;
    if !ENDS.contains(last) {
        return None;
    }
    let of_server =
        before.iter().any(|s| SERVERS.contains(s)) || sections.iter().any(|s| SERVERS.contains(&s.replace(['_', '-'], "").as_str()));
    if of_server {
        Some(Meaning::Sure)
    } else if before.is_empty() || before.iter().all(|s| APPLICATIONS.contains(s)) {
        Some(Meaning::Vague)
    } else {
        None
    }
}

/// Ends of paths, without separators, that mean a listener wherever they stand.
const SURE_ENDS: &[&str] = &[
    "listen",
    "listenaddress",
    "listenaddr",
    "listenaddresses",
    "listenhost",
    "listenip",
    "listenon",
    "listenport",
    "listenclienturls",
    "listeners",
    "bind",
    "bindaddress",
    "bindaddr",
    "bindhost",
    "bindip",
    "bindport",
    "binding",
    "httpaddr",
    "httpport",
    "clientportaddress",
    "clientport",
    "entrypoint",
    "listener",
];
/// Last words of a path that hold an address or a port of something.
const ENDS: &[&str] = &[
    "host",
    "hostname",
    "address",
    "addr",
    "ip",
    "interface",
    "endpoint",
    "url",
    "urls",
    "port",
    "value",
];
/// Words of a path that lead to a listener of the program.
const SERVERS: &[&str] = &[
    "server",
    "http",
    "https",
    "listen",
    "listener",
    "listeners",
    "bind",
    "grpc",
    "rest",
    "admin",
    "metrics",
    "management",
    "receivers",
    "entrypoints",
    "kestrel",
    "network",
    "net",
    "mysqld",
    "mariadb",
    "debug",
    "pprof",
    "health",
    "healthcheck",
    "dev",
    "devserver",
];
/// Words that may, and may not.
const APPLICATIONS: &[&str] = &[
    "app", "api", "web", "ui", "service", "main", "default", "config", "settings", "frontend",
];
/// Words of a path that lead to another program.
const OTHERS: &[&str] = &[
    "db",
    "database",
    "databases",
    "datasource",
    "datasources",
    "redis",
    "cache",
    "client",
    "clients",
    "cluster",
    "clusters",
    "upstream",
    "upstreams",
    "backend",
    "backends",
    "broker",
    "brokers",
    "bootstrap",
    "rabbitmq",
    "amqp",
    "mail",
    "smtp",
    "remote",
    "exporter",
    "exporters",
    "target",
    "targets",
    "peer",
    "peers",
    "replica",
    "replicas",
    "replicaof",
    "slaveof",
    "master",
    "primary",
    "sentinel",
    "ldap",
    "auth",
    "oauth",
    "oidc",
    "jwks",
    "session",
    "sessions",
    "storage",
    "s3",
    "minio",
    "zookeeper",
    "consul",
    "tracing",
    "jaeger",
    "zipkin",
    "statsd",
    "graphite",
    "influxdb",
    "sink",
    "sinks",
    "destination",
    "destinations",
    "output",
    "outputs",
    "loadassignment",
    "lbendpoints",
    "external",
    "public",
    "advertise",
    "advertised",
    "advertisedlisteners",
    "proxy",
    "proxies",
    "proxypass",
    "forward",
    "kube",
    "kubernetes",
    "etcd",
    "vault",
    "elasticsearch",
    "postgres",
    "postgresql",
    "mysql",
    "mongo",
    "mongodb",
    "mongos",
    "kafka",
    "nats",
    "memcached",
    "servers",
    "postgresqls",
    "remotes",
    "password",
    "secret",
    "token",
    "key",
];

/// Whether a setting is one of a listener, and its value nothing else than an address or a port.
fn is_kept(path: &str, value: &str) -> bool {
    meaning(path).is_some() && is_place(value)
}

/// An address, several of them, or a port.
fn is_place(value: &str) -> bool {
    let mut parts = value.split([',', ' ', ';']).filter(|part| !part.is_empty()).peekable();
    parts.peek().is_some()
        && parts.all(|part| {
            let part = part.strip_prefix('-').unwrap_or(part);
            part == "::*"
                || bind::port(part).is_some_and(|_| part.bytes().all(|c| c.is_ascii_digit()))
                || BindAddress::parse(part).is_some()
        })
}

/// The settings of a YAML or JSON document.
fn flatten(value: &Value, path: &mut String, depth: usize, found: &mut Vec<Directive>) {
    if depth > DEPTH || found.len() > 20 * LINES {
        return;
    }
    let mut enter = |name: &str, inner: &Value, found: &mut Vec<Directive>| {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        flatten(inner, path, depth + 1, found);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                enter(name, inner, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                enter(&index.to_string(), inner, found);
            }
        }
        Value::String(text) => found.push(directive(path, text)),
        Value::Number(number) => found.push(directive(path, &number.to_string())),
        Value::Bool(_) | Value::Null => {}
    }
}

fn directive(path: &str, value: &str) -> Directive {
    let unquoted = value.trim().trim_end_matches(';').trim().trim_matches(|c| matches!(c, '"' | '\''));
    Directive {
        path: path.to_owned(),
        value: unquoted.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The settings of properties, INI, TOML, and of servers whose files have words and values: nginx, Apache, HAProxy, Redis, Mosquitto.
fn by_line(text: &str, found: &mut Vec<Directive>) {
    let mut section = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';', '!']) || line.starts_with("//") {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']', ' ']).to_owned();
            continue;
        }
        let path = |name: &str| {
            if section.is_empty() {
                name.to_owned()
            } else {
                format!("{section}.{name}")
            }
        };
        if line.starts_with('<') {
            found.extend(of_element(line));
        } else if let Some((name, value)) = pair(line) {
            found.push(directive(&path(name), value));
        } else if let Some((word, rest)) = line.split_once(char::is_whitespace) {
            found.extend(of_words(word, rest).map(|value| directive(&path(word), &value)));
        }
    }
}

/// `name = value`, `name: value`; a comment behind the value is cut off.
fn pair(line: &str) -> Option<(&str, &str)> {
    let at = line.find(['=', ':']).filter(|at| *at > 0)?;
    let name = line[..at].trim();
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '%'));
    let value = line[at + 1..].trim_start_matches(['=', ' ']);
    let value = value.split(" #").next().unwrap_or_default().split("\t#").next().unwrap_or_default();
    is_name.then_some((name.trim_start_matches("export "), value))
}

/// The address or port behind a word: the options that follow it (`default_server`, `ssl crt FILE`) are left out.
fn of_words(word: &str, rest: &str) -> Option<String> {
    let rest = rest.trim().trim_end_matches(';');
    let mut words = rest.split_whitespace();
    let lower = word.to_ascii_lowercase().replace('-', "_");
    match lower.as_str() {
        // `bind 127.0.0.1 -::1` of Redis, `bind 127.0.0.1:80 ssl …` of HAProxy.
        "bind" => {
            let addresses: Vec<&str> = words.take_while(|word| is_place(word)).collect();
            Some(addresses.join(" "))
        }
        // `listener 1883 127.0.0.1` of Mosquitto.
        "listener" => {
            let port = words.next()?;
            Some(words.next().map_or_else(|| port.to_owned(), |host| format!("{host}:{port}")))
        }
        "listen" | "http_listen" | "bind_address" | "listen_addresses" | "port" | "http_port" => words.next().map(str::to_owned),
        _ => None,
    }
}

/// Tomcat's `<Connector port="8080" address="127.0.0.1">` and ClickHouse's `<listen_host>::1</listen_host>`.
fn of_element(line: &str) -> Option<Directive> {
    if let Some(rest) = line.strip_prefix("<listen_host>") {
        return Some(directive("listen_host", rest.split('<').next()?));
    }
    let attributes = line.strip_prefix("<Connector ")?;
    let of = |name: &str| {
        let rest = &attributes[attributes.find(&format!("{name}=\""))? + name.len() + 2..];
        rest.split('"').next()
    };
    let port = of("port")?;
    Some(match of("address") {
        Some(address) if address.contains(':') => directive("server.address", &format!("[{address}]:{port}")),
        Some(address) => directive("server.address", &format!("{address}:{port}")),
        None => directive("server.port", port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_say_where_a_server_listens_are_kept() {
        for (text, expected) in [
            (
                "server {\n  listen 127.0.0.1:80 default_server;\n  server_name x;\n  listen [::1]:80;\n}",
                "listen = 127.0.0.1:80\nlisten = [::1]:80",
            ),
            ("Listen 127.0.0.1:8080\nServerName x", "Listen = 127.0.0.1:8080"),
            (
                "frontend web\n  bind 127.0.0.1:80 ssl crt /etc/x.pem\nbackend b\n  server s 10.0.0.1:80",
                "bind = 127.0.0.1:80",
            ),
            (
                "bind 127.0.0.1 -::1\nport 6379\nrequirepass hunter2",
                "bind = 127.0.0.1 -::1\nport = 6379",
            ),
            (
                "listen_addresses = 'localhost'   # what to listen on\nport = 5432",
                "listen_addresses = localhost\nport = 5432",
            ),
            (
                "[mysqld]\nbind-address = 127.0.0.1\n[client]\nhost = localhost\npassword = x",
                "mysqld.bind-address = 127.0.0.1",
            ),
            (
                "server.address=127.0.0.1\nserver.port=8080\nspring.datasource.url=jdbc:postgresql://db/x",
                "server.address = 127.0.0.1\nserver.port = 8080",
            ),
            (
                "listeners=PLAINTEXT://127.0.0.1:9092\nadvertised.listeners=PLAINTEXT://kafka:9092",
                "listeners = PLAINTEXT://127.0.0.1:9092",
            ),
            ("listeners.tcp.local = 127.0.0.1:5672", "listeners.tcp.local = 127.0.0.1:5672"),
            ("bind = \"127.0.0.1:8000\"\nworkers = 3", "bind = 127.0.0.1:8000"),
            (
                "[server]\nhttp_addr = 127.0.0.1\nhttp_port = 3000\n[database]\nhost = 127.0.0.1:3306",
                "server.http_addr = 127.0.0.1\nserver.http_port = 3000",
            ),
            ("listener 1883 127.0.0.1", "listener = 127.0.0.1:1883"),
            (
                "<Connector port=\"8080\" protocol=\"HTTP/1.1\" address=\"127.0.0.1\" />",
                "server.address = 127.0.0.1:8080",
            ),
            (
                "server:\n  host: 127.0.0.1\n  port: 8080\ndatabase:\n  host: 127.0.0.1\n  port: 5432\n",
                "server.host = 127.0.0.1\nserver.port = 8080",
            ),
            (
                "net:\n  bindIp: 127.0.0.1\n  port: 27017\n",
                "net.bindIp = 127.0.0.1\nnet.port = 27017",
            ),
            ("network.host: 127.0.0.1\ncluster.name: x\n", "network.host = 127.0.0.1"),
            ("host: 127.0.0.1\nport: 80\n", "host = 127.0.0.1\nport = 80"),
            (
                "receivers: {otlp: {protocols: {grpc: {endpoint: 'localhost:4317'}}}}\nexporters: {otlp: {endpoint: 'localhost:4317'}}\n",
                "receivers.otlp.protocols.grpc.endpoint = localhost:4317",
            ),
            ("entryPoints: {web: {address: ':80'}}\n", "entryPoints.web.address = :80"),
            (
                "static_resources:\n  listeners:\n  - address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n  clusters:\n  - load_assignment: {endpoints: [{address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}]}\n",
                "static_resources.listeners.0.address.socket_address.address = 127.0.0.1\nstatic_resources.listeners.0.address.socket_address.port_value = 8080",
            ),
            (
                "{\"Kestrel\": {\"Endpoints\": {\"Http\": {\"Url\": \"http://localhost:5000\"}}}}",
                "Kestrel.Endpoints.Http.Url = http://localhost:5000",
            ),
        ] {
            let once = kept("file", text);
            assert_eq!(once, expected, "{text}");
            assert_eq!(kept("file", &once), expected, "what was kept is kept again");
        }
    }

    #[test]
    fn nothing_else_is_kept() {
        for text in [
            "",
            "password: hunter2",
            "server:\n  password: hunter2\n  host: secret.example.com\n",
            "listen: hunter2",
            "bind_password = hunter2",
            "bind hunter2",
            "redis.host=127.0.0.1",
            "upstream backend { server 127.0.0.1:9000; }",
            "proxy_pass http://127.0.0.1:9000;",
            "url: postgres://app:hunter2@localhost:5432/x",
            "DATABASE_URL=http://app:hunter2@localhost",
            "#!/bin/sh\nexport TOKEN=hunter2\ncurl http://127.0.0.1:8080",
            "client:\n  address: 127.0.0.1:9000\n",
            "- 127.0.0.1\n- hunter2\n",
        ] {
            assert_eq!(kept("file", text), "", "{text}");
        }
    }

    #[test]
    fn a_variable_is_kept_by_its_name() {
        for (key, value, expected) in [
            ("BIND_ADDR", "127.0.0.1:8080", "127.0.0.1:8080"),
            ("HOST", "localhost", "localhost"),
            ("SERVER_PORT", "8080", "8080"),
            ("REDIS_HOST", "127.0.0.1", ""),
            ("API_KEY", "8080", ""),
            ("PIN", "1234", ""),
            ("LISTEN_ADDR", "hunter2", ""),
        ] {
            assert_eq!(kept(key, value), expected, "{key}");
        }
    }

    #[test]
    fn odd_text_does_not_panic() {
        for text in [
            "[",
            "]",
            "<",
            "<Connector ",
            "=",
            ":",
            "bind",
            "listener",
            "listener x",
            "\u{0}",
            "a: &a [*a]",
            "ü = ö",
        ] {
            kept("ü", text);
        }
    }
}
